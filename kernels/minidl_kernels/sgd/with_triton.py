"""Stochastic gradient descent in Triton: all parameters in one launch, through a table of addresses (see room adam)."""

from __future__ import annotations

from functools import partial
from typing import Any

from minidl_kernels.triton_runtime import launch

import triton  # isort: skip
import triton.language as tl  # isort: skip

from minidl_kernels.arrays import namespace
from minidl_kernels.chunked import CHUNK, tables, together
from minidl_kernels.sgd import with_cupy as wide

BLOCK = 1024


@triton.jit
def sgd_step(
    addresses, sizes, parameter, first, starts, lr, momentum, kept, decay, sign,
    BUFFER: tl.constexpr, NESTEROV: tl.constexpr, CHUNK: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    p = tl.load(parameter + tl.program_id(0))
    row = addresses + p * (3 if BUFFER else 2)
    x = tl.load(row).to(tl.pointer_type(tl.float32))
    g = tl.load(row + 1).to(tl.pointer_type(tl.float32))
    size, begin = tl.load(sizes + p), tl.load(first + tl.program_id(0))
    start = tl.load(starts + p) != 0
    for offset in range(0, CHUNK, B):
        i = begin + offset + tl.arange(0, B)
        inside = i < size
        value = tl.load(x + i, mask=inside, other=0.0)
        gradient = sign * tl.load(g + i, mask=inside, other=0.0) + decay * value
        if BUFFER:
            buffer = tl.load(row + 2).to(tl.pointer_type(tl.float32))
            mean = momentum * tl.load(buffer + i, mask=inside, other=0.0) + kept * gradient
            mean = tl.where(start, gradient, mean)
            tl.store(buffer + i, mean, mask=inside)
            gradient = gradient + momentum * mean if NESTEROV else mean
        tl.store(x + i, value - lr * gradient, mask=inside)


def step(
    xs: list,
    gs: list,
    buffers: list,
    *,
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    maximize: bool = False,
    firsts: Any = (),
) -> None:
    """Change every ``x`` (and ``buffer``, which ``first`` starts) in place."""
    firsts = firsts or [False] * len(xs)
    groups, taken, others = together(list(zip(xs, gs, buffers)))
    if others:
        rest = ([every[i] for i in others] for every in (xs, gs, buffers))
        settings: Any = {"momentum": momentum, "dampening": dampening, "weight_decay": weight_decay}
        settings |= {"nesterov": nesterov, "maximize": maximize, "firsts": [firsts[i] for i in others]}
        wide.step(*rest, lr=lr, **settings)
    if not groups:
        return
    addresses, sizes, parameter, first = tables(groups)
    begun = namespace(groups[0][0]).asarray([int(firsts[i]) for i in taken], "int32")
    numbers = (float(lr), float(momentum), float(1 - dampening), float(weight_decay), -1.0 if maximize else 1.0)
    constants = {"BUFFER": len(groups[0]) == 3, "NESTEROV": bool(nesterov), "CHUNK": CHUNK, "B": BLOCK}
    launch(sgd_step, (len(parameter),), addresses, sizes, parameter, first, begun, *numbers, **constants)


def compile_cases(array: Any) -> Any:
    """Calls that between them compile what is shipped."""
    x = [array((1000,))]
    yield partial(step, x, x, [None], lr=0.1)
    for nesterov in (False, True):
        yield partial(step, x, x, x, lr=0.1, momentum=0.9, nesterov=nesterov)
