"""``y[index] += values`` where an element may be named more than once: on arrays, fast, the same bits every time.

NumPy's ``add.at`` is fast for one flat index into one flat array, and slow for all else. So places are counted in
row-major order first; only long rows are worth the other way, to sort them by where they go and sum each group at once.
The order of the additions depends on the index alone.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minidl.backends import namespace

__all__: list[str] = []

LONG_ROW = 128  # elements; measured: below, counting places costs less than sorting


def accumulate(y: Any, index: tuple, values: Any) -> Any:
    """Add ``values`` (broadcast to the shape of ``y[index]``) to ``y[index]``, once for every time an element is named.
    Returns ``y``, changed, or a row-major copy if it was in another order. ``index`` holds integer arrays and full
    slices.
    """
    xp = namespace(y)
    y = xp.ascontiguousarray(y) if y.ndim else y
    if xp is not np:
        xp.add.at(y, index, values)
        return y
    if len(index) == 1 and index[0].ndim == 1 and math.prod(y.shape[1:]) >= LONG_ROW:
        where = from_start(index[0], y.shape[0])
        add_rows(y, where, np.broadcast_to(values, (where.size, *y.shape[1:])))
        return y
    where = places(index, y.shape)
    values = np.broadcast_to(np.asarray(values, y.dtype), where.shape)
    np.add.at(y.reshape(-1), where.reshape(-1), values.reshape(-1))
    return y


def from_start(index: np.ndarray, size: int) -> np.ndarray:
    """``index`` with negative entries counted from the start."""
    return np.where(index < 0, index + size, index) if index.size and index.min() < 0 else index


def places(index: tuple, shape: tuple[int, ...]) -> np.ndarray:
    """The number, in row-major order, of each element of ``y[index]`` for a ``y`` of ``shape``."""
    index = index + (slice(None),) * (len(shape) - len(index))
    indexed = [axis for axis, i in enumerate(index) if not isinstance(i, slice)]
    common = np.broadcast_shapes(*[index[axis].shape for axis in indexed])
    # The dimensions of the arrays stand where the indexed axes stood, or in front if those are not neighbours.
    front = indexed[0] if indexed[-1] - indexed[0] == len(indexed) - 1 else 0
    others = [axis for axis in range(len(shape)) if axis not in indexed]
    after = len(others) - front
    result = np.zeros((1,) * (len(others) + len(common)), np.int64)
    for axis in indexed:
        array = from_start(index[axis], shape[axis])
        result = result + (array * math.prod(shape[axis + 1 :])).reshape(array.shape + (1,) * after)
    for position, axis in enumerate(others):
        dimensions_after = len(others) - 1 - position + (len(common) if position < front else 0)
        steps = np.arange(shape[axis]) * math.prod(shape[axis + 1 :])
        result = result + steps.reshape((-1,) + (1,) * dimensions_after)
    return result


def add_rows(y: np.ndarray, where: np.ndarray, rows: np.ndarray) -> None:
    """``y[where[i]] += rows[i]`` for all i: (M, …), (N,), (N, …)."""
    if not where.size:
        return
    order = np.argsort(where, kind="stable")
    where = where[order]
    starts = np.flatnonzero(np.concatenate(([True], where[1:] != where[:-1])))
    y[where[starts]] += np.add.reduceat(rows.take(order, axis=0), starts, axis=0, dtype=y.dtype)
