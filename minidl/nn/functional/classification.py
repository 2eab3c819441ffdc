"""Losses of class scores against a class index: ``cross_entropy``, ``nll_loss``."""

from __future__ import annotations

from typing import Any

from minidl import ops
from minidl.autograd.autocast import in_float32
from minidl.autograd.tape import Operator, apply
from minidl.backends import kernel, namespace
from minidl.nn.functional.reduction import chosen, reduced, tensors
from minidl.nn.functional.softmaxes import log_softmax
from minidl.tensor import raw, wrap

__all__ = ["cross_entropy", "nll_loss"]


@in_float32
def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """-log softmax(input)[target], the softmax over the classes.

    Args:
        input: logits, (N, C), (N, C, d₁, …) or (C).
        target: class indices (int64, uint8) of the input's shape without C; or class probabilities of its whole shape.
        weight: (C,), a factor for each class.
        ignore_index: targets that count for nothing (indices only).
        reduction: "mean" divides by the weights of the targets that count, with probabilities by N · d₁ · …; "sum";
            "none".
        label_smoothing: how much of each target is spread evenly over all classes, in [0, 1].

    Raises:
        IndexError: a target that is no class. ValueError: another batch size. RuntimeError: other shapes or types that
            do not fit.
    """
    tensors("cross_entropy", input=input, target=target)
    reduction = chosen(reduction, size_average, reduce)
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    _check_floating("cross_entropy", input)
    if target.shape == input.shape:
        return _of_probabilities(input, target, weight, ignore_index, reduction, label_smoothing)
    index, kept = _checked_target("cross_entropy", input, target, weight, ignore_index)
    return apply(CrossEntropy(index, kept, raw(weight), label_smoothing, reduction), input)


class CrossEntropy(Operator):
    """y = log Σ eˣ - x_t, reduced;  ∂y/∂x_c = softmax(x)_c - [c = t] before that.  See minidl_kernels.cross_entropy.

    ``index``: classes t in range; ``kept``: which of them count, None for all.
    """

    @property
    def formula(self) -> str | None:
        """Where there are weights or label smoothing, the formula with both."""
        if self.weight is None and not self.smoothing:
            return None
        return "y = (1 - s) w_t l_t + s/C Σ_c w_c l_c with l_c = log Σ eˣ - x_c, reduced"

    def __init__(self, index: Any, kept: Any, weight: Any, smoothing: float, reduction: str) -> None:
        self.index, self.kept, self.weight = index, kept, weight
        self.smoothing, self.reduction = smoothing, reduction

    def forward(self, x: Any) -> Any:
        index = self.index.reshape(-1)
        loss, self.lse = kernel("cross_entropy").forward(self.rows(x), index, self.weight, self.smoothing)
        self.save(x)
        kept = self.kept
        if kept is not None:
            kept = kept.reshape(-1)
            loss = namespace(x).where(kept, loss, loss.dtype.type(0))
        if self.reduction == "none":
            return loss.reshape(self.index.shape).astype(x.dtype, copy=False)
        if self.reduction == "sum":
            return loss.sum().astype(x.dtype, copy=False)
        if self.weight is None:
            self.total = loss.size if kept is None else loss.dtype.type(kept.sum())
        else:
            counts = self.weight[index].astype(loss.dtype, copy=False)
            self.total = (counts if kept is None else counts * kept).sum()
        total = loss.sum()
        return (total / (self.total or total.dtype.type(0))).astype(x.dtype, copy=False)  # 0/0 is nan, as it should be

    def rows(self, x: Any) -> Any:
        """(N, C, d₁, …) as (N · d₁ · …, C)."""
        if x.ndim == 2:
            return x
        return x.reshape(1, -1) if x.ndim == 1 else namespace(x).moveaxis(x, 1, -1).reshape(self.index.size, x.shape[1])

    def backward(self, g: Any) -> Any:
        x = self.saved
        xp, wide = namespace(x), self.lse.dtype
        g = xp.asarray(g).astype(wide, copy=False)
        if self.reduction == "mean":
            g = g / self.total
        g = xp.broadcast_to(g.reshape(-1), self.lse.shape)
        if self.kept is not None:
            g = xp.where(self.kept.reshape(-1), g, wide.type(0))
        index = self.index.reshape(-1)
        dx = kernel("cross_entropy").backward(g, self.rows(x), index, self.lse, self.weight, self.smoothing)
        if x.ndim <= 2:
            return dx.reshape(x.shape)
        return xp.moveaxis(dx.reshape(x.shape[0], *x.shape[2:], x.shape[1]), -1, 1)

    def composite(self, x: Any) -> Any:
        axis = 1 if x.ndim > 1 else 0
        logs = log_softmax(x, axis)
        y = _nll(logs, self.index, self.kept, self.weight, self.reduction)
        if not self.smoothing:
            return y
        spread = -logs if self.weight is None else -logs * wrap(_along(self.weight, x.ndim))
        spread = ops.sum(spread, axis)
        if spread.shape != self.index.shape:
            spread = spread.reshape(self.index.shape)
        if self.kept is not None:
            spread = ops.where(wrap(self.kept), spread, 0.0)
        spread = ops.sum(spread) / float(self.total) if self.reduction == "mean" else reduced(spread, self.reduction)
        return (1 - self.smoothing) * y + self.smoothing / x.shape[axis] * spread


