"""Pooling as a walk over the offsets inside a window: each step takes one value of every window at once.

Arrays (N, C, *S) may have any memory order; results have that of the input, so that channels stay innermost where
convolutions left them.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from minidl_kernels.threads import in_parallel, slices

WORTH_THREADS = 1 << 18


def _places(offset: tuple, out: tuple, stride: tuple, dilation: tuple) -> tuple:
    """Where the value at ``offset`` of every window lies."""
    steps = (slice(k * d, k * d + (o - 1) * s + 1, s) for k, d, o, s in zip(offset, dilation, out, stride))
    return (slice(None), slice(None), *steps)


def _framed(x: Any, padding: tuple, outside: Any) -> Any:
    """x with ``outside`` around it, in the same memory order."""
    if all(pair == (0, 0) for pair in padding):
        return x
    larger = tuple(n + a + b for n, (a, b) in zip(x.shape[2:], padding))
    frame = np.full_like(x, outside, shape=(*x.shape[:2], *larger))
    frame[_inside(x.shape[2:], padding)] = x
    return frame


def _inside(size: tuple, padding: tuple) -> tuple:
    return (slice(None), slice(None), *(slice(a, a + n) for n, (a, _) in zip(size, padding)))


def _each(function: Any, x: Any) -> None:
    """``function`` of slices of the batch, on several threads where it pays."""
    in_parallel(function, slices(len(x)) if x.size >= WORTH_THREADS else [slice(0, len(x))])


def lowest(dtype: Any) -> Any:
    """What is smaller than every value of a type."""
    return np.iinfo(dtype).min if dtype.kind in "iu" else -np.inf


def max_forward(x: Any, kernel: tuple, stride: tuple, padding: tuple, dilation: tuple, out: tuple) -> tuple[Any, Any]:
    """``y, which``; ``padding`` is a pair (before, after) for each dimension."""
    y = np.empty_like(x, shape=(*x.shape[:2], *out))
    which = np.empty_like(y, np.uint8 if np.prod(kernel) <= 256 else np.int32)

    def part_of(part: slice) -> None:
        xs, ys, found = _framed(x[part], padding, lowest(x.dtype)), y[part], which[part]
        for number, offset in enumerate(product(*map(range, kernel))):
            candidate = xs[_places(offset, out, stride, dilation)]
            if number == 0:
                ys[...] = candidate
                found[...] = 0
                continue
            np.copyto(found, number, where=candidate > ys)
            np.maximum(ys, candidate, out=ys)  # lets nan through

    _each(part_of, x)
    return y, which


def max_backward(g: Any, which: Any, size: tuple, kernel: tuple, stride: tuple, padding: tuple, dilation: tuple) -> Any:
    """∂x (N, C, *size)."""
    out = g.shape[2:]
    larger = tuple(n + a + b for n, (a, b) in zip(size, padding))
    dx = np.zeros_like(which, g.dtype, shape=(*g.shape[:2], *larger))
    apart = all(s >= d * (k - 1) + 1 for k, s, d in zip(kernel, stride, dilation))

    def part_of(part: slice) -> None:
        gs, found, ds = g[part], which[part], dx[part]
        for number, offset in enumerate(product(*map(range, kernel))):
            places = ds[_places(offset, out, stride, dilation)]
            if apart:  # windows do not overlap: nothing has been written there yet
                np.multiply(gs, found == number, out=places)
            else:
                places += np.where(found == number, gs, gs.dtype.type(0))

    _each(part_of, g)
    return dx[_inside(size, padding)]


def places(which: Any, size: tuple, kernel: tuple, stride: tuple, padding: tuple, dilation: tuple) -> Any:
    """``which`` as PyTorch's indices: the number of each maximum among the values of (*size), row-major."""
    index = np.zeros(which.shape, np.int64)
    offsets = np.unravel_index(which.astype(np.int64), kernel)
    for axis, (offset, s, d, (before, _), n) in enumerate(zip(offsets, stride, dilation, padding, size)):
        starts = np.arange(which.shape[2 + axis]) * s - before
        starts = starts.reshape(-1, *(1,) * (len(size) - 1 - axis))
        index = index * n + starts + offset * d
    return index


def sum_forward(x: Any, kernel: tuple, stride: tuple, padding: tuple, out: tuple) -> Any:
    """The sum of each window."""
    y = np.zeros_like(x, shape=(*x.shape[:2], *out))
    one = (1,) * len(kernel)

    def part_of(part: slice) -> None:
        xs, ys = _framed(x[part], padding, 0), y[part]
        for offset in product(*map(range, kernel)):
            np.add(ys, xs[_places(offset, out, stride, one)], out=ys)

    _each(part_of, x)
    return y


def sum_backward(g: Any, size: tuple, kernel: tuple, stride: tuple, padding: tuple) -> Any:
    """∂x (N, C, *size)."""
    larger = tuple(n + a + b for n, (a, b) in zip(size, padding))
    dx = np.zeros_like(g, shape=(*g.shape[:2], *larger))
    one = (1,) * len(kernel)

    def part_of(part: slice) -> None:
        for offset in product(*map(range, kernel)):
            places = dx[part][_places(offset, g.shape[2:], stride, one)]
            np.add(places, g[part], out=places)

    _each(part_of, g)
    return dx[_inside(size, padding)]
