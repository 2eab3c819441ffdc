"""Batch normalisation as compiled loops over a matrix (positions, channels), as convolutions leave their results.

Forward is one pass over memory, the statistics are two, backward is two. Where channels lie outermost, NumPy's passes over
long runs are as good, and the reference takes over.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl_kernels.batch_norm import with_numpy as reference
from minidl_kernels.compiled import compiled, over_chunks, over_rows, takes, vector
from minidl_kernels.threads import slices

ROWS = 512  # positions whose sum is taken in float32; such sums are added in float64, always in the same order


@compiled
def _sums(x, total):
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            total[j] += x[i, j]


@compiled
def _moments(x, mean, first, second):
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            centred = x[i, j] - mean[j]
            first[j] += centred
            second[j] += centred * centred


@compiled
def _forward(x, mean, scale, shift, y):
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            y[i, j] = (x[i, j] - mean[j]) * scale[j] + shift[j]


@compiled
def _gradient_sums(g, x, mean, total, along):
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            total[j] += g[i, j]
            along[j] += g[i, j] * (x[i, j] - mean[j])


@compiled
def _backward(g, x, mean, scale, offset, slope, dx):
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            dx[i, j] = (g[i, j] - (x[i, j] - mean[j]) * slope[j] - offset[j]) * scale[j]


def _matrix(x: Any) -> Any:
    """x (N, C, …) as (positions, C) where channels lie innermost; None where not."""
    if x.ndim < 2 or not x.size:
        return None
    x = x.transpose(0, *range(2, x.ndim), 1)
    return x.reshape(-1, x.shape[-1]) if x.flags.c_contiguous else None


def _like(matrix: Any, x: Any) -> Any:
    """A matrix (positions, C) in the shape of x (N, C, …)."""
    n, c, *rest = x.shape
    return matrix.reshape(n, *rest, c).transpose(0, x.ndim - 1, *range(1, x.ndim - 1))


def _totals(function: Any, count: int, x: Any) -> list[Any]:
    """``function(rows, *sums)`` adds to ``count`` vectors over channels; the totals in float64."""
    parts = slices(len(x), -(-len(x) // ROWS))
    sums = np.zeros((count, len(parts), x.shape[1]), np.float32)
    if x.size < 1 << 15:
        for i, part in enumerate(parts):
            function(part, *sums[:, i])
    else:
        over_chunks(lambda i, part: function(part, *sums[:, i]), parts)
    return [s.sum(0, dtype=np.float64) for s in sums]


def statistics(x: Any) -> tuple[Any, Any]:
    """``mean, var`` (biased) of each channel, in two passes; the second mends what rounding left of the first."""
    xs = _matrix(x) if takes(x) else None
    if xs is None:
        return reference.statistics(x)
    (total,) = _totals(lambda part, s: _sums(xs[part], s), 1, xs)
    mean = (total / len(xs)).astype(np.float32)
    first, second = (s / len(xs) for s in _totals(lambda part, *s: _moments(xs[part], mean, *s), 2, xs))
    return (mean + first).astype(np.float32), (second - first * first).astype(np.float32)


def forward(x: Any, mean: Any, rstd: Any, weight: Any, bias: Any) -> Any:
    """(x - mean) · rstd · weight + bias; ``weight`` and ``bias`` may be None."""
    xs = _matrix(x) if takes(x, mean, rstd, weight, bias) else None
    if xs is None:
        return reference.forward(x, mean, rstd, weight, bias)
    y, middle = np.empty_like(xs), vector(mean, 0, xs.shape[1])
    scale, shift = vector(rstd if weight is None else rstd * weight, 1, xs.shape[1]), vector(bias, 0, xs.shape[1])
    over_rows(lambda p: _forward(xs[p], middle, scale, shift, y[p]), len(xs), xs.size)
    return _like(y, x)


def backward(g: Any, x: Any, mean: Any, rstd: Any, weight: Any, training: bool) -> tuple[Any, Any, Any]:
    """``∂x, ∂weight, ∂bias``; the last two in the type of the statistics."""
    xs = _matrix(x) if takes(g, x, mean, rstd, weight) else None
    if xs is None:
        return reference.backward(g, x, mean, rstd, weight, training)
    gs = np.ascontiguousarray(g.transpose(0, *range(2, g.ndim), 1)).reshape(xs.shape)
    middle, n = vector(mean, 0, xs.shape[1]), len(xs)
    total, along = _totals(lambda part, *s: _gradient_sums(gs[part], xs[part], middle, *s), 2, xs)
    dbias, dweight = total.astype(np.float32), (along * rstd).astype(np.float32)
    scale = vector(rstd if weight is None else rstd * weight, 1, xs.shape[1])
    offset = (total / n if training else np.zeros_like(total)).astype(np.float32)
    slope = (along * rstd * rstd / n if training else np.zeros_like(total)).astype(np.float32)
    dx = np.empty_like(xs)
    over_rows(lambda p: _backward(gs[p], xs[p], middle, scale, offset, slope, dx[p]), n, xs.size)
    return _like(dx, x), dweight, dbias
