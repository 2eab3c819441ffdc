"""Operators that move values about without computing: reshape, permute, expand, join, split, flip, …"""

from __future__ import annotations

import math
from typing import Any

from minidl.autograd.tape import Operator, apply, sum_to
from minidl.backends import namespace
from minidl.ops.common import ints, normalize_dim, normalize_dims
from minidl.tensor import raw

__all__ = ["expand", "permute", "reshape", "transpose"]

METHODS = ["expand", "permute", "reshape", "transpose", "view"]
INPLACE = ["transpose"]


class Reshape(Operator):
    """y = x in another shape, the same order of elements: a view where the memory allows it."""

    is_view = True

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def forward(self, x: Any) -> Any:
        self.original = x.shape
        return x.reshape(self.shape)

    def backward(self, g: Any) -> Any:
        return g.reshape(self.original)


class Expand(Operator):
    """y = x repeated along axes of size 1 without copying (stride 0);  the gradient is summed over them."""

    is_view = True

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def forward(self, x: Any) -> Any:
        self.original = x.shape
        return namespace(x).broadcast_to(x, self.shape)

    def backward(self, g: Any) -> Any:
        return sum_to(g, self.original)


class Permute(Operator):
    """y = x with its axes in the order ``dims``."""

    is_view = True

    def __init__(self, dims: tuple[int, ...]) -> None:
        self.dims = dims

    def forward(self, x: Any) -> Any:
        return x.transpose(self.dims)

    def backward(self, g: Any) -> Any:
        inverse = tuple(sorted(range(len(self.dims)), key=self.dims.__getitem__))
        return apply(Permute(inverse), g)


def infer_size(shape: tuple[int, ...], size: int, name: str) -> tuple[int, ...]:
    """``shape`` with its -1, if any, worked out. RuntimeError if ``size`` elements do not fit."""
    if shape.count(-1) > 1:
        raise RuntimeError(f"{name}: only one dimension can be inferred, got shape {list(shape)}")
    if any(n < -1 for n in shape):
        raise RuntimeError(f"{name}: invalid shape dimension in {list(shape)}")
    known = math.prod(n for n in shape if n != -1)
    if -1 in shape:
        if known == 0:
            raise RuntimeError(
                f"{name}: cannot reshape tensor of {size} elements into shape {list(shape)} because the unspecified "
                "dimension size -1 can be any value"
            )
        if size % known == 0:
            return tuple(size // known if n == -1 else n for n in shape)
    elif known == size:
        return shape
    raise RuntimeError(f"{name}: shape {list(shape)} is invalid for input of size {size}")


def reshape(input: Any, *shape: Any) -> Any:
    """``input`` in another ``shape``; one size may be -1, which is inferred. A view if the memory allows it."""
    return apply(Reshape(infer_size(ints(shape), raw(input).size, "reshape")), input)


def permute(input: Any, *dims: Any) -> Any:
    """``input`` with its dimensions in the order ``dims``; a view."""
    dims = ints(dims)
    if len(dims) != input.ndim:
        raise RuntimeError(
            f"permute(sparse_coo): number of dimensions in the tensor input does not match the length of the desired "
            f"ordering of dimensions i.e. input.dim() = {input.ndim} is not equal to len(dims) = {len(dims)}"
        )
    return apply(Permute(normalize_dims(dims, input.ndim, "permute")), input)


def transpose(input: Any, dim0: int, dim1: int) -> Any:
    """``input`` with two dimensions exchanged; a view."""
    dim0, dim1 = (normalize_dim(d, input.ndim, "transpose") for d in (dim0, dim1))
    dims = list(range(input.ndim))
    if dims:
        dims[dim0], dims[dim1] = dim1, dim0
    return apply(Permute(tuple(dims)), input)


def expand(input: Any, *sizes: Any) -> Any:
    """``input`` stretched to ``sizes`` along its dimensions of size 1 (-1: as it is), without copying."""
    sizes = ints(sizes)
    extra = len(sizes) - input.ndim
    shape = tuple(input.shape[i - extra] if n == -1 and i >= extra else n for i, n in enumerate(sizes))
    fits = (
        extra >= 0
        and all(m in (1, n) and n >= 0 for n, m in zip(shape[extra:], input.shape))
        and min(shape, default=0) >= 0
    )
    if not fits:
        raise RuntimeError(
            f"expand: the expanded size {list(sizes)} must match the existing size {list(input.shape)} at non-singleton "
            "dimensions, and new dimensions stand in front"
        )
    return apply(Expand(shape), input)


def view(input: Any, *shape: Any) -> Any:
    """``reshape`` that never copies. RuntimeError if the memory does not allow the shape; use ``reshape`` then."""
    shape = infer_size(ints(shape), raw(input).size, "view")
    return apply(Reshape(shape), input)
