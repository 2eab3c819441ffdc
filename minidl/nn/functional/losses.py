"""Losses: ``cross_entropy``, ``nll_loss``, ``mse_loss``."""

from __future__ import annotations

from typing import Any

from minidl import ops
from minidl.backends import namespace
from minidl.nn.functional.softmaxes import log_softmax
from minidl.tensor import wrap

__all__ = ["cross_entropy", "mse_loss", "nll_loss"]


def _reduce(loss: Any, reduction: str) -> Any:
    if reduction == "none":
        return loss
    if reduction in ("mean", "sum"):
        return loss.mean() if reduction == "mean" else loss.sum()
    raise ValueError(f"{reduction} is not a valid value for reduction: choose 'none', 'mean' or 'sum'")


def mse_loss(input: Any, target: Any, reduction: str = "mean") -> Any:
    """(input - target)², reduced. Shapes broadcast."""
    difference = input - target
    return _reduce(difference * difference, reduction)


def nll_loss(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean") -> Any:
    """-weight[target] · input[target] along dim 1 of ``input`` (N, C, d₁, …), or dim 0 of (C); target without it.

    ``mean`` divides by the sum of the weights of the targets that are not ``ignore_index``. IndexError for a target
    that is no class; ValueError for shapes that do not fit.
    """
    axis = 1 if input.ndim > 1 else 0
    classes = input.shape[axis]
    expected = tuple(input.shape[:axis]) + tuple(input.shape[axis + 1 :])
    if tuple(target.shape) != expected:
        raise ValueError(f"nll_loss(): Expected target size {list(expected)}, got {list(target.shape)}")
    xp = namespace(input._data)
    index = xp.asarray(target._data)
    kept = index != ignore_index
    wrong = kept & ((index < 0) | (index >= classes))
    if wrong.any():
        raise IndexError(f"nll_loss(): Target {int(index[wrong][0])} is out of bounds: there are {classes} classes")
    index = xp.where(kept, index, 0)
    factor = kept.astype(input._data.dtype)
    if weight is not None:
        factor = factor * weight._data[index]
    picked = input.gather(axis, wrap(xp.expand_dims(index, axis).astype("int64"))).squeeze(axis)
    loss = ops.where(wrap(kept), -picked * wrap(factor), wrap(xp.zeros_like(factor)))
    return loss.sum() / wrap(factor.sum()) if reduction == "mean" else _reduce(loss, reduction)


def cross_entropy(
    input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean"
) -> Any:
    """``nll_loss`` of ``log_softmax(input)`` over the classes: target holds class indices."""
    return nll_loss(log_softmax(input, 1 if input.ndim > 1 else 0), target, weight, ignore_index, reduction)
