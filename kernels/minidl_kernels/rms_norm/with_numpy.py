"""RMS normalisation in blocks of rows that stay in the cache while they are read twice."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl_kernels.rows import each_block, widen


def forward(x: Any, weight: Any, eps: float) -> tuple[Any, Any]:
    """``y, rstd``."""
    rows, n = x.shape
    wide = widen(x.dtype)
    weight = None if weight is None else weight.astype(wide, copy=False)
    y = np.empty_like(x, shape=x.shape, order="C")
    rstd = np.empty_like(y, wide, shape=(rows, 1))

    def block(part: slice) -> None:
        xs = x[part].astype(wide, copy=False)
        rstd[part, 0] = 1 / np.sqrt(np.einsum("ij,ij->i", xs, xs) / n + eps)
        normal = xs * rstd[part]
        y[part] = normal if weight is None else np.multiply(normal, weight, out=normal)

    each_block(block, rows, n)
    return y, rstd


def backward(g: Any, x: Any, rstd: Any, weight: Any) -> tuple[Any, Any]:
    """``∂x, ∂weight``; the last in the type of the statistics."""
    rows, n = x.shape
    wide = rstd.dtype
    weight = None if weight is None else weight.astype(wide, copy=False)
    dx = np.empty_like(x, shape=x.shape, order="C")

    def block(part: slice) -> Any:
        gs = g[part].astype(wide, copy=False)
        normal = x[part].astype(wide, copy=False) * rstd[part]
        dweight = np.einsum("ij,ij->j", gs, normal)
        scaled = gs.copy() if weight is None else gs * weight
        np.multiply(normal, np.einsum("ij,ij->i", scaled, normal)[:, None] / n, out=normal)
        np.subtract(scaled, normal, out=scaled)
        dx[part] = np.multiply(scaled, rstd[part], out=scaled)
        return dweight

    return dx, sum(each_block(block, rows, n), np.zeros_like(rstd, shape=(n,)))
