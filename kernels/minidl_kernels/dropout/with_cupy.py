"""Dropout in CUDA C: a thread makes four random numbers and treats four values; no mask is written or read."""

from __future__ import annotations

from typing import Any

from minidl_kernels.cuda_c import CudaSource, float32
from minidl_kernels.dropout import with_numpy as reference

source = CudaSource(__file__, "dropout.cu")
THREADS = 256


def forward(x: Any, p: float, seed: int) -> Any:
    """y: the values that are kept, scaled."""
    if not float32.takes(x):
        return reference.forward(x, p, seed)
    xs = float32(x)
    y = float32.empty(xs)
    blocks = -(-xs.size // (4 * THREADS))
    scale = 1 / (1 - p) if p < 1 else 0.0
    source.launch("dropout_keep", (blocks,), (THREADS,), xs, y, xs.size, p, scale, seed)
    return y.astype(x.dtype, copy=False)


def backward(g: Any, p: float, seed: int) -> Any:
    """∂x: the gradients of the values that were kept, scaled; the same map as forward's, which is linear."""
    return forward(g, p, seed)
