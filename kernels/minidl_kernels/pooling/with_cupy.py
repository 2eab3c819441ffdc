"""Pooling in CUDA C: a thread a value, channels innermost, so that neighbours read neighbours.

A gradient gathers: the thread of an input value looks at each window that may hold it. Scattering would need atomic additions.
"""

from __future__ import annotations

from typing import Any

from minidl_kernels.cuda_c import CudaSource, float32
from minidl_kernels.images import innermost, pairs, restored, suits
from minidl_kernels.pooling import with_numpy as reference
from minidl_kernels.pooling.with_numpy import lowest, places

__all__ = ["lowest", "max_backward", "max_forward", "places", "sum_backward", "sum_forward"]

source = CudaSource(__file__, "pooling.cu")
THREADS = 256


def max_forward(x: Any, kernel: tuple, stride: tuple, padding: tuple, dilation: tuple, out: tuple) -> tuple[Any, Any]:
    """``y, which``; ``padding`` is a pair (before, after) for each dimension."""
    if not suits(x) or not float32.takes(x):
        return reference.max_forward(x, kernel, stride, padding, dilation, out)
    xs, sizes = innermost(x, "float32"), pairs(out, 1)
    y = float32.empty(xs, (xs.shape[0], *sizes, xs.shape[3]))
    which = float32.empty(xs, y.shape).astype("int32")
    where = (xs.shape[3], *xs.shape[1:3], *sizes, *_window(kernel, stride, padding), *pairs(dilation, 1))
    source.launch("pool_max_forward", (-(-y.size // THREADS),), (THREADS,), xs, y, which, y.size, *where)
    small = which.astype("uint8") if pairs(kernel, 1)[0] * pairs(kernel, 1)[1] <= 256 else which
    return restored(y, x.ndim, x.dtype), restored(small, x.ndim, small.dtype)


def max_backward(g: Any, which: Any, size: tuple, kernel: tuple, stride: tuple, padding: tuple, dilation: tuple) -> Any:
    """∂x (N, C, *size)."""
    if not suits(g) or not float32.takes(g):
        return reference.max_backward(g, which, size, kernel, stride, padding, dilation)
    gs, found, sizes = innermost(g, "float32"), innermost(which, "int32"), pairs(size, 1)
    dx = float32.empty(gs, (gs.shape[0], *sizes, gs.shape[3]))
    where = (gs.shape[3], *sizes, *gs.shape[1:3], *_window(kernel, stride, padding), *pairs(dilation, 1))
    source.launch("pool_max_backward", (-(-dx.size // THREADS),), (THREADS,), gs, found, dx, dx.size, *where)
    return restored(dx, g.ndim, g.dtype)


def sum_forward(x: Any, kernel: tuple, stride: tuple, padding: tuple, out: tuple) -> Any:
    """The sum of each window."""
    if not suits(x) or not float32.takes(x):
        return reference.sum_forward(x, kernel, stride, padding, out)
    xs, sizes = innermost(x, "float32"), pairs(out, 1)
    y = float32.empty(xs, (xs.shape[0], *sizes, xs.shape[3]))
    where = (xs.shape[3], *xs.shape[1:3], *sizes, *_window(kernel, stride, padding))
    source.launch("pool_sum_forward", (-(-y.size // THREADS),), (THREADS,), xs, y, y.size, *where)
    return restored(y, x.ndim, x.dtype)


def sum_backward(g: Any, size: tuple, kernel: tuple, stride: tuple, padding: tuple) -> Any:
    """∂x (N, C, *size)."""
    if not suits(g) or not float32.takes(g):
        return reference.sum_backward(g, size, kernel, stride, padding)
    gs, sizes = innermost(g, "float32"), pairs(size, 1)
    dx = float32.empty(gs, (gs.shape[0], *sizes, gs.shape[3]))
    where = (gs.shape[3], *sizes, *gs.shape[1:3], *_window(kernel, stride, padding))
    source.launch("pool_sum_backward", (-(-dx.size // THREADS),), (THREADS,), gs, dx, dx.size, *where)
    return restored(dx, g.ndim, g.dtype)


def _window(kernel: tuple, stride: tuple, padding: tuple) -> tuple[int, ...]:
    """Kernel, stride and the padding before, each of two dimensions."""
    return (*pairs(kernel, 1), *pairs(stride, 1), *(before for before, _ in pairs(padding, (0, 0))))
