"""The operators that run on kernels, over the table's samples, on every backend: values and gradients in float32 as
NumPy's in float64. (tests/test_operators.py compares all operators with PyTorch, on NumPy.)"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

import minidl
from minidl import backends
from minidl.autograd import grad
from minidl.tensor import Tensor, wrap
from tests.table import TABLE
from tests.table.run import cast, map_arrays, map_dtypes, minidl_arguments, outputs_of, resolve

THROUGH_MODULES = {"adam", "sgd", "rnn", "gru", "lstm"}  # no functions of the table: see test_training_steps.py


def reaching():
    """The operators that call kernels, and of which rooms."""
    found = defaultdict(set)
    for op in TABLE.values():
        backends._observers[:] = [lambda room, module, name=op.name: found[name].add(room) or module]
        try:
            for sample in op.all_samples():
                args, kwargs, _ = minidl_arguments(sample)
                resolve(minidl, op.name)(*args, **kwargs)
        finally:
            backends._observers.clear()
    return dict(found)


REACHING = reaching()
# Random numbers of another type are others, so that random results cannot be compared; dropout's mask is the same.
COMPARABLE = [name for name in REACHING if TABLE[name].compare == "values" or name == "nn.functional.dropout"]
CASES = [
    (backend, name)
    for backend in backends.CHAINS
    for name in COMPARABLE
    if backend != "numpy" and any(backend in backends.files(room) for room in REACHING[name])
]


def run(op, sample, dtype):
    """Values and gradients of a sample whose numbers are rounded to float32, computed in ``dtype``, as NumPy arrays."""
    leaves, where = [], backends.device_type()

    def convert(array, differentiable):
        tensor = wrap(cast(cast(array, "float32"), dtype) if array.dtype.kind == "f" else array).to(where)
        if differentiable:
            leaves.append(tensor.requires_grad_())
        return tensor

    args, kwargs = (map_dtypes(map_arrays(v, convert), minidl) for v in (list(sample.args), sample.kwargs))
    minidl.manual_seed(0)
    made = [y for y in outputs_of(resolve(minidl, op.name)(*args, **kwargs)) if isinstance(y, Tensor)]
    found = [y.detach().cpu().numpy() for y in made]
    made = [y for y in made if y.requires_grad]
    if made:
        rng = np.random.default_rng(0)
        cotangents = [wrap(rng.standard_normal(tuple(y.shape)).astype(np.float32)).to(where, y.dtype) for y in made]
        gradients = grad(made, leaves, cotangents, allow_unused=True, materialize_grads=True)
        found += [g.detach().cpu().numpy() for g in gradients]
    return found


@pytest.mark.parametrize(("backend", "name"), CASES)
def test_values_and_gradients_are_numpys_in_float64(backend, name):
    op = TABLE[name]
    for sample in op.all_samples():
        expected, single = run(op, sample, "float64"), run(op, sample, "float32")
        with minidl.use_backend(backend):
            found = run(op, sample, "float32")
        assert len(found) == len(expected)
        for i, (ours, theirs, rounded) in enumerate(zip(found, expected, single)):
            finite = np.isfinite(theirs) & np.isfinite(rounded)
            # 2e-5 of the largest value; more where float32 does not know the answer better (a variance at a large mean).
            error = 2e-5 * max(1.0, np.abs(theirs[finite]).max(initial=0.0))
            error += 4 * np.abs(theirs[finite] - rounded[finite]).max(initial=0.0)
            np.testing.assert_allclose(
                ours, theirs, rtol=2e-5, atol=error, err_msg=f"{sample.name}: result {i}, gradients last"
            )


def test_every_room_is_reached():
    assert set().union(*REACHING.values()) | THROUGH_MODULES == set(backends.rooms())
