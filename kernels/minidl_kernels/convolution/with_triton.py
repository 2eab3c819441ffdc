"""Convolution in Triton as a matrix product that nobody writes down: the windows' matrix exists a tile at a time, on chip.

correlate         y[pixels, filters] is the product of the windows (pixels, taps · channels) with the weights (taps · channels,
                  filters). A program owns a tile (ROWS, COLUMNS) of y, walks along taps and channels, and works out where
                  each value of its tile of windows lies in x. Channels lie innermost in memory (inputs that do not come
                  like this are copied), so that a tile of windows is made of runs of DEPTH values.
input gradient    The same kernel. Which outputs and taps an input pixel i receives from is decided by
                  o s = i + p - k d; for all pixels with the same remainder of i by the stride, o steps along
                  with k, as in a convolution with every s-th tap. So there is a launch for each remainder, on views of
                  ∂x and w.
weight gradient   The product (filters, pixels) · (pixels, taps · channels): few results, each a long sum. The pixels
                  are split among several programs a tile; a second kernel adds their sums in a fixed order: no atomics.

One-dimensional arrays are two-dimensional ones of height 1; three dimensions are left to the reference.

Sources: S. Chetlur et al., "cuDNN: efficient primitives for deep learning" (2014), for the implicit product; V. Dumoulin
and F. Visin, "A guide to convolution arithmetic for deep learning" (2016).
"""

from __future__ import annotations

import math
from functools import partial
from itertools import product
from typing import Any

from minidl_kernels.triton_runtime import launch, next_power_of_2

import triton  # isort: skip
import triton.language as tl  # isort: skip

from minidl_kernels.arrays import namespace
from minidl_kernels.convolution import output_size
from minidl_kernels.convolution import with_numpy as reference
from minidl_kernels.convolution.with_numpy import col2im, each, im2col, padded, turned_round  # noqa: F401
from minidl_kernels.precision import input_precision
from minidl_kernels.triton_functions import tile_of


