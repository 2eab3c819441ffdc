"""Embedding as compiled loops: places are counted and sorted by their row in two passes, and each row's sum is made where
it stays.

Rows are shared among threads in slices; each sum has one owner, so that its order never changes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl_kernels.compiled import compiled, over_rows, takes
from minidl_kernels.embedding import with_numpy as reference


@compiled
def _sort(index, rows, starts, order):
    """Counting sort: the places of row r, in their own order, are ``order[starts[r] : starts[r + 1]]``."""
    for place in range(index.size):
        starts[index[place] + 1] += 1
    for row in range(rows):
        starts[row + 1] += starts[row]
    for place in range(index.size):
        order[starts[index[place]]] = place
        starts[index[place]] += 1
    for row in range(rows, 0, -1):
        starts[row] = starts[row - 1]
    starts[0] = 0


@compiled
def _sums(g, starts, order, first, padding, by_frequency, total):
    for r in range(total.shape[0]):
        row = first + r
        count = starts[row + 1] - starts[row]
        for j in range(total.shape[1]):
            total[r, j] = np.float32(0)
        if row != padding and count:
            for at in range(starts[row], starts[row + 1]):
                place = order[at]
                for j in range(total.shape[1]):
                    total[r, j] += g[place, j]
            if by_frequency:
                for j in range(total.shape[1]):
                    total[r, j] /= np.float32(count)


def forward(weight: Any, index: Any) -> Any:
    """Rows of ``weight`` (rows, dim) by ``index`` (*): (*, dim)."""
    return reference.forward(weight, index)


def backward(g: Any, index: Any, rows: int, padding: int | None = None, by_frequency: bool = False) -> Any:
    """∂weight (rows, dim) from g (*, dim)."""
    if not takes(g):
        return reference.backward(g, index, rows, padding, by_frequency)
    dim = g.shape[-1]
    flat, gradients = np.ascontiguousarray(index).reshape(-1), np.ascontiguousarray(g).reshape(index.size, dim)
    starts, order = np.zeros(rows + 1, np.int64), np.empty(flat.size, np.int64)
    _sort(flat, rows, starts, order)
    total, skip = np.empty((rows, dim), np.float32), -1 if padding is None else padding
    over_rows(lambda p: _sums(gradients, starts, order, p.start, skip, by_frequency, total[p]), rows, rows * dim)
    return total
