"""Dropout in blocks that stay in the cache, on several cores."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl_kernels.arrays import namespace
from minidl_kernels.philox import uniform
from minidl_kernels.rows import widen
from minidl_kernels.threads import in_parallel, slices

BLOCK = 1 << 15
WORTH_THREADS = 1 << 16


def forward(x: Any, p: float, seed: int) -> Any:
    """y: the values that are kept, scaled."""
    xp = namespace(x)
    flat = xp.ascontiguousarray(x).reshape(-1)
    y = xp.empty(flat.shape, x.dtype)
    scale = widen(x.dtype).type(1 / (1 - p) if p < 1 else 0)

    def run(part: slice) -> None:
        for begin in range(part.start, part.stop, BLOCK):
            end = min(begin + BLOCK, part.stop)
            factors = (uniform(begin, end - begin, seed, xp) >= np.float32(p)) * scale
            y[begin:end] = flat[begin:end] * factors

    in_parallel(run, slices(flat.size, None if flat.size >= WORTH_THREADS else 1, BLOCK))
    return y.reshape(x.shape)


def backward(g: Any, p: float, seed: int) -> Any:
    """∂x: the gradients of the values that were kept, scaled; the same map as forward's, which is linear."""
    return forward(g, p, seed)
