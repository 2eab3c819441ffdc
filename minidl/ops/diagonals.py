"""Triangles and diagonals of matrices."""

from __future__ import annotations

from typing import Any

from minidl import dtypes
from minidl.autograd.autocast import in_float32
from minidl.autograd.tape import Operator, apply
from minidl.backends import namespace, namespace_for
from minidl.ops.common import normalize_dim, numpy_dtype, only_tensors, refuse_kinds, row_major
from minidl.ops.shape import same_access
from minidl.tensor import raw, wrap

__all__ = ["diag", "diag_embed", "diagflat", "diagonal", "trace", "tril", "tril_indices", "triu", "triu_indices"]

METHODS = ["diag", "diag_embed", "diagflat", "diagonal", "trace", "tril", "triu"]
INPLACE = ["tril", "triu"]


class Triangle(Operator):
    """y = x on one side of its ``diagonal`` (tril: below, triu: above), that included, and 0 elsewhere;  ∂x = that of g."""

    def __init__(self, diagonal: int, lower: bool) -> None:
        self.diagonal, self.lower = diagonal, lower

    def forward(self, x: Any) -> Any:
        xp = namespace(x)
        rows, columns = xp.arange(x.shape[-2])[:, None], xp.arange(x.shape[-1])
        offset = columns - rows
        kept = offset <= self.diagonal if self.lower else offset >= self.diagonal
        return row_major(xp.where(kept, x, xp.zeros((), x.dtype)))

    def backward(self, g: Any) -> Any:
        return apply(self.again(), g)


class Diagonal(Operator):
    """y[…, i] = x[…, i, i + offset], the two axes being ``dim1`` and ``dim2``: a view;  ∂x = g on that diagonal."""

    is_view = True

    def __init__(self, offset: int, dim1: int, dim2: int) -> None:
        self.offset, self.dim1, self.dim2 = offset, dim1, dim2

    def forward(self, x: Any) -> Any:
        self.shape = x.shape
        return same_access(x.diagonal(self.offset, self.dim1, self.dim2), x)

    def backward(self, g: Any) -> Any:
        return apply(OnDiagonal(self), g)


class OnDiagonal(Operator):
    """y = x on a diagonal and 0 elsewhere;  ∂x = that diagonal of g.

    The adjoint of :class:`Diagonal`.
    """

    def __init__(self, diagonal: Diagonal) -> None:
        self.diagonal = diagonal

    def forward(self, x: Any) -> Any:
        y = namespace(x).zeros(self.diagonal.shape, x.dtype)
        self.diagonal.again().forward(y)[...] = x
        return y

    def backward(self, g: Any) -> Any:
        return apply(self.diagonal.again(), g)


def _matrices(name: str, input: Any) -> None:
    if input.ndim < 2:
        raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions, got shape {list(input.shape)}")


def tril(input: Any, diagonal: int = 0) -> Any:
    """The lower triangle of matrices (…, m, n), up to ``diagonal`` (0: the main one); 0 above."""
    _matrices("tril", input)
    return apply(Triangle(diagonal, lower=True), input)


def triu(input: Any, diagonal: int = 0) -> Any:
    """The upper triangle of matrices (…, m, n), from ``diagonal`` (0: the main one); 0 below."""
    _matrices("triu", input)
    return apply(Triangle(diagonal, lower=False), input)


def tril_indices(row: int, col: int, offset: int = 0, *, dtype: Any = dtypes.int64, device: Any = None) -> Any:
    """Rows and columns of the lower triangle of a (row, col) matrix, row by row: (2, n)."""
    return _triangle_indices("tril_indices", row, col, offset, dtype, device)


def triu_indices(row: int, col: int, offset: int = 0, *, dtype: Any = dtypes.int64, device: Any = None) -> Any:
    """Rows and columns of the upper triangle of a (row, col) matrix, row by row: (2, n)."""
    return _triangle_indices("triu_indices", row, col, offset, dtype, device)


def _triangle_indices(name: str, row: int, col: int, offset: int, dtype: Any, device: Any) -> Any:
    for what, n in (("row", row), ("col", col)):
        if n < 0:
            raise RuntimeError(f"{name}: {what} must be non-negative, got {n}")
    xp = namespace_for(device)
    distance = xp.arange(col) - xp.arange(row)[:, None]
    inside = distance <= offset if name == "tril_indices" else distance >= offset
    return wrap(xp.stack(xp.nonzero(inside)).astype(numpy_dtype(dtype)))


def diagonal(input: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    """The diagonals of the matrices along ``dim1`` and ``dim2``, as a last dimension. A view."""
    dim1, dim2 = _two_dims("diagonal", dim1, dim2, input.ndim)
    return apply(Diagonal(offset, dim1, dim2), input)


def _two_dims(name: str, dim1: int, dim2: int, ndim: int) -> tuple[int, int]:
    first, second = normalize_dim(dim1, ndim, name), normalize_dim(dim2, ndim, name)
    if first == second:
        raise RuntimeError(f"{name}: diagonal dimensions cannot be identical {dim1}, {dim2}")
    return first, second


def diag_embed(input: Any, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    """Matrices along ``dim1`` and ``dim2`` of the result with the last dimension of ``input`` on their diagonal."""
    ndim = input.ndim + 1
    first, second = _two_dims("diag_embed", dim1, dim2, ndim)
    n = input.shape[-1] + abs(offset)
    sizes = iter(input.shape[:-1])
    view = Diagonal(offset, first, second)
    view.shape = tuple(n if axis in (first, second) else next(sizes) for axis in range(ndim))
    return apply(OnDiagonal(view), input)


def diag(input: Any, diagonal: int = 0) -> Any:
    """The diagonal of a matrix, or the square matrix with a vector on its diagonal."""
    if input.ndim == 1:
        return diag_embed(input, diagonal)
    if input.ndim == 2:
        result = apply(Diagonal(diagonal, 0, 1), input)
        return result.clone() if hasattr(result, "clone") else result.copy()
    raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {input.ndim}D")


def diagflat(input: Any, offset: int = 0) -> Any:
    """The square matrix with all elements of ``input`` on its diagonal."""
    return diag_embed(input.reshape((raw(input).size,)), offset)


@in_float32
def trace(input: Any) -> Any:
    """The sum of the diagonal of a matrix."""
    only_tensors("trace", input=input)
    refuse_kinds("trace", "b", input)
    if input.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {input.ndim}")
    return diagonal(input).sum()
