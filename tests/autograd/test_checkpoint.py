"""utils.checkpoint: the same gradients with less memory, at the price of a second forward."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.autograd import grad
from minidl.utils.checkpoint import checkpoint, checkpoint_sequential


def double(*shape, seed=0):
    return minidl.tensor(np.random.default_rng(seed).standard_normal(shape), requires_grad=True)


def block(x, w):
    return (x @ w).tanh() * x.sin()


def test_gradients_are_those_of_the_plain_program():
    x, w = double(3, 4), double(4, 4, seed=1)
    expected = grad(block(block(x, w), w).sum(), (x, w))
    found = grad(checkpoint(block, checkpoint(block, x, w), w).sum(), (x, w))
    for a, b in zip(found, expected):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_parameters_that_the_function_closes_over_get_their_gradients():
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    x = minidl.randn(3, 4)
    model(x).sum().backward()
    expected = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    checkpoint(model, x).sum().backward()
    for p, e in zip(model.parameters(), expected):
        np.testing.assert_array_equal(p.grad.numpy(), e.numpy())


def test_second_order():
    x, w = double(3, 4), double(4, 4, seed=1)

    def penalty(program):
        (g,) = grad(program(x, w).sum(), x, create_graph=True)
        return grad((g**2).sum(), (x, w))

    for a, b in zip(penalty(lambda x, w: checkpoint(block, x, w)), penalty(block)):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12)


def test_dropout_draws_the_same_numbers_again():
    x = minidl.ones(1000, requires_grad=True)
    minidl.manual_seed(3)
    y = checkpoint(lambda t: nn.functional.dropout(t, 0.5), x)
    after = minidl.rand(3).tolist()
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())
    minidl.manual_seed(3)
    nn.functional.dropout(x, 0.5)
    assert minidl.rand(3).tolist() == after, "checkpointing must not disturb the random numbers that follow"


def test_memory_is_that_of_one_segment():
    def deep(x):
        for _ in range(50):
            x = x.sin()
        return x

    def peak(run):
        x = minidl.rand(2**16, requires_grad=True)
        tracemalloc.start()
        try:
            run(x).sum().backward()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    def plain(x):
        for _ in range(8):
            x = deep(x)
        return x

    def segmented(x):
        for _ in range(8):
            x = checkpoint(deep, x)
        return x

    assert peak(segmented) < 0.25 * peak(plain)


def test_sequential_in_segments():
    model = nn.Sequential(*[nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(5)])
    x = minidl.randn(2, 4, requires_grad=True)
    np.testing.assert_array_equal(checkpoint_sequential(model, 3, x).detach().numpy(), model(x).detach().numpy())
    (g,) = grad(checkpoint_sequential(model, 3, x).sum(), x)
    (e,) = grad(model(x).sum(), x)
    np.testing.assert_array_equal(g.numpy(), e.numpy())
    with pytest.raises(ValueError, match=r"between 1 and the 5"):
        checkpoint_sequential(model, 6, x)


def test_without_gradients_it_is_the_function():
    x = minidl.ones(2)
    with minidl.no_grad():
        assert checkpoint(minidl.exp, x).tolist() == x.exp().tolist()
    assert not checkpoint(minidl.exp, x).requires_grad
    a, b = checkpoint(lambda t: (t + 1, t * 2), double(2))
    assert a.requires_grad
    assert b.requires_grad


def test_inputs_are_guarded():
    x = double(2)
    y = checkpoint(lambda t: t.exp(), x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()
    h = x * 1
    z = checkpoint(lambda t: t.exp(), h).sum()
    h.add_(1)
    with pytest.raises(RuntimeError, match="argument 0 of checkpoint"):
        z.backward()
