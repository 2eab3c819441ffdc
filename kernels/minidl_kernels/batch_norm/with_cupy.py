"""Batch normalisation in CUDA C: a block of threads a channel for the sums, a thread a value for the rest.

Arrays stay in the memory order that they come in, channels innermost (as convolutions leave them) or not.
"""

from __future__ import annotations

import math
from typing import Any

from minidl_kernels.arrays import namespace
from minidl_kernels.batch_norm import with_numpy as reference
from minidl_kernels.cuda_c import CudaSource, float32

source = CudaSource(__file__, "batch_norm.cu")
THREADS = 256


class Memory:
    """An array (N, C, …) as its memory holds it: contiguous, channels innermost or positions innermost."""

    def __init__(self, x: Any) -> None:
        self.shape, (n, self.channels), self.positions = x.shape, x.shape[:2], math.prod(x.shape[2:])
        self.order = (0, *range(2, x.ndim), 1)
        self.last = x.transpose(self.order).flags.c_contiguous and not (x.ndim > 2 and x.flags.c_contiguous)
        self.inner = 1 if self.last else self.positions
        self.count = n * self.positions
        row = self.channels * self.positions
        self.steps = (row, 1, self.channels) if self.last else (row, self.positions, 1)
        self.blocks = (-(-n * row // THREADS),)

    def flat(self, x: Any) -> Any:
        """The values in float32, in memory order."""
        return float32(x.transpose(self.order) if self.last else x).reshape(-1)

    def restored(self, flat: Any, dtype: Any) -> Any:
        if self.last:
            n, c, *rest = self.shape
            flat = flat.reshape(n, *rest, c).transpose(0, len(self.shape) - 1, *range(1, len(self.shape) - 1))
        return flat.reshape(self.shape).astype(dtype, copy=False)


def statistics(x: Any) -> tuple[Any, Any]:
    """``mean, var`` (biased) of each channel."""
    if not float32.takes(x) or not x.size:
        return reference.statistics(x)
    memory = Memory(x)
    xs = memory.flat(x)
    mean, var = float32.empty(xs, (memory.channels,)), float32.empty(xs, (memory.channels,))
    grid, where = (memory.channels,), (memory.count, memory.positions, *memory.steps)
    source.launch("batch_norm_statistics", grid, (THREADS,), xs, mean, var, *where)
    return mean, var


def forward(x: Any, mean: Any, rstd: Any, weight: Any, bias: Any) -> Any:
    """(x - mean) · rstd · weight + bias; ``weight`` and ``bias`` may be None."""
    if not float32.takes(x, mean, rstd, weight, bias) or not x.size:
        return reference.forward(x, mean, rstd, weight, bias)
    memory = Memory(x)
    xs = memory.flat(x)
    y, scale = float32.empty(xs), float32(rstd if weight is None else rstd * weight)
    shift = namespace(xs).zeros_like(scale) if bias is None else float32(bias)
    arguments = (xs, float32(mean), scale, shift, y, xs.size, memory.channels, memory.inner)
    source.launch("batch_norm_forward", memory.blocks, (THREADS,), *arguments)
    return memory.restored(y, x.dtype)


def backward(g: Any, x: Any, mean: Any, rstd: Any, weight: Any, training: bool) -> tuple[Any, Any, Any]:
    """``∂x, ∂weight, ∂bias``; the last two in the type of the statistics."""
    if not float32.takes(g, x, mean, rstd, weight) or not x.size:
        return reference.backward(g, x, mean, rstd, weight, training)
    memory = Memory(x)
    xs, gs, m = memory.flat(x), memory.flat(g), float32(mean)
    dbias, along = float32.empty(xs, (memory.channels,)), float32.empty(xs, (memory.channels,))
    where = (memory.count, memory.positions, *memory.steps)
    source.launch("batch_norm_gradient_sums", (memory.channels,), (THREADS,), gs, xs, m, dbias, along, *where)
    scale, share = float32(rstd if weight is None else rstd * weight), float(training) / memory.count
    offset, slope = float32(dbias * share), float32(along * rstd * rstd * share)
    dx = float32.empty(xs)
    arguments = (gs, xs, m, scale, offset, slope, dx, xs.size, memory.channels, memory.inner)
    source.launch("batch_norm_backward", memory.blocks, (THREADS,), *arguments)
    return memory.restored(dx, x.dtype), along * rstd, dbias
