"""The gated recurrent unit: a product a step, and the gates computed where they are kept."""

from __future__ import annotations

from typing import Any

from minidl_kernels.arrays import namespace
from minidl_kernels.lstm.with_numpy import sigmoid_
from minidl_kernels.rows import widen


def forward(xw: Any, h0: Any, w_hh: Any, b_hh: Any) -> tuple[Any, Any, Any]:
    """``y, gates, hn``."""
    xp, wide = namespace(xw), widen(xw.dtype)
    (steps, batch, _), hidden = xw.shape, h0.shape[1]
    y, hn = (xp.empty((steps, batch, hidden), xw.dtype) for _ in range(2))
    gates = xp.empty(xw.shape, xw.dtype)
    w, h = xp.ascontiguousarray(w_hh.T, wide), h0.astype(wide, copy=False)
    for t in range(steps):
        u = h @ w
        if b_hh is not None:
            u += b_hh
        a = xw[t].astype(wide)
        a[:, : 2 * hidden] += u[:, : 2 * hidden]
        r, z, n = (a[:, i * hidden : (i + 1) * hidden] for i in range(3))
        sigmoid_(a[:, : 2 * hidden], xp)
        n += r * u[:, 2 * hidden :]
        xp.tanh(n, out=n)
        h = n + z * (h - n)
        y[t], gates[t], hn[t] = h, a, u[:, 2 * hidden :]
        h = h if y.dtype == wide else y[t].astype(wide)
    return y, gates, hn


def backward(gy: Any, gates: Any, hn: Any, y: Any, h0: Any, w_hh: Any) -> tuple[Any, Any, Any]:
    """``∂xw, ∂(h W_hhᵀ + b_hh), ∂h0``."""
    xp, wide = namespace(y), widen(y.dtype)
    hidden = h0.shape[1]
    w = w_hh.astype(wide, copy=False)
    dxw, dhw = xp.empty(gates.shape, y.dtype), xp.empty(gates.shape, y.dtype)
    dh = xp.zeros(h0.shape, wide)
    for t in reversed(range(len(y))):
        r, z, n = (gates[t, :, i * hidden : (i + 1) * hidden].astype(wide, copy=False) for i in range(3))
        before = (y[t - 1] if t else h0).astype(wide, copy=False)
        dh = dh + gy[t]
        da_n = dh * (1 - z) * (1 - n * n)
        da_z = dh * (before - n) * z * (1 - z)
        da_r = da_n * hn[t] * r * (1 - r)
        du = xp.concatenate([da_r, da_z, r * da_n], 1)
        dhw[t] = du
        dxw[t, :, : 2 * hidden], dxw[t, :, 2 * hidden :] = du[:, : 2 * hidden], da_n
        dh = dh * z + du @ w
    return dxw, dhw, dh.astype(h0.dtype, copy=False)
