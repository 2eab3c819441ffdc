"""The benchmark compares like with like, and says so."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from minidl.bench import cpu


@pytest.mark.parametrize("name", [name for name in cpu.CASES if name != "Adam, 10 M"])
def test_both_libraries_compute_the_same(name):
    row = cpu.measure(name, "torch", repeats=1)  # raises if the losses differ
    assert row.minidl > 0
    assert row.torch > 0
    assert row.ratio == row.minidl / row.torch
    assert row.best_ratio == row.minidl / row.best


def test_each_in_a_process_of_its_own(capsys):
    (row,) = cpu.run("torch", ["tiny MLP step"], repeats=2, backend="numba")
    assert row.minidl > 0
    assert row.torch > 0
    assert row.best > 0
    assert "numba backend" in capsys.readouterr().out.replace("\n", " ")
    (row,) = cpu.run(None, ["tiny MLP step"], repeats=1, backend="numba", apart=False)
    assert row.torch is None


def test_a_process_that_ends(monkeypatch, capfd):
    with pytest.raises(RuntimeError, match="ended with code 1"):
        cpu.Apart("no such case", "minidl", "numpy")


def test_the_table_is_printed(capsys):
    rows = cpu.run(cases=["tiny MLP step"], repeats=2)
    assert rows[0].torch is None
    assert rows[0].ratio is None
    text = capsys.readouterr().out
    assert "tiny MLP step" in text
    assert "0.7" in text


def test_wrong_arguments():
    with pytest.raises(ValueError, match="jax"):
        cpu.run(against="jax")
    with pytest.raises(ValueError, match=r"unknown case 'tiny'.*ConvNet step"):
        cpu.run(cases=["tiny"])


def test_different_losses_are_refused(monkeypatch):
    monkeypatch.setitem(cpu.CASES, "odd", (lambda library: lambda: 1.0 if library is torch else 2.0, None))
    with pytest.raises(RuntimeError, match="nothing to compare"):
        cpu.measure("odd", "torch", repeats=1)


def test_torch_is_imported_only_when_asked_for():
    code = "import sys, minidl.bench.cpu; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_goals():
    assert cpu.goal("tiny MLP step", "numba") == 0.6
    assert cpu.goal("tiny MLP step", "numpy") == 0.7
    assert cpu.goal("cross-entropy", "numpy") is None
    assert set(cpu.NUMPY_GOALS) <= set(cpu.CASES)
