"""Comparisons, logical and bitwise operators, and tests for nan and inf: results without a gradient."""

from __future__ import annotations

from typing import Any

from minidl.autograd.tape import Operator, apply
from minidl.backends import namespace
from minidl.ops.common import broadcast_shapes, only_tensors, promote
from minidl.ops.elementwise import binary
from minidl.tensor import raw

__all__ = [
    "allclose",
    "bitwise_and",
    "bitwise_left_shift",
    "bitwise_not",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "eq",
    "equal",
    "ge",
    "greater",
    "greater_equal",
    "gt",
    "isclose",
    "isfinite",
    "isinf",
    "isnan",
    "isneginf",
    "isposinf",
    "isreal",
    "le",
    "less",
    "less_equal",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "lt",
    "ne",
    "not_equal",
    "signbit",
]

METHODS = __all__
INPLACE = [
    "bitwise_and",
    "bitwise_left_shift",
    "bitwise_not",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "eq",
    "ge",
    "greater",
    "greater_equal",
    "gt",
    "le",
    "less",
    "less_equal",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "lt",
    "ne",
    "not_equal",
]


class Test(Operator):
    """A NumPy function by name; its result has no gradient."""

    __test__ = False  # no test case of pytest's

    def __init__(self, function: str) -> None:
        self.function = function

    def forward(self, *arrays: Any) -> Any:
        first = next((a for a in arrays if hasattr(a, "dtype")), arrays[0])
        return getattr(namespace(first), self.function)(*arrays)


def _pairwise(name: str, function: str, doc: str) -> Any:
    def compare(input: Any, other: Any) -> Any:
        only_tensors(name, input=input)
        if name.startswith("logical"):
            only_tensors(name, other=other)
        return binary(name, Test(function), input, other)

    compare.__name__ = compare.__qualname__ = name
    compare.__doc__ = f"Where {doc}, element by element, broadcast. A bool tensor."
    return compare


def _integer(name: str, function: str, doc: str) -> Any:
    def compute(input: Any, other: Any) -> Any:
        _refuse_floats(name, input, other)
        return binary(name, Test(function), input, other, refuse="b" if "shift" in name else "")

    compute.__name__ = compute.__qualname__ = name
    compute.__doc__ = f"{doc}, of integers or bools, broadcast. NotImplementedError for floating types."
    return compute


def _single(name: str, function: str, doc: str) -> Any:
    def test(input: Any) -> Any:
        only_tensors(name, input=input)
        return apply(Test(function), input)

    test.__name__ = test.__qualname__ = name
    test.__doc__ = f"Where an element {doc}. A bool tensor."
    return test


def _refuse_floats(name: str, *operands: Any) -> None:
    for x in operands:
        if isinstance(x, float) or (hasattr(x, "dtype") and raw(x).dtype.kind not in "iub"):
            raise NotImplementedError(
                f"{name}(): not implemented for floating types; convert to integers or bool first"
            )


eq = _pairwise("eq", "equal", "input = other")
ne = _pairwise("ne", "not_equal", "input ≠ other")
lt = _pairwise("lt", "less", "input < other")
le = _pairwise("le", "less_equal", "input ≤ other")
gt = _pairwise("gt", "greater", "input > other")
ge = _pairwise("ge", "greater_equal", "input ≥ other")
logical_and = _pairwise("logical_and", "logical_and", "both are nonzero")
logical_or = _pairwise("logical_or", "logical_or", "one or both are nonzero")
logical_xor = _pairwise("logical_xor", "logical_xor", "exactly one is nonzero")

bitwise_and = _integer("bitwise_and", "bitwise_and", "Bits set in both")
bitwise_or = _integer("bitwise_or", "bitwise_or", "Bits set in either")
bitwise_xor = _integer("bitwise_xor", "bitwise_xor", "Bits set in exactly one")
bitwise_left_shift = _integer("bitwise_left_shift", "left_shift", "input · 2^other")
bitwise_right_shift = _integer("bitwise_right_shift", "right_shift", "input / 2^other, rounded down")

logical_not = _single("logical_not", "logical_not", "is zero")
isnan = _single("isnan", "isnan", "is not a number")
isinf = _single("isinf", "isinf", "is infinite")
isfinite = _single("isfinite", "isfinite", "is neither infinite nor nan")
signbit = _single("signbit", "signbit", "has its sign bit set (-0.0 too)")

not_equal, less, less_equal, greater, greater_equal = ne, lt, le, gt, ge


def bitwise_not(input: Any) -> Any:
    """Every bit turned over; logical not for bool. NotImplementedError for floating types."""
    only_tensors("bitwise_not", input=input)
    _refuse_floats("bitwise_not", input)
    return apply(Test("invert"), input)


def invert(input: Any) -> Any:
    """``~input``: :func:`bitwise_not`, but TypeError for floating types, as in PyTorch."""
    if raw(input).dtype.kind not in "iub":
        raise TypeError(f"~ is only implemented on integer and Boolean-type tensors, not on {input.dtype}")
    return bitwise_not(input)


def isposinf(input: Any) -> Any:
    """Where an element is +inf."""
    return apply(Test("equal"), *promote("isposinf", input, float("inf")))


def isneginf(input: Any) -> Any:
    """Where an element is -inf."""
    return apply(Test("equal"), *promote("isneginf", input, float("-inf")))


def isreal(input: Any) -> Any:
    """Where an element is real: everywhere, as minidl has no complex types."""
    return apply(Real(), input)


class Real(Operator):
    """True everywhere."""

    def forward(self, x: Any) -> Any:
        return namespace(x).ones(x.shape, dtype=bool)


class IsClose(Operator):
    """|a - b| ≤ atol + rtol |b|, or equal."""

    def __init__(self, rtol: float, atol: float, equal_nan: bool) -> None:
        self.rtol, self.atol, self.equal_nan = rtol, atol, equal_nan

    def forward(self, a: Any, b: Any) -> Any:
        xp = namespace(a)
        if a.dtype.kind in "iub":
            a, b = a.astype("float64"), b.astype("float64")
        close = (a == b) | (xp.isfinite(a - b) & (xp.abs(a - b) <= self.atol + self.rtol * xp.abs(b)))
        return close | (xp.isnan(a) & xp.isnan(b)) if self.equal_nan else close


def isclose(input: Any, other: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    """Where |input - other| ≤ atol + rtol · |other|. RuntimeError for different types."""
    only_tensors("isclose", input=input, other=other)
    if raw(input).dtype != raw(other).dtype:
        raise RuntimeError(f"isclose(): {input.dtype} did not match {other.dtype}; convert one with .to()")
    for name, tolerance in (("rtol", rtol), ("atol", atol)):
        if not tolerance >= 0:
            raise RuntimeError(f"isclose(): {name} must be greater than or equal to zero, but got {tolerance}")
    broadcast_shapes("isclose", input, other)
    return apply(IsClose(rtol, atol, equal_nan), input, other)


def allclose(input: Any, other: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    """Whether ``isclose`` holds everywhere."""
    return bool(raw(isclose(input, other, rtol, atol, equal_nan)).all())


def equal(input: Any, other: Any) -> bool:
    """Whether both have the same shape and the same elements."""
    only_tensors("equal", input=input, other=other)
    a, b = raw(input), raw(other)
    return a.shape == b.shape and bool((a == b).all())
