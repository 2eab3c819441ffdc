"""Activations made of straight pieces and exponentials: the relatives of relu."""

from __future__ import annotations

from typing import Any

from minidl import ops
from minidl.autograd.autocast import in_half
from minidl.autograd.inplace import in_place
from minidl.autograd.tape import Operator, apply
from minidl.backends import namespace
from minidl.ops.activation import check_floating
from minidl.ops.common import as_tensor_or_array, refuse_kinds
from minidl.random import generator as _generator
from minidl.tensor import Tensor, raw

__all__ = ["celu", "celu_", "elu", "elu_", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "hardtanh_"]
__all__ += ["leaky_relu", "leaky_relu_", "prelu", "relu", "relu6", "relu_", "rrelu", "rrelu_", "selu", "selu_"]
__all__ += ["softshrink", "threshold", "threshold_"]


def widened(x: Any) -> Any:
    """Half precision as float32 (array or Tensor); other types as they are."""
    if raw(x).dtype.itemsize >= 4:
        return x
    return x.float() if isinstance(x, Tensor) else x.astype("float32")


class Activation(Operator):
    """y = f(x) for each element: ``value(xp, x)`` on arrays, and the gradient ``slope(g, x)`` on arrays or Tensors.

    Half precision is computed in float32 and rounded once.
    """

    def forward(self, x: Any) -> Any:
        self.save(x)
        return self.value(namespace(x), widened(x)).astype(x.dtype, copy=False)

    def backward(self, g: Any) -> Any:
        return self.slope(widened(g), widened(self.saved))

    def value(self, xp: Any, x: Any) -> Any:
        raise NotImplementedError(f"{self.name} has no value")

    def slope(self, g: Any, x: Any) -> Any:
        raise NotImplementedError(f"{self.name} has no slope")


def activate(name: str, operator: Operator, input: Any, inplace: bool = False) -> Any:
    """Apply an activation to a floating tensor, or write its result over ``input``."""
    check_floating(name, input)
    return in_place(name + "_", lambda x: apply(operator, x), input) if inplace else apply(operator, input)


# -------------------------------------------------------------------------------------------------- two straight lines


def relu(input: Any, inplace: bool = False) -> Any:
    """max(input, 0), elementwise; any shape, any real type. ``inplace`` writes the result over ``input``."""
    return relu_(input) if inplace else ops.relu(input)


def relu_(input: Any) -> Any:
    """max(input, 0), written over ``input``."""
    return in_place("relu_", ops.relu, input)


class LeakyRelu(Activation):
    """y = x where x > 0, else s x;  ∂y/∂x = 1 or s."""

    def __init__(self, negative_slope: float) -> None:
        self.negative_slope = negative_slope

    def value(self, xp: Any, x: Any) -> Any:
        return xp.where(x > 0, x, x * self.negative_slope)

    def slope(self, g: Any, x: Any) -> Any:
        return ops.where(x > 0, g, g * self.negative_slope)


def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    """x where positive, else ``negative_slope`` · x."""
    return activate("leaky_relu", LeakyRelu(negative_slope), input, inplace)


def leaky_relu_(input: Any, negative_slope: float = 0.01) -> Any:
    """:func:`leaky_relu`, written over ``input``."""
    return leaky_relu(input, negative_slope, inplace=True)


@in_half
def prelu(input: Any, weight: Any) -> Any:
    """x where positive, else weight · x; ``weight`` has one value, or one for each channel (dimension 1)."""
    return ops.prelu(input, weight)


class RandomRelu(Operator):
    """y = x where x > 0, else s x, the slope s drawn for each element;  ∂y/∂x = 1 or s."""

    def __init__(self, slopes: Any) -> None:
        self.slopes = slopes

    def forward(self, x: Any) -> Any:
        return x * self.save(namespace(x).where(x > 0, x.dtype.type(1), self.slopes))

    def backward(self, g: Any) -> Any:
        return g * self.saved


