"""From loops to scores that are never written down: causal attention, scaled by 1 / √D.

The matrix of scores has T² values for a result of T · D. Written down whole (2) it is the fastest that is easy to read, until
it no longer fits the cache, and then the memory. Blocks of queries (3) need only a few of its rows at a time. A block of
keys at a time as well (4) means that no row's largest score is known before the row is over: it is kept so far, and what was
added up before is rescaled when it grows (Milakov & Gimelshein 2018). A tile of scores then lives and dies where it is
computed, which is what a GPU wants (Dao et al. 2022), and pays in NumPy only for long sequences. Half of the tiles lie above
the diagonal, and need not be computed at all (5).

q, k, v, y and g are (B, H, T, D). With P the probabilities, y = P v, and δ_t = Σ_d g_td y_td (which is Σ_s P_ts ∂P_ts),

    ∂v = Pᵀ g        ∂P = g vᵀ        ∂s = P ⊙ (∂P - δ)        ∂q = ∂s k / √D        ∂k = ∂sᵀ q / √D
"""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any

import numpy as np

from minidl_kernels.ladders import Rung

SIZES = ((1, 1, 8, 4), (2, 2, 64, 16), (4, 8, 256, 32), (2, 8, 1024, 64), (1, 4, 4096, 64))  # B, H, T, D
ROWS, COLUMNS = 128, 128  # of a tile of scores


def arguments(size: tuple, rng: np.random.Generator) -> tuple:
    """q, k and v."""
    return tuple(rng.standard_normal(size) for _ in range(3))


def work(size: tuple) -> int:
    """Multiplications with an addition in the two products, the hidden half included."""
    batch, heads, length, width = size
    return 2 * batch * heads * length * length * width


# ---------------------------------------------------------------------------------------------------- 1  plain loops


def loops_row(q: Any, k: Any, b: int, h: int, t: int) -> list:
    """The probabilities with which query t sees keys 0 … t."""
    features = range(q.shape[3])
    scores = [sum(q[b, h, t, d] * k[b, h, s, d] for d in features) / math.sqrt(q.shape[3]) for s in range(t + 1)]
    largest = max(scores)
    weights = [math.exp(score - largest) for score in scores]
    total = sum(weights)
    return [weight / total for weight in weights]


def loops(q: Any, k: Any, v: Any) -> Any:
    y = np.zeros_like(v)
    for b, h, t in np.ndindex(q.shape[:3]):
        for s, p in enumerate(loops_row(q, k, b, h, t)):
            for d in range(v.shape[3]):
                y[b, h, t, d] += p * v[b, h, s, d]
    return y


def loops_backward(g: Any, q: Any, k: Any, v: Any, y: Any) -> tuple:
    dq, dk, dv = np.zeros_like(q), np.zeros_like(k), np.zeros_like(v)
    features = range(q.shape[3])
    for b, h, t in np.ndindex(q.shape[:3]):
        delta = sum(g[b, h, t, d] * y[b, h, t, d] for d in features)
        for s, p in enumerate(loops_row(q, k, b, h, t)):
            slope = p * (sum(g[b, h, t, d] * v[b, h, s, d] for d in features) - delta) / math.sqrt(q.shape[3])
            for d in features:
                dq[b, h, t, d] += slope * k[b, h, s, d]
                dk[b, h, s, d] += slope * q[b, h, t, d]
                dv[b, h, s, d] += p * g[b, h, t, d]
    return dq, dk, dv


# ----------------------------------------------------------------------------------------------- 2  the whole matrix


def hidden(first: int, rows: int, columns: int, before: int = 0) -> Any:
    """Whether a key, from number ``before`` on, comes later than a query, from number ``first`` on."""
    return np.arange(before, before + columns) > np.arange(first, first + rows)[:, None]


def probabilities(q: Any, k: Any, first: int = 0) -> Any:
    """Of queries from number ``first`` on, for all keys that are given."""
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    scores[..., hidden(first, q.shape[2], k.shape[2])] = -np.inf
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    return scores / scores.sum(-1, keepdims=True)


def whole(q: Any, k: Any, v: Any) -> Any:
    return probabilities(q, k) @ v


def whole_backward(g: Any, q: Any, k: Any, v: Any, y: Any) -> tuple:
    p = probabilities(q, k)
    slopes = p * (g @ v.mT - (g * y).sum(-1, keepdims=True)) / math.sqrt(q.shape[-1])
    return slopes @ k, slopes.mT @ q, p.mT @ g


# ---------------------------------------------------------------------------------------------- 3  blocks of queries


def by_rows(q: Any, k: Any, v: Any) -> Any:
    y = np.empty_like(v)
    for t in range(0, q.shape[2], ROWS):
        y[:, :, t : t + ROWS] = probabilities(q[:, :, t : t + ROWS], k, t) @ v
    return y


def by_rows_backward(g: Any, q: Any, k: Any, v: Any, y: Any) -> tuple:
    dq, dk, dv = np.empty_like(q), np.zeros_like(k), np.zeros_like(v)
    for t in range(0, q.shape[2], ROWS):
        rows = np.s_[:, :, t : t + ROWS]
        p = probabilities(q[rows], k, t)
        slopes = p * (g[rows] @ v.mT - (g[rows] * y[rows]).sum(-1, keepdims=True)) / math.sqrt(q.shape[-1])
        dq[rows] = slopes @ k
        dk += slopes.mT @ q[rows]
        dv += p.mT @ g[rows]
    return dq, dk, dv


# --------------------------------------------------------------------------- 4 and 5  blocks of keys, an online softmax


