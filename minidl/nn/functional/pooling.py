"""Maxima and averages over windows. The kernels are in ``minidl_kernels.pooling``."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minidl import creation, dtypes, ops
from minidl.autograd.tape import Kept, Operator, apply
from minidl.backends import kernel
from minidl.nn.functional.convolution import each_dimension
from minidl.tensor import raw, wrap

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "max_unpool1d",
    "max_unpool2d",
    "max_unpool3d",
]


class Windows:
    """Where the windows of a pooling lie: kernel, stride, padding (before, after), dilation and output size, each for
    every dimension."""

    def __init__(
        self, name: str, ndim: int, size: tuple, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil: bool
    ):
        self.size = size
        self.kernel = each_dimension(name, "kernel_size", kernel, ndim, 1)
        empty = stride is None or stride == [] or stride == ()
        self.stride = self.kernel if empty else each_dimension(name, "stride", stride, ndim, 1)
        self.dilation = each_dimension(name, "dilation", dilation, ndim, 1)
        before = each_dimension(name, "padding", padding, ndim, 0)
        if any(p > k // 2 for p, k in zip(before, self.kernel)):
            raise RuntimeError(
                f"{name}: pad should be at most half of effective kernel size, but got pad={before} and "
                f"kernel_size={self.kernel}"
            )
        self.out = tuple(
            self._count(n, k, s, p, d, ceil)
            for n, k, s, p, d in zip(size, self.kernel, self.stride, before, self.dilation)
        )
        if min(self.out) <= 0:
            raise RuntimeError(
                f"{name}: Given input size: {list(size)}. Calculated output size: {list(self.out)}. "
                f"Output size is too small (kernel_size={self.kernel})"
            )
        # The last window may reach beyond the padding when sizes are rounded up.
        self.padding = tuple(
            (p, max(p, (o - 1) * s + d * (k - 1) + 1 - n - p))
            for n, k, s, p, d, o in zip(size, self.kernel, self.stride, before, self.dilation, self.out)
        )
        self.before = before

    @staticmethod
    def _count(n: int, k: int, s: int, p: int, d: int, ceil: bool) -> int:
        room = n + 2 * p - d * (k - 1) - 1
        count = (-(-room // s) if ceil else room // s) + 1
        if ceil and (count - 1) * s >= n + p:  # a window must begin inside the input or the padding before it
            count -= 1
        return count

    def settings(self) -> tuple:
        return self.kernel, self.stride, self.padding, self.dilation

    def numbers(self, which: Any) -> Any:
        """``which`` of each window's values as a position in the input."""
        return kernel("pooling").places(which, self.size, *self.settings())


class MaxPool(Operator):
    """y = max x of each window;  g goes to where that lies (the first of equals)."""

    which = Kept()  # of each window's values the largest

    def __init__(self, windows: Windows) -> None:
        self.windows = windows

    def forward(self, x: Any) -> Any:
        y, self.which = kernel("pooling").max_forward(x, *self.windows.settings(), self.windows.out)
        return y

    def backward(self, g: Any) -> Any:
        return kernel("pooling").max_backward(g, self.which, self.windows.size, *self.windows.settings())

    def composite(self, x: Any) -> Any:
        """The same values, looked up by their positions."""
        return _look_up(x, self.windows.numbers(self.which))


def _look_up(x: Any, numbers: Any) -> Any:
    """The values of x (N, C, *S) at ``numbers`` (N, C, *O), positions among the values of a channel."""
    lead, out = tuple(x.shape[:2]), numbers.shape[2:]
    flat = x.reshape((*lead, math.prod(x.shape[2:])))
    return ops.gather(flat, 2, wrap(numbers.reshape((*lead, math.prod(out))))).reshape((*lead, *out))


class SumPool(Operator):
    """y = Σ x of each window;  ∂x = Σ g over the windows that hold it."""

    def __init__(self, windows: Windows) -> None:
        self.windows = windows

    def forward(self, x: Any) -> Any:
        w = self.windows
        return kernel("pooling").sum_forward(x, w.kernel, w.stride, w.padding, w.out)

    def backward(self, g: Any) -> Any:
        return apply(SumSpread(self.windows), g)


