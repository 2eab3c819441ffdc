"""The commands that show and measure: backends, kernels, bench."""

from __future__ import annotations

import json

import pytest

from minidl import backends
from minidl.bench import ceilings, pages
from minidl_kernels import compile_check
from tests.cli.test_cli import invoke, screens  # noqa: F401 (a fixture)


def test_backends():
    code, text = invoke("backends")
    assert code == 0
    for name in backends.CHAINS:
        assert name in text
    assert "In use: numpy" in text


def test_kernels_list():
    code, text = invoke("kernels", "list")
    assert code == 0
    for room in backends.rooms():
        assert room in text
    assert "Softmax and its logarithm along one axis" in text


def test_kernels_show():
    code, text = invoke("kernels", "show", "softmax")
    assert code == 0, text
    for word in (
        "m = max x",
        "Shapes:",
        "FLOP/byte",
        "backward",
        "with_numpy.py",
        "def forward(x: Any, log: bool = False)",
    ):
        assert word in text
    code, text = invoke("kernels", "show", "softmax", "--backend", "triton")
    assert "with_numpy.py" not in text
    assert "@triton.jit" in text
    assert "extern" in invoke("kernels", "show", "softmax", "--backend", "cupy")[1]


def test_kernels_show_mistakes(monkeypatch):
    code, text = invoke("kernels", "show", "softmx")
    assert code == 1
    assert "did you mean 'softmax'" in text
    monkeypatch.setattr(backends, "files", lambda room: ["numpy"])
    assert "softmax has no triton file" in invoke("kernels", "show", "softmax", "--backend", "triton")[1]
    assert "unknown backend" in invoke("kernels", "show", "softmax", "--backend", "jax")[1]


def made(target, spilled=0, shared=0):
    return compile_check.Compiled("softmax", "triton", "softmax_forward", "BLOCK=128", target, 32, spilled, shared)


def test_kernels_check(monkeypatch):
    calls = []
    monkeypatch.setattr(pages, "gpu_files", lambda rooms: [("softmax", "triton")])
    monkeypatch.setattr(compile_check, "check", lambda *a: calls.append(a) or [made(a[2])])
    code, text = invoke("kernels", "check", "softmax", "--timeout", 7)
    assert code == 0, text
    assert calls == [("softmax", "triton", t, 7) for t in compile_check.TARGETS]
    assert "2 configurations compiled; 0 complaints" in text
    assert "BLOCK=128" in text
    monkeypatch.setattr(compile_check, "check", lambda *a: [made("sm_90", spilled=8), made("sm_80", shared=1 << 20)])
    code, text = invoke("kernels", "check", "--target", "sm_90")
    assert code == 1
    assert "softmax_forward, sm_90: 1 of 1 configurations spill registers, up to 8 bytes" in text
    assert "sm_80: wants up to 1048576 bytes of shared memory, and there are 166912" in text
    monkeypatch.setattr(compile_check, "check", lambda *a: [made("sm_90")])
    assert "BLOCK=128" not in invoke("kernels", "check", "--target", "sm_90", "--unfit")[1]

    def fail(*args):
        raise RuntimeError("softmax: triton kernels for sm_90 do not compile")

    monkeypatch.setattr(compile_check, "check", fail)
    code, text = invoke("kernels", "check", "--target", "sm_90")
    assert code == 1
    assert "do not compile" in text
    assert "unknown target 'sm_1'" in invoke("kernels", "check", "--target", "sm_1")[1]


def test_one_kernel_truly_compiles():
    found, wrong = pages.check(["softmax"], ["sm_90"])
    assert not wrong
    assert {m.backend for m in found} == {"cupy", "triton"}
    assert all(m.registers > 0 for m in found)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(ceilings, "measure", lambda device, dtype="float32": ceilings.Ceilings("cpu", 1e10, 1e11, 1e-6))
    from minidl.bench import cases

    monkeypatch.setitem(cases.SIZES, "softmax", {kind: [(4, 37)] for kind in ("tiny", "cpu", "cuda")})


@pytest.mark.parametrize("words", [["softmax"], ["kernels", "softmax"], ["--runs", "1", "softmax"]])
def test_bench_kernels(quick, tmp_path, words):
    save, folder = tmp_path / "r.json", tmp_path / "plots"
    code, text = invoke("bench", *words, "--runs", 2, "--backends", "numpy", "--save", save, "--plots", folder)
    assert code == 0, text
    assert "softmax" in text
    assert "µs" in text
    assert {row["backend"] for row in json.loads(save.read_text())["rows"]} == {"numpy"}
    assert (folder / "roofline-cpu.png").exists()
    code, text = invoke("bench", "compare", save, save)
    assert code == 0, text
    assert "Geometric mean 1.00" in text


def test_bench_against_torch(quick):
    code, text = invoke("bench", "softmax", "--backends", "numpy", "--against", "torch", "--runs", 2)
    assert code == 0, text
    assert "PyTorch's time (geometric mean of 2 cases)" in text


def test_bench_mistakes(tmp_path):
    assert "nothing to measure in 'softmx'" in invoke("bench", "softmx")[1]
    assert "--dtype knows" in invoke("bench", "softmax", "--dtype", "int8")[1]
    code, text = invoke("bench", "compare", tmp_path / "a.json", tmp_path / "b.json")
    assert code == 1
    assert "a.json" in text
    (tmp_path / "a.json").write_text("{}")
    assert "holds no results" in invoke("bench", "compare", tmp_path / "a.json", tmp_path / "a.json")[1]
