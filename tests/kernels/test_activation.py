"""The activation room by itself: accuracy in every type, long and strided arrays, the memory order of the input."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from minidl_kernels.activation import with_numpy as kernel

RNG = np.random.default_rng(0)
KIND = {"none": "gelu", "tanh": "gelu_tanh"}
TOLERANCE = {"float64": 1e-12, "float32": 5e-7, "float16": 2e-3}


@pytest.mark.parametrize("approximate", ["none", "tanh"])
@pytest.mark.parametrize("dtype", list(TOLERANCE))
def test_values_and_slope_over_the_line(dtype, approximate):
    x = np.concatenate([np.linspace(-12, 12, 20_001), [-1e4, 1e4, 0.0]]).astype(dtype)
    t = torch.tensor(x.astype("float64"), requires_grad=True)
    y = torch.nn.functional.gelu(t, approximate=approximate)
    y.sum().backward()
    atol = TOLERANCE[dtype]
    np.testing.assert_allclose(kernel.forward(x, None, KIND[approximate]), y.detach().numpy(), rtol=atol, atol=atol)
    slope = kernel.backward(np.ones_like(x), x, None, KIND[approximate])
    np.testing.assert_allclose(slope, t.grad.numpy(), rtol=atol, atol=4 * atol)


@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (1000, 300), (600, 20, 30)])
@pytest.mark.parametrize("transposed", [False, True])
def test_shapes_and_layouts(shape, transposed):
    x = RNG.standard_normal(shape)
    x = np.asarray(x).T if transposed else np.asarray(x)
    y = kernel.forward(x, None, "gelu")
    assert y.strides == x.strides
    np.testing.assert_allclose(y, torch.nn.functional.gelu(torch.tensor(x.copy())).numpy(), rtol=1e-12, atol=1e-12)
