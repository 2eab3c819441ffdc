"""Exponentials, logarithms, roots, and the trigonometric and hyperbolic functions."""

from __future__ import annotations

import math
from typing import Any

from minidl import ops
from minidl.autograd.inplace import in_place
from minidl.autograd.tape import Operator, apply
from minidl.backends import namespace
from minidl.ops.common import only_tensors, promote, refuse_kinds
from minidl.ops.elementwise import binary
from minidl.tensor import Tensor, raw
from minidl_kernels.error_function import error_function
from minidl_kernels.pieces import spread

__all__ = [
    "acos",
    "acosh",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cos",
    "cosh",
    "erf",
    "erfc",
    "exp",
    "exp2",
    "expm1",
    "float_power",
    "hypot",
    "log",
    "log1p",
    "log2",
    "log10",
    "logaddexp",
    "logaddexp2",
    "logit",
    "pow",
    "rsqrt",
    "sigmoid",
    "sin",
    "sinc",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
    "xlogy",
]

METHODS = [*__all__, "float_power_"]
INPLACE = [name for name in __all__ if name not in ("float_power", "logaddexp", "logaddexp2")]


class OfInput(Operator):
    """y = f(x), whose derivative is written in terms of x."""

    function: str
    slope: Any

    def forward(self, x: Any) -> Any:
        self.save(x)
        return spread(getattr(namespace(x), self.function), x)

    def backward(self, g: Any) -> Any:
        return g * type(self).slope(self.saved)


class OfOutput(Operator):
    """y = f(x), whose derivative is written in terms of y."""

    function: str
    slope: Any

    def forward(self, x: Any) -> Any:
        return self.save(spread(getattr(namespace(x), self.function), x))

    def backward(self, g: Any) -> Any:
        return g * type(self).slope(self.saved)


def unary(name: str, operator: Operator, input: Any) -> Any:
    """Apply a function whose result is floating: integers are lifted to the default type."""
    only_tensors(name, input=input)
    return apply(operator, *promote(name, input, floating=True))


def _function(
    base: type[OfInput | OfOutput], name: str, slope: Any, what: str, formula: str, derivative: str, function: str = ""
) -> Any:
    """The public function ``name``: NumPy's ``function`` (of the same name if not given), whose derivative is ``slope`` of
    its input or its output; ``what`` it is in words, its ``formula`` and its ``derivative``."""
    rule = f"y = {formula};  ∂y/∂x = {derivative}."
    members = {"function": function or name, "slope": staticmethod(slope), "__doc__": rule}
    kind: Any = type(name.capitalize(), (base,), members)

    def call(input: Any) -> Any:
        return unary(name, kind(), input)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"{what}, {rule} Of each element of ``input``; integers give the default floating type."
    return call


log = _function(OfInput, "log", lambda x: 1 / x, "Natural logarithm", "ln x", "1/x")
log2 = _function(OfInput, "log2", lambda x: 1 / (x * math.log(2)), "Logarithm to base 2", "log₂ x", "1/(x ln 2)")
log10 = _function(OfInput, "log10", lambda x: 1 / (x * math.log(10)), "Logarithm to base 10", "log₁₀ x", "1/(x ln 10)")
log1p = _function(OfInput, "log1p", lambda x: 1 / (x + 1), "Logarithm, exact near 0", "ln(1 + x)", "1/(1 + x)")
sin = _function(OfInput, "sin", lambda x: ops.cos(x), "Sine", "sin x", "cos x")
cos = _function(OfInput, "cos", lambda x: -ops.sin(x), "Cosine", "cos x", "-sin x")
sinh = _function(OfInput, "sinh", lambda x: ops.cosh(x), "Hyperbolic sine", "sinh x", "cosh x")
cosh = _function(OfInput, "cosh", lambda x: ops.sinh(x), "Hyperbolic cosine", "cosh x", "sinh x")
asin = _function(OfInput, "asin", lambda x: ops.rsqrt(1 - x * x), "Inverse sine", "asin x", "1/√(1 - x²)", "arcsin")
acos = _function(OfInput, "acos", lambda x: -ops.rsqrt(1 - x * x), "Inverse cosine", "acos x", "-1/√(1 - x²)", "arccos")
atan = _function(OfInput, "atan", lambda x: 1 / (x * x + 1), "Inverse tangent", "atan x", "1/(1 + x²)", "arctan")
asinh = _function(
    OfInput, "asinh", lambda x: ops.rsqrt(x * x + 1), "Inverse hyperbolic sine", "asinh x", "1/√(x² + 1)", "arcsinh"
)
acosh = _function(
    OfInput, "acosh", lambda x: ops.rsqrt(x * x - 1), "Inverse hyperbolic cosine", "acosh x", "1/√(x² - 1)", "arccosh"
)
atanh = _function(
    OfInput, "atanh", lambda x: 1 / (1 - x * x), "Inverse hyperbolic tangent", "atanh x", "1/(1 - x²)", "arctanh"
)

