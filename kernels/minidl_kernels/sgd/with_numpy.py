"""Stochastic gradient descent in pieces that stay in the cache."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl_kernels.pieces import PIECE, each_piece


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
    settings = (lr, momentum, dampening, weight_decay, nesterov, maximize)
    for i, (x, g, buffer) in enumerate(zip(xs, gs, buffers)):
        if x.size <= PIECE and buffer is None and not weight_decay:  # the shortest way for small parameters
            x += g * (lr if maximize else -lr)
        else:
            _step((x, g, buffer), bool(firsts) and firsts[i], *settings)


def _step(
    arrays: tuple,
    first: bool,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
    maximize: bool,
) -> None:
    def update(x: Any, g: Any, buffer: Any, a: Any, b: Any) -> None:
        if maximize:
            g = np.negative(g, out=b)
        if weight_decay:
            np.multiply(x, weight_decay, out=a)
            g = np.add(g, a, out=b)
        if buffer is None:
            np.multiply(g, -lr, out=a)
        else:
            if first:
                buffer[...] = g
            else:
                np.multiply(buffer, momentum, out=buffer)
                np.multiply(g, 1 - dampening, out=a)
                np.add(buffer, a, out=buffer)
            if nesterov:
                np.multiply(buffer, momentum, out=a)
                np.add(g, a, out=a)
                np.multiply(a, -lr, out=a)
            else:
                np.multiply(buffer, -lr, out=a)
        np.add(x, a, out=x)

    each_piece(update, arrays, scratch=2)
