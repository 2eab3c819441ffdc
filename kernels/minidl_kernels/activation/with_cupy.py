"""Activations in CUDA C: a thread a value, read once and written once."""

from __future__ import annotations

from typing import Any

from minidl_kernels.activation import with_numpy as reference
from minidl_kernels.cuda_c import CudaSource, float32

source = CudaSource(__file__, "activation.cu")
THREADS = 256
KINDS = {"relu": 0, "silu": 1, "gelu": 2, "gelu_tanh": 3}


def forward(x: Any, bias: Any = None, kind: str = "relu") -> Any:
    """y = f(x + bias), of the type of x."""
    if not float32.takes(x, bias) or not x.size:
        return reference.forward(x, bias, kind)
    xs, b = float32(x), None if bias is None else float32(bias)
    y = float32.empty(xs)
    grid = (-(-xs.size // THREADS),)
    source.launch("activation_forward", grid, (THREADS,), xs, b, y, xs.size, _last(x), KINDS[kind])
    return y.astype(x.dtype, copy=False)


def backward(g: Any, x: Any, bias: Any = None, kind: str = "relu") -> Any:
    """∂x from the gradient g of y. For relu, ``x`` may as well be y."""
    if not float32.takes(g, x, bias) or not x.size:
        return reference.backward(g, x, bias, kind)
    xs, gs, b = float32(x), float32(g), None if bias is None else float32(bias)
    dx = float32.empty(xs)
    grid = (-(-xs.size // THREADS),)
    source.launch("activation_backward", grid, (THREADS,), gs, xs, b, dx, xs.size, _last(x), KINDS[kind])
    return dx.astype(x.dtype, copy=False)


def _last(x: Any) -> int:
    return x.shape[-1] if x.ndim else 1
