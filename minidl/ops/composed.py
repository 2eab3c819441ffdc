"""Functions that are a line or a few of other operators, whose gradients are theirs: covariances, distances, integrals,
common divisors, membership, diagonals written over."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minidl import ops
from minidl.autograd.tape import apply
from minidl.backends import namespace
from minidl.ops.common import as_tensor_or_array, normalize_dim, only_tensors, refuse_kinds
from minidl.ops.comparison import Test
from minidl.ops.elementwise import binary
from minidl.ops.indexing import setitem
from minidl.ops.norms import vector_norm
from minidl.tensor import Tensor, raw, wrap

__all__ = [
    "corrcoef",
    "cov",
    "cumulative_trapezoid",
    "dist",
    "gcd",
    "isin",
    "lcm",
    "msort",
    "trapezoid",
    "trapz",
    "unravel_index",
]

METHODS = ["corrcoef", "cov", "dist", "fill_diagonal_", "gcd", "lcm", "msort"]
INPLACE = ["gcd", "lcm"]


# ---------------------------------------------------------------------------------------------------------- statistics


def cov(input: Any, *, correction: int = 1, fweights: Any = None, aweights: Any = None) -> Any:
    """The covariance matrix [V, V] of V variables.

    Args:
        input: (variables, observations), or (observations) of one variable, whose variance is given.
        correction: subtracted from the number of observations by which is divided.
        fweights: (observations) of integers, how often each was observed.
        aweights: (observations), how much each counts.

    Raises:
        RuntimeError: more than two dimensions, bools, weights of another shape or type, or negative ones.
    """
    only_tensors("cov", input=input)
    refuse_kinds("cov", "b", input)
    if input.ndim > 2:
        raise RuntimeError(f"cov(): expected input to have two or fewer dimensions but got an input with {input.ndim}")
    x = input if input.ndim == 2 else input.reshape((1, -1))
    n = x.shape[1]
    _check_weights("fweights", fweights, n, "iu")
    _check_weights("aweights", aweights, n, "f")
    x = x if raw(x).dtype.kind == "f" else x / 1
    if fweights is None or aweights is None:
        w = fweights if aweights is None else aweights
    else:
        w = fweights * aweights
    total = n if w is None else w.sum()
    mean = (x if w is None else x * w).sum(1, keepdim=True) / total
    lost = correction if aweights is None or not correction else correction * ((w * aweights).sum() / total)
    count = total - lost
    count = ops.clamp(count, min=0) if isinstance(count, Tensor) else max(count, 0)
    centred = x - mean
    return ((centred if w is None else centred * w) @ centred.mT / count).squeeze()


def _check_weights(name: str, weights: Any, n: int, kinds: str) -> None:
    if weights is None:
        return
    array = raw(weights)
    if array.ndim > 1 or array.size != n:
        raise RuntimeError(f"cov(): expected {name} to be a vector of {n} observations, got shape {list(array.shape)}")
    if array.dtype.kind not in kinds:
        what = "integral" if kinds == "iu" else "floating point"
        raise RuntimeError(f"cov(): expected {name} to have {what} dtype but got {weights.dtype}")
    if (array < 0).any():
        raise RuntimeError(f"cov(): {name} cannot be negative")


def corrcoef(input: Any) -> Any:
    """Pearson's correlation coefficients [V, V] of V variables: (variables, observations), or (observations) of one."""
    only_tensors("corrcoef", input=input)
    if input.ndim > 2:
        raise RuntimeError(f"corrcoef(): expected input to have two or fewer dimensions but got {input.ndim}")
    covariance = cov(input)
    if not covariance.ndim:
        return covariance / covariance
    deviation = ops.sqrt(covariance.diagonal())
    return ops.clamp(covariance / deviation.unsqueeze(1) / deviation, -1, 1)


def dist(input: Any, other: Any, p: float = 2) -> Any:
    """The p-norm of ``input - other``, broadcast: one number."""
    only_tensors("dist", input=input, other=other)
    return vector_norm(input - other, p)


# ----------------------------------------------------------------------------------------------------------- integrals


def trapezoid(y: Any, x: Any = None, *, dx: Any = None, dim: int = -1) -> Any:
    """The integral of ``y`` along ``dim`` by the trapezoidal rule: Σ (yᵢ + yᵢ₊₁)/2 · (xᵢ₊₁ - xᵢ).

    ``x`` holds the points, along a vector or in a shape that broadcasts with y's; without it they are ``dx`` (1) apart.
    RuntimeError for a vector of another length, for bools, or for both ``x`` and ``dx``.
    """
    areas, dim = _areas("trapezoid", y, x, dx, dim)
    return areas.sum(dim)


def cumulative_trapezoid(y: Any, x: Any = None, *, dx: Any = None, dim: int = -1) -> Any:
    """The integral of ``y`` from the first point to each of the others, as :func:`trapezoid` takes it."""
    areas, dim = _areas("cumulative_trapezoid", y, x, dx, dim)
    return areas.cumsum(dim)


