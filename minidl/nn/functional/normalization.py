"""Batch, layer, group, instance, RMS and local response normalisation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minidl import dtypes, ops
from minidl.autograd.autocast import in_float32_on_cuda
from minidl.autograd.grad_mode import no_grad
from minidl.autograd.tape import Operator, apply
from minidl.backends import kernel
from minidl.tensor import Tensor, raw, wrap

__all__ = [
    "batch_norm",
    "group_norm",
    "instance_norm",
    "layer_norm",
    "local_response_norm",
    "normalize",
    "rms_norm",
]


def _normal(x: Any, dims: tuple[int, ...], eps: float) -> Any:
    """(x - μ)/√(σ² + ε) over ``dims``, in plain operators."""
    centred = x - x.mean(dims, keepdim=True)
    return centred * ((centred * centred).mean(dims, keepdim=True) + eps).rsqrt()


def _affine(y: Any, weight: Any, bias: Any, shape: tuple[int, ...]) -> Any:
    y = y if weight is None else y * weight.reshape(shape)
    return y if bias is None else y + bias.reshape(shape)


def _wide(array: Any, like: Any) -> Any:
    """A parameter in the type that statistics are kept in."""
    return None if array is None else array.astype(like.dtype, copy=False)


# --------------------------------------------------------------------------------------------------------- batch norm


class BatchNorm(Operator):
    """y = (x - μ)/√(σ² + ε) · w + b for each channel.  See minidl_kernels.batch_norm."""

    def __init__(self, statistics: tuple[Any, Any] | None, eps: float) -> None:
        self.given, self.eps = statistics, eps

    def forward(self, x: Any, weight: Any, bias: Any) -> Any:
        room = kernel("batch_norm")
        mean, var = room.statistics(x) if self.given is None else self.given
        if self.given is not None and mean.dtype.itemsize < 4:
            mean, var = mean.astype(np.float32), var.astype(np.float32)
        self.mean, self.var = mean, var
        self.rstd = (1 / np.sqrt(var + self.eps)).astype(mean.dtype, copy=False)
        self.save(x, weight)
        return room.forward(x, mean, self.rstd, _wide(weight, mean), _wide(bias, mean))

    def backward(self, g: Any) -> Any:
        x, weight = self.saved
        return kernel("batch_norm").backward(
            g, x, self.mean, self.rstd, _wide(weight, self.mean), training=self.given is None
        )

    def composite(self, x: Any, weight: Any, bias: Any) -> Any:
        shape = (1, -1, *(1,) * (x.ndim - 2))
        if self.given is None:
            y = _normal(x, (0, *range(2, x.ndim)), self.eps)
        else:
            y = (x - wrap(self.mean).reshape(shape)) * wrap(self.rstd).reshape(shape)
        return _affine(y, weight, bias, shape)


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
    """(x - μ)/√(σ² + eps) · weight + bias for each channel (Ioffe & Szegedy 2015).

    Args:
        input: (N, C, …).
        running_mean, running_var: (C,); used in evaluation; in training, where they may be None, they move towards the
            batch's by ``momentum`` (σ² unbiased).
        weight, bias: (C,) or None.
        training: use the statistics of this batch.

    Raises:
        ValueError: a channel has a single value in training; an ``eps`` below 0, or of 0 in training. RuntimeError: a
            parameter of another size; no running statistics in evaluation.
    """
    shape = tuple(input.shape)
    if len(shape) < 2:
        raise RuntimeError(f"batch_norm: input must be (N, C, …), got shape {list(shape)}")
    count = shape[0] * math.prod(shape[2:])
    if training and count == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {list(shape)}")
    if eps < 0 or (training and eps == 0):
        raise ValueError(
            f"batch_norm eps must be {'positive during training' if training else 'non-negative'}, got {eps}"
        )
    parameters = {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias}
    _check_channels("batch_norm", shape, parameters, training)
    given = None if training else (raw(running_mean), raw(running_var))
    operator = BatchNorm(given, eps)
    y = apply(operator, input, weight, bias)
    if training and running_mean is not None and count:
        with no_grad():
            running_mean.lerp_(wrap(operator.mean).to(running_mean.dtype), momentum)
            unbiased = operator.var * (count / (count - 1))
            running_var.lerp_(wrap(unbiased).to(running_var.dtype), momentum)
    return y


def _check_channels(name: str, shape: tuple, parameters: dict[str, Any], training: bool) -> None:
    for parameter, value in parameters.items():
        if value is not None and math.prod(value.shape) != shape[1]:
            raise RuntimeError(
                f"{name}: {parameter} should contain {shape[1]} elements, one for each channel of input {list(shape)} "
                f"(dim 1), not {math.prod(value.shape)}"
            )
        if value is None and not training and parameter.startswith("running"):
            raise RuntimeError(f"{name}: {parameter} must be defined in evaluation mode; pass training=True without it")


def instance_norm(
    input: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Batch normalisation of each sample by itself: statistics of each (sample, channel) over its positions.

    Shapes as :func:`batch_norm` (Ulyanov, Vedaldi & Lempitsky 2016, "Instance Normalization").
    ValueError if a channel has a single position.
    """
    shape = tuple(input.shape)
    if len(shape) < 2:
        raise RuntimeError(f"instance_norm: input must be (N, C, …), got shape {list(shape)}")
    if use_input_stats and math.prod(shape[2:]) == 1:
        raise ValueError(f"Expected more than 1 spatial element when training, got input size {list(shape)}")
    n, channels = shape[:2]
    parameters = {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias}
    _check_channels("instance_norm", shape, parameters, use_input_stats)

    def each_sample(value: Any) -> Any:
        return None if value is None else value.repeat(n)

    mean, var = each_sample(running_mean), each_sample(running_var)
    y = batch_norm(
        input.reshape(1, n * channels, *shape[2:]),
        mean,
        var,
        each_sample(weight),
        each_sample(bias),
        use_input_stats,
        momentum,
        eps,
    )
    if use_input_stats and running_mean is not None and n:
        with no_grad():
            running_mean.copy_(mean.reshape(n, channels).mean(0))
            running_var.copy_(var.reshape(n, channels).mean(0))
    return y.reshape(shape)


