"""Elementwise arithmetic and functions: y[i] = f(x[i], …), with broadcasting."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minidl import dtypes, ops
from minidl.autograd.tape import Operator, apply
from minidl.backends import namespace
from minidl.ops.common import broadcast_shapes, convert, only_tensors, promote, refuse_kinds
from minidl.tensor import raw
from minidl_kernels.pieces import spread

__all__ = ["add", "addcdiv", "addcmul", "deg2rad", "div", "divide", "lerp", "mul", "multiply", "neg", "negative"]
__all__ += ["positive", "rad2deg", "reciprocal", "rsub", "square", "sub", "subtract", "true_divide"]

METHODS = __all__
INPLACE = [name for name in __all__ if name not in ("positive", "rsub")]


class Elementwise(Operator):
    """An operator whose inputs are broadcast against each other."""

    broadcasts = True


def binary(name: str, operator: Operator, a: Any, b: Any, *, floating: bool = False, refuse: str = "") -> Any:
    """Apply a broadcasting operator to two operands in their common type, which is of none of the kinds ``refuse``."""
    a, b = promote(name, a, b, floating=floating)
    if refuse:
        refuse_kinds(name, refuse, a, b)
    try:
        return apply(operator, a, b)
    except ValueError:
        broadcast_shapes(name, a, b)  # says which dimension clashes
        raise


# ----------------------------------------------------------------------------------------------------------- arithmetic


def _scaled(b: Any, alpha: Any) -> Any:
    """``alpha * b`` in the type of b (which NumPy would widen where b is a scalar or bfloat16, and where alpha is
    negative but b unsigned, refuse)."""
    if not hasattr(b, "dtype"):
        return b * alpha
    return (b * (np.asarray(alpha).astype(b.dtype) if b.dtype.kind == "u" else alpha)).astype(b.dtype)


def _check_alpha(name: str, alpha: Any, a: Any, b: Any) -> None:
    kinds = [dtypes.from_numpy_dtype(raw(x).dtype) if hasattr(x, "dtype") else dtypes.scalar_dtype(x) for x in (a, b)]
    category = max(k.category for k in kinds)
    if isinstance(alpha, bool) and category != dtypes.dtype.BOOL:
        raise RuntimeError(f"{name}(): Boolean alpha only supported for Boolean results.")
    if isinstance(alpha, float) and category != dtypes.dtype.FLOATING:
        raise RuntimeError(
            f"{name}(): For integral input tensors, argument alpha must not be a floating point number; "
            "use an integer alpha, or convert with .float() first"
        )


def _refuse_bool(name: str, *operands: Any) -> None:
    if any(isinstance(x, bool) or (hasattr(x, "dtype") and raw(x).dtype.kind == "b") for x in operands):
        raise RuntimeError(
            f"{name}(): subtraction and negation of bool tensors are not supported; "
            "use ~ (logical_not) or ^ (logical_xor), or convert with .int() first"
        )


class Add(Elementwise):
    """y = a + α b;  ∂y/∂a = 1, ∂y/∂b = α."""

    def __init__(self, alpha: Any = 1) -> None:
        self.alpha = alpha

    def forward(self, a: Any, b: Any) -> Any:
        return spread(np.add, a, b if self.alpha == 1 else _scaled(b, self.alpha))

    def backward(self, g: Any) -> Any:
        return g, g if self.alpha == 1 else g * self.alpha


class Sub(Elementwise):
    """y = a - α b;  ∂y/∂a = 1, ∂y/∂b = -α."""

    def __init__(self, alpha: Any = 1) -> None:
        self.alpha = alpha

    def forward(self, a: Any, b: Any) -> Any:
        return spread(np.subtract, a, b if self.alpha == 1 else _scaled(b, self.alpha))

    def backward(self, g: Any) -> Any:
        return g, g * -self.alpha if self.needs[1] else None


class Mul(Elementwise):
    """y = a b;  ∂y/∂a = b, ∂y/∂b = a."""

    def forward(self, a: Any, b: Any) -> Any:
        self.save(b if self.needs and self.needs[0] else None, a if self.needs and self.needs[1] else None)
        return spread(np.multiply, a, b)

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
    if alpha != 1 or alpha is True:
        _check_alpha("add", alpha, input, other)
    return binary("add", Add(alpha), input, other)


def sub(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    """``input - alpha * other``, broadcast."""
    _refuse_bool("sub", input, other)
    if alpha != 1:
        _check_alpha("sub", alpha, input, other)
    return binary("sub", Sub(alpha), input, other)


def mul(input: Any, other: Any) -> Any:
    """``input * other``, broadcast."""
    return binary("mul", Mul(), input, other)


def neg(input: Any) -> Any:
    """``-input``."""
    only_tensors("neg", input=input)
    _refuse_bool("neg", input)
    return apply(Neg(), input)


class Div(Elementwise):
    """y = a / b;  ∂y/∂a = 1/b, ∂y/∂b = -a/b²."""

    def forward(self, a: Any, b: Any) -> Any:
        self.save(a if self.needs and self.needs[1] else None, b)
        return a / b

    def backward(self, g: Any) -> Any:
        a, b = self.saved
        g = g / b
        return g, -g * (a / b) if self.needs[1] else None


class Reciprocal(Elementwise):
    """y = 1/x;  ∂y/∂x = -y²."""

    def forward(self, x: Any) -> Any:
        return self.save((1 / x).astype(x.dtype))

    def backward(self, g: Any) -> Any:
        y = self.saved
        return -g * (y * y)


class Square(Elementwise):
    """y = x²;  ∂y/∂x = 2x."""

    def forward(self, x: Any) -> Any:
        self.save(x)
        return x * x

    def backward(self, g: Any) -> Any:
        return g * (self.saved * 2)


def div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Any:
    """``input / other``, broadcast; integers give the default floating type.

    ``rounding_mode``: None, ``"trunc"`` (towards zero) or ``"floor"``; these two keep integers integers.
    """
    if rounding_mode is None:
        return binary("div", Div(), input, other, floating=True)
    if rounding_mode == "floor":
        return ops.floor_divide(input, other)
    if rounding_mode == "trunc":
        from minidl.ops import rounding

        return rounding.trunc_divide(input, other)
    raise RuntimeError(f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found {rounding_mode!r}")


def true_divide(input: Any, other: Any) -> Any:
    """``input / other``: ``div`` without rounding."""
    return div(input, other)


def rsub(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    """``other - alpha * input``."""
    only_tensors("rsub", input=input)
    return sub(other, input, alpha=alpha)


def positive(input: Any) -> Any:
    """``input`` itself. RuntimeError for bool."""
    only_tensors("positive", input=input)
    if raw(input).dtype.kind == "b":
        raise RuntimeError("positive(): The `+` operator, on a bool tensor is not supported.")
    return input


def reciprocal(input: Any) -> Any:
    """1/x of each element; integers give the default floating type."""
    only_tensors("reciprocal", input=input)
    return apply(Reciprocal(), *promote("reciprocal", input, floating=True))


def square(input: Any) -> Any:
    """x² of each element; int64 for bool."""
    only_tensors("square", input=input)
    return apply(Square(), convert(input, dtypes.int64) if raw(input).dtype.kind == "b" else input)


def rad2deg(input: Any) -> Any:
    """Angles in radians, in degrees."""
    only_tensors("rad2deg", input=input)
    return mul(input, 180 / math.pi)


def deg2rad(input: Any) -> Any:
    """Angles in degrees, in radians."""
    only_tensors("deg2rad", input=input)
    return mul(input, math.pi / 180)


def addcmul(input: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Any:
    """``input + value * tensor1 * tensor2``, broadcast."""
    only_tensors("addcmul", input=input, tensor1=tensor1, tensor2=tensor2)
    if all(raw(x).dtype.kind in "iub" for x in (input, tensor1, tensor2)):
        value = int(value)
    if all(raw(x).dtype.kind == "b" for x in (input, tensor1, tensor2)):
        refuse_kinds("addcmul", "b", input)
    return add(input, mul(tensor1, tensor2), alpha=_as_number(value))


def addcdiv(input: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Any:
    """``input + value * tensor1 / tensor2``, broadcast. RuntimeError for integers divided by integers."""
    only_tensors("addcdiv", input=input, tensor1=tensor1, tensor2=tensor2)
    if raw(tensor1).dtype.kind in "iub" and raw(tensor2).dtype.kind in "iub":
        raise RuntimeError(
            "addcdiv(): Integer division with addcdiv is not supported; convert tensor1 or tensor2 with .float()"
        )
    return add(input, div(tensor1, tensor2), alpha=_as_number(value))


def _as_number(value: Any) -> Any:
    """True and False count as 1 and 0 here, other than in ``add``."""
    return int(value) if isinstance(value, bool) else value


class Lerp(Elementwise):
    """y = a + w (b - a);  ∂y/∂a = 1 - w, ∂y/∂b = w, ∂y/∂w = b - a."""

    weight: Any = None  # if it is a number

    def forward(self, a: Any, b: Any, w: Any) -> Any:
        if self.needs and self.needs[2]:
            self.save(a, b, w)
        elif hasattr(w, "dtype"):
            self.save(None, None, w)
        else:
            self.weight = w
        from_b = abs(w) >= 0.5  # from the nearer end, so that w = 1 gives b exactly
        if isinstance(from_b, bool):
            return b - (b - a) * (1 - w) if from_b else a + w * (b - a)
        return namespace(a).where(from_b, b - (b - a) * (1 - w), a + w * (b - a))

    def backward(self, g: Any) -> Any:
        a, b, w = (0, 0, self.weight) if self.weight is not None else self.saved
        return g * (1 - w), g * w, g * (b - a) if self.needs[2] else None


def lerp(input: Any, end: Any, weight: Any) -> Any:
    """``input + weight * (end - input)``: from ``input`` (weight 0) to ``end`` (weight 1)."""
    only_tensors("lerp", input=input, end=end)
    for x, what in ((end, "end"), (weight, "weight")):
        if hasattr(x, "dtype") and raw(x).dtype != raw(input).dtype and (x is end or x.ndim):
            raise RuntimeError(f"lerp(): expected dtype {input.dtype} for `{what}` but got dtype {x.dtype}")
    operands = promote("lerp", input, end, weight)
    refuse_kinds("lerp", "iub", operands[0] if hasattr(weight, "dtype") else input)
    broadcast_shapes("lerp", *operands)
    return apply(Lerp(), *operands)


subtract, multiply, divide, negative = sub, mul, div, neg
