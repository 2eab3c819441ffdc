"""Every kernel of every backend, put to the same calls, against PyTorch in float64 and the NumPy reference.

Without a GPU Triton runs in its interpreter and CUDA C on the CPU; on one (``make test-gpu``) the same cases run there.
Memory that a kernel gets for its results is filled with NaN first: whatever it leaves unwritten shows.
"""

import importlib
import importlib.util
import inspect
from contextlib import contextmanager
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import torch

from minidl_kernels.arrays import gpu_is_available
from tests.kernels.cases import arranged, cases_of, rooms

BACKENDS = ("numpy", "numba", "cupy", "triton")
DTYPES = {n: np.dtype(n) for n in ("float16", "float32", "float64")} | {"bfloat16": np.dtype(ml_dtypes.bfloat16)}
ROUNDING = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-24, "float64": 2.0**-53}


def has_file(room, backend):
    return importlib.util.find_spec(f"minidl_kernels.{room}.with_{backend}") is not None


def load(room, backend):
    return importlib.import_module(f"minidl_kernels.{room}.with_{backend}")


FILES = [(room, backend) for room in rooms() for backend in BACKENDS if has_file(room, backend)]
ALL = [
    pytest.param(room, backend, case, dtype, id=f"{room}-{backend}-{case.name.replace(' ', '_')}-{dtype}")
    for room, backend in FILES
    for case in cases_of(room)
    for dtype in case.dtypes
]


def library(backend):
    """Where the arrays of a backend live: on the GPU, if there is one."""
    return importlib.import_module("cupy") if backend in ("cupy", "triton") and gpu_is_available() else np


def to_numpy(array):
    return np.asarray(array.get() if hasattr(array, "get") else array)


@contextmanager
def poisoned(xp):
    """``empty`` and ``empty_like`` give memory full of NaN (whole numbers: full of -77)."""
    before = xp.empty, xp.empty_like

    def filled(make):
        def poison(*args, **kwargs):
            array = make(*args, **kwargs)
            array.fill(np.nan if array.dtype.kind in "fV" else 77)
            return array

        return poison

    xp.empty, xp.empty_like = map(filled, before)
    try:
        yield
    finally:
        xp.empty, xp.empty_like = before


def call(case, backend, room, dtype):
    xp = library(backend)
    arrays = {k: arranged(xp, v, dtype, case.layout) for k, v in case.arrays.items()}
    module = load(room, backend)
    with np.errstate(all="ignore"):
        if backend == "numba":
            case.run(module, **arrays, **case.settings)  # so that Numba sees NumPy's own functions when it compiles
        with poisoned(xp):
            return case.run(module, **arrays, **case.settings)


def to_torch(value, dtype):
    if isinstance(value, (list, tuple)):
        return type(value)(to_torch(v, dtype) for v in value)
    if not isinstance(value, np.ndarray):
        return value
    return torch.tensor(value.astype(dtype).astype(np.float64) if value.dtype == np.float64 else value)


def flat(values):
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from flat(value)
        elif value is not None:
            yield value


def assert_close(ours, theirs, dtype, factor, scale, what):
    """Within ``factor`` rounding errors of the type, measured at the size of the largest finite value."""
    ours, theirs = to_numpy(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape, what
    if ours.dtype.kind not in "fV":
        np.testing.assert_array_equal(ours, theirs, err_msg=what)
        return
    finite = np.abs(theirs[np.isfinite(theirs)])
    scale = max(scale, finite.max() if finite.size else 1.0)
    error = factor * max(ROUNDING[dtype], np.finfo(np.float64).eps)
    np.testing.assert_allclose(
        ours.astype(np.float64), theirs.astype(np.float64), rtol=error, atol=error * scale + 1e-300, err_msg=what
    )


@pytest.mark.parametrize(("room", "backend", "case", "dtype"), ALL)
def test_kernel_agrees_with_pytorch_and_the_reference(room, backend, case, dtype):
    ours = list(flat(call(case, backend, room, DTYPES[dtype])))
    if case.reference is not None:
        theirs = [t.detach().numpy() for t in flat(case.reference(torch, **to_torch_all(case, dtype), **case.settings))]
        assert len(ours) >= len(theirs)
        for i, (a, b) in enumerate(zip(ours, theirs)):
            assert_close(a, b, dtype, case.factor, case.scale, f"result {i} against PyTorch in float64")
    if backend != "numpy":
        reference = list(flat(call(case, "numpy", room, DTYPES[dtype])))
        assert len(ours) == len(reference)
        for i, (a, b) in enumerate(zip(ours, reference)):
            assert to_numpy(a).dtype == b.dtype, f"result {i}: its type is not the reference's"
            assert_close(a, b, dtype, 2 * case.factor, case.scale, f"result {i} against the NumPy reference")


def to_torch_all(case, dtype):
    return {k: to_torch(v, DTYPES[dtype]) for k, v in case.arrays.items()}


@pytest.mark.parametrize(("room", "backend", "case", "dtype"), ALL[::7])
def test_the_same_inputs_give_the_same_bits(room, backend, case, dtype):
    first, second = (list(flat(call(case, backend, room, DTYPES[dtype]))) for _ in range(2))
    for a, b in zip(first, second):
        assert to_numpy(a).tobytes() == to_numpy(b).tobytes()


@pytest.mark.parametrize(("room", "backend"), [f for f in FILES if f[1] != "numpy"])
def test_every_file_has_the_references_functions_and_signatures(room, backend):
    reference = importlib.import_module(f"minidl_kernels.{room}.with_numpy")
    module = load(room, backend)
    for name in getattr(reference, "__all__", None) or own_functions(reference):
        assert inspect.signature(getattr(module, name)) == inspect.signature(getattr(reference, name)), name


def own_functions(module):
    """The public functions that a module defines itself."""
    functions = inspect.getmembers(module, inspect.isfunction)
    return [n for n, f in functions if f.__module__ == module.__name__ and not n.startswith("_")]


def test_every_room_with_a_file_for_another_backend_has_cases():
    package = importlib.import_module("minidl_kernels")
    found = {f.parent.name for p in package.__path__ for f in Path(p).glob("*/with_*.py") if f.stem != "with_numpy"}
    assert found <= set(rooms())
