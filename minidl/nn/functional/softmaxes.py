"""Softmax and its logarithm."""

from __future__ import annotations

from typing import Any

from minidl import ops
from minidl.autograd.tape import Operator, apply
from minidl.backends import namespace

__all__ = ["log_softmax", "softmax"]


class LogSoftmax(Operator):
    """y = x - log Σ exp x along ``dim``;  gradient g - exp(y) Σ g. The maximum goes first, so nothing overflows."""

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def forward(self, x: Any) -> Any:
        xp = namespace(x)
        if x.size == 0 or x.ndim == 0:
            return self.save(x * 0)
        y = x - x.max(axis=self.dim, keepdims=True)
        return self.save(y - xp.log(xp.exp(y).sum(axis=self.dim, keepdims=True)))

    def backward(self, g: Any) -> Any:
        y = self.saved
        return g - ops.exp(y) * ops.sum(g, self.dim, keepdim=True)


def _default_dim(ndim: int) -> int:
    return 0 if ndim in (0, 1, 3) else 1


def log_softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """log(softmax(input, dim)), stable at any magnitude; computed in ``dtype`` if that is given."""
    if dtype is not None:
        input = input.to(dtype)
    return apply(LogSoftmax(_default_dim(input.ndim) if dim is None else dim), input)


def softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """exp(input) / Σ exp(input) along ``dim``, stable at any magnitude; computed in ``dtype`` if that is given."""
    return ops.exp(log_softmax(input, dim, dtype=dtype))
