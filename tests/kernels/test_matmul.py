"""The matmul room: against the definition, over shapes, strides and element types."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from minidl_kernels import matmul
from minidl_kernels.matmul import with_numpy

rng = np.random.default_rng(0)

SHAPES = [
    ((3, 4), (4, 5)),
    ((2, 3, 4), (4, 5)),
    ((2, 3, 4), (2, 4, 5)),
    ((2, 1, 3, 4), (6, 4, 5)),
    ((3, 4), (2, 4, 5)),
    ((0, 4), (4, 5)),
    ((3, 0), (0, 5)),
    ((2, 3, 0), (0, 5)),
    ((1, 1), (1, 1)),
]


def by_definition(a, b):
    return (a[..., :, :, None] * b[..., None, :, :]).sum(axis=-2)


@pytest.mark.parametrize(("a", "b"), SHAPES)
@pytest.mark.parametrize("bias", [False, True])
def test_forward(a, b, bias):
    x, y = rng.standard_normal(a), rng.standard_normal((*b[:-2], b[-1], b[-2])).swapaxes(-1, -2)
    offset = rng.standard_normal(b[-1]) if bias else None
    expected = by_definition(x, y) + (offset if bias else 0)
    result = with_numpy.forward(x, y, offset)
    assert result.shape == expected.shape
    np.testing.assert_allclose(result, expected, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_16_bit_floats_are_rounded_once(dtype):
    a, b = rng.standard_normal((3, 300)).astype(dtype), rng.standard_normal((300, 2)).astype(dtype)
    result = with_numpy.forward(a, b, np.ones(2, dtype))
    assert result.dtype == dtype
    exact = a.astype(np.float64) @ b.astype(np.float64) + 1
    np.testing.assert_array_equal(result.astype(np.float32), exact.astype(np.float32).astype(dtype).astype(np.float32))


def test_integers_stay_integers():
    a = rng.integers(-9, 9, (3, 4))
    assert with_numpy.forward(a, a.T).dtype == np.int64
    np.testing.assert_array_equal(with_numpy.forward(a, a.T), by_definition(a, a.T))


def test_operands_are_left_alone():
    a, b, bias = np.ones((2, 2)), np.ones((2, 2)), np.ones(2)
    with_numpy.forward(a, b, bias)
    assert (a == 1).all()
    assert (b == 1).all()
    assert (bias == 1).all()


def test_cost():
    assert matmul.flops((3, 4), (4, 5)) == 2 * 3 * 4 * 5
    assert matmul.flops((3, 4), (4, 5), bias=True) == 2 * 3 * 4 * 5 + 15
    assert matmul.flops((2, 1, 3, 4), (6, 4, 5)) == 2 * 12 * 3 * 4 * 5
    assert matmul.nbytes((3, 4), (4, 5)) == 4 * (12 + 20 + 15)
    assert matmul.nbytes((3, 4), (4, 5), bias=True, itemsize=8) == 8 * (12 + 20 + 5 + 15)