# --------------------------------------------------------------------------------------------------------- layer norm


class LayerNorm(Operator):
    """y = (x - μ)/√(σ² + ε) · w + b for each row.  See minidl_kernels.layer_norm."""

    def __init__(self, ndim: int, eps: float) -> None:
        self.ndim, self.eps = ndim, eps

    def forward(self, x: Any, weight: Any, bias: Any) -> Any:
        self.width = math.prod(x.shape[x.ndim - self.ndim :])
        self.rows = math.prod(x.shape[: x.ndim - self.ndim])
        flat = (None if p is None else p.reshape(-1) for p in (weight, bias))
        y, self.mean, self.rstd = kernel("layer_norm").forward(x.reshape(self.rows, self.width), *flat, self.eps)
        self.save(x, weight)
        return y.reshape(x.shape)

    def backward(self, g: Any) -> Any:
        x, weight = self.saved
        matrix = (self.rows, self.width)
        dx, dweight, dbias = kernel("layer_norm").backward(
            g.reshape(matrix), x.reshape(matrix), self.mean, self.rstd, None if weight is None else weight.reshape(-1)
        )
        sizes = x.shape[x.ndim - self.ndim :]
        return dx.reshape(x.shape), dweight.reshape(sizes), dbias.reshape(sizes)

    def composite(self, x: Any, weight: Any, bias: Any) -> Any:
        y = _normal(x, tuple(range(-self.ndim, 0)), self.eps)
        return _affine(y, weight, bias, x.shape[x.ndim - self.ndim :])


class RmsNorm(Operator):
    """y = x / √(mean(x²) + ε) · w for each row.  See minidl_kernels.rms_norm."""

    def __init__(self, ndim: int, eps: float) -> None:
        self.ndim, self.eps = ndim, eps

    def forward(self, x: Any, weight: Any) -> Any:
        sizes = x.shape[x.ndim - self.ndim :]
        self.matrix = math.prod(x.shape[: x.ndim - self.ndim]), math.prod(sizes)
        scale = None if weight is None else weight.reshape(-1)
        y, self.rstd = kernel("rms_norm").forward(x.reshape(self.matrix), scale, self.eps)
        self.save(x, weight)
        return y.reshape(x.shape)

    def backward(self, g: Any) -> Any:
        x, weight = self.saved
        scale = None if weight is None else weight.reshape(-1)
        dx, dweight = kernel("rms_norm").backward(g.reshape(self.matrix), x.reshape(self.matrix), self.rstd, scale)
        return dx.reshape(x.shape), dweight.reshape(x.shape[x.ndim - self.ndim :])

    def composite(self, x: Any, weight: Any) -> Any:
        wide = x.to(dtypes.float32) if x.dtype.itemsize < 4 else x
        y = wide * ((wide * wide).mean(tuple(range(-self.ndim, 0)), keepdim=True) + self.eps).rsqrt()
        return (y if weight is None else y * weight).to(x.dtype)


