"""Stochastic gradient descent in pieces that stay in the cache."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl_kernels.pieces import PIECE, each_piece


def step(
    x: Any,
    g: Any,
    buffer: Any,
    *,
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    maximize: bool = False,
    first: bool = False,
) -> None:
    """Change ``x`` (and ``buffer``, which ``first`` starts) in place."""
    if x.size <= PIECE and buffer is None and not weight_decay:  # the shortest way for small parameters
        x += g * (lr if maximize else -lr)
        return

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

    each_piece(update, (x, g, buffer), scratch=2)
