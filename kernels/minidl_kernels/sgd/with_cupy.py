"""Stochastic gradient descent in CUDA C: all parameters in one launch, through a table of addresses (see room adam)."""

from __future__ import annotations

from typing import Any

from minidl_kernels.arrays import namespace
from minidl_kernels.chunked import tables, together
from minidl_kernels.cuda_c import CudaSource
from minidl_kernels.sgd import with_numpy as reference

source = CudaSource(__file__, "sgd.cu")
THREADS = 256


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
        reference.step(*rest, lr=lr, **settings)
    if not groups:
        return
    addresses, sizes, parameter, first = tables(groups)
    xp = namespace(groups[0][0])
    if len(groups[0]) == 2:  # no buffer: a null pointer
        addresses = xp.concatenate([addresses, xp.zeros((len(groups), 1), addresses.dtype)], 1)
    source.launch(
        "sgd_step",
        (len(parameter),),
        (THREADS,),
        *(addresses, sizes, parameter, first, xp.asarray([int(firsts[i]) for i in taken], "int32")),
        *(lr, momentum, 1 - dampening, weight_decay, -1.0 if maximize else 1.0, nesterov),
    )
