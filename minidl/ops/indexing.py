"""Indexing: ``x[...]`` and ``x[...] = value``.

PyTorch's rules, in two steps. *Basic* first: integers, slices, None and … give a view. Then what remains, integer and
boolean arrays, is *advanced*: the arrays are broadcast together and their dimensions take the place of the indexed
ones, or come first if a slice stands between them. (NumPy counts an integer between slices as an array; PyTorch does
not.) A list is one array, however nested.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from minidl import dtypes
from minidl.autograd.inplace import in_place
from minidl.autograd.tape import Operator, apply, sum_to
from minidl.backends import namespace
from minidl.ops.accumulation import accumulate
from minidl.ops.common import broadcast_shapes, convert, normalize_dim, only_tensors, row_major
from minidl.ops.shape import expand
from minidl.tensor import Tensor, raw, wrap

__all__ = ["argwhere", "index_put", "masked_fill", "masked_scatter", "masked_select", "narrow", "nonzero", "select"]

METHODS = __all__
INPLACE = ["index_put", "masked_fill", "masked_scatter"]


# -------------------------------------------------------------------------------------------------------- the operators


class Select(Operator):
    """y = x[index] with integers, slices, None and … only: a view;  ∂x = zeros but ∂x[index] = g."""

    is_view = True

    def __init__(self, index: Any) -> None:
        self.index = index

    def forward(self, x: Any) -> Any:
        self.shape = x.shape
        return x[self.index]

    def backward(self, g: Any) -> Any:
        return apply(Place(self.index, self.shape), g)


class Place(Operator):
    """y = zeros but y[index] = x;  ∂x = g[index].

    What :class:`Select` hands back.
    """

    def __init__(self, index: Any, shape: tuple[int, ...]) -> None:
        self.index, self.shape = index, shape

    def forward(self, x: Any) -> Any:
        y = namespace(x).zeros(self.shape, x.dtype)
        y[self.index] = x
        return y

    def backward(self, g: Any) -> Any:
        return apply(Select(self.index), g)


class Take(Operator):
    """y = x[index] with integer arrays (and full slices): a copy;  ∂x = zeros, then ∂x[index] += g."""

    def __init__(self, index: tuple) -> None:
        self.index = index

    def forward(self, x: Any) -> Any:
        self.shape = x.shape
        return row_major(x[self.index])

    def backward(self, g: Any) -> Any:
        return apply(Accumulate(self.index, self.shape), g)


class Accumulate(Operator):
    """y = zeros, then y[index] += x, every time an element is named;  ∂x = g[index].

    The adjoint of :class:`Take`.
    """

    def __init__(self, index: tuple, shape: tuple[int, ...]) -> None:
        self.index, self.shape = index, shape

    def forward(self, x: Any) -> Any:
        return accumulate(namespace(x).zeros(self.shape, x.dtype), self.index, x)

    def backward(self, g: Any) -> Any:
        return apply(Take(self.index), g)


class Put(Operator):
    """y = x but y[index] = values (``accumulate``: += values);  ∂x = g with those places zeroed (accumulate: all of g),
    ∂values = g[index]."""

    def __init__(self, index: tuple, accumulate: bool) -> None:
        self.index, self.accumulate = index, accumulate

    def forward(self, x: Any, values: Any) -> Any:
        y = namespace(x).array(x, order="C")
        self.shape = getattr(values, "shape", ())
        if self.accumulate:
            return accumulate(y, self.index, values)
        y[self.index] = values
        return y

    def backward(self, g: Any) -> Any:
        mine = g if self.accumulate or not self.needs[0] else apply(Put(self.index, False), g, 0.0)
        return mine, sum_to(apply(Take(self.index), g), self.shape) if self.needs[1] else None


class MaskedFill(Operator):
    """y = value where mask, x elsewhere;  ∂y/∂value = [mask], ∂y/∂x = [not mask]."""

    broadcasts = True

    def __init__(self, mask: Any) -> None:
        self.mask = mask

    def forward(self, x: Any, value: Any) -> Any:
        xp = namespace(x)
        return row_major(xp.where(self.mask, xp.asarray(value).astype(x.dtype), x))

    def backward(self, g: Any) -> Any:
        return apply(MaskedFill(self.mask), g, 0.0), g * self.mask if self.needs[1] else None


class MaskedScatter(Operator):
    """y = x but, where ``mask`` is true, the first elements of source in row-major order;  each gets g from where it is."""

    def __init__(self, mask: Any) -> None:
        self.mask = mask

    def forward(self, x: Any, source: Any) -> Any:
        self.shape, self.count = source.shape, int(self.mask.sum())
        y = x.copy()
        y[self.mask] = source.reshape(-1)[: self.count]
        return y

    def backward(self, g: Any) -> Any:
        mine = apply(MaskedFill(self.mask), g, 0.0) if self.needs[0] else None
        if not self.needs[1]:
            return mine, None
        used = masked_select(g, self.mask)
        return mine, apply(Place((slice(self.count),), (math.prod(self.shape),)), used).reshape(self.shape)


# --------------------------------------------------------------------------------------------------- reading an index


def parse(index: Any, shape: tuple[int, ...], xp: Any) -> tuple[tuple, tuple | None]:
    """``index`` into an array of ``shape`` as two: a basic one, and an advanced one for what it leaves (or None).

    IndexError for what is out of range, no index at all, or too many of them.
    """
    items = [_item(i, xp) for i in (index if type(index) is tuple else (index,))]
    left = len(shape) - sum(_consumed(i) for i in items)
    if left < 0:
        if not shape and any(isinstance(i, int) for i in items):
            raise IndexError(
                "invalid index of a 0-dim tensor. Use `tensor.item()` to convert a 0-dim tensor to a number"
            )
        raise IndexError(f"too many indices for tensor of dimension {len(shape)} (got {len(shape) - left})")
    basic, advanced, sizes = _in_two(items, shape, left, xp)
    arrays = [a for a in advanced if not isinstance(a, slice)]
    if not arrays:
        return (*basic, ...), None
    try:
        common = np.broadcast_shapes(*[a.shape for a in arrays])
    except ValueError:
        raise IndexError(
            "shape mismatch: indexing tensors could not be broadcast together with shapes "
            + ", ".join(str(list(a.shape)) for a in arrays)
        ) from None
    if 0 in common:  # nothing is read, so nothing is out of range
        advanced = [a if isinstance(a, slice) else xp.zeros(common, "int64") for a in advanced]
    else:
        _refuse_out_of_range(advanced, sizes)
    while isinstance(advanced[-1], slice):
        advanced.pop()
    return (*basic, ...), tuple(advanced)


def _in_two(items: list, shape: tuple[int, ...], left: int, xp: Any) -> tuple[list, list, dict[int, tuple[int, int]]]:
    """The basic index, the advanced one (arrays and full slices), and by the places of its integer arrays which dimension
    each indexes and that dimension's size. An ellipsis stands for ``left`` dimensions."""
    basic: list = []
    advanced: list = []
    sizes: dict[int, tuple[int, int]] = {}
    axis = 0
    for i in items:
        if i is Ellipsis:
            basic += [slice(None)] * left
            advanced += [slice(None)] * left
            axis, left = axis + left, 0
        elif i is None:
            basic.append(None)
            advanced.append(slice(None))
        elif isinstance(i, bool):
            basic.append(None)
            advanced.append(xp.zeros(int(i), "int64"))
        elif isinstance(i, int):
            if not -shape[axis] <= i < shape[axis]:
                raise IndexError(f"index {i} is out of bounds for dimension {axis} with size {shape[axis]}")
            basic.append(i)
            axis += 1
        elif isinstance(i, slice):
            basic.append(i)
            advanced.append(slice(None))
            axis += 1
        elif i.dtype == bool:
            if i.shape != shape[axis : axis + i.ndim]:
                raise IndexError(
                    f"The shape of the mask {list(i.shape)} at index {axis} does not match the shape of the indexed "
                    f"tensor {list(shape)} at index {axis}"
                )
            basic += [slice(None)] * i.ndim
            advanced += i.nonzero()
            axis += i.ndim
        else:
            basic.append(slice(None))
            advanced.append(i)
            sizes[len(advanced) - 1] = (axis, shape[axis])
            axis += 1
    return basic, advanced, sizes


