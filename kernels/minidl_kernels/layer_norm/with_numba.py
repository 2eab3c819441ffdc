"""Layer normalisation as compiled loops: a row is read from memory once, and stays in the first cache for the rest."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl_kernels.compiled import chunks, compiled, over_chunks, over_rows, takes, vector
from minidl_kernels.layer_norm import with_numpy as reference


@compiled
def _forward(x, weight, bias, eps, y, mean, rstd):
    n = x.shape[1]
    for i in range(x.shape[0]):
        total = np.float32(0)
        for j in range(n):
            total += x[i, j]
        middle = total / np.float32(n)
        total = np.float32(0)
        for j in range(n):
            centred = x[i, j] - middle
            total += centred * centred
        scale = np.float32(1) / np.sqrt(total / np.float32(n) + eps)
        for j in range(n):
            y[i, j] = (x[i, j] - middle) * scale * weight[j] + bias[j]
        mean[i, 0] = middle
        rstd[i, 0] = scale


@compiled
def _backward(g, x, mean, rstd, weight, dx, dweight, dbias):
    n = x.shape[1]
    for i in range(x.shape[0]):
        middle, scale = mean[i, 0], rstd[i, 0]
        sum_g, sum_gx = np.float32(0), np.float32(0)
        for j in range(n):
            normal = (x[i, j] - middle) * scale
            scaled = g[i, j] * weight[j]
            sum_g += scaled
            sum_gx += scaled * normal
            dweight[j] += g[i, j] * normal
            dbias[j] += g[i, j]
        sum_g /= np.float32(n)
        sum_gx /= np.float32(n)
        for j in range(n):
            normal = (x[i, j] - middle) * scale
            dx[i, j] = (g[i, j] * weight[j] - sum_g - normal * sum_gx) * scale


def forward(x: Any, weight: Any, bias: Any, eps: float) -> tuple[Any, Any, Any]:
    """``y, mean, rstd``."""
    if not takes(x, weight, bias) or not x.size:
        return reference.forward(x, weight, bias, eps)
    rows, n = x.shape
    x = np.ascontiguousarray(x)
    weight, bias = vector(weight, 1, n), vector(bias, 0, n)
    y, mean, rstd = np.empty_like(x), np.empty((rows, 1), np.float32), np.empty((rows, 1), np.float32)
    small = np.float32(eps)
    over_rows(lambda p: _forward(x[p], weight, bias, small, y[p], mean[p], rstd[p]), rows, x.size)
    return y, mean, rstd


def backward(g: Any, x: Any, mean: Any, rstd: Any, weight: Any) -> tuple[Any, Any, Any]:
    """``∂x, ∂weight, ∂bias``; the last two in the type of the statistics."""
    if not takes(g, x, weight) or not x.size:
        return reference.backward(g, x, mean, rstd, weight)
    rows, n = x.shape
    x, g = np.ascontiguousarray(x), np.ascontiguousarray(g)
    weight, dx = vector(weight, 1, n), np.empty_like(x)
    parts = chunks(rows, x.size)
    sums = np.zeros((2, len(parts), n), np.float32)

    over_chunks(lambda i, p: _backward(g[p], x[p], mean[p], rstd[p], weight, dx[p], *sums[:, i]), parts)
    return dx, sums[0].sum(0), sums[1].sum(0)
