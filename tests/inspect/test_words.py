"""What is said of a rule is true of the numbers at hand."""

from __future__ import annotations

import re

import numpy as np
import pytest

import minidl
from minidl import inspect, nn
from minidl.autograd import Operator
from minidl.inspect.words import _SENTENCES, in_words
from minidl.nn import functional as F


def steps(loss):
    return {step.op.label: step for step in inspect.backward(loss)}


def every_operator(base=Operator):
    for kind in base.__subclasses__():
        yield kind.__name__
        yield from every_operator(kind)


def test_only_operators_that_exist_are_spoken_of():
    assert not set(_SENTENCES) - set(every_operator())


SHAPES = re.compile(r"\[[\d × ]*\]")


def product_of(line):
    """The shapes of a line "A · B → C", and whether they fit."""
    *parts, result = [tuple(map(int, re.findall(r"\d+", s))) for s in SHAPES.findall(line)]
    return np.matmul(*(np.zeros(p) for p in parts)).shape, result


@pytest.mark.parametrize("shape", [(5, 3), (2, 7, 3), (3,), (0, 3)])
def test_shapes_of_a_linear_layer(shape):
    layer = nn.Linear(3, 4)
    x = minidl.randn(*shape, requires_grad=True)
    with inspect.trace():
        loss = layer(x).sum()
    step = steps(loss)["linear"]
    rows = int(np.prod(shape[:-1]))
    lines = {line.split(" =")[0]: line for line in in_words(step)}
    assert product_of(lines["∂x"]) == ((rows, 3), (rows, 3))
    assert product_of(lines["∂W"]) == ((4, 3), (4, 3))
    assert f"over {rows} rows: [{rows} × 4] → [4]" in lines["∂b"]


@pytest.mark.parametrize(("a", "b"), [((2, 3), (3, 4)), ((5, 2, 3), (5, 3, 4)), ((5, 2, 3), (3, 4))])
def test_shapes_of_a_matrix_product(a, b):
    left, right = minidl.randn(*a, requires_grad=True), minidl.randn(*b, requires_grad=True)
    loss = (left @ right).sum()
    step = steps(loss)["matmul"]
    for line, local in zip(in_words(step), step.local):
        made, told = product_of(line)
        assert made == told
        assert told == local.rule_shape or told[-2:] == local.gradient.shape[-2:]


def test_counts_are_right():
    x = minidl.tensor([[-1.0, 2.0, 0.0], [3.0, -4.0, -5.0]], requires_grad=True)
    with inspect.trace():
        loss = x.relu().mean(1).sum() + x.tanh().sum() + (x / 10).sigmoid().sum()
    found = steps(loss)
    assert in_words(found["relu"]) == [
        "Where the input was positive, g passes; elsewhere it is stopped: 4 of 6 elements stop it."
    ]
    assert (found["relu"].local[0].gradient.array == 0).sum() == 4
    assert "counts 1/3 of a mean over 3, so g/3 is spread over [2 × 3]" in in_words(found["mean"])[0]
    slope = 1 - np.tanh(x._data) ** 2
    (said,) = in_words(found["tanh"])
    assert f"{slope.mean():.3g} on average, and below 0.05 at {(slope < 0.05).sum()} of 6" in said
    (said,) = in_words(found["sigmoid"])
    assert "at most 0.25" in said
    assert "below 0.0125 at 0 of 6" in said


def test_without_a_trace_nothing_is_counted():
    x = minidl.randn(4, requires_grad=True)
    y = x * 1
    found = steps((y.relu() + y.tanh()).sum())
    assert in_words(found["relu"]) == ["Where the input was positive, g passes; elsewhere it is stopped."]
    assert in_words(found["tanh"]) == ["The slope is at most 1, and near 0 where the curve is flat."]


def test_dropout_and_cross_entropy():
    x = minidl.randn(6, 4, requires_grad=True)
    with inspect.trace():
        loss = F.cross_entropy(F.dropout(x, 0.2), minidl.tensor([0, 1, 2, 3, 0, 1]))
    found = steps(loss)
    assert "scaled by 1/(1 - 0.2) = 1.25" in in_words(found["dropout"])[0]
    assert "each row of it sums to 0" in in_words(found["cross_entropy"])[0]
    np.testing.assert_allclose(found["cross_entropy"].local[0].gradient.array.sum(1), 0, atol=1e-7)


def test_of_unknown_operators_nothing_is_said():
    class Odd(minidl.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return g

    loss = Odd.apply(minidl.ones(2, requires_grad=True)).sum()
    assert in_words(inspect.backward(loss)[1]) == []


def test_the_explanation_has_it():
    x = minidl.ones(2, requires_grad=True)
    assert "      Every element of a sum counts once" in inspect.backward(x.sum())[0].explain()