def _check_normalized(name: str, input: Any, normalized_shape: Any, **parameters: Any) -> tuple[int, ...]:
    """``normalized_shape`` as a tuple, if the input ends in it and the parameters have it."""
    if not isinstance(normalized_shape, Sequence) or not normalized_shape:
        raise RuntimeError(
            f"{name}: normalized_shape must be a non-empty list of the sizes of the last dimensions, got "
            f"{normalized_shape!r}"
        )
    sizes = tuple(normalized_shape)
    if tuple(input.shape[-len(sizes) :]) != sizes:
        raise RuntimeError(
            f"{name}: Given normalized_shape={list(sizes)}, expected input with shape [*, "
            f"{', '.join(map(str, sizes))}], but got input of size {list(input.shape)}"
        )
    for parameter, value in parameters.items():
        if value is not None and tuple(value.shape) != sizes:
            raise RuntimeError(
                f"{name}: Expected {parameter} to be of same shape as normalized_shape, but got {parameter} of shape "
                f"{list(value.shape)} and normalized_shape = {list(sizes)}"
            )
    return sizes


@in_float32_on_cuda
def layer_norm(input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """(x - μ)/√(σ² + eps) · weight + bias over the last dimensions (Ba, Kiros & Hinton 2016).

    Args:
        input: (…, *normalized_shape).
        weight, bias: of shape ``normalized_shape``, or None.

    Raises:
        RuntimeError: the input does not end in ``normalized_shape``, or a parameter has another shape.
    """
    sizes = _check_normalized("layer_norm", input, normalized_shape, weight=weight, bias=bias)
    return apply(LayerNorm(len(sizes), eps), input, weight, bias)


@in_float32_on_cuda
def group_norm(input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """Statistics of each sample over groups of channels, then a scale and shift for each channel (Wu & He 2018).

    Args:
        input: (N, C, …) with C a multiple of ``num_groups``.
        weight, bias: (C,) or None.
    """
    shape = tuple(input.shape)
    if len(shape) < 2:
        raise RuntimeError(f"group_norm: Expected at least 2 dimensions for input tensor but received {len(shape)}")
    if num_groups <= 0 or shape[1] % num_groups:
        raise RuntimeError(
            f"group_norm: Expected number of channels in input to be divisible by num_groups, but got input of shape "
            f"{list(shape)} and num_groups={num_groups}"
        )
    if shape[0] * math.prod(shape[2:]) * (shape[1] // num_groups) == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {list(shape)}")
    _check_channels("group_norm", shape, {"weight": weight, "bias": bias}, training=True)
    width = shape[1] // num_groups * math.prod(shape[2:])
    y = layer_norm(input.reshape(shape[0], num_groups, width), (width,), eps=eps).reshape(shape)
    return _affine(y, weight, bias, (1, shape[1], *(1,) * (len(shape) - 2)))


def rms_norm(input: Any, normalized_shape: Any, weight: Any = None, eps: float | None = None) -> Any:
    """x / √(mean(x²) + eps) · weight over the last dimensions (Zhang & Sennrich 2019, "Root Mean Square Layer
    Normalization", equation 4).

    Args:
        input: (…, *normalized_shape).
        weight: of shape ``normalized_shape``, or None.
        eps: the spacing of the type's numbers at 1, if None.
    """
    sizes = _check_normalized("rms_norm", input, normalized_shape, weight=weight)
    eps = float(dtypes.finfo(input.dtype).eps) if eps is None else eps
    return apply(RmsNorm(len(sizes), eps), input, weight)


# -------------------------------------------------------------------------------------------------------------- others


def local_response_norm(input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Any:
    """x / (k + α/size · Σ x²)^β, summed over ``size`` neighbouring channels (Krizhevsky, Sutskever & Hinton 2012,
    section 3.3).

    Args:
        input: (N, C, L, …).
    """
    if input.ndim < 3:
        raise ValueError(
            f"Expected 3D or higher dimensionality input (got {input.ndim} dimensions, shape {list(input.shape)})"
        )
    if math.prod(input.shape) == 0:
        return input
    channels = input.shape[1]
    square = input * input
    before, after = size // 2, (size - 1) // 2

    def zeros(n: int) -> Any:
        return ops.narrow(square, 1, 0, 1).detach().expand(-1, n, *input.shape[2:]) * 0

    padded = ops.cat([zeros(before), square, zeros(after)], 1)
    total = ops.narrow(padded, 1, 0, channels)
    for shift in range(1, size):
        total = total + ops.narrow(padded, 1, shift, channels)
    return input / (total * (alpha / size) + k) ** beta


def normalize(input: Any, p: float = 2.0, dim: Any = 1, eps: float = 1e-12) -> Any:
    """x / max(‖x‖ₚ, eps) along ``dim``."""
    norm: Tensor = input.norm(p, dim, keepdim=True)
    return input / norm.clamp_min(eps)
