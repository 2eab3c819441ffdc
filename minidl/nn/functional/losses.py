"""Losses of values against values: squares, absolute values, and what lies between."""

from __future__ import annotations

from typing import Any

from minidl import ops
from minidl.autograd.autocast import in_float32
from minidl.autograd.tape import Operator, apply
from minidl.backends import namespace
from minidl.nn.functional.reduction import chosen, of_one_size, operands, reduced

__all__ = ["huber_loss", "l1_loss", "mse_loss", "smooth_l1_loss"]


class SquaredError(Operator):
    """y = (x - t)²;  ∂y/∂x = 2 (x - t) = -∂y/∂t."""

    broadcasts = True

    def forward(self, x: Any, t: Any) -> Any:
        self.save(x, t)
        difference = x - t
        return difference * difference

    def backward(self, g: Any) -> Any:
        x, t = self.saved
        dx = (x - t) * (g + g)
        return dx, -dx


class Huber(Operator):
    """y = k z²/2 where |z| < δ, else k δ (|z| - δ/2), with z = x - t;  ∂y/∂x = k min(max(z, -δ), δ) = -∂y/∂t.

    k is 1; with ``scale`` 1/δ: the smooth L1 loss.
    """

    broadcasts = True

    def __init__(self, delta: float, scale: bool = False) -> None:
        self.delta, self.scale = delta, scale

    def forward(self, x: Any, t: Any) -> Any:
        self.save(x, t)
        z = x - t
        size, delta = abs(z), z.dtype.type(self.delta)
        half = z.dtype.type(0.5)
        inside, outside = half * size * size, size - half * delta
        if self.scale:
            inside = inside / delta
        else:
            outside = outside * delta
        return namespace(x).where(size < delta, inside, outside)

    def backward(self, g: Any) -> Any:
        x, t = self.saved
        slope = ops.clamp(x - t, -self.delta, self.delta)
        dx = g * (slope / self.delta if self.scale else slope)
        return dx, -dx


def _weighted(name: str, loss: Any, weight: Any, input: Any) -> Any:
    if tuple(weight.shape) != tuple(input.shape):
        raise ValueError(
            f"{name}(): Weights and input must have the same size, got {list(weight.shape)} and {list(input.shape)}"
        )
    return loss * weight


@in_float32
def mse_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Any = None,
) -> Any:
    """(input - target)², reduced.

    Args:
        input, target: of one shape; others are broadcast, with a UserWarning.
        weight: of the input's shape; "mean" then divides by its sum.
    """
    input, target = of_one_size("mse_loss", input, target)
    reduction = chosen(reduction, size_average, reduce)
    loss = apply(SquaredError(), *operands("mse_loss", input, target))
    if weight is None:
        return reduced(loss, reduction)
    loss = _weighted("mse_loss", loss, weight, input)
    return ops.sum(loss) / ops.sum(weight) if reduction == "mean" else reduced(loss, reduction)


@in_float32
def l1_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Any = None,
) -> Any:
    """|input - target|, reduced; arguments of :func:`mse_loss`."""
    input, target = of_one_size("l1_loss", input, target)
    reduction = chosen(reduction, size_average, reduce)
    loss = ops.abs(ops.sub(input, target))
    if weight is None:
        return reduced(loss, reduction)
    loss = _weighted("l1_loss", loss, weight, input)
    return ops.sum(loss) / ops.sum(weight) if reduction == "mean" else reduced(loss, reduction)


@in_float32
def smooth_l1_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Any:
    """z²/2β where |z| < β, else |z| - β/2, with z = input - target (Girshick 2015, "Fast R-CNN", equation 3).

    β = 0 is :func:`l1_loss`; RuntimeError below.
    """
    input, target = of_one_size("smooth_l1_loss", input, target)
    reduction = chosen(reduction, size_average, reduce)
    if beta < 0:
        raise RuntimeError(f"smooth_l1_loss does not support negative values for beta, got {beta}")
    input, target = operands("smooth_l1_loss", input, target)
    loss = ops.abs(input - target) if beta == 0 else apply(Huber(beta, scale=True), input, target)
    return reduced(loss, reduction)


@in_float32
def huber_loss(input: Any, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None) -> Any:
    """z²/2 where |z| < δ, else δ (|z| - δ/2), with z = input - target (Huber 1964). RuntimeError unless δ > 0.

    ``weight``: of the input's shape, a factor for each element.
    """
    input, target = of_one_size("huber_loss", input, target)
    reduction = chosen(reduction)
    if delta <= 0:
        raise RuntimeError(f"huber_loss does not support non-positive values for delta, got {delta}")
    loss = apply(Huber(delta), *operands("huber_loss", input, target))
    return reduced(loss if weight is None else _weighted("huber_loss", loss, weight, input), reduction)
