"""Losses that ask for a margin: between classes, between ranks, between near and far."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minidl import ops
from minidl.autograd.autocast import in_float32
from minidl.autograd.tape import apply
from minidl.backends import namespace
from minidl.nn.functional.distance import pairwise_distance
from minidl.nn.functional.likelihoods import LogOnePlusExp
from minidl.nn.functional.reduction import chosen, operands, reduced, tensors
from minidl.ops.common import broadcast_shapes
from minidl.tensor import raw, wrap

__all__ = [
    "cosine_embedding_loss",
    "hinge_embedding_loss",
    "margin_ranking_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "soft_margin_loss",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]


def _where(mask: Any, x: Any) -> Any:
    """``x`` where ``mask`` holds, else 0."""
    return ops.where(mask, x, 0.0)


# --------------------------------------------------------------------------------------------------------- embeddings


@in_float32
def cosine_embedding_loss(
    input1: Any,
    input2: Any,
    target: Any,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """1 - cos(x₁, x₂) where target is 1, max(0, cos(x₁, x₂) - margin) where it is -1.

    Args:
        input1, input2: (N, D), or (D).
        target: (N,), or (), of 1 and -1.
    """
    name = "cosine_embedding_loss"
    tensors(name, input1=input1, input2=input2, target=target)
    reduction = chosen(reduction, size_average, reduce)
    if target.ndim > 1:
        raise RuntimeError(
            f"{name}(): 0D or 1D target tensor expected, multi-target not supported: {list(target.shape)}"
        )
    if input1.ndim != target.ndim + 1 or input2.ndim != target.ndim + 1:
        raise RuntimeError(
            f"{name}(): {target.ndim}D target tensor expects {target.ndim + 1}D input tensors, but found inputs with "
            f"sizes {list(input1.shape)} and {list(input2.shape)}."
        )
    input1, input2 = operands(name, input1, input2)
    tiny = 1e-12
    lengths = (ops.sum(input1 * input1, -1) + tiny) * (ops.sum(input2 * input2, -1) + tiny)
    cosine = ops.sum(input1 * input2, -1) / ops.sqrt(lengths)
    broadcast_shapes(name, cosine, target)
    loss = _where(target == 1, 1 - cosine) + _where(target == -1, ops.clamp_min(cosine - margin, 0))
    return reduced(loss, reduction)


@in_float32
def hinge_embedding_loss(
    input: Any,
    target: Any,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """input where target is 1, max(0, margin - input) where it is -1, for distances ``input``; shapes broadcast."""
    tensors("hinge_embedding_loss", input=input, target=target)
    reduction = chosen(reduction, size_average, reduce)
    broadcast_shapes("hinge_embedding_loss", target, input)
    loss = _where(target != 1, ops.clamp_min(margin - input, 0)) + _where(target != -1, input)
    return reduced(loss, reduction)


@in_float32
def triplet_margin_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """max(0, margin + d(a, p) - d(a, n)) with :func:`pairwise_distance` d; (N, D) or (D) each.

    ``swap``: take d(p, n) where it is smaller than d(a, n) (Balntas et al. 2016, "Learning local feature descriptors
    with triplets").  ValueError unless margin > 0; RuntimeError for different numbers of dimensions.
    """
    reduction = chosen(reduction, size_average, reduce)

    def distance(a: Any, b: Any) -> Any:
        return pairwise_distance(a, b, p, eps)

    return _triplet("triplet_margin_loss", anchor, positive, negative, distance, margin, swap, reduction)


def triplet_margin_with_distance_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    *,
    distance_function: Callable[[Any, Any], Any] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Any:
    """:func:`triplet_margin_loss` with any distance."""
    reduction = chosen(reduction)
    distance = distance_function or pairwise_distance
    name = "triplet_margin_with_distance_loss"
    return _triplet(name, anchor, positive, negative, distance, margin, swap, reduction)


def _triplet(
    name: str, anchor: Any, positive: Any, negative: Any, distance: Any, margin: float, swap: bool, reduction: str
) -> Any:
    tensors(name, anchor=anchor, positive=positive, negative=negative)
    if margin <= 0:
        raise ValueError(f"{name}(): margin must be greater than 0, got {margin}")
    if not anchor.ndim == positive.ndim == negative.ndim:
        raise RuntimeError(
            f"{name}(): The anchor, positive, and negative tensors are expected to have the same number of dimensions, "
            f"but got: anchor {anchor.ndim}D, positive {positive.ndim}D, and negative {negative.ndim}D inputs"
        )
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = ops.minimum(far, distance(positive, negative))
    return reduced(ops.clamp_min(margin + near - far, 0), reduction)


# ------------------------------------------------------------------------------------------------ ranks and two classes


@in_float32
def margin_ranking_loss(
    input1: Any,
    input2: Any,
    target: Any,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """max(0, -t (x₁ - x₂) + margin): t = 1 asks for x₁ above x₂, t = -1 for the reverse."""
    name = "margin_ranking_loss"
    tensors(name, input1=input1, input2=input2, target=target)
    reduction = chosen(reduction, size_average, reduce)
    if not input1.ndim == input2.ndim == target.ndim:
        raise RuntimeError(
            f"{name} : All input tensors should have same dimension but got sizes: input1: {list(input1.shape)}, "
            f"input2: {list(input2.shape)}, target: {list(target.shape)}"
        )
    broadcast_shapes(name, input1, input2, target)
    return reduced(ops.clamp_min(-target * (input1 - input2) + margin, 0), reduction)


@in_float32
def soft_margin_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """log(1 + exp(-t x)) for targets t of 1 and -1; stable at any magnitude."""
    tensors("soft_margin_loss", input=input, target=target)
    reduction = chosen(reduction, size_average, reduce)
    input, target = operands("soft_margin_loss", input, target)
    return reduced(apply(LogOnePlusExp(), -target * input), reduction)


# ------------------------------------------------------------------------------------------------------- many classes


def multilabel_soft_margin_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """The mean over the classes (the last dimension) of the binary cross-entropies of sigmoid(input).

    Args:
        input, target: (N, C); target of 0 and 1.
        weight: a factor, broadcast to them.
    """
    name = "multilabel_soft_margin_loss"
    tensors(name, input=input, target=target)
    reduction = chosen(reduction, size_average, reduce)
    broadcast_shapes(name, target, input)
    loss = target * apply(LogOnePlusExp(), -input) + (1 - target) * apply(LogOnePlusExp(), input)
    if weight is not None:
        broadcast_shapes(f"{name}(): weight", loss, weight)
        loss = loss * weight
    classes = input.ndim - 1
    return reduced(ops.sum(loss, classes) / input.shape[classes], reduction)


def _matrix(name: str, input: Any) -> tuple[int, int]:
    """(samples, classes) of a (N, C), (C) or () input."""
    shape = tuple(input.shape)
    if len(shape) > 2 or (shape and shape[-1] == 0):
        raise RuntimeError(
            f"{name}(): Expected non-empty vector or matrix with optional 0-dim batch size, but got: {list(shape)}"
        )
    if raw(input).dtype.kind in "iub":
        raise RuntimeError(f"{name}(): not implemented for input of type {input.dtype}; convert it with .float() first")
    return (shape[0] if len(shape) > 1 else 1, shape[-1] if shape else 1)


def _classes(name: str, target: Any, low: int, high: int) -> Any:
    index = raw(target)
    if index.dtype.name != "int64":
        raise RuntimeError(f"{name}(): expected target of type int64 but found {target.dtype}; convert it with .long()")
    if index.size and (index.min() < low or index.max() >= high):
        raise RuntimeError(
            f"{name}(): target out of range: values from {int(index.min())} to {int(index.max())} for {high} classes"
        )
    return index


@in_float32
def multi_margin_loss(
    input: Any,
    target: Any,
    p: int = 1,
    margin: float = 1.0,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """Σ_{c ≠ t} w_t max(0, margin - x_t + x_c)ᵖ / C.

    Args:
        input: (N, C) or (C).
        target: (N,) or (): class indices t.
        p: 1 or 2.
        weight: (C,).
    """
    name = "multi_margin_loss"
    tensors(name, input=input, target=target)
    reduction = chosen(reduction, size_average, reduce)
    if p not in (1, 2):
        raise ValueError(f"{name}(): only p == 1 and p == 2 supported, got {p}")
    if weight is not None and weight.ndim != 1:
        raise ValueError(f"{name}(): weight must be one-dimensional, got shape {list(weight.shape)}")
    rows, classes = _matrix(name, input)
    if target.ndim > 1 or target.numel() != rows:
        raise RuntimeError(
            f"{name}(): target tensor should be 1-D with size equal to the number of input samples (batch size). "
            f"Expected target size [{rows}], but got {list(target.shape)}. Input: {list(input.shape)}"
        )
    if weight is not None and weight.shape[0] != classes:
        raise RuntimeError(f"{name}(): inconsistent weight size, expected {classes} but got {list(weight.shape)}")
    index = _classes(name, target, 0, classes).reshape(-1, 1)
    x = input.reshape((rows, classes))
    violation = ops.clamp_min(margin - x.gather(1, wrap(index)) + x, 0)
    violation = violation * violation if p == 2 else violation
    if weight is not None:
        violation = violation * weight[wrap(index)]
    xp = namespace(index)
    loss = ops.sum(_where(wrap(xp.arange(classes) != index), violation), 1) / classes
    return reduced(loss.reshape(tuple(target.shape) if input.ndim < 2 else (rows,)), reduction)


@in_float32
def multilabel_margin_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """Σ_t Σ_{c no target} max(0, 1 - (x_t - x_c)) / C over the targets t of each sample.

    Args:
        input: (N, C) or (C).
        target: of the same shape: class indices, up to the first -1.
    """
    name = "multilabel_margin_loss"
    tensors(name, input=input, target=target)
    reduction = chosen(reduction, size_average, reduce)
    rows, classes = _matrix(name, input)
    if tuple(target.shape) != tuple(input.shape):
        raise RuntimeError(
            f"{name}(): inconsistent target size: {list(target.shape)} for input of size: {list(input.shape)}"
        )
    index = _classes(name, target, -1, classes).reshape(rows, classes)
    xp = namespace(index)
    listed = xp.logical_and.accumulate(index >= 0, axis=1)  # up to the first -1
    index = xp.where(listed, index, 0)
    other = xp.ones((rows, classes), bool)
    sample, place = xp.nonzero(listed)
    other[sample, index[sample, place]] = False
    x = input.reshape((rows, classes))
    violation = ops.clamp_min(1 - x.gather(1, wrap(index)).unsqueeze(2) + x.unsqueeze(1), 0)
    pairs = wrap(listed[:, :, None] & other[:, None, :])
    loss = ops.sum(_where(pairs, violation), (1, 2)) / classes
    return reduced(loss if input.ndim == 2 else loss.reshape(()), reduction)
