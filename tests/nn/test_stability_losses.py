"""Losses at extreme values, each beside the naive form that fails there."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import minidl
import minidl.nn.functional as F
from minidl.autograd import grad

EXTREME = np.array([[1e4, -1e4, 0.0], [-1e4, 1e4, 5e3], [0.0, 0.0, 0.0]])
TARGET = np.array([0, 2, 1])


def both(function, *arrays):
    """Value and gradient of the first argument, minidl's and PyTorch's."""
    ours = [minidl.tensor(a) for a in arrays]
    theirs = [torch.tensor(a) for a in arrays]
    ours[0].requires_grad_()
    theirs[0].requires_grad_()
    y, t = getattr(F, function), getattr(torch.nn.functional, function)

    def run(*args, **kwargs):
        a, b = y(*ours, *args, **kwargs), t(*theirs, *args, **kwargs)
        (g,) = grad(a.sum(), [ours[0]])
        (e,) = torch.autograd.grad(b.sum(), theirs[0])
        return a.detach().numpy(), g.numpy(), b.detach().numpy(), e.numpy()

    return run


def assert_pairs(a, g, b, e, rtol=1e-6):
    np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-12)
    np.testing.assert_allclose(g, e, rtol=rtol, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_of_extreme_logits(dtype, smoothing):
    x = EXTREME.astype(dtype)
    assert_pairs(*both("cross_entropy", x, TARGET)(reduction="none", label_smoothing=smoothing))
    with np.errstate(all="ignore"):
        naive = -np.log(np.exp(x) / np.exp(x).sum(1, keepdims=True))
    assert not np.isfinite(naive[:2]).all()


def test_cross_entropy_of_masked_classes():
    """-inf rules a class out: its probability and gradient are 0. The naive gradient is nan."""
    x = np.array([[-np.inf, 1.0, 2.0], [0.5, -np.inf, -np.inf]])
    a, g, b, e = both("cross_entropy", x, np.array([1, 0]))(reduction="none")
    assert_pairs(a, g, b, e)
    assert np.isfinite(a).all()
    assert g[0, 0] == 0
    naive = minidl.tensor(x, requires_grad=True)
    logs = (naive.exp() / naive.exp().sum(1, keepdim=True)).log()
    (bad,) = grad((logs * minidl.tensor([[0.0, -1.0, 0.0], [-1.0, 0.0, 0.0]], dtype=minidl.float64)).sum(), [naive])
    assert np.isnan(bad.numpy()).any()


def test_cross_entropy_of_an_impossible_target_is_infinite():
    assert_pairs(*both("cross_entropy", np.array([[-np.inf, 1.0]]), np.array([0]))(reduction="none"))


def test_cross_entropy_of_positive_infinity_is_nan_as_in_pytorch():
    a, _, b, _ = both("cross_entropy", np.array([[np.inf, 1.0], [-np.inf, -np.inf]]), np.array([1, 0]))(
        reduction="none"
    )
    np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
    assert np.isnan(a).all()


def test_cross_entropy_in_float16():
    """exp(12) overflows float16 and exp(-18) vanishes; the loss takes neither."""
    x = np.array([[12.0, -18.0, 4.0], [60_000.0, 0.0, -60_000.0]], np.float16)
    a, g, b, e = both("cross_entropy", x, np.array([1, 0]))(reduction="none")
    assert a.dtype == g.dtype == np.float16
    assert_pairs(a, g, b, e, rtol=2e-3)
    with np.errstate(all="ignore"):
        assert np.isinf(np.exp(x)).any()
        assert (np.exp(x) == 0).any()


def test_mean_over_many_samples_in_float16():
    """The sum of 30,000 losses of log 10 leaves float16's range; their mean does not."""
    x, t = np.zeros((30_000, 10), np.float16), np.zeros(30_000, np.int64)
    mean = F.cross_entropy(minidl.tensor(x), minidl.tensor(t))
    assert mean.item() == pytest.approx(np.log(10), rel=1e-3)
    logs = F.log_softmax(minidl.tensor(x), 1)
    assert F.nll_loss(logs, minidl.tensor(t)).item() == pytest.approx(np.log(10), rel=1e-3)
    weight = minidl.tensor(np.full(10, 3, np.float16))
    assert F.nll_loss(logs, minidl.tensor(t), weight).item() == pytest.approx(np.log(10), rel=1e-3)
    losses = F.cross_entropy(minidl.tensor(x), minidl.tensor(t), reduction="none").numpy()
    with np.errstate(over="ignore"):
        assert np.isinf(np.add.reduce(losses, dtype=np.float16))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_bce_with_logits_of_extreme_logits(dtype):
    x = np.array([1e4, -1e4, 1e4, -1e4, 100.0, -100.0], dtype)
    t = np.array([1, 0, 0, 1, 0.5, 0.5], dtype)
    a, g, b, e = both("binary_cross_entropy_with_logits", x, t)(reduction="none")
    assert_pairs(a, g, b, e, rtol=2e-3 if dtype == "float16" else 1e-6)
    assert np.isfinite(a).all()
    assert np.isfinite(g).all()
    with np.errstate(all="ignore"):
        p = 1 / (1 + np.exp(-x))
        assert not np.isfinite(-(t * np.log(p) + (1 - t) * np.log(1 - p))).all()


def test_bce_of_certain_probabilities_is_held_at_one_hundred():
    p, t = np.array([0.0, 1.0, 1.0, 0.0]), np.array([1.0, 0.0, 1.0, 0.0])
    a, g, b, e = both("binary_cross_entropy", p, t)(reduction="none")
    assert_pairs(a, g, b, e)
    np.testing.assert_array_equal(a, [100, 100, 0, 0])
    with np.errstate(all="ignore"):
        assert not np.isfinite(t * np.log(p) + (1 - t) * np.log(1 - p)).all()


def test_kl_div_of_extreme_logarithms():
    logs = np.array([-1e4, -1.0, -0.5])
    a, g, b, e = both("kl_div", logs, np.array([0.0, 0.4, 0.6]))(reduction="none")
    assert_pairs(a, g, b, e)
    assert np.isfinite(a).all()
    assert_pairs(*both("kl_div", logs, np.array([-1e4, -0.7, -0.7]))(reduction="none", log_target=True))
    with np.errstate(all="ignore"):
        assert np.isnan(0.0 * np.log(0.0))  # the term of an impossible outcome, taken at its word


def test_nll_of_minus_infinity():
    """A class of log probability -inf that is ignored leaves the others alone; 0 · inf, the naive mask, does not."""
    x = np.array([[-np.inf, -1.0], [-2.0, -np.inf]])
    assert_pairs(*both("nll_loss", x, np.array([-100, 0]))(reduction="mean"))
    assert_pairs(*both("nll_loss", x, np.array([0, 0]))(reduction="none"))
    with np.errstate(invalid="ignore"):
        assert np.isnan(x[:, 0] * np.array([0.0, 1.0])).any()


def test_soft_margin_does_not_overflow():
    x, t = np.array([200.0, -200.0, 1e4], np.float32), np.array([-1.0, 1.0, -1.0], np.float32)
    y = F.soft_margin_loss(minidl.tensor(x), minidl.tensor(t), reduction="none").numpy()
    np.testing.assert_allclose(y, [200, 200, 1e4])
    with np.errstate(over="ignore"):
        assert np.isinf(np.log1p(np.exp(-t * x))).all()
