"""Rows of a table, and the deterministic sum of their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl_kernels.rows import widen


def forward(weight: Any, index: Any) -> Any:
    """Rows of ``weight`` (rows, dim) by ``index`` (*): (*, dim)."""
    return weight.take(index, axis=0)


def backward(g: Any, index: Any, rows: int, padding: int | None = None, by_frequency: bool = False) -> Any:
    """∂weight (rows, dim) from g (*, dim); half precision is summed in float32."""
    dim = g.shape[-1]
    total = np.zeros_like(g, shape=(rows, dim))
    flat, gradients = index.reshape(-1), g.reshape(index.size, dim)
    order = flat.argsort(kind="stable")
    if padding is not None:
        order = order[flat[order] != padding]
    if not order.size or not dim:
        return total
    found = flat[order]
    starts = np.flatnonzero(np.concatenate([found[:1] == found[:1], found[1:] != found[:-1]]))
    sums = np.add.reduceat(gradients[order].astype(widen(g.dtype), copy=False), starts, axis=0)
    if by_frequency:
        sums /= np.diff(starts, append=found.size)[:, None].astype(sums.dtype)
    total[found[starts]] = sums
    return total
