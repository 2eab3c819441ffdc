"""RMS normalisation in CUDA C: a block of threads a row.

The gradient of the weights is a sum over all rows: each part of the rows gives a partial sum, and the parts are added in
their order, so that the same inputs give the same bits, which atomic additions would not.
"""

from __future__ import annotations

from typing import Any

from minidl_kernels.arrays import namespace
from minidl_kernels.cuda_c import CudaSource, float32
from minidl_kernels.rms_norm import with_numpy as reference

source = CudaSource(__file__, "rms_norm.cu")
THREADS, ROWS_A_PART = 256, 64


def forward(x: Any, weight: Any, eps: float) -> tuple[Any, Any]:
    """``y, rstd``."""
    if not float32.takes(x, weight) or not x.size:
        return reference.forward(x, weight, eps)
    (rows, n), xs = x.shape, float32(x)
    y, rstd = float32.empty(xs), float32.empty(xs, (rows, 1))
    scale = None if weight is None else float32(weight)
    source.launch("rms_norm_forward", (rows,), (THREADS,), xs, scale, y, rstd, n, eps)
    return y.astype(x.dtype, copy=False), rstd


def backward(g: Any, x: Any, rstd: Any, weight: Any) -> tuple[Any, Any]:
    """``∂x, ∂weight``; the last in the type of the statistics."""
    if not float32.takes(g, x, weight) or not x.size:
        return reference.backward(g, x, rstd, weight)
    (rows, n), xs, gs = x.shape, float32(x), float32(g)
    dx, scale, r = float32.empty(xs), None if weight is None else float32(weight), float32(rstd)
    source.launch("rms_norm_backward", (rows,), (THREADS,), gs, xs, r, scale, dx, n)
    parts = float32.empty(xs, (-(-rows // ROWS_A_PART), n))
    grid = (-(-n // THREADS), len(parts))
    source.launch("rms_norm_weight_parts", grid, (THREADS,), gs, xs, r, parts, rows, n, ROWS_A_PART)
    return dx.astype(x.dtype, copy=False), namespace(xs).sum(parts, 0)
