"""RMS normalisation in Triton: a program a few rows, which stay on chip: read once, written once.

The gradient of the weights is a sum over all rows, taken as in room layer_norm. Rows too long for the registers go to CUDA C.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from minidl_kernels.triton_runtime import launch

import triton  # isort: skip
import triton.language as tl  # isort: skip

from minidl_kernels.arrays import namespace
from minidl_kernels.layer_norm.with_triton import COLUMNS, LONGEST, ROWS, ROWS_A_PART, takes, tile
from minidl_kernels.rms_norm import with_cupy as wide


@triton.jit
def rms_norm_forward(x, weight, y, rstd, rows, n, eps, WEIGHT: tl.constexpr, R: tl.constexpr, N: tl.constexpr):
    row = tl.program_id(0) * R + tl.arange(0, R)
    column = tl.arange(0, N)
    inside = (row < rows)[:, None] & (column < n)[None, :]
    place = row.to(tl.int64)[:, None] * n + column[None, :]
    values = tl.load(x + place, mask=inside, other=0.0).to(tl.float32)
    scale = 1.0 / tl.sqrt(tl.sum(values * values, 1) / n + eps)
    result = values * scale[:, None]
    if WEIGHT:
        result *= tl.load(weight + column, mask=column < n, other=0.0).to(tl.float32)[None, :]
    tl.store(y + place, result.to(y.dtype.element_ty), mask=inside)
    tl.store(rstd + row, scale, mask=row < rows)


@triton.jit
def rms_norm_backward(g, x, rstd, weight, dx, rows, n, WEIGHT: tl.constexpr, R: tl.constexpr, N: tl.constexpr):
    row = tl.program_id(0) * R + tl.arange(0, R)
    column = tl.arange(0, N)
    inside = (row < rows)[:, None] & (column < n)[None, :]
    place = row.to(tl.int64)[:, None] * n + column[None, :]
    scale = tl.load(rstd + row, mask=row < rows, other=0.0)[:, None]
    scaled = tl.load(g + place, mask=inside, other=0.0).to(tl.float32)
    if WEIGHT:
        scaled *= tl.load(weight + column, mask=column < n, other=0.0).to(tl.float32)[None, :]
    normal = tl.load(x + place, mask=inside, other=0.0).to(tl.float32) * scale
    result = (scaled - normal * (tl.sum(scaled * normal, 1)[:, None] / n)) * scale
    tl.store(dx + place, result.to(dx.dtype.element_ty), mask=inside)


@triton.jit
def rms_norm_weight_parts(g, x, rstd, dweight, rows, n, PART: tl.constexpr, R: tl.constexpr, N: tl.constexpr):
    column = tl.program_id(0) * N + tl.arange(0, N)
    first = tl.program_id(1) * PART
    total = tl.zeros((N,), tl.float32)
    for offset in range(0, PART, R):
        row = first + offset + tl.arange(0, R)
        inside = (row < rows)[:, None] & (column < n)[None, :]
        place = row.to(tl.int64)[:, None] * n + column[None, :]
        gradient = tl.load(g + place, mask=inside, other=0.0).to(tl.float32)
        values = tl.load(x + place, mask=inside, other=0.0).to(tl.float32)
        total += tl.sum(gradient * values * tl.load(rstd + row, mask=row < rows, other=0.0)[:, None], 0)
    tl.store(dweight + tl.program_id(1).to(tl.int64) * n + column, total, mask=column < n)


def forward(x: Any, weight: Any, eps: float) -> tuple[Any, Any]:
    """``y, rstd``."""
    if not takes(x, weight):
        return wide.forward(x, weight, eps)
    xp, (rows, n) = namespace(x), x.shape
    x, weight = xp.ascontiguousarray(x), None if weight is None else xp.ascontiguousarray(weight)
    y, rstd, settings = xp.empty(x.shape, x.dtype), xp.empty((rows, 1), "float32"), tile(n)
    grid = (-(-rows // settings["R"]),)
    launch(rms_norm_forward, grid, x, weight, y, rstd, rows, n, eps, WEIGHT=weight is not None, **settings)
    return y, rstd


def backward(g: Any, x: Any, rstd: Any, weight: Any) -> tuple[Any, Any]:
    """``∂x, ∂weight``; the last in the type of the statistics."""
    if not takes(x, g, weight):
        return wide.backward(g, x, rstd, weight)
    xp, (rows, n) = namespace(x), x.shape
    g, x, rstd = (xp.ascontiguousarray(a) for a in (g, x, rstd))
    weight = None if weight is None else xp.ascontiguousarray(weight)
    dx, settings = xp.empty(x.shape, x.dtype), tile(n)
    grid = (-(-rows // settings["R"]),)
    launch(rms_norm_backward, grid, g, x, rstd, weight, dx, rows, n, WEIGHT=weight is not None, **settings)
    parts = xp.empty((-(-rows // ROWS_A_PART), n), "float32")
    constants = {"PART": ROWS_A_PART, "R": ROWS, "N": COLUMNS, "num_warps": 4}
    launch(rms_norm_weight_parts, (-(-n // COLUMNS), len(parts)), g, x, rstd, parts, rows, n, **constants)
    return dx, parts.sum(0)


def compile_cases(array: Any) -> Any:
    """Calls that between them compile what is shipped."""
    for n in (16, 512, 1024, 4096, LONGEST):
        for dtype in ("float32", "float16"):
            x, w = array((256, n), dtype), array((n,), dtype)
            yield partial(forward, x, w, 1e-5)
            yield partial(backward, x, x, array((256, 1)), w)
