"""Batch normalisation over a matrix whose one side is the channels, in blocks that stay in the cache.

Which matrix it is depends on the memory: see :class:`Layout`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minidl_kernels.rows import each_block, widen


class Layout:
    """How the memory of an (N, C, …) array is looked at as (rows, columns): ``flatten`` there, ``restore`` back.

    Where channels lie innermost, several positions make one long row, ``repeat`` channels side by side: a loop over 64
    values at a time costs more than the arithmetic.
    """

    def __init__(self, x: Any) -> None:
        self.shape, self.channels = x.shape, x.shape[1]
        self.positions = x.size // max(self.channels, 1)
        innermost = x.ndim == 2 or x.transpose(0, *range(2, x.ndim), 1).flags.c_contiguous
        self.last = innermost and not (x.ndim > 2 and x.flags.c_contiguous)
        self.repeat = math.gcd(self.positions, 4096) if self.last else 1
        while self.repeat > 1 and self.repeat * self.channels > 4096:
            self.repeat //= 2

    def flatten(self, x: Any) -> Any:
        """(rows, repeat · C) where channels lie innermost, else (N, C, positions)."""
        if not self.last:
            return x.reshape(*x.shape[:2], math.prod(x.shape[2:]))
        if x.ndim > 2:
            x = x.transpose(0, *range(2, x.ndim), 1)
        return x.reshape(self.positions // self.repeat, self.repeat * self.channels)

    def restore(self, x: Any) -> Any:
        if not self.last or len(self.shape) == 2:
            return x.reshape(self.shape)
        n, c, *rest = self.shape
        return x.reshape(n, *rest, c).transpose(0, len(self.shape) - 1, *range(1, len(self.shape) - 1))

    def spread(self, values: Any) -> Any:
        """Values of channels, to broadcast over a block."""
        return np.tile(values, self.repeat) if self.last else values[:, None]

    def sums(self, block: Any) -> Any:
        """The sum over a block for each channel: over columns, a product with ones is the quickest way."""
        if not self.last:
            return block.sum(2).sum(0)
        return (np.ones(len(block), block.dtype) @ block).reshape(self.repeat, self.channels).sum(0)


def _total(parts: list, like: Any) -> Any:
    """The sum of the blocks' sums, in double precision and always in the same order."""
    return sum(parts, np.zeros_like(like, np.float64))


def _width(x: Any) -> int:
    return x.size // max(len(x), 1)


def statistics(x: Any) -> tuple[Any, Any]:
    """``mean, var`` (biased) of each channel.

    In two passes, for sums of squares would cancel at a large mean; the second also mends what rounding left of the
    first (the corrected two-pass algorithm: Chan, Golub & LeVeque 1983, "Algorithms for Computing the Sample Variance").
    """
    layout = Layout(x)
    x = layout.flatten(x)
    wide = widen(x.dtype)
    like = np.zeros_like(x, wide, shape=(layout.channels,))
    parts = each_block(lambda part: layout.sums(x[part].astype(wide, copy=False)), len(x), _width(x))
    mean = (_total(parts, like) / max(layout.positions, 1)).astype(wide)
    middle = layout.spread(mean)

    def moments(part: slice) -> tuple[Any, Any]:
        centred = np.subtract(x[part], middle, dtype=wide)
        return layout.sums(centred), layout.sums(np.multiply(centred, centred, out=centred))

    parts = each_block(moments, len(x), _width(x))
    first, second = (_total([p[i] for p in parts], like) / max(layout.positions, 1) for i in (0, 1))
    return (mean + first).astype(wide), (second - first * first).astype(wide)


def _target(y: Any, part: slice, wide: Any) -> Any:
    """Where a block's result is computed: in place, unless it has to be rounded to half precision afterwards."""
    return y[part] if y.dtype == wide else np.empty_like(y[part], wide)


def forward(x: Any, mean: Any, rstd: Any, weight: Any, bias: Any) -> Any:
    """(x - mean) · rstd · weight + bias; ``weight`` and ``bias`` may be None."""
    layout = Layout(x)
    x = layout.flatten(x)
    middle, scale = layout.spread(mean), layout.spread(rstd if weight is None else rstd * weight)
    shift = None if bias is None else layout.spread(bias)
    y = np.empty_like(x, order="C")

    def block(part: slice) -> None:
        out = _target(y, part, mean.dtype)
        np.subtract(x[part], middle, out=out)
        np.multiply(out, scale, out=out)
        if shift is not None:
            np.add(out, shift, out=out)
        if y.dtype != out.dtype:
            y[part] = out

    each_block(block, len(x), _width(x))
    return layout.restore(y)


def backward(g: Any, x: Any, mean: Any, rstd: Any, weight: Any, training: bool) -> tuple[Any, Any, Any]:
    """``∂x, ∂weight, ∂bias``; the last two in the type of the statistics."""
    layout = Layout(x)
    x, g = layout.flatten(x), layout.flatten(g)
    wide, middle = mean.dtype, layout.spread(mean)

    def sums(part: slice) -> tuple[Any, Any]:
        gs = g[part].astype(wide, copy=False)
        centred = np.subtract(x[part], middle, dtype=wide)
        return layout.sums(gs), layout.sums(np.multiply(centred, gs, out=centred))

    parts = each_block(sums, len(x), _width(x))
    dbias = _total([p[0] for p in parts], mean).astype(wide)
    dweight = (_total([p[1] for p in parts], mean) * rstd).astype(wide)
    scale = layout.spread(rstd if weight is None else rstd * weight)
    offset = layout.spread(dbias / max(layout.positions, 1))
    slope = layout.spread(dweight * rstd / max(layout.positions, 1))
    dx = np.empty_like(x, order="C")

    def block(part: slice) -> None:
        out = _target(dx, part, wide)
        if training:
            np.subtract(x[part], middle, out=out)
            np.multiply(out, slope, out=out)
            np.subtract(g[part], out, out=out)
            np.subtract(out, offset, out=out)
            np.multiply(out, scale, out=out)
        else:
            np.multiply(g[part], scale, out=out)
        if dx.dtype != wide:
            dx[part] = out

    each_block(block, len(x), _width(x))
    return layout.restore(dx), dweight, dbias
