"""Attention over blocks of queries, with whole rows of scores: a few heads at a time, heads on several threads.

The products of a block are BLAS's, one thread each; under a causal mask, keys that a block cannot see are left out of them.
Keys and values lie transposed, and rows of scores are a little longer than the keys are many: rows whose distance is a
power of two fall into the same lines of the cache, which costs a third of BLAS's speed.
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

BLOCK = 1 << 18  # scores at a time, of one head: a megabyte of float32
TOGETHER = 1 << 17  # of several: fewer, since their keys and values should stay in the cache as well


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


def exponentials(scores: Any, keys: int, first: int, causal: bool) -> tuple[Any, Any]:
    """Scores (heads, queries, at least ``keys``), the queries from number ``first`` on, become e^(s - m), m each row's
    largest; the rows' sums, and m."""
    scores = scores[..., :keys]
    if causal:
        hide_later(scores, first)
    largest = scores.max(-1)
    largest[largest == -np.inf] = 0  # of a query that sees nothing
    np.subtract(scores, largest[..., None], out=scores)
    np.exp(scores, out=scores)
    return scores.sum(-1), largest


def score_gradients(scores: Any, gradients: Any, keys: int, lse: Any, delta: Any, first: int, causal: bool) -> None:
    """Scores (heads, queries, at least ``keys``) become probabilities, and the gradients of probabilities become those of
    scores."""
    scores, gradients = scores[..., :keys], gradients[..., :keys]
    if causal:
        hide_later(scores, first)
    np.subtract(scores, np.where(lse == -np.inf, 0, lse)[..., None], out=scores)
    np.exp(scores, out=scores)
    np.subtract(gradients, delta[..., None], out=gradients)
    np.multiply(gradients, scores, out=gradients)


def hide_later(scores: Any, first: int) -> None:
    """-inf where a key comes later than the query, the rows' first being number ``first``."""
    rows, columns = scores.shape[-2:]
    if columns > first:
        xp = namespace(scores)
        later = xp.arange(first, columns)[None, :] > xp.arange(first, first + rows)[:, None]
        scores[..., first:][..., later] = -np.inf


# ------------------------------------------------------------------------------------------------------------- drivers


