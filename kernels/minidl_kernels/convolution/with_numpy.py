"""Convolution as matrix products, over blocks of images whose columns stay in the cache.

Arrays have logical shape (N, C, *S), and channels lie innermost in memory: a window is then a few long runs, and the
result of the product is the next layer's input as it stands. Results are views (N, C, *S) of such arrays.
"""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np

from minidl_kernels.convolution import output_size
from minidl_kernels.rows import widen
from minidl_kernels.threads import in_parallel, one_blas_thread, slices

BLOCK = 1 << 18  # values of columns in a block: one megabyte of float32


def forward(x: Any, w: Any, bias: Any, stride: tuple, padding: tuple, dilation: tuple, groups: int) -> Any:
    """y (N, F, *O). ``padding`` is a pair (before, after) for each dimension."""
    wide = widen(x.dtype)
    xs, n = _channels_last(x), len(x)
    out = tuple(map(output_size, x.shape[2:], w.shape[2:], stride, padding, dilation))
    y = np.empty_like(xs, x.dtype, "C", shape=(n, *out, len(w)))
    if not y.size:
        return _channels_first(y)
    matrices = _matrices(w.astype(wide, copy=False), groups)
    shift = None if bias is None else bias.astype(wide, copy=False)
    width, filters = w.shape[1], len(w) // groups

    def block(part: slice) -> None:
        framed = padded(xs[part], padding)
        for i, matrix in enumerate(matrices):
            channels, to = slice(i * width, (i + 1) * width), slice(i * filters, (i + 1) * filters)
            columns = im2col(framed[..., channels], w.shape[2:], stride, dilation, out).astype(wide, copy=False)
            target = y[part].reshape(-1, len(w))[:, to]
            whole = groups == 1 and y.dtype == wide
            result = np.matmul(columns, matrix, out=target) if whole else columns @ matrix
            if shift is not None:
                np.add(result, shift[to], out=result)
            if not whole:
                target[...] = result

    _each(block, n, math.prod(out) * math.prod(w.shape[1:]))
    return _channels_first(y)


def input_gradient(g: Any, w: Any, size: tuple, stride: tuple, padding: tuple, dilation: tuple, groups: int) -> Any:
    """∂x (N, C, *size) of ``forward``: a transposed convolution of g (N, F, *O)."""
    channels = w.shape[1] * groups
    if g.size and all(s == 1 for s in stride):
        # With stride 1 it is a convolution of g with the kernel turned round, inputs and outputs exchanged.
        around = tuple(
            (d * (k - 1) - before, n + d * (k - 1) - (o + d * (k - 1) - before))
            for k, d, (before, _), n, o in zip(w.shape[2:], dilation, padding, size, g.shape[2:])
        )
        turned = np.flip(w, tuple(range(2, w.ndim))).reshape(groups, -1, *w.shape[1:]).swapaxes(1, 2)
        return forward(g, turned.reshape(channels, -1, *w.shape[2:]), None, stride, around, dilation, groups)
    wide = widen(g.dtype)
    gs = np.ascontiguousarray(_channels_last(g))
    n, out = len(gs), g.shape[2:]
    dx = np.zeros_like(gs, g.dtype, shape=(n, *size, channels))
    if not g.size or not dx.size:
        return _channels_first(dx)
    matrices = _matrices(w.astype(wide, copy=False), groups)
    width, filters = w.shape[1], len(w) // groups

    def block(part: slice) -> None:
        for i, matrix in enumerate(matrices):
            rows = gs[part, ..., i * filters : (i + 1) * filters].reshape(-1, filters).astype(wide, copy=False)
            columns = (rows @ matrix.T).reshape(-1, *out, *w.shape[2:], width)
            images = col2im(columns, size, stride, padding, dilation)
            dx[part, ..., i * width : (i + 1) * width] = images

    _each(block, n, math.prod(out) * math.prod(w.shape[1:]))
    return _channels_first(dx)