@in_float32
def nll_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """-weight[target] · input[target], for log probabilities ``input``; arguments and errors of :func:`cross_entropy`.

    ``mean`` divides by the sum of the weights of the targets that are not ``ignore_index``.
    """
    tensors("nll_loss", input=input, target=target)
    reduction = chosen(reduction, size_average, reduce)
    if input.ndim == 0:
        raise ValueError("nll_loss(): Expected 1 or more dimensions (got 0): input is (C), (N, C) or (N, C, d1, ...)")
    _check_floating("nll_loss", input)
    index, kept = _checked_target("nll_loss", input, target, weight, ignore_index)
    return _nll(input, index, kept, raw(weight), reduction)


# ------------------------------------------------------------------------------------------------------------- pieces


def _along(weight: Any, ndim: int) -> Any:
    """A value for each class, in the shape that broadcasts against the input."""
    return weight.reshape(-1) if ndim == 1 else weight.reshape(1, -1, *(1,) * (ndim - 2))


def _nll(input: Any, index: Any, kept: Any, weight: Any, reduction: str) -> Any:
    axis = 1 if input.ndim > 1 else 0
    xp = namespace(index)
    where = index.reshape(-1) if input.ndim == 1 else xp.expand_dims(index, axis)
    loss = -input.gather(axis, wrap(where)).reshape(index.shape)
    total: Any = index.size
    if weight is not None:
        factor = weight[index].astype(raw(input).dtype, copy=False)
        loss = loss * wrap(factor)
        total = (factor if kept is None else xp.where(kept, factor, 0)).sum(dtype="float64")
    elif kept is not None:
        total = kept.sum()
    if kept is not None:
        loss = ops.where(wrap(kept), loss, 0.0)
    if reduction != "mean":
        return reduced(loss, reduction)
    if raw(loss).dtype.itemsize < 4:  # the sum may leave the range of half precision, though the mean does not
        return (ops.sum(loss.float()) / float(total)).to(input.dtype)
    return ops.sum(loss) / float(total)


