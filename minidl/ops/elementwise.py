"""Elementwise arithmetic and functions: y[i] = f(x[i], …), with broadcasting."""

from __future__ import annotations

from typing import Any

from minidl.autograd.tape import Operator, apply
from minidl.backends import namespace
from minidl.ops.common import broadcast_shapes, promote

__all__ = ["add", "exp", "mul", "neg", "sub"]

METHODS = __all__
INPLACE = ["add", "exp", "mul", "neg", "sub"]


class Elementwise(Operator):
    """An operator whose inputs are broadcast against each other."""

    broadcasts = True


def binary(name: str, operator: Operator, a: Any, b: Any, *, floating: bool = False) -> Any:
    """Apply a broadcasting operator to two operands in their common type."""
    a, b = promote(name, a, b, floating=floating)
    try:
        return apply(operator, a, b)
    except ValueError:
        broadcast_shapes(name, a, b)  # says which dimension clashes
        raise


# ------------------------------------------------------------------------------------------------------------ arithmetic


class Add(Elementwise):
    """y = a + α b;  ∂a = 1, ∂b = α."""

    def __init__(self, alpha: Any = 1) -> None:
        self.alpha = alpha

    def forward(self, a: Any, b: Any) -> Any:
        return a + b if self.alpha == 1 else a + self.alpha * b

    def backward(self, g: Any) -> Any:
        return g, g if self.alpha == 1 else g * self.alpha


class Sub(Elementwise):
    """y = a - α b;  ∂a = 1, ∂b = -α."""

    def __init__(self, alpha: Any = 1) -> None:
        self.alpha = alpha

    def forward(self, a: Any, b: Any) -> Any:
        return a - b if self.alpha == 1 else a - self.alpha * b

    def backward(self, g: Any) -> Any:
        return g, g * -self.alpha if self.needs[1] else None


class Mul(Elementwise):
    """y = a b;  ∂a = b, ∂b = a."""

    def forward(self, a: Any, b: Any) -> Any:
        self.save(b if self.needs and self.needs[0] else None, a if self.needs and self.needs[1] else None)
        return a * b

    def backward(self, g: Any) -> Any:
        b, a = self.saved
        return g * b if self.needs[0] else None, g * a if self.needs[1] else None


class Neg(Elementwise):
    """y = -x;  ∂y/∂x = -1."""

    def forward(self, x: Any) -> Any:
        return -x

    def backward(self, g: Any) -> Any:
        return -g


def add(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    """``input + alpha * other``, broadcast."""
    return binary("add", Add(alpha), input, other)


def sub(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    """``input - alpha * other``, broadcast."""
    return binary("sub", Sub(alpha), input, other)


def mul(input: Any, other: Any) -> Any:
    """``input * other``, broadcast."""
    return binary("mul", Mul(), input, other)


def neg(input: Any) -> Any:
    """``-input``."""
    return apply(Neg(), input)


# ---------------------------------------------------------------------------------------------- exponential, logarithm


class Exp(Elementwise):
    """y = eˣ;  ∂y/∂x = y."""

    def forward(self, x: Any) -> Any:
        return self.save(namespace(x).exp(x))

    def backward(self, g: Any) -> Any:
        return g * self.saved


def exp(input: Any) -> Any:
    """eˣ of each element; integers give the default floating type."""
    return apply(Exp(), *promote("exp", input, floating=True))
