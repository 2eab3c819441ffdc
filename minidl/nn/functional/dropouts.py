"""Dropout: of values, of channels, and the kind that keeps mean and variance."""

from __future__ import annotations

import math
from typing import Any

from minidl.autograd.inplace import in_place
from minidl.autograd.tape import Operator, apply
from minidl.backends import kernel, namespace
from minidl.random import generator
from minidl.tensor import Tensor, raw, wrap

__all__ = ["alpha_dropout", "dropout", "dropout1d", "dropout2d", "dropout3d", "feature_alpha_dropout"]

_ALPHA = -1.7580993408473766  # the value that selu approaches far to the left


class Dropout(Operator):
    """y = x ⊙ m / (1 - p), m anew in each call: 0 with probability p, else 1;  ∂x = g ⊙ m / (1 - p).

    m is made from a seed, here and in the rule. See minidl_kernels.dropout.
    """

    def __init__(self, p: float, seed: int) -> None:
        self.p, self.seed = p, seed

    def forward(self, x: Any) -> Any:
        return kernel("dropout").forward(namespace(x).asarray(x), self.p, self.seed)

    def backward(self, g: Any) -> Any:
        if isinstance(g, Tensor):
            return apply(Dropout(self.p, self.seed), g)
        return kernel("dropout").backward(namespace(g).asarray(g), self.p, self.seed)


def _uniform(x: Any, shape: tuple[int, ...]) -> Any:
    """Numbers in [0, 1) to decide by, where x lives."""
    return namespace(x).asarray(generator().random(shape, dtype="float32"))


def _check(p: float) -> None:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def _apply(name: str, function: Any, input: Any, inplace: bool) -> Any:
    return in_place(name + "_", function, input) if inplace else function(input)


def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """In training, zero elements with probability ``p``, scale the others by 1/(1 - p). ValueError unless 0 ≤ p ≤ 1."""
    _check(p)
    if not training or p == 0.0:
        return input
    operator = Dropout(p, int(generator().integers(2**63)))
    return _apply("dropout", lambda x: apply(operator, x), input, inplace)


def _feature_dropout(name: str, input: Any, p: float, training: bool, inplace: bool, axes: int) -> Any:
    """Drop along the first ``axes`` dimensions as a whole (samples and channels)."""
    if not training or p == 0.0:
        return input
    shape = tuple(input.shape[:axes]) + (1,) * (input.ndim - axes)
    kept = _uniform(raw(input), shape) >= p
    factor = wrap((kept / (1 - p) if p < 1 else kept * 0.0).astype(raw(input).dtype))
    return _apply(name, lambda x: x * factor, input, inplace)


def dropout1d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Drop whole channels of (N, C, L) or (C, L). RuntimeError for another number of dimensions."""
    _check(p)
    if input.ndim not in (2, 3):
        raise RuntimeError(
            f"dropout1d: Expected 2D or 3D input, but received a {input.ndim}D input, shape {list(input.shape)}"
        )
    return _feature_dropout("dropout1d", input, p, training, inplace, input.ndim - 1)


def dropout2d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Drop whole channels of (N, C, H, W), or of (N, C, L)."""
    _check(p)
    _at_least_two("dropout2d", input)
    return _feature_dropout("dropout2d", input, p, training, inplace, 2)


def dropout3d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Drop whole channels of (N, C, D, H, W) or (C, D, H, W)."""
    _check(p)
    _at_least_two("dropout3d", input)
    return _feature_dropout("dropout3d", input, p, training, inplace, 1 if input.ndim == 4 else 2)


def _at_least_two(name: str, input: Any) -> None:
    if input.ndim < 2:
        raise RuntimeError(
            f"{name}: Feature dropout requires at least 2 dimensions in the input, (N, C, …), got {list(input.shape)}"
        )


def _alpha(name: str, input: Any, p: float, training: bool, inplace: bool, shape: tuple[int, ...]) -> Any:
    """y = a (x where kept, else α) + b; a and b bring mean and variance back to 0 and 1."""
    if not training or p == 0.0:
        return input
    array = raw(input)
    if p == 1.0:
        return _apply(name, lambda x: x * 0.0, input, inplace)
    a = 1 / math.sqrt((1 - p) * (1 + p * _ALPHA * _ALPHA))
    kept = _uniform(array, shape) >= p
    factor = wrap((kept * a).astype(array.dtype))
    shift = wrap(((1 - kept) * (a * _ALPHA) - a * _ALPHA * p).astype(array.dtype))
    return _apply(name, lambda x: x * factor + shift, input, inplace)


def alpha_dropout(input: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Any:
    """Dropout for selu: dropped values become its negative limit, and mean and variance are kept (Klambauer 2017)."""
    _check(p)
    return _alpha("alpha_dropout", input, p, training, inplace, tuple(input.shape))


def feature_alpha_dropout(input: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Any:
    """:func:`alpha_dropout` of whole channels of (N, C, …)."""
    _check(p)
    if training:
        _at_least_two("feature_alpha_dropout", input)
    shape = tuple(input.shape[:2]) + (1,) * (input.ndim - 2)
    return _alpha("feature_alpha_dropout", input, p, training, inplace, shape)
