"""Joining tensors into one, and splitting one into several."""

from __future__ import annotations

import operator
from itertools import pairwise
from typing import Any

from minidl import dtypes, ops
from minidl.autograd.tape import Operator, apply
from minidl.backends import namespace
from minidl.ops.common import convert, normalize_dim, row_major
from minidl.ops.shape import atleast_1d, atleast_2d, atleast_3d
from minidl.tensor import Tensor, raw

__all__ = [
    "block_diag",
    "cat",
    "chunk",
    "column_stack",
    "concat",
    "concatenate",
    "dsplit",
    "dstack",
    "hsplit",
    "hstack",
    "row_stack",
    "split",
    "split_with_sizes",
    "stack",
    "tensor_split",
    "unbind",
    "unsafe_chunk",
    "unsafe_split",
    "vsplit",
    "vstack",
]

METHODS = [name for name in __all__ if "split" in name or "chunk" in name] + ["unbind"]
INPLACE: list[str] = []


def part(dim: int, start: int, stop: int) -> tuple:
    """The index of ``start:stop`` along axis ``dim``."""
    return (slice(None),) * dim + (slice(start, stop),)


# ----------------------------------------------------------------------------------------------------------------- join


class Cat(Operator):
    """y = the inputs one after the other along ``dim``;  each gets its part of g.

    Empty vectors beside inputs of more dimensions are skipped.
    """

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def forward(self, *arrays: Any) -> Any:
        ndim = max(x.ndim for x in arrays)
        self.sizes = [x.shape[self.dim] if x.ndim == ndim else None for x in arrays]
        return row_major(namespace(arrays[0]).concatenate([x for x in arrays if x.ndim == ndim], axis=self.dim))

    def backward(self, g: Any) -> Any:
        start, parts = 0, []
        for size in self.sizes:
            if size is None:
                parts.append(g.reshape((-1,))[:0])
            else:
                parts.append(g[part(self.dim, start, start + size)])
                start += size
        return tuple(parts)


class Stack(Operator):
    """y = the inputs beside each other along a new axis ``dim``;  input i gets slice i of g."""

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def forward(self, *arrays: Any) -> Any:
        self.count = len(arrays)
        return row_major(namespace(arrays[0]).stack(arrays, axis=self.dim))

    def backward(self, g: Any) -> Any:
        return tuple([g[(slice(None),) * self.dim + (i,)] for i in range(self.count)])


def tensors_of(name: str, tensors: Any) -> list:
    """The tensors in a list or tuple, in their common element type."""
    if isinstance(tensors, Tensor) or not isinstance(tensors, (tuple, list)):
        raise TypeError(
            f"{name}(): argument 'tensors' (position 1) must be tuple of Tensors, not {type(tensors).__name__}"
        )
    for position, x in enumerate(tensors):
        if not isinstance(x, Tensor) and not hasattr(x, "dtype"):
            raise TypeError(f"{name}: expected Tensor as element {position} in argument 0, but got {type(x).__name__}")
    if not any(isinstance(x, Tensor) for x in tensors) or all(
        raw(x).dtype == raw(tensors[0]).dtype for x in tensors[1:]
    ):
        return list(tensors)
    found = [dtypes.from_numpy_dtype(raw(x).dtype) for x in tensors]
    common = found[0]
    for d in found[1:]:
        common = dtypes.promote_types(common, d)
    return [convert(x, common) for x in tensors]


def cat(tensors: Any, dim: Any = 0, *, axis: Any = None) -> Any:
    """The ``tensors`` joined along ``dim``; their other sizes agree. Tensors of shape (0,) are skipped.

    Raises:
        ValueError: there is no tensor.
        RuntimeError: a 0-d tensor, numbers of dimensions or other sizes that differ.
    """
    tensors = tensors_of("cat", tensors)
    if not tensors:
        raise ValueError("cat(): expected a non-empty list of Tensors")
    dim = dim if axis is None else axis
    for position, x in enumerate(tensors):
        if x.ndim == 0:
            raise RuntimeError(
                f"cat: zero-dimensional tensor (at position {position}) cannot be concatenated; use stack"
            )
    first = next((x for x in tensors if tuple(x.shape) != (0,)), None)
    if first is None:
        return apply(Cat(0), *tensors)
    dim = normalize_dim(dim, first.ndim, "cat")
    rest = (*first.shape[:dim], *first.shape[dim + 1 :])
    for position, x in enumerate(tensors):
        if tuple(x.shape) == (0,):
            continue
        if x.ndim != first.ndim:
            raise RuntimeError(
                f"cat: Tensors must have same number of dimensions: got {first.ndim} and {x.ndim} (shapes "
                f"{list(first.shape)} and {list(x.shape)}, tensor number {position} in the list)"
            )
        if (*x.shape[:dim], *x.shape[dim + 1 :]) != rest:
            axis = next(i for i in range(x.ndim) if i != dim and x.shape[i] != first.shape[i])
            raise RuntimeError(
                f"cat: Sizes of tensors must match except in dimension {dim}. Expected size {first.shape[axis]} but "
                f"got size {x.shape[axis]} in dimension {axis} for tensor number {position} in the list: shapes "
                f"{list(first.shape)} and {list(x.shape)}"
            )
    return apply(Cat(dim), *tensors)


