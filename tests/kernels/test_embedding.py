"""The embedding: gradients against PyTorch, where they are no derivatives too; shortened rows; the same bits each time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import minidl
import minidl.nn.functional as F
from minidl_kernels.embedding import with_numpy as kernel

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("padding", [None, 0, 2, -1])
@pytest.mark.parametrize("by_frequency", [False, True])
def test_gradient_is_pytorchs(padding, by_frequency):
    index, weight, g = RNG.integers(0, 6, (5, 7)), RNG.standard_normal((6, 3)), RNG.standard_normal((5, 7, 3))
    w, t = minidl.tensor(weight, requires_grad=True), torch.tensor(weight, requires_grad=True)
    F.embedding(minidl.tensor(index), w, padding, scale_grad_by_freq=by_frequency).backward(minidl.tensor(g))
    torch.nn.functional.embedding(torch.tensor(index), t, padding, scale_grad_by_freq=by_frequency).backward(
        torch.tensor(g)
    )
    np.testing.assert_allclose(w.grad.numpy(), t.grad.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0])
def test_rows_are_shortened_in_the_table(norm_type):
    weight = RNG.standard_normal((6, 3)) * 2
    index = np.array([0, 2, 2, 5])
    ours, theirs = minidl.tensor(weight), torch.tensor(weight)
    y = F.embedding(minidl.tensor(index), ours, max_norm=1.0, norm_type=norm_type)
    z = torch.nn.functional.embedding(torch.tensor(index), theirs, max_norm=1.0, norm_type=norm_type)
    np.testing.assert_allclose(y.numpy(), z.numpy(), rtol=1e-9)
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-9)


def test_half_precision_is_summed_in_float32():
    g = np.full((4096, 1), 1.0, "float16")
    index = np.zeros(4096, np.int64)
    naive = np.float16(0)
    for _ in range(4096):
        naive += np.float16(1)
    assert naive == 2048  # float16 cannot count any further by ones
    assert kernel.backward(g, index, 2)[0, 0] == 4096


def test_the_same_bits_every_time():
    g, index = RNG.standard_normal((2000, 8)).astype("float32"), RNG.integers(0, 50, 2000)
    first = kernel.backward(g, index, 50)
    np.testing.assert_array_equal(first, kernel.backward(g, index, 50))
    expected = np.zeros((50, 8))
    np.add.at(expected, index, g)
    np.testing.assert_allclose(first, expected, rtol=1e-4, atol=1e-4)


def test_sparse_gradients_are_refused():
    with pytest.raises(RuntimeError, match="sparse"):
        F.embedding(minidl.tensor([0]), minidl.ones(2, 2), sparse=True)


def test_changing_the_numbers_after_the_lookup_is_noticed():
    index, weight = minidl.tensor([0, 1]), minidl.ones(3, 2).requires_grad_()
    y = F.embedding(index, weight)
    index.add_(1)
    with pytest.raises(RuntimeError, match="inplace"):
        y.sum().backward()
