"""Clipping gradients (Pascanu, Mikolov & Bengio 2013, "On the difficulty of training recurrent neural networks")."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from minidl.backends import namespace
from minidl.tensor import Tensor, wrap


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    parameters = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    return [p.grad for p in parameters if p.grad is not None]


def get_total_norm(
    tensors: Iterable[Tensor], norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: bool | None = None
) -> Tensor:
    """The norm of all ``tensors`` seen as one vector. RuntimeError if it is not finite and that is asked for."""
    arrays = [t._data for t in ([tensors] if isinstance(tensors, Tensor) else tensors)]
    if not arrays:
        return wrap(np.zeros((), np.float32))
    xp, order = namespace(arrays[0]), float(norm_type)
    with np.errstate(all="ignore"):
        norms = xp.stack([xp.linalg.norm(a.reshape(-1), order) if a.size else a.dtype.type(0) for a in arrays])
        total = xp.asarray(xp.linalg.norm(norms, order)).astype(arrays[0].dtype)
    if error_if_nonfinite and not xp.isfinite(total):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, so it cannot be "
            "clipped. To disable this error and scale the gradients by the non-finite norm anyway, set "
            "`error_if_nonfinite=False`"
        )
    return wrap(total)


def clip_grads_with_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Scale gradients by min(1, max_norm / (total_norm + 1e-6))."""
    factor = float(max_norm) / (float(total_norm.item()) + 1e-6)
    factor = 1.0 if factor > 1 else factor  # NaN stays NaN
    with np.errstate(all="ignore"):
        for gradient in _gradients(parameters):
            gradient._data *= gradient._data.dtype.type(factor)
            gradient._counter[0] += 1


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale all gradients so that their norm, together, is at most ``max_norm``. Returns the norm they had."""
    parameters = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    total = get_total_norm(_gradients(parameters), norm_type, error_if_nonfinite)
    clip_grads_with_norm_(parameters, max_norm, total)
    return total


def clip_grad_value_(parameters: Any, clip_value: float, foreach: bool | None = None) -> None:
    """Clamp each value of the gradients to [-clip_value, clip_value]."""
    for gradient in _gradients(parameters):
        namespace(gradient._data).clip(gradient._data, -float(clip_value), float(clip_value), out=gradient._data)
        gradient._counter[0] += 1
