"""Normalisation: ``batch_norm`` and ``layer_norm``."""

from __future__ import annotations

from typing import Any

from minidl import ops
from minidl.autograd.grad_mode import no_grad

__all__ = ["batch_norm", "layer_norm"]


def batch_norm(
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """(x - μ)/√(σ² + eps) · weight + bias for each channel (dim 1) of input (N, C, …).

    In training μ, σ² are the batch's, and the running ones move towards them by ``momentum`` (σ² unbiased).
    ValueError if a channel has only one value in training.
    """
    shape = (1, input.shape[1]) + (1,) * (input.ndim - 2)
    if training or running_mean is None:
        dims = (0, *range(2, input.ndim))
        count = 1
        for d in dims:
            count *= input.shape[d]
        if count == 1:
            raise ValueError(
                f"Expected more than 1 value per channel when training, got input size {list(input.shape)}"
            )
        mean = input.mean(dims, keepdim=True)
        centred = input - mean
        var = (centred * centred).mean(dims, keepdim=True)
        if running_mean is not None:
            with no_grad():
                running_mean.mul_(1 - momentum).add_(mean.detach().reshape(-1) * momentum)
                running_var.mul_(1 - momentum).add_(var.detach().reshape(-1) * (momentum * count / (count - 1)))
    else:
        centred, var = input - running_mean.reshape(shape), running_var.reshape(shape)
    y = centred / ops.sqrt(var + eps)
    y = y if weight is None else y * weight.reshape(shape)
    return y if bias is None else y + bias.reshape(shape)


def layer_norm(input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """(x - μ)/√(σ² + eps) · weight + bias over the last dimensions, whose sizes are ``normalized_shape``."""
    sizes = tuple(normalized_shape)
    if tuple(input.shape[input.ndim - len(sizes) :]) != sizes:
        raise RuntimeError(f"layer_norm(): input {list(input.shape)} must end in normalized_shape {list(sizes)}")
    dims = tuple(range(-len(sizes), 0))
    centred = input - input.mean(dims, keepdim=True)
    y = centred / ops.sqrt((centred * centred).mean(dims, keepdim=True) + eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias
