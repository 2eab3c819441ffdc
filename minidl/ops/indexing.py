"""Indexing: reading and writing parts of a tensor, gather and scatter."""

from __future__ import annotations

from typing import Any

from minidl.autograd.tape import Operator, apply
from minidl.backends import namespace

__all__: list[str] = []

METHODS: list[str] = []
INPLACE: list[str] = []


class Select(Operator):
    """y = x[index] with integers, slices, None and … only: a view."""

    is_view = True

    def __init__(self, index: Any) -> None:
        self.index = index

    def forward(self, x: Any) -> Any:
        self.shape = x.shape
        return x[self.index]

    def backward(self, g: Any) -> Any:
        return apply(Place(self.index, self.shape), g)


class Place(Operator):
    """y = zeros of ``shape`` with y[index] = x: what :class:`Select` hands back."""

    def __init__(self, index: Any, shape: tuple[int, ...]) -> None:
        self.index, self.shape = index, shape

    def forward(self, x: Any) -> Any:
        y = namespace(x).zeros(self.shape, x.dtype)
        y[self.index] = x
        return y

    def backward(self, g: Any) -> Any:
        return apply(Select(self.index), g)
