"""A traced graph computed again with one number changed: finite differences that use no gradient rule, and kinks.

Every operator between the number and the loss runs its forward rule again, in float64 on the reference kernels, from the
values that the trace noted. Where the loss has a kink (relu at 0, equal maxima), the slopes on its two sides differ, and
no step size brings them together: so a kink is told from a bend.

What was decided off the tape, such as a mask from ``x > 0`` or the index of an argmax, stays as it was. A function that
computes the loss decides anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minidl import backends
from minidl.autograd.inplace import ViewScatter
from minidl.autograd.tape import Operator
from minidl.inspect.nodes import NOT_TRACED, Nodes, Op, Value
from minidl.inspect.trace import Note, seen
from minidl.ops.extremes import Pick

SCALES = (1e-3, 1e-4, 1e-5)  # steps, in units of the number's own size: a kink is near if it lies within the first
_BEND = (5.0, 15.0)  # how much the gap between the slopes shrinks with a step ten times smaller, where there is no kink
_LEAST = 1e-3  # gaps below this part of the slope say nothing


class ReplayError(Exception):
    """Why a graph cannot be computed again."""


@dataclass
class Difference:
    """The slope of the loss by finite differences: central, and on each side; ``kink`` says where there is one near."""

    central: float
    left: float
    right: float
    kink: str | None = None


class Replay:
    """Computes a graph again from one of its values on."""

    def __init__(self, nodes: Nodes, start: Value) -> None:
        """ReplayError: something between ``start`` and the root was not traced, or has no forward rule of its own."""
        self.nodes, self.start, self.root = nodes, start, nodes.roots[0]
        if start.array is None:
            raise ReplayError(NOT_TRACED if start.kind == "result" else "the values were not kept: trace(keep=…)")
        self.ops: list[Op] = []
        changed = {start.id}
        for op in nodes.ops:
            if start.id not in op.outputs and changed.intersection(i for i in op.inputs if i is not None):
                changed.update(op.outputs)
                self._check(op, changed)
                self.ops.append(op)

    def _check(self, op: Op, changed: set[int]) -> None:
        note = seen(op.operator)
        if note is None:
            raise ReplayError(NOT_TRACED)
        if type(op.operator).forward is Operator.forward and not isinstance(op.operator, ViewScatter):
            raise ReplayError(
                f"{op.label} has no forward rule that can run again: pass function=, which computes the loss"
            )
        for id, given in zip(op.inputs, note.inputs):
            if id not in changed and isinstance(given, Note) and given.array is None:
                raise ReplayError("not all values were kept: trace with a larger keep=")

    def run(self, array: np.ndarray) -> dict[int, Any]:
        """The values that depend on ``start``, by id, if that is ``array``."""
        values: dict[int, Any] = {self.start.id: array}
        with backends.use_backend("numpy"), np.errstate(all="ignore"):
            for op in self.ops:
                results = self._apply(op, values)
                values.update(zip(op.outputs, results))
        return values

    def _apply(self, op: Op, values: dict[int, Any]) -> tuple:
        note = seen(op.operator)
        assert note is not None
        arrays = [values[i] if i in values else _wide(given) for i, given in zip(op.inputs, note.inputs)]
        if isinstance(op.operator, ViewScatter):
            result = arrays[0].copy()
            op.operator.region(result)[...] = arrays[1]
        elif isinstance(op.operator, Pick):
            result = _picked_by_rank(op.operator, arrays[0], _wide(note.inputs[0]))
        elif op.name in ("Cast", "Move") and hasattr(arrays[0], "dtype") and arrays[0].dtype == np.float64:
            result = arrays[0]  # in float64, and here, all the way
        else:
            twin = op.operator.again()
            twin.needs = ()
            result = twin.forward(*arrays)
        return result if isinstance(result, tuple) else (result,)

    def loss(self, index: tuple[int, ...]) -> Callable[[float], float]:
        """The loss as a function of what is added to the element ``index`` of ``start``."""
        return lambda delta: float(self.run(self._moved(index, delta))[self.root].sum())

    def _moved(self, index: tuple[int, ...], delta: float) -> np.ndarray:
        array = np.array(self.start.array, dtype=np.float64)
        array[index] += delta
        return array

    def kinked(self, index: tuple[int, ...], size: float) -> Op | None:
        """The first operator with a kink near: whose inputs bend, if at all, and whose output breaks."""
        runs = {sign * h: self.run(self._moved(index, sign * h * size)) for h in (0.0, *SCALES) for sign in (1, -1)}
        for op in self.ops:
            for id in op.outputs:
                y = {h: np.asarray(values[id], np.float64) for h, values in runs.items()}
                slopes = [((y[h] - y[0.0]) / (h * size), (y[0.0] - y[-h]) / (h * size)) for h in SCALES]
                noise = [8 * np.finfo(float).eps * np.abs(y[0.0]) / (h * size) for h in SCALES]
                if _kink(slopes, noise) is not None:
                    return op
        return None


def _picked_by_rank(pick: Pick, x: np.ndarray, before: np.ndarray) -> np.ndarray:
    """What max, sort, median, … would pick from ``x``: the values of the ranks that were picked ``before``."""
    order = before.argsort(pick.dim, kind="stable")
    rank = np.take_along_axis(order.argsort(pick.dim, kind="stable"), pick.index, pick.dim)
    if pick.index.shape[pick.dim] == 1:  # of equals a maximum may have taken any
        values = np.take_along_axis(before, pick.index, pick.dim)
        rank = np.where(values == before.min(pick.dim, keepdims=True), 0, rank)
        rank = np.where(values == before.max(pick.dim, keepdims=True), x.shape[pick.dim] - 1, rank)
    return np.take_along_axis(np.sort(x, pick.dim), rank, pick.dim)


def _wide(given: Any) -> Any:
    """A noted input, floating values in float64."""
    if not isinstance(given, Note):
        return given
    array = given.array
    assert array is not None
    return array.astype(np.float64) if array.dtype.kind in "fV" else array


def difference(loss: Callable[[float], float], size: float, eps: float) -> Difference:
    """The slope at 0 of ``loss``, a function of a number of magnitude ``size``, computed to a precision of ``eps``."""
    size = max(abs(size), 1.0)
    step = float(np.cbrt(eps)) * size
    here = loss(0.0)
    up, down = loss(step), loss(-step)
    found = Difference((up - down) / (2 * step), (here - down) / step, (up - here) / step)
    stretch = max(1.0, float(np.cbrt(eps)) / SCALES[1])  # coarser steps where precision is low
    steps = [h * size * stretch for h in SCALES]
    slopes = [((loss(h) - here) / h, (here - loss(-h)) / h) for h in steps]
    place = _kink(slopes, [8 * eps * abs(here) / h for h in steps])
    if place is not None:
        found.right, found.left = (float(side) for side in slopes[place])
        found.kink = (
            f"near a kink: the loss changes at a rate of {found.left:.4g} to the left and {found.right:.4g} to the right, "
            f"within {steps[place]:.1g} of this value"
        )
    return found


def _kink(slopes: list[tuple[Any, Any]], noise: list[Any]) -> int | None:
    """The smallest step at which the two slopes differ by a kink (of any element), not by a bend; None if at none."""
    gaps = [np.abs(right - left) for right, left in slopes]
    scale = np.max([np.maximum(np.abs(right), np.abs(left)) for right, left in slopes], axis=0)
    for i in reversed(range(len(gaps) - 1)):
        wide, narrow = gaps[i], gaps[i + 1]
        stays = (narrow > wide / _BEND[0]) & (narrow > _LEAST * scale + noise[i + 1])
        vanishes = (wide > _BEND[1] * (narrow + noise[i + 1])) & (wide > _LEAST * scale + noise[i])
        if np.any(stays):
            return i + 1
        if np.any(vanishes):
            return i
    return None
