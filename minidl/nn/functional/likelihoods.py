"""Losses that are minus the logarithm of a likelihood: Bernoulli, Poisson, normal; and the divergence of two."""

from __future__ import annotations

import math
import warnings
from typing import Any

from minidl import ops
from minidl.autograd.autocast import in_float32
from minidl.autograd.grad_mode import no_grad
from minidl.autograd.tape import Operator, apply
from minidl.backends import namespace
from minidl.callers import stacklevel
from minidl.nn.functional.reduction import chosen, operands, reduced, tensors
from minidl.ops.common import broadcast_shapes
from minidl.tensor import raw, wrap

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "gaussian_nll_loss",
    "kl_div",
    "poisson_nll_loss",
]


class BinaryCrossEntropy(Operator):
    """y = -(t log p + (1 - t) log(1 - p));  ∂y/∂p = (p - t) / (p (1 - p)), ∂y/∂t = log(1 - p) - log p.

    Logarithms are not below -100.
    """

    broadcasts = True

    def forward(self, p: Any, t: Any) -> Any:
        self.save(p, t)
        xp, lowest = namespace(p), p.dtype.type(-100)
        one = p.dtype.type(1)
        return (t - one) * xp.maximum(xp.log1p(-p), lowest) - t * xp.maximum(xp.log(p), lowest)

    def backward(self, g: Any) -> Any:
        p, t = self.saved
        dp = g * (p - t) / ops.clamp_min(p * (1 - p), 1e-12) if self.needs[0] else None
        return dp, g * (ops.log1p(-p) - ops.log(p)) if self.needs[1] else None


class LogOnePlusExp(Operator):
    """y = log(1 + eˣ) = max(x, 0) + log(1 + e^-|x|), which cannot overflow;  ∂y/∂x = σ(x)."""

    def forward(self, x: Any) -> Any:
        self.save(x)
        xp = namespace(x)
        return xp.maximum(x, x.dtype.type(0)) + xp.log1p(xp.exp(-abs(x)))

    def backward(self, g: Any) -> Any:
        return g * ops.sigmoid(self.saved)


@in_float32
def binary_cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """-(t log p + (1 - t) log(1 - p)) for probabilities p = ``input``; logarithms are held at or above -100.

    Args:
        input, target: of one shape, in [0, 1].
        weight: a factor, broadcast to them.

    Raises:
        ValueError: different shapes. RuntimeError: different types, or values outside [0, 1].
    """
    name = "binary_cross_entropy"
    tensors(name, input=input, target=target)
    reduction = chosen(reduction, size_average, reduce)
    if tuple(input.shape) != tuple(target.shape):
        raise ValueError(
            f"{name}(): Using a target size ({list(target.shape)}) that is different to the input size "
            f"({list(input.shape)}) is deprecated. Please ensure they have the same size."
        )
    p, t = raw(input), raw(target)
    if p.dtype.kind in "iub" or p.dtype != t.dtype:
        raise RuntimeError(f"{name}(): Found dtype {target.dtype} of target but expected that of input: {input.dtype}")
    for argument, x in (("input", p), ("target", t)):
        if not bool(((x >= 0) & (x <= 1)).all()):
            hint = "; for logits use binary_cross_entropy_with_logits" if argument == "input" else ""
            raise RuntimeError(f"{name}(): all elements of {argument} should be between 0 and 1{hint}")
    loss = apply(BinaryCrossEntropy(), input, target)
    if weight is not None:
        if broadcast_shapes(name, target, weight) != tuple(input.shape):
            raise RuntimeError(f"{name}(): weight {list(weight.shape)} does not broadcast to input {list(input.shape)}")
        loss = loss * weight
    return reduced(loss, reduction)


