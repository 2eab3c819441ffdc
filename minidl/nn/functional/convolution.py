"""Convolutions in one, two and three dimensions, and their transposes.

Three operators, each linear in each of its inputs, whose gradients are one another: so they can be differentiated any
number of times. The kernels are in ``minidl_kernels.convolution``.
"""

from __future__ import annotations

import operator
from typing import Any

from minidl.autograd.autocast import in_half
from minidl.autograd.tape import Operator, apply
from minidl.backends import kernel
from minidl.tensor import Tensor

__all__ = [
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
]


class Geometry:
    """Stride, padding (before and after), dilation, each for every dimension, and groups."""

    __slots__ = ("dilation", "groups", "padding", "stride")

    def __init__(self, stride: tuple, padding: tuple, dilation: tuple, groups: int) -> None:
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups

    def settings(self) -> tuple:
        return self.stride, self.padding, self.dilation, self.groups


class Convolution(Operator):
    """y = w * x + b, w sliding over x;  ∂x = the transposed convolution of g by w, ∂w = g * x, g sliding over x, ∂b = Σ g.

    The first two are operators themselves, :class:`InputGradient` and :class:`WeightGradient`.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry

    def forward(self, x: Any, w: Any, b: Any = None) -> Any:
        self.save(x, w)
        return kernel("convolution").forward(x, w, b, *self.geometry.settings())

    def backward(self, g: Any) -> tuple:
        x, w = self.saved
        dx = dw = db = None
        if self.needs[0]:
            dx = apply(InputGradient(self.geometry, tuple(x.shape[2:])), g, w)
        if self.needs[1]:
            dw = apply(WeightGradient(self.geometry, tuple(w.shape[2:])), x, g)
        if len(self.needs) == 2:
            return dx, dw
        if self.needs[2]:
            db = g.sum((0, *range(2, g.ndim)))
        return dx, dw, db


class InputGradient(Operator):
    """y = the transposed convolution of x by w;  ∂x = w * g, w sliding over g, ∂w = x * g, x sliding over g.

    Each x lays w, times itself, over y, which is of ``size``, such that ⟨y, v⟩ = ⟨x, w * v⟩ for every v. Its gradients:
    by x a :class:`Convolution`, by w a :class:`WeightGradient`.
    """

    def __init__(self, geometry: Geometry, size: tuple) -> None:
        self.geometry, self.size = geometry, size

    def forward(self, x: Any, w: Any) -> Any:
        self.save(x, w)
        return kernel("convolution").input_gradient(x, w, self.size, *self.geometry.settings())

    def backward(self, g: Any) -> tuple:
        x, w = self.saved
        return (
            apply(Convolution(self.geometry), g, w) if self.needs[0] else None,
            apply(WeightGradient(self.geometry, tuple(w.shape[2:])), g, x) if self.needs[1] else None,
        )


class WeightGradient(Operator):
    """y = v * x, v sliding over x: what each place of a kernel met;  ∂x = the transposed convolution of v by g, ∂v = g * x.

    The kernel's gradient, of window ``size``, v what came in. Its gradients: by x an :class:`InputGradient`, by v a
    :class:`Convolution`.
    """

    def __init__(self, geometry: Geometry, size: tuple) -> None:
        self.geometry, self.size = geometry, size

    def forward(self, x: Any, v: Any) -> Any:
        self.save(x, v)
        return kernel("convolution").weight_gradient(x, v, self.size, *self.geometry.settings())

    def backward(self, g: Any) -> tuple:
        x, v = self.saved
        return (
            apply(InputGradient(self.geometry, tuple(x.shape[2:])), v, g) if self.needs[0] else None,
            apply(Convolution(self.geometry), x, g) if self.needs[1] else None,
        )


# ------------------------------------------------------------------------------------------------------------ arguments


def each_dimension(name: str, argument: str, value: Any, ndim: int, lowest: int) -> tuple[int, ...]:
    """An int, or one for each dimension, as a tuple. RuntimeError if there are others, or they are too small."""
    try:
        values = (
            tuple(operator.index(v) for v in value) if isinstance(value, (tuple, list)) else (operator.index(value),)
        )
    except TypeError:
        raise TypeError(
            f"{name}(): argument '{argument}' must be int or tuple of ints, not {type(value).__name__}"
        ) from None
    values = values * ndim if len(values) == 1 else values
    if len(values) != ndim:
        raise RuntimeError(f"{name}: expected {argument} to be a single integer value or a list of {ndim}, got {value}")
    if min(values) < lowest:
        what = "negative" if lowest == 0 else "non-positive"
        raise RuntimeError(f"{name}: {what} {argument} is not supported, got {value}")
    return values


def _geometry(name: str, ndim: int, stride: Any, padding: Any, dilation: Any, groups: int, window: tuple) -> Geometry:
    stride = each_dimension(name, "stride", stride, ndim, 1)
    dilation = each_dimension(name, "dilation", dilation, ndim, 1)
    if not isinstance(groups, int) or groups <= 0:
        raise RuntimeError(f"{name}: non-positive groups is not supported, got {groups}")
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise RuntimeError(f"{name}: Invalid padding string: '{padding}'; choose 'same' or 'valid'")
        if padding == "same" and any(s != 1 for s in stride):
            raise RuntimeError(f"{name}: padding='same' is not supported for strided convolutions, got stride {stride}")
        total = tuple(d * (k - 1) if padding == "same" else 0 for d, k in zip(dilation, window))
        pairs = tuple((t // 2, t - t // 2) for t in total)
    else:
        pairs = tuple((p, p) for p in each_dimension(name, "padding", padding, ndim, 0))
    return Geometry(stride, pairs, dilation, groups)


def _check(name: str, ndim: int, input: Any, weight: Any, bias: Any) -> None:
    for argument, value in (("input", input), ("weight", weight)):
        if not isinstance(value, Tensor) and not hasattr(value, "dtype"):
            raise TypeError(f"{name}(): argument '{argument}' must be Tensor, not {type(value).__name__}")
    if input.ndim not in (ndim + 1, ndim + 2):
        raise RuntimeError(
            f"Expected {ndim + 1}D (unbatched) or {ndim + 2}D (batched) input to {name}, but got input of size: "
            f"{list(input.shape)}"
        )
    if weight.ndim != ndim + 2:
        raise RuntimeError(f"{name}: weight must have {ndim + 2} dimensions, got weight of size {list(weight.shape)}")
    for argument, value in (("weight", weight), ("bias", bias)):
        if value is not None and value.dtype != input.dtype:
            raise RuntimeError(
                f"{name}: Input type ({input.dtype}) and {argument} type ({value.dtype}) should be the same; "
                "convert one with .to()"
            )


def _check_channels(name: str, input: Any, expected: int, weight: Any, groups: int) -> None:
    if input.shape[1] != expected:
        raise RuntimeError(
            f"{name}: Given groups={groups}, weight of size {list(weight.shape)}, expected input{list(input.shape)} to "
            f"have {expected} channels, but got {input.shape[1]} channels instead (dim 1 of a batched input)"
        )


def _check_bias(name: str, bias: Any, filters: int, weight: Any) -> None:
    if bias is not None and tuple(bias.shape) != (filters,):
        raise RuntimeError(
            f"{name}: Given weight of size {list(weight.shape)}, expected bias to be 1-dimensional with {filters} "
            f"elements, but got bias of size {list(bias.shape)} instead"
        )


def _conv(ndim: int, input: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    name = f"conv{ndim}d"
    _check(name, ndim, input, weight, bias)
    geometry = _geometry(name, ndim, stride, padding, dilation, groups, tuple(weight.shape[2:]))
    if weight.shape[0] % groups:
        raise RuntimeError(
            f"{name}: Given groups={groups}, expected weight to be at least {groups} at dimension 0 and divisible by "
            f"it, but got weight of size {list(weight.shape)}"
        )
    unbatched = input.ndim == ndim + 1
    x = input.unsqueeze(0) if unbatched else input
    _check_channels(name, x, weight.shape[1] * groups, weight, groups)
    _check_bias(name, bias, weight.shape[0], weight)
    for axis, (n, k, d, pair) in enumerate(zip(x.shape[2:], weight.shape[2:], geometry.dilation, geometry.padding)):
        if n + sum(pair) < d * (k - 1) + 1:
            raise RuntimeError(
                f"{name}: Calculated padded input size per channel: {n + sum(pair)} in dim {axis + 2} of input "
                f"{list(x.shape)}. Kernel size: {d * (k - 1) + 1}. Kernel size can't be greater than actual input size"
            )
    y = apply(Convolution(geometry), x, weight) if bias is None else apply(Convolution(geometry), x, weight, bias)
    return y.squeeze(0) if unbatched else y


def _conv_transpose(
    ndim: int,
    input: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: int,
    dilation: Any,
) -> Any:
    name = f"conv_transpose{ndim}d"
    _check(name, ndim, input, weight, bias)
    geometry = _geometry(name, ndim, stride, padding, dilation, groups, tuple(weight.shape[2:]))
    extra = each_dimension(name, "output_padding", output_padding, ndim, 0)
    if any(e >= max(s, d) for e, s, d in zip(extra, geometry.stride, geometry.dilation)):
        raise RuntimeError(
            f"{name}: output padding must be smaller than either stride or dilation, but got output_padding {extra}, "
            f"stride {geometry.stride}, dilation {geometry.dilation}"
        )
    unbatched = input.ndim == ndim + 1
    x = input.unsqueeze(0) if unbatched else input
    _check_channels(name, x, weight.shape[0], weight, groups)
    _check_bias(name, bias, weight.shape[1] * groups, weight)
    sizes = tuple(
        (n - 1) * s - sum(pair) + d * (k - 1) + e + 1
        for n, k, s, d, pair, e in zip(
            x.shape[2:], weight.shape[2:], geometry.stride, geometry.dilation, geometry.padding, extra
        )
    )
    if min(sizes) <= 0:
        raise RuntimeError(
            f"{name}: Given input size per channel: {list(x.shape[2:])}. Calculated output size per channel: "
            f"{list(sizes)}. Output size is too small"
        )
    # Less padding behind makes the output larger there.
    behind = tuple((p, p - e) for (p, _), e in zip(geometry.padding, extra))
    y = apply(InputGradient(Geometry(geometry.stride, behind, geometry.dilation, groups), sizes), x, weight)
    if bias is not None:
        y = y + bias.reshape((1, -1, *(1,) * ndim))
    return y.squeeze(0) if unbatched else y


# ----------------------------------------------------------------------------------------------------- public functions


@in_half
def conv1d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Any:
    """Convolution (cross-correlation) of a sequence: see :func:`conv2d`, with one dimension."""
    return _conv(1, input, weight, bias, stride, padding, dilation, groups)


@in_half
def conv2d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Any:
    """y[n, f, i, j] = b[f] + Σ w[f, c, k, l] · x[n, c, i·stride + k·dilation - padding, j·… + l·… - …].

    Args:
        input: (N, C, H, W), or (C, H, W).
        weight: (F, C / groups, kernel height, kernel width).
        bias: (F,) or None.
        stride, dilation: an int, or one for each dimension.
        padding: likewise; or "valid" (none), or "same" (as much as keeps the size; stride 1 only).
        groups: channels and filters are cut into as many groups, which do not see each other.

    Returns:
        (N, F, H', W') with H' = ⌊(H + 2·padding - dilation·(kernel - 1) - 1) / stride⌋ + 1.

    Raises:
        RuntimeError: shapes, types or settings that do not fit together.
    """
    return _conv(2, input, weight, bias, stride, padding, dilation, groups)


@in_half
def conv3d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Any:
    """Convolution of volumes (N, C, D, H, W): see :func:`conv2d`, with three dimensions."""
    return _conv(3, input, weight, bias, stride, padding, dilation, groups)


@in_half
def conv_transpose1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    """The transposed convolution of a sequence: see :func:`conv_transpose2d`, with one dimension."""
    return _conv_transpose(1, input, weight, bias, stride, padding, output_padding, groups, dilation)


@in_half
def conv_transpose2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    """The adjoint of :func:`conv2d` with the same weight: each input value spreads the kernel over the output.

    Args:
        input: (N, F, H, W), or (F, H, W).
        weight: (F, C / groups, kernel height, kernel width).
        bias: (C,) or None.
        output_padding: added to the size on one side: a strided convolution gives one output size for several inputs.

    Returns:
        (N, C, H', W') with H' = (H - 1)·stride - 2·padding + dilation·(kernel - 1) + output_padding + 1.
    """
    return _conv_transpose(2, input, weight, bias, stride, padding, output_padding, groups, dilation)


@in_half
def conv_transpose3d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    """The transposed convolution of volumes: see :func:`conv_transpose2d`, with three dimensions."""
    return _conv_transpose(3, input, weight, bias, stride, padding, output_padding, groups, dilation)
