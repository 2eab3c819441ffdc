"""The one command for a GPU: it says what it needs, goes on past what fails, and tells what came of the goals."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from minidl import backends
from minidl.bench import ceilings, gpu, kernels, results, steps


def test_without_a_gpu(monkeypatch):
    monkeypatch.setattr(backends, "cuda_is_available", lambda: False)
    with pytest.raises(RuntimeError, match="needs a CUDA GPU, and CuPy"):
        gpu.run()


@pytest.mark.skipif(backends.cuda_is_available(), reason="there is a GPU: it would measure for minutes")
def test_the_command_without_a_gpu():
    made = subprocess.run([sys.executable, "-m", "minidl.bench.gpu"], capture_output=True, text=True, check=False)
    assert made.returncode == 1
    assert made.stderr.startswith("Error: this needs a CUDA GPU")
    assert "bench-gpu:" in Path("Makefile").read_text()


def row(room, backend, seconds, dtype="float32", share=0.5, elements=10):
    name = "triton" if backend == "triton" else backend
    return results.Row(
        room,
        "forward",
        str(elements),
        elements,
        dtype,
        backend,
        name,
        seconds,
        0.0,
        5,
        100,
        1000,
        "memory",
        share,
        "bytes",
    )


def a_run():
    rows = [row("softmax", "triton", 1.0, share=0.2, elements=5), row("softmax", "triton", 1.0, share=0.9)]
    rows += [row("adam", "triton", 1.0, share=0.5)]
    rows += [row("matmul", b, s, "bfloat16") for b, s in (("triton", 2.0), ("torch", 1.8))]
    return results.Results(rows, {"cuda float32": ceilings.Ceilings("cuda", 1e12, 1e13, 1e-6)}, {"gpu": "a GPU"})


def test_goals():
    sentences = gpu.verdicts(a_run())
    assert len(sentences) == len(gpu.GOALS)
    by_room = {goal.room: sentence for goal, sentence in zip(gpu.GOALS, sentences)}
    assert by_room["softmax"].startswith("reached")  # the largest size counts
    assert by_room["softmax"].endswith("it is 90%")
    assert by_room["adam"].startswith("missed")
    assert by_room["matmul"].endswith("of cuBLAS's speed; it is 90%")
    assert by_room["lstm"].startswith("not measured")


def test_it_writes_and_reports_failures(monkeypatch, tmp_path, capsys):
    found = a_run()
    monkeypatch.setattr(gpu, "run", lambda rooms, keep: found)
    assert gpu.main(str(tmp_path / "out")) == 0
    assert results.load(tmp_path / "out" / "results.json") == found
    assert (tmp_path / "out" / "float32" / "times-softmax.png").exists()
    assert (tmp_path / "out" / "float32" / "roofline-cuda.png").exists()
    found.failures.append("softmax, (4, 37), float32: broke")
    assert gpu.main(str(tmp_path / "out")) == 1
    assert "failed        softmax" in capsys.readouterr().out


def test_every_type_is_measured(monkeypatch):
    asked = []

    def run(rooms, names, against, dtype, say, keep_going):
        say("softmax")
        asked.append((dtype, names, "softmax" in rooms, "adam" in rooms, keep_going))
        return results.Results([row("softmax", "triton", 1.0, dtype)], {"cuda": ceilings.Ceilings("cuda", 1, 1, 1)})

    monkeypatch.setattr(backends, "cuda_is_available", lambda: True)
    monkeypatch.setattr(results, "here", dict)
    monkeypatch.setattr(kernels, "run", run)
    asked_steps = []

    def measure(names, torch, ceilings):
        asked_steps.append(names)
        raise MemoryError("too large")

    monkeypatch.setattr(steps, "measure", measure)
    said = []
    kept = []
    found = gpu.run(say=said.append, keep=lambda found: kept.append(len(found.rows)))
    assert kept == [1, 2, 3]
    both = ["cupy", "triton"]
    assert asked == [
        ("float32", both, True, True, True),
        *((d, both, True, False, True) for d in ("bfloat16", "float16")),
    ]
    assert list(found.ceilings) == ["cuda float32", "cuda bfloat16", "cuda float16"]
    assert "softmax, bfloat16" in said
    assert asked_steps == [["triton"]]
    asked.clear()
    gpu.run(["adam"], say=said.append)
    assert [dtype for dtype, *_ in asked] == ["float32"]
    assert found.failures == ["a training step of GPT-2 small: MemoryError: too large"]


def test_one_failure_does_not_stop_the_rest(monkeypatch):
    monkeypatch.setattr(ceilings, "measure", lambda device, dtype="float32": ceilings.Ceilings("cpu", 1e10, 1e11, 1e-6))
    whole = kernels.measure

    def measure(room, *rest):
        if room == "softmax":
            raise MemoryError("too large")
        return whole(room, *rest)

    monkeypatch.setattr(kernels, "measure", measure)
    found = kernels.run(["softmax", "layer_norm"], ["numpy"], runs=1, sizes="tiny", keep_going=True)
    assert found.failures == ["softmax, (4, 37), float32: MemoryError: too large"]
    assert {r.room for r in found.rows} == {"layer_norm"}
    with pytest.raises(MemoryError):
        kernels.run(["softmax"], ["numpy"], runs=1, sizes="tiny")