def _refuse_out_of_range(advanced: list, sizes: dict[int, tuple[int, int]]) -> None:
    for position, (axis, size) in sizes.items():
        least, most = int(advanced[position].min()), int(advanced[position].max())
        if least < -size or most >= size:
            worst = most if most >= size else least
            raise IndexError(f"index {worst} is out of bounds for dimension {axis} with size {size}")


def _item(i: Any, xp: Any) -> Any:
    """One part of an index as Ellipsis, None, a bool, an int, a slice, or an array of booleans or integers."""
    if i is None or i is Ellipsis or isinstance(i, (bool, int)):
        return i
    if isinstance(i, slice):
        return _slice(i)
    array = raw(i)
    if isinstance(array, (list, tuple, range)):
        array = _from_sequence(array, xp)
    if not hasattr(array, "dtype"):
        try:
            return operator.index(array)
        except TypeError:
            raise (TypeError if isinstance(array, str) else IndexError)(
                "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices (got "
                f"{type(array).__name__})"
            ) from None
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind == "u" and size == 1:  # PyTorch's masks, before it had booleans
        array, kind = array.astype(bool), "b"
    elif not (kind == "b" or (kind == "i" and (size >= 4 or not isinstance(i, Tensor)))):
        raise IndexError(
            f"tensors used as indices must be long, int, byte or bool tensors, got one of dtype {array.dtype}; "
            "convert it with .long()"
        )
    if array.ndim == 0:
        return bool(array) if kind == "b" else int(array)
    return xp.asarray(array)


