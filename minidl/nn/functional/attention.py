"""Scaled dot-product attention."""

from __future__ import annotations

import math
from collections import namedtuple
from typing import Any

import numpy as np

from minidl import ops
from minidl.autograd.autocast import in_half
from minidl.autograd.tape import Operator, apply
from minidl.backends import kernel, namespace
from minidl.random import generator
from minidl.tensor import Tensor, raw, wrap
from minidl_kernels.philox import uniform

__all__ = ["scaled_dot_product_attention"]


Settings = namedtuple("Settings", ["mask", "causal", "scale", "p", "seed"])


class Attention(Operator):
    """y = P v with P = softmax(s q kᵀ + m);  ∂v = Pᵀ g, ∂q = s D k, ∂k = s Dᵀ q with D = P ⊙ (g vᵀ - Σ g ⊙ y).

    See minidl_kernels.attention.
    """

    def __init__(self, mask: Any, causal: bool, scale: float, p: float, seed: int) -> None:
        self.settings = Settings(mask, causal, scale, p, seed)

    def forward(self, q: Any, k: Any, v: Any) -> Any:
        y, self.lse = kernel("attention").forward(q, k, v, *self.settings)
        self.save(q, k, v, y)
        return y

    def backward(self, g: Any) -> Any:
        q, k, v, y = self.saved
        return kernel("attention").backward(namespace(q).asarray(g), q, k, v, y, self.lse, *self.settings)

    def composite(self, q: Any, k: Any, v: Any) -> Any:
        mask, *settings = self.settings
        return _composed(q, k, v, None if mask is None else wrap(mask), *settings)


def _composed(q: Any, k: Any, v: Any, mask: Any, causal: bool, scale: float, p: float, seed: int) -> Any:
    """The same in plain operators, a gradient to the mask included."""
    repeats = q.shape[1] // max(k.shape[1], 1)
    if repeats > 1:
        k, v = ops.repeat_interleave(k, repeats, 1), ops.repeat_interleave(v, repeats, 1)
    scores = ops.matmul(q, k.mT) * scale
    xp = namespace(raw(q))
    hidden = xp.zeros(tuple(scores.shape), bool)
    if causal:
        hidden |= xp.triu(xp.ones(tuple(scores.shape[-2:]), bool), 1)
    if mask is not None and raw(mask).dtype.kind == "b":
        hidden |= ~raw(mask)
    elif mask is not None:
        scores = scores + mask
    hidden |= raw(scores) == -np.inf
    blind = wrap(hidden.all(-1, keepdims=True))
    scores = scores.masked_fill(wrap(hidden), -math.inf).masked_fill(blind, 0.0)
    weights = ops.softmax(scores, -1).masked_fill(blind, 0.0)
    if p:
        numbers = uniform(0, raw(weights).size, seed, xp).reshape(tuple(weights.shape))
        weights = weights * wrap(((numbers >= np.float32(p)) * (1 / (1 - p) if p < 1 else 0.0)).astype(raw(q).dtype))
    return ops.matmul(weights, v)


@in_half
def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """softmax(query keyᵀ · scale + mask) value, in memory that grows with the length, not with its square.

    Args:
        query: (N, …, H, T, D).
        key: (N, …, H, S, D); with ``enable_gqa`` (N, …, G, S, D), H a multiple of G, each head of it for H / G queries'.
        value: (N, …, H, S, E), or with G heads.
        attn_mask: broadcastable to (N, …, H, T, S); boolean, True where a key may be seen, or floating, added to the scores.
        dropout_p: the share of the probabilities that is dropped. There is no training flag: pass 0 in evaluation.
        is_causal: query t sees the keys s ≤ t (aligned at the top left where T ≠ S), besides what a mask hides.
        scale: 1/√D if None.

    Returns:
        (N, …, H, T, E). A query that may see no key gives 0.

    Raises:
        RuntimeError: shapes or types that do not fit; a ``dropout_p`` that is no probability.
    """
    _check(query, key, value, attn_mask, enable_gqa)
    if not 0.0 <= dropout_p <= 1.0:
        raise RuntimeError(f"dropout probability has to be between 0 and 1, but got {dropout_p}")
    lead = _common_batch(query, key, value, enable_gqa)
    if key.shape[-3:-2] != value.shape[-3:-2]:
        key, value = _repeated(key, lead[-1]), _repeated(value, lead[-1])
    scale = 1 / math.sqrt(max(query.shape[-1], 1)) if scale is None else float(scale)
    seed = int(generator().integers(2**63)) if dropout_p else 0
    batch = math.prod(lead[:-1])
    if query.shape[-3:-2] != lead[-1:]:
        query = query.expand((*query.shape[:-3], lead[-1], *query.shape[-2:]))
    q, k, v = (_four(x, lead[:-1], batch) for x in (query, key, value))
    mask = None if attn_mask is None else _mask(attn_mask, lead, query, key)
    settings = (bool(is_causal), scale, float(dropout_p), seed)
    if isinstance(mask, Tensor) and mask.requires_grad:
        y = _composed(q, k, v, mask, *settings)
    else:
        y = apply(Attention(None if mask is None else raw(mask), *settings), q, k, v)
    return y.reshape((*lead, query.shape[-2], value.shape[-1]))