class Blocks:
    """How the work is cut: into pieces, of some sequences or of some heads of one, and each into blocks of queries.

    Heads are seen as (groups, heads of a group): those of a group meet the same keys, in one product. A block has about
    BLOCK scores: many short sequences together, or few queries of a long one.
    """

    def __init__(self, q: Any, k: Any, mask: Any, causal: bool, p: float, seed: int) -> None:
        self.batch, heads, self.queries, _ = q.shape
        self.groups, self.keys = k.shape[1:3]
        self.each = heads // max(self.groups, 1)
        self.causal, self.p, self.seed = causal, p, seed
        self.xp, self.wide = namespace(q), widen(q.dtype)
        self.mask = None if mask is None else self.split(self.xp.broadcast_to(mask, (*q.shape[:3], self.keys)))
        self.shared = isinstance(q, np.ndarray) and self.batch * self.groups >= get_num_threads()

    def split(self, x: Any) -> Any:
        """(B, H, …) as (B, G, H / G, …)."""
        return x.reshape((self.batch, self.groups, self.each, *x.shape[2:]))

    @property
    def step(self) -> int:
        """How many queries are in a block: under a causal mask, few, since scores up to the last one's key are computed
        for all of them."""
        most = max(self.queries // 16, 64) if self.causal else self.queries
        return max(min(max(BLOCK // max(self.keys * self.each, 1), 32), most, self.queries), 1)

    def pieces(self) -> list[tuple[slice, slice]]:
        """Which sequences and which groups are computed together: none, where there are none."""
        if not self.batch * self.groups:
            return []
        together = max(TOGETHER // max(self.each * self.step * self.keys, 1), 1)
        if self.shared:
            together = min(together, -(-self.batch * self.groups // get_num_threads()))
        if together < self.groups:
            parts = slices(self.groups, -(-self.groups // together))
            return [(slice(b, b + 1), part) for b in range(self.batch) for part in parts]
        return [(part, slice(self.groups)) for part in slices(self.batch, -(-self.batch * self.groups // together))]

    def blocks(self) -> list[tuple[slice, int]]:
        """The queries, and the end of the keys that they may see."""
        ends = [(t, min(t + self.step, self.queries)) for t in range(0, self.queries, self.step)]
        return [(slice(t, end), min(end, self.keys) if self.causal else self.keys) for t, end in ends]

    def each_piece(self, function: Callable[[tuple[slice, slice], Scratch], None]) -> None:
        """``function(piece, scratch)``; on several threads, each with BLAS for itself, if there are pieces enough."""
        pieces = self.pieces()

        def run(some: slice) -> None:
            scratch = Scratch()
            for piece in pieces[some]:
                function(piece, scratch)

        with one_blas_thread(self.shared):
            in_parallel(run, slices(len(pieces), None if self.shared else 1))

    def flat(self, x: Any, factor: Any = None) -> Any:
        """(sequences, groups, heads, rows, values) as (pairs, heads · rows, values), contiguous and wide enough."""
        x = self.xp.ascontiguousarray(x, self.wide) if factor is None else self.xp.multiply(x, factor, dtype=self.wide)
        return x.reshape((x.shape[0] * x.shape[1], x.shape[2] * x.shape[3], x.shape[4]))

    def transposed(self, x: Any) -> Any:
        """(pairs, keys, values) as (pairs, values, keys), each line of keys contiguous."""
        pairs, keys, values = x.shape
        made = self.xp.empty((pairs, values, longer(keys)), x.dtype)[..., :keys]
        made[...] = x.swapaxes(1, 2)
        return made

    def scores(self, piece: tuple, rows: slice, q: Any, kt: Any, scratch: Scratch) -> Any:
        """The scaled, masked scores (pairs, heads · rows, longer(keys)) of a block, but for causality."""
        scores = product(q, kt, scratch, "scores")
        if self.mask is not None:
            keys = kt.shape[2]
            seen = self.mask[*piece, :, rows, :keys]
            whole = scores.reshape((*seen.shape[:-1], scores.shape[2]))[..., :keys]
            if seen.dtype == bool:
                whole[~seen] = -np.inf
            else:
                whole += seen
        return scores

    def by_head(self, scores: Any, rows: slice) -> Any:
        """(pairs, heads · rows, keys) as (heads, rows, keys)."""
        return scores.reshape((-1, rows.stop - rows.start, scores.shape[2]))

    def kept(self, piece: tuple, rows: slice, last: int) -> Any:
        """What dropout multiplies the probabilities (heads, rows, keys) of a block by."""
        xp, heads = self.xp, self.groups * self.each
        groups, count = range(*piece[1].indices(self.groups)), rows.stop - rows.start
        ours = range(groups[0] * self.each, (groups[-1] + 1) * self.each)
        # Of whole heads the numbers follow one another: they are drawn at once. Of some rows they don't.
        runs = [ours] if count == self.queries else [range(h, h + 1) for h in ours]
        numbers = []
        for b in range(*piece[0].indices(self.batch)):
            for run in runs:
                first = ((b * heads + run[0]) * self.queries + rows.start) * self.keys
                drawn = uniform(first, len(run) * count * self.keys, self.seed, xp)
                numbers.append(drawn.reshape(len(run), count, self.keys)[..., :last])
        return (xp.concatenate(numbers) >= np.float32(self.p)) * self.wide.type(1 / (1 - self.p) if self.p < 1 else 0)


def longer(keys: int) -> int:
    """The length of a row of scores: whole lines of 64 values, and an odd 16."""
    return -(-keys // 64) * 64 + 16


def product(a: Any, b: Any, scratch: Scratch, name: str) -> Any:
    """a (pairs, rows, n) times b (pairs, n, keys), in rows that are longer: (pairs, rows, longer(keys))."""
    made = scratch(name, (*a.shape[:2], longer(b.shape[2])), a)
    namespace(a).matmul(a, b, out=made[..., : b.shape[2]])
    return made


def forward_with(
    exponentials: Any, q: Any, k: Any, v: Any, mask: Any, causal: bool, scale: float, p: float, seed: int
) -> tuple[Any, Any]:
    """Forward, with the part between the two products given."""
    xp, wide = namespace(q), widen(q.dtype)
    cut = Blocks(q, k, mask, causal, p, seed)
    result, lse = _as(q, (*q.shape[:3], v.shape[3])), xp.empty(q.shape[:3], wide)
    queries, y, logs = cut.split(q), cut.split(result), cut.split(lse)

    def of_piece(piece: tuple, scratch: Scratch) -> None:
        ks, vs = (cut.flat(a[*piece][:, :, None]) for a in (k, v))
        kts = cut.transposed(ks)
        for rows, last in cut.blocks():
            into, into_lse = y[*piece, :, rows], logs[*piece, :, rows]
            if not last:
                into[...], into_lse[...] = 0, -np.inf
                continue
            qs = cut.flat(queries[*piece, :, rows], wide.type(scale))
            weights = cut.scores(piece, rows, qs, kts[..., :last], scratch)
            by_head = cut.by_head(weights, rows)
            sums, largest = exponentials(by_head, last, rows.start, causal)
            if p:
                by_head[..., :last] *= cut.kept(piece, rows, last)
            into[...] = (weights[..., :last] @ vs[:, :last]).reshape(into.shape) / xp.where(sums == 0, 1, sums).reshape(
                (*into.shape[:-1], 1)
            )
            into_lse[...] = (largest + xp.log(sums)).reshape(into_lse.shape)

    cut.each_piece(of_piece)
    return result, lse


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
    cut = Blocks(q, k, mask, causal, p, seed)
    dq, dk, dv = (_as(a, a.shape) for a in (q, k, v))
    queries, outputs, above, logs, into = (cut.split(a) for a in (q, y, g, lse, dq))
    factor = wide.type(scale)

    def of_piece(piece: tuple, scratch: Scratch) -> None:
        ks, vs = (cut.flat(a[*piece][:, :, None]) for a in (k, v))
        dks, dvs = xp.zeros_like(ks), xp.zeros_like(vs)
        kts, vts = cut.transposed(ks), cut.transposed(vs)
        for rows, last in cut.blocks():
            block = (*piece, slice(None), rows)
            qs, gs = cut.flat(queries[block], factor), cut.flat(above[block])
            delta = (gs * cut.flat(outputs[block])).sum(-1)
            weights = cut.scores(piece, rows, qs, kts[..., :last], scratch)
            gradients = product(gs, vts[..., :last], scratch, "gradients")
            by_head, gradients_by_head = cut.by_head(weights, rows), cut.by_head(gradients, rows)
            kept = cut.kept(piece, rows, last) if p else None
            if kept is not None:
                gradients_by_head[..., :last] *= kept
            heads = by_head.shape[:2]
            logs_by_head, delta = (xp.ascontiguousarray(a).reshape(heads) for a in (logs[block], delta))
            score_gradients(by_head, gradients_by_head, last, logs_by_head, delta, rows.start, causal)
            if kept is not None:
                by_head[..., :last] *= kept
            weights, gradients = weights[..., :last], gradients[..., :last]
            into[block] = ((gradients @ ks[:, :last]) * factor).reshape(into[block].shape)
            dks[:, :last] += gradients.swapaxes(1, 2) @ qs
            dvs[:, :last] += weights.swapaxes(1, 2) @ gs
        for target, found in ((dk, dks), (dv, dvs)):
            target[*piece] = found.reshape(target[*piece].shape)

    cut.each_piece(of_piece)
    return dq, dk, dv


def _as(x: Any, shape: tuple[int, ...]) -> Any:
    """An empty array whose axes lie in memory in the order in which those of ``x`` do."""
    order = np.argsort([-abs(stride) for stride in x.strides], kind="stable")
    made = namespace(x).empty([shape[axis] for axis in order], x.dtype)
    return made.transpose([int(axis) for axis in np.argsort(order)])
