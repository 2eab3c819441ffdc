"""Choosing backends: for good, for a block, by operator; what is missing is named, and what runs can be seen."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest

import minidl
from minidl import backends
from minidl.autograd import devices, tape


@pytest.fixture(autouse=True)
def as_it_was():
    before = backends._default
    yield
    backends._default = before


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(backends, "cuda_is_available", lambda: False)
    monkeypatch.setattr(backends, "_announced", set())


def without(monkeypatch, *packages):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name in packages else found(name, *a))


def python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )


def test_for_good_and_for_a_block():
    assert backends.get_backend() == "numpy"
    with minidl.use_backend("numba"):
        assert backends.get_backend() == "numba"
        with minidl.use_backend("numpy"):
            assert backends.get_backend() == "numpy"
        assert backends.get_backend() == "numba"
        minidl.use_backend("numpy")  # for good, but no longer than the block
        assert backends.get_backend() == "numpy"
    assert backends.get_backend() == "numpy"
    minidl.use_backend("numba")
    assert backends.get_backend() == "numba"


def test_for_good_holds_in_threads_and_a_block_does_not():
    def seen():
        found = []
        thread = threading.Thread(target=lambda: found.append(backends.get_backend()))
        thread.start()
        thread.join()
        return found[0]

    minidl.use_backend("numba")
    assert seen() == "numba"
    with minidl.use_backend("numpy"):
        assert seen() == "numba"


def test_an_error_in_a_block_restores():
    with pytest.raises(KeyError), minidl.use_backend("numba"):
        raise KeyError
    assert backends.get_backend() == "numpy"


def test_single_operators(no_gpu, capsys):
    with minidl.use_backend("triton", softmax="numpy"):
        assert backends.kernel("softmax").__name__ == "minidl_kernels.softmax.with_numpy"
        assert backends.implementation("softmax") == "numpy"
    with minidl.use_backend("numpy", softmax="triton"):
        assert backends.kernel("softmax").__name__ == "minidl_kernels.softmax.with_triton"
        assert backends.kernel("matmul").__name__ == "minidl_kernels.matmul.with_numpy"


def test_unknown_names():
    with pytest.raises(ValueError, match=r"unknown backend 'jax'; choose one of numpy, numba"):
        minidl.use_backend("jax")
    with pytest.raises(ValueError, match=r"unknown backend 'jax'"):
        minidl.use_backend("numpy", softmax="jax")
    with pytest.raises(ValueError, match=r"no operator 'softmaxx'.*did you mean 'softmax'\?.*matmul"):
        minidl.use_backend("numpy", softmaxx="numba")
    with pytest.raises(ValueError, match="no operator"):
        backends.implementation("nothing")
    assert backends.get_backend() == "numpy"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("cuda", r"choose one of numpy, .*triton\. On a GPU it is 'cupy' \(CUDA C\) or 'triton'.*device='cuda'"),
        ("cuda:0", "On a GPU it is 'cupy'"),
        ("GPU", "On a GPU it is 'cupy'"),
        (minidl.device("cuda"), "On a GPU it is 'cupy'"),
        ("cpu", "On the CPU it is 'numpy', or 'numba'"),
        ("jit", "Compiled loops are 'numba'"),
        ("mps", "NVIDIA's alone"),
        ("NumPy", r"did you mean 'numpy'\?"),
        ("trition", r"did you mean 'triton'\?"),
        (None, r"unknown backend None; choose one of numpy, numba, cupy, triton$"),
    ],
)
def test_what_was_meant_by_a_backend(name, meant):
    with pytest.raises(ValueError, match=meant):
        minidl.use_backend(name)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("gpu", r"did you mean 'cuda'\?"),
        ("triton", r"'triton' is a backend, minidl\.use_backend\('triton'\)"),
        ("mps:0", "NVIDIA's alone"),
        ("table", "got 'table'$"),
    ],
)
def test_what_was_meant_by_a_device(name, meant):
    with pytest.raises(RuntimeError, match=meant):
        minidl.zeros(2, device=name)


def test_the_environment_chooses():
    code = "import minidl; print(minidl.get_backend())"
    assert python(code, MINIDL_BACKEND="numba").stdout == "numba\n"
    assert python(code, MINIDL_BACKEND="").stdout == "numpy\n"
    wrong = python(code, MINIDL_BACKEND="jax").stderr
    assert "unknown backend 'jax'" in wrong
    assert "MINIDL_BACKEND asks for it" in wrong


def test_numba_missing(monkeypatch):
    without(monkeypatch, "numba")
    with pytest.raises(ModuleNotFoundError, match=r"Numba is not installed.*-m pip install 'minidl\[jit\]'"):
        minidl.use_backend("numba")
    assert {row.name: row.state for row in backends.table()}["numba"] == "missing"


def test_triton_missing(monkeypatch, no_gpu):
    without(monkeypatch, "triton")
    with pytest.raises(ModuleNotFoundError, match=r"Triton is not installed.*minidl\[gpu\]"):
        minidl.use_backend("triton")


def test_no_compiler(monkeypatch, no_gpu):
    monkeypatch.setattr(backends.shutil, "which", lambda name: None)
    with pytest.raises(RuntimeError, match=r"g\+\+ is needed.*apt install g\+\+"):
        minidl.use_backend("cupy")
    minidl.use_backend("triton")  # its chain goes round CUDA C
    assert backends._resolve("softmax", "triton") == "triton"
    files = backends.files
    monkeypatch.setattr(backends, "files", lambda room: [f for f in files(room) if f != "triton"])
    assert backends._resolve("softmax", "triton") == "numpy"
    assert backends.implementation("softmax").startswith("numpy (no triton file, CuPy ")


@pytest.mark.parametrize("name", ["cupy", "triton"])
def test_emulation_is_said_once(no_gpu, capsys, name):
    for _ in range(3):
        with minidl.use_backend(name):
            assert backends.device_type() == "cpu"
    said = capsys.readouterr().err
    assert said.count("emulated") == 1
    assert "slower" in said


def test_triton_is_emulated_though_pytorch_imported_it_before():
    code = """
