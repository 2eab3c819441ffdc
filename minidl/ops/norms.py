"""Norms of vectors and matrices, and distances between points."""

from __future__ import annotations

import math
from typing import Any

from minidl import dtypes, ops
from minidl.autograd.autocast import in_float32, in_float32_on_cuda
from minidl.autograd.tape import apply
from minidl.backends import namespace
from minidl.ops.common import as_tensor_or_array, normalize_dim
from minidl.ops.reductions import Reduction, cast, is_integral, reduced_dims, widened
from minidl.tensor import raw

__all__ = ["cdist", "norm"]

METHODS = ["norm"]
INPLACE: list[str] = []


class VectorNorm(Reduction):
    """y = (Σ |x|ᵖ)^(1/p);  ∂y/∂x = sign(x) (|x| / y)ᵖ⁻¹, and 0 where y = 0.

    p = ∞, -∞: the largest, smallest |x|, equals sharing the gradient (unless not ``shares``: each gets it all);
    p = 0: how many x are not 0.
    """

    def __init__(self, p: float, dims: tuple[int, ...], keepdim: bool, shares: bool = True) -> None:
        super().__init__(dims, keepdim)
        self.p, self.shares = p, shares

    def forward(self, x: Any) -> Any:
        y = self.norm(widened(x)).astype(x.dtype)
        self.save(x, y)
        return y

    def norm(self, x: Any) -> Any:
        xp, p, settings = namespace(x), self.p, {"axis": self.dims, "keepdims": self.keepdim}
        if p == 0:
            return (x != 0).sum(**settings).astype(x.dtype)
        size = abs(x)
        if p == math.inf:
            return size.max(initial=0, **settings) if not x.size else size.max(**settings)
        if p == -math.inf:
            return size.min(**settings)
        if p == 1:
            return size.sum(**settings)
        y = self.power_sum(size, settings)
        tiny = xp.finfo(x.dtype).tiny
        if p > 0 and not bool(((y >= tiny**0.25) & (y < xp.inf)).all()):
            # A power may have left the range of the type: again with the largest element scaled to 1.
            scale = size.max(axis=self.dims, keepdims=True, initial=0)
            usable = xp.isfinite(scale) & (scale > 0)
            again = self.power_sum(size / xp.where(usable, scale, scale.dtype.type(1)), settings)
            scale, usable = scale.reshape(y.shape), usable.reshape(y.shape)
            y = xp.where(usable, again * scale, y)
        return y

    def power_sum(self, size: Any, settings: dict) -> Any:
        if self.p == 2:
            return namespace(size).sqrt((size * size).sum(**settings))
        return (size**self.p).sum(**settings) ** (1 / self.p)

    def backward(self, g: Any) -> Any:
        x, y = self.saved
        g, y, p = self.with_dims(g), self.with_dims(y), self.p
        if p == 0:
            return x * 0
        if p == 1:
            return g * ops.sign(x)
        if abs(p) == math.inf:
            ties = abs(raw(x)) == raw(y)
            number = ties.sum(axis=self.dims, keepdims=True)
            share = ties / number.clip(1) if self.shares else ties
            return g * ops.sign(x) * share.astype(raw(x).dtype)
        length = one_for_zero(y)
        if p == 2:
            return x * zero_where(raw(y) == 0, g / length)
        share = ops.abs(one_for_zero(x)) / length
        return g * zero_where((raw(x) == 0) | (raw(y) == 0), ops.sign(x) * share ** (p - 1))


def one_for_zero(x: Any) -> Any:
    """``x`` with 1 for 0: what can be divided by."""
    return ops.where(raw(x) == 0, namespace(raw(x)).ones((), raw(x).dtype), x)


def zero_where(mask: Any, x: Any) -> Any:
    """``x`` with 0 (and no gradient) where ``mask`` holds."""
    return ops.where(mask, namespace(mask).zeros((), raw(x).dtype), x)


# ----------------------------------------------------------------------------------------------------- minidl.linalg's


def _floating(name: str, x: Any, dtype: Any) -> Any:
    as_tensor_or_array(name, "A", x)
    if dtype is not None and not is_integral(x):
        found, wanted = dtypes.from_numpy_dtype(raw(x).dtype), dtypes.as_dtype(dtype)
        if dtypes.promote_types(found, wanted) is not wanted:
            raise RuntimeError(
                f"{name}: {found} would be narrowed to dtype={wanted}; convert the input itself with .to()"
            )
        x = cast(x, dtype)
    if is_integral(x):
        raise RuntimeError(
            f"{name}: Expected a floating point or complex tensor as input. Got "
            f"{dtypes.from_numpy_dtype(raw(x).dtype)}; convert it first, for example with .float()"
        )
    return x