def _slice(i: slice) -> slice:
    bounds = [
        None if b is None else operator.index(b.item() if isinstance(b, Tensor) else b)
        for b in (i.start, i.stop, i.step)
    ]
    if bounds[2] is not None and bounds[2] <= 0:
        raise ValueError("slice step must be greater than zero; use flip for reverse order")
    return slice(*bounds)


def _from_sequence(values: Any, xp: Any) -> Any:
    """The array of a nested sequence of integers, booleans or 0-d tensors."""
    plain = [raw(v) for v in values]
    try:
        array = xp.asarray(plain)
    except ValueError:  # of several lengths
        array = None
    if array is None or array.dtype == object:
        raise TypeError(f"an index list must hold integers, booleans or tensors of one shape, got {values!r}")
    return array.astype("int64") if not array.size else array


def _consumed(i: Any) -> int:
    if i is None or i is Ellipsis or isinstance(i, bool):
        return 0
    return i.ndim if hasattr(i, "dtype") and i.dtype == bool else 1


def getitem(input: Any, index: Any) -> Any:
    """``input[index]``: a view for integers, slices, None and …; a copy where arrays, lists or masks take part.

    Raises:
        IndexError: out of range, too many indices, a mask of another shape, arrays that do not broadcast.
        ValueError: a slice with a step that is not positive.
    """
    basic, advanced = parse(index, tuple(input.shape), namespace(raw(input)))
    if advanced is None:
        return apply(Select(basic), input)
    if any(i is None or isinstance(i, int) or i != slice(None) for i in basic[:-1]):
        input = apply(Select(basic), input)
    return apply(Take(advanced), input)


def setitem(input: Tensor, index: Any, value: Any) -> None:
    """``input[index] = value``, on the tape: ``value`` (a number or a Tensor) is broadcast to the indexed shape.

    Raises:
        TypeError: the value is neither.
        RuntimeError: it does not broadcast; another element type beside an advanced index.
    """
    if not isinstance(value, Tensor):
        if not (hasattr(value, "dtype") or isinstance(value, (bool, int, float))):
            raise TypeError(
                f"can't assign a {type(value).__name__} to a tensor of {input.dtype}; use minidl.tensor(...)"
            )
        value = wrap(namespace(input._data).asarray(value).astype(input._data.dtype))
    if index is False:
        return  # as in PyTorch, which does not even look at the value
    basic, advanced = parse(None if index is True else index, input.shape, namespace(input._data))
    trivial = not any(i is None or isinstance(i, int) or i != slice(None) for i in basic[:-1])
    target = input if trivial else apply(Select(basic), input)
    if advanced is None:
        target.copy_(_drop_leading_ones(value, target.ndim))
    else:
        if not value.ndim or (value._data.size == 1 and _is_mask(index)):
            value = convert(value, input.dtype)
        in_place("index_put_", _put, target, advanced, value, False)


