"""Activations where the textbook formula fails: large arguments, masks, half precision; beside the naive form."""

from __future__ import annotations

import numpy as np
import pytest

import minidl
import minidl.nn.functional as F

BIG = 1e4


@pytest.fixture(autouse=True)
def quiet():
    with np.errstate(all="ignore"):
        yield


def gradient(function, x):
    t = minidl.tensor(x, requires_grad=True)
    function(t).sum().backward()
    return t.grad.numpy()


def test_softmax_of_large_numbers():
    x = np.array([BIG, BIG - 1, -BIG], "float32")
    assert np.isnan(np.exp(x) / np.exp(x).sum()).any()
    expected = [1 / (1 + np.exp(-1)), np.exp(-1) / (1 + np.exp(-1)), 0]
    np.testing.assert_allclose(F.softmax(minidl.tensor(x), 0).numpy(), expected, rtol=1e-6)
    assert np.isfinite(gradient(lambda t: F.softmax(t, 0) ** 2, x)).all()


def test_log_softmax_of_large_numbers():
    x = np.array([BIG, 0.0, -BIG], "float32")
    softmax = F.softmax(minidl.tensor(x), 0).numpy()
    assert np.isinf(np.log(softmax)).any()
    np.testing.assert_allclose(F.log_softmax(minidl.tensor(x), 0).numpy(), [0, -BIG, -2 * BIG], rtol=1e-6)
    assert np.isfinite(gradient(lambda t: F.log_softmax(t, 0), x)).all()


def test_softmax_with_masked_places():
    x = minidl.tensor([[1.0, -np.inf, 1.0], [-np.inf, -np.inf, -np.inf]])
    y = F.softmax(x, 1).numpy()
    np.testing.assert_array_equal(y[0], [0.5, 0, 0.5])
    assert np.isnan(y[1]).all(), "a row without any place has no softmax, as in PyTorch"
    assert F.log_softmax(x, 1).numpy()[0, 1] == -np.inf


def test_softmax_in_float16():
    x = np.full(4096, 12.0, "float16")
    assert np.isinf(np.exp(x)).any()
    np.testing.assert_array_equal(F.softmax(minidl.tensor(x), 0).numpy(), np.float16(1 / 4096))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_softplus_and_logsigmoid(dtype):
    x = np.array([-BIG, -20.0, 0.0, 20.0, BIG], dtype)
    assert np.isinf(np.log(1 + np.exp(x))).any()
    assert np.isinf(np.log(1 / (1 + np.exp(-x)))).any()
    wide = x.astype("float64")
    softplus = np.logaddexp(wide, 0)
    rtol = {"float16": 2e-3, "float32": 1e-6, "float64": 1e-8}[dtype]
    np.testing.assert_allclose(F.softplus(minidl.tensor(x)).numpy(), softplus, rtol=rtol, atol=1e-7)
    np.testing.assert_allclose(F.logsigmoid(minidl.tensor(x)).numpy(), wide - softplus, rtol=rtol, atol=1e-7)
    np.testing.assert_allclose(gradient(F.softplus, x)[[0, 2, 4]], [0, 0.5, 1])
    np.testing.assert_allclose(gradient(F.logsigmoid, x)[[0, 2, 4]], [1, 0.5, 0])


@pytest.mark.parametrize("function", [F.gelu, lambda x: F.gelu(x, approximate="tanh"), F.silu, F.mish])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_gates_at_the_ends(function, dtype):
    x = np.array([-BIG, BIG], dtype)
    naive = x * np.exp(x) / (1 + np.exp(x))
    assert np.isnan(naive[1])
    np.testing.assert_array_equal(function(minidl.tensor(x)).numpy(), [0, x[1]])
    np.testing.assert_array_equal(gradient(function, x), [0, 1])


def test_gelu_of_small_negative_tails():
    x = np.float64(-8)
    erf = minidl.erf(minidl.tensor(x / np.sqrt(2))).item()
    naive = 0.5 * x * (1 + erf)
    exact = -8 * 6.220960574271785e-16
    assert abs(naive / exact - 1) > 1e-3
    assert F.gelu(minidl.tensor(x)).item() == pytest.approx(exact, rel=1e-10)


def test_relu_keeps_the_memory_layout():
    array = np.ascontiguousarray(np.random.default_rng(0).standard_normal((2, 4, 5, 3))).transpose(0, 3, 1, 2)
    x = minidl.from_numpy(array).requires_grad_()
    y = F.relu(x)
    assert y._data.strides == array.strides
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), (array > 0).astype(array.dtype))
