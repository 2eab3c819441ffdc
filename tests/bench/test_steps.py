"""The language model of the GPU benchmark computes the same in both libraries."""

from __future__ import annotations

import pytest
import torch

import minidl
from minidl.bench import ceilings, steps

TINY = steps.Size(layers=2, width=16, heads=2, vocabulary=29, batch=2, tokens=8)


def test_both_libraries_take_the_same_steps():
    ours, theirs = steps.training(minidl, "cpu", TINY, half=False), steps.training(torch, "cpu", TINY, half=False)
    for _ in range(3):
        assert ours().item() == pytest.approx(theirs().item(), rel=1e-4)


def test_it_is_measured_and_compared():
    rows = steps.measure(["numpy"], torch, ceilings.Ceilings("cpu", 1e10, 1e11, 1e-6), runs=1, size=TINY)
    assert [row.backend for row in rows] == ["numpy", "torch"]
    assert all(row.seconds > 0 for row in rows)


def test_different_losses_are_refused(monkeypatch):
    losses = {minidl: torch.tensor(1.0), torch: torch.tensor(2.0)}
    monkeypatch.setattr(steps, "training", lambda library, *rest: lambda: losses[library])
    with pytest.raises(RuntimeError, match="first losses differ"):
        steps.measure(["numpy"], torch, ceilings.Ceilings("cpu", 1, 1, 1), size=TINY)


def test_gpt2_small_has_124_million_parameters():
    assert steps.GPT2.parameters == pytest.approx(124e6, rel=0.01)
    assert steps.GPT2.flops == pytest.approx(6 * 124e6 * 4096, rel=0.1)
