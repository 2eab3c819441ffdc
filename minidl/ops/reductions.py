"""Reductions: sums, means, products and logical questions over some dimensions or all."""

from __future__ import annotations

import math
from typing import Any

from minidl import dtypes, ops
from minidl.autograd.autocast import in_float32, in_float32_on_cuda
from minidl.autograd.tape import Operator, apply
from minidl.backends import namespace
from minidl.ops.common import as_tensor_or_array, ints, normalize_dims, only_tensors
from minidl.tensor import Tensor, raw, wrap

__all__ = [
    "all",
    "any",
    "count_nonzero",
    "logsumexp",
    "mean",
    "nanmean",
    "nansum",
    "prod",
    "sum",
    "sum_to_size",
]

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


# ------------------------------------------------------------------------------------------------------------ arguments


def reduced_dims(dim: Any, ndim: int, name: str) -> tuple[int, ...]:
    """The axes that ``dim`` names; None and an empty sequence stand for all."""
    return normalize_dims(None if dim is None or (isinstance(dim, (tuple, list)) and not dim) else dim, ndim, name)


def is_integral(x: Any) -> bool:
    """Integers or booleans."""
    return raw(x).dtype.kind in "iub"


def cast(input: Any, dtype: Any) -> Any:
    """A Tensor or an array in another element type."""
    numpy_dtype = dtypes.as_dtype(dtype).numpy
    if raw(input).dtype == numpy_dtype:
        return input
    return input.to(dtype) if isinstance(input, Tensor) else input.astype(numpy_dtype)


def summable(input: Any, dtype: Any) -> Any:
    """``input`` as ``dtype``; without one, integers and booleans as int64, so that sums do not overflow."""
    if dtype is not None:
        return cast(input, dtype)
    return cast(input, dtypes.int64) if is_integral(input) else input


def floating(name: str, input: Any, dtype: Any = None) -> Any:
    """``input`` as ``dtype``. RuntimeError unless the result is floating: a mean of integers has no obvious type."""
    if dtype is not None and not dtypes.as_dtype(dtype).is_floating_point:
        raise RuntimeError(f"{name}(): could not infer output dtype: dtype must be floating point, got {dtype}")
    if dtype is not None:
        return cast(input, dtype)
    if is_integral(input):
        raise RuntimeError(
            f"{name}(): could not infer output dtype. Input dtype must be either a floating point or complex dtype. "
            f"Got: {dtypes.from_numpy_dtype(raw(input).dtype)}; convert it first, for example with .float()"
        )
    return input


def as_floating(input: Any) -> Any:
    """``input``, integers and booleans in the default floating type."""
    return cast(input, dtypes.get_default_dtype()) if is_integral(input) else input


def is_half(x: Any) -> bool:
    """float16 or bfloat16: what is accumulated in float32 and rounded once, at the end."""
    return x.dtype.itemsize == 2 and x.dtype.kind in "fV"


def widened(x: Any) -> Any:
    """An array as it is, 16-bit floats as float32."""
    return x.astype("float32") if is_half(x) else x


# ------------------------------------------------------------------------------------------------------- sums and means


class Sum(Reduction):
    """y = Σ x;  ∂y/∂x = 1."""

    def forward(self, x: Any) -> Any:
        self.shape = x.shape
        if is_half(x):
            return x.sum(axis=self.dims, keepdims=self.keepdim, dtype="float32").astype(x.dtype)
        return x.sum(axis=self.dims, keepdims=self.keepdim, dtype=x.dtype)

    def backward(self, g: Any) -> Any:
        return self.spread(g, self.shape)


class Mean(Reduction):
    """y = Σ x / n;  ∂y/∂x = 1/n."""

    def forward(self, x: Any) -> Any:
        self.shape = x.shape
        self.n = math.prod([x.shape[d] for d in self.dims])
        total = x.sum(axis=self.dims, keepdims=self.keepdim, dtype="float32" if is_half(x) else None)
        return (total / total.dtype.type(self.n)).astype(x.dtype)

    def backward(self, g: Any) -> Any:
        return self.spread(g / self.n if self.n else g, self.shape)


