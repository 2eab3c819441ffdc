"""How losses end: the mean, the sum, or every element; and PyTorch's older names for that."""

from __future__ import annotations

import warnings
from typing import Any

from minidl import ops
from minidl.callers import stacklevel
from minidl.ops.common import as_tensor_or_array, broadcast_shapes, promote
from minidl.tensor import raw

__all__: list[str] = []

REDUCTIONS = ("none", "mean", "sum")


def chosen(reduction: str, size_average: bool | None = None, reduce: bool | None = None) -> str:
    """The reduction that the arguments ask for. ValueError for an unknown one."""
    if size_average is not None or reduce is not None:
        averages = size_average is None or size_average
        reduction = "none" if reduce is not None and not reduce else "mean" if averages else "sum"
        warnings.warn(
            f"size_average and reduce args will be deprecated, please use reduction='{reduction}' instead.",
            UserWarning,
            stacklevel=stacklevel(),
        )
    if reduction not in REDUCTIONS:
        raise ValueError(f"{reduction} is not a valid value for reduction: choose 'none', 'mean' or 'sum'")
    return reduction


def reduced(loss: Any, reduction: str) -> Any:
    """``loss`` reduced."""
    return loss if reduction == "none" else ops.mean(loss) if reduction == "mean" else ops.sum(loss)


def tensors(name: str, **arguments: Any) -> None:
    """TypeError, naming the argument, for what is no Tensor."""
    for argument, value in arguments.items():
        as_tensor_or_array(name, argument, value)


def operands(name: str, *values: Any) -> list[Any]:
    """Tensors that broadcast, in one floating type. RuntimeError for shapes that do not, or integers alone."""
    broadcast_shapes(name, *values)
    values = tuple(promote(name, *values))
    if raw(values[0]).dtype.kind in "iub":
        raise RuntimeError(f"{name}(): not implemented for {values[0].dtype}: convert the inputs with .float() first")
    return list(values)


def of_one_size(name: str, input: Any, target: Any) -> tuple[Any, Any]:
    """Input and target, broadcast. UserWarning where sizes differ: broadcasting is rarely what was meant."""
    tensors(name, input=input, target=target)
    if tuple(input.shape) != tuple(target.shape):
        warnings.warn(
            f"Using a target size ({list(target.shape)}) that is different to the input size ({list(input.shape)}). "
            "This will likely lead to incorrect results due to broadcasting. Please ensure they have the same size.",
            UserWarning,
            stacklevel=stacklevel(),
        )
        shape = broadcast_shapes(name, input, target)
        return ops.expand(input, shape), ops.expand(target, shape)
    return input, target
