"""Rearranging images: pixel_shuffle, channel_shuffle, and windows as columns (unfold, fold)."""

from __future__ import annotations

from typing import Any

from minidl.autograd.tape import Operator, apply
from minidl.backends import kernel
from minidl.nn.functional.convolution import each_dimension

__all__ = ["channel_shuffle", "fold", "pixel_shuffle", "pixel_unshuffle", "unfold"]


def pixel_shuffle(input: Any, upscale_factor: int) -> Any:
    """(…, C r², H, W) to (…, C, H r, W r): channels become a finer grid (Shi et al. 2016, "Sub-Pixel CNN")."""
    r = _factor("pixel_shuffle", "upscale_factor", input, upscale_factor)
    *lead, channels, h, w = input.shape
    if channels % (r * r):
        raise RuntimeError(
            f"pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of upscale_factor, but "
            f"input.size(-3)={channels} is not divisible by {r * r}"
        )
    n = len(lead)
    y = input.reshape((*lead, channels // (r * r), r, r, h, w))
    y = y.permute((*range(n), n, n + 3, n + 1, n + 4, n + 2))
    return y.reshape((*lead, channels // (r * r), h * r, w * r))


def pixel_unshuffle(input: Any, downscale_factor: int) -> Any:
    """(…, C, H r, W r) to (…, C r², H, W): undoes :func:`pixel_shuffle`."""
    r = _factor("pixel_unshuffle", "downscale_factor", input, downscale_factor)
    *lead, channels, h, w = input.shape
    for name, size in (("height", h), ("width", w)):
        if size % r:
            raise RuntimeError(
                f"pixel_unshuffle expects {name} to be divisible by downscale_factor, but got {name}={size} and "
                f"downscale_factor={r} (input {list(input.shape)})"
            )
    n = len(lead)
    y = input.reshape((*lead, channels, h // r, r, w // r, r))
    y = y.permute((*range(n), n, n + 2, n + 4, n + 1, n + 3))
    return y.reshape((*lead, channels * r * r, h // r, w // r))


def _factor(name: str, argument: str, input: Any, factor: int) -> int:
    if input.ndim < 3:
        raise RuntimeError(
            f"{name} expects input to have at least 3 dimensions, but got input with {input.ndim} dimension(s)"
        )
    if factor <= 0:
        raise RuntimeError(f"{name} expects a positive {argument}, but got {factor}")
    return factor


def channel_shuffle(input: Any, groups: int) -> Any:
    """(N, C, *) with its channels dealt out: C = (groups, C/groups) transposed (Zhang et al. 2018, "ShuffleNet")."""
    if input.ndim < 3:
        raise RuntimeError(f"channel_shuffle expects input with > 2 dims, but got input with shape {list(input.shape)}")
    if groups <= 0:
        raise RuntimeError(f"Number of groups to divide channels in must be positive. Value of groups:{groups}")
    n, channels, *rest = input.shape
    if channels % groups:
        raise RuntimeError(
            f"Number of channels must be divisible by groups. Got {channels} channels and {groups} groups."
        )
    return input.reshape((n, groups, channels // groups, *rest)).transpose(1, 2).reshape((n, channels, *rest))


# --------------------------------------------------------------------------------------------------- windows as columns


class _Windows:
    """The windows of unfold and fold over an image of ``size``."""

    def __init__(self, name: str, size: tuple, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> None:
        self.size = size
        self.kernel = each_dimension(name, "kernel_size", kernel_size, 2, 1)
        self.dilation = each_dimension(name, "dilation", dilation, 2, 1)
        self.padding = tuple((p, p) for p in each_dimension(name, "padding", padding, 2, 0))
        self.stride = each_dimension(name, "stride", stride, 2, 1)
        self.out = tuple(
            (n + sum(p) - d * (k - 1) - 1) // s + 1
            for n, k, d, p, s in zip(size, self.kernel, self.dilation, self.padding, self.stride)
        )
        if min(self.out) <= 0:
            raise RuntimeError(
                f"{name}: Given an image of spatial size {list(size)}, kernel_size={self.kernel}, dilation={self.dilation}, "
                f"padding={tuple(p for p, _ in self.padding)}, calculated shape of the array of sliding blocks as "
                f"{self.out}, but its components must be at least one."
            )

    @property
    def count(self) -> int:
        return self.out[0] * self.out[1]


class Im2Col(Operator):
    """y[n, (c, k), l] = x[n, c, place of value k in window l];  ∂x = Σ g over the places where it went.

    That is :class:`Col2Im`.
    """

    def __init__(self, windows: _Windows) -> None:
        self.windows = windows

    def forward(self, x: Any) -> Any:
        w, room = self.windows, kernel("convolution")
        n, channels = x.shape[:2]
        padded = room.padded(x.transpose(0, 2, 3, 1), w.padding)
        columns = room.im2col(padded, w.kernel, w.stride, w.dilation, w.out)
        window = w.kernel[0] * w.kernel[1]
        return (
            columns.reshape(n, w.count, window, channels).transpose(0, 3, 2, 1).reshape(n, channels * window, w.count)
        )

    def backward(self, g: Any) -> Any:
        return apply(Col2Im(self.windows), g)


class Col2Im(Operator):
    """y = the values x of every window, added where they lie;  ∂x = g at that place.

    That is :class:`Im2Col`.
    """

    def __init__(self, windows: _Windows) -> None:
        self.windows = windows

    def forward(self, x: Any) -> Any:
        w = self.windows
        channels = x.shape[1] // (w.kernel[0] * w.kernel[1])
        columns = x.reshape(len(x), channels, *w.kernel, *w.out).transpose(0, 4, 5, 2, 3, 1)
        image = kernel("convolution").col2im(columns, w.size, w.stride, w.padding, w.dilation)
        return image.transpose(0, 3, 1, 2)

    def backward(self, g: Any) -> Any:
        return apply(Im2Col(self.windows), g)


def unfold(input: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    """The windows of an image as columns: (N, C, H, W) to (N, C·kh·kw, L), L the number of windows (row-major).

    Also unbatched, (C, H, W). RuntimeError if no window fits.
    """
    if input.ndim not in (3, 4):
        raise RuntimeError(
            f"unfold: Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero dimensions for "
            f"input, but got: {list(input.shape)}"
        )
    windows = _Windows("unfold", tuple(input.shape[-2:]), kernel_size, dilation, padding, stride)
    if input.ndim == 3:
        return apply(Im2Col(windows), input.unsqueeze(0)).squeeze(0)
    return apply(Im2Col(windows), input)


def fold(input: Any, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    """Columns added up into an image: (N, C·kh·kw, L) to (N, C, *output_size). The adjoint of :func:`unfold`.

    Also unbatched, (C·kh·kw, L). RuntimeError if the columns are not those of such an image.
    """
    if input.ndim not in (2, 3):
        raise RuntimeError(
            f"fold: Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and non-zero dimensions for "
            f"input, but got: {list(input.shape)}"
        )
    size = each_dimension("fold", "output_size", output_size, 2, 1)
    windows = _Windows("fold", size, kernel_size, dilation, padding, stride)
    columns, count = input.shape[-2:]
    if columns % (windows.kernel[0] * windows.kernel[1]):
        raise RuntimeError(
            f"fold: Expected size of input's dimension {input.ndim - 2} to be divisible by the product of kernel_size, but "
            f"got {columns} and kernel_size={windows.kernel}"
        )
    if count != windows.count:
        raise RuntimeError(
            f"fold: Given output_size={size}, kernel_size={windows.kernel}, expected size of input's dimension "
            f"{input.ndim - 1} to match the calculated number of sliding blocks {windows.out[0]} * {windows.out[1]} = "
            f"{windows.count}, but got input.size({input.ndim - 1})={count}"
        )
    if input.ndim == 2:
        return apply(Col2Im(windows), input.unsqueeze(0)).squeeze(0)
    return apply(Col2Im(windows), input)
