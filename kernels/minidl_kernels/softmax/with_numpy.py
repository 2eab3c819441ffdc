"""Softmax in blocks of rows that stay in the cache while they are read three times."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minidl_kernels.rows import each_block, widen


def forward(x: Any, log: bool = False) -> Any:
    """y, or log y, along the second axis; x: (outer, n) or (outer, n, inner). A row of nothing but -inf gives nan."""
    y = np.empty_like(x, shape=x.shape, order="C")
    wide = widen(x.dtype)

    def block(part: slice) -> None:
        rows = x[part].astype(wide, copy=False)
        rows = rows - rows.max(1, keepdims=True)
        if log:
            rows -= np.log(np.exp(rows).sum(1, keepdims=True))
        else:
            np.exp(rows, out=rows)
            rows /= rows.sum(1, keepdims=True)
        y[part] = rows

    if x.size:
        each_block(block, x.shape[0], math.prod(x.shape[1:]))
    return y


def backward(g: Any, y: Any, log: bool = False) -> Any:
    """∂x from the gradient g of the result y."""
    dx = np.empty_like(y, shape=y.shape, order="C")
    wide = widen(y.dtype)

    def block(part: slice) -> None:
        gs, ys = g[part].astype(wide, copy=False), y[part].astype(wide, copy=False)
        if log:
            rows = np.exp(ys)
            rows *= gs.sum(1, keepdims=True)
            np.subtract(gs, rows, out=rows)
        else:
            rows = gs * ys
            rows -= ys * rows.sum(1, keepdims=True)
        dx[part] = rows

    if y.size:
        each_block(block, y.shape[0], math.prod(y.shape[1:]))
    return dx
