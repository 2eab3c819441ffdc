"""RMS normalisation as compiled loops: a row is read from memory once, and stays in the first cache for the rest."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl_kernels.compiled import chunks, compiled, over_chunks, over_rows, takes, vector
from minidl_kernels.rms_norm import with_numpy as reference


@compiled
def _forward(x, weight, eps, y, rstd):
    n = x.shape[1]
    for i in range(x.shape[0]):
        total = np.float32(0)
        for j in range(n):
            total += x[i, j] * x[i, j]
        scale = np.float32(1) / np.sqrt(total / np.float32(n) + eps)
        for j in range(n):
            y[i, j] = x[i, j] * scale * weight[j]
        rstd[i, 0] = scale


@compiled
def _backward(g, x, rstd, weight, dx, dweight):
    n = x.shape[1]
    for i in range(x.shape[0]):
        scale = rstd[i, 0]
        along = np.float32(0)
        for j in range(n):
            normal = x[i, j] * scale
            along += g[i, j] * weight[j] * normal
            dweight[j] += g[i, j] * normal
        along /= np.float32(n)
        for j in range(n):
            dx[i, j] = (g[i, j] * weight[j] - x[i, j] * scale * along) * scale


def forward(x: Any, weight: Any, eps: float) -> tuple[Any, Any]:
    """``y, rstd``."""
    if not takes(x, weight) or not x.size:
        return reference.forward(x, weight, eps)
    rows, n = x.shape
    x, scale = np.ascontiguousarray(x), vector(weight, 1, n)
    y, rstd, small = np.empty_like(x), np.empty((rows, 1), np.float32), np.float32(eps)
    over_rows(lambda p: _forward(x[p], scale, small, y[p], rstd[p]), rows, x.size)
    return y, rstd


def backward(g: Any, x: Any, rstd: Any, weight: Any) -> tuple[Any, Any]:
    """``∂x, ∂weight``; the last in the type of the statistics."""
    if not takes(g, x, weight) or not x.size:
        return reference.backward(g, x, rstd, weight)
    rows, n = x.shape
    x, g = np.ascontiguousarray(x), np.ascontiguousarray(g)
    scale, dx, parts = vector(weight, 1, n), np.empty_like(x), chunks(rows, x.size)
    sums = np.zeros((len(parts), n), np.float32)
    over_chunks(lambda i, p: _backward(g[p], x[p], rstd[p], scale, dx[p], sums[i]), parts)
    return dx, sums.sum(0)
