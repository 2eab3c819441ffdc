"""``y[index] += values`` where an element may be named more than once: on arrays, fast, the same bits every time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minidl.backends import namespace

__all__: list[str] = []


def accumulate(y: Any, index: tuple, values: Any) -> Any:
    """Add ``values`` (broadcast to the shape of ``y[index]``) to ``y[index]``, once for every time an element is named.
    Returns ``y``, changed.

    NumPy's ``add.at`` handles one index array over whole rows slowly: there, rows are sorted by where they go and each
    group is summed at once. The order of the additions depends on the index alone.
    """
    xp = namespace(y)
    if xp is not np or not _leading(index) or y.dtype.kind not in "fiu":
        xp.add.at(y, index, values)
        return y
    arrays = np.broadcast_arrays(*index)
    rows = y.shape[: len(arrays)]
    width = math.prod(y.shape[len(arrays) :])
    values = np.broadcast_to(values, arrays[0].shape + y.shape[len(arrays) :])
    where = np.ravel_multi_index([a % max(n, 1) for a, n in zip(arrays, rows)], rows).reshape(-1)
    flat = y.reshape(-1) if width == 1 else y.reshape(math.prod(rows), width)
    if width == 1 or where.size == 0:
        np.add.at(flat, where, values.reshape(flat[where].shape))
    else:
        add_rows(flat, where, values.reshape(where.size, width))
    if not np.shares_memory(flat, y):
        y[...] = flat.reshape(y.shape)
    return y


def _leading(index: tuple) -> bool:
    return all(not isinstance(i, slice) for i in index)


def add_rows(y: np.ndarray, where: np.ndarray, rows: np.ndarray) -> None:
    """``y[where[i]] += rows[i]`` for all i: (M, K), (N,), (N, K)."""
    order = np.argsort(where, kind="stable")
    where = where[order]
    starts = np.flatnonzero(np.concatenate(([True], where[1:] != where[:-1])))
    sums = np.add.reduceat(rows[order], starts, axis=0, dtype=y.dtype)
    y[where[starts]] += sums
