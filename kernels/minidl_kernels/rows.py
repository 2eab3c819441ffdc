"""Matrices in blocks of rows that stay in the cache, on several cores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minidl_kernels.threads import in_parallel, slices

BLOCK = 1 << 16  # values in a block: a quarter of a megabyte of float32
WORTH_THREADS = 1 << 20  # values below which waking another thread costs more than it saves


def widen(dtype: Any) -> Any:
    """The type to compute in: float32 for half precision, whose sums would lose too much."""
    return np.dtype(np.float32) if dtype.itemsize < 4 else dtype


def blocks(rows: int, width: int) -> list[slice]:
    """``range(rows)`` in slices of about ``BLOCK`` values; the same ones however many threads there are."""
    step = max(BLOCK // max(width, 1), 1)
    return [slice(begin, min(begin + step, rows)) for begin in range(0, rows, step)]


def each_block(function: Callable[[slice], Any], rows: int, width: int) -> list[Any]:
    """``function(rows of a block)`` for all blocks; the results in order, so that sums of them are always the same."""
    parts = blocks(rows, width)
    if rows * width < WORTH_THREADS:
        return [function(part) for part in parts]
    runs = in_parallel(lambda some: [function(part) for part in parts[some]], slices(len(parts)))
    return [result for run in runs for result in run]
