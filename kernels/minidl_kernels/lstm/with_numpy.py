"""Long short-term memory: a product a step, and the gates computed in the memory that keeps them for backward."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl_kernels.arrays import namespace

__all__ = ["backward", "forward"]


def sigmoid_(a: Any, xp: Any) -> None:
    """a ← 1 / (1 + e^-a)."""
    xp.negative(a, out=a)
    xp.exp(a, out=a)
    a += 1
    xp.reciprocal(a, out=a)


def forward(xw: Any, h0: Any, c0: Any, w_hh: Any) -> tuple[Any, Any, Any]:
    """``y, c, gates``."""
    if xw.dtype.itemsize < 4:
        return _half(forward, xw.dtype, xw, h0, c0, w_hh)
    xp = namespace(xw)
    (steps, batch, _), hidden = xw.shape, h0.shape[1]
    y, c = (xp.empty((steps, batch, hidden), xw.dtype) for _ in range(2))
    gates, w, t_c = xp.empty(xw.shape, xw.dtype), xp.ascontiguousarray(w_hh.T), xp.empty((batch, hidden), xw.dtype)
    h, cell = h0, c0
    for t in range(steps):
        a = xp.matmul(h, w, out=gates[t])
        a += xw[t]
        i, f, g, o = (a[:, k * hidden : (k + 1) * hidden] for k in range(4))
        sigmoid_(a[:, : 2 * hidden], xp)
        xp.tanh(g, out=g)
        sigmoid_(o, xp)
        cell = xp.multiply(f, cell, out=c[t])
        cell += xp.multiply(i, g, out=t_c)
        h = xp.multiply(o, xp.tanh(cell, out=t_c), out=y[t])
    return y, c, gates


def backward(gy: Any, gc: Any, gates: Any, c: Any, c0: Any, w_hh: Any) -> tuple[Any, Any, Any]:
    """``∂xw, ∂h0, ∂c0``."""
    if c.dtype.itemsize < 4:
        return _half(backward, c.dtype, gy, gc, gates, c, c0, w_hh)
    xp, hidden = namespace(c), c0.shape[1]
    dxw = xp.empty(gates.shape, c.dtype)
    dh, dc = xp.zeros(c0.shape, c.dtype), xp.zeros(c0.shape, c.dtype)
    for t in reversed(range(len(c))):
        i, f, g, o = (gates[t, :, k * hidden : (k + 1) * hidden] for k in range(4))
        di, df, dg, do = (dxw[t, :, k * hidden : (k + 1) * hidden] for k in range(4))
        dh += gy[t]
        if gc is not None:
            dc += gc[t]
        tanh_c = xp.tanh(c[t])
        xp.multiply(dh, tanh_c, out=do)
        dc += dh * o * (1 - tanh_c * tanh_c)
        xp.multiply(dc, g, out=di)
        xp.multiply(dc, c[t - 1] if t else c0, out=df)
        xp.multiply(dc, i, out=dg)
        dg *= 1 - g * g
        for d, gate in ((di, i), (df, f), (do, o)):
            d *= gate
            d *= 1 - gate
        dh = dxw[t] @ w_hh
        dc *= f
    return dxw, dh, dc


def _half(function: Any, dtype: Any, *arrays: Any) -> tuple:
    """Half precision, computed in float32 and rounded at the end."""
    results = function(*(None if a is None else a.astype(np.float32) for a in arrays))
    return tuple(r.astype(dtype) for r in results)
