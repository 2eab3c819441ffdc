"""Convolution with compiled loops around BLAS: Winograd's way, its maps one pass each, its products BLAS's.

Between two products NumPy would make thirty calls for the maps of a block of images, and two threads would wait for each
other's turn at the interpreter in each. Here it is three calls. Other convolutions than 3 × 3 of stride 1 are the
reference's: gathering windows for one large product is BLAS's work but for a copy, which NumPy does as fast.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl_kernels.compiled import compiled, takes
from minidl_kernels.convolution import output_size, winograd
from minidl_kernels.convolution import with_numpy as reference
from minidl_kernels.convolution.with_numpy import col2im, each, im2col, padded, turned_round
from minidl_kernels.threads import Scratch

__all__ = ["col2im", "each", "forward", "im2col", "input_gradient", "padded", "turned_round", "weight_gradient"]


@compiled
def _row(x, n, y, left, width, out):
    """Columns ``left`` … of row y of image n, zeros outside, into ``out`` (width, C)."""
    for i in range(width):
        column = left + i
        if y < 0 or y >= x.shape[1] or column < 0 or column >= x.shape[2]:
            for c in range(x.shape[3]):
                out[i, c] = np.float32(0)
        else:
            for c in range(x.shape[3]):
                out[i, c] = x[n, y, column, c]


@compiled
def _input_in(x, top, left, th, tw, places):
    """Bᵀ d B of the tiles of x (N, H, W, C), whose first row and column are ``top`` and ``left``: (4, 4, N, th, tw, C)."""
    width, channels = 2 * tw + 2, x.shape[3]
    d = np.empty((4, width, channels), np.float32)
    for n in range(x.shape[0]):
        for ty in range(th):
            for i in range(4):
                _row(x, n, top + 2 * ty + i, left, width, d[i])
            for column in range(width):
                for c in range(channels):
                    a, b, e, f = d[0, column, c], d[1, column, c], d[2, column, c], d[3, column, c]
                    d[0, column, c] = a - e
                    d[1, column, c] = b + e
                    d[2, column, c] = e - b
                    d[3, column, c] = b - f
            for i in range(4):
                for tx in range(tw):
                    for c in range(channels):
                        a, b, e, f = d[i, 2 * tx, c], d[i, 2 * tx + 1, c], d[i, 2 * tx + 2, c], d[i, 2 * tx + 3, c]
                        places[i, 0, n, ty, tx, c] = a - e
                        places[i, 1, n, ty, tx, c] = b + e
                        places[i, 2, n, ty, tx, c] = e - b
                        places[i, 3, n, ty, tx, c] = b - f


@compiled
def _output_out(m, bias, y):
    """Aᵀ m A of products (4, 4, N, th, tw, F), plus the bias, into y (N, H, W, F)."""
    filters = y.shape[3]
    rows = np.empty((2, 4, filters), np.float32)
    for n in range(y.shape[0]):
        for ty in range(m.shape[3]):
            for tx in range(m.shape[4]):
                for j in range(4):
                    for f in range(filters):
                        a, b, c, d = (
                            m[0, j, n, ty, tx, f],
                            m[1, j, n, ty, tx, f],
                            m[2, j, n, ty, tx, f],
                            m[3, j, n, ty, tx, f],
                        )
                        rows[0, j, f] = a + b + c
                        rows[1, j, f] = b - c - d
                for i in range(min(2, y.shape[1] - 2 * ty)):
                    for f in range(filters):
                        y[n, 2 * ty + i, 2 * tx, f] = rows[i, 0, f] + rows[i, 1, f] + rows[i, 2, f] + bias[f]
                    if 2 * tx + 1 < y.shape[2]:
                        for f in range(filters):
                            y[n, 2 * ty + i, 2 * tx + 1, f] = rows[i, 1, f] - rows[i, 2, f] - rows[i, 3, f] + bias[f]


@compiled
def _output_in(g, th, tw, places):
    """A ∂y Aᵀ of gradients g (N, H, W, F): (4, 4, N, th, tw, F)."""
    width, filters = 2 * tw, g.shape[3]
    r = np.empty((4, width, filters), np.float32)
    for n in range(g.shape[0]):
        for ty in range(th):
            _row(g, n, 2 * ty, 0, width, r[0])
            _row(g, n, 2 * ty + 1, 0, width, r[3])
            for column in range(width):
                for f in range(filters):
                    a, b = r[0, column, f], r[3, column, f]
                    r[1, column, f] = a + b
                    r[2, column, f] = a - b
                    r[3, column, f] = -b
            for i in range(4):
                for tx in range(tw):
                    for f in range(filters):
                        a, b = r[i, 2 * tx, f], r[i, 2 * tx + 1, f]
                        places[i, 0, n, ty, tx, f] = a
                        places[i, 1, n, ty, tx, f] = a + b
                        places[i, 2, n, ty, tx, f] = a - b
                        places[i, 3, n, ty, tx, f] = -b


def forward(x: Any, w: Any, bias: Any, stride: tuple, padding: tuple, dilation: tuple, groups: int) -> Any:
    """y (N, F, *O). ``padding`` is a pair (before, after) for each dimension."""
    out = tuple(map(output_size, x.shape[2:], w.shape[2:], stride, padding, dilation))
    if not takes(x, w, bias) or not winograd.suits(x, w.shape[2:], stride, dilation, groups, len(w)) or not x.size:
        return reference.forward(x, w, bias, stride, padding, dilation, groups)
    xs = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    y = np.empty((len(x), *out, len(w)), np.float32)
    (th, tw), weights = winograd.tiles(out), winograd.weight_in(w)
    shift = np.zeros(len(w), np.float32) if bias is None else np.ascontiguousarray(bias)

    def block(part: slice, scratch: Scratch) -> None:
        places = scratch("inputs", (4, 4, len(xs[part]), th, tw, xs.shape[-1]), xs)
        _input_in(xs[part], -padding[0][0], -padding[1][0], th, tw, places)
        products = scratch("products", (4, 4, len(xs[part]), th, tw, len(w)), xs)
        np.matmul(places.reshape(16, -1, xs.shape[-1]), weights, out=products.reshape(16, -1, len(w)))
        _output_out(products, shift, y[part])

    each(block, len(x), 16 * th * tw * xs.shape[-1])
    return y.transpose(0, 3, 1, 2)


def input_gradient(g: Any, w: Any, size: tuple, stride: tuple, padding: tuple, dilation: tuple, groups: int) -> Any:
    """∂x (N, C, *size) of ``forward``: a transposed convolution of g (N, F, *O)."""
    if not g.size or any(s != 1 for s in stride):
        return reference.input_gradient(g, w, size, stride, padding, dilation, groups)
    turned, around = turned_round(w, size, g.shape[2:], padding, dilation, groups)
    return forward(g, turned, None, stride, around, dilation, groups)


def weight_gradient(x: Any, g: Any, kernel: tuple, stride: tuple, padding: tuple, dilation: tuple, groups: int) -> Any:
    """∂w (F, C / groups, *kernel), summed over blocks in a fixed order."""
    if not takes(x, g) or not winograd.suits(x, kernel, stride, dilation, groups, g.shape[1]) or not g.size:
        return reference.weight_gradient(x, g, kernel, stride, padding, dilation, groups)
    xs, gs = (np.ascontiguousarray(a.transpose(0, 2, 3, 1)) for a in (x, g))
    (th, tw), channels, filters = winograd.tiles(g.shape[2:]), x.shape[1], g.shape[1]

    def block(part: slice, scratch: Scratch) -> Any:
        inputs = scratch("inputs", (4, 4, len(xs[part]), th, tw, channels), xs)
        _input_in(xs[part], -padding[0][0], -padding[1][0], th, tw, inputs)
        outputs = scratch("outputs", (4, 4, len(xs[part]), th, tw, filters), xs)
        _output_in(gs[part], th, tw, outputs)
        return np.matmul(inputs.reshape(16, -1, channels).swapaxes(1, 2), outputs.reshape(16, -1, filters))

    parts = each(block, len(x), 16 * th * tw * channels)
    return winograd.weight_out(sum(parts[1:], parts[0]))