def _of_probabilities(input: Any, target: Any, weight: Any, ignore_index: int, reduction: str, smoothing: float) -> Any:
    """-Σ_c weight_c · target_c · log softmax(input)_c."""
    if raw(target).dtype.kind in "iub":
        raise RuntimeError(
            f"cross_entropy(): Expected floating point type for target with class probabilities, got {target.dtype}; "
            f"a target of class indices has the shape of the input {list(input.shape)} without its class dimension"
        )
    if ignore_index >= 0:
        raise RuntimeError("cross_entropy(): ignore_index is not supported for floating point target")
    axis = 1 if input.ndim > 1 else 0
    classes = input.shape[axis] if input.ndim else 1
    _check_weight("cross_entropy", weight, classes)
    if smoothing:
        target = target * (1 - smoothing) + smoothing / classes
    logs = log_softmax(input, axis) * target
    if weight is not None:
        logs = logs * weight.reshape((classes,) if input.ndim <= 1 else (1, classes, *(1,) * (input.ndim - 2)))
    if reduction == "none":
        return -ops.sum(logs, axis)
    total = -ops.sum(logs)
    return total if reduction == "sum" else total / (input.numel() // max(classes, 1) if input.ndim > 1 else 1)


def _check_floating(name: str, input: Any) -> None:
    if raw(input).dtype.kind in "iub":
        raise RuntimeError(f"{name}(): not implemented for input of type {input.dtype}; convert it with .float() first")


def _check_weight(name: str, weight: Any, classes: int) -> None:
    if weight is not None and tuple(weight.shape) != (classes,):
        raise RuntimeError(
            f"{name}(): weight tensor should be defined either for all {classes} classes or no classes but got weight "
            f"tensor of shape: {list(weight.shape)}"
        )


def _checked_target(name: str, input: Any, target: Any, weight: Any, ignore_index: int) -> tuple[Any, Any]:
    """Class indices in range, with 0 for those ignored, and a mask of those that count, None if all do."""
    shape = tuple(input.shape)
    if tuple(target.shape) != shape[:1] + shape[2:] or len(shape) < 2:
        _check_shapes(name, shape, tuple(target.shape))
    index = raw(target)
    classes = shape[1] if len(shape) > 1 else shape[0] if shape else 1
    if index.dtype.name not in ("int64", "uint8"):
        raise RuntimeError(
            f"{name}(): expected target dtype to be Long or Byte (int64 or uint8), but got {target.dtype}; class "
            "indices can be had with .long(), and class probabilities have the shape of the input"
        )
    if weight is not None:
        _check_weight(name, weight, classes)
        if raw(weight).dtype != raw(input).dtype:
            raise RuntimeError(f"{name}(): weight is {weight.dtype} and input {input.dtype}; convert one with .to()")
    if len(shape) == 1:
        index = index.reshape(())
    if index.dtype.kind == "u":
        index = index.astype("int64")
    if not index.size:
        return index, None
    low, high = index.min(), index.max()
    kept = None
    if low <= ignore_index <= high:
        xp = namespace(index)
        kept = index != ignore_index
        index = xp.where(kept, index, 0)
        low, high = index.min(), index.max()
    if (low < 0 or high >= classes) and (kept is None or bool(kept.any())):
        wrong = low if low < 0 else high
        raise IndexError(
            f"{name}(): Target {int(wrong)} is out of bounds: there are {classes} classes, 0 to {classes - 1}, along "
            f"dimension {min(len(shape) - 1, 1)} of the input {list(shape)}"
        )
    return index, kept


def _check_shapes(name: str, shape: tuple[int, ...], target: tuple[int, ...]) -> None:
    """Raise PyTorch's type of error where ``target`` is not ``shape`` without its classes."""
    if len(shape) == 1:
        if len(target) > 1:
            raise RuntimeError(f"{name}(): 0D or 1D target tensor expected, multi-target not supported: {list(target)}")
        if target not in ((), (1,)):
            raise ValueError(f"{name}(): For 1D input, 1D target must have size 1, but got target size: {list(target)}")
        return
    if not shape:
        raise RuntimeError(f"{name}(): input must be (C), (N, C) or (N, C, d1, ...), got a tensor without dimensions")
    expected = shape[:1] + shape[2:]
    if target and shape[0] != target[0]:
        raise ValueError(
            f"{name}(): Expected input batch_size ({shape[0]}) to match target batch_size ({target[0]}): dimension 0 "
            f"of {list(shape)} and {list(target)}"
        )
    if len(shape) == 2 and len(target) > 1:
        raise RuntimeError(
            f"{name}(): 0D or 1D target tensor expected, multi-target not supported: input {list(shape)}, target "
            f"{list(target)}; class indices have shape {list(expected)}"
        )
    raise RuntimeError(
        f"{name}(): Expected target size {list(expected)} (the input {list(shape)} without its classes), got "
        f"{list(target)}"
    )
