"""Dropout: the share that is dropped, the mean that stays, and a gradient that is the mask."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minidl
import minidl.nn.functional as F
from minidl.autograd import grad

N = 200_000


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_statistics_and_gradient(p):
    minidl.manual_seed(0)
    x = minidl.ones(N).requires_grad_()
    y = F.dropout(x, p)
    share = float((y == 0).float().mean())
    assert abs(share - p) < 5 * math.sqrt(p * (1 - p) / N)
    values = np.unique(y.detach().numpy())
    np.testing.assert_allclose(values, [0, 1 / (1 - p)], rtol=1e-6)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())


def test_gradient_of_the_gradient():
    minidl.manual_seed(0)
    x = minidl.rand(50, dtype=minidl.float64).requires_grad_()
    y = F.dropout(x, 0.4)
    mask = (y / x).detach()
    (first,) = grad((y * y).sum(), x, create_graph=True)
    (second,) = grad(first.sum(), x)
    np.testing.assert_allclose(second.numpy(), (2 * mask * mask).numpy(), rtol=1e-12)


@pytest.mark.parametrize(
    ("function", "shape"),
    [
        (F.dropout1d, (40, 30, 5)),
        (F.dropout1d, (600, 5)),
        (F.dropout2d, (40, 30, 3, 4)),
        (F.dropout2d, (40, 30, 4)),
        (F.dropout3d, (40, 30, 2, 2, 3)),
        (F.dropout3d, (600, 2, 2, 3)),
    ],
)
def test_channels_are_dropped_as_a_whole(function, shape):
    minidl.manual_seed(0)
    y = function(minidl.ones(shape), 0.3).numpy()
    axes = (
        (-1,) if function is F.dropout1d or len(shape) == 3 else (-2, -1) if function is F.dropout2d else (-3, -2, -1)
    )
    assert np.all(y.min(axes) == y.max(axes))
    assert abs((y == 0).mean() - 0.3) < 0.1


def test_alpha_dropout_keeps_mean_and_variance():
    minidl.manual_seed(0)
    y = F.alpha_dropout(minidl.randn(N), 0.3, training=True)
    assert abs(float(y.mean())) < 0.02
    assert abs(float(y.std()) - 1) < 0.02


def test_all_and_none():
    x = minidl.rand(5)
    assert F.dropout(x, 0.5, training=False) is x
    np.testing.assert_array_equal(F.dropout(x, 1.0).numpy(), np.zeros(5))


def test_in_place():
    x = minidl.ones(1000)
    assert F.dropout(x, 0.5, inplace=True) is x
    assert set(np.unique(x.numpy())) == {0.0, 2.0}


def test_the_seed_decides():
    x = minidl.ones(100)
    minidl.manual_seed(7)
    first = F.dropout(x).numpy()
    minidl.manual_seed(7)
    np.testing.assert_array_equal(first, F.dropout(x).numpy())
