"""Embedding in Triton: a program copies a piece of a row; in backward it adds up the gradients of one row of the table.

Places are sorted by the row that they looked up, as in CUDA C: no atomic additions, and the same bits every time.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from minidl_kernels.triton_runtime import launch, next_power_of_2, warps

import triton  # isort: skip
import triton.language as tl  # isort: skip

from minidl_kernels.arrays import namespace
from minidl_kernels.embedding import with_cupy as wide
from minidl_kernels.embedding.with_cupy import segments

WIDEST = 512  # columns that a program has to itself


@triton.jit
def embedding_rows(weight, index, y, dim, D: tl.constexpr):
    place = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * D + tl.arange(0, D)
    row = tl.load(index + place)
    tl.store(y + place * dim + column, tl.load(weight + row * dim + column, mask=column < dim), mask=column < dim)


@triton.jit
def embedding_sums(g, order, starts, rows, total, dim, BY_FREQUENCY: tl.constexpr, D: tl.constexpr):
    segment = tl.program_id(0)
    column = tl.program_id(1) * D + tl.arange(0, D)
    begin, end = tl.load(starts + segment), tl.load(starts + segment + 1)
    added = tl.zeros((D,), tl.float32)
    for i in range(begin, end):
        place = tl.load(order + i)
        added += tl.load(g + place * dim + column, mask=column < dim, other=0.0).to(tl.float32)
    if BY_FREQUENCY:
        added /= (end - begin).to(tl.float32)
    row = tl.load(rows + segment)
    tl.store(total + row * dim + column, added.to(total.dtype.element_ty), mask=column < dim)


def _tile(dim: int) -> dict[str, int]:
    block = min(next_power_of_2(dim), WIDEST)
    return {"D": block, "num_warps": warps(block)}


def forward(weight: Any, index: Any) -> Any:
    """Rows of ``weight`` (rows, dim) by ``index`` (*): (*, dim)."""
    if weight.dtype.itemsize > 4 or not weight.size:
        return wide.forward(weight, index)
    xp, dim = namespace(weight), weight.shape[1]
    weight, places = xp.ascontiguousarray(weight), xp.ascontiguousarray(index).reshape(-1)
    y, settings = xp.empty((*index.shape, dim), weight.dtype), _tile(dim)
    launch(embedding_rows, (places.size, -(-dim // settings["D"])), weight, places, y, dim, **settings)
    return y


def backward(g: Any, index: Any, rows: int, padding: int | None = None, by_frequency: bool = False) -> Any:
    """∂weight (rows, dim) from g (*, dim); half precision is summed in float32."""
    xp, dim = namespace(g), g.shape[-1]
    found = segments(index, padding, xp)
    if g.dtype.itemsize > 4 or found is None or not dim:
        return wide.backward(g, index, rows, padding, by_frequency)
    order, starts, which = found
    total, settings = xp.zeros((rows, dim), g.dtype), _tile(dim)
    grid = (which.size, -(-dim // settings["D"]))
    arguments = (xp.ascontiguousarray(g), order, starts, which, total, dim)
    launch(embedding_sums, grid, *arguments, BY_FREQUENCY=by_frequency, **settings)
    return total


def compile_cases(array: Any) -> Any:
    """Calls that between them compile what is shipped."""
    for dim in (64, 1024):
        for dtype in ("float32", "float16"):
            index = array((256,), "int64")
            yield partial(forward, array((1000, dim), dtype), index)
            for by_frequency in (False, True):
                yield partial(backward, array((256, dim), dtype), index, 1000, None, by_frequency)