def _is_mask(index: Any) -> bool:
    """Whether a mask is all that is advanced in an index: it takes a single value of any type, as masked_fill does."""
    arrays = [_item(i, np) for i in (index if type(index) is tuple else (index,))]
    arrays = [i for i in arrays if hasattr(i, "dtype")]
    return len(arrays) == 1 and arrays[0].dtype == bool


def _drop_leading_ones(value: Tensor, ndim: int) -> Tensor:
    """An assigned value may have more dimensions than its place if they are of size 1."""
    while value.ndim > ndim and value.shape[0] == 1:
        value = apply(Select((0, ...)), value)
    return value


# ------------------------------------------------------------------------------------------------------------ functions


def _put(input: Any, index: tuple, values: Any, accumulate: bool) -> Any:
    dtype = raw(input).dtype
    if raw(values).dtype != dtype:
        raise RuntimeError(
            "index_put_: Index put requires the source and destination dtypes match, got "
            f"{dtypes.from_numpy_dtype(dtype)} for the destination and {dtypes.from_numpy_dtype(raw(values).dtype)} "
            "for the source; convert with .to()."
        )
    indexed = raw(input)[index].shape if not isinstance(index[0], slice) else _indexed_shape(raw(input), index)
    extra = values.ndim - len(indexed)
    if extra > 0 and all(n == 1 for n in values.shape[:extra]):
        values = values.reshape(tuple(values.shape[extra:]))
    if values.ndim > len(indexed) or any(m not in (1, n) for n, m in zip(indexed[::-1], values.shape[::-1])):
        raise RuntimeError(
            f"index_put_: shape mismatch: value tensor of shape {list(values.shape)} cannot be broadcast to indexing "
            f"result of shape {list(indexed)}"
        )
    return apply(Put(index, accumulate), input, values)


def _indexed_shape(x: Any, index: tuple) -> tuple[int, ...]:
    return np.broadcast_to(np.zeros(()), x.shape)[tuple(raw(i) for i in index)].shape


def index_put(input: Any, indices: Any, values: Any, accumulate: bool = False) -> Any:
    """``input`` with ``input[indices] = values``; ``accumulate`` adds instead, once for every time a place is named.

    ``indices`` is a tuple of integer or boolean tensors, for the first dimensions.
    """
    if not isinstance(indices, (tuple, list)):
        raise TypeError(
            f"index_put(): argument 'indices' (position 1) must be tuple of Tensors, not {type(indices).__name__}"
        )
    for position, i in enumerate(indices):
        if not isinstance(i, Tensor) and not hasattr(i, "dtype"):
            raise TypeError(f"index_put(): expected Tensor as element {position} in indices, not {type(i).__name__}")
    if not isinstance(values, Tensor) and not hasattr(values, "dtype"):
        raise TypeError(f"index_put(): argument 'values' (position 2) must be Tensor, not {type(values).__name__}")
    xp = namespace(raw(input))
    _, advanced = parse(tuple(_kept_array(i) for i in indices), tuple(input.shape), xp)
    if advanced is None:
        raise RuntimeError("index_put(): at least one index is needed")
    return _put(input, advanced, values, accumulate)


def _kept_array(i: Any) -> Any:
    """A 0-d index of integers with a dimension, so that it stays an array."""
    return i.reshape((1,)) if i.ndim == 0 and raw(i).dtype != bool else i


def _check_mask(name: str, mask: Any) -> Any:
    array = raw(mask)
    if not hasattr(array, "dtype"):
        raise TypeError(f"{name}(): argument 'mask' must be Tensor, not {type(mask).__name__}")
    if array.dtype != bool:
        raise RuntimeError(
            f"{name}: only boolean masks are supported, but got mask with dtype "
            f"{dtypes.from_numpy_dtype(array.dtype)}; use mask.bool()"
        )
    return array


