"""Sign, rounding, clamping, and choosing between values: piecewise functions."""

from __future__ import annotations

from typing import Any

from minidl import ops
from minidl.autograd.tape import Operator, apply
from minidl.backends import kernel, namespace
from minidl.ops.common import broadcast_shapes, only_tensors, promote, refuse_kinds
from minidl.ops.conversion import zero
from minidl.ops.elementwise import binary
from minidl.tensor import Tensor, raw

__all__ = ["abs", "absolute", "ceil", "clamp", "clamp_max", "clamp_min", "clip", "copysign", "fix", "floor"]
__all__ += ["floor_divide", "fmax", "fmin", "fmod", "frac", "heaviside", "maximum", "minimum", "nan_to_num", "relu"]
__all__ += ["remainder", "round", "sgn", "sign", "trunc", "where"]
_NOT_IN_PLACE = ("fmax", "fmin", "maximum", "minimum", "where")
METHODS = __all__
INPLACE = [name for name in __all__ if name not in _NOT_IN_PLACE]


class Abs(Operator):
    """y = |x|;  ∂y/∂x = sign x, 0 at 0."""

    def forward(self, x: Any) -> Any:
        self.save(x)
        return namespace(x).abs(x)

    def backward(self, g: Any) -> Any:
        return g * ops.sign(self.saved)


class Flat(Operator):
    """y = x as an integer: floor (down), ceil (up), trunc (towards zero) or round (to the nearest);  ∂y/∂x = 0."""

    def __init__(self, function: str) -> None:
        self.function = function

    def forward(self, x: Any) -> Any:
        return getattr(namespace(x), self.function)(x)

    def backward(self, g: Any) -> Any:
        return zero(g)


class Sign(Operator):
    """y = -1 below 0, 1 above, 0 else (at nan too);  ∂y/∂x = 0."""

    def forward(self, x: Any) -> Any:
        if x.dtype.kind in "iu":
            return namespace(x).sign(x)
        return (x > 0).astype(x.dtype) - (x < 0).astype(x.dtype)

    def backward(self, g: Any) -> Any:
        return zero(g)


class RoundDecimals(Operator):
    """y = round(x · 10ᵈ)/10ᵈ, half to even;  ∂y/∂x = 0."""

    def __init__(self, decimals: int) -> None:
        self.decimals = decimals

    def forward(self, x: Any) -> Any:
        scale = 10.0 ** builtin_abs(self.decimals)
        xp = namespace(x)
        y = xp.rint(x * scale) / scale if self.decimals > 0 else xp.rint(x / scale) * scale
        return y.astype(x.dtype)

    def backward(self, g: Any) -> Any:
        return zero(g)


class Frac(Operator):
    """y = x - trunc x;  ∂y/∂x = 1."""

    def forward(self, x: Any) -> Any:
        return x - namespace(x).trunc(x)

    def backward(self, g: Any) -> Any:
        return g


class Where(Operator):
    """y = a where c, else b;  ∂y/∂a = [c], ∂y/∂b = [not c]."""

    broadcasts = True

    def forward(self, c: Any, a: Any, b: Any) -> Any:
        c = c if c.dtype.kind == "b" else c != 0  # uint8 is an old way to write a mask
        self.save(c)
        return namespace(c).where(c, a, b)

    def backward(self, g: Any) -> Any:
        c = self.saved
        return None, ops.where(c, g, 0) if self.needs[1] else None, ops.where(c, 0, g) if self.needs[2] else None


class Larger(Operator):
    """y = max(a, b) or min(a, b);  g goes to the chosen one, half each at a tie (fmax, fmin: to the first)."""

    broadcasts = True

    def __init__(self, function: str) -> None:
        self.function = function

    def forward(self, a: Any, b: Any) -> Any:
        self.save(a, b)
        return getattr(namespace(a), self.function)(a, b)

    def backward(self, g: Any) -> Any:
        a, b = self.saved
        if self.function.startswith("f"):
            first = (a >= b) if self.function == "fmax" else (a <= b)
            first = first | (b != b)
            return ops.where(first, g, 0), ops.where(first, 0, g)
        first = (a > b) if self.function == "maximum" else (a < b)
        last = (a < b) if self.function == "maximum" else (a > b)
        half = ops.where(a == b, g * 0.5, g)
        return ops.where(last, 0, half), ops.where(first, 0, half)


