"""Reductions where the naive form fails: each test shows that it does, and that minidl's does not."""

from __future__ import annotations

import warnings

import ml_dtypes
import numpy as np
import pytest

import minidl
from minidl import linalg
from minidl.autograd import grad
from minidl.tensor import wrap


@pytest.fixture(autouse=True)
def _quiet_naive_forms():
    """The naive forms overflow on purpose."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def tensor(values, dtype="float64"):
    return wrap(np.asarray(values, dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shift", [1e4, -1e4])
def test_logsumexp_far_from_0(shift, dtype):
    x = np.array([shift, shift + 1, shift + 2], dtype)
    naive = np.log(np.exp(x).sum())
    assert np.isinf(naive)
    expected = shift + np.log(np.exp([0.0, 1.0, 2.0]).sum())
    assert minidl.logsumexp(wrap(x), 0).item() == pytest.approx(expected, rel=1e-6)
    assert minidl.logcumsumexp(wrap(x), 0)[-1].item() == pytest.approx(expected, rel=1e-6)


def test_gradient_of_logsumexp_far_from_0_is_the_softmax():
    x = wrap(np.array([1e4, 1e4 + 1.0])).requires_grad_()
    (g,) = grad(minidl.logsumexp(x, 0), x)
    softmax = np.exp([0.0, 1.0]) / np.exp([0.0, 1.0]).sum()
    np.testing.assert_allclose(g._data, softmax)


@pytest.mark.parametrize("function", [minidl.logsumexp, lambda x, dim: minidl.logcumsumexp(x, dim)[..., -1]])
def test_logsumexp_of_infinities(function):
    inf = np.inf
    x = np.array([[-inf, -inf], [-inf, 1.0], [inf, 1.0], [inf, -inf]])
    shifted = x - x.max(axis=1, keepdims=True)  # the textbook shift: inf - inf
    assert np.isnan(np.log(np.exp(shifted).sum(axis=1)))[[0, 2, 3]].all()
    np.testing.assert_array_equal(function(wrap(x), 1)._data, [-inf, 1.0, inf, inf])


@pytest.mark.parametrize(("dtype", "mean"), [("float64", 1e8), ("float32", 1e4)])
def test_variance_at_a_large_mean(dtype, mean):
    x = (mean + np.tile([-1.0, 0.0, 1.0, 2.0], 1000)).astype(dtype)
    naive = (x * x).mean() - x.mean() ** 2
    assert abs(naive - 1.25) > 0.1
    assert minidl.var(wrap(x), correction=0).item() == pytest.approx(1.25, rel=1e-5)
    assert minidl.std(wrap(x), correction=0).item() == pytest.approx(1.25**0.5, rel=1e-5)


def test_float16_sum_whose_steps_overflow():
    x = np.full(60, 3e4, np.float16) * np.tile([1, 1, 1, -1, -1, -1], 10).astype(np.float16)
    naive = np.float16(0)
    for value in x:
        naive = naive + value
    assert not np.isfinite(naive)
    assert minidl.sum(wrap(x)).item() == 0


def test_float16_mean_whose_sum_overflows():
    x = np.full((3, 1000), 100, np.float16)
    naive = x.sum(axis=1, dtype=np.float16) / np.float16(1000)
    assert np.isinf(naive).all()
    np.testing.assert_array_equal(minidl.mean(wrap(x), 1)._data, np.full(3, 100, np.float16))


@pytest.mark.parametrize(("dtype", "stuck"), [(np.float16, 2048), (ml_dtypes.bfloat16, 256)])
def test_half_precision_sum_does_not_stick(dtype, stuck):
    x = np.ones((4096, 2), dtype)
    naive = dtype(0)
    for value in x[:, 0]:
        naive = dtype(naive + value)
    assert float(naive) == stuck  # adding 1 no longer changes it
    assert [float(v) for v in minidl.sum(wrap(x), 0)._data] == [4096, 4096]
    assert [float(v) for v in minidl.cumsum(wrap(x), 0)._data[-1]] == [4096, 4096]
    assert [float(v) for v in minidl.mean(wrap(x), 0)._data] == [1, 1]


@pytest.mark.parametrize("p", [2, 3, 2.5])
@pytest.mark.parametrize(
    ("dtype", "size"), [("float64", 1e200), ("float64", 1e-200), ("float32", 1e25), ("float32", 1e-30)]
)
def test_norm_of_what_leaves_the_range_when_raised_to_a_power(p, dtype, size):
    x = np.array([3.0, -4.0, 0.0], dtype) * np.array(size, dtype)
    naive = (abs(x) ** p).sum() ** (1 / p)
    assert naive == 0 or np.isinf(naive)
    expected = size * (3.0**p + 4.0**p) ** (1 / p)
    assert linalg.vector_norm(wrap(x), p).item() == pytest.approx(expected, rel=1e-5)


def test_norm_scales_each_line_by_itself():
    x = np.array([[3e200, 4e200], [3e-200, 4e-200], [3.0, 4.0], [0.0, 0.0], [np.inf, 1.0]])
    np.testing.assert_allclose(minidl.norm(wrap(x), dim=1)._data, [5e200, 5e-200, 5, 0, np.inf])
    np.testing.assert_allclose(minidl.norm(wrap(x.T), dim=0, keepdim=True)._data, [[5e200, 5e-200, 5, 0, np.inf]])


def test_gradient_of_a_norm_that_overflows_when_squared():
    x = wrap(np.array([3e200, -4e200])).requires_grad_()
    (g,) = grad(minidl.norm(x), x)
    np.testing.assert_allclose(g._data, [0.6, -0.8])


def test_float16_norm_is_computed_in_float32():
    x = np.array([300.0, 400.0], np.float16)
    assert np.isinf(np.sqrt((x * x).sum()))
    assert minidl.norm(wrap(x)).item() == 500


def test_distances_of_near_points():
    a = np.array([[1e8, 1e8]])
    b = a + np.array([[3e-3, 4e-3]])
    naive = np.sqrt(np.maximum((a * a).sum() + (b * b).sum() - 2 * (a * b).sum(), 0))
    assert abs(naive - 5e-3) > 1e-3
    assert minidl.cdist(wrap(a), wrap(b)).item() == pytest.approx(5e-3, rel=1e-5)


def test_gradient_of_prod_divides_by_nothing():
    x = wrap(np.array([2.0, 0.0, 5.0])).requires_grad_()
    naive = x._data.prod() / x._data
    assert np.isnan(naive[1])
    (g,) = grad(minidl.prod(x), x)
    np.testing.assert_array_equal(g._data, [0.0, 10.0, 0.0])
