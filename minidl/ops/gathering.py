"""Operators driven by an index tensor along one dimension: gather, scatter, index_select, index_add, take, …"""

from __future__ import annotations

from typing import Any

from minidl import dtypes, ops
from minidl.autograd.tape import apply
from minidl.backends import namespace
from minidl.ops.common import broadcast_shapes, element, normalize_dim
from minidl.ops.indexing import Put, Take
from minidl.ops.shape import expand
from minidl.tensor import Tensor, raw

__all__ = [
    "gather",
    "index_add",
    "index_copy",
    "index_fill",
    "index_select",
    "put",
    "scatter",
    "scatter_add",
    "take",
    "take_along_dim",
]

METHODS = __all__
INPLACE = ["index_add", "index_copy", "index_fill", "put", "scatter", "scatter_add"]


# ------------------------------------------------------------------------------------------------------------ the index


def index_of(name: str, index: Any, size: int, dim: int, *, types: tuple[str, ...], error: type, negative: bool) -> Any:
    """The array in an ``index`` tensor, checked: its type, and that every entry lies in ``range(size)``."""
    array = raw(index)
    if not hasattr(array, "dtype"):
        raise TypeError(f"{name}(): argument 'index' must be Tensor, not {type(index).__name__}")
    if not array.size:
        return array.astype("int64")
    if array.dtype.name not in types:
        wrong = IndexError if name == "index_fill" else RuntimeError
        raise wrong(f"{name}(): Expected dtype {' or '.join(types)} for index, got {array.dtype}; use index.long()")
    least, most = int(array.min()), int(array.max())
    if most >= size or least < (-size if negative else 0):
        raise error(
            f"{name}(): index {most if most >= size else least} is out of bounds for dimension {dim} with size {size}"
        )
    return array


def grid(index: Any, dim: int) -> tuple:
    """The advanced index that reads ``x[i₀, …, index[i₀, …], …]``: ``index`` along ``dim``, every place of its own
    along the other axes."""
    xp = namespace(index)
    others = []
    for axis, n in enumerate(index.shape):
        shape = [1] * index.ndim
        shape[axis] = n
        others.append(index if axis == dim else xp.arange(n).reshape(shape))
    return tuple(others)


def along(name: str, input: Any, dim: int, index: Any, src: Any = None) -> tuple[Any, tuple, int]:
    """What gather and the scatters share: ``input`` (0-d: as a vector), the grid of their index, the dimension."""
    dim = normalize_dim(dim, input.ndim, name)
    x = input if input.ndim else input.reshape((1,))
    array = index_of(name, index, x.shape[dim], dim, types=("int32", "int64"), error=RuntimeError, negative=False)
    shape = array.shape or (1,)
    if array.size and len(shape) != x.ndim:
        raise RuntimeError(
            f"{name}(): Index tensor must have the same number of dimensions as input tensor: got {array.ndim} "
            f"and {input.ndim}"
        )
    if array.size and any(n > m for i, (n, m) in enumerate(zip(shape, x.shape)) if i != dim):
        raise RuntimeError(
            f"{name}(): Expected index {list(shape)} to be no larger than self {list(x.shape)} apart from dimension "
            f"{dim}"
        )
    if src is not None and array.size:
        if max(src.ndim, 1) != len(shape):
            raise RuntimeError(
                f"{name}(): Index tensor must have the same number of dimensions as src tensor: got {array.ndim} and "
                f"{src.ndim}"
            )
        if any(n > m for n, m in zip(shape, src.shape)):
            raise RuntimeError(
                f"{name}(): Expected index {list(shape)} to be no larger than self {list(x.shape)} apart from "
                f"dimension {dim} and to be no larger size than src {list(src.shape)}"
            )
    return x, grid(array.reshape(shape), dim), dim


def gather(input: Any, dim: int, index: Any, *, sparse_grad: bool = False) -> Any:
    """y[i][j][k] = input[i][index[i][j][k]][k] for ``dim`` 1: a tensor of the shape of ``index``.

    ``index`` (int64 or int32) has as many dimensions as ``input`` and, but for ``dim``, is not larger.
    """
    x, where, _ = along("gather", input, dim, index)
    shape = tuple(raw(index).shape)
    if not raw(index).size:
        return apply(Take((namespace(raw(x)).zeros(0, "int64"),)), x.reshape((raw(x).size,))).reshape(shape)
    result = apply(Take(where), x)
    return result if shape else result.reshape(())


