"""The softmax room by itself: many blocks, inner axes, half precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from minidl_kernels.softmax import flops, nbytes
from minidl_kernels.softmax import with_numpy as kernel

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (700, 2000), (3, 100_000), (5, 7, 11), (40, 300, 130), (0, 3), (3, 0)])
def test_forward_and_backward(shape, log):
    x, g = RNG.standard_normal(shape) * 4, RNG.standard_normal(shape)
    y = kernel.forward(x, log)
    t = torch.tensor(x, requires_grad=True)
    expected = (torch.log_softmax if log else torch.softmax)(t, 1)
    expected.backward(torch.tensor(g))
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(kernel.backward(g, y, log), t.grad.numpy(), rtol=1e-9, atol=1e-10)


def test_half_precision_is_summed_in_float32():
    x = np.zeros((1, 4096), "float16")
    y = kernel.forward(x)
    assert y.dtype == np.float16
    np.testing.assert_array_equal(y, np.float16(1 / 4096))


def test_cost():
    assert flops(3, 5, 2) == 150
    assert nbytes(3, 5, 2, 8) == 480