def masked_fill(input: Any, mask: Any, value: Any) -> Any:
    """``input`` with ``value`` (a number or a 0-d tensor) where ``mask`` is true; the two are broadcast."""
    only_tensors("masked_fill", input=input)
    array = _check_mask("masked_fill", mask)
    if getattr(value, "ndim", 0):
        raise RuntimeError(
            "masked_fill only supports a 0-dimensional value tensor, but got tensor with "
            f"{value.ndim} dimension(s); use where for values of a shape"
        )
    broadcast_shapes("masked_fill", array, input)
    return apply(MaskedFill(array), input, value)


def masked_select(input: Any, mask: Any) -> Any:
    """The elements of ``input`` where ``mask`` is true, as one dimension; the two are broadcast."""
    array = _check_mask("masked_select", mask)
    shape = broadcast_shapes("masked_select", array, input)
    array = namespace(array).broadcast_to(array, shape)
    input = input if tuple(input.shape) == shape else expand(input, shape)
    if not shape:
        input, array = input.reshape((1,)), array.reshape(1)
    return apply(Take(array.nonzero()), input)


def masked_scatter(input: Any, mask: Any, source: Any) -> Any:
    """``input`` with the places where ``mask`` is true filled in order with the elements of ``source``."""
    array = _check_mask("masked_scatter", mask)
    if raw(source).dtype != raw(input).dtype:
        raise RuntimeError("masked_scatter: expected self and source to have same dtypes; convert with .to()")
    shape = broadcast_shapes("masked_scatter", array, input)
    array = namespace(array).broadcast_to(array, shape)
    if raw(source).size < array.sum():
        raise RuntimeError(
            f"masked_scatter: Number of elements of source ({raw(source).size}) < number of ones in mask "
            f"({array.sum()})"
        )
    input = input if tuple(input.shape) == shape else expand(input, shape)
    return apply(MaskedScatter(array), input, source)


def nonzero(input: Any, *, as_tuple: bool = False) -> Any:
    """Where ``input`` is not 0: int64 of shape (n, input.ndim), or with ``as_tuple`` a 1-D tensor a dimension."""
    x = raw(input)
    if as_tuple:
        return tuple(wrap(i) for i in (x if x.ndim else x.reshape(1)).nonzero())
    xp = namespace(x)
    if not x.ndim:
        return wrap(xp.zeros((int(x != 0), 0), "int64"))
    return wrap(xp.ascontiguousarray(xp.stack(x.nonzero(), axis=1)))


def argwhere(input: Any) -> Any:
    """Where ``input`` is not 0: int64 of shape (n, input.ndim)."""
    return nonzero(input)


def select(input: Any, dim: int, index: int) -> Any:
    """Slice ``index`` of ``input`` along ``dim``, which it loses. A view."""
    if not input.ndim:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    dim = normalize_dim(dim, input.ndim, "select")
    index = operator.index(index)
    if not -input.shape[dim] <= index < input.shape[dim]:
        raise IndexError(
            f"select(): index {index} out of range for tensor of size {list(input.shape)} at dimension {dim}"
        )
    return apply(Select((slice(None),) * dim + (index, ...)), input)


def narrow(input: Any, dim: int, start: Any, length: int) -> Any:
    """``length`` slices of ``input`` along ``dim``, from ``start`` (negative: from the end). A view."""
    if not input.ndim:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    dim = normalize_dim(dim, input.ndim, "narrow")
    if isinstance(start, Tensor) and (start.ndim or start._data.dtype.kind not in "iu"):
        raise RuntimeError(f"narrow(): start must be an 0-dim integral Tensor, got shape {start.shape}, {start.dtype}")
    start, n = int(raw(start)), input.shape[dim]
    if length < 0:
        raise RuntimeError(f"narrow(): length must be non-negative, got {length}")
    if not -n <= start <= n:
        raise IndexError(f"narrow(): start out of range (expected to be in range of [{-n}, {n}], but got {start})")
    start = start + n if start < 0 else start
    if start + length > n:
        raise RuntimeError(f"narrow(): start ({start}) + length ({length}) exceeds dimension size ({n}).")
    return apply(Select((slice(None),) * dim + (slice(start, start + length), ...)), input)