def tile(q: Any, k: Any, t: int, s: int) -> Any:
    """Scores of queries from number t on and keys from number s on."""
    scores = q @ k.mT
    if s + k.shape[2] > t + 1:  # touches the diagonal
        scores[..., hidden(t, q.shape[2], k.shape[2], s)] = -np.inf
    return scores


def online(q: Any, k: Any, v: Any, skip: bool) -> tuple:
    """y, and the logarithm of each row's sum of exponentials: all that backward needs to make P again."""
    y, logs = np.empty_like(v), np.empty_like(q[..., :1])
    for t in range(0, q.shape[2], ROWS):
        rows = np.s_[:, :, t : t + ROWS]
        qs = q[rows] / math.sqrt(q.shape[-1])
        largest, total, sums = np.full_like(qs[..., :1], -np.inf), 0, 0
        for s in range(0, min(t + ROWS, k.shape[2]) if skip else k.shape[2], COLUMNS):
            columns = np.s_[:, :, s : s + COLUMNS]
            scores = tile(qs, k[columns], t, s)
            grown = np.maximum(largest, scores.max(-1, keepdims=True))
            scores = np.exp(scores - grown)
            rescale, largest = np.exp(largest - grown), grown
            total = total * rescale + scores.sum(-1, keepdims=True)
            sums = sums * rescale + scores @ v[columns]
        y[rows] = sums / total
        logs[rows] = largest + np.log(total)
    return y, logs


def online_backward(g: Any, q: Any, k: Any, v: Any, y: Any, skip: bool) -> tuple:
    _, logs = online(q, k, v, skip)
    dq, dk, dv, scale = np.zeros_like(q), np.zeros_like(k), np.zeros_like(v), 1 / math.sqrt(q.shape[-1])
    for t in range(0, q.shape[2], ROWS):
        rows = np.s_[:, :, t : t + ROWS]
        qs, gs, delta = q[rows] * scale, g[rows], (g[rows] * y[rows]).sum(-1, keepdims=True)
        for s in range(0, min(t + ROWS, k.shape[2]) if skip else k.shape[2], COLUMNS):
            columns = np.s_[:, :, s : s + COLUMNS]
            p = np.exp(tile(qs, k[columns], t, s) - logs[rows])
            slopes = p * (gs @ v[columns].mT - delta)
            dq[rows] += slopes @ k[columns] * scale
            dk[columns] += slopes.mT @ qs
            dv[columns] += p.mT @ gs
    return dq, dk, dv


def by_tiles(q: Any, k: Any, v: Any) -> Any:
    return online(q, k, v, skip=False)[0]


def by_tiles_backward(g: Any, q: Any, k: Any, v: Any, y: Any) -> tuple:
    return online_backward(g, q, k, v, y, skip=False)


def to_diagonal(q: Any, k: Any, v: Any) -> Any:
    return online(q, k, v, skip=True)[0]


def to_diagonal_backward(g: Any, q: Any, k: Any, v: Any, y: Any) -> tuple:
    return online_backward(g, q, k, v, y, skip=True)


# ------------------------------------------------------------------------------------------------------ the room's own


def rung(name: str, file: str, idea: str) -> Rung:
    """A file of the room, which takes masks, dropout and shared keys as well; its lse is made again for backward."""

    def both(q: Any, k: Any, v: Any) -> tuple:
        room = import_module(f"minidl_kernels.attention.{file}")
        return room.forward(q, k, v, causal=True, scale=1 / math.sqrt(q.shape[-1]))

    def forward(q: Any, k: Any, v: Any) -> Any:
        return both(q, k, v)[0]

    def backward(g: Any, q: Any, k: Any, v: Any, y: Any) -> tuple:
        room = import_module(f"minidl_kernels.attention.{file}")
        return room.backward(g, q, k, v, *both(q, k, v), causal=True, scale=1 / math.sqrt(q.shape[-1]))

    return Rung(name, idea, forward, backward, None)


RUNGS: tuple[Rung, ...] = (
    Rung(
        "1 plain loops",
        "Python multiplies and adds number by number, and sees only what a query may see.",
        loops,
        loops_backward,
        100_000,
    ),
    Rung(
        "2 the whole matrix",
        "Two products of BLAS's, and a softmax between them that goes six times through T² scores, half of them hidden.",
        whole,
        whole_backward,
        None,
    ),
    Rung(
        "3 blocks of queries",
        "A row's softmax needs no other row: 128 rows at a time, and memory grows with T, no longer with T².",
        by_rows,
        by_rows_backward,
        None,
    ),
    Rung(
        "4 blocks of keys, online",
        "Tiles of 128 × 128 scores with a running maximum and sum; backward makes them again from one number a row. More "
        "arithmetic than rung 3, on tiles that stay in the cache however long the row.",
        by_tiles,
        by_tiles_backward,
        None,
    ),
    Rung(
        "5 down to the diagonal",
        "Tiles above the diagonal are left out: nearly half of the work, for long sequences.",
        to_diagonal,
        to_diagonal_backward,
        None,
    ),
    rung(
        "6 rows to the diagonal, heads on threads",
        "with_numpy",
        "Without an on-chip memory to stay in, whole rows beat online tiles: blocks of rows, cut off at the diagonal, "
        "exponentials where the scores lie, heads shared among the cores.",
    ),
    rung(
        "7 numba",
        "with_numba",
        "A compiled loop turns a row of scores into weights in one go, and ends at the diagonal.",
    ),
    rung("8 CUDA C", "with_cupy", "A block owns 16 queries and walks over tiles of 16 keys in shared memory."),
    rung(
        "9 Triton",
        "with_triton",
        "Larger tiles, on tensor cores; scores live and die in registers, and only the tiles at the diagonal are checked "
        "(Dao 2023).",
    ),
)