class SumSpread(Operator):
    """y = Σ x over the windows that hold a place;  ∂x = Σ g of its window.

    The adjoint of :class:`SumPool`, and it of this.
    """

    def __init__(self, windows: Windows) -> None:
        self.windows = windows

    def forward(self, x: Any) -> Any:
        w = self.windows
        return kernel("pooling").sum_backward(x, w.size, w.kernel, w.stride, w.padding)

    def backward(self, g: Any) -> Any:
        return apply(SumPool(self.windows), g)


def _batched(name: str, ndim: int, input: Any) -> tuple[Any, bool]:
    """The input as (N, C, *S), and whether it came without N."""
    if input.ndim not in (ndim + 1, ndim + 2):
        raise RuntimeError(
            f"{name}: Expected {ndim + 1}D or {ndim + 2}D (batch mode) tensor with optional 0 dim batch size for "
            f"input, but got: {list(input.shape)}"
        )
    if 0 in input.shape[-ndim - 1 :]:
        raise RuntimeError(
            f"{name}: Expected input with non-zero sizes but for the batch's, but got: {list(input.shape)}"
        )
    unbatched = input.ndim == ndim + 1
    return (input.unsqueeze(0) if unbatched else input), unbatched


def _max_pool(
    ndim: int,
    input: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
    return_indices: bool,
) -> Any:
    name = f"max_pool{ndim}d"
    x, unbatched = _batched(name, ndim, input)
    windows = Windows(name, ndim, tuple(x.shape[2:]), kernel_size, stride, padding, dilation, ceil_mode)
    operator = MaxPool(windows)
    y = apply(operator, x)
    y = y.squeeze(0) if unbatched else y
    if not return_indices:
        return y
    indices = windows.numbers(operator.which)
    return y, wrap(indices[0] if unbatched else indices)


def max_pool1d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest value of each window of (N, C, L): see :func:`max_pool2d`."""
    return _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest value of each window.

    Args:
        input: (N, C, H, W) or (C, H, W).
        kernel_size, stride, padding, dilation: an int, or one for each dimension; ``stride`` is ``kernel_size`` if
            None. Outside the input lies -∞.
        ceil_mode: round the output size up instead of down.
        return_indices: also return where each maximum lies, counted over (H, W) in row-major order.

    Raises:
        RuntimeError: padding above half the window; an output without any element.
    """
    return _max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool3d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest value of each window of (N, C, D, H, W): see :func:`max_pool2d`."""
    return _max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def _avg_pool(
    ndim: int,
    input: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Any:
    name = f"avg_pool{ndim}d"
    if divisor_override == 0:
        raise RuntimeError(f"{name}: divisor must be not zero")
    x, unbatched = _batched(name, ndim, input)
    windows = Windows(name, ndim, tuple(x.shape[2:]), kernel_size, stride, padding, 1, ceil_mode)
    wide = x.dtype.itemsize < 4
    total = apply(SumPool(windows), x.float() if wide else x)
    y = total / _divisors(windows, count_include_pad, divisor_override, total)
    y = y.to(x.dtype) if wide else y
    return y.squeeze(0) if unbatched else y


def _divisors(windows: Windows, count_include_pad: bool, divisor_override: int | None, like: Any) -> Any:
    """By what each window's sum is divided: a number, or an array (*O)."""
    if divisor_override is not None:
        return divisor_override
    counts = None
    for n, k, s, p, o in zip(windows.size, windows.kernel, windows.stride, windows.before, windows.out):
        begin = np.arange(o) * s - p
        end = np.minimum(begin + k, n + p)  # beyond the padding nothing counts
        count = (end - begin) if count_include_pad else np.minimum(end, n) - np.maximum(begin, 0)
        counts = count if counts is None else counts[..., None] * count
    assert counts is not None
    if (counts == counts.flat[0]).all():
        return int(counts.flat[0])
    return creation.as_tensor(counts, like.dtype, like.device)


