"""The rooms of batch and layer normalisation by themselves: long inputs, every layout, half precision, determinism."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from minidl_kernels import threads
from minidl_kernels.batch_norm import with_numpy as batch_norm
from minidl_kernels.layer_norm import with_numpy as layer_norm

RNG = np.random.default_rng(0)


def batch(shape, layout, dtype="float64"):
    x = RNG.standard_normal(shape).astype(dtype)
    if layout == "channels last":
        order = (0, *range(2, x.ndim), 1)
        return np.ascontiguousarray(x.transpose(order)).transpose(0, x.ndim - 1, *range(1, x.ndim - 1))
    return x[:, :, ::-1] if layout == "reversed" and x.ndim > 2 else x


@pytest.mark.parametrize("layout", ["contiguous", "channels last", "reversed"])
@pytest.mark.parametrize("shape", [(64, 3, 37, 41), (7, 1025), (5, 37, 129), (2, 1, 300, 301), (3, 130, 2, 2, 5)])
def test_batch_norm_over_many_blocks(shape, layout):
    x, g = batch(shape, layout), batch(shape, "contiguous")
    weight, bias = RNG.standard_normal((2, shape[1]))
    mean, var = batch_norm.statistics(x)
    rstd = 1 / np.sqrt(var + 1e-5)
    y = batch_norm.forward(x, mean, rstd, weight, bias)
    dx, dweight, dbias = batch_norm.backward(g, x, mean, rstd, weight, training=True)
    t, w, b = (torch.tensor(a.copy(), requires_grad=True) for a in (x, weight, bias))
    expected = torch.nn.functional.batch_norm(t, None, None, w, b, training=True)
    expected.backward(torch.tensor(g))
    for ours, theirs in ((y, expected), (dx, t.grad), (dweight, w.grad), (dbias, b.grad)):
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-9, atol=1e-9)
    if layout == "channels last" and len(shape) > 2:
        assert y.strides == x.strides, "the layout of the input is kept"


@pytest.mark.parametrize(("rows", "n"), [(1, 1), (37, 1025), (5000, 37), (3, 100_000), (0, 5)])
def test_layer_norm_over_many_blocks(rows, n):
    x, g = RNG.standard_normal((2, rows, n))
    weight, bias = RNG.standard_normal((2, n))
    y, mean, rstd = layer_norm.forward(x, weight, bias, 1e-5)
    dx, dweight, dbias = layer_norm.backward(g, x, mean, rstd, weight)
    t, w, b = (torch.tensor(a, requires_grad=True) for a in (x, weight, bias))
    expected = torch.nn.functional.layer_norm(t, (n,), w, b)
    expected.backward(torch.tensor(g))
    for ours, theirs in ((y, expected), (dx, t.grad), (dweight, w.grad), (dbias, b.grad)):
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("room", ["batch_norm", "layer_norm"])
def test_the_same_bits_on_any_number_of_threads(room):
    x = RNG.standard_normal((2048, 1024)).astype("float32")

    def run():
        if room == "batch_norm":
            mean, var = batch_norm.statistics(x)
            return [mean, var, *batch_norm.backward(x, x, mean, 1 / np.sqrt(var), None, training=True)]
        y, mean, rstd = layer_norm.forward(x, None, None, 1e-5)
        return [y, *layer_norm.backward(x, x, mean, rstd, None)]

    before = threads.get_num_threads()
    try:
        threads.set_num_threads(1)
        alone = run()
        threads.set_num_threads(3)
        together = run()
    finally:
        threads.set_num_threads(before)
    for a, b in zip(alone, together):
        np.testing.assert_array_equal(a, b)