def rrelu(
    input: Any,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
    generator: Any = None,
) -> Any:
    """Leaky relu whose slope is drawn from [lower, upper] for each element in training, else the middle of it.

    RuntimeError if ``lower`` is above ``upper``.
    """
    check_floating("rrelu", input)
    if lower > upper:
        raise RuntimeError(f"rrelu: Lower bound should be less than or equal to the upper bound, got {lower} > {upper}")
    if not training:
        return activate("rrelu", LeakyRelu((lower + upper) / 2), input, inplace)
    array = raw(input)
    drawn = _generator(generator).uniform(lower, upper, tuple(input.shape))
    return activate("rrelu", RandomRelu(namespace(array).asarray(drawn, dtype=array.dtype)), input, inplace)


def rrelu_(
    input: Any, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False, generator: Any = None
) -> Any:
    """:func:`rrelu`, written over ``input``."""
    return rrelu(input, lower, upper, training, inplace=True, generator=generator)


class Threshold(Activation):
    """y = x where x > t, else v;  ∂y/∂x = 1 or 0."""

    def __init__(self, threshold: float, value: float) -> None:
        self.threshold, self.other = threshold, value

    def forward(self, x: Any) -> Any:
        self.save(x)
        return namespace(x).where(x <= self.threshold, x.dtype.type(self.other), x)

    def slope(self, g: Any, x: Any) -> Any:
        return ops.where(x <= self.threshold, 0.0, g)


def threshold(input: Any, threshold: float, value: float, inplace: bool = False) -> Any:
    """x where above ``threshold``, else ``value``."""
    as_tensor_or_array("threshold", "input", input)
    refuse_kinds("threshold", "b", input)
    operator = Threshold(threshold, value)
    return in_place("threshold_", lambda x: apply(operator, x), input) if inplace else apply(operator, input)


def threshold_(input: Any, threshold: float, value: float) -> Any:
    """:func:`threshold`, written over ``input``."""
    return globals()["threshold"](input, threshold, value, inplace=True)


# ---------------------------------------------------------------------------------------------------------- exponential


class Elu(Activation):
    """y = λ x where x > 0, else λ α (e^(k x) - 1);  ∂y/∂x = λ or λ α k e^(k x)."""

    def __init__(self, alpha: float, scale: float = 1.0, rate: float = 1.0) -> None:
        self.alpha, self.scale, self.rate = alpha, scale, rate

    def value(self, xp: Any, x: Any) -> Any:
        y = xp.where(x > 0, x, xp.expm1(xp.minimum(x, 0) * self.rate) * self.alpha)
        return y if self.scale == 1 else y * self.scale

    def slope(self, g: Any, x: Any) -> Any:
        below = ops.exp(ops.where(x > 0, 0.0, x) * self.rate) * (self.alpha * self.scale * self.rate)
        return g * ops.where(x <= 0, below, self.scale)


def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """x where positive, else alpha (eˣ - 1) (Clevert et al. 2016)."""
    return activate("elu", Elu(alpha), input, inplace)


def elu_(input: Any, alpha: float = 1.0) -> Any:
    """:func:`elu`, written over ``input``."""
    return elu(input, alpha, inplace=True)


def selu(input: Any, inplace: bool = False) -> Any:
    """elu with the two constants that keep activations at mean 0 and variance 1 (Klambauer et al. 2017)."""
    return activate("selu", Elu(1.6732632423543772, 1.0507009873554805), input, inplace)


def selu_(input: Any) -> Any:
    """:func:`selu`, written over ``input``."""
    return selu(input, inplace=True)


def celu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """x where positive, else alpha (e^(x/alpha) - 1): an elu whose slope is continuous (Barron 2017)."""
    if alpha == 0:
        raise RuntimeError("celu: ZeroDivisionError: alpha cannot be 0 for CELU")
    return activate("celu", Elu(alpha, rate=1 / alpha), input, inplace)


def celu_(input: Any, alpha: float = 1.0) -> Any:
    """:func:`celu`, written over ``input``."""
    return celu(input, alpha, inplace=True)


# ------------------------------------------------------------------------------------------------------- between walls


