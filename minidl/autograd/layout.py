"""Where in memory an array lies: its layout is ``(begin, strides, size)``, counted in elements, in memory of that size."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl.autograd.tape import Operator
from minidl.backends import namespace


def layout_of(array: Any) -> tuple[int, tuple[int, ...], int]:
    """Where in its memory an array begins, its strides, and the size of the memory, all counted in elements."""
    memory = memory_of(array)
    begin = (address_of(array) - address_of(memory)) // array.itemsize
    return begin, tuple([n // array.itemsize for n in array.strides]), memory.size


def memory_of(array: Any) -> Any:
    """All the memory that ``array`` looks into, as a vector of its type."""
    owner = base = array
    while (base := getattr(base, "base", None)) is not None:
        owner = base if hasattr(base, "dtype") else owner  # NumPy puts other objects in between
    extent = 1 + sum((n - 1) * s for n, s in zip(owner.shape, owner.strides)) // owner.itemsize if owner.size else 0
    vector = namespace(array).lib.stride_tricks.as_strided(owner, (extent,), (owner.itemsize,))
    whole = vector.view("uint8")
    return whole[: whole.size // array.itemsize * array.itemsize].view(array.dtype)


def address_of(array: Any) -> int:
    return array.ctypes.data if isinstance(array, np.ndarray) else array.data.ptr


def look_at(array: Any, shape: tuple[int, ...], layout: tuple) -> Any:
    """The memory of ``array`` in another shape and layout: a view."""
    begin, strides, _ = layout
    memory = memory_of(array)
    return namespace(array).lib.stride_tricks.as_strided(memory[begin:], shape, [n * array.itemsize for n in strides])


def lay_out(array: Any, layout: tuple) -> Any:
    """A copy of ``array`` in memory of its own, of the given layout."""
    y = look_at(namespace(array).zeros(layout[2], array.dtype), array.shape, layout)
    y[...] = array
    return y


class Lay(Operator):
    """y = x, laid out in memory as is asked for;  ∂x = g."""

    def __init__(self, layout: tuple) -> None:
        self.layout = layout

    def forward(self, x: Any) -> Any:
        return lay_out(x, self.layout)

    def backward(self, g: Any) -> Any:
        return g
