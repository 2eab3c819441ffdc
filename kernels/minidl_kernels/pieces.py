"""Elementwise updates of long arrays, in pieces that stay in the cache, on several cores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minidl_kernels.threads import in_parallel, slices

PIECE = 1 << 16  # values: with six arrays of float32 in play, one and a half megabytes
WORTH_THREADS = 1 << 18  # values below which waking another thread costs more than it saves


def each_piece(update: Callable[..., None], arrays: tuple, scratch: int = 0) -> None:
    """Call ``update(*pieces, *scratch)`` for one piece of the ``arrays`` after the other.

    The arrays (or None) have one shape; those that ``update`` writes to are changed in place. ``scratch`` arrays, as
    long as a piece, come for temporary values. Half-precision arrays are worked on in float32; so update rules need not
    care.
    """
    like = arrays[0]
    if not isinstance(like, np.ndarray):  # on a GPU the whole array is one piece
        update(*arrays, *(like * 0 for _ in range(scratch)))
    elif like.dtype.itemsize < 4:
        _in_float32(update, arrays, scratch)
    elif like.size <= PIECE:
        update(*arrays, *(np.empty(like.shape, like.dtype) for _ in range(scratch)))
    elif (flat := flattened(arrays)) is not None:
        parts = slices(like.size, None if like.size >= WORTH_THREADS else 1, PIECE)
        in_parallel(lambda part: _walk(update, flat, part, scratch), parts)
    else:
        for i in range(like.shape[0]):
            each_piece(update, tuple(None if a is None else a[i] for a in arrays), scratch)


def spread(function: np.ufunc, x: Any, *others: Any) -> Any:
    """``function(x, *others)``, whose result has the type of ``x``: large arrays that lie alike are shared among cores."""
    if type(x) is not np.ndarray or x.size < WORTH_THREADS:
        return function(x, *others)
    if x.dtype.kind != "f" or any(getattr(a, "shape", None) != x.shape or a.dtype != x.dtype for a in others):
        return function(x, *others)
    y = np.empty_like(x)
    flat = flattened((x, *others, y))
    if flat is None:
        return function(x, *others)
    in_parallel(lambda part: function(*(a[part] for a in flat[:-1]), out=flat[-1][part]), slices(x.size))
    return y


def flattened(arrays: tuple) -> tuple | None:
    """The arrays in one dimension, in the order in which they all lie in memory; None if that is not the same."""
    like = arrays[0]
    if like.ndim == 1:
        return arrays
    order = sorted(range(like.ndim), key=lambda axis: -like.strides[axis])
    turned = tuple(None if a is None else a.transpose(order) for a in arrays)
    if not all(a is None or a.flags.c_contiguous for a in turned):
        return None
    return tuple(None if a is None else a.reshape(-1) for a in turned)


def _walk(update: Callable[..., None], arrays: tuple, part: slice, scratch: int) -> None:
    spare = [np.empty(PIECE, arrays[0].dtype) for _ in range(scratch)]
    for begin in range(part.start, part.stop, PIECE):
        end = min(begin + PIECE, part.stop)
        pieces = (None if a is None else a[begin:end] for a in arrays)
        update(*pieces, *(s[: end - begin] for s in spare))


def _in_float32(update: Callable[..., None], arrays: tuple, scratch: int) -> None:
    wide = tuple(None if a is None else a.astype(np.float32) for a in arrays)
    each_piece(update, wide, scratch)
    for narrow, result in zip(arrays, wide):
        if narrow is not None and narrow.flags.writeable:
            narrow[...] = result
