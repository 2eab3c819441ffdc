"""User-defined operators."""

from __future__ import annotations

import numpy as np
import pytest

import minidl
from minidl.autograd import Function, grad, gradcheck, gradgradcheck


class Cube(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 3 * x * x * g


class ScaledAdd(Function):
    @staticmethod
    def forward(ctx, a, b, scale):
        ctx.scale = scale
        return a + scale * b

    @staticmethod
    def backward(ctx, g):
        return g, ctx.scale * g if ctx.needs_input_grad[1] else None, None


class Split(Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2, x * 3

    @staticmethod
    def backward(ctx, a, b):
        return 2 * a + 3 * b


class WithSetup(Function):
    @staticmethod
    def forward(x, power):
        return x**power

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, ctx.power = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * ctx.power * x ** (ctx.power - 1), None


def double(*shape):
    return minidl.tensor(np.random.default_rng(0).uniform(0.5, 2, shape), requires_grad=True)


def test_gradients_of_both_orders():
    assert gradcheck(Cube.apply, double(3, 2))
    assert gradgradcheck(Cube.apply, double(3, 2))
    assert gradcheck(lambda x: WithSetup.apply(x, 3), double(4))
    assert gradgradcheck(lambda x: WithSetup.apply(x, 3), double(4))
    assert gradcheck(lambda a, b: ScaledAdd.apply(a, b, 0.7), (double(3), double(3)))
    assert gradcheck(Split.apply, double(3))


def test_the_node_carries_the_class_name():
    y = Cube.apply(double(2))
    assert y.grad_fn.name == "Cube"
    assert not Cube.apply(double(2).detach()).requires_grad


def test_needs_input_grad():
    a = double(2)
    y = ScaledAdd.apply(a, minidl.ones(2, dtype=minidl.float64), 2.0)
    assert y.grad_fn.needs_input_grad == (True, False, False)
    y.sum().backward()
    assert a.grad.tolist() == [1.0, 1.0]


def test_outputs_without_a_gradient_get_zeros_or_none():
    x = double(2)
    a, _ = Split.apply(x)
    a.sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]

    class Raw(Split):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(False)
            return x * 2, x * 3

        @staticmethod
        def backward(ctx, a, b):
            assert b is None
            return 2 * a

    a, _ = Raw.apply(x)
    (g,) = grad(a.sum(), x)
    assert g.tolist() == [2.0, 2.0]


def test_non_differentiable_outputs():
    class Sort(Function):
        @staticmethod
        def forward(ctx, x):
            values, indices = x.sort()
            ctx.mark_non_differentiable(indices)
            ctx.save_for_backward(indices)
            return values, indices

        @staticmethod
        def backward(ctx, g, _):
            (indices,) = ctx.saved_tensors
            return minidl.zeros_like(g).scatter(0, indices, g)

    x = minidl.tensor([3.0, 1.0, 2.0], requires_grad=True)
    values, indices = Sort.apply(x)
    assert values.requires_grad
    assert not indices.requires_grad
    (values * minidl.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert x.grad.tolist() == [3.0, 1.0, 2.0]


def test_changed_in_place():
    class Double(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            x.mul_(2)
            return x

        @staticmethod
        def backward(ctx, g):
            return 2 * g

    x = double(3)
    y = x * 1
    z = Double.apply(y)
    assert z is y
    z.sum().backward()
    assert x.grad.tolist() == [2.0] * 3


def test_an_input_returned_as_it_is_becomes_a_tensor_of_its_own():
    class Identity(Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, g):
            return 10 * g

    x = double(2)
    y = Identity.apply(x)
    assert y is not x
    y.sum().backward()
    assert x.grad.tolist() == [10.0, 10.0]


def test_saved_values_are_freed_and_guarded():
    y = Cube.apply(double(2)).sum()
    y.backward()
    with pytest.raises(RuntimeError, match=r"saved by Cube were freed.*retain_graph"):
        y.backward()
    x = double(2) * 1
    z = Cube.apply(x)
    x.add_(1)
    with pytest.raises(RuntimeError, match=r"input 0 of Cube"):
        z.sum().backward()


def test_wrong_returns_are_named():
    class TooMany(Cube):
        @staticmethod
        def backward(ctx, g):
            return g, g

    with pytest.raises(RuntimeError, match=r"TooMany.backward.*expected 1, got 2"):
        TooMany.apply(double(2)).sum().backward()

    class NotATensor(Cube):
        @staticmethod
        def backward(ctx, g):
            return 1.0

    with pytest.raises(TypeError, match=r"NotATensor.backward must return Tensors or None, got float"):
        NotATensor.apply(double(2)).sum().backward()

    class Shape(Cube):
        @staticmethod
        def backward(ctx, g):
            return g[:1]

    with pytest.raises(RuntimeError, match=r"Shape.*\(1,\).*\(2,\)"):
        Shape.apply(double(2)).sum().backward()
    with pytest.raises(NotImplementedError, match="forward"):
        Function.apply(double(2))


def test_a_wrong_gradient_is_found_by_gradcheck():
    class Wrong(Cube):
        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 2 * x * g

    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        gradcheck(Wrong.apply, double(2))
