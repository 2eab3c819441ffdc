"""Embedding in CUDA C: a block copies a row; in backward a block adds up the gradients of one row of the table.

Places are sorted by the row that they looked up, stably, so that each row's gradients lie together and in one order: no
atomic additions, and the same bits every time.
"""

from __future__ import annotations

from typing import Any

from minidl_kernels.arrays import namespace
from minidl_kernels.cuda_c import CudaSource, float32
from minidl_kernels.embedding import with_numpy as reference

source = CudaSource(__file__, "embedding.cu")
THREADS = 128


def forward(weight: Any, index: Any) -> Any:
    """Rows of ``weight`` (rows, dim) by ``index`` (*): (*, dim)."""
    if not float32.takes(weight) or not weight.size:
        return reference.forward(weight, index)
    xp, dim, w = namespace(weight), weight.shape[1], float32(weight)
    y = float32.empty(w, (*index.shape, dim))
    places = xp.ascontiguousarray(index, "int64").reshape(-1)
    source.launch("embedding_rows", (places.size,), (THREADS,), w, places, y, dim)
    return y.astype(weight.dtype, copy=False)


def backward(g: Any, index: Any, rows: int, padding: int | None = None, by_frequency: bool = False) -> Any:
    """∂weight (rows, dim) from g (*, dim); half precision is summed in float32."""
    xp, dim = namespace(g), g.shape[-1]
    found = segments(index, padding, xp)
    if not float32.takes(g) or found is None or not dim:
        return reference.backward(g, index, rows, padding, by_frequency)
    order, starts, which = found
    gs = float32(g)
    total = xp.zeros((rows, dim), "float32")
    source.launch("embedding_sums", (which.size,), (THREADS,), gs, order, starts, which, total, dim, by_frequency)
    return total.astype(g.dtype, copy=False)


def segments(index: Any, padding: int | None, xp: Any) -> tuple[Any, Any, Any] | None:
    """The places in the order of their rows, where each row's begin (and the end of all), and the rows; None if none."""
    flat = xp.ascontiguousarray(index, "int64").reshape(-1)
    order = xp.argsort(flat, kind="stable")
    if padding is not None:
        order = order[flat[order] != padding]
    if not order.size:
        return None
    found = flat[order]
    first = xp.concatenate([xp.ones(1, bool), found[1:] != found[:-1]])
    starts = xp.concatenate([xp.flatnonzero(first), xp.asarray([found.size])]).astype("int64")
    return xp.ascontiguousarray(order, "int64"), starts, xp.ascontiguousarray(found[starts[:-1]])