def take_along_dim(input: Any, indices: Any, dim: int | None = None) -> Any:
    """``gather`` with ``input`` and ``indices`` broadcast to each other apart from ``dim``; without ``dim`` of the
    flattened ``input``."""
    array = raw(indices)
    if array.dtype.name != "int64":
        raise RuntimeError(f"take_along_dim(): dtype of indices should be int64 but got {array.dtype}; use .long()")
    if dim is None:
        return gather(input.reshape((-1,)) if raw(input).size else input, 0, indices.reshape((-1,)))
    if input.ndim != indices.ndim:
        raise RuntimeError(
            "take_along_dim(): input and indices should have the same number of dimensions, but got "
            f"{input.ndim} dimensions for input, and {indices.ndim} dimensions for indices"
        )
    dim = normalize_dim(dim, input.ndim, "take_along_dim")
    x, y = (
        namespace(array).broadcast_to(namespace(array).zeros(()), (*v.shape[:dim], 1, *v.shape[dim + 1 :]))
        for v in (input, indices)
    )
    shape = broadcast_shapes("take_along_dim", x, y)
    input = expand(input, (*shape[:dim], input.shape[dim], *shape[dim + 1 :]))
    array = namespace(array).broadcast_to(array, (*shape[:dim], array.shape[dim], *shape[dim + 1 :]))
    n = max(input.shape[dim], 1)
    return gather(input, dim, array % n)  # out of range wraps around, as negative ones do


# -------------------------------------------------------------------------------------------------------------- scatter


def same_dtype(name: str, input: Any, src: Any) -> None:
    if raw(input).dtype != raw(src).dtype:
        raise RuntimeError(
            f"{name}(): self and source expected to have the same dtype, but got "
            f"{dtypes.from_numpy_dtype(raw(input).dtype)} and {dtypes.from_numpy_dtype(raw(src).dtype)}"
        )


def scatter(input: Any, dim: int, index: Any, src: Any = None, *, value: Any = None, reduce: str | None = None) -> Any:
    """``input`` with y[i][index[i][j]] = src[i][j] for ``dim`` 1 (or = ``value``, a number).

    Where ``index`` names a place twice, the last one wins; the gradient for ``src`` is right only if it does not.
    ``reduce="add"`` or ``"multiply"`` combines with what is there.
    """
    src = value if src is None else src
    if reduce is not None:
        if reduce not in ("add", "multiply"):
            raise RuntimeError(f"scatter(): reduce argument must be either add or multiply, got {reduce!r}.")
        filled = src if _is_array(src) else _filled(input, index, src)
        return ops.scatter_reduce(input, dim, index, filled, {"add": "sum", "multiply": "prod"}[reduce])
    if not _is_array(src):
        x, where, _ = along("scatter", input, dim, index)
        if not raw(index).size:
            return input.clone() if isinstance(input, Tensor) else input
        return apply(Put(where, False), x, element(src, raw(x).dtype)).reshape(tuple(input.shape))
    return _scatter("scatter", input, dim, index, src, accumulate=False)


def scatter_add(input: Any, dim: int, index: Any, src: Any) -> Any:
    """``input`` with y[i][index[i][j]] += src[i][j] for ``dim`` 1, once for every time a place is named."""
    return _scatter("scatter_add", input, dim, index, src, accumulate=True)


def _scatter(name: str, input: Any, dim: int, index: Any, src: Any, *, accumulate: bool) -> Any:
    if not _is_array(src):
        raise TypeError(f"{name}(): argument 'src' must be Tensor, not {type(src).__name__}")
    x, where, dim = along(name, input, dim, index, src)
    same_dtype(name, input, src)
    if not raw(index).size:
        return input.clone() if isinstance(input, Tensor) else input
    used = src.reshape((1,)) if src.ndim == 0 else src[tuple(slice(n) for n in raw(index).shape)]
    result = apply(Put(where, accumulate), x, used)
    return result if input.ndim else result.reshape(())


def _is_array(value: Any) -> bool:
    return isinstance(value, Tensor) or getattr(value, "ndim", None) is not None


def _filled(input: Any, index: Any, value: Any) -> Any:
    array = namespace(raw(input)).full(raw(index).shape, value, raw(input).dtype)
    return Tensor(array) if isinstance(input, Tensor) else array


# ------------------------------------------------------------------------------------------------ whole slices: index_…


def vector_of(name: str, index: Any, size: int, dim: int, error: type, *, types: tuple = ("int64",), **how: Any) -> Any:
    """``index`` as a vector (0-d: of one), checked."""
    array = index_of(name, index, size, dim, types=types, error=error, negative=how.get("negative", False))
    if array.ndim > 1:
        raise IndexError(f"{name}(): Index is supposed to be a vector, but got shape {list(array.shape)}")
    return array.reshape(-1)


def index_select(input: Any, dim: int, index: Any) -> Any:
    """The slices of ``input`` along ``dim`` that the vector ``index`` names, in its order."""
    dim = normalize_dim(dim, input.ndim, "index_select")
    size = input.shape[dim] if input.ndim else 1
    where = vector_of("index_select", index, size, dim, IndexError, types=("int32", "int64"))
    if input.ndim == 0:
        if where.size != 1:
            raise RuntimeError(f"index_select(): Index to scalar can have only 1 value, got {where.size} value(s)")
        return input.clone() if isinstance(input, Tensor) else input
    return apply(Take((slice(None),) * dim + (where,)), input)


