"""The plain recurrence in CUDA C: cuBLAS makes a step's product, one launch the sum and the activation."""

from __future__ import annotations

from typing import Any

from minidl_kernels.arrays import namespace
from minidl_kernels.cuda_c import CudaSource, float32
from minidl_kernels.rnn import with_numpy as reference

source = CudaSource(__file__, "rnn.cu")
THREADS = 128


def forward(xw: Any, h0: Any, w_hh: Any, nonlinearity: str = "tanh") -> Any:
    """y."""
    if not float32.takes(xw, h0, w_hh) or not xw.size:
        return reference.forward(xw, h0, w_hh, nonlinearity)
    xp, xs, w, h = namespace(xw), float32(xw), float32(w_hh.T), float32(h0)
    y = float32.empty(xs)
    for t in range(len(xs)):
        xp.matmul(h, w, out=y[t])
        grid = (-(-h.size // THREADS),)
        source.launch("rnn_activation", grid, (THREADS,), xs[t], y[t], y[t], h.size, nonlinearity == "relu")
        h = y[t]
    return y.astype(xw.dtype, copy=False)


def backward(gy: Any, y: Any, h0: Any, w_hh: Any, nonlinearity: str = "tanh") -> tuple[Any, Any]:
    """``∂xw, ∂h0``."""
    if not float32.takes(gy, y, h0, w_hh) or not y.size:
        return reference.backward(gy, y, h0, w_hh, nonlinearity)
    xp, gs, ys, w = namespace(y), float32(gy), float32(y), float32(w_hh)
    dxw, dh = float32.empty(ys), xp.zeros(h0.shape, "float32")
    for t in reversed(range(len(ys))):
        grid = (-(-dh.size // THREADS),)
        source.launch("rnn_gradient", grid, (THREADS,), gs[t], dh, ys[t], dxw[t], dh.size, nonlinearity == "relu")
        dh = xp.matmul(dxw[t], w)
    return dxw.astype(y.dtype, copy=False), dh.astype(h0.dtype, copy=False)
