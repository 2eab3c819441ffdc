"""Softmax in Triton: a program a row, which stays on chip whole: read once, written once.

The row is padded to a power of two, with -inf, which adds nothing to the sum. Rows too long for the registers go to CUDA C.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from minidl_kernels.triton_runtime import launch, next_power_of_2, warps

import triton  # isort: skip
import triton.language as tl  # isort: skip

from minidl_kernels.arrays import namespace
from minidl_kernels.softmax import with_cupy as wide

LONGEST = 1 << 14  # values of a row: 32 a thread with 16 warps; with twice as many, registers spill


@triton.jit
def softmax_forward(x, y, n, LOG: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * n
    column = tl.arange(0, BLOCK)
    inside = column < n
    values = tl.load(x + row + column, mask=inside, other=float("-inf")).to(tl.float32)
    shifted = values - tl.max(values, 0)
    e = tl.exp(shifted)
    total = tl.sum(e, 0)
    result = shifted - tl.log(total) if LOG else e / total
    tl.store(y + row + column, result.to(y.dtype.element_ty), mask=inside)


@triton.jit
def softmax_backward(g, y, dx, n, LOG: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * n
    column = tl.arange(0, BLOCK)
    inside = column < n
    gs = tl.load(g + row + column, mask=inside, other=0.0).to(tl.float32)
    ys = tl.load(y + row + column, mask=inside, other=0.0).to(tl.float32)
    result = gs - tl.exp(ys) * tl.sum(gs, 0) if LOG else ys * (gs - tl.sum(gs * ys, 0))
    tl.store(dx + row + column, result.to(dx.dtype.element_ty), mask=inside)


def forward(x: Any, log: bool = False) -> Any:
    """y, or log y, along the second axis; x: (outer, n) or (outer, n, inner)."""
    if x.ndim != 2 or x.dtype.itemsize > 4 or x.shape[1] > LONGEST or not x.size:
        return wide.forward(x, log)
    xp = namespace(x)
    x = xp.ascontiguousarray(x)
    y = xp.empty_like(x)
    block = next_power_of_2(x.shape[1])
    launch(softmax_forward, (len(x),), x, y, x.shape[1], LOG=log, BLOCK=block, num_warps=warps(block))
    return y


def backward(g: Any, y: Any, log: bool = False) -> Any:
    """∂x from the gradient g of the result y."""
    if y.ndim != 2 or y.dtype.itemsize > 4 or y.shape[1] > LONGEST or not y.size:
        return wide.backward(g, y, log)
    xp = namespace(y)
    g, y = xp.ascontiguousarray(g), xp.ascontiguousarray(y)
    dx = xp.empty_like(y)
    block = next_power_of_2(y.shape[1])
    launch(softmax_backward, (len(y),), g, y, dx, y.shape[1], LOG=log, BLOCK=block, num_warps=warps(block))
    return dx


def compile_cases(array: Any) -> Any:
    """Calls that between them compile what is shipped."""
    for n in (128, 1024, 8192, LONGEST):
        for dtype in ("float32", "float16"):
            for log in (False, True):
                yield partial(forward, array((16, n), dtype), log)
                yield partial(backward, array((16, n), dtype), array((16, n), dtype), log)
