"""The plain recurrence: a product and an activation a step, written where the results lie."""

from __future__ import annotations

from typing import Any

from minidl_kernels.arrays import namespace
from minidl_kernels.rows import widen


def forward(xw: Any, h0: Any, w_hh: Any, nonlinearity: str = "tanh") -> Any:
    """y."""
    xp, wide = namespace(xw), widen(xw.dtype)
    y = xp.empty(xw.shape, xw.dtype)
    w, h = xp.ascontiguousarray(w_hh.T, wide), h0.astype(wide, copy=False)
    for t in range(len(xw)):
        h = h @ w
        h += xw[t]
        h = xp.tanh(h, out=h) if nonlinearity == "tanh" else xp.maximum(h, 0, out=h)
        y[t] = h
        h = h if y.dtype == wide else y[t].astype(wide)  # the next step sees what was kept
    return y


def backward(gy: Any, y: Any, h0: Any, w_hh: Any, nonlinearity: str = "tanh") -> tuple[Any, Any]:
    """``∂xw, ∂h0``."""
    xp, wide = namespace(y), widen(y.dtype)
    w = w_hh.astype(wide, copy=False)
    dxw = xp.empty(y.shape, y.dtype)
    dh = xp.zeros(h0.shape, wide)
    for t in reversed(range(len(y))):
        d, state = dh + gy[t], y[t].astype(wide, copy=False)
        d *= 1 - state * state if nonlinearity == "tanh" else state > 0
        dxw[t] = d
        dh = d @ w
    return dxw, dh.astype(h0.dtype, copy=False)
