"""Adam in pieces that stay in the cache: a dozen whole-array passes would each fetch their operands from memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minidl_kernels.pieces import each_piece


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
    settings = (lr, beta1, beta2, eps, weight_decay, decoupled, maximize)
    for *arrays, t in zip(xs, gs, ms, vs, v_maxs, ts):
        _step(tuple(arrays), t, *settings)


def _step(
    arrays: tuple,
    t: float,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
    maximize: bool,
) -> None:
    root = math.sqrt(1 - beta2**t)
    rate = -lr / (1 - beta1**t)

    def update(x: Any, g: Any, m: Any, v: Any, v_max: Any, a: Any, b: Any) -> None:
        if maximize:
            g = np.negative(g, out=b)
        if weight_decay and decoupled:
            np.multiply(x, 1 - lr * weight_decay, out=x)
        elif weight_decay:
            np.multiply(x, weight_decay, out=a)
            g = np.add(g, a, out=b)
        np.subtract(g, m, out=a)  # m += (1 - β₁)(g - m)
        np.multiply(a, 1 - beta1, out=a)
        np.add(m, a, out=m)
        np.multiply(g, g, out=a)  # v = β₂ v + (1 - β₂) g²
        np.multiply(a, 1 - beta2, out=a)
        np.multiply(v, beta2, out=v)
        np.add(v, a, out=v)
        if v_max is not None:
            v = np.maximum(v_max, v, out=v_max)
        np.sqrt(v, out=a)
        np.multiply(a, 1 / root, out=a)
        np.add(a, eps, out=a)
        np.divide(m, a, out=a)
        np.multiply(a, rate, out=a)
        np.add(x, a, out=x)

    each_piece(update, arrays, scratch=2)