def index_add(input: Any, dim: int, index: Any, source: Any, *, alpha: Any = 1) -> Any:
    """``input`` with slice ``index[i]`` along ``dim`` += ``alpha`` times slice i of ``source``."""
    dim = normalize_dim(dim, input.ndim, "index_add")
    size = input.shape[dim] if input.ndim else 1
    where = vector_of("index_add", index, size, dim, RuntimeError, types=("int32", "int64"))
    same_dtype("index_add", input, source)
    n = source.shape[dim] if source.ndim > dim else 1
    if where.size != n:
        raise RuntimeError(
            f"index_add(): Number of indices ({where.size}) should be equal to source.size(dim): ({n}), for dim: {dim}"
        )
    if _without(input.shape, dim) != _without(source.shape, dim):
        raise RuntimeError(
            "index_add(): source tensor shape must match self tensor shape, excluding the specified dimension. Got "
            f"self.shape = {list(input.shape)} source.shape = {list(source.shape)}"
        )
    return _put_slices(input, dim, where, source if alpha == 1 else source * alpha, accumulate=True)


def index_copy(input: Any, dim: int, index: Any, source: Any) -> Any:
    """``input`` with slice ``index[i]`` along ``dim`` replaced by slice i of ``source``."""
    dim = normalize_dim(dim, input.ndim, "index_copy")
    if source.ndim and input.ndim and source.ndim != input.ndim:
        raise IndexError(
            "index_copy(): When source and destination are not scalars, their dimensionality must match. Source "
            f"dimensionality ({source.ndim}), destination dimensionality ({input.ndim})"
        )
    same_dtype("index_copy", input, source)
    size = input.shape[dim] if input.ndim else 1
    where = vector_of("index_copy", index, size, dim, IndexError)
    if _without(input.shape, dim) != _without(source.shape, dim):
        raise RuntimeError(
            "index_copy(): Source/destination tensor must have same slice shapes. Destination shape "
            f"{list(input.shape)} and source shape {list(source.shape)} at dimension {dim}."
        )
    n = source.shape[dim] if source.ndim else 1
    if where.size != n:
        raise IndexError(f"index_copy(): Number of indices ({where.size}) should be equal to source.size(dim) ({n})")
    return _put_slices(input, dim, where, source, accumulate=False)


def _without(shape: Any, dim: int) -> tuple:
    return tuple(shape[:dim]) + tuple(shape[dim + 1 :])


def _put_slices(input: Any, dim: int, where: Any, source: Any, *, accumulate: bool) -> Any:
    x = input if input.ndim else input.reshape((1,))
    source = source if source.ndim else source.reshape((1,))
    result = apply(Put((slice(None),) * dim + (where,), accumulate), x, source)
    return result if input.ndim else result.reshape(())


def index_fill(input: Any, dim: int, index: Any, value: Any) -> Any:
    """``input`` with the slices along ``dim`` that ``index`` names filled with ``value`` (a number or 0-d tensor)."""
    if getattr(value, "ndim", 0):
        raise RuntimeError(
            f"index_fill only supports a 0-dimensional value tensor, but got tensor with {value.ndim} dimension(s)."
        )
    dim = normalize_dim(dim, input.ndim, "index_fill")
    size = input.shape[dim] if input.ndim else 1
    where = vector_of("index_fill", index, size, dim, IndexError, negative=True)
    where = namespace(where).unique(where % size)  # a slice named twice is filled, and counts in the gradient, once
    x = input if input.ndim else input.reshape((1,))
    value = value.to(x.dtype) if isinstance(value, Tensor) else element(value, raw(x).dtype)
    result = apply(Put((slice(None),) * dim + (where,), False), x, value)
    return result if input.ndim else result.reshape(())


# --------------------------------------------------------------------------------------- as if there were one dimension


def take(input: Any, index: Any) -> Any:
    """The elements of ``input``, numbered in row-major order, that ``index`` (int64, of any shape) names."""
    size = raw(input).size
    if raw(index).size and not size:
        raise IndexError("take(): tried to take from an empty tensor")
    where = index_of("take", index, size, 0, types=("int64",), error=IndexError, negative=True)
    result = apply(Take((where.reshape(-1),)), input.reshape((size,)))
    return result.reshape(tuple(raw(index).shape))


def put(input: Any, index: Any, source: Any, accumulate: bool = False) -> Any:
    """``input`` with the elements that ``index`` names, in row-major order, replaced by (``accumulate``: increased by)
    those of ``source``."""
    same_dtype("put", input, source)
    size = raw(input).size
    where = index_of("put", index, size, 0, types=("int64",), error=IndexError, negative=True)
    if raw(source).size != where.size:
        raise IndexError(
            f"put(): Expected source and index to have the same number of elements, but got source.numel() = "
            f"{raw(source).size}, index.numel() = {where.size}"
        )
    values = source.reshape((where.size,))
    return apply(Put((where.reshape(-1),), accumulate), input.reshape((size,)), values).reshape(tuple(input.shape))
