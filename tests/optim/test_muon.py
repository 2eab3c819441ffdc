"""Muon and Adafactor: what PyTorch cannot be asked to the last bit, and sizes at which it fails."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import minidl
from minidl import optim
from minidl.optim.muon import orthogonalise

SETTINGS = [
    {},
    {"lr": 0.1, "nesterov": False, "momentum": 0.5, "weight_decay": 0.0},
    {"adjust_lr_fn": "match_rms_adamw", "ns_steps": 3, "ns_coefficients": (2.0, -1.5, 0.5)},
    {"adjust_lr_fn": "original", "eps": 1e-3, "weight_decay": 0.5},
]
SHAPES = [(3, 4), (5, 2), (4, 4), (1, 6)]


def by_hand(x, gradients, lr=1e-3, weight_decay=0.1, momentum=0.95, nesterov=True, ns_coefficients=(3.4445, -4.775, 2.0315),
            eps=1e-7, ns_steps=5, adjust_lr_fn=None):  # fmt: skip
    """The rule in float64, through singular values: the iteration is a polynomial of each of them."""
    b = np.zeros_like(x)
    a1, a3, a5 = ns_coefficients
    for g in gradients:
        b = momentum * b + (1 - momentum) * g
        towards = momentum * b + (1 - momentum) * g if nesterov else b
        u, s, vt = np.linalg.svd(towards, full_matrices=False)
        s = s / max(np.sqrt((s**2).sum()), eps)
        for _ in range(ns_steps):
            s = a1 * s + a3 * s**3 + a5 * s**5
        m, n = x.shape
        length = 0.2 * max(m, n) ** 0.5 if adjust_lr_fn == "match_rms_adamw" else max(1, m / n) ** 0.5
        x = x * (1 - lr * weight_decay) - lr * length * (u * s) @ vt
    return x


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: "-".join(s) or "default")
@pytest.mark.parametrize("shape", SHAPES)
def test_muon(settings, shape):
    rng = np.random.default_rng(0)
    start, gradients = rng.standard_normal(shape), rng.standard_normal((6, *shape))
    ours, theirs = minidl.tensor(start, requires_grad=True), torch.tensor(start, requires_grad=True)
    optimizers = optim.Muon([ours], **settings), torch.optim.Muon([theirs], **settings)
    for g in gradients:
        ours.grad, theirs.grad = minidl.tensor(g), torch.tensor(g)
        for optimizer in optimizers:
            optimizer.step()
    np.testing.assert_allclose(ours.detach().numpy(), by_hand(start, gradients, **settings), rtol=1e-9, atol=1e-12)
    moved = np.abs(ours.detach().numpy() - start).max()
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), atol=0.15 * moved)  # theirs in bfloat16
    state, other = (optimizer.state_dict() for optimizer in optimizers)
    assert state["param_groups"] == other["param_groups"]
    np.testing.assert_allclose(
        state["state"][0]["momentum_buffer"].numpy(), other["state"][0]["momentum_buffer"].numpy(), rtol=1e-12
    )


@pytest.mark.parametrize("shape", [(8, 5), (5, 8), (1, 3), (3, 0)])
def test_orthogonalise_brings_singular_values_near_one(shape):
    matrix = minidl.tensor(np.random.default_rng(1).standard_normal(shape) * 100)._data
    u = orthogonalise(matrix)
    assert u.shape == shape
    values = np.linalg.svd(u, compute_uv=False)
    assert ((values > 0.6) & (values < 1.25)).all()
    assert (u * matrix).sum() >= 0.6 * np.linalg.svd(matrix, compute_uv=False).sum()


def test_muon_is_for_matrices():
    with pytest.raises(ValueError, match="only supports 2D parameters whereas we found a parameter with size"):
        optim.Muon([minidl.ones(3, requires_grad=True)])
    with pytest.raises(ValueError, match="ns_steps must be less than 100"):  # PyTorch says so at the first step
        optim.Muon([minidl.ones(2, 2, requires_grad=True)], ns_steps=100)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("Muon", {"lr": -1}, "learning rate"),
        ("Muon", {"momentum": -1}, "momentum"),
        ("Muon", {"weight_decay": -1}, "weight decay"),
        ("Muon", {"adjust_lr_fn": "none"}, "is not supported"),
        ("Adafactor", {"lr": -1}, "learning rate"),
        ("Adafactor", {"beta2_decay": 0.1}, "beta2_decay"),
        ("Adafactor", {"eps": (-1.0, 0.1)}, "epsilon1"),
        ("Adafactor", {"eps": (None, -0.1)}, "epsilon2"),
        ("Adafactor", {"d": 0.5}, "threshold d"),
        ("Adafactor", {"weight_decay": -0.1}, "weight_decay"),
    ],
)
def test_settings_out_of_range(name, settings, message):
    for library, at in ((minidl, optim), (torch, torch.optim)):
        with pytest.raises(ValueError, match=message if library is minidl else None):
            getattr(at, name)([library.ones(2, 2, requires_grad=True)], **settings)


def test_parameters_of_no_elements():
    for kind in (optim.Muon, optim.Adafactor):
        parameter = minidl.ones(0, 3, requires_grad=True)
        parameter.grad = minidl.ones(0, 3)
        kind([parameter]).step()
        assert parameter.shape == (0, 3)


def test_adafactor_keeps_the_sides_of_a_matrix():
    parameter = minidl.ones(40, 30, requires_grad=True)
    parameter.grad = minidl.ones(40, 30)
    optimizer = optim.Adafactor([parameter])
    optimizer.step()
    assert sum(value.numel() for value in optimizer.state[parameter].values()) == 1 + 40 + 30