exp = _function(OfOutput, "exp", lambda y: y, "Exponential", "eˣ", "y")
exp2 = _function(OfOutput, "exp2", lambda y: y * math.log(2), "Power of 2", "2ˣ", "y ln 2")
expm1 = _function(OfOutput, "expm1", lambda y: y + 1, "Exponential less 1, exact near 0", "eˣ - 1", "y + 1")
sqrt = _function(OfOutput, "sqrt", lambda y: 0.5 / y, "Square root", "√x", "1/(2y)")
tan = _function(OfOutput, "tan", lambda y: y * y + 1, "Tangent", "tan x", "1 + y²")
tanh = _function(OfOutput, "tanh", lambda y: 1 - y * y, "Hyperbolic tangent", "tanh x", "1 - y²")

arcsin, arccos, arctan = asin, acos, atan
arcsinh, arccosh, arctanh = asinh, acosh, atanh


class Rsqrt(Operator):
    """y = 1/√x;  ∂y/∂x = -y³/2."""

    def forward(self, x: Any) -> Any:
        return self.save((1 / namespace(x).sqrt(x)).astype(x.dtype))

    def backward(self, g: Any) -> Any:
        y = self.saved
        return g * (y * y * y * -0.5)


class Sigmoid(Operator):
    """y = 1/(1 + e⁻ˣ);  ∂y/∂x = y (1 - y)."""

    def forward(self, x: Any) -> Any:
        return self.save((1 / (1 + namespace(x).exp(-x))).astype(x.dtype))

    def backward(self, g: Any) -> Any:
        y = self.saved
        return g * ((1 - y) * y)


class Logit(Operator):
    """y = ln(x/(1 - x)), x first clamped to [ε, 1 - ε];  ∂y/∂x = 1/(x (1 - x)), 0 where clamped."""

    def __init__(self, eps: float | None) -> None:
        self.eps = eps

    def forward(self, x: Any) -> Any:
        xp = namespace(x)
        self.save(x)
        z = x if self.eps is None else xp.clip(x, self.eps, 1 - self.eps)
        return xp.log(z / (1 - z)).astype(x.dtype)

    def backward(self, g: Any) -> Any:
        x = self.saved
        slope = g / ops.abs(x * (1 - x))  # a zero without a sign, at -0 too
        if self.eps is None:
            return ops.where((x < 0) | (x > 1), math.nan, slope)
        return ops.where((x < self.eps) | (x > 1 - self.eps), 0.0, slope)


class Sinc(Operator):
    """y = sin(π x)/(π x), 1 at 0;  ∂y/∂x = (π x cos(π x) - sin(π x))/(π x²)."""

    def forward(self, x: Any) -> Any:
        self.save(x)
        return namespace(x).sinc(x).astype(x.dtype)

    def backward(self, g: Any) -> Any:
        x = self.saved
        tiny = x * x == 0  # and so is the slope
        safe = ops.where(tiny, 1.0, x)
        t = safe * math.pi
        slope = (t * ops.cos(t) - ops.sin(t)) / (t * safe)
        return g * ops.where(tiny, 0.0, slope)


class Erf(Operator):
    """y = 2/√π ∫₀ˣ e^(-t²) dt;  ∂y/∂x = 2/√π e^(-x²)."""

    def forward(self, x: Any) -> Any:
        self.save(x)
        return error_function(x)

    def backward(self, g: Any) -> Any:
        x = self.saved
        return g * (ops.exp(-x * x) * (2 / math.sqrt(math.pi)))