def weight_gradient(x: Any, g: Any, kernel: tuple, stride: tuple, padding: tuple, dilation: tuple, groups: int) -> Any:
    """∂w (F, C / groups, *kernel), summed over blocks in a fixed order."""
    wide = widen(x.dtype)
    xs, gs = _channels_last(x), np.ascontiguousarray(_channels_last(g))
    n, out, filters, width = len(xs), g.shape[2:], g.shape[1] // groups, x.shape[1] // groups
    total = np.zeros_like(gs, wide, "C", shape=(groups, math.prod(kernel) * width, filters))

    def block(part: slice) -> list:
        parts = []
        framed = padded(xs[part], padding)
        for i in range(groups):
            columns = im2col(framed[..., i * width : (i + 1) * width], kernel, stride, dilation, out)
            rows = gs[part, ..., i * filters : (i + 1) * filters].reshape(-1, filters)
            parts.append(columns.astype(wide, copy=False).T @ rows.astype(wide, copy=False))
        return parts

    if g.size and total.size:
        for parts in _each(block, n, math.prod(out) * math.prod(kernel) * width):
            for i, found in enumerate(parts):
                total[i] += found
    dw = total.reshape(groups, *kernel, width, filters)
    order = (0, dw.ndim - 1, dw.ndim - 2, *range(1, dw.ndim - 2))
    return dw.transpose(order).reshape(groups * filters, width, *kernel).astype(x.dtype, copy=False)


# ------------------------------------------------------------------------------------------------------------- columns


def im2col(x: Any, kernel: tuple, stride: tuple, dilation: tuple, out: tuple) -> Any:
    """The windows of x (N, *S, C), padded already, as rows: (N · O, K · C)."""
    n, channels = x.shape[0], x.shape[-1]
    steps = x.strides[1:-1]
    windows = np.lib.stride_tricks.as_strided(
        x,
        (n, *out, *kernel, channels),
        (
            x.strides[0],
            *(a * s for a, s in zip(steps, stride)),
            *(a * d for a, d in zip(steps, dilation)),
            x.strides[-1],
        ),
        writeable=False,
    )
    return windows.reshape(n * math.prod(out), math.prod(kernel) * channels)


def col2im(columns: Any, size: tuple, stride: tuple, padding: tuple, dilation: tuple) -> Any:
    """The adjoint of padding and ``im2col``: columns (N, *O, *K, C) added up where their windows lie, (N, *size, C)."""
    ndim = len(size)
    n, out, kernel, channels = (
        columns.shape[0],
        columns.shape[1 : 1 + ndim],
        columns.shape[1 + ndim : -1],
        columns.shape[-1],
    )
    padded = tuple(m + a + max(b, 0) for m, (a, b) in zip(size, padding))
    image = np.zeros_like(columns, shape=(n, *padded, channels))
    for offset in product(*map(range, kernel)):
        places = tuple(slice(k * d, k * d + (o - 1) * s + 1, s) for k, d, o, s in zip(offset, dilation, out, stride))
        image[(slice(None), *places)] += columns[(slice(None),) * (1 + ndim) + offset]
    inside = tuple(slice(a, a + m) for m, (a, _) in zip(size, padding))
    return image[(slice(None), *inside)]


# ------------------------------------------------------------------------------------------------------------- helpers


def _channels_last(x: Any) -> Any:
    return x.transpose(0, *range(2, x.ndim), 1)


def _channels_first(x: Any) -> Any:
    return x.transpose(0, x.ndim - 1, *range(1, x.ndim - 1))


def padded(x: Any, padding: tuple) -> Any:
    """x (N, *S, C) with zeros around it, channels innermost in memory; a negative padding cuts off."""
    if all(pair == (0, 0) for pair in padding):
        return np.ascontiguousarray(x)
    inner = tuple(slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(x.shape[1:-1], padding))
    x = x[(slice(None), *inner)]
    padding = tuple((max(a, 0), max(b, 0)) for a, b in padding)
    larger = tuple(n + a + b for n, (a, b) in zip(x.shape[1:-1], padding))
    out = np.zeros_like(x, shape=(x.shape[0], *larger, x.shape[-1]), order="C")
    out[(slice(None), *(slice(a, a + n) for n, (a, _) in zip(x.shape[1:-1], padding)))] = x
    return out


def _matrices(w: Any, groups: int) -> list:
    """The weight of each group as a matrix (K · C, F)."""
    return [
        np.ascontiguousarray(part.transpose(*range(2, w.ndim), 1, 0)).reshape(-1, len(part))
        for part in w.reshape(groups, len(w) // groups, *w.shape[1:])
    ]


def _each(block: Any, images: int, width: int) -> list:
    """``block`` of every block of images, on a thread a core with BLAS at one thread each; the results in order."""
    step = max(min(BLOCK // max(width, 1), images), 1)
    parts = [slice(i, min(i + step, images)) for i in range(0, images, step)]
    if len(parts) == 1:
        return [block(parts[0])]
    with one_blas_thread():
        runs = in_parallel(lambda some: [block(part) for part in parts[some]], slices(len(parts)))
    return [result for run in runs for result in run]
