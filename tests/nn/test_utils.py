"""Clipping gradients, and parameters as one vector, against PyTorch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import minidl
from minidl import nn

SHAPES = [(3, 4), (5,), (), (0, 2), (2, 1, 3)]


def both(scale=1.0, dtype="float64", missing=True):
    rng = np.random.default_rng(0)
    ours, theirs = [], []
    for i, shape in enumerate(SHAPES):
        value, grad = rng.normal(size=shape), rng.normal(size=shape) * scale
        for library, into in ((minidl, ours), (torch, theirs)):
            kind = getattr(library, dtype)
            p = library.tensor(value, dtype=kind, requires_grad=True)
            p.grad = None if missing and i == 1 else library.tensor(grad, dtype=kind)
            into.append(p)
    return ours, theirs


def check_grads(ours, theirs, rtol=1e-6):
    for a, b in zip(ours, theirs):
        assert (a.grad is None) == (b.grad is None)
        if a.grad is not None:
            np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=rtol)


@pytest.mark.parametrize("norm_type", [2, 2.0, 1, 0.5, 3, math.inf, 0])
@pytest.mark.parametrize("max_norm", [0.1, 3, 1e9, 0])
def test_clip_grad_norm(norm_type, max_norm):
    ours, theirs = both()
    if norm_type == math.inf:  # PyTorch refuses an empty gradient here
        ours[3].grad = theirs[3].grad = None
    a = nn.utils.clip_grad_norm_(ours, max_norm, norm_type)
    b = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)
    np.testing.assert_allclose(a.item(), b.item(), rtol=1e-6)
    check_grads(ours, theirs)


def test_one_tensor_a_generator_and_float32():
    ours, theirs = both(dtype="float32")
    nn.utils.clip_grad_norm_(ours[0], 0.5)
    torch.nn.utils.clip_grad_norm_(theirs[0], 0.5)
    total = nn.utils.clip_grad_norm_((p for p in ours), 0.5)
    assert total.dtype is minidl.float32
    torch.nn.utils.clip_grad_norm_((p for p in theirs), 0.5)
    check_grads(ours, theirs, 1e-5)


def test_no_gradients_at_all():
    p = minidl.ones(3, requires_grad=True)
    assert nn.utils.clip_grad_norm_([p], 1.0).item() == 0
    assert nn.utils.clip_grad_norm_([], 1.0).item() == 0
    nn.utils.clip_grad_value_([p], 1.0)
    assert p.grad is None


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_not_finite(bad):
    ours, theirs = both()
    ours[0].grad._data[0, 0] = bad
    theirs[0].grad[0, 0] = bad
    with pytest.raises(RuntimeError, match="non-finite"):
        nn.utils.clip_grad_norm_(ours, 1.0, error_if_nonfinite=True)
    with pytest.raises(RuntimeError, match="non-finite"):
        torch.nn.utils.clip_grad_norm_(theirs, 1.0, error_if_nonfinite=True)
    nn.utils.clip_grad_norm_(ours, 1.0)
    torch.nn.utils.clip_grad_norm_(theirs, 1.0)
    check_grads(ours, theirs)


@pytest.mark.parametrize("value", [0.5, 2, 0.0])
def test_clip_grad_value(value):
    ours, theirs = both()
    nn.utils.clip_grad_value_(ours, value)
    torch.nn.utils.clip_grad_value_(theirs, value)
    check_grads(ours, theirs)


def test_the_two_halves_of_clipping():
    ours, theirs = both()
    total = nn.utils.get_total_norm([p.grad for p in ours if p.grad is not None])
    nn.utils.clip_grads_with_norm_(ours, 0.3, total)
    torch.nn.utils.clip_grads_with_norm_(
        theirs, 0.3, torch.nn.utils.get_total_norm([p.grad for p in theirs if p.grad is not None])
    )
    check_grads(ours, theirs)


def test_clipping_counts_as_a_change_in_place():
    (p, *_), _ = both()
    before = p.grad._counter[0]
    nn.utils.clip_grad_norm_(p, 0.1)
    nn.utils.clip_grad_value_(p, 0.01)
    assert p.grad._counter[0] > before


def test_vector_and_back():
    ours, theirs = both()
    vector = nn.utils.parameters_to_vector(ours)
    np.testing.assert_array_equal(vector.detach().numpy(), torch.nn.utils.parameters_to_vector(theirs).detach().numpy())
    (vector * 2).sum().backward()
    assert (ours[4].grad.numpy() != 0).all()
    nn.utils.vector_to_parameters(vector.detach() + 1, ours)
    for a, b in zip(ours, theirs):
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy() + 1)
        assert a.is_leaf
        assert a.requires_grad


def test_vectors_that_do_not_fit():
    ours, _ = both()
    with pytest.raises(TypeError, match="expected a Tensor, but got: list"):
        nn.utils.vector_to_parameters([1.0], ours)
    with pytest.raises(ValueError, match=r"24 values|\d+ values, the vector has shape \[3\]"):
        nn.utils.vector_to_parameters(minidl.ones(3), ours)