class Clamp(Operator):
    """y = min(max(x, low), high);  ∂y/∂x = [low ≤ x ≤ high], ∂y/∂low = [x < low < high],
    ∂y/∂high = [x > high or low > high]."""

    broadcasts = True

    def forward(self, x: Any, low: Any, high: Any) -> Any:
        xp = namespace(x)
        self.save(x, low, high)
        y = x if low is None else xp.maximum(x, low)
        return y if high is None else xp.minimum(y, high)

    def backward(self, g: Any) -> Any:
        x, low, high = self.saved
        inside = x == x
        if low is not None:
            inside = inside & (x >= low)
        if high is not None:
            inside = inside & (x <= high)
        to_low = to_high = None
        if self.needs[1]:
            under = x < low if high is None else (x < low) & (low < high)
            to_low = ops.where(under, g, 0)
        if self.needs[2]:
            over = x > high if low is None else (x > high) | (low > high)
            to_high = ops.where(over, g, 0)
        return ops.where(inside, g, 0), to_low, to_high


SMALL = 1 << 12  # values below which a call of NumPy's is as quick as a kernel


class Relu(Operator):
    """y = max(x, 0);  ∂y/∂x = [y > 0].  See minidl_kernels.activation."""

    def forward(self, x: Any) -> Any:
        if x.size < SMALL:
            return self.save(namespace(x).maximum(x, x.dtype.type(0)))
        return self.save(kernel("activation").forward(x, None, "relu"))

    def backward(self, g: Any) -> Any:
        y = self.saved
        if isinstance(g, Tensor) or y.size < SMALL:
            return g * ~(y <= 0)
        return kernel("activation").backward(g, y, None, "relu")


class Quotient(Operator):
    """y = a / b rounded down or towards zero;  ∂y/∂a = ∂y/∂b = 0."""

    broadcasts = True

    def __init__(self, function: str) -> None:
        self.function = function

    def forward(self, a: Any, b: Any) -> Any:
        xp = namespace(a if hasattr(a, "dtype") else b)
        if self.function == "floor":
            return xp.floor_divide(a, b)
        if xp.asarray(a).dtype.kind in "iu" and xp.asarray(b).dtype.kind in "iu":
            return (a - xp.fmod(a, b)) // b
        return xp.trunc(a / b)

    def backward(self, g: Any) -> Any:
        return zero(g), zero(g)


class Modulus(Operator):
    """y = a - b q with q = a/b rounded down (remainder) or towards zero (fmod);  ∂y/∂a = 1, ∂y/∂b = -q."""

    broadcasts = True

    def __init__(self, function: str) -> None:
        self.function = function

    def forward(self, a: Any, b: Any) -> Any:
        if self.needs and self.needs[1]:
            self.save(a, b)
        return getattr(namespace(a if hasattr(a, "dtype") else b), self.function)(a, b)

    def backward(self, g: Any) -> Any:
        if not self.needs[1]:
            return g, None
        a, b = self.saved
        whole = ops.floor_divide if self.function == "remainder" else trunc_divide
        return g, -g * whole(a, b)


class CopySign(Operator):
    """y = |a| with the sign of b;  ∂y/∂a = y/a, 0 at 0, ∂y/∂b = 0."""

    broadcasts = True

    def forward(self, a: Any, b: Any) -> Any:
        y = namespace(a).copysign(a, b)
        if self.needs and self.needs[0]:
            self.save(a, y)
        return y

    def backward(self, g: Any) -> Any:
        if not self.needs[0]:
            return None, zero(g)
        a, y = self.saved
        return ops.where(a == 0, 0.0, g * (y / a)), zero(g)