class Hardtanh(Activation):
    """y = x clamped to [a, b];  ∂y/∂x = 1 inside, 0 at the walls and beyond."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def forward(self, x: Any) -> Any:
        self.save(x)
        return namespace(x).clip(x, x.dtype.type(self.low), x.dtype.type(self.high)).astype(x.dtype, copy=False)

    def slope(self, g: Any, x: Any) -> Any:
        return ops.where((x > self.low) & (x < self.high), g, 0.0)


def _hardtanh(name: str, input: Any, low: float, high: float, inplace: bool) -> Any:
    as_tensor_or_array(name, "input", input)
    if raw(input).dtype.kind == "b":
        raise RuntimeError(f"{name}: Bool inputs not supported; convert with .float() first")
    if raw(input).dtype == "uint8" and low < 0:
        raise RuntimeError(f"{name}: cannot clamp an unsigned type to the negative limit {low}; convert with .int()")
    operator = Hardtanh(low, high)
    return in_place(name + "_", lambda x: apply(operator, x), input) if inplace else apply(operator, input)


def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    """x clamped to [min_val, max_val]. ValueError if ``min_val`` is the greater."""
    if min_val > max_val:
        raise ValueError(f"hardtanh: min_val cannot be greater than max_val, got {min_val} > {max_val}")
    return _hardtanh("hardtanh", input, min_val, max_val, inplace)


def hardtanh_(input: Any, min_val: float = -1.0, max_val: float = 1.0) -> Any:
    """:func:`hardtanh`, written over ``input``."""
    return hardtanh(input, min_val, max_val, inplace=True)


def relu6(input: Any, inplace: bool = False) -> Any:
    """min(max(x, 0), 6)."""
    return _hardtanh("relu6", input, 0, 6, inplace)


class Hardsigmoid(Activation):
    """y = (x + 3)/6 clamped to [0, 1];  ∂y/∂x = 1/6 inside, else 0."""

    def value(self, xp: Any, x: Any) -> Any:
        return xp.clip(x + 3, 0, 6) / 6

    def slope(self, g: Any, x: Any) -> Any:
        return ops.where((x > -3) & (x < 3), g / 6, 0.0)


def hardsigmoid(input: Any, inplace: bool = False) -> Any:
    """relu6(x + 3) / 6."""
    return activate("hardsigmoid", Hardsigmoid(), input, inplace)


class Hardswish(Activation):
    """y = x · ((x + 3)/6 clamped to [0, 1]);  ∂y/∂x = 0 below -3, 1 above 3, x/3 + ½ between."""

    def value(self, xp: Any, x: Any) -> Any:
        return x * xp.clip(x + 3, 0, 6) / 6

    def slope(self, g: Any, x: Any) -> Any:
        return ops.where(x <= -3, 0.0, ops.where(x < 3, g * (x / 3 + 0.5), g))


def hardswish(input: Any, inplace: bool = False) -> Any:
    """x · relu6(x + 3) / 6 (Howard et al. 2019)."""
    return activate("hardswish", Hardswish(), input, inplace)


def hardshrink(input: Any, lambd: float = 0.5) -> Any:
    """x where |x| > ``lambd``, else 0."""
    return ops.hardshrink(input, lambd)


class Softshrink(Activation):
    """y = x - λ sign(x) where |x| > λ, else 0;  ∂y/∂x = [|x| > λ]."""

    def __init__(self, lambd: float) -> None:
        self.lambd = lambd

    def value(self, xp: Any, x: Any) -> Any:
        return xp.where(x > self.lambd, x - self.lambd, xp.where(x < -self.lambd, x + self.lambd, x * 0))

    def slope(self, g: Any, x: Any) -> Any:
        return ops.where((x < -self.lambd) | (x > self.lambd), g, 0.0)


def softshrink(input: Any, lambd: float = 0.5) -> Any:
    """x drawn towards 0 by ``lambd``, and 0 where |x| ≤ lambd. RuntimeError for a negative ``lambd``."""
    if lambd < 0:
        raise RuntimeError(f"softshrink: lambda must be greater or equal to 0, but found to be {lambd}.")
    return activate("softshrink", Softshrink(lambd), input)
