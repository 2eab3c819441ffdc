"""Convolution as matrix products, over blocks of images whose columns stay in the cache.

Arrays have logical shape (N, C, *S), and channels lie innermost in memory: a window is then a few long runs, and the
result of the product is the next layer's input as it stands. Results are views (N, C, *S) of such arrays.
"""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np

from minidl_kernels.convolution import output_size, winograd
from minidl_kernels.rows import widen
from minidl_kernels.threads import Scratch, in_parallel, one_blas_thread, slices

__all__ = ["col2im", "forward", "im2col", "input_gradient", "padded", "weight_gradient"]

BLOCK = 1 << 18  # values of columns in a block: one megabyte of float32


def forward(x: Any, w: Any, bias: Any, stride: tuple, padding: tuple, dilation: tuple, groups: int) -> Any:
    """y (N, F, *O). ``padding`` is a pair (before, after) for each dimension."""
    wide = widen(x.dtype)
    xs, n = _channels_last(x), len(x)
    out = tuple(map(output_size, x.shape[2:], w.shape[2:], stride, padding, dilation))
    y = np.empty_like(xs, x.dtype, "C", shape=(n, *out, len(w)))
    if not y.size:
        return _channels_first(y)
    if winograd.suits(x, w.shape[2:], stride, dilation, groups, len(w)):
        _over_tiles(xs, w, bias, padding, y)
        return _channels_first(y)
    matrices = _matrices(w.astype(wide, copy=False), groups)
    shift = None if bias is None else bias.astype(wide, copy=False)
    width, filters = w.shape[1], len(w) // groups

    def block(part: slice, scratch: Scratch) -> None:
        framed = padded(xs[part], padding, scratch)
        for i, matrix in enumerate(matrices):
            channels, to = slice(i * width, (i + 1) * width), slice(i * filters, (i + 1) * filters)
            columns = im2col(framed[..., channels], w.shape[2:], stride, dilation, out, scratch).astype(
                wide, copy=False
            )
            target = y[part].reshape(-1, len(w))[:, to]
            whole = groups == 1 and y.dtype == wide
            result = np.matmul(columns, matrix, out=target) if whole else columns @ matrix
            if shift is not None:
                np.add(result, shift[to], out=result)
            if not whole:
                target[...] = result

    each(block, n, math.prod(out) * math.prod(w.shape[1:]))
    return _channels_first(y)


def input_gradient(g: Any, w: Any, size: tuple, stride: tuple, padding: tuple, dilation: tuple, groups: int) -> Any:
    """∂x (N, C, *size) of ``forward``: a transposed convolution of g (N, F, *O)."""
    channels = w.shape[1] * groups
    if g.size and all(s == 1 for s in stride):
        turned, around = turned_round(w, size, g.shape[2:], padding, dilation, groups)
        return forward(g, turned, None, stride, around, dilation, groups)
    wide = widen(g.dtype)
    gs = np.ascontiguousarray(_channels_last(g))
    n, out = len(gs), g.shape[2:]
    dx = np.zeros_like(gs, g.dtype, shape=(n, *size, channels))
    if not g.size or not dx.size:
        return _channels_first(dx)
    matrices = _matrices(w.astype(wide, copy=False), groups)
    width, filters = w.shape[1], len(w) // groups

    def block(part: slice, _: Scratch) -> None:
        for i, matrix in enumerate(matrices):
            rows = gs[part, ..., i * filters : (i + 1) * filters].reshape(-1, filters).astype(wide, copy=False)
            columns = (rows @ matrix.T).reshape(-1, *out, *w.shape[2:], width)
            images = col2im(columns, size, stride, padding, dilation)
            dx[part, ..., i * width : (i + 1) * width] = images

    each(block, n, math.prod(out) * math.prod(w.shape[1:]))
    return _channels_first(dx)


def turned_round(w: Any, size: tuple, out: tuple, padding: tuple, dilation: tuple, groups: int) -> tuple[Any, tuple]:
    """Weights and padding of the convolution that takes ∂y to ∂x, for stride 1: each kernel turned round, inputs and
    outputs exchanged."""
    around = tuple(
        (d * (k - 1) - before, n + before - o)
        for k, d, (before, _), n, o in zip(w.shape[2:], dilation, padding, size, out)
    )
    turned = np.flip(w, tuple(range(2, w.ndim))).reshape(groups, -1, *w.shape[1:]).swapaxes(1, 2)
    return turned.reshape(w.shape[1] * groups, -1, *w.shape[2:]), around


