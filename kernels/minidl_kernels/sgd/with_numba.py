"""Stochastic gradient descent as one compiled loop."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl_kernels.compiled import compiled, in_parts, takes
from minidl_kernels.pieces import flattened
from minidl_kernels.sgd import with_numpy as reference

SMALL = 1 << 12  # values up to which two calls of NumPy's are sooner done than a compiled loop is called


@compiled
def _plain(x, g, lr, decay, sign):
    for i in range(x.size):
        x[i] -= lr * (sign * g[i] + decay * x[i])


@compiled
def _with_momentum(x, g, buffer, lr, decay, sign, momentum, kept, nesterov, first):
    for i in range(x.size):
        gradient = sign * g[i] + decay * x[i]
        buffer[i] = gradient if first else momentum * buffer[i] + kept * gradient
        x[i] -= lr * (gradient + momentum * buffer[i] if nesterov else buffer[i])


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
    settings: dict[str, Any] = {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay}
    settings |= {"nesterov": nesterov, "maximize": maximize}
    if not momentum and not weight_decay and all(x.size <= SMALL for x in xs):
        reference.step(xs, gs, buffers, firsts=firsts, **settings)
        return
    rate, decay, sign = np.float32(lr), np.float32(weight_decay), np.float32(-1 if maximize else 1)
    for i, (x, g, buffer) in enumerate(zip(xs, gs, buffers)):
        first = bool(firsts) and firsts[i]
        arrays = (x, g) if buffer is None else (x, g, buffer)
        flat = flattened(arrays) if takes(*arrays) else None
        if flat is None:
            reference.step([x], [g], [buffer], firsts=[first], **settings)
        elif buffer is None:
            in_parts(_plain, flat, rate, decay, sign)
        else:
            rest = (rate, decay, sign, np.float32(momentum), np.float32(1 - dampening), nesterov, first)
            in_parts(_with_momentum, flat, *rest)
