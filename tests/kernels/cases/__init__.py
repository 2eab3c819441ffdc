"""The calls that every backend's kernels are put to: one module a room, with a function ``cases(s)``.

def run(room, x, g, log):                    calls the room's functions; returns every array they make
    y = room.forward(x, log)
    return y, room.backward(g, y, log)

def reference(torch, x, g, log):             the same by PyTorch, in float64
    ...

def cases(s):
    for layout in LAYOUTS:
        yield Case(f"5x37 {layout}", run, reference, {"x": s.floats(5, 37), "g": s.floats(5, 37)}, {"log": True}, layout)
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

LAYOUTS = ("contiguous", "transposed", "sliced", "expanded")


@dataclass
class Case:
    """One call of a room.

    arrays     float64 arrays are given in each type that is tested; others (indices, masks) as they are
    settings   what is no array
    layout     how the arrays of two and more dimensions lie in memory
    factor     tolerance in units of the type's rounding error: more for longer sums
    scale      the size that errors are measured at, at least: for results that ought to be 0 and are differences
    dtypes     the types tested
    """

    name: str
    run: Callable[..., tuple]
    reference: Callable[..., tuple] | None
    arrays: dict[str, Any]
    settings: dict[str, Any] = field(default_factory=dict)
    layout: str = "contiguous"
    factor: float = 16.0
    scale: float = 0.0
    dtypes: tuple[str, ...] = ("float32", "float16", "bfloat16", "float64")

    def __post_init__(self) -> None:
        if self.layout == "expanded":  # the first dimension is one row, repeated
            self.arrays = {k: repeated(v) if laid_out(v) else v for k, v in self.arrays.items()}


def laid_out(array: Any) -> bool:
    return isinstance(array, np.ndarray) and array.ndim > 1 and array.dtype == np.float64


def repeated(array: np.ndarray) -> np.ndarray:
    return np.broadcast_to(array[:1], array.shape).copy()


def arranged(xp: Any, array: Any, dtype: Any, layout: str) -> Any:
    """The values of ``array`` in ``dtype``, in arrays of the namespace ``xp``, lying in memory as ``layout`` says."""
    if isinstance(array, (list, tuple)):
        return type(array)(arranged(xp, a, dtype, layout) for a in array)
    if not isinstance(array, np.ndarray):
        return array
    array = xp.asarray(array.astype(dtype) if array.dtype == np.float64 else array)
    if array.ndim < 2 or array.dtype != dtype or layout == "contiguous":
        return array
    if layout == "transposed":
        return xp.ascontiguousarray(array.T).T
    if layout == "sliced":  # every second value of something larger, the first dimension backwards
        room = xp.zeros(tuple(2 * n for n in array.shape), dtype)
        view = room[(slice(None, None, -2), *(slice(None, None, 2) for _ in array.shape[1:]))]
        view[...] = array
        return view
    return xp.broadcast_to(array[:1], array.shape)


class Make:
    """Random arrays in float64, the same every time."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def floats(self, *shape: int, scale: float = 1.0) -> np.ndarray:
        return np.asarray(self.rng.standard_normal(shape) * scale)

    def ints(self, *shape: int, high: int) -> np.ndarray:
        return self.rng.integers(0, high, shape)


def rooms() -> list[str]:
    """The rooms that have cases."""
    return sorted(f.stem for f in Path(__file__).parent.glob("*.py") if f.stem != "__init__")


def cases_of(room: str) -> Iterator[Case]:
    yield from importlib.import_module(f"tests.kernels.cases.{room}").cases(Make(sum(map(ord, room))))
