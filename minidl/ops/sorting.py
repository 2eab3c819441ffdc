"""Order: sort, argsort, topk, kthvalue, unique values, and searching in what is sorted.

nan counts as larger than every number, as in PyTorch.
"""

from __future__ import annotations

from collections import namedtuple
from typing import Any

from minidl.backends import namespace
from minidl.ops.common import as_tensor_or_array, normalize_dim, row_major
from minidl.ops.extremes import like, pick, without_dim
from minidl.ops.reductions import widened
from minidl.tensor import raw

__all__ = [
    "argsort",
    "bucketize",
    "kthvalue",
    "searchsorted",
    "sort",
    "topk",
    "unique",
    "unique_consecutive",
]

METHODS = [name for name in __all__ if name not in ("bucketize", "searchsorted")]
INPLACE: list[str] = []

SortResult = namedtuple("sort", ["values", "indices"])
TopkResult = namedtuple("topk", ["values", "indices"])
KthvalueResult = namedtuple("kthvalue", ["values", "indices"])


# -------------------------------------------------------------------------------------------------------------- sorting


def order(x: Any, dim: int, descending: bool = False) -> Any:
    """The indices that sort an array along ``dim``; equals keep their order."""
    xp = namespace(x)
    if not x.ndim:
        return xp.zeros((), "int64")
    x = widened(x)
    if not descending:
        return row_major(xp.argsort(x, axis=dim, kind="stable"))
    # From the far end, so that equals keep their order and nan comes first.
    backwards = xp.argsort(xp.flip(x, dim), axis=dim, kind="stable")
    return xp.ascontiguousarray(xp.flip(x.shape[dim] - 1 - backwards, dim))


