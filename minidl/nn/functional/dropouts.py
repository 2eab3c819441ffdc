"""Dropout."""

from __future__ import annotations

from typing import Any

from minidl.random import generator
from minidl.tensor import wrap

__all__ = ["dropout"]


def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """In training, zero elements with probability ``p``, scale the others by 1/(1 - p). ValueError unless 0 ≤ p ≤ 1."""
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if not training or p == 0.0:
        return input
    kept = generator().random(tuple(input.shape)) >= p
    mask = wrap((kept / (1.0 - p) if p < 1.0 else kept * 0.0).astype(input._data.dtype))
    return input.mul_(mask) if inplace else input * mask
