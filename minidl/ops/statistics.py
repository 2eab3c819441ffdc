"""Statistics: variance and standard deviation, median, mode, quantiles, histograms."""

from __future__ import annotations

import math
from collections import namedtuple
from typing import Any

from minidl import dtypes, ops
from minidl.autograd.tape import apply
from minidl.backends import namespace
from minidl.ops.common import as_tensor_or_array, normalize_dim, refuse_kinds
from minidl.ops.extremes import Extreme, like
from minidl.ops.norms import one_for_zero, zero_where
from minidl.ops.reductions import Reduction, is_integral, reduced_dims, widened
from minidl.ops.scan import Gather
from minidl.ops.sorting import order, ranked
from minidl.tensor import Tensor, raw

__all__ = [
    "bincount",
    "histc",
    "median",
    "mode",
    "nanmedian",
    "nanquantile",
    "quantile",
    "std",
    "std_mean",
    "var",
    "var_mean",
]

METHODS = [name for name in __all__ if not name.endswith("_mean")]
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
        centred = wide - wide.sum(axis=self.dims, keepdims=True) / wide.dtype.type(n)
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
        scaled = zero_where(raw(y) == 0, g / (one_for_zero(y) * self.freedom))
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
    if is_integral(input):
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
    return y, ops.mean(input, dims, keepdim) if dims else ops.clone(input)


def std_mean(
    input: Any, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None
) -> Any:
    """``(std(input, …), mean(input, …))``."""
    y, dims = _spread("std_mean", Std, input, dim, unbiased, correction, keepdim)
    return y, ops.mean(input, dims, keepdim) if dims else ops.clone(input)


# --------------------------------------------------------------------------------------------------- median, mode

MedianResult = namedtuple("median", ["values", "indices"])
NanmedianResult = namedtuple("nanmedian", ["values", "indices"])
ModeResult = namedtuple("mode", ["values", "indices"])


