"""Affine and bilinear maps."""

from __future__ import annotations

import math
from typing import Any

from minidl import ops
from minidl.autograd.autocast import as_given, in_half
from minidl.autograd.tape import Operator, apply
from minidl.backends import kernel
from minidl.tensor import Tensor

__all__ = ["bilinear", "linear"]


class Linear(Operator):
    """y = x Wᵀ + b;  ∂x = g W,  ∂W = gᵀ x,  ∂b = Σ g over all but the last dimension."""

    def forward(self, x: Any, weight: Any, bias: Any) -> Any:
        if self.needs:
            self._saved = (x if self.needs[1] else None, weight if self.needs[0] else None)
        return kernel("matmul").forward(x, weight.T, bias)

    def backward(self, g: Any) -> Any:
        x, weight = self.saved
        needs = self.needs
        multiply = ops.matmul if isinstance(g, Tensor) else kernel("matmul").forward
        dx = multiply(g, weight) if needs[0] else None
        if g.ndim != 2 and (needs[1] or needs[2]):
            rows = math.prod(g.shape[:-1])
            g = g.reshape((rows, g.shape[-1]))
            x = x.reshape((rows, x.shape[-1])) if needs[1] else None
        dweight = multiply(g.T, x) if needs[1] else None
        if not needs[2]:
            return dx, dweight, None
        return dx, dweight, g.sum(0) if isinstance(g, Tensor) or g.dtype.itemsize > 2 else ops.sum(g, 0)


@in_half
def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """y = x Wᵀ + b.

    Args:
        input: (*, in_features).
        weight: (out_features, in_features), or (in_features), which gives (*).
        bias: (out_features) or None.

    Raises:
        RuntimeError: the last dimension of ``input`` is not that of ``weight``, ``bias`` is of another size, or their
            types differ.
    """
    shape, wide = input.shape, weight.shape
    if not shape or not wide or len(wide) > 2 or shape[-1] != wide[-1]:
        raise RuntimeError(
            f"linear(): mat1 and mat2 shapes cannot be multiplied: input {list(shape)} and weight {list(wide)} must "
            "share their last dimension (in_features), and weight must be (out_features, in_features)"
        )
    if input.dtype != weight.dtype or (bias is not None and bias.dtype != weight.dtype):
        raise RuntimeError(
            f"linear(): mat1 and mat2 must have the same dtype, but got input {input.dtype}, weight {weight.dtype}"
            + ("" if bias is None else f", bias {bias.dtype}")
            + "; convert with .to()"
        )
    if len(wide) == 1 or (bias is not None and bias.shape != wide[:1]):
        y = ops.matmul(input, weight.mT if len(wide) > 1 else weight)
        return y if bias is None else _add_bias(y, bias)
    return apply(Linear(), input, weight, bias)


def _add_bias(y: Any, bias: Any) -> Any:
    missing = y.ndim - bias.ndim
    if missing < 0 or any(n not in (1, m) for n, m in zip(bias.shape, y.shape[missing:])):
        raise RuntimeError(
            f"linear(): bias {list(bias.shape)} cannot be expanded to the result {list(y.shape)}; it must be "
            "(out_features)"
        )
    return y + bias


@as_given
def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Any:
    """y_o = x₁ᵀ W_o x₂ + b_o: a linear map of the outer products x₁ x₂ᵀ.

    Args:
        input1: (*, in1). input2: (*, in2), of the same leading dimensions.
        weight: (out, in1, in2).
        bias: (out) or None.

    Raises:
        RuntimeError: the sizes do not fit.
    """
    if weight.ndim != 3 or input1.shape[-1:] != weight.shape[1:2] or input2.shape[-1:] != weight.shape[2:]:
        raise RuntimeError(
            f"bilinear(): input1 {list(input1.shape)} must end with in1 and input2 {list(input2.shape)} with in2 of "
            f"weight (out, in1, in2), which is {list(weight.shape)}"
        )
    if input1.shape[:-1] != input2.shape[:-1]:
        raise RuntimeError(
            f"bilinear(): input batch dimensions do not match: {list(input1.shape)} and {list(input2.shape)} may "
            "differ in their last dimension only"
        )
    out, n1, n2 = weight.shape
    if bias is not None and bias.shape != (out,):
        raise RuntimeError(f"bilinear(): bias {list(bias.shape)} must be (out), which is ({out},) by weight")
    products = ops.unsqueeze(input1, -1) * ops.unsqueeze(input2, -2)
    return linear(products.reshape((*input1.shape[:-1], n1 * n2)), weight.reshape((out, n1 * n2)), bias)
