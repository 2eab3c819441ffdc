"""Padding: constant values, or the tensor's own, around its last dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minidl import ops
from minidl.autograd.tape import Operator, apply
from minidl.backends import namespace
from minidl.tensor import raw, wrap

__all__ = ["pad"]


class ConstantPad(Operator):
    """y = x with ``value`` around it (cut off where a side is negative);  ∂x = g padded by the opposite."""

    def __init__(self, sides: tuple[tuple[int, int], ...], value: Any) -> None:
        self.sides, self.value = sides, value

    def forward(self, x: Any) -> Any:
        shape = tuple(n + a + b for n, (a, b) in zip(x.shape, self.sides))
        y = namespace(x).full_like(x, self.value, shape=shape)
        into = tuple(slice(max(a, 0), n - max(b, 0)) for n, (a, b) in zip(shape, self.sides))
        out_of = tuple(slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(x.shape, self.sides))
        y[into] = x[out_of]
        return y

    def backward(self, g: Any) -> Any:
        return apply(ConstantPad(tuple((-a, -b) for a, b in self.sides), 0), g)


def pad(input: Any, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Any:
    """``input`` with values around its last dimensions.

    Args:
        input: any shape for "constant"; (N, C, *S) or (C, *S) for the others, with one to three dimensions S.
        pad: (before, after) for the last dimension, then for the one before it, and so on. Negative ones cut off.
        mode: "constant"; "reflect" (mirrored at the edge value), "replicate" (the edge value), "circular" (the other end).
        value: the constant; 0 if None.

    Raises:
        RuntimeError: an odd number of sides, or more than there are dimensions; padding that the mode has no values for;
            a value that the type does not hold, or one given to another mode than "constant".
        NotImplementedError: an unknown mode, or a number of sides that the mode is not defined for.
    """
    sides = tuple(int(p) for p in pad)
    if len(sides) % 2:
        raise RuntimeError(f"pad: Padding length must be divisible by 2, got {len(sides)} sides: {list(sides)}")
    if len(sides) > 2 * input.ndim:
        raise RuntimeError(
            f"pad: Padding length should be less than or equal to two times the input dimension but got padding length "
            f"{len(sides)} and input of dimension {input.ndim}"
        )
    pairs = list(zip(sides[::2], sides[1::2]))
    if mode == "constant":
        _check_sizes(input, pairs, mode)
        every = [(0, 0)] * (input.ndim - len(pairs)) + pairs[::-1]
        return apply(ConstantPad(tuple(every), 0 if value is None else _held(value, raw(input).dtype)), input)
    if mode not in _INDEX:
        raise NotImplementedError(f"Unrecognised padding mode {mode}; choose constant, reflect, replicate or circular")
    if value is not None and value != 0:
        raise RuntimeError(f'Padding mode "{mode}" doesn\'t take in value argument, but got value={value}')
    if not 1 <= len(pairs) <= 3 or input.ndim not in (len(pairs) + 1, len(pairs) + 2):
        raise NotImplementedError(
            f"pad: only 2D, 3D, 4D, 5D padding with non-constant padding are supported for now: {len(sides)} sides need "
            f"an input of {len(pairs) + 1} or {len(pairs) + 2} dimensions, got shape {list(input.shape)}"
        )
    _check_sizes(input, pairs, mode)
    if mode != "circular" and not any(n + a + b for n, (a, b) in zip(input.shape[::-1], pairs)):
        raise RuntimeError(f"pad: input {list(input.shape)} is too small: padding {list(sides)} leaves nothing of it")
    y = input
    for axis, (before, after) in zip(range(-1, -input.ndim - 1, -1), pairs):
        if before or after:
            index = _INDEX[mode](input.shape[axis], before, after, axis + input.ndim)
            y = ops.index_select(y, axis, wrap(namespace(raw(input)).asarray(index)))
    return y


def _held(value: Any, dtype: Any) -> Any:
    """``value``, if the type holds it: whole types hold no NaN and have bounds."""
    if dtype.kind in "iu":
        bounds = np.iinfo(dtype)
        if not bounds.min <= value <= bounds.max:
            raise RuntimeError(
                f"pad: value cannot be converted to type {dtype} without overflow: {value} is not between {bounds.min} "
                f"and {bounds.max}; convert the input first, with .float()"
            )
    return value


def _check_sizes(input: Any, pairs: list, mode: str) -> None:
    for axis, (before, after) in zip(range(-1, -input.ndim - 1, -1), pairs):
        cut = min(before, 0) + min(after, 0) if mode in ("constant", "circular") else before + after
        if input.shape[axis] + cut < 0:
            raise RuntimeError(
                f"pad: The input size {input.shape[axis]}, plus negative padding {before} and {after}, resulted in a "
                f"negative output size, which is invalid. Check dimension {axis + input.ndim} of your input."
            )


def _reflect(n: int, before: int, after: int, dim: int) -> Any:
    if before >= n or after >= n:
        raise RuntimeError(
            f"pad: Padding size should be less than the corresponding input dimension, but got: padding ({before}, "
            f"{after}) at dimension {dim} of size {n}"
        )
    places = np.abs(np.arange(-before, n + after))
    return np.where(places >= n, 2 * (n - 1) - places, places)


def _replicate(n: int, before: int, after: int, dim: int) -> Any:
    if n == 0:
        raise RuntimeError(f"pad: Expected a non-empty dimension {dim} to replicate its edge")
    return np.clip(np.arange(-before, n + after), 0, n - 1)


def _circular(n: int, before: int, after: int, dim: int) -> Any:
    # What negative sides cut off is gone before the ends meet.
    first, kept = max(-before, 0), n + min(before, 0) + min(after, 0)
    if before > kept or after > kept:
        raise RuntimeError(
            f"pad: Padding value causes wrapping around more than once: padding ({before}, {after}) at dimension {dim} of "
            f"size {n}"
        )
    return first + np.arange(-max(before, 0), kept + max(after, 0)) % max(kept, 1)


_INDEX = {"reflect": _reflect, "replicate": _replicate, "circular": _circular}
