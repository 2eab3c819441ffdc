"""One launch for many arrays: tables that tell each block of a GPU which piece of which array is its own."""

from __future__ import annotations

import functools
import importlib
from typing import Any

import numpy as np

from minidl_kernels.arrays import namespace
from minidl_kernels.pieces import flattened

CHUNK = 1 << 14  # values of a piece: enough to keep a block busy, few enough to spread a small model over the GPU


def together(rows: list[tuple]) -> tuple[list[tuple], list[int], list[int]]:
    """Of rows of arrays (or None) that belong together: the groups that one launch takes, without the None; their
    numbers; and the numbers of the others. It takes float32 whose arrays lie alike, groups of one length."""
    groups, taken, others = [], [], []
    for i, row in enumerate(rows):
        group = tuple(a for a in row if a is not None)
        alike = all(a.dtype == np.float32 for a in group) and flattened(group) is not None
        if alike and group[0].size and (not groups or len(group) == len(groups[0])):
            groups.append(group)
            taken.append(i)
        else:
            others.append(i)
    return groups, taken, others


def address(array: Any) -> int:
    """Where an array's values begin: in memory, or in the GPU's."""
    return array.ctypes.data if isinstance(array, np.ndarray) else array.data.ptr


def tables(groups: list[tuple]) -> tuple[Any, Any, Any, Any]:
    """For arrays that belong together by groups of equal length, all contiguous: ``addresses`` (groups, arrays a group),
    ``sizes`` (groups,), and for each chunk its group and its first value.

    They lie where the arrays do, and are kept: an optimiser asks for the same ones at every step.
    """
    addresses = tuple(tuple(address(a) for a in group) for group in groups)
    sizes = tuple(group[0].size for group in groups)
    xp = namespace(groups[0][0])
    return _tables(addresses, sizes, xp is np)


@functools.lru_cache(maxsize=16)
def _tables(addresses: tuple, sizes: tuple, on_cpu: bool) -> tuple[Any, Any, Any, Any]:
    counts = [-(-size // CHUNK) for size in sizes]
    group = np.repeat(np.arange(len(sizes)), counts).astype(np.int32)
    first = np.concatenate([np.arange(count) * CHUNK for count in counts] or [np.zeros(0)]).astype(np.int64)
    made = (np.array(addresses, np.int64), np.array(sizes, np.int64), group, first)
    if on_cpu:
        return made
    asarray = importlib.import_module("cupy").asarray
    return asarray(made[0]), asarray(made[1]), asarray(made[2]), asarray(made[3])
