"""Arrays in brief: statistics, a small picture as a grid of means, and numbers that JSON can hold."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

GRID = 24  # rows and columns of a picture, at most
ITEMS = 64  # numbers that are shown one by one, at most


def numeric(array: Any) -> np.ndarray:
    """The values in float64."""
    return np.asarray(array).astype(np.float64)


def statistics(array: Any) -> dict[str, Any]:
    """min, max, mean, std and norm of the finite values (None where there are none); how many are nan, infinite, zero."""
    values = numeric(array)
    finite = values[np.isfinite(values)]
    found: dict[str, Any] = dict.fromkeys(("min", "max", "mean", "std", "norm"))
    if finite.size:
        with np.errstate(all="ignore"):
            found.update(
                min=float(finite.min()),
                max=float(finite.max()),
                mean=float(finite.mean()),
                std=float(finite.std()),
                norm=float(np.linalg.norm(finite.ravel())),
            )
    nan, inf, zeros = np.isnan(values).sum(), np.isinf(values).sum(), (values == 0).sum()
    return {**found, "nan": int(nan), "inf": int(inf), "zeros": int(zeros)}


def plane(array: Any) -> np.ndarray:
    """The values as a matrix: the last dimension across, all others down."""
    values = numeric(array)
    return values.reshape(-1, values.shape[-1]) if values.ndim else values.reshape(1, 1)


def grid(array: Any, rows: int = GRID, columns: int = GRID) -> list[list[float]]:
    """The values as a small picture: means over blocks, at most ``rows`` × ``columns``; empty for an empty array."""
    matrix = plane(array) if np.asarray(array).size else np.zeros((0, 0))
    if not matrix.size:
        return []
    for axis, most in ((0, rows), (1, columns)):
        length = matrix.shape[axis]
        if length > most:
            starts = np.arange(most) * length // most
            counts = np.diff(np.append(starts, length))
            with np.errstate(all="ignore"):
                sums = np.add.reduceat(matrix, starts, axis=axis)
                matrix = sums / (counts[:, None] if axis == 0 else counts)
    return matrix.tolist()


def items(array: Any) -> list[float] | None:
    """All the values in order, if there are few."""
    values = numeric(array)
    return values.ravel().tolist() if values.size <= ITEMS else None


def _listed(values: np.ndarray) -> Any:
    """Numbers as nested lists that JSON can hold."""
    return values.tolist() if np.isfinite(values).all() else jsonable(values.tolist())


def jsonable(value: Any) -> Any:
    """``value`` as JSON can hold it: nan and infinities, which it has no numbers for, as strings."""
    if isinstance(value, (bool, str, int)) or value is None:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else ("nan" if math.isnan(value) else "inf" if value > 0 else "-inf")
    if isinstance(value, dict):
        return {str(key): jsonable(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(v) for v in value]
    if isinstance(value, np.generic):
        return jsonable(value.item())
    return str(value)


def brief(array: Any) -> dict[str, Any]:
    """Statistics, grid and items of an array, ready for JSON."""
    few = items(array)
    return {
        "stats": jsonable(statistics(array)),
        "grid": _listed(np.array(grid(array))),
        "items": None if few is None else _listed(np.array(few)),
    }
