"""Largest and smallest: max, min, amax, amin, aminmax, argmax, argmin."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

from minidl import ops
from minidl.autograd.tape import Operator, apply
from minidl.backends import namespace
from minidl.ops.common import normalize_dim, only_tensors, refuse_kinds, row_major
from minidl.ops.reductions import Reduction, reduced_dims, widened
from minidl.tensor import Tensor, raw, wrap

__all__ = ["amax", "amin", "aminmax", "argmax", "argmin", "max", "min"]

METHODS = __all__
INPLACE: list[str] = []

MaxResult = namedtuple("max", ["values", "indices"])
MinResult = namedtuple("min", ["values", "indices"])
AminmaxResult = namedtuple("aminmax", ["min", "max"])


class Extreme(Reduction):
    """y = max x (amin: min x);  ∂y/∂x = 1/k for each of the k elements that equal y, 0 for the others."""

    def __init__(self, which: str, dims: tuple[int, ...], keepdim: bool) -> None:
        super().__init__(dims, keepdim)
        self.which = which

    def forward(self, x: Any) -> Any:
        y = self.choose(x)
        if self.needs:
            ties = (x == y) | ((x != x) & (y != y))
            self.save(ties, ties.sum(axis=self.dims, keepdims=True).astype(x.dtype))
        return y if self.keepdim else y.reshape([n for i, n in enumerate(x.shape) if i not in self.dims])

    def choose(self, x: Any) -> Any:
        """The value for each result, the reduced axes with size 1."""
        return getattr(x, self.which)(axis=self.dims, keepdims=True)

    def backward(self, g: Any) -> Any:
        ties, number = self.saved
        return self.with_dims(g) / number * ties


class Pick(Operator):
    """y = x[index along ``dim``], each index at most once in its line;  ∂x = g where y came from, 0 elsewhere."""

    def __init__(self, index: Any, dim: int) -> None:
        self.index, self.dim = index, dim

    def forward(self, x: Any) -> Any:
        self.shape = x.shape
        return row_major(namespace(x).take_along_axis(x, self.index, self.dim))

    def backward(self, g: Any) -> Any:
        return apply(PutBack(self.index, self.dim, self.shape), g)


class PutBack(Operator):
    """y = zeros but y[index along ``dim``] = x;  ∂x = g[index along ``dim``].

    What :class:`Pick` hands back.
    """

    def __init__(self, index: Any, dim: int, shape: tuple[int, ...]) -> None:
        self.index, self.dim, self.shape = index, dim, shape

    def forward(self, x: Any) -> Any:
        xp = namespace(x)
        y = xp.zeros(self.shape, x.dtype)
        xp.put_along_axis(y, self.index, x, self.dim)
        return y

    def backward(self, g: Any) -> Any:
        return apply(Pick(self.index, self.dim), g)


def pick(input: Any, index: Any, dim: int) -> Any:
    """The elements at ``index`` (an int64 array) along ``dim``, on the tape. A 0-d input is its own only element."""
    if not input.ndim:
        return ops.reshape(apply(Pick(index.reshape(-1), 0), input.reshape((1,))), index.shape)
    return apply(Pick(index, dim), input)


def like(array: Any, input: Any) -> Any:
    """A computed array in the form of ``input``: a Tensor if it is one."""
    return wrap(array) if isinstance(input, Tensor) else array


def without_dim(x: Any, dim: int) -> Any:
    """``x``, whose axis ``dim`` has size 1, without that axis."""
    return x.reshape((*x.shape[:dim], *x.shape[dim + 1 :]))


# ------------------------------------------------------------------------------------------------------------- indices


def index_of_extreme(which: str, x: Any, dim: int) -> Any:
    """The index along ``dim`` of the first largest (smallest) element, nan before all; the axis stays, of size 1."""
    return namespace(x).expand_dims(getattr(widened(x), which)(axis=dim), dim)


def _refuse_empty(name: str, x: Any, dims: tuple[int, ...], how: type[Exception] = IndexError) -> None:
    for d in dims:
        if x.ndim and x.shape[d] == 0:
            raise how(
                f"{name}(): Expected reduction dim {d} to have non-zero size: the {name} of nothing is not defined "
                f"(input of shape {list(x.shape)})"
            )


def _arg(name: str, input: Any, dim: int | None, keepdim: bool) -> Any:
    only_tensors(name, input=input)
    x = raw(input)
    refuse_kinds(name, "b", input)
    if dim is None:
        if not x.size:
            raise IndexError(f"{name}(): Expected reduction dim to be specified for input.numel() == 0.")
        index = namespace(x).asarray(getattr(widened(x), name)())
        return like(index.reshape((1,) * x.ndim if keepdim else ()), input)
    dim = normalize_dim(dim, x.ndim, name)
    _refuse_empty(name, x, (dim,))
    if not x.ndim:
        return like(namespace(x).zeros((), "int64"), input)
    index = index_of_extreme(name, x, dim)
    return like(index if keepdim else without_dim(index, dim), input)


def argmax(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The index of the largest element along ``dim`` (of all, flattened, for None); of the first among equals."""
    return _arg("argmax", input, dim, keepdim)


