"""Layer normalisation in CUDA C.

Forward, a block of threads takes a row; it reads it from memory once, and for the squares and the result from cache.
Backward, a block takes several rows one after the other and keeps its share of the weight's and bias's gradients in shared
memory all the while; the shares are added in a second step. So x and g are read from memory once, and the sums have one
order: the same inputs give the same bits, which atomic additions would not.
"""

from __future__ import annotations

from typing import Any

from minidl_kernels.arrays import namespace
from minidl_kernels.cuda_c import CudaSource, float32, threads
from minidl_kernels.layer_norm import with_numpy as reference

source = CudaSource(__file__, "layer_norm.cu")
BLOCKS, FEWEST_ROWS = 512, 4  # shares of the weights' gradient: enough to fill a GPU, few enough to add up
SHARED = 48 << 10  # bytes of shared memory that a block may have without asking


def forward(x: Any, weight: Any, bias: Any, eps: float) -> tuple[Any, Any, Any]:
    """``y, mean, rstd``."""
    if not float32.takes(x, weight, bias) or not x.size:
        return reference.forward(x, weight, bias, eps)
    (rows, n), xs = x.shape, float32(x)
    scale, shift = (None if p is None else float32(p) for p in (weight, bias))
    y, mean, rstd = float32.empty(xs), float32.empty(xs, (rows, 1)), float32.empty(xs, (rows, 1))
    source.launch("layer_norm_forward", (rows,), (threads(n),), xs, scale, shift, y, mean, rstd, n, eps)
    return y.astype(x.dtype, copy=False), mean, rstd


def backward(g: Any, x: Any, mean: Any, rstd: Any, weight: Any) -> tuple[Any, Any, Any]:
    """``∂x, ∂weight, ∂bias``; the last two in the type of the statistics."""
    if not float32.takes(g, x, weight) or not x.size:
        return reference.backward(g, x, mean, rstd, weight)
    (rows, n), xs = x.shape, float32(x)
    rows_a_block = max(FEWEST_ROWS, -(-rows // BLOCKS))
    blocks = -(-rows // rows_a_block)
    dx, parts = float32.empty(xs), float32.empty(xs, (blocks, 2, n))
    scale = None if weight is None else float32(weight)
    in_shared = 8 * n <= SHARED - 1024
    source.launch(
        "layer_norm_backward",
        (blocks,),
        (threads(n),),
        *(float32(g), xs, float32(mean), float32(rstd), scale, dx, parts, rows, n, rows_a_block, in_shared),
        shared=8 * n if in_shared else 0,
    )
    dweight, dbias = namespace(xs).sum(parts, 0)
    return dx.astype(x.dtype, copy=False), dweight, dbias