class Heaviside(Operator):
    """y = 0 below 0, 1 above, ``values`` at 0."""

    broadcasts = True

    def forward(self, x: Any, values: Any) -> Any:
        xp = namespace(x)
        return xp.where(x == 0, values, (x > 0).astype(x.dtype))


class NanToNum(Operator):
    """y = x with nan, +inf and -inf replaced;  ∂y/∂x = 1 where x is finite, else 0."""

    def __init__(self, nan: float, posinf: float | None, neginf: float | None) -> None:
        self.settings = {"nan": nan, "posinf": posinf, "neginf": neginf}

    def forward(self, x: Any) -> Any:
        self.save(x)
        return namespace(x).nan_to_num(x, **self.settings)

    def backward(self, g: Any) -> Any:
        return g * ops.isfinite(self.saved)


builtin_abs = abs


def abs(input: Any) -> Any:
    """|x| of each element."""
    only_tensors("abs", input=input)
    refuse_kinds("abs", "b", input)
    return apply(Abs(), input)


def sign(input: Any) -> Any:
    """-1, 0 or 1 of each element."""
    only_tensors("sign", input=input)
    return input.clone() if raw(input).dtype.kind == "b" else apply(Sign(), input)


def _rounded(function: str, input: Any) -> Any:
    only_tensors(function, input=input)
    refuse_kinds(function, "b", input)
    if raw(input).dtype.kind in "iu":
        return input.clone() if isinstance(input, Tensor) else input
    return apply(Flat(function), input)


def floor(input: Any) -> Any:
    """The largest whole number not above each element."""
    return _rounded("floor", input)


def ceil(input: Any) -> Any:
    """The smallest whole number not below each element."""
    return _rounded("ceil", input)


def trunc(input: Any) -> Any:
    """Each element rounded towards zero."""
    return _rounded("trunc", input)


def round(input: Any, *, decimals: int = 0) -> Any:
    """Each element rounded to ``decimals`` places, half to even."""
    if not decimals:
        return _rounded("rint", input)
    only_tensors("round", input=input)
    refuse_kinds("round", "iub", input)
    return apply(RoundDecimals(decimals), input)


def frac(input: Any) -> Any:
    """x - trunc(x) of each element."""
    only_tensors("frac", input=input)
    refuse_kinds("frac", "iub", input)
    return apply(Frac(), input)


def relu(input: Any) -> Any:
    """max(x, 0) of each element."""
    only_tensors("relu", input=input)
    refuse_kinds("relu", "b", input)
    return apply(Relu(), input)


def where(condition: Any, input: Any = None, other: Any = None) -> Any:
    """``input`` where ``condition`` is true, else ``other``, broadcast.

    With the condition alone: the indices of the true elements.
    """
    if input is None and other is None:
        return ops.nonzero(condition, as_tuple=True)
    only_tensors("where", condition=condition)
    if raw(condition).dtype not in ("bool", "uint8"):
        raise RuntimeError(
            f"where expected condition to be a boolean tensor, but got a tensor with dtype {condition.dtype}"
        )
    a, b = promote("where", input, other)
    try:
        return apply(Where(), condition, a, b)
    except ValueError:
        broadcast_shapes("where", condition, a, b)
        raise


def maximum(input: Any, other: Any) -> Any:
    """The larger of two, element by element; nan if either is."""
    only_tensors("maximum", input=input, other=other)
    return binary("maximum", Larger("maximum"), input, other)


def minimum(input: Any, other: Any) -> Any:
    """The smaller of two, element by element; nan if either is."""
    only_tensors("minimum", input=input, other=other)
    return binary("minimum", Larger("minimum"), input, other)


def fmax(input: Any, other: Any) -> Any:
    """The larger of two; a nan loses."""
    only_tensors("fmax", input=input, other=other)
    return binary("fmax", Larger("fmax"), input, other)