def concat(tensors: Any, dim: Any = 0, *, axis: Any = None) -> Any:
    """``cat`` under another name."""
    return cat(tensors, dim, axis=axis)


def concatenate(tensors: Any, dim: Any = 0, *, axis: Any = None) -> Any:
    """``cat`` under NumPy's name."""
    return cat(tensors, dim, axis=axis)


def stack(tensors: Any, dim: int = 0) -> Any:
    """The ``tensors``, all of one shape, beside each other along a new dimension ``dim``."""
    tensors = tensors_of("stack", tensors)
    if not tensors:
        raise RuntimeError("stack expects a non-empty TensorList")
    first = tensors[0]
    dim = normalize_dim(dim, first.ndim + 1, "stack")
    for position, x in enumerate(tensors):
        if x.shape != first.shape:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(first.shape)} at entry 0 and "
                f"{list(x.shape)} at entry {position}"
            )
    return apply(Stack(dim), *tensors)


def _lifted(name: str, lift: Any, tensors: Any) -> list:
    tensors = tensors_of(name, tensors)
    if not tensors:
        raise RuntimeError(f"{name} expects a non-empty TensorList")
    return [lift(x) for x in tensors]


def hstack(tensors: Any) -> Any:
    """The ``tensors`` side by side: along dimension 1, vectors along their only one."""
    tensors = _lifted("hstack", atleast_1d, tensors)
    return cat(tensors, 0 if tensors[0].ndim == 1 else 1)


def vstack(tensors: Any) -> Any:
    """The ``tensors`` on top of each other, vectors as rows."""
    return cat(_lifted("vstack", atleast_2d, tensors), 0)


def row_stack(tensors: Any) -> Any:
    """``vstack`` under another name."""
    return vstack(tensors)


def dstack(tensors: Any) -> Any:
    """The ``tensors`` behind each other, along dimension 2."""
    return cat(_lifted("dstack", atleast_3d, tensors), 2)


def column_stack(tensors: Any) -> Any:
    """The ``tensors`` side by side, vectors as columns."""
    return hstack(_lifted("column_stack", lambda x: x if x.ndim > 1 else x.reshape((raw(x).size, 1)), tensors))


class BlockDiag(Operator):
    """y = zeros but for the inputs, one after the other along the diagonal;  each gets its part of g."""

    def forward(self, *blocks: Any) -> Any:
        self.corners, row, column = [], 0, 0
        for x in blocks:
            self.corners.append((slice(row, row + x.shape[0]), slice(column, column + x.shape[1])))
            row, column = row + x.shape[0], column + x.shape[1]
        y = namespace(blocks[0]).zeros((row, column), blocks[0].dtype)
        for corner, x in zip(self.corners, blocks):
            y[corner] = x
        return y

    def backward(self, g: Any) -> Any:
        return tuple([g[corner] for corner in self.corners])


def block_diag(*tensors: Any) -> Any:
    """A matrix of zeros with ``tensors`` (matrices, vectors as rows, 0-d as 1×1) along its diagonal."""
    for position, x in enumerate(tensors):
        if getattr(x, "ndim", 0) > 2:
            raise RuntimeError(
                f"block_diag: Input tensors must have 2 or fewer dimensions. Input {position} has {x.ndim} dimensions"
            )
    if not tensors:
        return ops.unsqueeze(cat([_empty()]), 0)
    return apply(BlockDiag(), *(atleast_2d(x) for x in tensors_of("block_diag", tensors)))


def _empty() -> Tensor:
    return Tensor([])


# ---------------------------------------------------------------------------------------------------------------- split


class Split(Operator):
    """yᵢ = part i of x along ``dim``: views;  ∂x = the gradients of the parts, joined again."""

    is_view = True

    def __init__(self, sizes: list[int], dim: int) -> None:
        self.sizes, self.dim = sizes, dim

    def forward(self, x: Any) -> Any:
        start, parts = 0, []
        for size in self.sizes:
            parts.append(x[part(self.dim, start, start + size)])
            start += size
        return tuple(parts)

    def backward(self, *gs: Any) -> Any:
        return apply(Cat(self.dim), *gs)


class Unbind(Operator):
    """yᵢ = x[i] along ``dim``: views;  ∂x = the gradients of the slices, stacked again."""

    is_view = True

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def forward(self, x: Any) -> Any:
        before = (slice(None),) * self.dim
        return tuple([x[(*before, i, ...)] for i in range(x.shape[self.dim])])

    def backward(self, *gs: Any) -> Any:
        return apply(Stack(self.dim), *gs)


