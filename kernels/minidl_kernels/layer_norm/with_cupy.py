"""Layer normalisation in CUDA C: a block of threads a row, which it reads from memory once and from cache twice more.

The gradients of weight and bias are sums over all rows: each part of the rows gives partial sums, and the parts are added in
their order, so that the same inputs give the same bits, which atomic additions would not.
"""

from __future__ import annotations

from typing import Any

from minidl_kernels.cuda_c import CudaSource, float32
from minidl_kernels.layer_norm import with_numpy as reference

source = CudaSource(__file__, "layer_norm.cu")
THREADS, ROWS_A_PART = 256, 64


def forward(x: Any, weight: Any, bias: Any, eps: float) -> tuple[Any, Any, Any]:
    """``y, mean, rstd``."""
    if not float32.takes(x, weight, bias) or not x.size:
        return reference.forward(x, weight, bias, eps)
    (rows, n), xs = x.shape, float32(x)
    w, b = (None if p is None else float32(p) for p in (weight, bias))
    y, mean, rstd = float32.empty(xs), float32.empty(xs, (rows, 1)), float32.empty(xs, (rows, 1))
    source.launch("layer_norm_forward", (rows,), (THREADS,), xs, w, b, y, mean, rstd, n, eps)
    return y.astype(x.dtype, copy=False), mean, rstd


def backward(g: Any, x: Any, mean: Any, rstd: Any, weight: Any) -> tuple[Any, Any, Any]:
    """``∂x, ∂weight, ∂bias``; the last two in the type of the statistics."""
    if not float32.takes(g, x, weight) or not x.size:
        return reference.backward(g, x, mean, rstd, weight)
    (rows, n), xs, gs = x.shape, float32(x), float32(g)
    m, r, w = float32(mean), float32(rstd), None if weight is None else float32(weight)
    dx = float32.empty(xs)
    source.launch("layer_norm_backward", (rows,), (THREADS,), gs, xs, m, r, w, dx, n)
    count = -(-rows // ROWS_A_PART)
    parts = float32.empty(xs, (2, count, n))
    grid = (-(-n // THREADS), count)
    source.launch("layer_norm_weight_parts", grid, (THREADS,), gs, xs, m, r, parts, rows, n, ROWS_A_PART)
    dweight, dbias = parts.sum(1)
    return dx.astype(x.dtype, copy=False), dweight, dbias