def fmin(input: Any, other: Any) -> Any:
    """The smaller of two; a nan loses."""
    only_tensors("fmin", input=input, other=other)
    return binary("fmin", Larger("fmin"), input, other)


def clamp(input: Any, min: Any = None, max: Any = None) -> Any:
    """Each element brought into [min, max]; a bound may be a number, a tensor, or None."""
    given = [x for x in (min, max) if x is not None]
    if not given:
        raise RuntimeError("clamp(): At least one of 'min' or 'max' must not be None")
    only_tensors("clamp", input=input)
    numbers = [x for x in given if not hasattr(x, "dtype")]
    if numbers and len(numbers) < len(given):
        raise TypeError("clamp(): min and max must be both numbers or both tensors")
    x, *bounds = promote("clamp", input, *given)
    if numbers or len(given) == 2:
        refuse_kinds("clamp", "b", x)
    low, high = (bounds[0] if min is not None else None), (bounds[-1] if max is not None else None)
    try:
        return apply(Clamp(), x, low, high)
    except ValueError:
        broadcast_shapes("clamp", x, *bounds)
        raise


def clamp_min(input: Any, min: Any) -> Any:
    """Each element, at least ``min``."""
    return clamp(input, min=min)


def clamp_max(input: Any, max: Any) -> Any:
    """Each element, at most ``max``."""
    return clamp(input, max=max)


def _refuse_zero(name: str, operands: list) -> None:
    arrays = [raw(x) for x in operands]
    if all(getattr(a, "dtype", None) is None or a.dtype.kind in "iu" for a in arrays):
        divisor = arrays[1]
        if (divisor == 0).any() if hasattr(divisor, "dtype") else divisor == 0:
            raise RuntimeError(
                f"{name}: ZeroDivisionError: integer division by zero; use floating tensors, or mask the zeros"
            )


def _divided(name: str, operator: Operator, input: Any, other: Any) -> Any:
    operands = promote(name, input, other)
    refuse_kinds(name, "b", *operands)
    _refuse_zero(name, operands)
    return binary(name, operator, *operands)


def floor_divide(input: Any, other: Any) -> Any:
    """``input / other`` rounded down; integers stay integers."""
    return _divided("floor_divide", Quotient("floor"), input, other)


def trunc_divide(input: Any, other: Any) -> Any:
    """``input / other`` rounded towards zero; integers stay integers."""
    return _divided("div", Quotient("trunc"), input, other)


def remainder(input: Any, other: Any) -> Any:
    """``input`` modulo ``other``, with the divisor's sign."""
    return _divided("remainder", Modulus("remainder"), input, other)


def fmod(input: Any, other: Any) -> Any:
    """``input`` modulo ``other``, with the dividend's sign."""
    only_tensors("fmod", input=input)
    return _divided("fmod", Modulus("fmod"), input, other)


def copysign(input: Any, other: Any) -> Any:
    """|input| with the sign of ``other``."""
    only_tensors("copysign", input=input)
    return binary("copysign", CopySign(), input, other, floating=True)


def heaviside(input: Any, values: Any) -> Any:
    """0 below 0, 1 above, ``values`` at 0."""
    only_tensors("heaviside", input=input, values=values)
    if raw(input).dtype != raw(values).dtype:
        raise RuntimeError(
            f"heaviside(): both tensors must have one dtype, got {input.dtype} and {values.dtype}; convert one with .to()"
        )
    broadcast_shapes("heaviside", input, values)
    return apply(Heaviside(), input, values)


def nan_to_num(input: Any, nan: float | None = None, posinf: float | None = None, neginf: float | None = None) -> Any:
    """nan replaced by ``nan`` (0), infinities by the given numbers (the type's largest and lowest)."""
    only_tensors("nan_to_num", input=input)
    return apply(NanToNum(nan or 0.0, posinf, neginf), input)


absolute, sgn, fix, clip = abs, sign, trunc, clamp