def split(tensor: Any, split_size_or_sections: Any = None, dim: int = 0, *, split_size: Any = None) -> tuple:
    """``tensor`` in parts along ``dim``: all of one size (the last may be smaller), or of a list of sizes. Views.

    RuntimeError for sizes that are negative or do not add up to the dimension's.
    """
    wanted = split_size_or_sections if split_size is None else split_size
    if isinstance(wanted, (tuple, list)):
        return split_with_sizes(tensor, wanted, dim)
    if wanted is None:
        raise TypeError("split() missing 1 required positional arguments: 'split_size'")
    size = operator.index(wanted)
    _refuse_0d("split", tensor)
    dim = normalize_dim(dim, tensor.ndim, "split")
    n = tensor.shape[dim]
    if size < 0:
        raise RuntimeError(f"split expects split_size be non-negative, but got split_size={size}")
    if size == 0 and n:
        raise RuntimeError(f"split_size can only be 0 if dimension size is 0, but got dimension size of {n}")
    starts = range(0, n, size) if n else [0]
    return apply(Split([min(size, n - start) for start in starts], dim), tensor)


def _refuse_0d(name: str, tensor: Any) -> None:
    if tensor.ndim == 0:
        raise RuntimeError(f"{name} expects at least a 1-dimensional tensor")


def split_with_sizes(input: Any, split_sizes: Any, dim: int = 0) -> tuple:
    """``input`` in parts of ``split_sizes`` along ``dim``. Views."""
    _refuse_0d("split_with_sizes", input)
    dim = normalize_dim(dim, input.ndim, "split_with_sizes")
    sizes = [operator.index(n) for n in split_sizes]
    if any(n < 0 for n in sizes):
        raise RuntimeError(f"split_with_sizes expects split_sizes have only non-negative entries, but got {sizes}")
    if sum(sizes) != input.shape[dim]:
        raise RuntimeError(
            f"split_with_sizes expects split_sizes to sum exactly to {input.shape[dim]} (input tensor's size at "
            f"dimension {dim}), but got split_sizes={sizes}"
        )
    return apply(Split(sizes, dim), input)


def chunk(input: Any, chunks: int, dim: int = 0) -> tuple:
    """``input`` in at most ``chunks`` parts of equal size along ``dim`` (the last may be smaller). Views."""
    _refuse_0d("chunk", input)
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    dim = normalize_dim(dim, input.ndim, "chunk")
    n = input.shape[dim]
    return split(input, -(-n // chunks), dim) if n else split_with_sizes(input, [0] * chunks, dim)


def unsafe_split(tensor: Any, split_size: int, dim: int = 0) -> tuple:
    """``split`` into copies, which may be changed in place."""
    return tuple(x.clone() for x in split(tensor, split_size, dim))


def unsafe_chunk(input: Any, chunks: int, dim: int = 0) -> tuple:
    """``chunk`` into copies, which may be changed in place."""
    return tuple(x.clone() for x in chunk(input, chunks, dim))


def tensor_split(
    input: Any, indices_or_sections: Any = None, dim: int = 0, *, indices: Any = None, sections: Any = None
) -> tuple:
    """``input`` in parts along ``dim``: a number of them, whose sizes differ by one at most, or cut at
    a list of indices. Views."""
    where = next(x for x in (indices_or_sections, indices, sections) if x is not None)
    _refuse_0d("tensor_split", input)
    dim = normalize_dim(dim, input.ndim, "tensor_split")
    n = input.shape[dim]
    if isinstance(where, Tensor):
        where = raw(where).tolist()
    if isinstance(where, (tuple, list)):
        cuts = [0, *(operator.index(i) for i in where), n]
    else:
        parts = operator.index(where)
        if parts <= 0:
            raise RuntimeError(f"tensor_split: number of sections must be larger than 0, got {parts}")
        cuts = [i * (n // parts) + min(i, n % parts) for i in range(parts + 1)]
    return tuple([input[part(dim, a, b)] for a, b in pairwise(cuts)])


def hsplit(input: Any, indices_or_sections: Any) -> tuple:
    """``tensor_split`` along dimension 1 (0 for a vector) into equal parts."""
    return _equal_split("hsplit", input, indices_or_sections, 0 if input.ndim == 1 else 1, 1)


def vsplit(input: Any, indices_or_sections: Any) -> tuple:
    """``tensor_split`` along dimension 0 into equal parts."""
    return _equal_split("vsplit", input, indices_or_sections, 0, 2)


def dsplit(input: Any, indices_or_sections: Any) -> tuple:
    """``tensor_split`` along dimension 2 into equal parts."""
    return _equal_split("dsplit", input, indices_or_sections, 2, 3)


def _equal_split(name: str, input: Any, where: Any, dim: int, least: int) -> tuple:
    if input.ndim < least:
        raise RuntimeError(
            f"{name} requires a tensor with at least {least} dimension, but got a tensor with {input.ndim} dimensions!"
        )
    if isinstance(where, int) and (where <= 0 or input.shape[dim] % where):
        raise RuntimeError(
            f"{name} attempted to split along dimension {dim}, but the size of the dimension {input.shape[dim]} is not "
            f"divisible by the split_size {where}!"
        )
    return tensor_split(input, where, dim)


def unbind(input: Any, dim: int = 0) -> tuple:
    """The slices of ``input`` along ``dim``, which they lose. Views."""
    if input.ndim == 0:
        raise IndexError("unbind: Dimension specified as 0 but tensor has no dimensions")
    return apply(Unbind(normalize_dim(dim, input.ndim, "unbind")), input)
