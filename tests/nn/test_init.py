"""Initial values: their distributions, their bounds, their structure, and PyTorch's errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import minidl
from minidl.nn import init

SHAPE = (40, 30, 3, 3)
FANS = (30 * 9, 40 * 9)


def filled(name, *args, shape=SHAPE, **kwargs):
    return getattr(init, name)(
        minidl.empty(*shape), *args, generator=minidl.Generator().manual_seed(0), **kwargs
    ).numpy()


def test_it_works_in_place_off_the_tape_and_from_a_generator():
    x = minidl.zeros(3, 4, requires_grad=True)
    assert init.normal_(x) is x
    assert x.is_leaf
    assert x.requires_grad
    minidl.manual_seed(1)
    a = init.uniform_(minidl.empty(5))
    minidl.manual_seed(1)
    assert (init.uniform_(minidl.empty(5)) == a).all()
    drawn = [init.normal_(minidl.empty(5), generator=minidl.Generator().manual_seed(s)) for s in (3, 3, 4)]
    assert (drawn[0] == drawn[1]).all()
    assert (drawn[0] != drawn[2]).any()


@pytest.mark.parametrize("gain", [1.0, 2.5])
def test_variances(gain):
    both = math.sqrt(2 / sum(FANS)) * gain
    bound = math.sqrt(3) * both
    x = filled("xavier_uniform_", gain)
    assert abs(x).max() <= bound
    np.testing.assert_allclose([x.std(), abs(x).max()], [both, bound], rtol=0.02)
    np.testing.assert_allclose(filled("xavier_normal_", gain).std(), both, rtol=0.02)


@pytest.mark.parametrize("mode", ["fan_in", "fan_out"])
@pytest.mark.parametrize(
    ("nonlinearity", "a", "gain"),
    [("relu", 0, math.sqrt(2)), ("leaky_relu", 0.2, math.sqrt(2 / 1.04)), ("linear", 0, 1), ("tanh", 0, 5 / 3)],
)
def test_kaiming(mode, nonlinearity, a, gain):
    std = gain / math.sqrt(FANS[mode == "fan_out"])
    for name in ("kaiming_normal_", "kaiming_uniform_"):
        np.testing.assert_allclose(filled(name, a, mode, nonlinearity).std(), std, rtol=0.02)


def test_plain_distributions():
    x = filled("uniform_", -1, 3)
    assert -1 <= x.min() < x.max() <= 3
    np.testing.assert_allclose([x.mean(), x.std()], [1, 4 / math.sqrt(12)], rtol=0.05)
    x = filled("normal_", 2, 0.5)
    np.testing.assert_allclose([x.mean(), x.std()], [2, 0.5], rtol=0.05)
    x = filled("trunc_normal_", 0, 1, -1, 0.5)
    assert -1 <= x.min() < x.max() <= 0.5
    theirs = torch.nn.init.trunc_normal_(torch.empty(SHAPE), 0, 1, -1, 0.5).numpy()
    np.testing.assert_allclose([x.mean(), x.std()], [theirs.mean(), theirs.std()], atol=0.03)


@pytest.mark.parametrize(
    ("name", "args", "shape"),
    [
        ("constant_", (3.5,), (2, 3)),
        ("ones_", (), (2, 3)),
        ("zeros_", (), (0, 3)),
        ("eye_", (), (2, 4)),
        ("eye_", (), (4, 2)),
        *[("dirac_", (g,), s) for g in (1, 2) for s in [(4, 2, 3), (4, 3, 3, 2), (2, 4, 3, 3, 3), (6, 2, 4)]],
    ],
)
def test_fixed_values_are_pytorchs(name, args, shape):
    theirs = getattr(torch.nn.init, name)(torch.full(shape, 7.0), *args)
    ours = getattr(init, name)(minidl.full(shape, 7.0), *args)
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


@pytest.mark.parametrize("shape", [(5, 5), (3, 7), (7, 3), (4, 2, 3), (10, 2, 2)])
def test_orthogonal(shape):
    x = filled("orthogonal_", 2.0, shape=shape).reshape(shape[0], -1).astype(np.float64)
    square = x @ x.T if x.shape[0] <= x.shape[1] else x.T @ x
    np.testing.assert_allclose(square, 4 * np.eye(len(square)), atol=1e-5)


def test_sparse():
    x = filled("sparse_", 0.25, 2.0, shape=(20, 50))
    assert ((x == 0).sum(0) == 5).all()
    np.testing.assert_allclose(x[x != 0].std(), 2, rtol=0.1)


@pytest.mark.parametrize(
    "case", ["sigmoid", "linear", "conv1d", "conv2d", "conv_transpose3d", "tanh", "relu", "leaky_relu", "selu"]
)
def test_gains(case):
    assert init.calculate_gain(case) == pytest.approx(torch.nn.init.calculate_gain(case))
    assert init.calculate_gain("leaky_relu", 0.3) == pytest.approx(torch.nn.init.calculate_gain("leaky_relu", 0.3))


@pytest.mark.parametrize(
    ("name", "args", "shape"),
    [
        ("eye_", (), (3,)),
        ("dirac_", (), (3, 3)),
        ("dirac_", (2,), (3, 3, 3)),
        ("xavier_uniform_", (), (3,)),
        ("xavier_normal_", (), (3,)),
        ("kaiming_uniform_", (0, "fan_mid"), (3, 3)),
        ("kaiming_normal_", (0, "fan_in", "swish"), (3, 3)),
        ("orthogonal_", (), (3,)),
        ("sparse_", (0.1,), (3, 3, 3)),
    ],
)
def test_errors_are_pytorchs(name, args, shape):
    with pytest.raises(ValueError, match=r".") as theirs:
        getattr(torch.nn.init, name)(torch.empty(shape), *args)
    with pytest.raises(type(theirs.value), match=r"\w"):
        getattr(init, name)(minidl.empty(*shape), *args)


def test_warnings():
    with pytest.warns(UserWarning, match="zero-element"):
        init.kaiming_uniform_(minidl.empty(0, 3))
    with pytest.warns(UserWarning, match="more than 2 std"):
        init.trunc_normal_(minidl.empty(3), 10.0, 1.0, -1.0, 1.0)
