"""Layer normalisation in blocks of rows that stay in the cache while they are read three times."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl_kernels.rows import each_block, widen


def forward(x: Any, weight: Any, bias: Any, eps: float) -> tuple[Any, Any, Any]:
    """``y, mean, rstd``."""
    rows, n = x.shape
    wide = widen(x.dtype)
    weight, bias = (None if p is None else p.astype(wide, copy=False) for p in (weight, bias))
    y = np.empty_like(x, shape=x.shape, order="C")
    mean, rstd = np.empty_like(y, wide, shape=(rows, 1)), np.empty_like(y, wide, shape=(rows, 1))

    def block(part: slice) -> None:
        xs = x[part].astype(wide, copy=False)
        mean[part] = xs.sum(1, keepdims=True) / n  # .mean() would warn of rows without values
        centred = xs - mean[part]
        rstd[part, 0] = 1 / np.sqrt(np.einsum("ij,ij->i", centred, centred) / n + eps)
        np.multiply(centred, rstd[part], out=centred)
        if weight is not None:
            np.multiply(centred, weight, out=centred)
        if bias is not None:
            np.add(centred, bias, out=centred)
        y[part] = centred

    each_block(block, rows, n)
    return y, mean, rstd


def backward(g: Any, x: Any, mean: Any, rstd: Any, weight: Any) -> tuple[Any, Any, Any]:
    """``∂x, ∂weight, ∂bias``; the last two in the type of the statistics."""
    rows, n = x.shape
    wide = mean.dtype
    weight = None if weight is None else weight.astype(wide, copy=False)
    dx = np.empty_like(x, shape=x.shape, order="C")

    def block(part: slice) -> tuple[Any, Any]:
        gs = g[part].astype(wide, copy=False)
        normal = (x[part].astype(wide, copy=False) - mean[part]) * rstd[part]
        dweight, dbias = np.einsum("ij,ij->j", gs, normal), gs.sum(0)
        scaled = gs.copy() if weight is None else gs * weight
        along = np.einsum("ij,ij->i", scaled, normal)[:, None] / n
        scaled -= scaled.sum(1, keepdims=True) / n
        np.multiply(normal, along, out=normal)
        np.subtract(scaled, normal, out=scaled)
        np.multiply(scaled, rstd[part], out=scaled)
        dx[part] = scaled
        return dweight, dbias

    sums = each_block(block, rows, n)
    zeros = np.zeros_like(mean, shape=(n,))
    return dx, sum((s[0] for s in sums), zeros), sum((s[1] for s in sums), zeros)
