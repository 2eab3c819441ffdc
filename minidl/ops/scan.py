"""Running sums, products, extremes along a dimension: y[i] depends on x[0] … x[i]."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

from minidl import dtypes, ops
from minidl.autograd.autocast import in_float32_on_cuda
from minidl.autograd.tape import Operator, apply
from minidl.backends import namespace
from minidl.ops.common import normalize_dim, only_tensors, refuse_kinds, row_major
from minidl.ops.extremes import like
from minidl.ops.reductions import summable, widened
from minidl.tensor import Tensor, raw

__all__ = ["cummax", "cummin", "cumprod", "cumsum", "diff", "logcumsumexp"]

METHODS = __all__
INPLACE = ["cumprod", "cumsum"]

CummaxResult = namedtuple("cummax", ["values", "indices"])
CumminResult = namedtuple("cummin", ["values", "indices"])


class Scan(Operator):
    """An operator along the axis ``dim``."""

    def __init__(self, dim: int) -> None:
        self.dim = dim


def scan(name: str, operator: type[Scan], input: Any, dim: int) -> Any:
    """Apply a scan; a 0-d input is its own only element."""
    dim = normalize_dim(dim, input.ndim, name)
    if not input.ndim:
        return apply(operator(0), input.reshape((1,))).reshape(())
    return apply(operator(dim), input)


# ------------------------------------------------------------------------------------------------------- sums, products


class Cumsum(Scan):
    """y[i] = Σ_{j≤i} x[j];  ∂x[j] = Σ_{i≥j} g[i], the same from the other end."""

    def forward(self, x: Any) -> Any:
        return row_major(widened(x).cumsum(axis=self.dim).astype(x.dtype))

    def backward(self, g: Any) -> Any:
        return sum_from_end(g, self.dim)


def sum_from_end(x: Any, dim: int) -> Any:
    """y[j] = Σ_{i≥j} x[i] along ``dim``."""
    return ops.flip(cumsum(ops.flip(x, (dim,)), dim), (dim,))


class Cumprod(Scan):
    """y[i] = Π_{j≤i} x[j];  ∂x[j] = Σ_{i≥j} g[i] Π_{k≤i, k≠j} x[k].

    Without zeros the product is y[i] / x[j]. With zeros, let z be the first and y′ the products with x[z] = 1: before z
    the y beyond it are 0 and the same formula holds; ∂x[z] = Σ_{i≥z} g[i] y′[i]; after z it is 0. That is the value
    of the gradient, but not a formula to differentiate: for higher orders the products are written out.
    """

    def forward(self, x: Any) -> Any:
        y = row_major(widened(x).cumprod(axis=self.dim).astype(x.dtype))
        self.save(x, y)
        return y

    def backward(self, g: Any) -> Any:
        x, y = self.saved
        zero = raw(x) == 0
        if not zero.any():
            return sum_from_end(g * y, self.dim) / x
        if isinstance(x, Tensor):
            return self.written_out(g, x)
        first = zero & (zero.cumsum(axis=self.dim) == 1)
        others = namespace(x).where(zero, x.dtype.type(1), x)
        at_first = sum_from_end(g * cumprod(namespace(x).where(first, x.dtype.type(1), x), self.dim), self.dim)
        return namespace(x).where(first, at_first, sum_from_end(g * y, self.dim) / others)

    def written_out(self, g: Any, x: Any) -> Any:
        """The same from all n² products: row j has 1 in place of x[j]."""
        last = x.ndim - 1
        x, g = ops.transpose(x, self.dim, last), ops.transpose(g, self.dim, last)
        n = x.shape[last]
        xp = namespace(raw(x))
        own = xp.eye(n, dtype=bool)
        row = x.reshape((*x.shape[:-1], 1, n))
        products = cumprod(ops.where(own, xp.ones((), raw(x).dtype), ops.expand(row, (*x.shape[:-1], n, n))), last + 1)
        later = xp.triu(xp.ones((n, n), raw(x).dtype))
        return ops.transpose(ops.sum(products * later * g.reshape(row.shape), last + 1), self.dim, last)


@in_float32_on_cuda
def cumsum(input: Any, dim: int, *, dtype: Any = None) -> Any:
    """Running sums along ``dim``. Integers and booleans are summed as int64 unless ``dtype`` says otherwise."""
    only_tensors("cumsum", input=input)
    if dtype is not None and dtypes.as_dtype(dtype) is dtypes.bool_:
        raise RuntimeError("cumsum(): not implemented for dtype=bool; use an integer type")
    return scan("cumsum", Cumsum, summable(input, dtype), dim)


@in_float32_on_cuda
def cumprod(input: Any, dim: int, *, dtype: Any = None) -> Any:
    """Running products along ``dim``. Integers and booleans are multiplied as int64 unless ``dtype`` says otherwise."""
    only_tensors("cumprod", input=input)
    if dtype is not None and dtypes.as_dtype(dtype) is dtypes.bool_:
        raise RuntimeError("cumprod(): not implemented for dtype=bool; use an integer type")
    return scan("cumprod", Cumprod, summable(input, dtype), dim)


class LogCumsumExp(Scan):
    """y[i] = log Σ_{j≤i} eˣ⁽ʲ⁾;  ∂x[j] = Σ_{i≥j} g[i] eˣ⁽ʲ⁾⁻ʸ⁽ⁱ⁾."""

    def forward(self, x: Any) -> Any:
        y = row_major(namespace(x).logaddexp.accumulate(widened(x), axis=self.dim).astype(x.dtype))
        self.save(x, y)
        return y

    def backward(self, g: Any) -> Any:
        x, y = self.saved
        if isinstance(x, Tensor):
            return self.written_out(g, x, y)
        # Positive and negative parts apart, in logarithms, so that nothing overflows.
        xp = namespace(x)
        parts = [xp.flip(xp.log(xp.maximum(sign * g, 0)) - y, self.dim) for sign in (1, -1)]
        positive, negative = (xp.exp(xp.flip(xp.logaddexp.accumulate(p, axis=self.dim), self.dim) + x) for p in parts)
        return positive - negative

    def written_out(self, g: Any, x: Any, y: Any) -> Any:
        """The same as a matrix over (j, i): eˣ⁻ʸ ≤ 1 where i ≥ j."""
        last = x.ndim - 1
        x, y, g = (ops.transpose(t, self.dim, last) for t in (x, y, g))
        xp = namespace(raw(x))
        n = x.shape[last]
        later = xp.triu(xp.ones((n, n), bool))
        gap = x.reshape((*x.shape, 1)) - y.reshape((*y.shape[:-1], 1, n))
        share = ops.exp(ops.where(later, gap, xp.asarray(-xp.inf, raw(x).dtype)))
        return ops.transpose(ops.sum(share * g.reshape((*y.shape[:-1], 1, n)), last + 1), self.dim, last)


def logcumsumexp(input: Any, dim: int) -> Any:
    """Running log Σ eˣ along ``dim``, without overflow."""
    only_tensors("logcumsumexp", input=input)
    refuse_kinds("logcumsumexp", "iub", input)
    return scan("logcumsumexp", LogCumsumExp, input, dim)


# ------------------------------------------------------------------------------------------------------------- extremes


class Gather(Operator):
    """y[i] = x[index[i]] along ``dim``, indices in any number;  ∂x[j] = Σ g[i] over all i with index[i] = j."""

    def __init__(self, index: Any, dim: int) -> None:
        self.index, self.dim = index, dim

    def forward(self, x: Any) -> Any:
        self.shape = x.shape
        return row_major(namespace(x).take_along_axis(x, self.index, self.dim))

    def backward(self, g: Any) -> Any:
        return apply(AddTo(self.index, self.dim, self.shape), g)


class AddTo(Operator):
    """y[j] = Σ x[i] over all i with index[i] = j, along ``dim``;  ∂x[i] = g[index[i]].

    What :class:`Gather` hands back.
    """

    def __init__(self, index: Any, dim: int, shape: tuple[int, ...]) -> None:
        self.index, self.dim, self.shape = index, dim, shape

    def forward(self, x: Any) -> Any:
        xp = namespace(x)
        y = xp.zeros(self.shape, x.dtype)
        where = list(xp.ogrid[tuple(slice(n) for n in self.index.shape)])
        where[self.dim] = self.index
        xp.add.at(y, tuple(where), x)
        return y

    def backward(self, g: Any) -> Any:
        return apply(Gather(self.index, self.dim), g)


def _cumulative(name: str, result: Any, input: Any, dim: int) -> Any:
    """Running extremes with the index of the last one among equals; nan beats all."""
    dim = normalize_dim(dim, input.ndim, name)
    if not input.ndim:
        values, indices = _cumulative(name, result, input.reshape((1,)), 0)
        return result(values.reshape(()), indices.reshape(()))
    x = widened(raw(input))
    xp = namespace(x)
    best = (xp.maximum if name == "cummax" else xp.minimum).accumulate(x, axis=dim) if x.size else x
    new = (x == best) | (x != x)
    places = xp.arange(x.shape[dim]).reshape([-1 if i == dim else 1 for i in range(x.ndim)])
    index = xp.where(new, places, 0)
    index = row_major(xp.maximum.accumulate(index, axis=dim) if x.size else index)
    return result(apply(Gather(index, dim), input), like(index, input))


def cummax(input: Any, dim: int) -> Any:
    """Running maxima along ``dim``: a named tuple ``(values, indices)``; the last index among equals."""
    return _cumulative("cummax", CummaxResult, input, dim)


def cummin(input: Any, dim: int) -> Any:
    """Running minima along ``dim``: a named tuple ``(values, indices)``; the last index among equals."""
    return _cumulative("cummin", CumminResult, input, dim)


# ---------------------------------------------------------------------------------------------------------- differences


def diff(input: Any, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """The n-th differences x[i + 1] - x[i] along ``dim``, with ``prepend`` and ``append`` joined on first."""
    if not input.ndim:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    dim = normalize_dim(dim, input.ndim, "diff")
    if not n:
        return ops.clone(input)
    parts = [x for x in (prepend, input, append) if x is not None]
    if len(parts) > 1:
        input = ops.cat(parts, dim)
    for _ in range(min(n, input.shape[dim])):
        rest = input.shape[dim] - 1
        after, before = ops.narrow(input, dim, 1, rest), ops.narrow(input, dim, 0, rest)
        input = like(raw(after) ^ raw(before), input) if raw(input).dtype == bool else after - before
    return input
