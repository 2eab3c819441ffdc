"""Adam in Triton: all parameters in one launch, each value read once and written once.

A program finds its piece of its parameter through a table of addresses, as in CUDA C.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from minidl_kernels.triton_runtime import launch

import triton  # isort: skip
import triton.language as tl  # isort: skip

from minidl_kernels.adam import with_cupy as wide
from minidl_kernels.arrays import namespace
from minidl_kernels.chunked import CHUNK, tables, together

BLOCK = 1024


@triton.jit
def adam_step(
    addresses, sizes, parameter, first, rates, roots, new1, beta2, new2, eps, shrink, decay, sign,
    ARRAYS: tl.constexpr, LARGEST: tl.constexpr, CHUNK: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    p = tl.load(parameter + tl.program_id(0))
    row = addresses + p * ARRAYS
    x = tl.load(row).to(tl.pointer_type(tl.float32))
    g = tl.load(row + 1).to(tl.pointer_type(tl.float32))
    m = tl.load(row + 2).to(tl.pointer_type(tl.float32))
    v = tl.load(row + 3).to(tl.pointer_type(tl.float32))
    rate, root = tl.load(rates + p), tl.load(roots + p)
    size, begin = tl.load(sizes + p), tl.load(first + tl.program_id(0))
    for offset in range(0, CHUNK, B):
        i = begin + offset + tl.arange(0, B)
        inside = i < size
        value = tl.load(x + i, mask=inside, other=0.0)
        gradient = sign * tl.load(g + i, mask=inside, other=0.0) + decay * value
        mean = tl.load(m + i, mask=inside, other=0.0)
        mean += new1 * (gradient - mean)
        square = beta2 * tl.load(v + i, mask=inside, other=0.0) + new2 * gradient * gradient
        tl.store(m + i, mean, mask=inside)
        tl.store(v + i, square, mask=inside)
        if LARGEST:
            v_max = tl.load(row + 4).to(tl.pointer_type(tl.float32))
            before = tl.load(v_max + i, mask=inside, other=0.0)
            square = tl.where(before >= square, before, square)
            tl.store(v_max + i, square, mask=inside)
        tl.store(x + i, shrink * value - rate * mean / (tl.sqrt(square) * root + eps), mask=inside)


def step(
    xs: list,
    gs: list,
    ms: list,
    vs: list,
    v_maxs: list,
    ts: list,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    maximize: bool = False,
) -> None:
    """Change every ``x``, ``m``, ``v`` (and ``v_max``) in place by step number ``t`` (the first is 1)."""
    groups, taken, others = together(list(zip(xs, gs, ms, vs, v_maxs)))
    if others:
        rest = ([every[i] for i in others] for every in (xs, gs, ms, vs, v_maxs, ts))
        settings = {"weight_decay": weight_decay, "decoupled": decoupled, "maximize": maximize}
        wide.step(*rest, lr=lr, beta1=beta1, beta2=beta2, eps=eps, **settings)
    if not groups:
        return
    addresses, sizes, parameter, first = tables(groups)
    xp = namespace(groups[0][0])
    steps = [ts[i] for i in taken]
    rates = xp.asarray([lr / (1 - beta1**t) for t in steps], "float32")
    roots = xp.asarray([1 / math.sqrt(1 - beta2**t) for t in steps], "float32")
    shrink, decay = (1 - lr * weight_decay, 0.0) if decoupled else (1.0, float(weight_decay))
    constants = {"ARRAYS": len(groups[0]), "LARGEST": len(groups[0]) == 5, "CHUNK": CHUNK, "B": BLOCK}
    betas = (
        1 - float(beta1),
        float(beta2),
        1 - float(beta2),
    )  # in double precision: 1 - 0.999 in float32 keeps four digits
    numbers = (*betas, float(eps), float(shrink), decay, -1.0 if maximize else 1.0)
    launch(adam_step, (len(parameter),), addresses, sizes, parameter, first, rates, roots, *numbers, **constants)


def compile_cases(array: Any) -> Any:
    """Calls that between them compile what is shipped."""
    settings = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
    four = [[array((1000,))] for _ in range(4)]
    yield partial(step, *four, [None], [1], **settings)
    yield partial(step, *four, [array((1000,))], [1], **settings)