def weight_gradient(x: Any, g: Any, kernel: tuple, stride: tuple, padding: tuple, dilation: tuple, groups: int) -> Any:
    """∂w (F, C / groups, *kernel), summed over blocks in a fixed order."""
    wide = widen(x.dtype)
    xs, gs = _channels_last(x), np.ascontiguousarray(_channels_last(g))
    n, out, filters, width = len(xs), g.shape[2:], g.shape[1] // groups, x.shape[1] // groups
    if g.size and winograd.suits(x, kernel, stride, dilation, groups, filters):
        return _weight_gradient_over_tiles(xs, gs, padding)
    total = np.zeros_like(gs, wide, "C", shape=(groups, math.prod(kernel) * width, filters))

    def block(part: slice, scratch: Scratch) -> list:
        parts = []
        framed = padded(xs[part], padding, scratch)
        for i in range(groups):
            columns = im2col(framed[..., i * width : (i + 1) * width], kernel, stride, dilation, out, scratch)
            rows = gs[part, ..., i * filters : (i + 1) * filters].reshape(-1, filters)
            parts.append(columns.astype(wide, copy=False).T @ rows.astype(wide, copy=False))
        return parts

    if g.size and total.size:
        for parts in each(block, n, math.prod(out) * math.prod(kernel) * width):
            for i, found in enumerate(parts):
                total[i] += found
    dw = total.reshape(groups, *kernel, width, filters)
    order = (0, dw.ndim - 1, dw.ndim - 2, *range(1, dw.ndim - 2))
    return dw.transpose(order).reshape(groups * filters, width, *kernel).astype(x.dtype, copy=False)


# --------------------------------------------------------------------------------------------------------------- tiles


def _over_tiles(xs: Any, w: Any, bias: Any, padding: tuple, y: Any) -> None:
    """The convolution of xs (N, H, W, C) by Winograd's way, into y (N, *O, F)."""
    out = y.shape[1:3]
    th, tw = winograd.tiles(out)
    covered = _covering(padding, out, (th, tw))
    weights = winograd.weight_in(w)

    def block(part: slice, scratch: Scratch) -> None:
        inputs = winograd.input_in(padded(xs[part], covered, scratch), th, tw, scratch)
        products = scratch("products", (*inputs.shape[:2], y.shape[-1]), inputs)
        winograd.output_out(np.matmul(inputs, weights, out=products), y[part], th, tw, scratch)
        if bias is not None:
            np.add(y[part], bias, out=y[part])

    each(block, len(xs), 8 * th * tw * xs.shape[-1])


def _weight_gradient_over_tiles(xs: Any, gs: Any, padding: tuple) -> Any:
    """∂w (F, C, 3, 3) from xs (N, H, W, C) and gs (N, *O, F)."""
    out = gs.shape[1:3]
    th, tw = winograd.tiles(out)
    covered = _covering(padding, out, (th, tw))
    beyond = _covering(((0, 0), (0, 0)), out, (th, tw))

    def block(part: slice, scratch: Scratch) -> Any:
        inputs = winograd.input_in(padded(xs[part], covered, scratch), th, tw, scratch)
        outputs = winograd.output_in(padded(gs[part], beyond, scratch), th, tw, scratch)
        return np.matmul(inputs.swapaxes(1, 2), outputs)

    parts = each(block, len(xs), 8 * th * tw * xs.shape[-1])
    total = parts[0]
    for part in parts[1:]:
        total += part
    return winograd.weight_out(total)


def _covering(padding: tuple, out: tuple, tiles: tuple) -> tuple:
    """The padding with which whole tiles cover the result."""
    return tuple((before, after + 2 * t - o) for (before, after), t, o in zip(padding, tiles, out))


# ------------------------------------------------------------------------------------------------------------- columns


def im2col(x: Any, kernel: tuple, stride: tuple, dilation: tuple, out: tuple, scratch: Scratch | None = None) -> Any:
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
    columns = (scratch or Scratch())("columns", windows.shape, x)
    columns[...] = windows
    return columns.reshape(n * math.prod(out), math.prod(kernel) * channels)


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


def padded(x: Any, padding: tuple, scratch: Scratch | None = None) -> Any:
    """x (N, *S, C) with zeros around it, channels innermost in memory; a negative padding cuts off."""
    if all(pair == (0, 0) for pair in padding):
        return np.ascontiguousarray(x)
    inner = tuple(slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(x.shape[1:-1], padding))
    x = x[(slice(None), *inner)]
    padding = tuple((max(a, 0), max(b, 0)) for a, b in padding)
    larger = tuple(n + a + b for n, (a, b) in zip(x.shape[1:-1], padding))
    out = (scratch or Scratch())("padded", (x.shape[0], *larger, x.shape[-1]), x)
    out.fill(0)
    out[(slice(None), *(slice(a, a + n) for n, (a, _) in zip(x.shape[1:-1], padding)))] = x
    return out


def _matrices(w: Any, groups: int) -> list:
    """The weight of each group as a matrix (K · C, F)."""
    return [
        np.ascontiguousarray(part.transpose(*range(2, w.ndim), 1, 0)).reshape(-1, len(part))
        for part in w.reshape(groups, len(w) // groups, *w.shape[1:])
    ]


def each(block: Any, images: int, width: int) -> list:
    """``block(images, scratch)`` for blocks of images, on a thread a core with BLAS at one thread each; results in order."""
    step = max(min(BLOCK // max(width, 1), images), 1)
    parts = [slice(i, min(i + step, images)) for i in range(0, images, step)]
    if len(parts) == 1:
        return [block(parts[0], Scratch())]

    def run(some: slice) -> list:
        scratch = Scratch()
        return [block(part, scratch) for part in parts[some]]

    with one_blas_thread():
        runs = in_parallel(run, slices(len(parts)))
    return [result for run in runs for result in run]