@in_float32
def binary_cross_entropy_with_logits(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Any = None,
) -> Any:
    """:func:`binary_cross_entropy` of sigmoid(input), computed without forming it: stable at any magnitude.

    Args:
        input, target: of one shape; target in [0, 1].
        weight: a factor, broadcast to them.
        pos_weight: a factor of the positive part, broadcast to them: one for each class, usually.

    Raises:
        ValueError: different shapes. RuntimeError: a weight that does not broadcast.
    """
    name = "binary_cross_entropy_with_logits"
    tensors(name, input=input, target=target)
    reduction = chosen(reduction, size_average, reduce)
    if tuple(input.shape) != tuple(target.shape):
        raise ValueError(
            f"{name}(): Target size ({list(target.shape)}) must be the same as input size ({list(input.shape)})"
        )
    if raw(target).dtype.kind in "iub":
        raise RuntimeError(f"{name}(): target must be floating, not {target.dtype}; convert it with .to(input.dtype)")
    input, target = operands(name, input, target)
    surprise = apply(LogOnePlusExp(), -input)
    if pos_weight is not None:
        broadcast_shapes(f"{name}(): pos_weight", pos_weight, input)
        surprise = surprise * ((pos_weight - 1) * target + 1)
    loss = (1 - target) * input + surprise
    if weight is not None:
        broadcast_shapes(f"{name}(): weight", weight, input)
        loss = loss * weight
    return reduced(loss, reduction)


@in_float32
def kl_div(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Any:
    """t (log t - input) for log probabilities ``input`` (Kullback & Leibler 1951).

    Args:
        target: probabilities t; their logarithms with ``log_target``.
        reduction: also "batchmean", the sum divided by ``input.shape[0]``, which is the divergence of the definition.
    """
    tensors("kl_div", input=input, target=target)
    per_sample = reduction == "batchmean" and size_average is None and reduce is None
    if reduction == "mean" and size_average is None and reduce is None:
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support size. 'batchmean' divides "
            "only by the batch size, and aligns with the KL div math definition.",
            UserWarning,
            stacklevel=stacklevel(),
        )
    how = "sum" if per_sample else chosen(reduction, size_average, reduce)
    input, target = operands("kl_div", input, target)
    loss = ops.exp(target) * (target - input) if log_target else ops.xlogy(target, target) - target * input
    loss = reduced(loss, how)
    return loss / input.shape[0] if per_sample and input.ndim else loss


@in_float32
def poisson_nll_loss(
    input: Any,
    target: Any,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """-log of the Poisson probability of ``target``, without log t!: exp(x) - t x, or x - t log(x + eps).

    Args:
        input: the logarithm of the rate; the rate itself if not ``log_input``.
        full: add Stirling's t log t - t + log(2π t)/2 where t > 1.
    """
    tensors("poisson_nll_loss", input=input, target=target)
    reduction = chosen(reduction, size_average, reduce)
    input, target = operands("poisson_nll_loss", input, target)
    loss = ops.exp(input) - target * input if log_input else input - target * ops.log(input + eps)
    if full:
        large = target > 1
        t = ops.where(large, target, 1.0)
        stirling = t * ops.log(t) - t + 0.5 * ops.log(2 * math.pi * t)
        loss = loss + ops.where(large, stirling, 0.0)
    return reduced(loss, reduction)


def gaussian_nll_loss(
    input: Any, target: Any, var: Any, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Any:
    """(log v + (input - target)² / v) / 2 with v = max(var, eps) (Nix & Weigend 1994, equation 4).

    Args:
        var: of the input's shape, or with a single dimension of size 1 or without the last one; or a float.
        full: add log(2π)/2.

    Raises:
        ValueError: a negative variance, or one of another shape.
    """
    name = "gaussian_nll_loss"
    tensors(name, input=input, target=target)
    if isinstance(var, (int, float)):
        var = wrap(namespace(raw(input)).full_like(raw(input), var))
    if bool((raw(var) < 0).any()):
        raise ValueError(f"{name}(): var has negative entry/entries")
    shape, its = tuple(input.shape), tuple(var.shape)
    if its != shape:
        if shape[:-1] == its:
            var = var.unsqueeze(-1)
        elif len(shape) != len(its) or sum(b for a, b in zip(shape, its) if a != b) != 1:
            raise ValueError(f"{name}(): var is of incorrect size: {list(its)} for an input of size {list(shape)}")
    reduction = chosen(reduction)
    broadcast_shapes(name, input, target)
    var = var.clone()
    with no_grad():  # the gradient flows as if the bound were not there
        var.clamp_(min=eps)
    difference = input - target
    loss = 0.5 * (ops.log(var) + difference * difference / var)
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return reduced(loss, reduction)