def vector_norm(x: Any, ord: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """(Σ |x|ᵒʳᵈ)^(1/ord) over ``dim`` (an int, several, or None for all); any number, inf and -inf among them."""
    if isinstance(ord, bool) or not isinstance(ord, (int, float)):
        raise TypeError(f"linalg.vector_norm(): argument 'ord' must be a number, not {type(ord).__name__}")
    x = _floating("linalg.vector_norm", x, dtype)
    dims = reduced_dims(dim, x.ndim, "linalg.vector_norm")
    empty = any(x.shape[d] == 0 for d in dims)
    if empty and (ord < 0 or ord == math.inf):
        raise RuntimeError(
            f"linalg.vector_norm cannot compute the {ord} norm on an empty dimension because the operation does not "
            f"have an identity (input of shape {list(x.shape)})"
        )
    return apply(VectorNorm(float(ord), dims, keepdim), x)


def matrix_norm(A: Any, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: Any = None) -> Any:
    """A norm of the matrices in the two dimensions ``dim``: "fro" √Σx², "nuc" Σσ, ±2 the largest (smallest) singular
    value σ, ±1 the largest (smallest) column sum of |x|, ±inf the same of rows."""
    name = "linalg.matrix_norm"
    A = _floating(name, A, dtype)
    if A.ndim < 2:
        raise RuntimeError(f"{name}: The input tensor A must have at least 2 dimensions.")
    if not isinstance(dim, (tuple, list)) or len(dim) != 2:
        raise RuntimeError(f"{name}: dim must be a 2-tuple. Got {dim}")
    rows, columns = (normalize_dim(d, A.ndim, name) for d in dim)
    if rows == columns:
        raise RuntimeError(f"{name}: dims must be different. Got ({dim[0]}, {dim[1]})")
    if ord == "fro":
        return vector_norm(A, 2, (rows, columns), keepdim)
    if ord in (1, -1, math.inf, -math.inf) and not isinstance(ord, str):
        inner, outer = (rows, columns) if abs(ord) == 1 else (columns, rows)
        sums = vector_norm(A, 1, inner, True)
        result = (ops.amax if ord > 0 else ops.amin)(sums, outer, True)
    elif ord in ("nuc", 2, -2):
        from minidl.ops.linear_algebra import svdvals

        others = [d for d in range(A.ndim) if d not in (rows, columns)]
        values = svdvals(ops.permute(A, (*others, rows, columns)))
        y = ops.sum(values, -1) if ord == "nuc" else (ops.amax if ord == 2 else ops.amin)(values, -1)
        result = y.reshape(tuple(1 if d in (rows, columns) else n for d, n in enumerate(A.shape)))
    else:
        raise RuntimeError(f"{name}: Order {ord} not supported; choose 'fro', 'nuc', 1, -1, 2, -2, inf or -inf")
    return result if keepdim else result.reshape(tuple(n for d, n in enumerate(A.shape) if d not in (rows, columns)))


def linalg_norm(A: Any, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """A vector norm (1-D input, or one ``dim``) or a matrix norm (2-D input, or two dims).

    Without ``ord`` the 2-norm over ``dim``, or of all elements.
    """
    if ord is None:
        return vector_norm(A, 2, dim, keepdim, dtype=dtype)
    number = 1 if isinstance(dim, int) else A.ndim if dim is None else len(dim)
    if number not in (1, 2):
        raise RuntimeError(
            f"linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got {A.ndim}D."
            if dim is None
            else f"linalg.norm: If dim is specified, it must be of length 1 or 2. Got {dim}"
        )
    if number == 1:
        if isinstance(ord, str):
            raise RuntimeError(f"linalg.norm: order {ord!r} needs a matrix: two dimensions, not one")
        return vector_norm(A, ord, dim, keepdim, dtype=dtype)
    return matrix_norm(A, ord, (0, 1) if dim is None else dim, keepdim, dtype=dtype)


# ----------------------------------------------------------------------------------------------------------- minidl's


@in_float32_on_cuda
def norm(input: Any, p: Any = "fro", dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The ``p``-norm over ``dim`` (an int, several, or None for all elements, as one vector).

    p: a number, inf, -inf, "fro" (the 2-norm) or "nuc" (the sum of the singular values, of matrices).
    """
    if p is None or p == "fro":
        p = 2
    if p == "nuc":
        dim = (0, 1) if dim is None and input.ndim == 2 else dim
        if dim is None or len(dim) != 2:
            raise IndexError(f"norm: p='nuc' needs two dimensions, got {dim} for an input of shape {list(input.shape)}")
        return matrix_norm(input, "nuc", dim, keepdim, dtype=dtype)
    if isinstance(p, str):
        raise RuntimeError(f"norm: only valid string values are 'fro' and 'nuc', found: {p}")
    return vector_norm(input, p, dim, keepdim, dtype=dtype)


@in_float32
def cdist(x1: Any, x2: Any, p: float = 2.0, compute_mode: str | None = None) -> Any:
    """The p-norm distance of each point of ``x1`` from each of ``x2``: [*batch, P, M], [*batch, R, M] → [*batch, P, R].

    Where a distance is 0 its gradient is taken as 0. ``compute_mode`` changes nothing: differences are always formed,
    which is exact (‖a‖² + ‖b‖² - 2 ab cancels for near points).
    """
    for position, x in enumerate((x1, x2)):
        if x.ndim < 2:
            raise RuntimeError(f"cdist only supports at least 2D tensors, X{position + 1} got: {x.ndim}D")
    if x1.shape[-1] != x2.shape[-1]:
        raise RuntimeError(
            f"cdist: X1 and X2 must have the same number of columns. X1: {x1.shape[-1]} X2: {x2.shape[-1]} (shapes "
            f"{list(x1.shape)} and {list(x2.shape)})"
        )
    if p < 0:
        raise RuntimeError(f"cdist only supports non-negative p values, got {p}")
    a = x1.reshape((*x1.shape[:-1], 1, x1.shape[-1]))
    b = x2.reshape((*x2.shape[:-2], 1, *x2.shape[-2:]))
    difference = a - b
    if not difference.shape[-1]:
        return ops.sum(difference, -1)
    return vector_distance(difference, p)


def vector_distance(difference: Any, p: float) -> Any:
    """The p-norm over the last dimension. For p = ∞ each of the equally large differences gets the whole gradient."""
    if p == math.inf:
        return apply(VectorNorm(p, (difference.ndim - 1,), False, shares=False), difference)
    return vector_norm(difference, p, -1)
