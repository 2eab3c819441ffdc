"""Attention in Triton: scores live and die in registers; memory holds q, k, v, y and one number a row.

forward    A program owns ROWS queries of a head. It walks over the keys in blocks of COLUMNS; of the softmax it keeps the
           largest score so far and the sum of the exponentials relative to it, and rescales its sum of values whenever
           the largest grows (the online softmax). Exponentials are powers of two, which the processor has: scores are
           multiplied by log2(e) along with the scale.
backward   The probabilities are computed again, from the scores and the kept logarithm of their sum. One kernel's programs
           own blocks of keys and walk over the queries (∂k, ∂v, summed over the heads that share them), another's
           own blocks of queries and walk over the keys (∂q): twice the scores, but no two programs write to one place,
           so that there are no atomics and the same inputs give the same bits.

Causal attention walks only to the diagonal. Blocks off it and inside the array need no checks; those on the edges are
walked last, by the same function compiled with checks.

Operands are read where they lie, whatever their strides (all but ``p`` and the like are given as pairs of an array
and its steps). Results lie in memory in the order of q, k and v: what a layer split into heads without copying can be put
together again without copying.

Sources: T. Dao, "FlashAttention-2" (2023); M. Milakov and N. Gimelshein, "Online normalizer calculation for softmax"
(2018); random numbers: J. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011).
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from minidl_kernels.triton_runtime import architecture, launch, next_power_of_2

import triton  # isort: skip
import triton.language as tl  # isort: skip

from minidl_kernels.arrays import namespace
from minidl_kernels.attention import with_numpy as reference
from minidl_kernels.precision import input_precision
from minidl_kernels.triton_functions import kept

# ------------------------------------------------------------------------------------------------------------- kernels


@triton.jit
def fetch(places, row_inside, column_inside, CHECK_ROWS: tl.constexpr, CHECK_COLUMNS: tl.constexpr):
    """A tile from memory, zero outside; a check that is known to hold costs nothing."""
    if CHECK_ROWS and CHECK_COLUMNS:
        return tl.load(places, mask=row_inside & column_inside, other=0.0)
    if CHECK_ROWS:
        return tl.load(places, mask=row_inside, other=0.0)
    if CHECK_COLUMNS:
        return tl.load(places, mask=column_inside, other=0.0)
    return tl.load(places)


@triton.jit
def seen(scores, mask, mask_steps, t, s, T, S, MASK: tl.constexpr, CAUSAL: tl.constexpr, EDGE: tl.constexpr):
    """Scores (in units of log 2) with the mask applied: -inf where query t may not see key s."""
    if MASK != "none":
        places = mask + t.to(tl.int64) * mask_steps[2] + s.to(tl.int64) * mask_steps[3]
        values = tl.load(places, mask=(t < T) & (s < S), other=0)
        if MASK == "boolean":
            scores = tl.where(values != 0, scores, float("-inf"))
        else:
            scores += values.to(tl.float32) * 1.4426950408889634
    if EDGE:
        scores = tl.where(s < S, scores, float("-inf"))
        if CAUSAL:
            scores = tl.where(s <= t, scores, float("-inf"))
    return scores


@triton.jit
def numbers(head, t, s, T, S, DROPOUT: tl.constexpr):
    """The numbers of scores for dropout; DROPOUT: 32 or 64 bits (0: none)."""
    if DROPOUT == 32:
        return ((head.to(tl.int32) * T + t) * S + s).to(tl.uint32)
    else:  # noqa: RET505  (Triton compiles one branch)
        return (head.to(tl.int64) * T + t) * S + s


@triton.jit
def attend(
    state,
    queries,
    k,
    v,
    mask,
    steps,
    t,
    first,
    last,
    head,
    T,
    S,
    scale,
    p,
    seed,
    D: tl.constexpr,
    E: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_E: tl.constexpr,
    COLUMNS: tl.constexpr,
    MASK: tl.constexpr,
    CAUSAL: tl.constexpr,
    DROPOUT: tl.constexpr,
    PRECISION: tl.constexpr,
    EDGE: tl.constexpr,
):
    """Takes the keys from ``first`` to ``last`` into the sum of values, the largest score and the sum of exponentials."""
    total, largest, weight = state
    k_steps, v_steps, mask_steps = steps
    d, e, j = tl.arange(0, BLOCK_D), tl.arange(0, BLOCK_E), tl.arange(0, COLUMNS)
    k_tile = k + first.to(tl.int64) * k_steps[2] + j[None, :] * k_steps[2] + d[:, None] * k_steps[3]
    v_tile = v + first.to(tl.int64) * v_steps[2] + j[:, None] * v_steps[2] + e[None, :] * v_steps[3]
    for start in range(first, last, COLUMNS):
        s = start + j
        keys = fetch(k_tile, d[:, None] < D, s[None, :] < S, D < BLOCK_D, EDGE)
        scores = tl.dot(queries, keys, input_precision=PRECISION) * scale
        scores = seen(scores, mask, mask_steps, t[:, None], s[None, :], T, S, MASK, CAUSAL, EDGE)
        larger = tl.maximum(largest, tl.max(scores, 1))
        finite = tl.where(larger == float("-inf"), 0.0, larger) if EDGE or MASK != "none" else larger
        exponentials = tl.exp2(scores - finite[:, None])
        shrink = tl.exp2(largest - finite)
        weight = weight * shrink + tl.sum(exponentials, 1)
        if DROPOUT:
            number = numbers(head, t[:, None], s[None, :], T, S, DROPOUT)
            exponentials = tl.where(kept(number, seed, p), exponentials, 0.0)
        values = fetch(v_tile, s[:, None] < S, e[None, :] < E, EDGE, E < BLOCK_E)
        total = tl.dot(exponentials.to(values.dtype), values, total * shrink[:, None], input_precision=PRECISION)
        largest = larger
        k_tile += COLUMNS * k_steps[2]
        v_tile += COLUMNS * v_steps[2]
    return total, largest, weight


@triton.jit(do_not_specialize=["seed", "p"])
def attention_forward(
    q,
    k,
    v,
    mask,
    y,
    lse,
    q_steps,
    k_steps,
    v_steps,
    mask_steps,
    y_steps,
    H,
    sharing,  # how many heads share a key head
    T,
    S,
    scale,  # times log2(e)
    p,
    seed,
    D: tl.constexpr,
    E: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_E: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    MASK: tl.constexpr,
    CAUSAL: tl.constexpr,
    DROPOUT: tl.constexpr,
    PRECISION: tl.constexpr,
):
    blocks = tl.cdiv(T, ROWS)
    head = tl.program_id(0) // blocks
    t_first = (blocks - 1 - tl.program_id(0) % blocks) * ROWS  # the longest walks of causal attention come first
    batch, h = (head // H).to(tl.int64), (head % H).to(tl.int64)
    q += batch * q_steps[0] + h * q_steps[1] + t_first.to(tl.int64) * q_steps[2]
    k += batch * k_steps[0] + h // sharing * k_steps[1]
    v += batch * v_steps[0] + h // sharing * v_steps[1]
    y += batch * y_steps[0] + h * y_steps[1] + t_first.to(tl.int64) * y_steps[2]
    if MASK != "none":
        mask += batch * mask_steps[0] + h * mask_steps[1]

    i, d, e = tl.arange(0, ROWS), tl.arange(0, BLOCK_D), tl.arange(0, BLOCK_E)
    t = t_first + i
    queries = fetch(
        q + i[:, None] * q_steps[2] + d[None, :] * q_steps[3], t[:, None] < T, d[None, :] < D, True, D < BLOCK_D
    )
    state = (
        tl.zeros((ROWS, BLOCK_E), tl.float32),
        tl.full((ROWS,), float("-inf"), tl.float32),
        tl.zeros((ROWS,), tl.float32),
    )
    last = S
    whole = S // COLUMNS * COLUMNS
    if CAUSAL:
        last = min(S, t_first + ROWS)
        whole = min(whole, (t_first + 1) // COLUMNS * COLUMNS)
    steps = (k_steps, v_steps, mask_steps)
    zero = t_first * 0
    state = attend(
        state, queries, k, v, mask, steps, t, zero, whole, head, T, S, scale, p, seed,
        D, E, BLOCK_D, BLOCK_E, COLUMNS, MASK, CAUSAL, DROPOUT, PRECISION, False,
    )  # fmt: skip
    state = attend(
        state, queries, k, v, mask, steps, t, zero + whole, last, head, T, S, scale, p, seed,
        D, E, BLOCK_D, BLOCK_E, COLUMNS, MASK, CAUSAL, DROPOUT, PRECISION, True,
    )  # fmt: skip
    total, largest, weight = state
    blind = weight == 0.0  # it sees nothing
    divisor = tl.where(blind, 1.0, weight)
    if DROPOUT:
        total *= 1.0 / (1.0 - p)
    total /= divisor[:, None]
    y_tile = y + i[:, None] * y_steps[2] + e[None, :] * y_steps[3]
    tl.store(y_tile, total.to(y.dtype.element_ty), mask=(t[:, None] < T) & (e[None, :] < E))
    result = tl.where(blind, float("-inf"), 0.6931471805599453 * (largest + tl.log2(divisor)))
    tl.store(lse + head.to(tl.int64) * T + t, result, mask=t < T)


@triton.jit
def attention_delta(dy, y, delta, dy_steps, y_steps, H, T, E: tl.constexpr, BLOCK_E: tl.constexpr, ROWS: tl.constexpr):
    """delta = Σ_e ∂y y: what the softmax's gradient subtracts, which is also Σ_s P ∂P."""
    blocks = tl.cdiv(T, ROWS)
    head = tl.program_id(0) // blocks
    t = tl.program_id(0) % blocks * ROWS + tl.arange(0, ROWS)
    e = tl.arange(0, BLOCK_E)
    batch, h = (head // H).to(tl.int64), (head % H).to(tl.int64)
    rows, inside = t[:, None].to(tl.int64), (t[:, None] < T) & (e[None, :] < E)
    dy += batch * dy_steps[0] + h * dy_steps[1]
    y += batch * y_steps[0] + h * y_steps[1]
    a = tl.load(dy + rows * dy_steps[2] + e[None, :] * dy_steps[3], mask=inside, other=0.0).to(tl.float32)
    b = tl.load(y + rows * y_steps[2] + e[None, :] * y_steps[3], mask=inside, other=0.0).to(tl.float32)
    tl.store(delta + head.to(tl.int64) * T + t, tl.sum(a * b, 1), mask=t < T)


@triton.jit
def to_keys(
    gradients,
    keys,
    values,
    q,
    dy,
    mask,
    lse,
    delta,
    steps,
    s,
    first,
    last,
    head,
    T,
    S,
    scale,
    p,
    seed,
    D: tl.constexpr,
    E: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_E: tl.constexpr,
    ROWS: tl.constexpr,
    MASK: tl.constexpr,
    CAUSAL: tl.constexpr,
    DROPOUT: tl.constexpr,
    PRECISION: tl.constexpr,
    EDGE: tl.constexpr,
):
    """Adds what the queries from ``first`` to ``last`` give to ∂k / scale and ∂v; scores are (keys, queries) here."""
    dk, dv = gradients
    q_steps, dy_steps, mask_steps = steps
    d, e, i = tl.arange(0, BLOCK_D), tl.arange(0, BLOCK_E), tl.arange(0, ROWS)
    q_tile = q + first.to(tl.int64) * q_steps[2] + i[:, None] * q_steps[2] + d[None, :] * q_steps[3]
    dy_tile = dy + first.to(tl.int64) * dy_steps[2] + i[:, None] * dy_steps[2] + e[None, :] * dy_steps[3]
    lse += head.to(tl.int64) * T
    delta += head.to(tl.int64) * T
    for start in range(first, last, ROWS):
        t = start + i
        queries = fetch(q_tile, t[:, None] < T, d[None, :] < D, True, D < BLOCK_D)
        size = tl.load(lse + t, mask=t < T, other=float("-inf")) * 1.4426950408889634
        size = tl.where(size == float("-inf"), float("inf"), size)  # a row that sees nothing: probability 0
        scores = tl.dot(keys, tl.trans(queries), input_precision=PRECISION) * scale
        scores = seen(scores, mask, mask_steps, t[None, :], s[:, None], T, S, MASK, CAUSAL, EDGE)
        probabilities = tl.exp2(scores - size[None, :])
        upstream = fetch(dy_tile, t[:, None] < T, e[None, :] < E, True, E < BLOCK_E)
        dropped = probabilities
        dp = tl.dot(values, tl.trans(upstream), input_precision=PRECISION)
        if DROPOUT:
            number = numbers(head, t[None, :], s[:, None], T, S, DROPOUT)
            factor = tl.where(kept(number, seed, p), 1.0 / (1.0 - p), 0.0)
            dropped *= factor
            dp *= factor
        dv = tl.dot(dropped.to(upstream.dtype), upstream, dv, input_precision=PRECISION)
        ds = probabilities * (dp - tl.load(delta + t, mask=t < T, other=0.0)[None, :])
        dk = tl.dot(ds.to(queries.dtype), queries, dk, input_precision=PRECISION)
        q_tile += ROWS * q_steps[2]
        dy_tile += ROWS * dy_steps[2]
    return dk, dv


@triton.jit(do_not_specialize=["seed", "p"])
def attention_backward_keys(
    q,
    k,
    v,
    mask,
    dy,
    lse,
    delta,
    dk,
    dv,
    q_steps,
    k_steps,
    v_steps,
    mask_steps,
    dy_steps,
    dk_steps,
    dv_steps,
    G,
    sharing,
    T,
    S,
    scale,  # plain
    p,
    seed,
    D: tl.constexpr,
    E: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_E: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    MASK: tl.constexpr,
    CAUSAL: tl.constexpr,
    DROPOUT: tl.constexpr,
    PRECISION: tl.constexpr,
):
    blocks = tl.cdiv(S, COLUMNS)
    s_first = tl.program_id(0) % blocks * COLUMNS
    batch, group = (tl.program_id(0) // blocks // G).to(tl.int64), (tl.program_id(0) // blocks % G).to(tl.int64)
    k += batch * k_steps[0] + group * k_steps[1] + s_first.to(tl.int64) * k_steps[2]
    v += batch * v_steps[0] + group * v_steps[1] + s_first.to(tl.int64) * v_steps[2]
    dk += batch * dk_steps[0] + group * dk_steps[1] + s_first.to(tl.int64) * dk_steps[2]
    dv += batch * dv_steps[0] + group * dv_steps[1] + s_first.to(tl.int64) * dv_steps[2]
    d, e, j = tl.arange(0, BLOCK_D), tl.arange(0, BLOCK_E), tl.arange(0, COLUMNS)
    s = s_first + j
    keys = fetch(
        k + j[:, None] * k_steps[2] + d[None, :] * k_steps[3], s[:, None] < S, d[None, :] < D, True, D < BLOCK_D
    )
    values = fetch(
        v + j[:, None] * v_steps[2] + e[None, :] * v_steps[3], s[:, None] < S, e[None, :] < E, True, E < BLOCK_E
    )
    gradients = (tl.zeros((COLUMNS, BLOCK_D), tl.float32), tl.zeros((COLUMNS, BLOCK_E), tl.float32))

    first = s_first * 0
    whole = first
    if CAUSAL:  # from the block on the diagonal on; whole is the first block that is seen in full
        first = s_first // ROWS * ROWS
        whole = tl.cdiv(s_first + COLUMNS - 1, ROWS) * ROWS
    steps = (q_steps, dy_steps, mask_steps)
    for member in range(sharing):
        h = group * sharing + member
        head = (batch * G + group) * sharing + member
        q_head = q + batch * q_steps[0] + h * q_steps[1]
        dy_head = dy + batch * dy_steps[0] + h * dy_steps[1]
        mask_head = mask
        if MASK != "none":
            mask_head = mask + batch * mask_steps[0] + h * mask_steps[1]
        if CAUSAL:
            gradients = to_keys(
                gradients, keys, values, q_head, dy_head, mask_head, lse, delta, steps, s, first, min(whole, T), head,
                T, S, scale * 1.4426950408889634, p, seed,
                D, E, BLOCK_D, BLOCK_E, ROWS, MASK, CAUSAL, DROPOUT, PRECISION, True,
            )  # fmt: skip
        gradients = to_keys(
            gradients, keys, values, q_head, dy_head, mask_head, lse, delta, steps, s, whole, T, head,
            T, S, scale * 1.4426950408889634, p, seed,
            D, E, BLOCK_D, BLOCK_E, ROWS, MASK, CAUSAL, DROPOUT, PRECISION, False,
        )  # fmt: skip
    key_gradient, value_gradient = gradients
    dk_tile = dk + j[:, None] * dk_steps[2] + d[None, :] * dk_steps[3]
    dv_tile = dv + j[:, None] * dv_steps[2] + e[None, :] * dv_steps[3]
    tl.store(dk_tile, (key_gradient * scale).to(dk.dtype.element_ty), mask=(s[:, None] < S) & (d[None, :] < D))
    tl.store(dv_tile, value_gradient.to(dv.dtype.element_ty), mask=(s[:, None] < S) & (e[None, :] < E))


@triton.jit
def to_queries(
    dq,
    queries,
    upstream,
    size,
    difference,
    k,
    v,
    mask,
    steps,
    t,
    first,
    last,
    head,
    T,
    S,
    scale,
    p,
    seed,
    D: tl.constexpr,
    E: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_E: tl.constexpr,
    COLUMNS: tl.constexpr,
    MASK: tl.constexpr,
    CAUSAL: tl.constexpr,
    DROPOUT: tl.constexpr,
    PRECISION: tl.constexpr,
    EDGE: tl.constexpr,
):
    """Adds what the keys from ``first`` to ``last`` give to ∂q / scale."""
    k_steps, v_steps, mask_steps = steps
    d, e, j = tl.arange(0, BLOCK_D), tl.arange(0, BLOCK_E), tl.arange(0, COLUMNS)
    k_tile = k + first.to(tl.int64) * k_steps[2] + j[:, None] * k_steps[2] + d[None, :] * k_steps[3]
    v_tile = v + first.to(tl.int64) * v_steps[2] + j[:, None] * v_steps[2] + e[None, :] * v_steps[3]
    for start in range(first, last, COLUMNS):
        s = start + j
        keys = fetch(k_tile, s[:, None] < S, d[None, :] < D, EDGE, D < BLOCK_D)
        values = fetch(v_tile, s[:, None] < S, e[None, :] < E, EDGE, E < BLOCK_E)
        scores = tl.dot(queries, tl.trans(keys), input_precision=PRECISION) * scale
        scores = seen(scores, mask, mask_steps, t[:, None], s[None, :], T, S, MASK, CAUSAL, EDGE)
        probabilities = tl.exp2(scores - size[:, None])
        dp = tl.dot(upstream, tl.trans(values), input_precision=PRECISION)
        if DROPOUT:
            number = numbers(head, t[:, None], s[None, :], T, S, DROPOUT)
            dp *= tl.where(kept(number, seed, p), 1.0 / (1.0 - p), 0.0)
        ds = probabilities * (dp - difference[:, None])
        dq = tl.dot(ds.to(keys.dtype), keys, dq, input_precision=PRECISION)
        k_tile += COLUMNS * k_steps[2]
        v_tile += COLUMNS * v_steps[2]
    return dq


@triton.jit(do_not_specialize=["seed", "p"])
def attention_backward_queries(
    q,
    k,
    v,
    mask,
    dy,
    lse,
    delta,
    dq,
    q_steps,
    k_steps,
    v_steps,
    mask_steps,
    dy_steps,
    dq_steps,
    H,
    sharing,
    T,
    S,
    scale,  # plain
    p,
    seed,
    D: tl.constexpr,
    E: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_E: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    MASK: tl.constexpr,
    CAUSAL: tl.constexpr,
    DROPOUT: tl.constexpr,
    PRECISION: tl.constexpr,
):
    blocks = tl.cdiv(T, ROWS)
    head = tl.program_id(0) // blocks
    t_first = (blocks - 1 - tl.program_id(0) % blocks) * ROWS
    batch, h = (head // H).to(tl.int64), (head % H).to(tl.int64)
    q += batch * q_steps[0] + h * q_steps[1] + t_first.to(tl.int64) * q_steps[2]
    dy += batch * dy_steps[0] + h * dy_steps[1] + t_first.to(tl.int64) * dy_steps[2]
    dq += batch * dq_steps[0] + h * dq_steps[1] + t_first.to(tl.int64) * dq_steps[2]
    k += batch * k_steps[0] + h // sharing * k_steps[1]
    v += batch * v_steps[0] + h // sharing * v_steps[1]
    if MASK != "none":
        mask += batch * mask_steps[0] + h * mask_steps[1]

    i, d, e = tl.arange(0, ROWS), tl.arange(0, BLOCK_D), tl.arange(0, BLOCK_E)
    t = t_first + i
    queries = fetch(
        q + i[:, None] * q_steps[2] + d[None, :] * q_steps[3], t[:, None] < T, d[None, :] < D, True, D < BLOCK_D
    )
    upstream = fetch(
        dy + i[:, None] * dy_steps[2] + e[None, :] * dy_steps[3], t[:, None] < T, e[None, :] < E, True, E < BLOCK_E
    )
    size = tl.load(lse + head.to(tl.int64) * T + t, mask=t < T, other=float("-inf")) * 1.4426950408889634
    size = tl.where(size == float("-inf"), float("inf"), size)
    difference = tl.load(delta + head.to(tl.int64) * T + t, mask=t < T, other=0.0)
    gradient = tl.zeros((ROWS, BLOCK_D), tl.float32)

    last = S
    whole = S // COLUMNS * COLUMNS
    if CAUSAL:
        last = min(S, t_first + ROWS)
        whole = min(whole, (t_first + 1) // COLUMNS * COLUMNS)
    steps = (k_steps, v_steps, mask_steps)
    zero = t_first * 0
    gradient = to_queries(
        gradient, queries, upstream, size, difference, k, v, mask, steps, t, zero, whole, head,
        T, S, scale * 1.4426950408889634, p, seed,
        D, E, BLOCK_D, BLOCK_E, COLUMNS, MASK, CAUSAL, DROPOUT, PRECISION, False,
    )  # fmt: skip
    gradient = to_queries(
        gradient, queries, upstream, size, difference, k, v, mask, steps, t, zero + whole, last, head,
        T, S, scale * 1.4426950408889634, p, seed,
        D, E, BLOCK_D, BLOCK_E, COLUMNS, MASK, CAUSAL, DROPOUT, PRECISION, True,
    )  # fmt: skip
    dq_tile = dq + i[:, None] * dq_steps[2] + d[None, :] * dq_steps[3]
    tl.store(dq_tile, (gradient * scale).to(dq.dtype.element_ty), mask=(t[:, None] < T) & (d[None, :] < D))


# ------------------------------------------------------------------------------------------------------------ launches

# Tiles (rows, columns, warps, stages) by head size, to the power of two, and kernel: the largest whose registers do not
# spill, for plain attention, and for attention with a mask, dropout or a head size between powers of two.
Tile = tuple[int, int, int, int]
HOPPER: dict[tuple[str, int], tuple[Tile, Tile]] = {  # 16-bit floats
    ("forward", 64): ((128, 128, 8, 2), (128, 64, 8, 3)),
    ("forward", 128): ((128, 128, 8, 2), (128, 64, 8, 3)),
    ("forward", 256): ((64, 32, 8, 2), (128, 32, 8, 2)),
    ("keys", 64): ((64, 128, 8, 3), (32, 128, 8, 2)),
    ("keys", 128): ((32, 128, 8, 2), (16, 128, 8, 2)),
    ("keys", 256): ((32, 32, 8, 1), (32, 32, 8, 1)),
    ("queries", 64): ((128, 64, 8, 3), (64, 32, 4, 2)),
    ("queries", 128): ((128, 64, 8, 2), (128, 32, 8, 2)),
    ("queries", 256): ((64, 32, 8, 2), (32, 32, 8, 1)),
}
AMPERE: dict[tuple[str, int], tuple[Tile, Tile]] = {
    ("forward", 64): ((128, 64, 8, 3), (128, 64, 8, 3)),
    ("forward", 128): ((128, 32, 8, 3), (128, 32, 8, 3)),
    ("forward", 256): ((64, 64, 8, 2), (64, 32, 8, 2)),
    ("keys", 64): ((64, 128, 8, 3), (16, 64, 4, 2)),
    ("keys", 128): ((16, 128, 8, 2), (16, 128, 8, 2)),
    ("keys", 256): ((16, 64, 8, 1), (32, 32, 8, 1)),
    ("queries", 64): ((128, 64, 8, 3), (64, 32, 4, 2)),
    ("queries", 128): ((128, 32, 8, 2), (128, 32, 8, 2)),
    ("queries", 256): ((64, 32, 8, 2), (64, 16, 8, 1)),
}
SINGLE: dict[tuple[str, int], tuple[Tile, Tile]] = {  # float32, off the tensor cores: operands live in registers
    ("forward", 64): ((32, 16, 8, 2), (32, 16, 8, 2)),
    ("forward", 128): ((32, 32, 8, 1), (32, 32, 8, 1)),
    ("forward", 256): ((16, 16, 8, 1), (16, 16, 8, 1)),
    ("keys", 64): ((32, 32, 8, 1), (32, 32, 8, 1)),
    ("keys", 128): ((16, 16, 8, 1), (16, 16, 8, 1)),
    ("queries", 64): ((32, 32, 4, 1), (16, 16, 4, 1)),
    ("queries", 128): ((32, 32, 8, 1), (32, 16, 8, 1)),
}
LARGEST_SINGLE = 128  # head size of float32's backward: with more it spills


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
    """y (B, H, T, E) and lse (B, H, T); q (B, H, T, D), k (B, G, S, D), v (B, G, S, E)."""
    if not _takes(q, k, v):
        return reference.forward(q, k, v, mask, causal, scale, p, seed)
    xp = namespace(q)
    (B, H, T, _), (_, G, S, E) = q.shape, v.shape
    y = xp.empty_like(q, shape=(B, H, T, E))
    lse = xp.empty((B, H, T), "float32")
    mask, kind = _mask(xp, mask, (B, H, T, S))
    constants, rows, _ = _constants("forward", q, v, kind, causal, p)
    launch(
        attention_forward,
        (triton.cdiv(T, rows) * B * H,),
        *(q, k, v, mask, y, lse),
        *(_steps(x) for x in (q, k, v, mask, y)),
        *(H, H // G, T, S, float(scale) * 1.4426950408889634, float(p), seed),
        **constants,
    )
    return y, lse


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
    """∂q, ∂k, ∂v from the gradient g of the result y."""
    too_large = q.dtype.itemsize == 4 and max(q.shape[-1], v.shape[-1]) > LARGEST_SINGLE
    if not _takes(q, k, v) or g.dtype != q.dtype or too_large:
        return reference.backward(g, q, k, v, y, lse, mask, causal, scale, p, seed)
    xp = namespace(q)
    (B, H, T, _), (_, G, S, E) = q.shape, v.shape
    dq, dk, dv = xp.empty_like(q), xp.empty_like(k), xp.empty_like(v)
    lse, delta = xp.ascontiguousarray(lse, "float32"), xp.empty((B, H, T), "float32")
    mask, kind = _mask(xp, mask, (B, H, T, S))
    size = max(next_power_of_2(E), 16)
    rows = max(4096 // size, 16)
    launch(
        attention_delta,
        (triton.cdiv(T, rows) * B * H,),
        *(g, y, delta, _steps(g), _steps(y), H, T),
        E=E,
        BLOCK_E=size,
        ROWS=rows,
        num_warps=4,
    )
    constants, _, columns = _constants("keys", q, v, kind, causal, p)
    launch(
        attention_backward_keys,
        (triton.cdiv(S, columns) * B * G,),
        *(q, k, v, mask, g, lse, delta, dk, dv),
        *(_steps(x) for x in (q, k, v, mask, g, dk, dv)),
        *(G, H // G, T, S, float(scale), float(p), seed),
        **constants,
    )
    constants, rows, _ = _constants("queries", q, v, kind, causal, p)
    launch(
        attention_backward_queries,
        (triton.cdiv(T, rows) * B * H,),
        *(q, k, v, mask, g, lse, delta, dq),
        *(_steps(x) for x in (q, k, v, mask, g, dq)),
        *(H, H // G, T, S, float(scale), float(p), seed),
        **constants,
    )
    return dq, dk, dv


def _takes(q: Any, k: Any, v: Any) -> bool:
    floats = q.dtype == k.dtype == v.dtype and q.dtype.kind in "fV" and q.dtype.itemsize <= 4
    return floats and min(q.size, k.size, v.size) > 0 and max(q.shape[-1], v.shape[-1]) <= 256


def _steps(x: Any) -> tuple:
    return (0, 0, 0, 0) if x is None else tuple(step // x.dtype.itemsize for step in x.strides)


def _mask(xp: Any, mask: Any, shape: tuple) -> tuple[Any, str]:
    """The mask broadcast (in steps of 0, not in memory), and its kind."""
    if mask is None:
        return None, "none"
    boolean = mask.dtype.kind == "b"
    mask = xp.broadcast_to(mask.view("uint8") if boolean else mask, shape)
    return mask, "boolean" if boolean else "added"


def _constants(kernel: str, q: Any, v: Any, mask: str, causal: bool, p: float) -> tuple[dict, int, int]:
    """The kernel's constants and settings; of them, its rows and columns."""
    D, E = q.shape[-1], v.shape[-1]
    block_d, block_e = max(next_power_of_2(D), 16), max(next_power_of_2(E), 16)
    half = q.dtype.itemsize == 2
    tiles = SINGLE if not half else HOPPER if architecture() >= 90 else AMPERE
    plain, special = tiles[kernel, max(block_d, block_e, 64)]
    bits = 32 if math.prod(q.shape[:3]) * v.shape[2] < 1 << 31 else 64
    is_plain = mask == "none" and not p and (block_d, block_e) == (D, E)
    rows, columns, warps, stages = plain if is_plain else special
    constants = {
        "D": D,
        "E": E,
        "BLOCK_D": block_d,
        "BLOCK_E": block_e,
        "ROWS": rows,
        "COLUMNS": columns,
        "MASK": mask,
        "CAUSAL": bool(causal),
        "DROPOUT": bits if p > 0 else 0,
        "PRECISION": "ieee" if half else input_precision(),
        "num_warps": warps,
        "num_stages": stages,
    }
    return constants, rows, columns


def compile_cases(array: Any) -> Any:
    """Calls that between them compile what is shipped."""
    for dtype in ("float16", "float32"):
        for size, width in ((64, 64), (128, 128), (256, 256), (80, 96)):
            q, v, lse = array((2, 4, 256, size), dtype), array((2, 4, 256, width), dtype), array((2, 4, 256))
            everything = {"p": 0.1, "seed": 7, "mask": array((2, 1, 1, 256)), "causal": True}
            options = [{"causal": True}, {}, everything, {"mask": array((256, 256), "bool")}]
            for option in options if size != 80 else options[::2]:
                yield partial(forward, q, q, v, **option)
                yield partial(backward, v, q, q, v, v, lse, **option)
