"""Attention with compiled loops between BLAS's products: a row of scores is read once and becomes weights where it lies.

Under a causal mask the loops end at the diagonal. The products, and how heads are shared among threads, are the reference's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl_kernels.attention import with_numpy as reference
from minidl_kernels.compiled import compiled, exp, largest, takes


@compiled
def _exponentials(scores, first, causal, sums, tops):
    for h in range(scores.shape[0]):
        for i in range(scores.shape[1]):
            row = scores[h, i]
            seen = min(first + i + 1, row.size) if causal else row.size
            top = largest(row[:seen])
            if top == -np.inf:
                top = np.float32(0)
            total = np.float32(0)
            for j in range(seen):
                e = exp(row[j] - top)
                row[j] = e
                total += e
            for j in range(seen, row.size):
                row[j] = np.float32(0)
            sums[h, i] = total
            tops[h, i] = top


@compiled
def _score_gradients(scores, gradients, lse, delta, first, causal):
    for h in range(scores.shape[0]):
        for i in range(scores.shape[1]):
            row, slope = scores[h, i], gradients[h, i]
            seen = min(first + i + 1, row.size) if causal else row.size
            shift = np.float32(0) if lse[h, i] == -np.inf else lse[h, i]
            d = delta[h, i]
            for j in range(seen):
                weight = exp(row[j] - shift)
                row[j] = weight
                slope[j] = (slope[j] - d) * weight
            for j in range(seen, row.size):
                row[j] = np.float32(0)
                slope[j] = np.float32(0)


def _sums_and_tops(scores: Any, first: int, causal: bool) -> tuple[Any, Any]:
    sums, tops = (np.empty(scores.shape[:2], np.float32) for _ in range(2))
    _exponentials(scores, first, causal, sums, tops)
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