def _areas(name: str, y: Any, x: Any, dx: Any, dim: int) -> tuple[Any, int]:
    """The areas of the trapezia, and along which dimension they lie."""
    only_tensors(name, y=y)
    refuse_kinds(name, "b", y)
    dim = normalize_dim(dim, y.ndim, name)
    if x is not None and dx is not None:
        raise TypeError(f"{name}(): the points are given by x or by their distance dx, not by both")
    n = y.shape[dim]
    sums = y.narrow(dim, 0, n - 1) + y.narrow(dim, 1, n - 1) if n else y
    if x is None:
        return sums * ((1 if dx is None else dx) / 2), dim
    refuse_kinds(name, "b", x)
    if x.ndim == 1:
        if x.shape[0] != n:
            raise RuntimeError(f"{name}(): There must be one `x` value for each sample point, got {x.shape[0]} for {n}")
        x = x.reshape((n,) + (1,) * (y.ndim - 1 - dim))
    behind = dim - y.ndim  # x may have fewer dimensions, or more
    return sums * ops.diff(x, dim=behind) / 2, behind % max(y.ndim, x.ndim)


# ---------------------------------------------------------------------------------------------- integers and membership


def gcd(input: Any, other: Any) -> Any:
    """The greatest common divisor of integers, element by element, broadcast."""
    only_tensors("gcd", input=input, other=other)
    refuse_kinds("gcd", "bfV", input, other)
    return binary("gcd", Test("gcd"), input, other)


def lcm(input: Any, other: Any) -> Any:
    """The least common multiple of integers, element by element, broadcast."""
    only_tensors("lcm", input=input, other=other)
    refuse_kinds("lcm", "bfV", input, other)
    return binary("lcm", Test("lcm"), input, other)


class Isin(Test):
    """Which elements of a are among b's."""

    def __init__(self, invert: bool) -> None:
        self.invert = invert

    def forward(self, a: Any, b: Any) -> Any:
        return namespace(a).isin(a, b, invert=self.invert)


def isin(elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False) -> Any:
    """Where an element of ``elements`` is one of ``test_elements`` (``invert``: is none of them). A bool tensor.

    One of the two may be a number. ``assume_unique`` promises that neither repeats itself; it changes nothing here.
    """
    if not hasattr(elements, "dtype"):
        as_tensor_or_array("isin", "test_elements", test_elements)
        elements = wrap(np.asarray(elements))
    if not hasattr(test_elements, "dtype"):
        test_elements = wrap(np.asarray(test_elements))
    return apply(Isin(invert), elements, test_elements)


def msort(input: Any) -> Any:
    """The elements sorted along dimension 0."""
    return ops.sort(input, 0)[0]


# ----------------------------------------------------------------------------------------------------------- diagonals


def fill_diagonal_(input: Tensor, fill_value: Any, wrap: bool = False) -> Tensor:
    """Write ``fill_value`` over the diagonal, of matrices or of tensors whose dimensions are all of one size.

    ``wrap``: in a matrix of more rows than columns, it begins anew below.
    """
    if input.ndim < 2:
        raise RuntimeError("fill_diagonal_: dimensions must be larger than 1")
    if input.ndim > 2 and len(set(input.shape)) > 1:
        raise RuntimeError(
            f"fill_diagonal_: all dimensions of input must be of equal length, got shape {list(input.shape)}"
        )
    size, columns = math.prod(input.shape), input.shape[-1]
    step = sum(math.prod(input.shape[axis + 1 :]) for axis in range(input.ndim))
    end = size if wrap or input.ndim > 2 else min(size, columns * columns)
    places = np.unravel_index(np.arange(0, end, step), input.shape)
    if size:
        setitem(input, places, fill_value)
    return input


trapz = trapezoid


# ----------------------------------------------------------------------------------------------------------- positions


def unravel_index(indices: Any, shape: Any) -> tuple[Any, ...]:
    """Positions in a flattened tensor of ``shape`` as indices, int64 tensors of ``indices``' shape, one a dimension.

    TypeError unless ``indices`` are whole numbers, ValueError for a negative size.
    """
    as_tensor_or_array("unravel_index", "indices", indices)
    if raw(indices).dtype.kind not in "iu":
        raise TypeError(f"unravel_index(): expected 'indices' to be integer dtype, but got {indices.dtype}")
    sizes = (shape,) if isinstance(shape, int) else tuple(int(n) for n in shape)
    if any(n < 0 for n in sizes):
        raise ValueError(f"unravel_index(): 'shape' cannot have negative values, but got {sizes}")
    found = []
    indices = indices.long()
    for size in reversed(sizes):
        found.append(indices % size)
        indices = indices // size
    return tuple(reversed(found))
