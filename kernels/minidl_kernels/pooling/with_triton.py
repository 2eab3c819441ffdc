"""Pooling in Triton: a program makes BLOCK values of the result, channels innermost, each from its own window.

Every value of the input is read as often as windows cover it, from the caches after the first time. The gradient gathers
rather than scatters: a program owns BLOCK values of ∂x, goes over the few windows that can cover each, and adds what
they send, in a fixed order. No two programs write to one place, so that there are no atomics and nothing to set to zero.

One-dimensional arrays are two-dimensional ones of height 1; three dimensions and other types are left to the reference.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from minidl_kernels.triton_runtime import launch

import triton  # isort: skip
import triton.language as tl  # isort: skip

from minidl_kernels.arrays import namespace
from minidl_kernels.pooling import with_numpy as reference
from minidl_kernels.pooling.with_numpy import lowest, places  # noqa: F401

BLOCK = 256


@triton.jit
def position(number, channels, size_y, size_x):
    """Image, row, column and channel of value ``number`` in an array (images, rows, columns, channels)."""
    pixel = number // channels
    return pixel // (size_y * size_x), pixel // size_x % size_y, pixel % size_x, number % channels


@triton.jit
def pool_forward(
    x,
    y,
    which,
    x_steps,  # image, channel, row, column
    n,
    channels,
    size_y,
    size_x,
    out_y,
    out_x,
    before_y,
    before_x,
    KERNEL_Y: tl.constexpr,
    KERNEL_X: tl.constexpr,
    STRIDE_Y: tl.constexpr,
    STRIDE_X: tl.constexpr,
    DILATION_Y: tl.constexpr,
    DILATION_X: tl.constexpr,
    LARGEST: tl.constexpr,  # the largest value and which it is; otherwise the sum
    WIDE: tl.constexpr,  # numbers need 64 bits, whose division is slow
    BLOCK: tl.constexpr,
):
    number = (tl.program_id(0).to(tl.int64) if WIDE else tl.program_id(0)) * BLOCK + tl.arange(0, BLOCK)
    image, row, column, channel = position(number, channels, out_y, out_x)
    x += image.to(tl.int64) * x_steps[0] + channel * x_steps[1]
    result = tl.full((BLOCK,), float("-inf") if LARGEST else 0.0, tl.float32)
    found = tl.zeros((BLOCK,), tl.int32)
    for tap in range(KERNEL_Y * KERNEL_X):
        at_y = row * STRIDE_Y - before_y + tap // KERNEL_X * DILATION_Y
        at_x = column * STRIDE_X - before_x + tap % KERNEL_X * DILATION_X
        inside = (at_y >= 0) & (at_y < size_y) & (at_x >= 0) & (at_x < size_x) & (number < n)
        outside: tl.constexpr = float("-inf") if LARGEST else 0.0
        value = tl.load(x + at_y * x_steps[2] + at_x * x_steps[3], mask=inside, other=outside).to(tl.float32)
        if LARGEST:
            found = tl.where(value > result, tap, found)
            result = tl.where((value > result) | (value != value), value, result)  # nan stays: nothing is larger
        else:
            result += value
    tl.store(y + number, result.to(y.dtype.element_ty), mask=number < n)
    if LARGEST:
        tl.store(which + number, found.to(which.dtype.element_ty), mask=number < n)


@triton.jit
def pool_backward(
    g,
    which,
    dx,
    g_steps,
    which_steps,
    n,
    channels,
    size_y,
    size_x,
    out_y,
    out_x,
    before_y,
    before_x,
    KERNEL_Y: tl.constexpr,
    KERNEL_X: tl.constexpr,
    STRIDE_Y: tl.constexpr,
    STRIDE_X: tl.constexpr,
    DILATION_Y: tl.constexpr,
    DILATION_X: tl.constexpr,
    LARGEST: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    number = (tl.program_id(0).to(tl.int64) if WIDE else tl.program_id(0)) * BLOCK + tl.arange(0, BLOCK)
    image, row, column, channel = position(number, channels, size_y, size_x)
    g += image.to(tl.int64) * g_steps[0] + channel * g_steps[1]
    if LARGEST:
        which += image.to(tl.int64) * which_steps[0] + channel * which_steps[1]
    total = tl.zeros((BLOCK,), tl.float32)
    for tap in range(KERNEL_Y * KERNEL_X):  # is there a window that has this value as its tap?
        start_y = row + before_y - tap // KERNEL_X * DILATION_Y
        start_x = column + before_x - tap % KERNEL_X * DILATION_X
        from_y, from_x = start_y // STRIDE_Y, start_x // STRIDE_X
        some = (start_y >= 0) & (start_x >= 0) & (start_y % STRIDE_Y == 0) & (start_x % STRIDE_X == 0)
        some = some & (from_y < out_y) & (from_x < out_x) & (number < n)
        value = tl.load(g + from_y * g_steps[2] + from_x * g_steps[3], mask=some, other=0.0).to(tl.float32)
        if LARGEST:
            chosen = tl.load(which + from_y * which_steps[2] + from_x * which_steps[3], mask=some, other=0)
            value = tl.where(some & (chosen.to(tl.int32) == tap), value, 0.0)
        total += value
    tl.store(dx + number, total.to(dx.dtype.element_ty), mask=number < n)


def max_forward(x: Any, kernel: tuple, stride: tuple, padding: tuple, dilation: tuple, out: tuple) -> tuple[Any, Any]:
    """``y, which``; ``padding`` is a pair (before, after) for each dimension."""
    if not _takes(x):
        return reference.max_forward(x, kernel, stride, padding, dilation, out)
    if x.ndim == 3:
        y, which = max_forward(x[:, :, None], *_flat(kernel, stride, padding, dilation), (1, *out))
        return y[:, :, 0], which[:, :, 0]
    which = _innermost(namespace(x), x, out, "uint8" if kernel[0] * kernel[1] <= 256 else "int32")
    return _forward(x, which, kernel, stride, padding, dilation, out), which


def sum_forward(x: Any, kernel: tuple, stride: tuple, padding: tuple, out: tuple) -> Any:
    """The sum of each window."""
    if not _takes(x):
        return reference.sum_forward(x, kernel, stride, padding, out)
    if x.ndim == 3:
        kernel, stride, padding, _ = _flat(kernel, stride, padding, kernel)
        return sum_forward(x[:, :, None], kernel, stride, padding, (1, *out))[:, :, 0]
    return _forward(x, None, kernel, stride, padding, (1, 1), out)


def max_backward(g: Any, which: Any, size: tuple, kernel: tuple, stride: tuple, padding: tuple, dilation: tuple) -> Any:
    """∂x (N, C, *size)."""
    if not _takes(g):
        return reference.max_backward(g, which, size, kernel, stride, padding, dilation)
    if g.ndim == 3:
        settings = _flat(kernel, stride, padding, dilation)
        return max_backward(g[:, :, None], which[:, :, None], (1, *size), *settings)[:, :, 0]
    return _backward(g, which, size, kernel, stride, padding, dilation)


def sum_backward(g: Any, size: tuple, kernel: tuple, stride: tuple, padding: tuple) -> Any:
    """∂x (N, C, *size)."""
    if not _takes(g):
        return reference.sum_backward(g, size, kernel, stride, padding)
    if g.ndim == 3:
        kernel, stride, padding, _ = _flat(kernel, stride, padding, kernel)
        return sum_backward(g[:, :, None], (1, *size), kernel, stride, padding)[:, :, 0]
    return _backward(g, None, size, kernel, stride, padding, (1, 1))


def _forward(x: Any, which: Any, kernel: tuple, stride: tuple, padding: tuple, dilation: tuple, out: tuple) -> Any:
    y = _innermost(namespace(x), x, out, x.dtype)
    launch(
        pool_forward,
        (triton.cdiv(y.size, BLOCK),),
        *(x, y, which, _steps(x), y.size, x.shape[1], *x.shape[2:], *out, *(before for before, _ in padding)),
        **_constants(kernel, stride, dilation, which, y.size),
    )
    return y


def _backward(g: Any, which: Any, size: tuple, kernel: tuple, stride: tuple, padding: tuple, dilation: tuple) -> Any:
    dx = _innermost(namespace(g), g, size, g.dtype)
    steps = _steps(g), (0, 0, 0, 0) if which is None else _steps(which)
    launch(
        pool_backward,
        (triton.cdiv(dx.size, BLOCK),),
        *(g, which, dx, *steps, dx.size, g.shape[1], *size, *g.shape[2:], *(before for before, _ in padding)),
        **_constants(kernel, stride, dilation, which, dx.size),
    )
    return dx


def _constants(kernel: tuple, stride: tuple, dilation: tuple, which: Any, size: int) -> dict[str, Any]:
    pairs = {"KERNEL": kernel, "STRIDE": stride, "DILATION": dilation}
    constants = {f"{name}_{axis}": n for name, pair in pairs.items() for axis, n in zip("YX", pair)}
    return constants | {"LARGEST": which is not None, "WIDE": size > 1 << 30, "BLOCK": BLOCK, "num_warps": 4}


def _innermost(xp: Any, x: Any, size: tuple, dtype: Any) -> Any:
    """Memory for (N, C, *size) with channels innermost."""
    return xp.empty((len(x), *size, x.shape[1]), dtype).transpose(0, 3, 1, 2)


def _flat(kernel: tuple, stride: tuple, padding: tuple, dilation: tuple) -> tuple:
    """One dimension's settings as two dimensions'."""
    return (1, *kernel), (1, *stride), ((0, 0), *padding), (1, *dilation)


def _takes(x: Any) -> bool:
    return x.dtype.kind in "fV" and x.dtype.itemsize <= 4 and x.ndim in (3, 4) and x.size > 0


def _steps(x: Any) -> tuple:
    return tuple(step // x.dtype.itemsize for step in x.strides)


def compile_cases(array: Any) -> Any:
    """Calls that between them compile what is shipped."""
    for dtype in ("float16", "float32"):
        for kernel, stride in (((2, 2), (2, 2)), ((3, 3), (2, 2)), ((3, 3), (1, 1)), ((7, 7), (7, 7))):
            x = array((2, 14, 14, 64), dtype).transpose(0, 3, 1, 2)
            out = tuple((14 - k) // s + 1 for k, s in zip(kernel, stride))
            g, which = array((2, 64, *out), dtype), array((2, 64, *out), "uint8")
            none = ((0, 0), (0, 0))
            yield partial(max_forward, x, kernel, stride, none, (1, 1), out)
            yield partial(max_backward, g, which, (14, 14), kernel, stride, none, (1, 1))
            yield partial(sum_forward, x, kernel, stride, none, out)
            yield partial(sum_backward, g, (14, 14), kernel, stride, none)
