"""Attention with compiled loops between BLAS's products: a row of scores is read once and becomes weights where it lies.

Under a causal mask the loops end at the diagonal. The products, and how heads are shared among threads, are the reference's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl_kernels.attention import with_numpy as reference
from minidl_kernels.compiled import compiled, exp, inline, largest, takes


@inline
def _hidden(row, keys, i, causal):
    """How much of row i is to be computed: what it sees, up to a whole number of lines; -inf where it sees nothing."""
    seen = min(i + 1, keys) if causal else keys
    end = -(-seen // 64) * 64  # a loop of whole vector instructions: values left over would be taken one by one
    for j in range(seen, end):
        row[j] = np.float32(-np.inf)
    return end


@compiled
def _exponentials(scores, keys, first, causal, sums, tops):
    for h in range(scores.shape[0]):
        for i in range(scores.shape[1]):
            row = scores[h, i]
            end = _hidden(row, keys, first + i, causal)
            top = largest(row[:end])
            if top == -np.inf:
                top = np.float32(0)
            total = np.float32(0)
            for j in range(end):
                e = exp(row[j] - top)
                row[j] = e
                total += e
            row[end:] = np.float32(0)
            sums[h, i] = total
            tops[h, i] = top


@compiled
def _score_gradients(scores, gradients, keys, lse, delta, first, causal):
    for h in range(scores.shape[0]):
        for i in range(scores.shape[1]):
            row, slope = scores[h, i], gradients[h, i]
            end = _hidden(row, keys, first + i, causal)
            shift = np.float32(0) if lse[h, i] == -np.inf else lse[h, i]
            d = delta[h, i]
            for j in range(end):
                weight = exp(row[j] - shift)
                row[j] = weight
                slope[j] = (slope[j] - d) * weight
            row[end:] = np.float32(0)
            slope[min(first + i + 1, keys) if causal else keys :] = np.float32(0)


def _sums_and_tops(scores: Any, keys: int, first: int, causal: bool) -> tuple[Any, Any]:
    sums, tops = (np.empty(scores.shape[:2], np.float32) for _ in range(2))
    _exponentials(scores, keys, first, causal, sums, tops)
    return sums, tops


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
    between = _sums_and_tops if takes(q, k, v) else reference.exponentials
    return reference.forward_with(between, q, k, v, mask, causal, scale, p, seed)


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
    between = _score_gradients if takes(g, q, k, v, y, lse) else reference.score_gradients
    return reference.backward_with(between, g, q, k, v, y, lse, mask, causal, scale, p, seed)