import sys, torch
parameter = torch.ones(2, requires_grad=True)
optimizer = torch.optim.Adam([parameter])
import triton, minidl
before = triton
with minidl.use_backend("triton"):
    print(minidl.softmax(minidl.ones(2, 4), -1).tolist()[0])
parameter.sum().backward()
optimizer.step()
assert before.language is not sys.modules["triton"].language
"""
    made = python(code, CUDA_VISIBLE_DEVICES="")
    assert made.stdout == "[0.25, 0.25, 0.25, 0.25]\n", made.stderr


def test_a_fallback_is_seen(monkeypatch):
    files = backends.files
    monkeypatch.setattr(backends, "files", lambda room: [f for f in files(room) if f != "numba"])
    with minidl.use_backend("numba"):
        assert backends.implementation("softmax") == "numpy (no numba file)"
    assert backends.implementation("softmax") == "numpy"


def test_the_table():
    rows = {row.name: row for row in backends.table()}
    assert list(rows) == list(backends.CHAINS)
    assert rows["numpy"].state == "available"
    assert rows["numpy"].version == np.__version__
    for row in rows.values():
        assert (row.state == "available") == (not row.remedy)


def test_without_a_gpu_cuda_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(backends, "cuda_is_available", lambda: False)
    for attempt in (
        lambda: minidl.ones(2, device="cuda"),
        lambda: minidl.ones(2).to("cuda"),
        minidl.nn.Linear(2, 2).cuda,
    ):
        with pytest.raises(RuntimeError, match=r"CuPy .*device='cpu'"):
            attempt()


# ------------------------------------------------------------------------- as on a GPU, with arrays that say they are on one


class Sum(tape.Operator):
    """y = x + y."""

    def forward(self, x, y):
        return x + y


class OnCuda(np.ndarray):
    """A NumPy array that says it lives on a GPU."""

    __module__ = "cupy"
    device = SimpleNamespace(id=0)

    def get(self):
        return self.view(np.ndarray)


@pytest.fixture
def gpu(monkeypatch):
    library = SimpleNamespace(asarray=lambda a: np.asarray(a).view(OnCuda))
    monkeypatch.setattr(backends, "cuda_is_available", lambda: True)
    monkeypatch.setattr(
        backends, "device_of", lambda a: backends.device("cuda", 0) if isinstance(a, OnCuda) else backends.CPU
    )
    monkeypatch.setattr(backends, "namespace", lambda a: library if isinstance(a, OnCuda) else np)
    monkeypatch.setattr(backends, "namespace_for", lambda where: library if where != "cpu" else np)
    monkeypatch.setattr(tape, "_around", [])
    devices.watch()
    devices.watch()
    assert tape._around == [devices.guard]


def on_cuda(*shape):
    return tape.wrap(np.ones(shape).view(OnCuda))


def test_mixed_devices_are_refused_by_name(gpu):
    with pytest.raises(
        RuntimeError, match=r"same device, .*cpu and cuda:0: \w+ got x \(3,\) on cuda:0, y \(3,\) on cpu"
    ):
        tape.apply(Sum(), on_cuda(3), tape.wrap(np.ones(3)))
    assert tape.apply(Sum(), on_cuda(3), on_cuda(3)).tolist() == [2, 2, 2]
    assert tape.apply(Sum(), on_cuda(3), tape.wrap(np.array(1.0))).tolist() == [
        2,
        2,
        2,
    ]  # a number may come from anywhere


def test_a_full_gpu_says_what_would_help(gpu):
    class OutOfMemoryError(MemoryError):
        pass

    class Large(tape.Operator):
        def forward(self, x):
            raise OutOfMemoryError("allocating 5 bytes")

    with pytest.raises(minidl.cuda.OutOfMemoryError, match=r"in Large, forward: allocating 5 bytes.*batch smaller"):
        tape.apply(Large(), on_cuda(3))


def test_kernels_go_by_the_arrays_device(gpu):
    ran = []
    mine = SimpleNamespace(__name__="mine", forward=lambda x, n=0: ran.append("mine"))
    chosen = backends._ByDevice("softmax", "triton", mine)  # type: ignore[arg-type]
    chosen._reference = SimpleNamespace(forward=lambda x, n=0: ran.append("reference"))  # type: ignore[assignment]
    chosen.forward(np.ones(2))
    chosen.forward(np.ones(2).view(OnCuda), n=1)
    chosen.forward([np.ones(2)])
    assert ran == ["reference", "mine", "reference"]
    assert isinstance(backends._select("softmax", "numba"), backends._ByDevice)


def test_a_gpu_that_is_not_there_or_not_current(monkeypatch):
    runtime = SimpleNamespace(getDevice=lambda: 0, getDeviceCount=lambda: 2)
    library = SimpleNamespace(cuda=SimpleNamespace(runtime=runtime))
    monkeypatch.setitem(sys.modules, "cupy", library)
    monkeypatch.setattr(backends, "cuda_is_available", lambda: True)
    called = []
    monkeypatch.setattr(backends, "_on_cuda", [lambda: called.append(1)])
    assert backends.namespace_for("cuda") is library
    assert backends.namespace_for("cuda:0") is library
    assert called == [1]
    with pytest.raises(RuntimeError, match=r"has 2 GPUs, and minidl computes on the current one, 'cuda:0'.*DEVICES=1"):
        backends.namespace_for("cuda:1")


def test_a_gpu_backend_makes_tensors_there(monkeypatch):
    monkeypatch.setattr(backends, "cuda_is_available", lambda: True)
    assert backends.device_type("triton") == "cuda"
    assert backends.device_type("numba") == "cpu"
    assert backends.device_type() == "cpu"
