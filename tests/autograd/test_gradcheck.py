"""gradcheck says where a gradient is off, and by how much."""

from __future__ import annotations

import numpy as np
import pytest

import minidl
from minidl.autograd import Function, GradcheckError, gradcheck, gradgradcheck


class OffAtOne(Function):
    """The identity, whose gradient is wrong in element 1 by 0.5."""

    @staticmethod
    def forward(ctx, x):
        return x * 1

    @staticmethod
    def backward(ctx, g):
        return g * minidl.tensor([1.0, 1.5, 1.0], dtype=minidl.float64)


def double(*shape):
    return minidl.tensor(np.random.default_rng(0).uniform(0.5, 2, shape), requires_grad=True)


def test_the_message_says_where_and_by_how_much():
    with pytest.raises(GradcheckError) as error:
        gradcheck(OffAtOne.apply, double(3))
    message = str(error.value)
    for part in ("output 0", "input 0", "1 of 9 elements", "element 1", "(1,)", "1.5", "0.5", "ratio 1.5"):
        assert part in message, message


def test_fast_mode_finds_it_too_and_points_on():
    with pytest.raises(GradcheckError, match=r"(?s)random directions.*Run without fast_mode"):
        gradcheck(OffAtOne.apply, double(3), fast_mode=True)
    assert not gradcheck(OffAtOne.apply, double(3), raise_exception=False)


def test_a_wrong_second_order_is_found():
    class First(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 3 * (x * x).detach() * g  # right, but a constant to the second order

    assert gradcheck(First.apply, double(3))
    with pytest.raises(GradcheckError):
        gradgradcheck(First.apply, double(3))


def test_right_gradients_pass():
    assert gradcheck(lambda x, y: x.exp() * y, (double(2, 3), double(3)))
    assert gradgradcheck(lambda x, y: x.exp() * y, (double(2, 3), double(3)))
    assert gradcheck(lambda x: (x.sum(), x * 2), double(0, 3))
    x = double(3)
    assert gradgradcheck(lambda a, b: a * b, (x, x))
    assert gradgradcheck(lambda a: a * a, x, minidl.ones(3, dtype=minidl.float64, requires_grad=True))


def test_a_dependence_that_the_tape_does_not_see_is_reported():
    with pytest.raises(GradcheckError, match="does not require grad"):
        gradcheck(lambda x: (x * 2, x.detach() * 3), double(3))


def test_a_backward_that_varies_is_reported():
    state = {"n": 0}

    class Random(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            state["n"] += 1
            return g * (1 + 1e-3 * state["n"])

    with pytest.raises(GradcheckError, match="not reentrant"):
        gradcheck(Random.apply, double(2))


def test_inputs_are_checked():
    with pytest.raises(ValueError, match="at least one input"):
        gradcheck(minidl.exp, minidl.ones(2))
    with pytest.warns(UserWarning, match=r"Input #0 is .*float32"):
        gradcheck(minidl.exp, minidl.ones(2, requires_grad=True), raise_exception=False)
