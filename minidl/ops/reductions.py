"""Reductions: sums, means, extremes and norms over some dimensions or all."""

from __future__ import annotations

from typing import Any

from minidl import dtypes, ops
from minidl.autograd.tape import Operator, apply
from minidl.ops.common import ints, normalize_dims
from minidl.tensor import Tensor, raw

__all__ = ["sum", "sum_to_size"]

METHODS = __all__
INPLACE: list[str] = []


class Reduction(Operator):
    """An operator over the axes ``dims``, which the result loses unless ``keepdim``."""

    def __init__(self, dims: tuple[int, ...], keepdim: bool) -> None:
        self.dims, self.keepdim = dims, keepdim

    def spread(self, g: Any, shape: tuple[int, ...]) -> Any:
        """A value for each result, as one for each element of an input of ``shape`` (expanded, not copied)."""
        return ops.expand(self.with_dims(g), shape)

    def with_dims(self, g: Any) -> Any:
        """A value for each result with the reduced axes back, of size 1."""
        if self.keepdim or not self.dims:
            return g
        kept = iter(g.shape)
        return g.reshape(tuple(1 if i in self.dims else next(kept) for i in range(g.ndim + len(self.dims))))


class Sum(Reduction):
    """y = Σ x;  ∂y/∂x = 1."""

    def forward(self, x: Any) -> Any:
        self.shape = x.shape
        return x.sum(axis=self.dims, keepdims=self.keepdim)

    def backward(self, g: Any) -> Any:
        return self.spread(g, self.shape)


def sum(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The sum over ``dim`` (an int, several, or None for all). Integers and booleans are summed as int64."""
    if dtype is not None:
        input = input.to(dtype)
    elif raw(input).dtype.kind in "iub":
        input = input.to(dtypes.int64) if isinstance(input, Tensor) else input.astype("int64")
    dims = normalize_dims(None if dim == () or dim == [] else dim, input.ndim, "sum")
    return apply(Sum(dims, keepdim), input)


def sum_to_size(input: Any, *size: Any) -> Any:
    """The sum of ``input`` over the dimensions along which ``size`` would have to be stretched to reach its shape."""
    shape = ints(size)
    extra = input.ndim - len(shape)
    if extra < 0 or any(n not in (1, m) for n, m in zip(shape, input.shape[extra:])):
        raise RuntimeError(f"size {list(shape)} is not expandable to size {list(input.shape)}")
    stretched = [i for i in range(input.ndim) if i < extra or shape[i - extra] != input.shape[i]]
    return sum(input, stretched, keepdim=True).reshape(shape) if stretched else input