class Erfc(Operator):
    """y = 1 - erf x;  ∂y/∂x = -2/√π e^(-x²)."""

    def forward(self, x: Any) -> Any:
        self.save(x)
        return error_function(x, complement=True)

    def backward(self, g: Any) -> Any:
        x = self.saved
        return g * (ops.exp(-x * x) * (-2 / math.sqrt(math.pi)))


def rsqrt(input: Any) -> Any:
    """1/√x of each element."""
    return unary("rsqrt", Rsqrt(), input)


def sigmoid(input: Any) -> Any:
    """1/(1 + e⁻ˣ) of each element."""
    return unary("sigmoid", Sigmoid(), input)


def logit(input: Any, eps: float | None = None) -> Any:
    """ln(x/(1 - x)) of each element, clamped to [eps, 1 - eps] first if ``eps`` is given."""
    return unary("logit", Logit(eps), input)


def sinc(input: Any) -> Any:
    """sin(πx)/(πx) of each element, 1 at 0."""
    return unary("sinc", Sinc(), input)


def erf(input: Any) -> Any:
    """The error function of each element."""
    return unary("erf", Erf(), input)


def erfc(input: Any) -> Any:
    """1 - erf(x) of each element, without cancellation."""
    return unary("erfc", Erfc(), input)


# ------------------------------------------------------------------------------------------------------- two arguments


class Pow(Operator):
    """y = aᵇ;  ∂y/∂a = b aᵇ⁻¹ (0 where b = 0), ∂y/∂b = y ln a (0 where a = 0 and b ≥ 0)."""

    broadcasts = True

    def forward(self, a: Any, b: Any) -> Any:
        self.save(a, b)
        xp = namespace(a if hasattr(a, "dtype") else b)
        kinds = {x.dtype.kind for x in (a, b) if hasattr(x, "dtype")}
        if kinds == {"b"}:
            return a | (b == 0)
        return xp.power(a, b) if not kinds <= {"i", "u"} else integer_power(xp, a, b)

    def backward(self, g: Any) -> Any:
        a, b = self.saved
        to_a = to_b = None
        if self.needs[0]:
            if isinstance(b, (int, float)):
                slope = a if b == 2 else a ** (b - 1)  # squares are most of what is asked for
                to_a = g * (b * slope) if b != 0 else g * 0
            else:
                to_a = ops.where(b == 0, 0.0, g * (b * a ** (b - 1)))
        if self.needs[1]:
            nothing = (a == 0) & (b >= 0)
            log_a = ops.log(a) if hasattr(a, "dtype") else float(namespace(b).log(float(a)))
            to_b = ops.where(nothing, 0.0, g * (a**b * log_a))
        return to_a, to_b


def integer_power(xp: Any, a: Any, b: Any) -> Any:
    """aᵇ of integers, rounded towards zero for a negative b: ±1 for a = ±1, else 0."""
    if not (b < 0).any():
        return xp.power(a, b)
    sign = xp.where(b % 2 == 0, a * a, a)  # of a = ±1
    return xp.where(b >= 0, xp.power(a, xp.maximum(b, 0)), xp.where(a * a == 1, sign, xp.zeros_like(a)))


class Atan2(Operator):
    """θ = atan2(y, x);  ∂θ/∂y = x/(x² + y²), ∂θ/∂x = -y/(x² + y²)."""

    broadcasts = True

    def forward(self, y: Any, x: Any) -> Any:
        self.save(y, x)
        return namespace(y).arctan2(y, x)

    def backward(self, g: Any) -> Any:
        y, x = self.saved
        r = x * x + y * y
        g = ops.where(r == 0, 0.0, g / r)
        return g * x, -g * y


class Hypot(Operator):
    """r = √(a² + b²), without overflow;  ∂r/∂a = a/r, ∂r/∂b = b/r."""

    broadcasts = True

    def forward(self, a: Any, b: Any) -> Any:
        r = namespace(a).hypot(a, b)
        self.save(a, b, r)
        return r

    def backward(self, g: Any) -> Any:
        a, b, r = self.saved
        return g * (a / r), g * (b / r)


class LogAddExp(Operator):
    """y = log(βᵃ + βᵇ) to base β (e or 2);  ∂y/∂a = βᵃ/(βᵃ + βᵇ) = σ((a - b) ln β),
    ∂y/∂b = σ((b - a) ln β)."""

    broadcasts = True

    def __init__(self, name: str) -> None:
        self.function, self.unit = name, 1.0 if name == "logaddexp" else math.log(2)

    def forward(self, a: Any, b: Any) -> Any:
        self.save(a, b)
        return getattr(namespace(a), self.function)(a, b)

    def backward(self, g: Any) -> Any:
        a, b = self.saved
        t = (a - b) * self.unit
        return g * ops.sigmoid(t), g * ops.sigmoid(-t)


