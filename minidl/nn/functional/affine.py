"""Affine maps: ``linear`` and ``bilinear``."""

from __future__ import annotations

import math
from typing import Any

from minidl import ops
from minidl.autograd.tape import Operator, apply
from minidl.backends import kernel
from minidl.tensor import Tensor

__all__ = ["bilinear", "linear"]


class Linear(Operator):
    """y = x Wᵀ + b;  ∂x = g W,  ∂W = gᵀ x,  ∂b = Σ g."""

    def forward(self, x: Any, w: Any, b: Any = None) -> Any:
        self.save(x, w)
        return kernel("matmul").forward(x, w.T, b)

    def backward(self, g: Any) -> tuple:
        x, w = self.saved
        needs = self.needs
        if g.ndim != 2:  # every leading dimension is a batch of rows
            rows = math.prod(g.shape[:-1])
            flat, tall = g.reshape((rows, g.shape[-1])), x.reshape((rows, x.shape[-1]))
        else:
            flat, tall = g, x
        product = ops.matmul if isinstance(g, Tensor) else kernel("matmul").forward
        dx = product(g, w) if needs[0] else None
        dw = product(flat.T, tall) if needs[1] else None
        if len(needs) == 2:
            return dx, dw
        return dx, dw, flat.sum(0) if needs[2] else None


def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """y = x Wᵀ + b.

    Args:
        input: (*, in_features).
        weight: (out_features, in_features), or (in_features,) for a single output without its dimension.
        bias: (out_features,) or None.

    Raises:
        RuntimeError: sizes that do not fit, or different types.
    """
    if input.ndim == 0 or weight.ndim not in (1, 2) or input.shape[-1] != weight.shape[-1]:
        raise RuntimeError(
            f"linear: mat1 and mat2 shapes cannot be multiplied: input {list(input.shape)} and weight "
            f"{list(weight.shape)} must share their last dimension (in_features)"
        )
    if input.dtype != weight.dtype or (bias is not None and bias.dtype != weight.dtype):
        raise RuntimeError(
            f"linear: mat1 and mat2 must have the same dtype, but input has {input.dtype}, weight {weight.dtype}"
            + ("" if bias is None else f", bias {bias.dtype}")
        )
    if weight.ndim == 1 or input.ndim == 1 or (bias is not None and bias.shape != weight.shape[:1]):
        y = ops.matmul(input, weight.mT if weight.ndim > 1 else weight)
        return y if bias is None else y + bias
    return apply(Linear(), input, weight) if bias is None else apply(Linear(), input, weight, bias)


def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Any:
    """y[o] = x₁ᵀ A[o] x₂ + b[o].

    Args:
        input1, input2: (*, in1_features) and (*, in2_features), the leading dimensions alike.
        weight: (out_features, in1_features, in2_features).
        bias: (out_features,) or None.

    Raises:
        RuntimeError: sizes that do not fit.
    """
    if tuple(input1.shape[:-1]) != tuple(input2.shape[:-1]) or input1.ndim == 0 or input2.ndim == 0:
        raise RuntimeError(
            f"bilinear(): input batch dimensions do not match: got {list(input1.shape)} and {list(input2.shape)}"
        )
    if weight.ndim != 3 or weight.shape[1:] != (input1.shape[-1], input2.shape[-1]):
        raise RuntimeError(
            f"bilinear(): weight {list(weight.shape)} must be (out_features, {input1.shape[-1]}, {input2.shape[-1]}) "
            f"for inputs {list(input1.shape)} and {list(input2.shape)}"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise RuntimeError(
            f"bilinear(): bias size does not match weight size: got {bias.shape[0]} but expected {weight.shape[0]}"
        )
    y = ops.einsum("...i,oij,...j->...o", input1, weight, input2)
    return y if bias is None else y + bias
