"""Layer normalisation in Triton: a program a few rows, which stay on chip: read once, written once.

The gradients of weight and bias are sums over all rows. A program adds up some columns of a part of the rows; the parts are
added in their order afterwards. Rows too long for the registers go to CUDA C.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from minidl_kernels.triton_runtime import launch, next_power_of_2, warps

import triton  # isort: skip
import triton.language as tl  # isort: skip

from minidl_kernels.arrays import namespace
from minidl_kernels.layer_norm import with_cupy as wide

LONGEST = 1 << 13  # values of a row
TILE = 1 << 10  # values that a program holds, where rows are shorter
ROWS_A_PART, ROWS, COLUMNS = 64, 8, 128  # of the sums over rows


@triton.jit
def layer_norm_forward(
    x,
    weight,
    bias,
    y,
    mean,
    rstd,
    rows,
    n,
    eps,
    WEIGHT: tl.constexpr,
    BIAS: tl.constexpr,
    R: tl.constexpr,
    N: tl.constexpr,
):
    row = tl.program_id(0) * R + tl.arange(0, R)
    column = tl.arange(0, N)
    inside = (row < rows)[:, None] & (column < n)[None, :]
    place = row.to(tl.int64)[:, None] * n + column[None, :]
    values = tl.load(x + place, mask=inside, other=0.0).to(tl.float32)
    middle = tl.sum(values, 1) / n
    centred = tl.where(inside, values - middle[:, None], 0.0)
    scale = 1.0 / tl.sqrt(tl.sum(centred * centred, 1) / n + eps)
    result = centred * scale[:, None]
    if WEIGHT:
        result *= tl.load(weight + column, mask=column < n, other=0.0).to(tl.float32)[None, :]
    if BIAS:
        result += tl.load(bias + column, mask=column < n, other=0.0).to(tl.float32)[None, :]
    tl.store(y + place, result.to(y.dtype.element_ty), mask=inside)
    tl.store(mean + row, middle, mask=row < rows)
    tl.store(rstd + row, scale, mask=row < rows)


@triton.jit
def layer_norm_backward(g, x, mean, rstd, weight, dx, rows, n, WEIGHT: tl.constexpr, R: tl.constexpr, N: tl.constexpr):
    row = tl.program_id(0) * R + tl.arange(0, R)
    column = tl.arange(0, N)
    inside = (row < rows)[:, None] & (column < n)[None, :]
    place = row.to(tl.int64)[:, None] * n + column[None, :]
    middle = tl.load(mean + row, mask=row < rows, other=0.0)[:, None]
    scale = tl.load(rstd + row, mask=row < rows, other=0.0)[:, None]
    scaled = tl.load(g + place, mask=inside, other=0.0).to(tl.float32)
    if WEIGHT:
        scaled *= tl.load(weight + column, mask=column < n, other=0.0).to(tl.float32)[None, :]
    values = tl.load(x + place, mask=inside, other=0.0).to(tl.float32)
    normal = tl.where(inside, (values - middle) * scale, 0.0)
    along = tl.sum(scaled * normal, 1)[:, None] / n
    result = (scaled - tl.sum(scaled, 1)[:, None] / n - normal * along) * scale
    tl.store(dx + place, result.to(dx.dtype.element_ty), mask=inside)


@triton.jit
def layer_norm_weight_parts(
    g, x, mean, rstd, dweight, dbias, rows, n, PART: tl.constexpr, R: tl.constexpr, N: tl.constexpr
):
    column = tl.program_id(0) * N + tl.arange(0, N)
    first = tl.program_id(1) * PART
    scaled = tl.zeros((N,), tl.float32)
    plain = tl.zeros((N,), tl.float32)
    for offset in range(0, PART, R):
        row = first + offset + tl.arange(0, R)
        inside = (row < rows)[:, None] & (column < n)[None, :]
        place = row.to(tl.int64)[:, None] * n + column[None, :]
        gradient = tl.load(g + place, mask=inside, other=0.0).to(tl.float32)
        values = tl.load(x + place, mask=inside, other=0.0).to(tl.float32)
        middle = tl.load(mean + row, mask=row < rows, other=0.0)[:, None]
        scale = tl.load(rstd + row, mask=row < rows, other=0.0)[:, None]
        scaled += tl.sum(tl.where(inside, gradient * (values - middle) * scale, 0.0), 0)
        plain += tl.sum(gradient, 0)
    place = tl.program_id(1).to(tl.int64) * n + column
    tl.store(dweight + place, scaled, mask=column < n)
    tl.store(dbias + place, plain, mask=column < n)


def tile(n: int) -> dict[str, int]:
    """How many rows of n values a program holds, and with how many warps."""
    block = next_power_of_2(n)
    rows = max(TILE // block, 1)
    return {"R": rows, "N": block, "num_warps": warps(rows * block)}


def takes(*arrays: Any) -> bool:
    """Whether rows fit on chip, in types that these kernels take."""
    given = [a for a in arrays if a is not None]
    floats = all(a.dtype.kind in "fV" and a.dtype.itemsize <= 4 for a in given)
    return floats and given[0].size > 0 and given[0].shape[-1] <= LONGEST


def forward(x: Any, weight: Any, bias: Any, eps: float) -> tuple[Any, Any, Any]:
    """``y, mean, rstd``."""
    if not takes(x, weight, bias):
        return wide.forward(x, weight, bias, eps)
    xp, (rows, n) = namespace(x), x.shape
    x, weight, bias = (None if a is None else xp.ascontiguousarray(a) for a in (x, weight, bias))
    y, mean, rstd = xp.empty(x.shape, x.dtype), xp.empty((rows, 1), "float32"), xp.empty((rows, 1), "float32")
    settings = {"WEIGHT": weight is not None, "BIAS": bias is not None, **tile(n)}
    grid = (-(-rows // settings["R"]),)
    launch(layer_norm_forward, grid, x, weight, bias, y, mean, rstd, rows, n, eps, **settings)
    return y, mean, rstd


def backward(g: Any, x: Any, mean: Any, rstd: Any, weight: Any) -> tuple[Any, Any, Any]:
    """``∂x, ∂weight, ∂bias``; the last two in the type of the statistics."""
    if not takes(x, g, weight):
        return wide.backward(g, x, mean, rstd, weight)
    xp, (rows, n) = namespace(x), x.shape
    g, x, mean, rstd = (xp.ascontiguousarray(a) for a in (g, x, mean, rstd))
    weight = None if weight is None else xp.ascontiguousarray(weight)
    dx, settings = xp.empty(x.shape, x.dtype), {"WEIGHT": weight is not None, **tile(n)}
    launch(layer_norm_backward, (-(-rows // settings["R"]),), g, x, mean, rstd, weight, dx, rows, n, **settings)
    count = -(-rows // ROWS_A_PART)
    parts = xp.empty((2, count, n), "float32")
    constants = {"PART": ROWS_A_PART, "R": ROWS, "N": COLUMNS, "num_warps": 4}
    grid = (-(-n // COLUMNS), count)
    launch(layer_norm_weight_parts, grid, g, x, mean, rstd, parts[0], parts[1], rows, n, **constants)
    return dx, parts[0].sum(0), parts[1].sum(0)


def compile_cases(array: Any) -> Any:
    """Calls that between them compile what is shipped."""
    for n in (16, 512, 1024, 4096, LONGEST):
        for dtype in ("float32", "float16"):
            x, w, statistics = array((256, n), dtype), array((n,), dtype), array((256, 1))
            yield partial(forward, x, w, w, 1e-5)
            yield partial(backward, x, x, statistics, statistics, w)
