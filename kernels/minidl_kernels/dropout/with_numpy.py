"""Dropout with numbers drawn outside, so that every backend drops the same values."""

from __future__ import annotations

from typing import Any

import numpy as np


def forward(x: Any, uniform: Any, p: float) -> tuple[Any, Any]:
    """``y, kept``."""
    kept = np.greater_equal(uniform, p)
    return backward(x, kept, p), kept


def backward(g: Any, kept: Any, p: float) -> Any:
    """∂x: the kept gradients, scaled; the same map as forward's, which is linear."""
    dx = np.multiply(g, kept)
    if p < 1:
        dx *= g.dtype.type(1 / (1 - p))
    return dx
