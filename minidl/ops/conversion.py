"""Copies and conversions: the same values in another type, another place, other memory."""

from __future__ import annotations

from typing import Any

from minidl import backends, dtypes
from minidl.autograd.tape import Operator, apply
from minidl.backends import namespace
from minidl.ops.common import convert, only_tensors
from minidl.tensor import Tensor, raw, wrap

__all__ = ["clone", "detach", "fill", "to"]

METHODS = ["clone", "contiguous", "cpu", "cuda", "detach", "to", "type_as"]
INPLACE = ["copy", "fill", "zero"]


class Clone(Operator):
    """y = x in memory of its own;  ∂x = g."""

    def forward(self, x: Any) -> Any:
        return x.copy()

    def backward(self, g: Any) -> Any:
        return g


class Cast(Operator):
    """y = x in another element type;  ∂x = g in that of x, to which the engine casts it."""

    def __init__(self, numpy_dtype: Any) -> None:
        self.numpy_dtype = numpy_dtype

    def forward(self, x: Any) -> Any:
        return x.astype(self.numpy_dtype)

    def backward(self, g: Any) -> Any:
        return g


class Move(Operator):
    """y = x on another device;  ∂x = g, moved back."""

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
        y = namespace(x).empty_like(x)
        y[...] = namespace(x).asarray(value).astype(x.dtype)  # a number too large for the type wraps around
        return y

    def backward(self, g: Any) -> Any:
        return apply(Fill(), g, 0), g.sum() if self.needs[1] else None


class Copy(Operator):
    """y = source, in the shape and type of x;  ∂y/∂x = 0, ∂y/∂source = 1."""

    broadcasts = True

    def forward(self, x: Any, source: Any) -> Any:
        y = namespace(x).empty_like(x)
        y[...] = source
        return y

    def backward(self, g: Any) -> Any:
        return apply(Fill(), g, 0), g


def move(array: Any, target: backends.device) -> Any:
    """An array on another device (copied), or itself if it is there."""
    if backends.device_of(array) == target:
        return array
    if target.type == "cpu":
        return array.get()
    return backends.namespace_for(target).asarray(array)


def to(
    input: Any,
    *args: Any,
    dtype: Any = None,
    device: Any = None,
    other: Any = None,
    non_blocking: bool = False,
    copy: bool = False,
    memory_format: Any = None,
) -> Any:
    """``input`` in another type or on another device: ``to(dtype)``, ``to(device)``, ``to(device, dtype)``,
    ``to(other)``. Itself if nothing changes and no ``copy`` is asked for."""
    flags = []
    for a in (*args, other):
        if isinstance(a, Tensor):
            dtype, device = a.dtype, a.device
        elif isinstance(a, bool):  # non_blocking, copy
            flags.append(a)
        elif isinstance(a, (str, backends.device)):
            device = a
        elif a is not None:
            dtype = a
    copy = copy or (len(flags) > 1 and flags[1])
    result = input
    if device is not None:
        target = backends.device(device)
        backends.namespace_for(target)
        if target != input.device:
            result = apply(Move(target), result)
    if dtype is not None and dtypes.as_dtype(dtype).numpy != raw(result).dtype:
        result = apply(Cast(dtypes.as_dtype(dtype).numpy), result)
    return apply(Clone(), input) if copy and result is input else result


def clone(input: Any, *, memory_format: Any = None) -> Any:
    """A copy of ``input``, on the tape."""
    return apply(Clone(), input)


def type_as(input: Any, other: Any) -> Any:
    """``input`` in the element type of ``other``."""
    only_tensors("type_as", other=other)
    return to(input, dtype=other.dtype)


def contiguous(input: Any, *, memory_format: Any = None) -> Any:
    """``input`` itself if its memory is in row-major order, a copy that is otherwise."""
    return input if raw(input).flags.c_contiguous else apply(Contiguous(), input)


class Contiguous(Clone):
    """y = x in row-major memory;  ∂x = g."""

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


def zero(input: Any) -> Any:
    """A tensor like ``input`` with 0 everywhere."""
    return apply(Fill(), input, 0)


def copy(input: Any, src: Any, non_blocking: bool = False) -> Any:
    """The values of ``src`` (a Tensor or a number), broadcast to the shape and converted to the type of ``input``."""
    if not isinstance(src, Tensor):
        try:
            return apply(Fill(), input, src + 0)
        except TypeError:
            raise TypeError(f"copy_(): argument 'src' must be Tensor, not {src.__class__.__name__}") from None
    extra = input.ndim - src.ndim
    if extra < 0 or any(n not in (1, m) for n, m in zip(src.shape, input.shape[extra:])):
        raise RuntimeError(
            f"copy_: the source of shape {list(src.shape)} cannot be broadcast to {list(input.shape)}: sizes must "
            "match, counted from the last dimension, or be 1"
        )
    return apply(Copy(), input, convert(to(src, device=input.device), input.dtype))
