"""Long short-term memory with compiled gates: BLAS makes a step's product, one loop all gates, the cell and the state."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl_kernels.compiled import compiled, sigmoid, takes, tanh
from minidl_kernels.lstm import with_numpy as reference

_ONE = np.float32(1)


@compiled
def _gates(xw, a, before, c, y):
    """``a`` = h W_hhᵀ becomes the gates."""
    hidden = y.shape[1]
    for b in range(y.shape[0]):
        for j in range(hidden):
            a[b, j] = sigmoid(a[b, j] + xw[b, j])
        for j in range(hidden, 2 * hidden):
            a[b, j] = sigmoid(a[b, j] + xw[b, j])
        for j in range(2 * hidden, 3 * hidden):
            a[b, j] = tanh(a[b, j] + xw[b, j])
        for j in range(3 * hidden, 4 * hidden):
            a[b, j] = sigmoid(a[b, j] + xw[b, j])
        for j in range(hidden):
            cell = a[b, hidden + j] * before[b, j] + a[b, j] * a[b, 2 * hidden + j]
            c[b, j] = cell
            y[b, j] = a[b, 3 * hidden + j] * tanh(cell)


@compiled
def _gate_gradients(gy, gc, gates, c, before, dh, dc, dxw):
    hidden = c.shape[1]
    for b in range(c.shape[0]):
        for j in range(hidden):
            i, f = gates[b, j], gates[b, hidden + j]
            g, o = gates[b, 2 * hidden + j], gates[b, 3 * hidden + j]
            t, state = tanh(c[b, j]), dh[b, j] + gy[b, j]
            cell = dc[b, j] + gc[b, j] + state * o * (_ONE - t * t)
            dxw[b, j] = cell * g * i * (_ONE - i)
            dxw[b, hidden + j] = cell * before[b, j] * f * (_ONE - f)
            dxw[b, 2 * hidden + j] = cell * i * (_ONE - g * g)
            dxw[b, 3 * hidden + j] = state * t * o * (_ONE - o)
            dc[b, j] = cell * f


def forward(xw: Any, h0: Any, c0: Any, w_hh: Any) -> tuple[Any, Any, Any]:
    """``y, c, gates``."""
    if not takes(xw, h0, c0, w_hh) or not xw.size:
        return reference.forward(xw, h0, c0, w_hh)
    (steps, batch, _), hidden = xw.shape, h0.shape[1]
    xw, w, h, cell = (np.ascontiguousarray(a) for a in (xw, w_hh.T, h0, c0))
    y, c = np.empty((steps, batch, hidden), np.float32), np.empty((steps, batch, hidden), np.float32)
    gates = np.empty(xw.shape, np.float32)
    for t in range(steps):
        np.dot(h, w, out=gates[t])
        _gates(xw[t], gates[t], cell, c[t], y[t])
        h, cell = y[t], c[t]
    return y, c, gates


def backward(gy: Any, gc: Any, gates: Any, c: Any, c0: Any, w_hh: Any) -> tuple[Any, Any, Any]:
    """``∂xw, ∂h0, ∂c0``."""
    if not takes(gy, gc, gates, c, c0, w_hh) or not c.size:
        return reference.backward(gy, gc, gates, c, c0, w_hh)
    gy, gates, c, before, w = (np.ascontiguousarray(a) for a in (gy, gates, c, c0, w_hh))
    none = np.zeros_like(before)
    gc = None if gc is None else np.ascontiguousarray(gc)
    dxw, dh, dc = np.empty_like(gates), np.zeros_like(before), np.zeros_like(before)
    for t in reversed(range(len(c))):
        earlier, cells = c[t - 1] if t else before, none if gc is None else gc[t]
        _gate_gradients(gy[t], cells, gates[t], c[t], earlier, dh, dc, dxw[t])
        np.dot(dxw[t], w, out=dh)
    return dxw, dh, dc