class MedianOfAll(Extreme):
    """y = the middle x of all, the lower of two;  the elements that equal it share g.

    It is nan if there is one and ``skip`` is False.
    """

    def __init__(self, ndim: int, skip: bool) -> None:
        super().__init__("median", tuple(range(ndim)), False)
        self.skip = skip

    def choose(self, x: Any) -> Any:
        xp = namespace(x)
        values = xp.sort(widened(x).reshape(-1))
        numbers = int((values == values).sum())
        if not values.size or (numbers < values.size and not self.skip) or not numbers:
            middle = xp.asarray(xp.nan)
        else:
            middle = values[(numbers - 1) // 2]
        return middle.astype(x.dtype).reshape((1,) * x.ndim)


def _median(name: str, result: Any, input: Any, dim: int | None, keepdim: bool, skip: bool) -> Any:
    as_tensor_or_array(name, "input", input)
    refuse_kinds(name, "b", input)
    if dim is None:
        if is_integral(input) and not raw(input).size:
            raise RuntimeError(f"{name}(): the median of no integers is not defined")
        return apply(MedianOfAll(input.ndim, skip), input)
    dim = normalize_dim(dim, input.ndim, name)
    x = raw(input)
    if x.ndim and not x.shape[dim]:
        raise IndexError(f"{name}(): Expected reduction dim {dim} to have non-zero size.")
    if not x.ndim:
        return result(*ranked(input, 0, 0, keepdim))
    numbers = (x == x).sum(axis=dim, keepdims=True)
    rank = namespace(x).maximum(numbers - 1, 0) // 2
    if not skip:  # nan is last in the order: take the first of them
        rank = namespace(x).where(numbers < x.shape[dim], numbers, rank)
    return result(*ranked(input, rank, dim, keepdim))


def median(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The middle element, the lower one of two; nan if there is any. Of all elements, or along ``dim``: then a named
    tuple ``(values, indices)``."""
    return _median("median", MedianResult, input, dim, keepdim, False)


def nanmedian(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The median of the elements that are not nan; see :func:`median`."""
    return _median("nanmedian", NanmedianResult, input, dim, keepdim, True)


def mode(input: Any, dim: int = -1, keepdim: bool = False) -> Any:
    """The most frequent value along ``dim`` (the smallest of equally frequent ones) and the index where it stands last:
    a named tuple ``(values, indices)``."""
    as_tensor_or_array("mode", "input", input)
    dim = normalize_dim(dim, input.ndim, "mode")
    if not input.ndim:
        return ModeResult(*ranked(input, 0, 0, keepdim))
    x = raw(input)
    xp, n = namespace(x), x.shape[dim]
    if not n:
        raise IndexError(f"mode(): Expected reduction dim {dim} to have non-zero size.")
    values = xp.moveaxis(xp.take_along_axis(x, order(x, dim), dim), dim, -1)
    places = xp.arange(n)
    new = xp.ones(values.shape, bool)
    new[..., 1:] = values[..., 1:] != values[..., :-1]
    start = xp.maximum.accumulate(xp.where(new, places, 0), axis=-1)
    length = (
        places - start + 1
    )  # of the run of equals, up to each place; the first longest run ends where it is largest
    return ModeResult(*ranked(input, xp.expand_dims(length.argmax(axis=-1), dim), dim, keepdim))


# ------------------------------------------------------------------------------------------------------------ quantiles


def _quantile(name: str, input: Any, q: Any, dim: int | None, keepdim: bool, interpolation: str, skip: bool) -> Any:
    as_tensor_or_array(name, "input", input)
    x = raw(input)
    if is_integral(input) or x.dtype.itemsize < 4:
        raise RuntimeError(f"{name}() input tensor must be either float or double dtype, got {x.dtype}")
    if not x.size:
        raise RuntimeError(f"{name}() input tensor must be non-empty")
    if interpolation not in ("linear", "lower", "higher", "midpoint", "nearest"):
        raise RuntimeError(
            f"{name}() interpolation must be one of linear, lower, higher, midpoint or nearest, but got {interpolation}"
        )
    xp = namespace(x)
    if isinstance(q, Tensor) and raw(q).dtype != x.dtype:
        raise RuntimeError(f"{name}() q tensor must be same dtype as the input tensor, got {q.dtype} and {input.dtype}")
    levels = xp.asarray(raw(q), dtype=x.dtype)
    if levels.ndim > 1:
        raise RuntimeError(f"{name}() q must be a scalar or 1D tensor, got {levels.ndim}D")
    if bool(((levels < 0) | (levels > 1)).any()):
        raise RuntimeError(f"{name}() q values must be in the range [0, 1]")
    axis = 0 if dim is None else normalize_dim(dim, x.ndim, name)
    shape = tuple(1 if dim is None or d == axis else n for d, n in enumerate(x.shape))
    if not keepdim:
        shape = () if dim is None else tuple(n for d, n in enumerate(x.shape) if d != axis)
    lines = input.reshape((x.size,)) if dim is None or not x.ndim else ops.movedim(input, axis, -1)
    result = _interpolated(lines, q if isinstance(q, Tensor) else levels, levels.reshape(-1), interpolation, skip)
    result = ops.movedim(result, -1, 0).reshape((levels.size, *shape))
    return result if levels.ndim else result.reshape(shape)


def _interpolated(lines: Any, q: Any, levels: Any, interpolation: str, skip: bool) -> Any:
    """The quantiles ``levels`` of the last dimension, in its place; nan for a line with nan unless they are skipped."""
    x = raw(lines)
    xp, n = namespace(x), x.shape[-1]
    values = ops.sort(lines, -1).values
    numbers = (x == x).sum(axis=-1, keepdims=True)
    last = xp.maximum(numbers - 1, 0)
    if not skip:
        last = xp.where(numbers < n, xp.nan, last)  # an undefined rank, which the last element, a nan, stands for
    undefined = last != last
    rank = (levels * last).astype(x.dtype)
    rounding = {"lower": xp.floor, "higher": xp.ceil, "nearest": xp.rint}.get(interpolation)
    if rounding is not None:
        rank = rounding(rank)
    known = xp.where(undefined, n - 1, rank)
    below = xp.floor(known)
    above = xp.ceil(known)
    low, high = (apply(Gather(edge.astype("int64"), x.ndim - 1), values) for edge in (below, above))
    if rounding is not None:
        return low
    if interpolation == "midpoint":
        return low + (high - low) * 0.5
    if isinstance(q, Tensor) and q.requires_grad:  # the weight depends on q
        steps = xp.where(undefined, 0, last).astype(x.dtype)
        weight = q.reshape((levels.size,)) * steps - xp.where(undefined, 0, below).astype(x.dtype)
    else:
        weight = (known - below).astype(x.dtype)
    return low + (high - low) * weight


def quantile(
    input: Any, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Any:
    """The ``q``-quantiles (a number in [0, 1], or a 1-D tensor of them: then in a first dimension of their own) of all
    elements or along ``dim``. Between two elements: "linear", "lower", "higher", "midpoint" or "nearest". Lines with
    nan give nan."""
    return _quantile("quantile", input, q, dim, keepdim, interpolation, False)


def nanquantile(
    input: Any, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Any:
    """The quantiles of the elements that are not nan; see :func:`quantile`."""
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation, True)


# ----------------------------------------------------------------------------------------------------------- histograms


def bincount(input: Any, weights: Any = None, minlength: int = 0) -> Any:
    """How often each of the integers 0, 1, … occurs in a 1-D ``input``; with ``weights``, their sums (float64, or
    float32 for float32 weights). At least ``minlength`` results."""
    as_tensor_or_array("bincount", "input", input)
    refuse_kinds("bincount", "b", input)
    x = raw(input)
    if x.ndim != 1 or not is_integral(input) or (x.size and bool((x < 0).any())):
        raise RuntimeError(
            f"bincount only supports 1-d non-negative integral inputs, got shape {list(x.shape)} of {x.dtype}"
        )
    if minlength < 0:
        raise RuntimeError(f"bincount: minlength should be >= 0, got {minlength}")
    xp = namespace(x)
    if weights is None:
        return like(xp.bincount(x.astype("int64"), minlength=minlength).astype("int64"), input)
    w = raw(weights)
    if w.shape != x.shape:
        raise RuntimeError(
            "bincount: weights should be 1-d and have the same length as input, got "
            f"{list(w.shape)} for {list(x.shape)}"
        )
    y = xp.bincount(x.astype("int64"), w.astype("float64"), minlength)
    return like(y.astype("float32" if w.dtype == "float32" else "float64"), input)


def histc(input: Any, bins: int = 100, min: float = 0, max: float = 0) -> Any:
    """How many elements fall into each of ``bins`` equal intervals between ``min`` and ``max`` (those of the input, if
    both are equal); others are left out, ``max`` itself is in the last. In the input's floating type."""
    x = raw(input)
    if bins <= 0:
        raise RuntimeError(f"histc: bins must be > 0, got {bins}")
    if is_integral(input):
        raise RuntimeError(f"histc: not implemented for {dtypes.from_numpy_dtype(x.dtype)}; use .float() first")
    x = widened(x)
    low, high = float(min), float(max)
    if low == high and x.size:
        low, high = float(x.min()), float(x.max())
    if low == high:
        low, high = low - 1, high + 1
    if not (math.isfinite(low) and math.isfinite(high)):
        raise RuntimeError(f"histc: range of [{low}, {high}] is not finite")
    if low > high:
        raise RuntimeError(f"histc: max must be larger than min, got min={low} and max={high}")
    xp = namespace(x)
    inside = x[(x >= low) & (x <= high)]
    place = xp.minimum(((inside - low) / (high - low) * bins).astype("int64"), bins - 1)
    return like(xp.bincount(place.reshape(-1), minlength=bins).astype(raw(input).dtype), input)
