"""Activations: ``relu``."""

from __future__ import annotations

from typing import Any

from minidl.autograd.tape import Operator, apply
from minidl.backends import namespace

__all__ = ["relu"]


class Relu(Operator):
    """y = max(x, 0);  ∂y/∂x = [y > 0]."""

    def forward(self, x: Any) -> Any:
        return self.save(namespace(x).maximum(x, x.dtype.type(0)))

    def backward(self, g: Any) -> Any:
        return g * (self.saved > 0)


def relu(input: Any, inplace: bool = False) -> Any:
    """max(input, 0), elementwise; any shape, any real type. ``inplace`` writes the result over ``input``."""
    y = apply(Relu(), input)
    return input.copy_(y) if inplace else y