@in_float32_on_cuda
def sum(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The sum over ``dim`` (an int, several, or None for all), in ``dtype``.

    Without ``dtype``, integers and booleans are summed as int64; 16-bit floats are summed in float32 and rounded once.
    """
    as_tensor_or_array("sum", "input", input)
    return apply(Sum(reduced_dims(dim, input.ndim, "sum"), keepdim), summable(input, dtype))


def mean(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The mean over ``dim`` (an int, several, or None for all). RuntimeError for integers: say ``dtype=``.

    The mean of nothing is nan.
    """
    as_tensor_or_array("mean", "input", input)
    return apply(Mean(reduced_dims(dim, input.ndim, "mean"), keepdim), floating("mean", input, dtype))


def sum_to_size(input: Any, *size: Any) -> Any:
    """The sum of ``input`` over the dimensions along which ``size`` would have to be stretched to reach its shape."""
    only_tensors("sum_to_size", input=input)
    shape = ints(size)
    extra = input.ndim - len(shape)
    if extra < 0 or True in (n not in (1, m) for n, m in zip(shape, input.shape[extra:])):
        raise RuntimeError(f"size {list(shape)} is not expandable to size {list(input.shape)}")
    stretched = [i for i in range(input.ndim) if i < extra or shape[i - extra] != input.shape[i]]
    return sum(input, stretched, keepdim=True).reshape(shape) if stretched else input


def nansum(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The sum over ``dim`` of the elements that are not nan."""
    only_tensors("nansum", input=input)
    input = summable(input, dtype)
    return sum(input if is_integral(input) else without_nan(input), dim, keepdim, dtype=dtype)


def nanmean(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The mean over ``dim`` of the elements that are not nan; nan where there are none."""
    only_tensors("nanmean", input=input)
    floating("nanmean", input)  # RuntimeError for integers, whatever ``dtype``
    input = floating("nanmean", input, dtype)
    x = raw(input)
    number = sum(wrap(x == x), dim, keepdim)
    return sum(without_nan(input), dim, keepdim) / number


def without_nan(x: Any) -> Any:
    """``x`` with 0 for nan, and no gradient there."""
    return apply(WithoutNan(), x)


class WithoutNan(Operator):
    """y = x, but 0 where x is nan;  ∂y/∂x = 1, but 0 there."""

    def forward(self, x: Any) -> Any:
        number = x == x
        self.save(number)
        return namespace(x).where(number, x, x.dtype.type(0))

    def backward(self, g: Any) -> Any:
        return g * self.saved


# ------------------------------------------------------------------------------------------------------------- products


class Prod(Reduction):
    """y = Π x;  ∂y/∂xᵢ = Π_{j≠i} xⱼ: the product of what stands before and of what stands after.

    Without division, so zeros among the x do no harm, at any order.
    """

    def forward(self, x: Any) -> Any:
        self.save(x)
        return widened(x).prod(axis=self.dims, keepdims=self.keepdim).astype(x.dtype)

    def backward(self, g: Any) -> Any:
        x, (dim,) = self.saved, self.dims
        before = exclusive_cumprod(x, dim)
        after = ops.flip(exclusive_cumprod(ops.flip(x, (dim,)), dim), (dim,))
        return self.spread(g, x.shape) * (before * after)


def exclusive_cumprod(x: Any, dim: int) -> Any:
    """y[i] = Π_{j<i} x[j] along ``dim``."""
    n = x.shape[dim]
    one = namespace(raw(x)).ones((*x.shape[:dim], min(n, 1), *x.shape[dim + 1 :]), raw(x).dtype)
    return ops.cumprod(ops.cat((one, ops.narrow(x, dim, 0, max(n - 1, 0))), dim), dim)


@in_float32
def prod(input: Any, dim: int | None = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The product over ``dim``, or of all elements. Integers and booleans are multiplied as int64."""
    only_tensors("prod", input=input)
    input = summable(input, dtype)
    if dim is None:
        ndim, input = input.ndim, input.reshape((raw(input).size,))
        result = apply(Prod((0,), False), input)
        return result.reshape((1,) * ndim) if keepdim else result
    dims = normalize_dims(dim, input.ndim, "prod")
    if not input.ndim:
        return apply(Prod((0,), False), input.reshape((1,)))
    return apply(Prod(dims, keepdim), input)


# ------------------------------------------------------------------------------------------------------------ logsumexp


class LogSumExp(Reduction):
    """y = log Σ eˣ = m + log Σ eˣ⁻ᵐ with m = max x, so that no exponential overflows;  ∂y/∂x = eˣ⁻ʸ, the softmax."""

    def forward(self, x: Any) -> Any:
        xp = namespace(x)
        wide = widened(x)
        m = wide.max(axis=self.dims, keepdims=True, initial=-xp.inf)
        m = xp.where(xp.isfinite(m), m, m.dtype.type(0))
        y = xp.log(xp.exp(wide - m).sum(axis=self.dims, keepdims=self.keepdim))
        y = (y + m.reshape(y.shape)).astype(x.dtype)
        y = xp.asarray(y)
        self.save(x, y)
        return y

    def backward(self, g: Any) -> Any:
        x, y = self.saved
        return self.with_dims(g) * ops.exp(x - self.with_dims(y))


def logsumexp(input: Any, dim: Any, keepdim: bool = False) -> Any:
    """log Σ exp(input) over ``dim``, without overflow. Integers give the default floating type."""
    only_tensors("logsumexp", input=input)
    input = as_floating(input)
    return apply(LogSumExp(reduced_dims(dim, input.ndim, "logsumexp"), keepdim), input)


# ---------------------------------------------------------------------------------------------------- logical questions


class Question(Reduction):
    """A reduction without gradient, by the array method ``name``."""

    def __init__(self, name: str, dims: tuple[int, ...], keepdim: bool) -> None:
        super().__init__(dims, keepdim)
        self.method = name

    def forward(self, x: Any) -> Any:
        result = getattr(x != 0, self.method)(axis=self.dims, keepdims=self.keepdim)
        return result.astype(x.dtype) if x.dtype == "uint8" else result


def all(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """Whether every element over ``dim`` is true (not 0)."""
    only_tensors("all", input=input)
    return apply(Question("all", normalize_dims(dim, input.ndim, "all"), keepdim), input)


def any(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """Whether some element over ``dim`` is true (not 0)."""
    only_tensors("any", input=input)
    return apply(Question("any", normalize_dims(dim, input.ndim, "any"), keepdim), input)


class CountNonzero(Reduction):
    """y = how many x are not 0; no gradient."""

    def forward(self, x: Any) -> Any:
        return (x != 0).sum(axis=self.dims)


def count_nonzero(input: Any, dim: Any = None) -> Any:
    """How many elements over ``dim`` are not 0, as int64."""
    only_tensors("count_nonzero", input=input)
    return apply(CountNonzero(reduced_dims(dim, input.ndim, "count_nonzero"), False), input)
