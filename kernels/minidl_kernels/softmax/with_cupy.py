"""Softmax in CUDA C: a block of threads a row, which it reads three times (the second and third from cache).

Thread i of 256 takes values i, i + 256, …, so that neighbours read neighbours. Maximum and sum are folded within each warp
by shuffles, then across warps through shared memory.
"""

from __future__ import annotations

from typing import Any

from minidl_kernels.cuda_c import CudaSource, float32
from minidl_kernels.softmax import with_numpy as reference

source = CudaSource(__file__, "softmax.cu")
THREADS = 256


def forward(x: Any, log: bool = False) -> Any:
    """y, or log y, along the second axis; x: (outer, n) or (outer, n, inner)."""
    if x.ndim != 2 or not float32.takes(x):
        return reference.forward(x, log)
    xs = float32(x)
    y = float32.empty(xs)
    source.launch("softmax_forward", (len(x),), (THREADS,), xs, y, x.shape[1], log)
    return y.astype(x.dtype, copy=False)


def backward(g: Any, y: Any, log: bool = False) -> Any:
    """∂x from the gradient g of the result y."""
    if y.ndim != 2 or not float32.takes(g, y):
        return reference.backward(g, y, log)
    ys = float32(y)
    dx = float32.empty(ys)
    source.launch("softmax_backward", (len(y),), (THREADS,), float32(g), ys, dx, y.shape[1], log)
    return dx.astype(y.dtype, copy=False)
