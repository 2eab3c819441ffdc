"""Dropout in Triton: a program makes the random numbers of 256 counters and treats their 1,024 values.

The four numbers of a counter belong to four neighbours: the values are read as a tile (counters, 4).
"""

from __future__ import annotations

from functools import partial
from typing import Any

from minidl_kernels.triton_runtime import launch

import triton  # isort: skip
import triton.language as tl  # isort: skip

from minidl_kernels.arrays import namespace
from minidl_kernels.dropout import with_cupy as wide

COUNTERS = 256


@triton.jit
def dropout_keep(x, y, n, p, scale, seed, C: tl.constexpr):
    counter = tl.program_id(0).to(tl.int64) * C + tl.arange(0, C)
    low, high = (counter & 0xFFFFFFFF).to(tl.uint32), (counter >> 32).to(tl.uint32)
    zero = low * 0
    w0, w1, w2, w3 = tl.philox(seed, low, high, zero, zero)
    words = tl.reshape(tl.join(tl.join(w0, w2), tl.join(w1, w3)), (4 * C,))
    i = tl.program_id(0).to(tl.int64) * (4 * C) + tl.arange(0, 4 * C)
    inside = i < n
    uniform = (words >> 8).to(tl.float32) * 5.9604644775390625e-08  # 2**-24
    values = tl.load(x + i, mask=inside, other=0.0).to(tl.float32)
    tl.store(y + i, tl.where(uniform >= p, values * scale, 0.0).to(y.dtype.element_ty), mask=inside)


def forward(x: Any, p: float, seed: int) -> Any:
    """y: the values that are kept, scaled."""
    if not (x.dtype.kind in "fV" and x.dtype.itemsize <= 4) or not 0 <= p < 1 or not x.size:
        return wide.forward(x, p, seed)
    xp = namespace(x)
    y = xp.empty(x.shape, x.dtype)
    x = xp.ascontiguousarray(x)  # which makes a single value an array of one
    grid = (-(-x.size // (4 * COUNTERS)),)
    launch(dropout_keep, grid, x, y, x.size, float(p), 1 / (1 - p), int(seed), C=COUNTERS)
    return y


def backward(g: Any, p: float, seed: int) -> Any:
    """∂x: the gradients of the values that were kept, scaled; the same map as forward's, which is linear."""
    return forward(g, p, seed)


def compile_cases(array: Any) -> Any:
    """Calls that between them compile what is shipped."""
    for dtype in ("float32", "float16"):
        yield partial(forward, array((256, 512), dtype), 0.5, 2**40)