def _four(x: Any, lead: tuple[int, ...], batch: int) -> Any:
    """x as (batch, heads, length, size)."""
    tail = tuple(x.shape[-3:]) if x.ndim > 2 else (1, *x.shape)
    if tuple(x.shape[:-3]) != lead:
        x = x.expand((*lead, *tail))
    return x.reshape((batch, *tail))


def _repeated(x: Any, heads: int) -> Any:
    """x (…, G, S, D) with G heads, or without, as (…, heads, S, D): each head ``heads`` / G times."""
    x = x.unsqueeze(0) if x.ndim == 2 else x
    return ops.repeat_interleave(x, heads // x.shape[-3], -3)


def _mask(mask: Any, lead: tuple[int, ...], query: Any, key: Any) -> Any:
    whole = (*lead, query.shape[-2], key.shape[-2])
    if mask.ndim > 4 or len(whole) != 4:
        mask = mask.expand(whole).reshape((math.prod(lead[:-1]), lead[-1] if lead else 1, *whole[-2:]))
    return mask


def _check(query: Any, key: Any, value: Any, mask: Any, grouped: bool) -> None:
    name = "scaled_dot_product_attention"
    shapes = f"query {list(query.shape)}, key {list(key.shape)}, value {list(value.shape)}"
    if min(query.ndim, key.ndim, value.ndim) < 2:
        raise RuntimeError(f"{name}: Expected query, key, and value to all be at least 2 dimensional, but got {shapes}")
    if len({x.dtype for x in (query, key, value)}) > 1:
        raise RuntimeError(
            f"{name}: Expected query, key, and value to have the same dtype, but got query.dtype: {query.dtype}, "
            f"key.dtype: {key.dtype}, and value.dtype: {value.dtype} instead; convert with .to()"
        )
    if not query.dtype.is_floating_point:
        raise RuntimeError(f"{name}: query, key and value must be floating point tensors, got {query.dtype}")
    if query.shape[-1] != key.shape[-1]:
        raise RuntimeError(f"{name}: query and key must agree in their last dimension, but got {shapes}")
    if key.shape[-2] != value.shape[-2]:
        raise RuntimeError(f"{name}: key and value must have the same length, dimension -2, but got {shapes}")
    if mask is not None and raw(mask).dtype.kind not in "b" and mask.dtype != query.dtype:
        raise RuntimeError(
            f"{name}: Expected attn_mask dtype to be bool or to match query dtype, but got attn_mask.dtype: {mask.dtype} "
            f"and query.dtype: {query.dtype} instead"
        )
    heads, *groups = (x.shape[-3] if x.ndim > 2 else 1 for x in (query, key, value))
    if grouped and any(heads % max(n, 1) for n in groups):
        raise RuntimeError(
            f"{name}: the number of heads, dimension -3, of query must be a multiple of that of key and value, but got "
            f"{shapes}"
        )
    try:
        lead = _common_batch(query, key, value, grouped)
    except ValueError:
        raise RuntimeError(
            f"{name}: the batch dimensions and heads cannot be broadcast: {shapes}"
            f"{'' if grouped else '; fewer heads of key and value than of query need enable_gqa=True'}"
        ) from None
    if mask is not None:
        whole = (*lead, query.shape[-2], key.shape[-2])
        try:
            fitting = np.broadcast_shapes(tuple(mask.shape), whole) == whole
        except ValueError:
            fitting = False
        if not fitting:
            raise RuntimeError(
                f"{name}: attn_mask of shape {list(mask.shape)} cannot be broadcast to scores {list(whole)}"
            )


def _common_batch(query: Any, key: Any, value: Any, grouped: bool) -> tuple[int, ...]:
    """Batch dimensions and heads of the result: all broadcast, or the heads those of the query."""
    if not grouped:
        return np.broadcast_shapes(*(tuple(x.shape[:-2]) for x in (query, key, value)))
    lead = np.broadcast_shapes(*(tuple(x.shape[:-3]) for x in (query, key, value)))
    return (*lead, *query.shape[-3:-2])
