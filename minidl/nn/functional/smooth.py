"""Smooth activations: gelu, silu, mish, softplus, and the gates."""

from __future__ import annotations

import math
from typing import Any

from minidl import ops
from minidl.autograd.tape import Operator
from minidl.backends import kernel, namespace
from minidl.nn.functional.activation import Activation, activate
from minidl.ops.activation import check_floating
from minidl.ops.common import normalize_dim
from minidl.tensor import Tensor

__all__ = ["gelu", "glu", "logsigmoid", "mish", "sigmoid", "silu", "softplus", "softsign", "tanh", "tanhshrink"]


def _softplus(xp: Any, x: Any) -> Any:
    """ln(1 + eˣ) without overflow."""
    return xp.maximum(x, 0) + xp.log1p(xp.exp(-xp.abs(x)))


class Gelu(Operator):
    """y = x Φ(x), Φ exact or by a tanh;  ∂y/∂x = Φ(x) + x Φ′(x).  See minidl_kernels.activation."""

    def __init__(self, approximate: str) -> None:
        self.approximate = approximate
        self.kind = "gelu" if approximate == "none" else "gelu_tanh"

    def forward(self, x: Any) -> Any:
        self.save(x)
        return kernel("activation").forward(namespace(x).asarray(x), None, self.kind)

    def backward(self, g: Any) -> Any:
        x = namespace(g).asarray(self.saved)
        return kernel("activation").backward(namespace(g).asarray(g), x, None, self.kind)

    def composite(self, x: Any) -> Any:
        if self.approximate == "none":
            return x * ops.erfc(x * (-1 / math.sqrt(2))) * 0.5
        u = (x + x * x * x * 0.044715) * math.sqrt(2 / math.pi)
        return x * (ops.tanh(u) + 1) * 0.5


def gelu(input: Any, approximate: str = "none") -> Any:
    """x Φ(x), Φ the normal distribution (Hendrycks & Gimpel 2016). ``approximate="tanh"``: Φ by a hyperbolic tangent.

    RuntimeError for another ``approximate``.
    """
    if approximate not in ("none", "tanh"):
        raise RuntimeError(f"gelu: approximate argument must be either none or tanh, got {approximate!r}")
    return activate("gelu", Gelu(approximate), input)


class Silu(Operator):
    """y = x σ(x);  ∂y/∂x = σ(x) (1 + x (1 - σ(x))).  See minidl_kernels.activation."""

    def forward(self, x: Any) -> Any:
        self.save(x)
        return kernel("activation").forward(namespace(x).asarray(x), None, "silu")

    def backward(self, g: Any) -> Any:
        x = self.saved
        if isinstance(g, Tensor):
            s = ops.sigmoid(x)
            return g * (s * (x * (1 - s) + 1))
        xp = namespace(g)
        return kernel("activation").backward(xp.asarray(g), xp.asarray(x), None, "silu")


def silu(input: Any, inplace: bool = False) -> Any:
    """x · sigmoid(x), also called swish."""
    return activate("silu", Silu(), input, inplace)


class Mish(Activation):
    """y = x t with t = tanh(ln(1 + eˣ));  ∂y/∂x = t + x σ(x) (1 - t²)."""

    def value(self, xp: Any, x: Any) -> Any:
        return x * xp.tanh(_softplus(xp, x))

    def slope(self, g: Any, x: Any) -> Any:
        t = ops.tanh(softplus(x, threshold=math.inf))
        return g * (t + x * ops.sigmoid(x) * (1 - t * t))


def mish(input: Any, inplace: bool = False) -> Any:
    """x · tanh(softplus(x)) (Misra 2019)."""
    return activate("mish", Mish(), input, inplace)


class Softplus(Activation):
    """y = ln(1 + e^(β x))/β, or x itself where β x is above the threshold;  ∂y/∂x = σ(β x), or 1."""

    def __init__(self, beta: float, threshold: float) -> None:
        self.beta, self.threshold = beta, threshold

    def value(self, xp: Any, x: Any) -> Any:
        z = x * self.beta
        return xp.where(z > self.threshold, x, _softplus(xp, z) / self.beta)

    def slope(self, g: Any, x: Any) -> Any:
        z = x * self.beta
        return g * ops.where(z > self.threshold, 1.0, ops.sigmoid(z))


def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """ln(1 + e^(beta x)) / beta, stable at any magnitude; x itself where beta x > threshold."""
    return activate("softplus", Softplus(beta, threshold), input)


class LogSigmoid(Activation):
    """y = ln σ(x) = min(x, 0) - ln(1 + e^(-|x|));  ∂y/∂x = σ(-x)."""

    def value(self, xp: Any, x: Any) -> Any:
        return xp.minimum(x, 0) - xp.log1p(xp.exp(-xp.abs(x)))

    def slope(self, g: Any, x: Any) -> Any:
        return g * ops.sigmoid(-x)


def logsigmoid(input: Any) -> Any:
    """ln(sigmoid(x)), stable at any magnitude."""
    return activate("logsigmoid", LogSigmoid(), input)


def softsign(input: Any) -> Any:
    """x / (1 + |x|)."""
    return input / (ops.abs(input) + 1)


def tanhshrink(input: Any) -> Any:
    """x - tanh x."""
    return input - ops.tanh(input)


def sigmoid(input: Any) -> Any:
    """1/(1 + e⁻ˣ)."""
    return ops.sigmoid(input)


def tanh(input: Any) -> Any:
    """tanh x."""
    return ops.tanh(input)


def glu(input: Any, dim: int = -1) -> Any:
    """a · sigmoid(b), where a and b are the halves of ``input`` along ``dim`` (Dauphin et al. 2017).

    RuntimeError for a dimension of odd size, or a tensor without dimensions.
    """
    check_floating("glu", input)
    if input.ndim == 0:
        raise RuntimeError("glu does not support 0-dimensional tensors")
    axis = normalize_dim(dim, input.ndim, "glu")
    size = input.shape[axis]
    if size % 2:
        raise RuntimeError(f"glu: Halving dimension must be even, but dimension {axis} is size {size}")
    half = size // 2
    return ops.narrow(input, axis, 0, half) * ops.sigmoid(ops.narrow(input, axis, half, half))
