"""Adam as one compiled loop: each of the arrays is read once and written once, which is all that there is to gain."""

from __future__ import annotations

import math

import numpy as np

from minidl_kernels.adam import with_numpy as reference
from minidl_kernels.compiled import compiled, in_parts, takes
from minidl_kernels.pieces import flattened


@compiled
def _update(x, g, m, v, rate, new1, beta2, new2, root, eps, shrink, decay, sign):
    for i in range(x.size):
        gradient = sign * g[i] + decay * x[i]
        m[i] += new1 * (gradient - m[i])
        v[i] = beta2 * v[i] + new2 * gradient * gradient
        x[i] = shrink * x[i] - rate * m[i] / (np.sqrt(v[i]) * root + eps)


@compiled
def _update_largest(x, g, m, v, v_max, rate, new1, beta2, new2, root, eps, shrink, decay, sign):
    for i in range(x.size):
        gradient = sign * g[i] + decay * x[i]
        m[i] += new1 * (gradient - m[i])
        v[i] = beta2 * v[i] + new2 * gradient * gradient
        v_max[i] = v[i] if not v_max[i] >= v[i] else v_max[i]
        x[i] = shrink * x[i] - rate * m[i] / (np.sqrt(v_max[i]) * root + eps)


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
    for x, g, m, v, v_max, t in zip(xs, gs, ms, vs, v_maxs, ts):
        arrays = (x, g, m, v) if v_max is None else (x, g, m, v, v_max)
        flat = flattened(arrays) if takes(*arrays) else None
        if flat is None:
            reference.step(
                [x], [g], [m], [v], [v_max], [t], lr=lr, beta1=beta1, beta2=beta2, eps=eps,
                weight_decay=weight_decay, decoupled=decoupled, maximize=maximize,
            )  # fmt: skip
            continue
        settings = [
            np.float32(value)
            for value in (
                lr / (1 - beta1**t),
                1 - beta1,  # in double precision: 1 - 0.999 in float32 keeps four digits
                beta2,
                1 - beta2,
                1 / math.sqrt(1 - beta2**t),
                eps,
                1 - lr * weight_decay if decoupled else 1,
                0 if decoupled else weight_decay,
                -1 if maximize else 1,
            )
        ]
        in_parts(_update if v_max is None else _update_largest, flat, *settings)
