"""Adam in CUDA C: all parameters in one launch, each value read once and written once.

A model has hundreds of small parameters; a launch for each would cost more than the work. A table of addresses lets each
block find its own piece (as in NVIDIA's Apex, "multi-tensor apply").
"""

from __future__ import annotations

import math

from minidl_kernels.adam import with_numpy as reference
from minidl_kernels.arrays import namespace
from minidl_kernels.chunked import tables, together
from minidl_kernels.cuda_c import CudaSource

source = CudaSource(__file__, "adam.cu")
THREADS = 256


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
        reference.step(*rest, lr=lr, beta1=beta1, beta2=beta2, eps=eps, **settings)
    if not groups:
        return
    addresses, sizes, parameter, first = tables(groups)
    xp = namespace(groups[0][0])
    if len(groups[0]) == 4:  # no v_max: a null pointer
        addresses = xp.concatenate([addresses, xp.zeros((len(groups), 1), addresses.dtype)], 1)
    steps = [ts[i] for i in taken]
    rates = xp.asarray([lr / (1 - beta1**t) for t in steps], "float32")
    roots = xp.asarray([1 / math.sqrt(1 - beta2**t) for t in steps], "float32")
    shrink, decay = (1 - lr * weight_decay, 0.0) if decoupled else (1.0, weight_decay)
    source.launch(
        "adam_step",
        (len(parameter),),
        (THREADS,),
        *(addresses, sizes, parameter, first, rates, roots),
        *(1 - beta1, beta2, 1 - beta2, eps, shrink, decay, -1.0 if maximize else 1.0),
    )