@triton.jit
def correlate(
    x,
    w,
    bias,
    y,
    x_steps,  # image, channel, row, column; channels of 1
    w_steps,  # group, filter, channel, row, column
    y_steps,
    size_y,
    size_x,
    out_y,
    out_x,
    pixels,  # images * out_y * out_x
    filters,  # of a group
    channels,  # of a group
    taps_y,
    taps_x,
    stride_y,
    stride_x,
    base_y,
    base_x,
    tap_y,
    tap_x,
    FLAT: tl.constexpr,  # taps and channels together are cut into tiles; otherwise channels are, tap by tap
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """y[o, f] = bias[f] + Σ_k Σ_c w[f, c, k] x[o stride + base + k tap, c], zero outside."""
    group = tl.program_id(1).to(tl.int64)
    tile_m, tile_n = tile_of(tl.program_id(0), tl.cdiv(pixels, ROWS), tl.cdiv(filters, COLUMNS), 8)
    pixel = tile_m * ROWS + tl.arange(0, ROWS)
    f = tile_n * COLUMNS + tl.arange(0, COLUMNS)
    image = pixel // (out_y * out_x)
    row, column = pixel // out_x % out_y, pixel % out_x
    first_y, first_x = row * stride_y + base_y, column * stride_x + base_x
    x += group * channels * x_steps[1]
    x_rows = image.to(tl.int64) * x_steps[0]
    w += group * w_steps[0]
    d = tl.arange(0, DEPTH)
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    known = pixel[:, None] < pixels
    for start in range(0, taps_y * taps_x * channels, DEPTH):
        if FLAT:
            tap, c = (start + d) // channels, (start + d) % channels
            along_y, along_x = (tap // taps_x)[None, :], (tap % taps_x)[None, :]
            down_y, down_x = (tap // taps_x)[:, None], (tap % taps_x)[:, None]
        else:  # one tap for the tile: its bounds are checked once a row
            tap, c = start // channels, start % channels + d
            along_y, along_x = tap // taps_x, tap % taps_x
            down_y, down_x = along_y, along_x
        at_y = first_y[:, None] + along_y * tap_y
        at_x = first_x[:, None] + along_x * tap_x
        inside = (at_y >= 0) & (at_y < size_y) & (at_x >= 0) & (at_x < size_x) & known
        useful = f[None, :] < filters
        if FLAT:
            inside = inside & (tap < taps_y * taps_x)[None, :]
            useful = useful & (tap < taps_y * taps_x)[:, None]
        places = x + x_rows[:, None] + at_y * x_steps[2] + at_x * x_steps[3] + c[None, :] * x_steps[1]
        windows = tl.load(places, mask=inside, other=0.0)
        places = w + f[None, :] * w_steps[1] + c[:, None] * w_steps[2] + down_y * w_steps[3] + down_x * w_steps[4]
        weights = tl.load(places, mask=useful, other=0.0)
        total = tl.dot(windows, weights, total, input_precision=PRECISION)
    if bias is not None:
        total += tl.load(bias + group * filters + f, mask=f < filters, other=0.0).to(tl.float32)[None, :]
    y_rows = image.to(tl.int64) * y_steps[0] + row.to(tl.int64) * y_steps[2] + column * y_steps[3]
    places = y + y_rows[:, None] + (group * filters + f)[None, :] * y_steps[1]
    tl.store(places, total.to(y.dtype.element_ty), mask=(pixel[:, None] < pixels) & (f[None, :] < filters))


@triton.jit
def weigh(
    x,
    g,
    partial_sums,  # (parts, groups, filters, taps · channels)
    x_steps,
    g_steps,
    size_y,
    size_x,
    out_y,
    out_x,
    pixels,
    filters,
    channels,
    taps,
    taps_x,
    stride_y,
    stride_x,
    base_y,
    base_x,
    tap_y,
    tap_x,
    share,  # pixels of a part
    groups,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """A part's share of Σ_o g[o, f] x[o stride + base + k tap, c], for a tile of filters f and of taps and channels (k, c)."""
    group, part = tl.program_id(1).to(tl.int64), tl.program_id(2)
    tile_m, tile_n = tile_of(tl.program_id(0), tl.cdiv(filters, ROWS), tl.cdiv(taps * channels, COLUMNS), 8)
    f = tile_m * ROWS + tl.arange(0, ROWS)
    j = tile_n * COLUMNS + tl.arange(0, COLUMNS)
    tap, c = j // channels, j % channels
    offset_y, offset_x = tap // taps_x * tap_y + base_y, tap % taps_x * tap_x + base_x
    x += group * channels * x_steps[1]
    g += group * filters * g_steps[1]
    d = tl.arange(0, DEPTH)
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(part * share, min(part * share + share, pixels), DEPTH):
        pixel = start + d
        image = (pixel // (out_y * out_x)).to(tl.int64)
        row, column = pixel // out_x % out_y, pixel % out_x
        used = pixel < pixels
        at_y = (row * stride_y)[:, None] + offset_y[None, :]
        at_x = (column * stride_x)[:, None] + offset_x[None, :]
        inside = (at_y >= 0) & (at_y < size_y) & (at_x >= 0) & (at_x < size_x) & (j < taps * channels)[None, :]
        places = x + (image * x_steps[0])[:, None] + at_y * x_steps[2] + at_x * x_steps[3] + c[None, :] * x_steps[1]
        windows = tl.load(places, mask=inside & used[:, None], other=0.0)
        g_rows = image * g_steps[0] + row.to(tl.int64) * g_steps[2] + column * g_steps[3]
        gradients = tl.load(
            g + f[:, None] * g_steps[1] + g_rows[None, :], mask=(f < filters)[:, None] & used[None, :], other=0.0
        )
        total = tl.dot(gradients, windows, total, input_precision=PRECISION)
    places = partial_sums + ((part * groups + group) * filters + f[:, None]) * (taps * channels) + j[None, :]
    inside = (f < filters)[:, None] & (j < taps * channels)[None, :]
    tl.store(places, total.to(partial_sums.dtype.element_ty), mask=inside)


@triton.jit
def add_parts(partial_sums, dw, n, parts, BLOCK: tl.constexpr):
    """dw = Σ over the parts, in order."""
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), tl.float32)
    for _ in range(parts):
        total += tl.load(partial_sums + i, mask=i < n, other=0.0)
        partial_sums += n
    tl.store(dw + i, total.to(dw.dtype.element_ty), mask=i < n)


def forward(x: Any, w: Any, bias: Any, stride: tuple, padding: tuple, dilation: tuple, groups: int) -> Any:
    """y (N, F, *O). ``padding`` is a pair (before, after) for each dimension."""
    out = tuple(map(output_size, x.shape[2:], w.shape[2:], stride, padding, dilation))
    if not _takes(x, w) or min(out) < 1:
        return reference.forward(x, w, bias, stride, padding, dilation, groups)
    if x.ndim == 3:
        y = forward(x[:, :, None], w[:, :, None], bias, (1, *stride), ((0, 0), *padding), (1, *dilation), groups)
        return y[:, :, 0]
    xp = namespace(x)
    y = xp.empty((len(x), *out, len(w)), x.dtype).transpose(0, 3, 1, 2)
    _correlate(_innermost(xp, x), _split(xp, w, groups), bias, y, stride, tuple(-a for a, _ in padding), dilation)
    return y


def input_gradient(g: Any, w: Any, size: tuple, stride: tuple, padding: tuple, dilation: tuple, groups: int) -> Any:
    """∂x (N, C, *size) of ``forward``: a transposed convolution of g (N, F, *O)."""
    if not _takes(g, w) or min(size) < 1:
        return reference.input_gradient(g, w, size, stride, padding, dilation, groups)
    if g.ndim == 3:
        flat = ((1, *size), (1, *stride), ((0, 0), *padding), (1, *dilation), groups)
        return input_gradient(g[:, :, None], w[:, :, None], *flat)[:, :, 0]
    xp = namespace(g)
    dx = xp.empty((len(g), *size, w.shape[1] * groups), g.dtype).transpose(0, 3, 1, 2)
    g, weights = _innermost(xp, g), _split(xp, w, groups).swapaxes(1, 2)
    for place in product(*(range(min(s, n)) for s, n in zip(stride, size))):
        along = [_taps(*numbers) for numbers in zip(place, w.shape[2:], stride, padding, dilation)]
        taps, base, step = zip(*along)
        views = (slice(None), slice(None), *(slice(i, None, s) for i, s in zip(place, stride)))
        _correlate(g, weights[(slice(None), *(slice(None),) * 2, *taps)], None, dx[views], (1, 1), base, step)
    return dx


def _taps(place: int, kernel: int, stride: int, padding: tuple, dilation: int) -> tuple[slice, int, int]:
    """Which taps input pixels ``place``, place + stride, ... receive from: k₀, k₀ + m, ...; and from where: pixel number q
    receives by the j-th of them from output q + base + j step."""
    lead = place + padding[0]
    first = next((k for k in range(kernel) if (lead - k * dilation) % stride == 0), kernel)
    every = stride // math.gcd(stride, dilation)
    return slice(first, None, every), (lead - first * dilation) // stride, -every * dilation // stride


def weight_gradient(x: Any, g: Any, kernel: tuple, stride: tuple, padding: tuple, dilation: tuple, groups: int) -> Any:
    """∂w (F, C / groups, *kernel), summed over parts of the pixels in a fixed order."""
    if not _takes(x, g):
        return reference.weight_gradient(x, g, kernel, stride, padding, dilation, groups)
    if x.ndim == 3:
        flat = ((1, *kernel), (1, *stride), ((0, 0), *padding), (1, *dilation), groups)
        return weight_gradient(x[:, :, None], g[:, :, None], *flat)[:, :, 0]
    xp = namespace(x)
    x, g = _innermost(xp, x), _innermost(xp, g)
    filters, channels, taps = g.shape[1] // groups, x.shape[1] // groups, math.prod(kernel)
    pixels = len(g) * math.prod(g.shape[2:])
    rows, columns, warps = _tile(filters, taps * channels, x.dtype.itemsize)
    tiles = triton.cdiv(filters, rows) * triton.cdiv(taps * channels, columns)
    parts = max(min(256 // (tiles * groups), pixels // 256), 1)  # programs for every processor, long sums for each
    share = triton.cdiv(triton.cdiv(pixels, parts), DEPTH) * DEPTH
    parts = triton.cdiv(pixels, share)
    dw = xp.empty((groups * filters, *kernel, channels), x.dtype)
    sums = dw if parts == 1 else xp.empty((parts, dw.size), "float32")
    launch(
        weigh,
        (tiles, groups, parts),
        *(x, g, sums, _steps(x), _steps(g), *x.shape[2:], *g.shape[2:]),
        *(pixels, filters, channels, taps, kernel[1]),
        *(*stride, *(-a for a, _ in padding), *dilation, share, groups),
        ROWS=rows,
        COLUMNS=columns,
        DEPTH=DEPTH,
        PRECISION=_precision(x),
        num_warps=warps,
        num_stages=3,
    )
    if parts > 1:
        launch(add_parts, (triton.cdiv(dw.size, 512),), sums, dw, dw.size, parts, BLOCK=512, num_warps=4)
    return dw.transpose(0, 3, 1, 2)


# ------------------------------------------------------------------------------------------------------------- helpers

DEPTH = 32


def _correlate(x: Any, w: Any, bias: Any, y: Any, stride: tuple, base: tuple, tap: tuple) -> None:
    groups, filters, channels, *taps = w.shape
    pixels = len(y) * math.prod(y.shape[2:])
    rows, columns, warps = _tile(pixels, filters, x.dtype.itemsize)
    depth = 2 * DEPTH if rows == 128 and channels % (2 * DEPTH) == 0 else DEPTH
    launch(
        correlate,
        (triton.cdiv(pixels, rows) * triton.cdiv(filters, columns), groups),
        *(x, w, None if bias is None else namespace(x).ascontiguousarray(bias), y, _steps(x), _steps(w), _steps(y)),
        *(*x.shape[2:], *y.shape[2:], pixels, filters, channels, *taps, *stride, *base, *tap),
        FLAT=channels % depth != 0,
        ROWS=rows,
        COLUMNS=columns,
        DEPTH=depth,
        PRECISION=_precision(x),
        num_warps=warps,
        num_stages=3,
    )


def _tile(rows: int, columns: int, itemsize: int) -> tuple[int, int, int]:
    """ROWS, COLUMNS and warps: large tiles read less, small ones leave no processor idle (there are a hundred or so)."""
    if itemsize == 2 and rows >= 128 * 64 and columns >= 128:
        return 128, 128, 8
    return 64, min(max(next_power_of_2(columns), 16 if itemsize == 2 else 32), 64), 4


def _precision(x: Any) -> str:
    return input_precision() if x.dtype.itemsize == 4 else "ieee"


def _takes(a: Any, b: Any) -> bool:
    floats = a.dtype == b.dtype and a.dtype.kind in "fV" and a.dtype.itemsize <= 4
    return floats and a.ndim in (3, 4) and a.size > 0 and b.size > 0


def _steps(x: Any) -> tuple:
    return tuple(step // x.dtype.itemsize for step in x.strides)


def _innermost(xp: Any, x: Any) -> Any:
    """x (N, C, H, W) with channels next to each other in memory."""
    if x.strides[1] == x.dtype.itemsize:
        return x
    return xp.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


def _split(xp: Any, w: Any, groups: int) -> Any:
    """The weight by groups, (groups, F / groups, C / groups, *K), with channels next to each other in memory."""
    w = _innermost(xp, w)
    return w.reshape(groups, len(w) // groups, *w.shape[1:])  # a view: the first axis is cut


def compile_cases(array: Any) -> Any:
    """Calls that between them compile what is shipped: large and small tiles, flat and by taps, for each type."""
    settings: tuple = ((1, 1), ((1, 1), (1, 1)), (1, 1), 1)
    for dtype in ("float16", "float32"):
        for channels, filters, size in ((3, 64, 8), (64, 128, 64), (64, 32, 8), (16, 8, 8)):
            x, w = array((2, size, size, channels), dtype), array((filters, 3, 3, channels), dtype)
            x, w = x.transpose(0, 3, 1, 2), w.transpose(0, 3, 1, 2)
            g = array((2, size, size, filters), dtype).transpose(0, 3, 1, 2)
            yield partial(forward, x, w, array((filters,), dtype), *settings)
            yield partial(input_gradient, g, w, (size, size), *settings)
            yield partial(weight_gradient, x, g, (3, 3), *settings)