def argmin(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The index of the smallest element along ``dim`` (of all, flattened, for None); of the first among equals."""
    return _arg("argmin", input, dim, keepdim)


# -------------------------------------------------------------------------------------------------------------- values


def _amax(name: str, which: str, input: Any, dim: Any, keepdim: bool) -> Any:
    dims = reduced_dims(dim, input.ndim, name)
    if not (raw(input).size or isinstance(dim, int) or dim):
        raise RuntimeError(
            f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim with "
            "the 'dim' argument."
        )
    _refuse_empty(name, input, dims)
    return apply(Extreme(which, dims, keepdim), input)


def amax(input: Any, dim: Any = (), keepdim: bool = False) -> Any:
    """The largest value over ``dim`` (an int, several, or all). Equals share the gradient evenly."""
    return _amax("amax", "max", input, dim, keepdim)


def amin(input: Any, dim: Any = (), keepdim: bool = False) -> Any:
    """The smallest value over ``dim`` (an int, several, or all). Equals share the gradient evenly."""
    return _amax("amin", "min", input, dim, keepdim)


def aminmax(input: Any, *, dim: int | None = None, keepdim: bool = False) -> Any:
    """The smallest and the largest value over ``dim`` (or all), as a named tuple ``(min, max)``."""
    return AminmaxResult(
        amin(input, () if dim is None else dim, keepdim), amax(input, () if dim is None else dim, keepdim)
    )


def _extreme(name: str, result: Any, pairwise: Any, input: Any, dim: Any, keepdim: bool) -> Any:
    only_tensors(name, input=input)
    if isinstance(dim, Tensor) or hasattr(dim, "dtype"):
        return pairwise(input, dim)
    if isinstance(dim, (bool, float)):
        raise TypeError(f"{name}(): the second argument must be a Tensor or a dimension, not {type(dim).__name__}")
    if dim is None:
        if not raw(input).size:
            raise RuntimeError(
                f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim "
                "with the 'dim' argument."
            )
        return apply(Extreme(name, tuple(range(input.ndim)), False), input)
    x = raw(input)
    dim = normalize_dim(dim, x.ndim, name)
    _refuse_empty(name, x, (dim,))
    if not x.ndim:
        index = namespace(x).zeros((), "int64")
        return result(pick(input, index, 0), like(index, input))
    index = index_of_extreme("arg" + name, x, dim)
    values = pick(input, index, dim)
    if not keepdim:
        values, index = without_dim(values, dim), without_dim(index, dim)
    return result(values, like(index, input))


def max(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The largest element. Three forms:

    ``max(input)``                 of all (equals share the gradient)
    ``max(input, dim, keepdim)``   along ``dim``: a named tuple ``(values, indices)``; the gradient goes to the index
    ``max(input, other)``          of two tensors, element by element: ``maximum``
    """
    return _extreme("max", MaxResult, lambda a, b: ops.maximum(a, b), input, dim if other is None else other, keepdim)


def min(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The smallest element. Three forms, as those of :func:`max`."""
    return _extreme("min", MinResult, lambda a, b: ops.minimum(a, b), input, dim if other is None else other, keepdim)
