"""Long short-term memory in CUDA C: cuBLAS makes a step's product, one launch all of its gates, the cell and the state.

In plain operators the gates would be a dozen launches a step, each of them too small to fill the GPU.
"""

from __future__ import annotations

from typing import Any

from minidl_kernels.arrays import namespace
from minidl_kernels.cuda_c import CudaSource, float32
from minidl_kernels.lstm import with_numpy as reference

source = CudaSource(__file__, "lstm.cu")
THREADS = 128


def forward(xw: Any, h0: Any, c0: Any, w_hh: Any) -> tuple[Any, Any, Any]:
    """``y, c, gates``."""
    if not float32.takes(xw, h0, c0, w_hh) or not xw.size:
        return reference.forward(xw, h0, c0, w_hh)
    xp, (steps, batch, _), hidden = namespace(xw), xw.shape, h0.shape[1]
    xs, w, h, cell = float32(xw), float32(w_hh.T), float32(h0), float32(c0)
    y, c, gates = (
        float32.empty(xs, (steps, batch, hidden)),
        float32.empty(xs, (steps, batch, hidden)),
        float32.empty(xs),
    )
    grid = (-(-batch * hidden // THREADS),)
    for t in range(steps):
        xp.matmul(h, w, out=gates[t])
        source.launch("lstm_gates", grid, (THREADS,), xs[t], gates[t], cell, c[t], y[t], batch, hidden)
        h, cell = y[t], c[t]
    return tuple(a.astype(xw.dtype, copy=False) for a in (y, c, gates))


def backward(gy: Any, gc: Any, gates: Any, c: Any, c0: Any, w_hh: Any) -> tuple[Any, Any, Any]:
    """``∂xw, ∂h0, ∂c0``."""
    if not float32.takes(gy, gc, gates, c, c0, w_hh) or not c.size:
        return reference.backward(gy, gc, gates, c, c0, w_hh)
    xp, (steps, batch, hidden), dtype = namespace(c), c.shape, c.dtype
    gy, gates, c, before, w = (float32(a) for a in (gy, gates, c, c0, w_hh))
    gc = None if gc is None else float32(gc)
    dxw, dh, dc = float32.empty(gates), xp.zeros_like(before), xp.zeros_like(before)
    grid = (-(-batch * hidden // THREADS),)
    for t in reversed(range(steps)):
        earlier, cells = c[t - 1] if t else before, None if gc is None else gc[t]
        arguments = (gy[t], cells, gates[t], c[t], earlier, dh, dc, dxw[t], batch, hidden)
        source.launch("lstm_gate_gradients", grid, (THREADS,), *arguments)
        dh = xp.matmul(dxw[t], w)
    return tuple(a.astype(dtype, copy=False) for a in (dxw, dh, dc))
