"""Hooks: seeing a gradient on its way, changing it, keeping it."""

from __future__ import annotations

import numpy as np
import pytest

import minidl


def test_a_hook_sees_the_complete_gradient_and_may_replace_it():
    x = minidl.ones(3, requires_grad=True)
    y = x * 2
    seen = []
    y.register_hook(lambda g: seen.append(g.tolist()))
    y.register_hook(lambda g: g * 10)
    (y.sum() + (3 * y).sum()).backward()
    assert seen == [[4.0, 4.0, 4.0]]
    assert x.grad.tolist() == [80.0] * 3


def test_a_hook_on_a_leaf_runs_once_on_the_sum():
    x = minidl.ones(2, requires_grad=True)
    calls = []
    x.register_hook(lambda g: calls.append(g.tolist()) or g / 2)
    (x * 2 + x * 4).sum().backward()
    assert calls == [[6.0, 6.0]]
    assert x.grad.tolist() == [3.0, 3.0]


def test_a_removed_hook_does_not_run():
    x = minidl.ones(2, requires_grad=True)
    handle = x.register_hook(lambda g: g * 100)
    handle.remove()
    handle.remove()
    with x.register_hook(lambda g: g * 2):
        x.sum().backward()
    x.sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]


def test_retain_grad_keeps_an_inner_gradient():
    x = minidl.ones(2, requires_grad=True)
    y = x * 3
    y.retain_grad()
    y.retain_grad()
    (y * y).sum().backward()
    np.testing.assert_array_equal(y.grad.numpy(), [6.0, 6.0])
    assert x.grad.tolist() == [18.0, 18.0]


def test_post_accumulate_hook_sees_the_finished_grad():
    x = minidl.ones(2, requires_grad=True)
    seen = []
    x.register_post_accumulate_grad_hook(lambda t: seen.append(t.grad.tolist()))
    (x * 5).sum().backward()
    assert seen == [[5.0, 5.0]]
    with pytest.raises(RuntimeError, match="non-leaf"):
        (x * 2).register_post_accumulate_grad_hook(print)


def test_hooks_need_a_gradient():
    with pytest.raises(RuntimeError, match="doesn't require gradient"):
        minidl.ones(2).register_hook(print)
    with pytest.raises(RuntimeError, match="retain_grad"):
        minidl.ones(2).retain_grad()


def test_a_hook_under_create_graph_is_part_of_the_graph():
    x = minidl.tensor([2.0], dtype=minidl.float64, requires_grad=True)
    y = x * x
    y.register_hook(lambda g: g * x)
    (g,) = minidl.autograd.grad(y.sum(), x, create_graph=True)  # x · 2x
    (gg,) = minidl.autograd.grad(g.sum(), x)
    assert gg.item() == pytest.approx(8.0)
