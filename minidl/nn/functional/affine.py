"""Affine maps: ``linear``."""

from __future__ import annotations

from typing import Any

from minidl import ops

__all__ = ["linear"]


def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """y = x Wᵀ + b.  input (*, in_features), weight (out_features, in_features) or (in_features), bias (out_features).

    RuntimeError if the last dimension of ``input`` is not that of ``weight``.
    """
    if input.ndim == 0 or weight.ndim == 0 or input.shape[-1] != weight.shape[-1]:
        raise RuntimeError(
            f"linear(): input {list(input.shape)} and weight {list(weight.shape)} must share their last dimension "
            "(in_features)"
        )
    y = ops.matmul(input, weight.mT if weight.ndim > 1 else weight)
    return y if bias is None else y + bias
