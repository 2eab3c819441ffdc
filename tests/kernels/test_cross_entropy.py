"""The cross-entropy room by itself: many blocks, strides, half precision, the same bits on any number of threads."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import torch

from minidl_kernels import cross_entropy as room
from minidl_kernels import threads
from minidl_kernels.cross_entropy import with_numpy as kernel

RNG = np.random.default_rng(0)


def reference(x, target, weight, smoothing, g):
    """Losses and ∂x from PyTorch in float64, weighted by ``g``."""
    logits = torch.tensor(np.array(x, np.float64, order="C"), requires_grad=True)
    loss = torch.nn.functional.cross_entropy(
        logits,
        torch.tensor(target),
        None if weight is None else torch.tensor(weight),
        reduction="none",
        label_smoothing=smoothing,
    )
    (loss * torch.tensor(g)).sum().backward()
    return loss.detach().numpy(), logits.grad.numpy()


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("rows", "classes"), [(1, 1), (1, 5), (64, 10), (37, 1025), (3000, 37), (2, 100_000)])
def test_over_many_blocks(rows, classes, weighted, smoothing):
    x, g = RNG.standard_normal((rows, classes)), RNG.standard_normal(rows)
    target = RNG.integers(0, classes, rows)
    weight = RNG.uniform(0.5, 2, classes) if weighted else None
    loss, lse = kernel.forward(x, target, weight, smoothing)
    dx = kernel.backward(g, x, target, lse, weight, smoothing)
    expected, gradient = reference(x, target, weight, smoothing, g)
    np.testing.assert_allclose(loss, expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(dx, gradient, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("layout", ["transposed", "reversed", "expanded"])
def test_any_strides(layout):
    x = {
        "transposed": RNG.standard_normal((7, 11)).T,
        "reversed": RNG.standard_normal((22, 14))[::-2, ::2],
        "expanded": np.broadcast_to(RNG.standard_normal(7), (11, 7)),
    }[layout]
    target, g = RNG.integers(0, 7, 11), np.broadcast_to(np.float64(0.5), (11,))
    loss, lse = kernel.forward(x, target)
    expected, gradient = reference(x, target, None, 0.0, g)
    np.testing.assert_allclose(loss, expected, rtol=1e-12)
    np.testing.assert_allclose(kernel.backward(g, x, target, lse), gradient, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_precision_sums_in_float32(dtype):
    x = RNG.standard_normal((4, 20_000)).astype(dtype)
    target = RNG.integers(0, 20_000, 4)
    loss, lse = kernel.forward(x, target)
    dx = kernel.backward(np.ones(4, np.float32), x, target, lse)
    expected, _ = reference(x, target, None, 0.0, np.ones(4))
    assert loss.dtype == lse.dtype == np.float32
    assert dx.dtype == dtype
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    naive = np.zeros(4, dtype)
    for column in np.exp(x).T:  # a running sum in half precision stops growing
        naive = naive + column
    assert (abs(np.log(naive.astype(float)) - lse) > 0.1).all()


def test_arguments_are_left_as_they_are():
    x, target, g = RNG.standard_normal((5, 4)), RNG.integers(0, 4, 5), RNG.standard_normal(5)
    copies = x.copy(), target.copy(), g.copy()
    _, lse = kernel.forward(x, target, None, 0.1)
    kernel.backward(g, x, target, lse, None, 0.1)
    for now, before in zip((x, target, g), copies):
        np.testing.assert_array_equal(now, before)


def test_the_same_bits_on_any_number_of_threads():
    x, target = RNG.standard_normal((1500, 1024)).astype("float32"), RNG.integers(0, 1024, 1500)
    g = RNG.standard_normal(1500).astype("float32")

    def run():
        loss, lse = kernel.forward(x, target)
        return loss, lse, kernel.backward(g, x, target, lse)

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


def test_costs_grow_with_the_shape():
    assert room.flops(20, 30) == 2 * room.flops(10, 30) > 0
    assert room.nbytes(20, 30, 8) == 2 * room.nbytes(20, 30, 4) > 0
