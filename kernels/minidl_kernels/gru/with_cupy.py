"""The gated recurrent unit in CUDA C: cuBLAS makes a step's product, one launch all of its gates and the state."""

from __future__ import annotations

from typing import Any

from minidl_kernels.arrays import namespace
from minidl_kernels.cuda_c import CudaSource, float32
from minidl_kernels.gru import with_numpy as reference

source = CudaSource(__file__, "gru.cu")
THREADS = 128


def forward(xw: Any, h0: Any, w_hh: Any, b_hh: Any) -> tuple[Any, Any, Any]:
    """``y, gates, hn``."""
    if not float32.takes(xw, h0, w_hh, b_hh) or not xw.size:
        return reference.forward(xw, h0, w_hh, b_hh)
    xp, (steps, batch, _), hidden = namespace(xw), xw.shape, h0.shape[1]
    xs, w, h, bias = float32(xw), float32(w_hh.T), float32(h0), None if b_hh is None else float32(b_hh)
    y, hn = float32.empty(xs, (steps, batch, hidden)), float32.empty(xs, (steps, batch, hidden))
    gates, u = float32.empty(xs), float32.empty(xs, xs.shape[1:])
    grid = (-(-batch * hidden // THREADS),)
    for t in range(steps):
        xp.matmul(h, w, out=u)
        arguments = (xs[t], u, bias, h, gates[t], hn[t], y[t], batch, hidden)
        source.launch("gru_gates", grid, (THREADS,), *arguments)
        h = y[t]
    return tuple(a.astype(xw.dtype, copy=False) for a in (y, gates, hn))


def backward(gy: Any, gates: Any, hn: Any, y: Any, h0: Any, w_hh: Any) -> tuple[Any, Any, Any]:
    """``∂xw, ∂(h W_hhᵀ + b_hh), ∂h0``."""
    if not float32.takes(gy, gates, hn, y, h0, w_hh) or not y.size:
        return reference.backward(gy, gates, hn, y, h0, w_hh)
    xp, (steps, batch, hidden), dtype = namespace(y), y.shape, y.dtype
    gy, gates, hn, y, before, w = (float32(a) for a in (gy, gates, hn, y, h0, w_hh))
    dxw, dhw, dh, direct = float32.empty(gates), float32.empty(gates), xp.zeros_like(before), float32.empty(before)
    grid = (-(-batch * hidden // THREADS),)
    for t in reversed(range(steps)):
        arguments = (gy[t], gates[t], hn[t], y[t - 1] if t else before, dh, direct, dxw[t], dhw[t], batch, hidden)
        source.launch("gru_gate_gradients", grid, (THREADS,), *arguments)
        dh = xp.matmul(dhw[t], w) + direct
    return tuple(a.astype(dtype, copy=False) for a in (dxw, dhw, dh))
