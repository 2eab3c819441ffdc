"""Operators that copy values to other places: flip, roll, repeat, tile, meshgrid, …"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from minidl.autograd.tape import Operator, apply
from minidl.backends import namespace
from minidl.ops.common import normalize_dim, normalize_dims, row_major
from minidl.ops.gathering import index_select
from minidl.ops.joining import stack
from minidl.ops.shape import expand, sizes_of, transpose, unpack
from minidl.tensor import raw, wrap

__all__ = [
    "cartesian_prod",
    "combinations",
    "flip",
    "fliplr",
    "flipud",
    "meshgrid",
    "repeat_interleave",
    "roll",
    "rot90",
    "tile",
]

METHODS = ["flip", "fliplr", "flipud", "repeat", "repeat_interleave", "roll", "rot90", "tile"]
INPLACE: list[str] = []


class Flip(Operator):
    """y = x with the order along ``dims`` reversed;  ∂x = g reversed again."""

    def __init__(self, dims: tuple[int, ...]) -> None:
        self.dims = dims

    def forward(self, x: Any) -> Any:
        return namespace(x).flip(x, self.dims).copy()

    def backward(self, g: Any) -> Any:
        return apply(Flip(self.dims), g)


class Roll(Operator):
    """y = x moved along ``dims`` by ``shifts``, what leaves at the end coming in at the front;  ∂x = g moved back."""

    def __init__(self, shifts: tuple[int, ...], dims: tuple[int, ...]) -> None:
        self.shifts, self.dims = shifts, dims

    def forward(self, x: Any) -> Any:
        return row_major(namespace(x).roll(x, self.shifts, self.dims))

    def backward(self, g: Any) -> Any:
        return apply(Roll(tuple(-s for s in self.shifts), self.dims), g)


class Repeat(Operator):
    """y = x laid out ``repeats`` times along each dimension;  ∂x = Σ g over the copies."""

    def __init__(self, repeats: tuple[int, ...]) -> None:
        self.repeats = repeats

    def forward(self, x: Any) -> Any:
        self.shape = x.shape
        return namespace(x).tile(x, self.repeats)

    def backward(self, g: Any) -> Any:
        extra = len(self.repeats) - len(self.shape)
        shape = (1,) * extra + tuple(self.shape)
        apart = tuple(n for pair in zip(self.repeats, shape) for n in pair)
        return g.reshape(apart).sum(tuple(range(0, len(apart), 2))).reshape(self.shape)


def flip(input: Any, *axes: Any, dims: Any = None) -> Any:
    """A copy of ``input`` with the order along ``dims`` reversed."""
    axes = sizes_of("flip", "dims", axes, dims)
    return apply(Flip(normalize_dims(axes, input.ndim, "flip")), input)


def fliplr(input: Any) -> Any:
    """A copy of ``input`` with dimension 1 reversed."""
    if input.ndim < 2:
        raise RuntimeError(f"fliplr: Input must be >= 2-d, got shape {list(input.shape)}.")
    return flip(input, (1,))


def flipud(input: Any) -> Any:
    """A copy of ``input`` with dimension 0 reversed."""
    if input.ndim < 1:
        raise RuntimeError("flipud: Input must be >= 1-d, got a 0-d tensor.")
    return flip(input, (0,))


def roll(input: Any, shifts: Any, dims: Any = None) -> Any:
    """``input`` moved by ``shifts`` along ``dims``, cyclically; without ``dims`` as if it were one dimension."""
    shifts = tuple(shifts) if isinstance(shifts, (tuple, list)) else (shifts,)
    dims = () if dims is None else tuple(dims) if isinstance(dims, (tuple, list)) else (dims,)
    if not dims and len(shifts) == 1:
        return roll(input.reshape((raw(input).size,)), shifts, (0,)).reshape(tuple(input.shape))
    if not shifts or len(shifts) != len(dims):
        raise RuntimeError(f"roll: shifts and dimensions must align. shifts: {len(shifts)}, dims:{len(dims)}")
    if not input.ndim:
        raise IndexError(f"roll: Dimension specified as {dims[0]} but tensor has no dimensions")
    return apply(Roll(shifts, tuple(normalize_dim(d, input.ndim, "roll") for d in dims)), input)


def rot90(input: Any, k: int = 1, dims: Any = (0, 1)) -> Any:
    """``input`` turned by ``k`` · 90° in the plane of ``dims``, from the first towards the second."""
    if len(dims) != 2:
        raise RuntimeError(f"rot90: expected total rotation dims == 2, but got dims = {len(dims)}")
    if input.ndim < 2:
        raise RuntimeError(f"rot90: expected total dims >= 2, but got total dims = {input.ndim}")
    first, second = (normalize_dim(d, input.ndim, "rot90") for d in dims)
    if first == second:
        raise RuntimeError(
            f"rot90: expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}"
        )
    k %= 4
    if k == 0:
        return flip(input, ())
    if k == 2:
        return flip(input, (first, second))
    if k == 1:
        return transpose(flip(input, (second,)), first, second)
    return flip(transpose(input, first, second), (second,))


def repeat(input: Any, *sizes: Any, repeats: Any = None) -> Any:
    """``input`` laid out that often along each dimension (new ones in front). A copy; ``expand`` does not copy."""
    sizes = sizes_of("repeat", "repeats", sizes, repeats)
    if len(sizes) < input.ndim:
        raise RuntimeError(
            "repeat: Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor: got "
            f"{len(sizes)} repeats for shape {list(input.shape)}; use tile to leave the leading ones out"
        )
    if any(n < 0 for n in sizes):
        raise RuntimeError(f"repeat: Trying to create tensor with negative dimension: repeats {list(sizes)}")
    return apply(Repeat(sizes), input)


def tile(input: Any, *sizes: Any, dims: Any = None) -> Any:
    """``repeat`` with ones in front where ``dims`` has fewer entries than ``input`` dimensions."""
    sizes = sizes_of("tile", "dims", sizes, dims)
    return repeat(input, (1,) * (input.ndim - len(sizes)) + sizes)


def repeat_interleave(input: Any, repeats: Any = None, dim: Any = None, *, output_size: Any = None) -> Any:
    """Each slice of ``input`` along ``dim`` (without: of the flattened ``input``) ``repeats`` times in a row.

    ``repeats`` is an int, or an int tensor with one entry or one for each slice. Given alone, an int tensor stands for
    the ``repeats`` of 0, 1, 2, ….
    """
    xp = namespace(raw(input))
    if repeats is None:
        counts = _counts(input)
        return wrap(xp.repeat(xp.arange(counts.size, dtype=counts.dtype), counts))
    counts = _counts(repeats)
    if dim is None:
        input, dim = input.reshape((raw(input).size,)), 0
    dim = normalize_dim(dim, input.ndim, "repeat_interleave")
    x = input if input.ndim else input.reshape((1,))
    n = x.shape[dim]
    if counts.size != n and counts.size != 1:
        raise RuntimeError(
            "repeat_interleave: repeats must have the same size as input along dim, but got repeats.size(0) = "
            f"{counts.size} and input.size({dim}) = {n}"
        )
    where = xp.repeat(xp.arange(n), xp.broadcast_to(counts, (n,)))
    if output_size is not None and output_size != where.size:
        raise RuntimeError(f"repeat_interleave: Invalid output_size, expected {where.size} but got {output_size}")
    return index_select(x, dim, where)


def _counts(repeats: Any) -> Any:
    """How often to repeat, as a vector of integers, checked."""
    counts = raw(repeats)
    if not hasattr(counts, "dtype"):
        if isinstance(counts, bool) or not isinstance(counts, int):
            raise TypeError(f"repeat_interleave(): 'repeats' must be an int or a Tensor, not {type(repeats).__name__}")
        counts = np.array(counts)
    if counts.dtype.name not in ("int32", "int64"):
        raise NotImplementedError(f"repeat_interleave: 'repeats' must be int32 or int64, got {counts.dtype}")
    if counts.ndim > 1:
        raise RuntimeError("repeat_interleave: repeats must be 0-dim or 1-dim tensor")
    if counts.size and counts.min() < 0:
        raise RuntimeError("repeat_interleave: repeats must be non-negative, and can not be negative in any entry")
    return counts.reshape(-1)


# ---------------------------------------------------------------------------------------------------------------- grids


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple:
    """One grid a vector (or 0-d tensor): grid k has the values of vector k along dimension k, expanded along the rest.

    ``indexing="xy"`` exchanges the first two dimensions, as plots want them.
    """
    tensors = unpack(tensors)
    if not tensors:
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    if indexing not in ("ij", "xy"):
        raise RuntimeError(f'meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
    for position, x in enumerate(tensors):
        if x.ndim > 1:
            raise RuntimeError(
                f"meshgrid: Expected 0D or 1D tensor in the tensor list but got shape {list(x.shape)} (tensor "
                f"{position})"
            )
        if raw(x).dtype != raw(tensors[0]).dtype:
            raise RuntimeError("meshgrid expects all tensors to have the same dtype")
    count = len(tensors)
    axes = list(range(count))
    if indexing == "xy" and count > 1:
        axes[:2] = [1, 0]
    shape = [0] * count
    for x, axis in zip(tensors, axes):
        shape[axis] = raw(x).size
    grids = []
    for x, axis in zip(tensors, axes):
        line = [1] * count
        line[axis] = raw(x).size
        grids.append(expand(x.reshape(tuple(line)), tuple(shape)))
    return tuple(grids)


def cartesian_prod(*tensors: Any) -> Any:
    """All combinations of one element of each vector, as rows; a single vector as it is."""
    for x in tensors:
        if x.ndim != 1:
            raise RuntimeError(f"cartesian_prod: Expect a 1D vector, but got shape {list(x.shape)}")
    if len(tensors) == 1:
        return tensors[0]
    return stack([x.reshape((raw(x).size,)) for x in meshgrid(*tensors)], 1)


def combinations(input: Any, r: int = 2, with_replacement: bool = False) -> Any:
    """All choices of ``r`` elements of a vector, in order, as rows (n, r)."""
    if input.ndim != 1:
        raise RuntimeError(f"combinations: Expect a 1D vector, but got shape {list(input.shape)}")
    if r < 0:
        raise RuntimeError(f"combinations: Expect a non-negative number, but got {r}")
    if r == 0:
        return input[:0].detach()
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    chosen = list(choose(range(input.shape[0]), r))
    where = namespace(raw(input)).asarray(chosen, dtype="int64").reshape(len(chosen), r)
    return input[where]