def avg_pool1d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:
    """The mean of each window of (N, C, L): see :func:`avg_pool2d`."""
    return _avg_pool(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


def avg_pool2d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """The mean of each window.

    Args:
        input: (N, C, H, W) or (C, H, W).
        kernel_size, stride, padding: an int, or one for each dimension; ``stride`` is ``kernel_size`` if None. Outside
            the input lies 0.
        ceil_mode: round the output size up instead of down.
        count_include_pad: divide by the window's size, padding included; otherwise by the values inside the input.
        divisor_override: divide by this instead.
    """
    return _avg_pool(2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def avg_pool3d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """The mean of each window of (N, C, D, H, W): see :func:`avg_pool2d`."""
    return _avg_pool(3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


# ----------------------------------------------------------------------------------------------------------------- back


def _max_unpool(
    ndim: int, input: Any, indices: Any, kernel_size: Any, stride: Any, padding: Any, output_size: Any
) -> Any:
    name = f"max_unpool{ndim}d"
    if indices.dtype is not dtypes.int64:
        raise RuntimeError(f"{name}: elements in indices should be type int64 but got: {indices.dtype}")
    if tuple(indices.shape) != tuple(input.shape):
        raise RuntimeError(
            f"{name}: Expected shape of indices to be same as that of the input tensor {list(input.shape)} but got "
            f"indices tensor with shape: {list(indices.shape)}"
        )
    kernels = each_dimension(name, "kernel_size", kernel_size, ndim, 1)
    strides = kernels if stride is None else each_dimension(name, "stride", stride, ndim, 1)
    paddings = each_dimension(name, "padding", padding, ndim, 0)
    x, unbatched = _batched(name, ndim, input)
    least = [(n - 1) * s + k - 2 * p for n, s, k, p in zip(x.shape[2:], strides, kernels, paddings)]
    size = _unpooled_size(name, least, strides, output_size)
    flat = raw(indices).reshape((*x.shape[:2], math.prod(x.shape[2:])))
    if flat.size and (flat.min() < 0 or flat.max() >= math.prod(size)):
        raise RuntimeError(
            f"{name}: Found an invalid max index: indices reach from {int(flat.min())} to {int(flat.max())}, but the "
            f"output {list(size)} has {math.prod(size)} places"
        )
    y = creation.zeros((*x.shape[:2], math.prod(size)), dtype=x.dtype, device=x.device)
    y = ops.scatter(y, 2, wrap(flat), x.reshape(flat.shape)).reshape((*x.shape[:2], *size))
    return y.squeeze(0) if unbatched else y


def _unpooled_size(name: str, least: list[int], strides: tuple, output_size: Any) -> tuple[int, ...]:
    """``output_size``, if pooling it could have given the input; the smallest such size if None."""
    if output_size is None:
        return tuple(least)
    sizes = tuple(output_size)
    sizes = sizes[2:] if len(sizes) == len(least) + 2 else sizes
    if len(sizes) != len(least):
        raise ValueError(
            f"{name}: output_size should be a sequence containing {len(least)} or {len(least) + 2} elements, but it has "
            f"a length of {len(sizes)}"
        )
    if any(not n - s < size < n + s for n, s, size in zip(least, strides, sizes)):
        bounds = ", ".join(f"{n - s + 1} to {n + s - 1}" for n, s in zip(least, strides))
        raise ValueError(f"{name}: invalid output_size {list(sizes)}; the sizes must lie in {bounds}")
    return sizes


def max_unpool1d(
    input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Any:
    """The inverse of :func:`max_pool1d` up to what it dropped: see :func:`max_unpool2d`."""
    return _max_unpool(1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Any:
    """The maxima put back where they were, 0 everywhere else (Zeiler & Fergus 2014, section 2.1).

    Args:
        input, indices: (N, C, H, W) or (C, H, W), as :func:`max_pool2d` gives them with ``return_indices=True``.
        kernel_size, stride, padding: those of the pooling.
        output_size: that of the pooled tensor, which several sizes are possible for; the smallest if None.

    Raises:
        RuntimeError: indices of another shape or type, or outside the output. ValueError: an impossible ``output_size``.
    """
    return _max_unpool(2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Any:
    """The inverse of :func:`max_pool3d` up to what it dropped: see :func:`max_unpool2d`."""
    return _max_unpool(3, input, indices, kernel_size, stride, padding, output_size)


# ------------------------------------------------------------------------------------------------------------- adaptive


def _sizes(name: str, ndim: int, output_size: Any, size: tuple) -> tuple[int, ...]:
    wanted = tuple(output_size) if isinstance(output_size, (tuple, list)) else (output_size,) * ndim
    if len(wanted) != ndim:
        raise RuntimeError(f"{name}: output_size must be an int or {ndim} of them, got {output_size}")
    wanted = tuple(n if o is None else o for o, n in zip(wanted, size))
    if min(wanted) < 0:
        raise RuntimeError(f"{name}: elements of output_size must be greater than or equal to 0, got {output_size}")
    return wanted


def _bounds(n: int, out: int) -> list[tuple[int, int]]:
    """The windows that cover n values in ``out`` steps: from ⌊i n / out⌋ to ⌈(i + 1) n / out⌉."""
    return [(i * n // out, -(-(i + 1) * n // out)) for i in range(out)]


def averages(n: int, out: int) -> np.ndarray:
    """A matrix (out, n) whose rows take the mean of each window."""
    matrix = np.zeros((out, n))
    for row, (begin, end) in zip(matrix, _bounds(n, out)):
        row[begin:end] = 1 / (end - begin)
    return matrix


def _adaptive_avg(ndim: int, input: Any, output_size: Any) -> Any:
    name = f"adaptive_avg_pool{ndim}d"
    x, unbatched = _batched(name, ndim, input)
    wanted = _sizes(name, ndim, output_size, tuple(x.shape[2:]))
    y = x.float() if x.dtype.itemsize < 4 else x
    *matrices, last = (creation.as_tensor(averages(n, out), y.dtype, y.device) for n, out in zip(x.shape[2:], wanted))
    y = y @ last.T
    for axis, (matrix, out) in enumerate(zip(matrices, wanted), start=2):
        lead, rest = tuple(y.shape[:axis]), tuple(y.shape[axis + 1 :])
        y = (matrix @ y.reshape((*lead, y.shape[axis], math.prod(rest)))).reshape((*lead, out, *rest))
    y = y.to(x.dtype)
    return y.squeeze(0) if unbatched else y


def adaptive_avg_pool1d(input: Any, output_size: Any) -> Any:
    """Means over windows that cover (N, C, L) in ``output_size`` steps."""
    return _adaptive_avg(1, input, output_size)


def adaptive_avg_pool2d(input: Any, output_size: Any) -> Any:
    """Means over windows that cover (N, C, H, W) in ``output_size`` steps: an int or (height, width); None keeps."""
    return _adaptive_avg(2, input, output_size)


def adaptive_avg_pool3d(input: Any, output_size: Any) -> Any:
    """Means over windows that cover (N, C, D, H, W): see :func:`adaptive_avg_pool2d`."""
    return _adaptive_avg(3, input, output_size)


def _adaptive_max(ndim: int, input: Any, output_size: Any, return_indices: bool) -> Any:
    name = f"adaptive_max_pool{ndim}d"
    x, unbatched = _batched(name, ndim, input)
    size = tuple(x.shape[2:])
    wanted = _sizes(name, ndim, output_size, size)
    array = raw(x)
    numbers = np.zeros((*x.shape[:2], *wanted), np.int64)
    bounds = [_bounds(n, o) for n, o in zip(size, wanted)]
    for place in np.ndindex(*wanted):
        window = tuple(slice(*bounds[axis][i]) for axis, i in enumerate(place))
        part = array[(slice(None), slice(None), *window)]
        best = part.reshape(*part.shape[:2], math.prod(part.shape[2:])).argmax(2)
        inside = np.unravel_index(best, part.shape[2:])
        number = np.zeros_like(best)
        for n, begin, offset in zip(size, (w.start for w in window), inside):
            number = number * n + begin + offset
        numbers[(slice(None), slice(None), *place)] = number
    y = _look_up(x, numbers)
    indices = wrap(numbers)
    if unbatched:
        y, indices = y.squeeze(0), indices.squeeze(0)
    return (y, indices) if return_indices else y


def adaptive_max_pool1d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """Largest values of windows that cover (N, C, L) in ``output_size`` steps."""
    return _adaptive_max(1, input, output_size, return_indices)


def adaptive_max_pool2d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """Largest values of windows that cover (N, C, H, W) in ``output_size`` steps (and where they lie)."""
    return _adaptive_max(2, input, output_size, return_indices)


def adaptive_max_pool3d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """Largest values of windows that cover (N, C, D, H, W): see :func:`adaptive_max_pool2d`."""
    return _adaptive_max(3, input, output_size, return_indices)
