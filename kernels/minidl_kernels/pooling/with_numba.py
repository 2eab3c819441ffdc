"""Pooling as compiled loops over images whose channels lie innermost: one pass, all channels of a position at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl_kernels.compiled import compiled, over_rows, takes
from minidl_kernels.pooling import with_numpy as reference
from minidl_kernels.pooling.with_numpy import lowest, places

__all__ = ["lowest", "max_backward", "max_forward", "places", "sum_backward", "sum_forward"]


@compiled
def _max_forward(x, kernel, stride, before, dilation, y, which):
    for n in range(y.shape[0]):
        for oy in range(y.shape[1]):
            for ox in range(y.shape[2]):
                for c in range(y.shape[3]):
                    y[n, oy, ox, c] = -np.inf
                    which[n, oy, ox, c] = 0
                for ky in range(kernel[0]):
                    iy = oy * stride[0] - before[0] + ky * dilation[0]
                    if iy < 0 or iy >= x.shape[1]:
                        continue
                    for kx in range(kernel[1]):
                        ix = ox * stride[1] - before[1] + kx * dilation[1]
                        if ix < 0 or ix >= x.shape[2]:
                            continue
                        number = np.uint8(ky * kernel[1] + kx)
                        for c in range(y.shape[3]):
                            value, best = x[n, iy, ix, c], y[n, oy, ox, c]
                            larger = value > best
                            y[n, oy, ox, c] = value if larger or value != value else best
                            which[n, oy, ox, c] = number if larger else which[n, oy, ox, c]


@compiled
def _max_backward(g, which, kernel, stride, before, dilation, dx):
    for n in range(g.shape[0]):
        for oy in range(g.shape[1]):
            for ox in range(g.shape[2]):
                for ky in range(kernel[0]):
                    iy = oy * stride[0] - before[0] + ky * dilation[0]
                    if iy < 0 or iy >= dx.shape[1]:
                        continue
                    for kx in range(kernel[1]):
                        ix = ox * stride[1] - before[1] + kx * dilation[1]
                        if ix < 0 or ix >= dx.shape[2]:
                            continue
                        number = np.uint8(ky * kernel[1] + kx)
                        for c in range(g.shape[3]):
                            dx[n, iy, ix, c] += g[n, oy, ox, c] if which[n, oy, ox, c] == number else np.float32(0)


@compiled
def _sum_forward(x, kernel, stride, before, y):
    for n in range(y.shape[0]):
        for oy in range(y.shape[1]):
            for ox in range(y.shape[2]):
                for c in range(y.shape[3]):
                    y[n, oy, ox, c] = 0
                for iy in range(
                    max(oy * stride[0] - before[0], 0), min(oy * stride[0] - before[0] + kernel[0], x.shape[1])
                ):
                    for ix in range(
                        max(ox * stride[1] - before[1], 0), min(ox * stride[1] - before[1] + kernel[1], x.shape[2])
                    ):
                        for c in range(y.shape[3]):
                            y[n, oy, ox, c] += x[n, iy, ix, c]


@compiled
def _sum_backward(g, kernel, stride, before, dx):
    for n in range(g.shape[0]):
        for oy in range(g.shape[1]):
            for ox in range(g.shape[2]):
                for iy in range(
                    max(oy * stride[0] - before[0], 0), min(oy * stride[0] - before[0] + kernel[0], dx.shape[1])
                ):
                    for ix in range(
                        max(ox * stride[1] - before[1], 0), min(ox * stride[1] - before[1] + kernel[1], dx.shape[2])
                    ):
                        for c in range(g.shape[3]):
                            dx[n, iy, ix, c] += g[n, oy, ox, c]


def _images(x: Any) -> Any:
    """x (N, C, H, W) as a contiguous (N, H, W, C); a copy where its channels do not lie innermost."""
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1))


def _suits(x: Any, kernel: tuple) -> bool:
    """Two dimensions, windows whose places fit a byte, and channels that already lie innermost."""
    flat = len(kernel) == 2 and x.ndim == 4 and kernel[0] * kernel[1] <= 256 and x.size > 0
    return flat and x.transpose(0, 2, 3, 1).flags.c_contiguous


def _new(make: Any, like: Any, out: tuple, dtype: Any = np.float32) -> Any:
    return make((like.shape[0], *out, like.shape[1]), dtype)


def _before(padding: tuple) -> tuple:
    return tuple(int(pair[0]) for pair in padding)


def max_forward(x: Any, kernel: tuple, stride: tuple, padding: tuple, dilation: tuple, out: tuple) -> tuple[Any, Any]:
    """``y, which``; ``padding`` is a pair (before, after) for each dimension."""
    if not takes(x) or not _suits(x, kernel):
        return reference.max_forward(x, kernel, stride, padding, dilation, out)
    xs, y, which = _images(x), _new(np.empty, x, out), _new(np.empty, x, out, np.uint8)
    over_rows(lambda p: _max_forward(xs[p], kernel, stride, _before(padding), dilation, y[p], which[p]), len(x), x.size)
    return y.transpose(0, 3, 1, 2), which.transpose(0, 3, 1, 2)


def max_backward(g: Any, which: Any, size: tuple, kernel: tuple, stride: tuple, padding: tuple, dilation: tuple) -> Any:
    """∂x (N, C, *size)."""
    if not takes(g) or not _suits(which, kernel):
        return reference.max_backward(g, which, size, kernel, stride, padding, dilation)
    gs, found, dx = _images(g), _images(which), _new(np.zeros, g, size)
    over_rows(
        lambda p: _max_backward(gs[p], found[p], kernel, stride, _before(padding), dilation, dx[p]), len(g), g.size
    )
    return dx.transpose(0, 3, 1, 2)


def sum_forward(x: Any, kernel: tuple, stride: tuple, padding: tuple, out: tuple) -> Any:
    """The sum of each window."""
    if not takes(x) or not _suits(x, kernel):
        return reference.sum_forward(x, kernel, stride, padding, out)
    xs, y = _images(x), _new(np.empty, x, out)
    over_rows(lambda p: _sum_forward(xs[p], kernel, stride, _before(padding), y[p]), len(x), x.size)
    return y.transpose(0, 3, 1, 2)


def sum_backward(g: Any, size: tuple, kernel: tuple, stride: tuple, padding: tuple) -> Any:
    """∂x (N, C, *size)."""
    if not takes(g) or not _suits(g, kernel):
        return reference.sum_backward(g, size, kernel, stride, padding)
    gs, dx = _images(g), _new(np.zeros, g, size)
    over_rows(lambda p: _sum_backward(gs[p], kernel, stride, _before(padding), dx[p]), len(g), g.size)
    return dx.transpose(0, 3, 1, 2)