class Xlogy(Operator):
    """z = x ln y, 0 where x = 0;  ∂z/∂x = ln y (0 where x = 0 and y ≤ 0), ∂z/∂y = x/y."""

    broadcasts = True

    def forward(self, x: Any, y: Any) -> Any:
        self.save(x, y)
        kind = (x if hasattr(x, "dtype") else y).dtype
        xp = namespace(x if hasattr(x, "dtype") else y)
        x, y = xp.asarray(x, dtype=kind), xp.asarray(y, dtype=kind)  # in which a Python number's logarithm is taken
        return xp.where((x == 0) & ~xp.isnan(y), xp.zeros_like(x), x * xp.log(y))

    def backward(self, g: Any) -> Any:
        x, y = self.saved
        to_x = None
        if self.needs[0]:
            slope = ops.log(y) if hasattr(y, "dtype") else float(namespace(x).log(float(y)))
            to_x = ops.where((x == 0) & (y <= 0), 0.0, g * slope)
        return to_x, g * (x / y) if self.needs[1] else None


def pow(input: Any, exponent: Any) -> Any:
    """``input`` to the power ``exponent``, broadcast. RuntimeError for integers to a negative integer power."""
    if isinstance(exponent, int) and exponent < 0 and hasattr(input, "dtype"):
        a, _ = promote("pow", input, exponent)
        if hasattr(a, "dtype") and raw(a).dtype.kind in "iu":
            raise RuntimeError(
                "pow: Integers to negative integer powers are not allowed; convert to a floating type first, "
                "with .float()"
            )
    if hasattr(input, "dtype") and hasattr(exponent, "dtype") and raw(input).dtype.kind == "b":
        refuse_kinds("pow", "b", exponent)
    if not hasattr(input, "dtype"):
        only_tensors("pow", exponent=exponent)
        if isinstance(input, bool):
            refuse_kinds("pow", "b", exponent)
    return binary("pow", Pow(), input, exponent)


def float_power(input: Any, exponent: Any) -> Any:
    """``input`` to the power ``exponent``, in float64."""
    if not hasattr(input, "dtype"):
        only_tensors("float_power", exponent=exponent)
    return binary("float_power", Pow(), *[x.double() if hasattr(x, "double") else x for x in (input, exponent)])


def float_power_(input: Tensor, exponent: Any) -> Tensor:
    """``float_power``, written into this tensor's memory. RuntimeError unless the tensor is float64."""
    if raw(input).dtype != "float64":
        raise RuntimeError(
            f"float_power_: the base has dtype {input.dtype} but the result is float64; use float_power, without the "
            "underscore, or convert with .double() first"
        )
    return in_place("float_power_", float_power, input, exponent)


def atan2(input: Any, other: Any) -> Any:
    """The angle of the point (other, input) in (-π, π]."""
    only_tensors("atan2", input=input, other=other)
    return binary("atan2", Atan2(), input, other, floating=True)


arctan2 = atan2


def hypot(input: Any, other: Any) -> Any:
    """√(input² + other²), without overflow."""
    only_tensors("hypot", input=input, other=other)
    return binary("hypot", Hypot(), input, other, refuse="iub")


def logaddexp(input: Any, other: Any) -> Any:
    """ln(e^input + e^other), without overflow."""
    only_tensors("logaddexp", input=input, other=other)
    return binary("logaddexp", LogAddExp("logaddexp"), input, other, refuse="iub")


def logaddexp2(input: Any, other: Any) -> Any:
    """log₂(2^input + 2^other), without overflow."""
    only_tensors("logaddexp2", input=input, other=other)
    return binary("logaddexp2", LogAddExp("logaddexp2"), input, other, refuse="iub")


def xlogy(input: Any, other: Any) -> Any:
    """input · ln(other), 0 where input is 0."""
    if not hasattr(input, "dtype"):
        only_tensors("xlogy", other=other)
    return binary("xlogy", Xlogy(), input, other, floating=True)
