"""RMS normalisation in CUDA C, as layer normalisation (see there) without mean and bias.

Forward, a block of threads takes a row. Backward, a block takes several rows and keeps its share of the weight's gradient
in shared memory; the shares are added in a second step, in one order: the same inputs give the same bits.
"""

from __future__ import annotations

from typing import Any

from minidl_kernels.arrays import namespace
from minidl_kernels.cuda_c import CudaSource, float32, threads
from minidl_kernels.rms_norm import with_numpy as reference

source = CudaSource(__file__, "rms_norm.cu")
BLOCKS, FEWEST_ROWS = 512, 4  # shares of the weight's gradient: enough to fill a GPU, few enough to add up
SHARED = 48 << 10  # bytes of shared memory that a block may have without asking


def forward(x: Any, weight: Any, eps: float) -> tuple[Any, Any]:
    """``y, rstd``."""
    if not float32.takes(x, weight) or not x.size:
        return reference.forward(x, weight, eps)
    (rows, n), xs = x.shape, float32(x)
    y, rstd = float32.empty(xs), float32.empty(xs, (rows, 1))
    scale = None if weight is None else float32(weight)
    source.launch("rms_norm_forward", (rows,), (threads(n),), xs, scale, y, rstd, n, eps)
    return y.astype(x.dtype, copy=False), rstd


def backward(g: Any, x: Any, rstd: Any, weight: Any) -> tuple[Any, Any]:
    """``∂x, ∂weight``; the last in the type of the statistics."""
    if not float32.takes(g, x, weight) or not x.size:
        return reference.backward(g, x, rstd, weight)
    (rows, n), xs = x.shape, float32(x)
    rows_a_block = max(FEWEST_ROWS, -(-rows // BLOCKS))
    blocks = -(-rows // rows_a_block)
    dx, parts = float32.empty(xs), float32.empty(xs, (blocks, n))
    scale = None if weight is None else float32(weight)
    in_shared = 4 * n <= SHARED - 1024
    source.launch(
        "rms_norm_backward",
        (blocks,),
        (threads(n),),
        *(float32(g), xs, float32(rstd), scale, dx, parts, rows, n, rows_a_block, in_shared),
        shared=4 * n if in_shared else 0,
    )
    return dx.astype(x.dtype, copy=False), namespace(xs).sum(parts, 0)
