"""Normalisation where the textbook formula fails: large means, half precision, no variance."""

from __future__ import annotations

import numpy as np
import pytest

import minidl
import minidl.nn.functional as F

LARGE = 1e4  # a mean that large leaves float32 three decimals, and its square none


def naive_variance(x, axis):
    """E[x²] - E[x]²: cancels at a large mean."""
    return (x * x).mean(axis) - x.mean(axis) ** 2


@pytest.fixture
def shifted():
    noise = np.random.default_rng(0).standard_normal((64, 256))
    return (noise + LARGE).astype("float32")


def reference(x, axis):
    x = x.astype("float64")
    return (x - x.mean(axis, keepdims=True)) / np.sqrt(x.var(axis, keepdims=True) + 1e-5)


def test_layer_norm_at_a_large_mean(shifted):
    naive = (shifted - shifted.mean(1, keepdims=True)) / np.sqrt(np.maximum(naive_variance(shifted, 1), 0) + 1e-5)[
        :, None
    ]
    assert abs(naive - reference(shifted, 1)).max() > 1
    ours = F.layer_norm(minidl.from_numpy(shifted), (256,)).numpy()
    np.testing.assert_allclose(ours, reference(shifted, 1), atol=2e-3)


@pytest.mark.parametrize("layout", ["rows", "positions"])
def test_batch_norm_at_a_large_mean(shifted, layout):
    assert abs(naive_variance(shifted, 0) - shifted.astype("float64").var(0)).max() > 1
    x = minidl.from_numpy(shifted if layout == "rows" else np.ascontiguousarray(shifted.T)[None])
    ours = F.batch_norm(x, None, None, training=True).numpy()
    ours = ours if layout == "rows" else ours[0].T
    np.testing.assert_allclose(ours, reference(shifted, 0), atol=2e-3)


def test_half_precision_sums_in_single():
    x = np.full((4, 4096), 40.0, "float16")
    x[:, ::2] = -40.0
    with np.errstate(over="ignore"):
        assert np.isinf((x * x).sum(1, dtype="float16")).all()  # 6.5 million: beyond float16's 65504
    half = minidl.from_numpy(x)
    for y in (F.layer_norm(half, (4096,)), F.rms_norm(half, (4096,)), F.group_norm(half, 1)):
        np.testing.assert_allclose(y.numpy(), np.sign(x), atol=1e-3)
    batch = F.batch_norm(half.T.contiguous(), None, None, training=True)
    np.testing.assert_allclose(batch.numpy(), np.sign(x).T, atol=1e-3)


def test_a_row_without_variance_is_zero_and_so_is_its_gradient():
    x = minidl.full((2, 8), 3.0, requires_grad=True)
    y = F.layer_norm(x, (8,))
    assert y.abs().max().item() == 0
    y.sum().backward()
    assert np.isfinite(x.grad.numpy()).all()


def test_normalize_of_a_zero_vector_is_zero():
    x = minidl.zeros(1, 4, requires_grad=True)
    with np.errstate(invalid="ignore"):
        assert np.isnan(np.zeros(4) / np.linalg.norm(np.zeros(4))).all()
    y = F.normalize(x)
    y.sum().backward()
    assert y.abs().sum().item() == 0
    assert np.isfinite(x.grad.numpy()).all()
