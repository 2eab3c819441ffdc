"""Attention over blocks of queries, with whole rows of scores: a head at a time, heads on several threads.

Two products a block are BLAS's, one thread each; under a causal mask, keys that a block cannot see are left out of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minidl_kernels.arrays import namespace
from minidl_kernels.philox import uniform
from minidl_kernels.rows import widen
from minidl_kernels.threads import Scratch, get_num_threads, in_parallel, one_blas_thread, slices

__all__ = ["backward", "forward"]

BLOCK = 1 << 17  # scores at a time: half a megabyte of float32


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
    return forward_with(exponentials, q, k, v, mask, causal, scale, p, seed)


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
    return backward_with(score_gradients, g, q, k, v, y, lse, mask, causal, scale, p, seed)


def exponentials(scores: Any, first: int, causal: bool) -> tuple[Any, Any]:
    """Scores of a block of queries, from number ``first`` on, become e^(s - m), m each row's largest; the sums, and m."""
    if causal:
        hide_later(scores, first)
    largest = scores.max(1)
    largest[largest == -np.inf] = 0  # of a query that sees nothing
    np.subtract(scores, largest[:, None], out=scores)
    np.exp(scores, out=scores)
    return scores.sum(1), largest


def score_gradients(scores: Any, gradients: Any, lse: Any, delta: Any, first: int, causal: bool) -> None:
    """Scores become probabilities, and the gradients of probabilities become those of scores."""
    if causal:
        hide_later(scores, first)
    np.subtract(scores, np.where(lse == -np.inf, 0, lse)[:, None], out=scores)
    np.exp(scores, out=scores)
    np.subtract(gradients, delta[:, None], out=gradients)
    np.multiply(gradients, scores, out=gradients)


def hide_later(scores: Any, first: int) -> None:
    """-inf where a key comes later than the query, the rows' first being number ``first``."""
    rows, columns = scores.shape
    if columns > first:
        xp = namespace(scores)
        later = xp.arange(first, columns)[None, :] > xp.arange(first, first + rows)[:, None]
        scores[:, first:][later] = -np.inf


# ------------------------------------------------------------------------------------------------------------- drivers


