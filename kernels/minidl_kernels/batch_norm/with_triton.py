"""Batch normalisation in Triton: sums over tiles (positions, channels) in two stages, then a pass over all values.

Arrays stay in the memory order that they come in. Where channels lie innermost a tile is many channels wide; where positions
do, one channel and many positions: either way neighbours read neighbours. Each program sums a part of the positions, and the
parts are added in their order, so that the same inputs give the same bits.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from minidl_kernels.triton_runtime import launch, next_power_of_2

import triton  # isort: skip
import triton.language as tl  # isort: skip

from minidl_kernels.arrays import namespace
from minidl_kernels.batch_norm import with_cupy as wide
from minidl_kernels.batch_norm.with_cupy import Memory

TILE, STEPS, BLOCK = 1024, 16, 1024  # values of a tile; tiles that a program sums; values of a program in the passes


@triton.jit
def batch_norm_sums(
    g, x, mean, first, second, count, positions, channels, step_n, step_c, step_s,
    WHAT: tl.constexpr, P: tl.constexpr, C: tl.constexpr, STEPS: tl.constexpr,
):  # fmt: skip
    """``WHAT`` "plain": Σ x. "moments": Σ (x - μ) and Σ (x - μ)². "gradients": Σ g and Σ g (x - μ)."""
    c = tl.program_id(0) * C + tl.arange(0, C)
    real = c < channels
    middle = tl.zeros((C,), tl.float32)
    if WHAT != "plain":
        middle = tl.load(mean + c, mask=real, other=0.0)
    one, two = tl.zeros((C,), tl.float32), tl.zeros((C,), tl.float32)
    for step in range(STEPS):
        i = (tl.program_id(1) * STEPS + step) * P + tl.arange(0, P)
        inside = (i < count)[:, None] & real[None, :]
        place = (i // positions).to(tl.int64) * step_n + (i % positions).to(tl.int64) * step_s
        place = place[:, None] + c.to(tl.int64)[None, :] * step_c
        values = tl.load(x + place, mask=inside, other=0.0).to(tl.float32)
        if WHAT == "plain":
            one += tl.sum(values, 0)
        else:
            centred = tl.where(inside, values - middle[None, :], 0.0)
            if WHAT == "moments":
                one += tl.sum(centred, 0)
                two += tl.sum(centred * centred, 0)
            else:
                gradient = tl.load(g + place, mask=inside, other=0.0).to(tl.float32)
                one += tl.sum(gradient, 0)
                two += tl.sum(gradient * centred, 0)
    part = tl.program_id(1).to(tl.int64) * channels + c
    tl.store(first + part, one, mask=real)
    if WHAT != "plain":
        tl.store(second + part, two, mask=real)


@triton.jit
def batch_norm_forward(x, mean, scale, shift, y, size, channels, inner, B: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * B + tl.arange(0, B)
    inside = i < size
    c = i // inner % channels
    values = tl.load(x + i, mask=inside, other=0.0).to(tl.float32)
    values = (values - tl.load(mean + c, mask=inside)) * tl.load(scale + c, mask=inside) + tl.load(
        shift + c, mask=inside
    )
    tl.store(y + i, values.to(y.dtype.element_ty), mask=inside)


@triton.jit
def batch_norm_backward(g, x, mean, scale, offset, slope, dx, size, channels, inner, B: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * B + tl.arange(0, B)
    inside = i < size
    c = i // inner % channels
    centred = tl.load(x + i, mask=inside, other=0.0).to(tl.float32) - tl.load(mean + c, mask=inside)
    result = tl.load(g + i, mask=inside, other=0.0).to(tl.float32)
    result = (result - centred * tl.load(slope + c, mask=inside) - tl.load(offset + c, mask=inside)) * tl.load(
        scale + c, mask=inside
    )
    tl.store(dx + i, result.to(dx.dtype.element_ty), mask=inside)


def _takes(*arrays: Any) -> bool:
    given = [a for a in arrays if a is not None]
    return all(a.dtype.kind in "fV" and a.dtype.itemsize <= 4 for a in given) and given[0].size > 0


def _flat(memory: Memory, x: Any) -> Any:
    """The values in memory order, in their own type."""
    return namespace(x).ascontiguousarray(x.transpose(memory.order) if memory.last else x).reshape(-1)


def _sums(what: str, memory: Memory, xs: Any, gs: Any = None, mean: Any = None) -> list[Any]:
    """Totals (C,) of what is asked for."""
    xp = namespace(xs)
    wide_tile = min(next_power_of_2(memory.channels), 64) if memory.last else 1
    tall = TILE // wide_tile
    grid = (-(-memory.channels // wide_tile), -(-memory.count // (tall * STEPS)))
    parts = [xp.empty((grid[1], memory.channels), "float32") for _ in range(1 if what == "plain" else 2)]
    arguments = (gs, xs, mean, parts[0], parts[-1], memory.count, memory.positions, memory.channels, *memory.steps)
    launch(batch_norm_sums, grid, *arguments, WHAT=what, P=tall, C=wide_tile, STEPS=STEPS, num_warps=4)
    return [part.sum(0) for part in parts]


def statistics(x: Any) -> tuple[Any, Any]:
    """``mean, var`` (biased) of each channel, in two passes; the second mends what rounding left of the first."""
    if not _takes(x):
        return wide.statistics(x)
    memory = Memory(x)
    xs = _flat(memory, x)
    mean = _sums("plain", memory, xs)[0] / memory.count
    first, second = (total / memory.count for total in _sums("moments", memory, xs, None, mean))
    return mean + first, second - first * first


def forward(x: Any, mean: Any, rstd: Any, weight: Any, bias: Any) -> Any:
    """(x - mean) · rstd · weight + bias; ``weight`` and ``bias`` may be None."""
    if not _takes(x, mean, rstd, weight, bias):
        return wide.forward(x, mean, rstd, weight, bias)
    xp, memory = namespace(x), Memory(x)
    xs, scale = _flat(memory, x), xp.ascontiguousarray(rstd if weight is None else rstd * weight, "float32")
    shift = xp.zeros_like(scale) if bias is None else xp.ascontiguousarray(bias, "float32")
    y = xp.empty(xs.shape, xs.dtype)
    arguments = (xs, xp.ascontiguousarray(mean, "float32"), scale, shift, y, xs.size, memory.channels, memory.inner)
    launch(batch_norm_forward, (-(-xs.size // BLOCK),), *arguments, B=BLOCK)
    return memory.restored(y, x.dtype)


def backward(g: Any, x: Any, mean: Any, rstd: Any, weight: Any, training: bool) -> tuple[Any, Any, Any]:
    """``∂x, ∂weight, ∂bias``; the last two in the type of the statistics."""
    if not _takes(x, g, mean, rstd, weight):
        return wide.backward(g, x, mean, rstd, weight, training)
    xp, memory = namespace(x), Memory(x)
    xs, gs, middle = _flat(memory, x), _flat(memory, g), xp.ascontiguousarray(mean, "float32")
    dbias, along = _sums("gradients", memory, xs, gs, middle)
    scale = xp.ascontiguousarray(rstd if weight is None else rstd * weight, "float32")
    share = float(training) / memory.count
    offset, slope = (xp.ascontiguousarray(a, "float32") for a in (dbias * share, along * rstd * rstd * share))
    dx = xp.empty(xs.shape, xs.dtype)
    arguments = (gs, xs, middle, scale, offset, slope, dx, xs.size, memory.channels, memory.inner)
    launch(batch_norm_backward, (-(-xs.size // BLOCK),), *arguments, B=BLOCK)
    return memory.restored(dx, x.dtype), along * rstd, dbias


def compile_cases(array: Any) -> Any:
    """Calls that between them compile what is shipped."""
    for dtype in ("float32", "float16"):
        plain = array((4, 64, 28, 28), dtype)
        for x in (
            plain,
            array((4, 28, 28, 64), dtype).transpose(0, 3, 1, 2),
            array((4, 28, 28, 3), dtype).transpose(0, 3, 1, 2),
        ):
            c = array((x.shape[1],))
            yield partial(statistics, x)
            yield partial(forward, x, c, c, c, c)
            yield partial(backward, x, x, c, c, c, True)
