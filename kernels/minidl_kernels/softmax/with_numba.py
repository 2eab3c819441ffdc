"""Softmax as compiled loops: a row is read from memory once, and stays in the first cache for the other two passes."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl_kernels.compiled import compiled, exp, largest, over_rows, takes
from minidl_kernels.softmax import with_numpy as reference


@compiled
def _forward(x, y, log):
    n = x.shape[1]
    for i in range(x.shape[0]):
        top = largest(x[i])
        total = np.float32(0)
        for j in range(n):
            e = exp(x[i, j] - top)
            y[i, j] = e
            total += e
        if log:
            shift = np.log(total)
            for j in range(n):
                y[i, j] = (x[i, j] - top) - shift
        else:
            scale = np.float32(1) / total
            for j in range(n):
                y[i, j] *= scale


@compiled
def _backward(g, y, dx, log):
    n = y.shape[1]
    for i in range(y.shape[0]):
        total = np.float32(0)
        for j in range(n):
            total += g[i, j] if log else g[i, j] * y[i, j]
        for j in range(n):
            dx[i, j] = g[i, j] - exp(y[i, j]) * total if log else y[i, j] * (g[i, j] - total)


def forward(x: Any, log: bool = False) -> Any:
    """y, or log y, along the second axis; x: (outer, n) or (outer, n, inner). A row of nothing but -inf gives nan."""
    if x.ndim != 2 or not takes(x) or not x.size:
        return reference.forward(x, log)
    x = np.ascontiguousarray(x)
    y = np.empty_like(x)
    over_rows(lambda p: _forward(x[p], y[p], log), len(x), x.size)
    return y


def backward(g: Any, y: Any, log: bool = False) -> Any:
    """∂x from the gradient g of the result y."""
    if y.ndim != 2 or not takes(g, y) or not y.size:
        return reference.backward(g, y, log)
    g, y = np.ascontiguousarray(g), np.ascontiguousarray(y)
    dx = np.empty_like(y)
    over_rows(lambda p: _backward(g[p], y[p], dx[p], log), len(y), y.size)
    return dx
