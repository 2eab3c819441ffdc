"""Attention in CUDA C: 16 queries by 16 keys at a time, in shared memory; to read beside the Triton form.

forward    A block owns 16 queries of a head and walks over the keys; each row keeps its largest score and the sum of the
           exponentials relative to it so far, and rescales when a larger one comes (the online softmax).
backward   Probabilities are made again from the scores and lse. One kernel's blocks own 16 keys and walk over the queries of
           all heads that share them (∂k, ∂v), another's own 16 queries and walk over the keys (∂q): twice the scores, but
           nothing is added atomically, and the same inputs give the same bits.

Heads of more values than shared memory holds, and double precision, are the reference's.
"""

from __future__ import annotations

from typing import Any

from minidl_kernels.arrays import namespace
from minidl_kernels.attention import with_numpy as reference
from minidl_kernels.cuda_c import CudaSource, float32

source = CudaSource(__file__, "attention.cu")
TILE = 16
LARGEST, SHARED = (
    256,
    48 << 10,
)  # values of a head that a thread's registers hold; bytes of shared memory without asking


def forward(
    q: Any,
    k: Any,
    v: Any,
    mask: Any = None,
    causal: bool = False,
    scale: float = 1.0,
    p: float = 0.0,
    seed: int = 0,
) -> tuple[Any, Any]:
    """``y, lse``."""
    if not _suits(q, k, v):
        return reference.forward(q, k, v, mask, causal, scale, p, seed)
    (b, h, t, d), e = q.shape, v.shape[3]
    qs, ks, vs = float32(q), float32(k), float32(v)
    visible, added, shape = _given(q, k, v, mask, causal, p)
    y, lse = float32.empty(qs, (b, h, t, e)), float32.empty(qs, (b, h, t))
    shared = 4 * TILE * (2 * d + e + TILE)
    arguments = (qs, ks, vs, visible, added, y, lse, shape, scale, *_dropout(p, seed))
    source.launch("attention_forward", (-(-t // TILE), b * h), (TILE, TILE), *arguments, shared=shared)
    return y.astype(q.dtype, copy=False), lse


def backward(
    g: Any,
    q: Any,
    k: Any,
    v: Any,
    y: Any,
    lse: Any,
    mask: Any = None,
    causal: bool = False,
    scale: float = 1.0,
    p: float = 0.0,
    seed: int = 0,
) -> tuple[Any, Any, Any]:
    """``∂q, ∂k, ∂v``."""
    if not _suits(q, k, v) or not float32.takes(g):
        return reference.backward(g, q, k, v, y, lse, mask, causal, scale, p, seed)
    (b, h, t, d), (groups, keys), e = q.shape, k.shape[1:3], v.shape[3]
    gs, qs, ks, vs = (float32(a) for a in (g, q, k, v))
    visible, added, shape = _given(q, k, v, mask, causal, p)
    delta = float32((gs * y).sum(-1))
    dq, dk, dv = (float32.empty(a) for a in (qs, ks, vs))
    rest = (shape, scale, *_dropout(p, seed))
    shared = 4 * TILE * 2 * (d + e + TILE)
    common = (gs, qs, ks, vs, visible, added, float32(lse), delta)
    grid = (-(-keys // TILE), b * groups)
    source.launch("attention_backward_keys", grid, (TILE, TILE), *common, dk, dv, *rest, shared=shared)
    grid = (-(-t // TILE), b * h)
    source.launch("attention_backward_queries", grid, (TILE, TILE), *common, dq, *rest, shared=shared)
    return tuple(a.astype(given.dtype, copy=False) for a, given in zip((dq, dk, dv), (q, k, v)))


def _suits(q: Any, k: Any, v: Any) -> bool:
    d, e = q.shape[3], v.shape[3]
    fits = max(d, e) <= LARGEST and 4 * TILE * 2 * (d + e + TILE) <= SHARED
    return fits and float32.takes(q, k, v) and min(q.size, k.size, v.size) > 0


def _dropout(p: float, seed: int) -> tuple[float, float, int]:
    return p, (1 / (1 - p) if p < 1 else 0.0), seed


def _given(q: Any, k: Any, v: Any, mask: Any, causal: bool, p: float) -> tuple[Any, Any, Any]:
    """The mask as bytes, or as numbers, and the kernels' ``Shape``, as an array of int where the data are."""
    xp, steps = namespace(q), [0] * 4
    visible = added = None
    if mask is not None:
        mask = mask.reshape((1,) * (4 - mask.ndim) + mask.shape)
        boolean = mask.dtype == bool
        mask = xp.ascontiguousarray(mask, "uint8" if boolean else "float32")
        visible, added = (mask, None) if boolean else (None, mask)
        steps = [0 if n == 1 else step // mask.itemsize for n, step in zip(mask.shape, mask.strides)]
    kind = 0 if mask is None else 1 if visible is not None else 2
    sizes = (q.shape[1], k.shape[1], q.shape[2], k.shape[2], q.shape[3], v.shape[3])
    return visible, added, xp.asarray((*sizes, kind, int(causal), int(p > 0), *steps), "int32")
