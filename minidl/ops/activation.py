"""The activations that are Tensor methods as well: softmax, log_softmax, hardshrink, prelu (relu: ops.rounding)."""

from __future__ import annotations

import math
from typing import Any

from minidl import ops
from minidl.autograd.autocast import in_float32_on_cuda
from minidl.autograd.tape import Operator, apply
from minidl.backends import kernel, namespace
from minidl.ops.common import as_tensor_or_array, normalize_dim
from minidl.tensor import Tensor, raw

__all__ = ["hardshrink", "log_softmax", "prelu", "softmax"]

METHODS = __all__
INPLACE: list[str] = []


class Softmax(Operator):
    """yᵢ = e^xᵢ / Σⱼ e^xⱼ along ``dim``;  ∂x = y (g - Σ g y).  See minidl_kernels.softmax."""

    log = False

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def forward(self, x: Any) -> Any:
        y = kernel("softmax").forward(self.rows(x), self.log)
        return self.save(y.reshape(x.shape))

    def backward(self, g: Any) -> Any:
        y = self.saved
        if isinstance(g, Tensor):
            return self.slope(g, y)
        return kernel("softmax").backward(self.rows(g), self.rows(y), self.log).reshape(y.shape)

    def slope(self, g: Any, y: Any) -> Any:
        return y * (g - ops.sum(g * y, self.dim, keepdim=True))

    def rows(self, x: Any) -> Any:
        """x as (outer, n) or (outer, n, inner), with ``dim`` the second axis."""
        shape = x.shape or (1,)
        inner = math.prod(shape[self.dim + 1 :])
        outer = math.prod(shape[: self.dim])
        return namespace(x).reshape(x, (outer, shape[self.dim]) + ((inner,) if inner != 1 else ()))


class LogSoftmax(Softmax):
    """y = x - log Σ eˣ along ``dim``;  ∂x = g - eʸ Σ g.  See minidl_kernels.softmax."""

    log = True

    def slope(self, g: Any, y: Any) -> Any:
        return g - ops.exp(y) * ops.sum(g, self.dim, keepdim=True)


def check_floating(name: str, input: Any) -> None:
    """RuntimeError for integers, on which the function makes no sense; TypeError for what is no tensor."""
    as_tensor_or_array(name, "input", input)
    if raw(input).dtype.kind in "biu":
        raise RuntimeError(f'"{name}" not implemented for {input.dtype}: convert with .float() first')


def _along(operator: type[Softmax], name: str, input: Any, dim: int, dtype: Any) -> Any:
    as_tensor_or_array(name, "input", input)
    if dtype is not None:
        input = input.to(dtype)
    check_floating(name, input)
    return apply(operator(normalize_dim(dim, input.ndim, name)), input)


@in_float32_on_cuda
def softmax(input: Any, dim: int, dtype: Any = None) -> Any:
    """exp(input) / Σ exp(input) along ``dim``, stable at any magnitude; computed in ``dtype`` if that is given."""
    return _along(Softmax, "softmax", input, dim, dtype)


@in_float32_on_cuda
def log_softmax(input: Any, dim: int, dtype: Any = None) -> Any:
    """log(softmax(input, dim)), stable at any magnitude; computed in ``dtype`` if that is given."""
    return _along(LogSoftmax, "log_softmax", input, dim, dtype)


class Hardshrink(Operator):
    """y = x where |x| > λ, else 0;  ∂y/∂x = [|x| > λ]."""

    def __init__(self, lambd: float) -> None:
        self.lambd = lambd

    def forward(self, x: Any) -> Any:
        self.save(x)
        return namespace(x).where((x >= -self.lambd) & (x <= self.lambd), x.dtype.type(0), x)

    def backward(self, g: Any) -> Any:
        x = self.saved
        return ops.where((x < -self.lambd) | (x > self.lambd), g, 0.0)


def hardshrink(input: Any, lambd: float = 0.5) -> Any:
    """x where |x| > ``lambd``, else 0."""
    check_floating("hardshrink", input)
    return apply(Hardshrink(lambd), input)


class PRelu(Operator):
    """y = x where x > 0, else w x;  ∂y/∂x = 1 or w,  ∂y/∂w = 0 or x."""

    broadcasts = True

    def forward(self, x: Any, w: Any) -> Any:
        self.save(x, w)
        return namespace(x).where(x > 0, x, x * w)

    def backward(self, g: Any) -> Any:
        x, w = self.saved
        return ops.where(x > 0, g, g * w), ops.where(x > 0, 0.0, g * x)


def prelu(input: Any, weight: Any) -> Any:
    """x where positive, else weight · x, with one learned weight, or one for each channel.

    Args:
        input: (*) or (N, C, *).
        weight: one value, or (C,).

    Raises:
        RuntimeError: as many weights as there are no channels, or another type than the input's.
    """
    check_floating("prelu", input)
    as_tensor_or_array("prelu", "weight", weight)
    if weight.ndim > 1:
        raise RuntimeError(
            f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {weight.ndim}, shape "
            f"{list(weight.shape)}"
        )
    if weight.dtype != input.dtype:
        raise RuntimeError(
            f"prelu: Type promoting not supported. Got {input.dtype} and {weight.dtype}; convert one with .to()"
        )
    count = math.prod(weight.shape)
    channels = input.shape[1] if input.ndim > 1 else 1
    if count != 1 and count != channels:
        raise RuntimeError(
            f"Mismatch of parameter numbers and input channel size. Found parameter numbers = {count} and channel "
            f"size = {channels}: input {list(input.shape)} has its channels in dimension 1; give 1 weight or {channels}"
        )
    shape = () if input.ndim == 0 else (1,) if input.ndim == 1 else (1, count) + (1,) * (input.ndim - 2)
    return apply(PRelu(), input, weight if tuple(weight.shape) == shape else weight.reshape(shape))
