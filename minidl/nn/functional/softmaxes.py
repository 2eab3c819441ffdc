"""Softmax and its relatives: logarithm, softmin, and samples that can be differentiated."""

from __future__ import annotations

from typing import Any

from minidl import ops
from minidl.backends import namespace
from minidl.random import generator
from minidl.tensor import raw, wrap

__all__ = ["gumbel_softmax", "log_softmax", "softmax", "softmin"]


def _default_dim(ndim: int) -> int:
    return 0 if ndim in (0, 1, 3) else 1


def softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """exp(input) / Σ exp(input) along ``dim``, stable at any magnitude; computed in ``dtype`` if that is given.

    Without ``dim``: 0 for tensors of 0, 1 or 3 dimensions, else 1. IndexError for a dim out of range.
    """
    return ops.softmax(input, _default_dim(input.ndim) if dim is None else dim, dtype)


def log_softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """log(softmax(input, dim)), stable at any magnitude; arguments as those of :func:`softmax`."""
    return ops.log_softmax(input, _default_dim(input.ndim) if dim is None else dim, dtype)


def softmin(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """softmax(-input, dim)."""
    return softmax(-input, dim, dtype=dtype)


def gumbel_softmax(logits: Any, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Any:
    """A sample from the categorical distribution with these ``logits`` that can be differentiated (Jang et al. 2017).

    softmax((logits + noise) / tau) with Gumbel noise. ``hard``: the nearest one-hot vector, with the gradient of the
    soft sample.
    """
    noise = generator().gumbel(size=tuple(logits.shape))
    noise = wrap(namespace(raw(logits)).asarray(noise, dtype=raw(logits).dtype))
    soft = softmax((logits + noise) / tau, dim)
    if not hard:
        return soft
    largest = ops.argmax(soft, dim, keepdim=True)
    one_hot = (soft * 0).detach().scatter(dim, largest, 1.0)
    return one_hot - soft.detach() + soft
