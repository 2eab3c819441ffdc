"""``scatter_reduce``: values that fall on the same place are summed, multiplied, averaged, or the extreme one stays."""

from __future__ import annotations

import math
from typing import Any

from minidl import ops
from minidl.autograd.tape import Operator, apply
from minidl.backends import namespace
from minidl.ops.gathering import along, same_dtype
from minidl.ops.indexing import Put, Take
from minidl.tensor import Tensor, raw

__all__ = ["index_reduce", "scatter_reduce"]

METHODS = __all__
INPLACE = __all__


class ScatterProduct(Operator):
    """y = x Π src, of all src that fall on that x.

    ∂x: the gradient times that product;  ∂src: the gradient times the product of everything else at that place: of all
    but the zeros where there are any, which is right for the one zero of a place, and 0 where there are two.
    """

    def __init__(self, index: tuple) -> None:
        self.index = index

    def forward(self, x: Any, src: Any) -> Any:
        self.save(x, src)
        y = x.copy()
        namespace(x).multiply.at(y, self.index, src)
        return y

    def backward(self, g: Any) -> Any:
        x, src = self.saved
        x_zero, src_zero = x == 0, src == 0
        zeros = scatter_sum(as_values(x_zero, x), self.index, as_values(src_zero, src))
        # The product of all that is not 0, at each place.
        rest = apply(ScatterProduct(self.index), ops.masked_fill(x, x_zero, 1.0), ops.masked_fill(src, src_zero, 1.0))
        mine = g * rest * as_values(zeros == as_values(x_zero, x), x) / ops.masked_fill(x, x_zero, 1.0)
        there, some = apply(Take(self.index), zeros), apply(Take(self.index), g * rest)
        theirs = some * as_values(there == as_values(src_zero, src), src) / ops.masked_fill(src, src_zero, 1.0)
        return mine, theirs

    def composite(self, x: Any, src: Any) -> Any:
        """The values that fall on each place side by side, filled up with ones, and their product: zeros among them
        do no harm to its second derivative."""
        size, xp = math.prod(x.shape), namespace(raw(x))
        place = xp.arange(size).reshape(x.shape)[self.index].reshape(-1)
        order = place.argsort(kind="stable")
        lengths = xp.bincount(place, minlength=size)
        column = xp.empty_like(place)
        column[order] = xp.arange(place.size) - xp.repeat(xp.cumsum(lengths) - lengths, lengths)
        ones = xp.ones((size, int(lengths.max(initial=0))), raw(x).dtype)
        beside = apply(Put((place, column), False), ones, src.reshape((-1,)))
        return ops.prod(ops.cat([x.reshape((-1, 1)), beside], 1), 1).reshape(tuple(x.shape))


class ScatterExtreme(Operator):
    """y = max (amin: min) of x and of all src that fall on it;  those that equal it share g."""

    def __init__(self, index: tuple, largest: bool) -> None:
        self.index, self.largest = index, largest

    def forward(self, x: Any, src: Any) -> Any:
        y = x.copy()
        xp = namespace(x)
        (xp.maximum if self.largest else xp.minimum).at(y, self.index, src)
        self.save(x, src, y)
        return y

    def backward(self, g: Any) -> Any:
        x, src, y = (raw(v) for v in self.saved)
        mine, theirs = as_values(x == y, x), as_values(src == y[self.index], src)
        share = g / scatter_sum(mine, self.index, theirs)
        return share * mine, apply(Take(self.index), share) * theirs


def as_values(condition: Any, like: Any) -> Any:
    """Booleans as 0 and 1 in the type of ``like``."""
    return raw(condition).astype(raw(like).dtype)


def scatter_sum(x: Any, index: tuple, src: Any) -> Any:
    return apply(Put(index, True), x, src)


def scatter_reduce(input: Any, dim: int, index: Any, src: Any, reduce: str, *, include_self: bool = True) -> Any:
    """``input`` with all ``src[i][j]`` that ``index`` sends to one place (as in ``scatter_add``) combined there.

    ``reduce`` is "sum", "prod", "mean", "amax" or "amin"; without ``include_self`` the values of ``input`` at places
    that are named take no part.
    """
    if reduce not in REDUCTIONS:
        raise RuntimeError(f"scatter_reduce: reduce argument must be sum, prod, mean, amax or amin, got {reduce}.")
    x, where, dim = along("scatter_reduce", input, dim, index, src)
    same_dtype("scatter_reduce", input, src)
    if not raw(index).size:
        return input.clone() if isinstance(input, Tensor) else input
    used = src.reshape((1,)) if src.ndim == 0 else src[tuple(slice(n) for n in raw(index).shape)]
    return combine(x, where, used, reduce, include_self).reshape(tuple(input.shape))


REDUCTIONS = {"sum": 0, "mean": 0, "prod": 1, "amax": "least", "amin": "most", "max": "least", "min": "most"}


def combine(x: Any, where: tuple, src: Any, reduce: str, include_self: bool) -> Any:
    """``x`` with ``src`` combined into the places ``where``."""
    if not include_self:
        x = apply(Put(where, False), x, neutral(reduce, raw(x)))
    if reduce in ("sum", "mean"):
        total = apply(Put(where, True), x, src)
        return total if reduce == "sum" else averaged(total, where, raw(src), include_self)
    if reduce == "prod":
        return apply(ScatterProduct(where), x, src)
    return apply(ScatterExtreme(where, "max" in reduce), x, src)


def neutral(reduce: str, x: Any) -> Any:
    """The value that changes nothing, in the type of ``x``."""
    value = REDUCTIONS[reduce]
    if isinstance(value, str):
        xp = namespace(x)
        if x.dtype.kind == "b":
            value = value == "most"
        elif x.dtype.kind in "iu":
            info = xp.iinfo(x.dtype)
            value = info.min if value == "least" else info.max
        else:
            value = -xp.inf if value == "least" else xp.inf
    return x.dtype.type(value)


def averaged(total: Any, where: tuple, src: Any, include_self: bool) -> Any:
    """Sums divided by how many terms they have (integers rounded down)."""
    x = raw(total)
    xp = namespace(x)
    counts = scatter_sum((xp.ones if include_self else xp.zeros)(x.shape, x.dtype), where, xp.ones_like(src))
    counts[counts == 0] = 1
    if x.dtype.kind in "iu":
        return Tensor(x // counts) if isinstance(total, Tensor) else x // counts
    return total / counts


def index_reduce(input: Any, dim: int, index: Any, source: Any, reduce: str, *, include_self: bool = True) -> Any:
    """``input`` with all slices of ``source`` along ``dim`` that the vector ``index`` sends to one place combined there
    by "prod", "mean", "amax" or "amin"."""
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise RuntimeError(f"index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got {reduce}.")
    array = raw(index)
    shape = [1] * max(source.ndim, 1)
    shape[dim] = -1
    spread = namespace(array).broadcast_to(array.reshape(shape), source.shape or (1,))
    return scatter_reduce(input, dim, spread, source, reduce, include_self=include_self)
