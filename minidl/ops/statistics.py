"""Statistics: variance and standard deviation, median, mode, quantiles, histograms."""

from __future__ import annotations

import math
from collections import namedtuple
from typing import Any

from minidl import ops
from minidl.autograd.tape import apply
from minidl.ops.common import as_tensor_or_array
from minidl.ops.reductions import Reduction, floating, reduced_dims, widened

__all__ = ["std", "std_mean", "var", "var_mean"]

METHODS = ["std", "var"]
INPLACE: list[str] = []


# ------------------------------------------------------------------------------------------------------------- variance


class Var(Reduction):
    """y = Σ (x - x̄)² / (n - c);  ∂y/∂x = 2 (x - x̄) / (n - c).

    In two passes, mean first: Σx² - n x̄² would cancel when the mean is large.
    """

    def __init__(self, dims: tuple[int, ...], keepdim: bool, correction: float) -> None:
        super().__init__(dims, keepdim)
        self.correction = correction

    def forward(self, x: Any) -> Any:
        y = self.variance(x)
        self.save(x)
        return y.astype(x.dtype)

    def variance(self, x: Any) -> Any:
        wide = widened(x)
        n = math.prod([x.shape[d] for d in self.dims])
        self.freedom = wide.dtype.type(max(n - self.correction, 0))
        centred = wide - wide.mean(axis=self.dims, keepdims=True)
        centred *= centred
        return centred.sum(axis=self.dims, keepdims=self.keepdim) / self.freedom

    def centred(self, x: Any) -> Any:
        return x - ops.mean(x, self.dims, True) if self.dims else x - x

    def backward(self, g: Any) -> Any:
        return self.with_dims(g) * (2 / self.freedom) * self.centred(self.saved)


class Std(Var):
    """y = √(Σ (x - x̄)² / (n - c));  ∂y/∂x = (x - x̄) / ((n - c) y), and 0 where y = 0."""

    def forward(self, x: Any) -> Any:
        y = self.variance(x) ** 0.5
        y = y.astype(x.dtype)
        self.save(x, y)
        return y

    def backward(self, g: Any) -> Any:
        x, y = self.saved
        scaled = ops.where(y == 0, ops.zeros_like(y), g / (ops.where(y == 0, ops.ones_like(y), y) * self.freedom))
        return self.with_dims(scaled) * self.centred(x)


def _spread(
    name: str, operator: type[Var], input: Any, dim: Any, unbiased: Any, correction: Any, keepdim: bool
) -> tuple[Any, tuple[int, ...]]:
    as_tensor_or_array(name, "input", input)
    if isinstance(dim, bool):  # the old form: std(x, unbiased)
        dim, unbiased = None, dim
    if unbiased is not None and correction is not None:
        raise TypeError(f"{name}(): give unbiased or correction, not both")
    if correction is None:
        correction = 1 if unbiased is None or unbiased else 0
    if input.dtype.kind in "iub" if hasattr(input.dtype, "kind") else not input.dtype.is_floating_point:
        raise RuntimeError(f"{name} only supports floating point dtypes, got {input.dtype}; use .float() first")
    dims = reduced_dims(dim, input.ndim, name)
    return apply(operator(dims, keepdim, correction), input), dims


def var(input: Any, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None) -> Any:
    """The variance over ``dim`` (an int, several, or None for all): Σ (x - x̄)² / (n - correction), correction 1 unless
    given (``unbiased=False`` is correction 0). nan or inf where n ≤ correction."""
    return _spread("var", Var, input, dim, unbiased, correction, keepdim)[0]


def std(input: Any, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None) -> Any:
    """The standard deviation, √var; see :func:`var`. Where it is 0, its gradient is taken as 0."""
    return _spread("std", Std, input, dim, unbiased, correction, keepdim)[0]


def var_mean(
    input: Any, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None
) -> Any:
    """``(var(input, …), mean(input, …))``."""
    y, dims = _spread("var_mean", Var, input, dim, unbiased, correction, keepdim)
    return y, ops.mean(input, dims, keepdim) if dims else input * 1


def std_mean(
    input: Any, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None
) -> Any:
    """``(std(input, …), mean(input, …))``."""
    y, dims = _spread("std_mean", Std, input, dim, unbiased, correction, keepdim)
    return y, ops.mean(input, dims, keepdim) if dims else input * 1
