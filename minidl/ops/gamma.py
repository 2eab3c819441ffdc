"""The gamma function's logarithm and its derivatives, and the inverse of the error function."""

from __future__ import annotations

import math
from typing import Any

from minidl import ops
from minidl.autograd.tape import Operator
from minidl.ops.transcendental import unary
from minidl_kernels.error_function import inverse_error_function
from minidl_kernels.gamma_function import log_gamma
from minidl_kernels.gamma_function import polygamma as _polygamma

__all__ = ["digamma", "erfinv", "lgamma", "polygamma"]

METHODS = ["digamma", "erfinv", "lgamma"]
INPLACE = METHODS


class LogGamma(Operator):
    """y = ln |Γ(x)|;  ∂y/∂x = ψ(x)."""

    def forward(self, x: Any) -> Any:
        self.save(x)
        return log_gamma(x)

    def backward(self, g: Any) -> Any:
        return g * digamma(self.saved)


class Polygamma(Operator):
    """y = ψ⁽ⁿ⁾(x);  ∂y/∂x = ψ⁽ⁿ⁺¹⁾(x)."""

    def __init__(self, n: int) -> None:
        self.n = n

    def forward(self, x: Any) -> Any:
        self.save(x)
        return _polygamma(self.n, x)

    def backward(self, g: Any) -> Any:
        return g * polygamma(self.n + 1, self.saved)


class ErfInv(Operator):
    """y = erf⁻¹ x;  ∂y/∂x = √π/2 e^(y²)."""

    def forward(self, x: Any) -> Any:
        return self.save(inverse_error_function(x))

    def backward(self, g: Any) -> Any:
        y = self.saved
        return g * (ops.exp(y * y) * (math.sqrt(math.pi) / 2))


def lgamma(input: Any) -> Any:
    """ln |Γ(x)| of each element; of a whole number n, ln (n - 1)!. Infinite at 0 and the negative whole numbers."""
    return unary("lgamma", LogGamma(), input)


def digamma(input: Any) -> Any:
    """ψ(x), the derivative of ln Γ(x), of each element."""
    return unary("digamma", Polygamma(0), input)


def polygamma(n: int, input: Any) -> Any:
    """The n-th derivative of ψ(x) of each element. RuntimeError for negative ``n``."""
    if n < 0:
        raise RuntimeError(f"polygamma(n, x) does not support negative n, got {n}")
    return unary("polygamma", Polygamma(n), input)


def erfinv(input: Any) -> Any:
    """The y with erf(y) = x of each element; ±∞ at ±1, nan beyond."""
    return unary("erfinv", ErfInv(), input)