class Head:
    """The blocks of one head: which queries, which keys they may see, masks and dropout."""

    def __init__(self, shape: tuple, keys: int, mask: Any, causal: bool, p: float, seed: int, like: Any) -> None:
        self.b, self.h, self.queries, _ = shape
        self.keys, self.causal, self.p, self.seed = keys, causal, p, seed
        self.xp, self.wide = namespace(like), widen(like.dtype)
        self.mask = None if mask is None else self.xp.broadcast_to(mask, (*shape[:3], keys))
        self.step = min(max(BLOCK // max(keys, 1), 32), 256)

    def blocks(self) -> list[tuple[int, int, int]]:
        """(first query, end, end of the keys)."""
        starts = range(0, self.queries, self.step)
        ends = [min(t + self.step, self.queries) for t in starts]
        return [(t, end, min(end, self.keys) if self.causal else self.keys) for t, end in zip(starts, ends)]

    def scores(self, q: Any, k: Any, b: int, h: int, t: int, end: int, last: int, scratch: Scratch) -> Any:
        """The scaled, masked scores of a block (end - t, last), but for causality."""
        scores = self.xp.matmul(q[t:end], k[:last].T, out=scratch("scores", (end - t, last), q))
        if self.mask is not None:
            seen = self.mask[b, h, t:end, :last]
            if seen.dtype == bool:
                scores[~seen] = -np.inf
            else:
                scores += seen
        return scores

    def kept(self, b: int, h: int, t: int, end: int, last: int) -> Any:
        """What dropout multiplies the probabilities of a block by."""
        first = ((b * self.h + h) * self.queries + t) * self.keys
        numbers = uniform(first, (end - t) * self.keys, self.seed, self.xp).reshape(end - t, self.keys)[:, :last]
        return (numbers >= np.float32(self.p)) * self.wide.type(1 / (1 - self.p) if self.p < 1 else 0)


def _each_group(function: Callable[[int, int, Scratch], None], batch: int, groups: int, like: Any) -> None:
    """``function(b, group, scratch)``; on several threads, each with BLAS for itself, if there are groups enough."""
    pairs = [(b, i) for b in range(batch) for i in range(groups)]
    shared = isinstance(like, np.ndarray) and len(pairs) >= get_num_threads()

    def run(some: slice) -> None:
        scratch = Scratch()
        for b, i in pairs[some]:
            function(b, i, scratch)

    with one_blas_thread(shared):
        in_parallel(run, slices(len(pairs), None if shared else 1))


def forward_with(
    exponentials: Any, q: Any, k: Any, v: Any, mask: Any, causal: bool, scale: float, p: float, seed: int
) -> tuple[Any, Any]:
    """Forward, with the part between the two products given."""
    xp, wide = namespace(q), widen(q.dtype)
    (b, h, t, _), groups, keys, e = q.shape, k.shape[1], k.shape[2], v.shape[3]
    y, lse = xp.empty((b, h, t, e), q.dtype), xp.empty((b, h, t), wide)
    head = Head(q.shape, keys, mask, causal, p, seed, q)

    def of_group(i: int, group: int, scratch: Scratch) -> None:
        ks, vs = (xp.ascontiguousarray(a[i, group], wide) for a in (k, v))
        for j in range(group * (h // groups), (group + 1) * (h // groups)):
            qs = xp.multiply(q[i, j], wide.type(scale), dtype=wide)
            for begin, end, last in head.blocks():
                weights = head.scores(qs, ks, i, j, begin, end, last, scratch)
                if not last:
                    y[i, j, begin:end], lse[i, j, begin:end] = 0, -np.inf
                    continue
                sums, largest = exponentials(weights, begin, causal)
                if p:
                    weights *= head.kept(i, j, begin, end, last)
                y[i, j, begin:end] = (weights @ vs[:last]) / xp.where(sums == 0, 1, sums)[:, None]
                lse[i, j, begin:end] = largest + xp.log(sums)

    _each_group(of_group, b, groups, q)
    return y, lse


def backward_with(
    score_gradients: Any,
    g: Any,
    q: Any,
    k: Any,
    v: Any,
    y: Any,
    lse: Any,
    mask: Any,
    causal: bool,
    scale: float,
    p: float,
    seed: int,
) -> tuple[Any, Any, Any]:
    """Backward, with the part between the products given."""
    xp, wide = namespace(q), widen(q.dtype)
    (b, h, _, _), groups, keys = q.shape, k.shape[1], k.shape[2]
    dq, dk, dv = (xp.empty(a.shape, a.dtype) for a in (q, k, v))
    head = Head(q.shape, keys, mask, causal, p, seed, q)
    factor = wide.type(scale)

    def of_group(i: int, group: int, scratch: Scratch) -> None:
        ks, vs = (xp.ascontiguousarray(a[i, group], wide) for a in (k, v))
        dks, dvs = xp.zeros_like(ks), xp.zeros_like(vs)
        for j in range(group * (h // groups), (group + 1) * (h // groups)):
            qs = xp.multiply(q[i, j], factor, dtype=wide)
            gs = xp.ascontiguousarray(g[i, j], wide)
            delta = (gs * y[i, j]).sum(1)
            for begin, end, last in head.blocks():
                weights = head.scores(qs, ks, i, j, begin, end, last, scratch)
                gradients = xp.matmul(gs[begin:end], vs[:last].T, out=scratch("gradients", weights.shape, weights))
                kept = head.kept(i, j, begin, end, last) if p else None
                if kept is not None:
                    gradients *= kept
                rows = slice(begin, end)
                score_gradients(weights, gradients, lse[i, j, rows], delta[rows], begin, causal)
                dq[i, j, rows] = (gradients @ ks[:last]) * factor
                dks[:last] += gradients.T @ qs[rows]
                if kept is not None:
                    weights *= kept
                dvs[:last] += weights.T @ gs[rows]
        dk[i, group], dv[i, group] = dks, dvs

    _each_group(of_group, b, groups, q)
    return dq, dk, dv
