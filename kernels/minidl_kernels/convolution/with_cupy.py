"""Convolution in CUDA C: three products of gathered operands, in tiles of 16 × 16 through shared memory.

Each block finds the values of its windows itself; the gradient of the input gathers, and that of the weights is summed in
two stages, so that nothing is added atomically and the same inputs give the same bits. To read beside the Triton form, which
uses the tensor cores. Three dimensions, and double precision, are the reference's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl_kernels.arrays import namespace
from minidl_kernels.convolution import output_size
from minidl_kernels.convolution import with_numpy as reference
from minidl_kernels.convolution.with_numpy import col2im, im2col, padded
from minidl_kernels.cuda_c import CudaSource, float32
from minidl_kernels.images import innermost, pairs, restored, suits

__all__ = ["col2im", "forward", "im2col", "input_gradient", "padded", "weight_gradient"]

source = CudaSource(__file__, "convolution.cu")
TILE, POSITIONS_A_PART = 16, 4096


def forward(x: Any, w: Any, bias: Any, stride: tuple, padding: tuple, dilation: tuple, groups: int) -> Any:
    """y (N, F, *O). ``padding`` is a pair (before, after) for each dimension."""
    out = tuple(map(output_size, x.shape[2:], w.shape[2:], stride, padding, dilation))
    if not suits(x, w) or not float32.takes(x, w, bias) or min(out) <= 0:
        return reference.forward(x, w, bias, stride, padding, dilation, groups)
    xs, b = innermost(x, "float32"), None if bias is None else float32(bias)
    geometry = _geometry(xs, x.shape[2:], w, out, stride, padding, dilation, groups)
    y = float32.empty(xs, (len(x), *pairs(out, 1), len(w)))
    grid = (_tiles(len(w) // groups), _tiles(y.size // len(w)), groups)
    source.launch("convolution_forward", grid, (TILE, TILE), xs, _matrix(w, groups, "channels"), b, y, geometry)
    return restored(y, x.ndim, x.dtype)


def input_gradient(g: Any, w: Any, size: tuple, stride: tuple, padding: tuple, dilation: tuple, groups: int) -> Any:
    """∂x (N, C, *size) of ``forward``: a transposed convolution of g (N, F, *O)."""
    if not suits(g, w) or not float32.takes(g, w) or min(size) <= 0:
        return reference.input_gradient(g, w, size, stride, padding, dilation, groups)
    gs, channels = innermost(g, "float32"), w.shape[1] * groups
    geometry = _geometry(gs, size, w, g.shape[2:], stride, padding, dilation, groups)
    dx = float32.empty(gs, (len(g), *pairs(size, 1), channels))
    grid = (_tiles(w.shape[1]), _tiles(dx.size // channels), groups)
    weights = _matrix(w, groups, "filters")
    source.launch("convolution_input_gradient", grid, (TILE, TILE), gs, weights, dx, geometry)
    return restored(dx, g.ndim, g.dtype)


def weight_gradient(x: Any, g: Any, kernel: tuple, stride: tuple, padding: tuple, dilation: tuple, groups: int) -> Any:
    """∂w (F, C / groups, *kernel)."""
    if not suits(x, g) or not float32.takes(x, g):
        return reference.weight_gradient(x, g, kernel, stride, padding, dilation, groups)
    xs, gs = innermost(x, "float32"), innermost(g, "float32")
    width, filters, (rows, columns) = x.shape[1] // groups, g.shape[1] // groups, pairs(kernel, 1)
    shape = (g.shape[1], width, *kernel)
    geometry = _geometry(xs, x.shape[2:], np.empty(shape, np.bool_), g.shape[2:], stride, padding, dilation, groups)
    depth, count = rows * columns * width, -(-(gs.size // g.shape[1]) // POSITIONS_A_PART)
    parts = float32.empty(xs, (count, groups, depth, filters))
    grid = (_tiles(filters), _tiles(depth), groups * count)
    source.launch("convolution_weight_parts", grid, (TILE, TILE), xs, gs, parts, geometry, POSITIONS_A_PART)
    total = parts.sum(0).reshape(groups, rows, columns, width, filters)
    return total.transpose(0, 4, 3, 1, 2).reshape(shape).astype(x.dtype, copy=False)


def _matrix(w: Any, groups: int, rows: str) -> Any:
    """The weights of each group as a matrix; in its rows the kernel's places and the ``rows``, channels or filters."""
    f, c, *kernel = w.shape
    split = w.reshape(groups, f // groups, c, *pairs(tuple(kernel), 1))  # group, filter, channel, row, column
    return float32(split.transpose(0, 3, 4, 2, 1) if rows == "channels" else split.transpose(0, 3, 4, 1, 2))


def _geometry(
    like: Any, size: tuple, w: Any, out: tuple, stride: tuple, padding: tuple, dilation: tuple, groups: int
) -> Any:
    """The kernels' ``Geometry``, as an array of int where the data are."""
    (h, width), (oh, ow) = pairs(tuple(size), 1), pairs(tuple(out), 1)
    before = [pair[0] for pair in pairs(padding, (0, 0))]
    kernel = pairs(w.shape[2:], 1)
    channels, filters = w.shape[1], w.shape[0] // groups
    numbers = (
        *(like.shape[0], h, width, channels, oh, ow, filters, *kernel),
        *(*pairs(stride, 1), *before, *pairs(dilation, 1), groups),
    )
    return namespace(like).asarray(numbers, "int32")


def _tiles(n: int) -> int:
    return -(-n // TILE)