def sort(input: Any, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    """The elements in order along ``dim``: a named tuple ``(values, indices)``. Equals always keep their order, so
    ``stable`` changes nothing."""
    as_tensor_or_array("sort", "input", input)
    dim = normalize_dim(dim, input.ndim, "sort")
    index = order(raw(input), dim, descending)
    return SortResult(pick(input, index, dim), like(index, input))


def argsort(input: Any, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    """The indices that sort ``input`` along ``dim``."""
    as_tensor_or_array("argsort", "input", input)
    return like(order(raw(input), normalize_dim(dim, input.ndim, "argsort"), descending), input)


def topk(input: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    """The ``k`` largest (or smallest) elements along ``dim``, in order: a named tuple ``(values, indices)``."""
    as_tensor_or_array("topk", "input", input)
    dim = normalize_dim(dim, input.ndim, "topk")
    size = input.shape[dim] if input.ndim else 1
    if not 0 <= k <= size:
        raise RuntimeError(
            f"topk(): selected index k out of range: k = {k}, but dimension {dim} of shape {list(input.shape)} has "
            f"{size} elements"
        )
    index = order(raw(input), dim, largest)
    index = row_major(index[(slice(None),) * dim + (slice(0, k),)]) if input.ndim else index
    return TopkResult(pick(input, index, dim), like(index, input))


def kthvalue(input: Any, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    """The ``k``-th smallest element (from 1) along ``dim``: a named tuple ``(values, indices)``."""
    as_tensor_or_array("kthvalue", "input", input)
    dim = normalize_dim(dim, input.ndim, "kthvalue")
    size = input.shape[dim] if input.ndim else 1
    if input.ndim and not size:
        raise IndexError(f"kthvalue(): Expected reduction dim {dim} to have non-zero size.")
    if not 1 <= k <= size:
        raise RuntimeError(
            f"kthvalue(): selected number k out of range for dimension {dim}: k = {k}, the dimension has {size} "
            "elements and k counts from 1"
        )
    return KthvalueResult(*ranked(input, k - 1, dim, keepdim))


def ranked(input: Any, rank: Any, dim: int, keepdim: bool) -> tuple[Any, Any]:
    """The element of the given rank (a number, or an array with ``dim`` of size 1) along ``dim``, and its index."""
    index = order(raw(input), dim)
    if not input.ndim:
        return pick(input, index, 0), like(index, input)
    xp = namespace(index)
    shape = tuple(1 if i == dim else n for i, n in enumerate(index.shape))
    index = xp.take_along_axis(index, xp.broadcast_to(xp.asarray(rank), shape), dim)
    values = pick(input, index, dim)
    if not keepdim:
        values, index = without_dim(values, dim), without_dim(index, dim)
    return values, like(index, input)


# --------------------------------------------------------------------------------------------------------------- unique


def unique(
    input: Any, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """The different elements of ``input`` (or its different slices along ``dim``), in ascending order.

    With ``return_inverse`` also where each element of ``input`` went, with ``return_counts`` also how often each
    occurs. Every nan is different from every other.
    """
    x = raw(input)
    xp = namespace(x)
    if dim is not None:
        dim = normalize_dim(dim, x.ndim, "unique")
    values, inverse, counts = xp.unique(widened(x), return_inverse=True, return_counts=True, axis=dim, equal_nan=False)
    inverse = inverse.reshape(x.shape if dim is None else (x.shape[dim],))
    return _chosen(input, values.astype(x.dtype), inverse, counts, return_inverse, return_counts)


def unique_consecutive(
    input: Any, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """``input`` (flattened, or its slices along ``dim``) with runs of equal elements shortened to one; further results
    as those of :func:`unique`."""
    x = raw(input)
    xp = namespace(x)
    if dim is None:
        lines, shape = x.reshape(-1), x.shape
    else:
        dim = normalize_dim(dim, x.ndim, "unique_consecutive")
        lines, shape = xp.moveaxis(x, dim, 0), (x.shape[dim],)
    n = lines.shape[0]
    new = xp.ones(n, bool)
    new[1:] = xp.any(lines[1:] != lines[:-1], axis=tuple(range(1, lines.ndim)))
    inverse = (xp.cumsum(new) - 1).reshape(shape)
    starts = xp.flatnonzero(new)
    counts = xp.diff(xp.append(starts, n))
    values = lines[starts]
    return _chosen(
        input, values if dim is None else xp.moveaxis(values, 0, dim), inverse, counts, return_inverse, return_counts
    )


def _chosen(input: Any, values: Any, inverse: Any, counts: Any, return_inverse: bool, return_counts: bool) -> Any:
    """The results that were asked for, a bare one by itself."""
    chosen = [values, *([inverse] if return_inverse else []), *([counts] if return_counts else [])]
    chosen = [like(array, input) for array in chosen]
    return tuple(chosen) if len(chosen) > 1 else chosen[0]


# --------------------------------------------------------------------------------------------------------------- search


def searchsorted(
    sorted_sequence: Any,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Any = None,
) -> Any:
    """Where each element of ``input`` would have to be inserted in ``sorted_sequence`` to keep it sorted.

    ``side`` "left" (before equals) or "right" (after them, as ``right=True``). The sequence is one for all, [N], or one
    a row: [*batch, N] with ``input`` [*batch, M]. ``sorter``: the indices that sort it.
    """
    if side not in (None, "left", "right"):
        raise RuntimeError(f"searchsorted(): side can only be 'left' or 'right' but got {side}")
    if side == "left" and right:
        raise RuntimeError("searchsorted(): side and right can't be set to opposites: side='left', right=True")
    edges = raw(sorted_sequence)
    xp = namespace(edges)
    values = xp.asarray(raw(input))
    if sorter is not None:
        if raw(sorter).shape != edges.shape:
            raise RuntimeError(
                "searchsorted(): boundary and sorter must have the same size, but got boundary tensor "
                f"{list(edges.shape)} and got sorter tensor {list(raw(sorter).shape)}"
            )
        edges = xp.take_along_axis(edges, raw(sorter), -1)
    side = "right" if right or side == "right" else "left"
    if edges.ndim == 1:
        found = xp.searchsorted(widened(edges), widened(values), side=side)
    else:
        if not edges.ndim or edges.shape[:-1] != values.shape[:-1]:
            raise RuntimeError(
                "searchsorted(): boundaries tensor should be 1 dimension or the first N-1 dimensions of boundaries "
                f"tensor and input value tensor must match, but we got boundaries tensor {list(edges.shape)} and input "
                f"value tensor {list(values.shape)}"
            )
        found = xp.empty(values.shape, "int64")
        for row in xp.ndindex(*edges.shape[:-1]):
            found[row] = xp.searchsorted(widened(edges[row]), widened(values[row]), side=side)
    return like(xp.asarray(found).astype("int32" if out_int32 else "int64"), sorted_sequence)


def bucketize(input: Any, boundaries: Any, *, out_int32: bool = False, right: bool = False) -> Any:
    """The bucket of each element of ``input``: i with boundaries[i-1] < x ≤ boundaries[i] (< and ≤ exchanged if
    ``right``)."""
    if raw(boundaries).ndim != 1:
        raise RuntimeError(f"boundaries tensor must be 1 dimension, but got dim({raw(boundaries).ndim})")
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)
