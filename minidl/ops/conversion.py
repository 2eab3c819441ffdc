"""Copies and conversions: the same values in another type, another place, other memory."""

from __future__ import annotations

from typing import Any

from minidl import backends, dtypes
from minidl.autograd.tape import Operator, apply
from minidl.backends import namespace
from minidl.ops.common import convert
from minidl.tensor import Tensor, raw, wrap

__all__ = ["clone", "to"]

METHODS = ["clone", "to", "type_as", "contiguous", "detach", "fill", "cpu", "cuda"]
INPLACE = ["fill"]


class Clone(Operator):
    """y = x in memory of its own."""

    def forward(self, x: Any) -> Any:
        return x.copy()

    def backward(self, g: Any) -> Any:
        return g


class Cast(Operator):
    """y = x in another element type; the engine casts the gradient back."""

    def __init__(self, numpy_dtype: Any) -> None:
        self.numpy_dtype = numpy_dtype

    def forward(self, x: Any) -> Any:
        return x.astype(self.numpy_dtype)

    def backward(self, g: Any) -> Any:
        return g


class Move(Operator):
    """y = x on another device; the gradient moves back."""

    def __init__(self, target: backends.device) -> None:
        self.target = target

    def forward(self, x: Any) -> Any:
        self.origin = backends.device_of(x)
        return move(x, self.target)

    def backward(self, g: Any) -> Any:
        return apply(Move(self.origin), g)


class Fill(Operator):
    """y = value everywhere;  ∂y/∂x = 0."""

    def forward(self, x: Any, value: Any) -> Any:
        return namespace(x).full_like(x, value)

    def backward(self, g: Any) -> Any:
        return g * 0, g.sum() if self.needs[1] else None


class Copy(Operator):
    """y = source, in the shape and type of x;  ∂y/∂x = 0, ∂y/∂source = 1."""

    broadcasts = True

    def forward(self, x: Any, source: Any) -> Any:
        y = namespace(x).empty_like(x)
        y[...] = source
        return y

    def backward(self, g: Any) -> Any:
        return None, g


def move(array: Any, target: backends.device) -> Any:
    """An array on another device (copied), or itself if it is there."""
    if backends.device_of(array) == target:
        return array
    if target.type == "cpu":
        return array.get()
    return backends.namespace_for(target).asarray(array)


def to(input: Any, *args: Any, dtype: Any = None, device: Any = None, copy: bool = False, **_: Any) -> Any:
    """``input`` in another type or on another device: ``to(dtype)``, ``to(device)``, ``to(device, dtype)``,
    ``to(other)``. Itself if nothing changes and no ``copy`` is asked for."""
    for a in args:
        if isinstance(a, Tensor):
            dtype, device = a.dtype, a.device
        elif isinstance(a, bool):  # non_blocking
            continue
        elif isinstance(a, (str, backends.device)):
            device = a
        elif a is not None:
            dtype = a
    result = input
    if device is not None:
        target = backends.device(device)
        backends.namespace_for(target)
        if target != input.device:
            result = apply(Move(target), result)
    if dtype is not None and dtypes.as_dtype(dtype).numpy != result._data.dtype:
        result = apply(Cast(dtypes.as_dtype(dtype).numpy), result)
    return apply(Clone(), input) if copy and result is input else result


def clone(input: Any, **_: Any) -> Any:
    """A copy of ``input``, on the tape."""
    return apply(Clone(), input)


def type_as(input: Any, other: Any) -> Any:
    """``input`` in the element type of ``other``."""
    return to(input, other.dtype)


def contiguous(input: Any, **_: Any) -> Any:
    """``input`` itself if its memory is in row-major order, a copy that is otherwise."""
    return input if raw(input).flags.c_contiguous else apply(Contiguous(), input)


class Contiguous(Clone):
    """y = x in row-major memory."""

    def forward(self, x: Any) -> Any:
        return namespace(x).ascontiguousarray(x)


def detach(input: Tensor) -> Tensor:
    """The same memory outside the tape. A change in place of one is seen, and detected, in the other."""
    result = wrap(input._data)
    result._counter = input._counter
    return result


def cpu(input: Any) -> Any:
    """``input`` on the CPU."""
    return to(input, device="cpu")


def cuda(input: Any, device: Any = "cuda") -> Any:
    """``input`` on the GPU. RuntimeError, with the remedy, if there is none."""
    return to(input, device=f"cuda:{device}" if isinstance(device, int) else device)


def fill(input: Any, value: Any) -> Any:
    """A tensor like ``input`` with ``value`` (a number or a 0-d tensor) everywhere."""
    if isinstance(value, Tensor) and value.ndim:
        raise RuntimeError(f"fill_ only supports 0-dimension value tensor but got tensor with {value.ndim} dimensions.")
    return apply(Fill(), input, value)


def copy(input: Any, source: Any, non_blocking: bool = False) -> Any:
    """The values of ``source``, broadcast to the shape and converted to the type of ``input``."""
    if not isinstance(source, Tensor):
        raise TypeError(f"copy_(): argument 'source' must be Tensor, not {type(source).__name__}")
    try:
        return apply(Copy(), input, convert(to(source, input.device), input.dtype))
    except ValueError:
        raise RuntimeError(
            f"copy_: the source of shape {list(source.shape)} cannot be broadcast to {list(input.shape)}"
        ) from None
