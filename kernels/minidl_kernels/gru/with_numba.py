"""The gated recurrent unit with compiled gates: BLAS makes a step's product, one loop the gates and the state."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl_kernels.compiled import compiled, sigmoid, takes, tanh, vector
from minidl_kernels.gru import with_numpy as reference

_ONE = np.float32(1)


@compiled
def _gates(xw, u, bias, before, gates, hn, y):
    hidden = y.shape[1]
    for b in range(y.shape[0]):
        for j in range(2 * hidden):
            gates[b, j] = sigmoid(xw[b, j] + u[b, j] + bias[j])
        for j in range(hidden):
            state = u[b, 2 * hidden + j] + bias[2 * hidden + j]
            n = tanh(xw[b, 2 * hidden + j] + gates[b, j] * state)
            hn[b, j] = state
            gates[b, 2 * hidden + j] = n
            y[b, j] = n + gates[b, hidden + j] * (before[b, j] - n)


@compiled
def _gate_gradients(gy, gates, hn, before, dh, direct, dxw, dhw):
    hidden = hn.shape[1]
    for b in range(hn.shape[0]):
        for j in range(hidden):
            r, z, n = gates[b, j], gates[b, hidden + j], gates[b, 2 * hidden + j]
            state = dh[b, j] + gy[b, j]
            dn = state * (_ONE - z) * (_ONE - n * n)
            dz = state * (before[b, j] - n) * z * (_ONE - z)
            dr = dn * hn[b, j] * r * (_ONE - r)
            dxw[b, j] = dr
            dhw[b, j] = dr
            dxw[b, hidden + j] = dz
            dhw[b, hidden + j] = dz
            dxw[b, 2 * hidden + j] = dn
            dhw[b, 2 * hidden + j] = r * dn
            direct[b, j] = state * z


def forward(xw: Any, h0: Any, w_hh: Any, b_hh: Any) -> tuple[Any, Any, Any]:
    """``y, gates, hn``."""
    if not takes(xw, h0, w_hh, b_hh) or not xw.size:
        return reference.forward(xw, h0, w_hh, b_hh)
    (steps, batch, width), hidden = xw.shape, h0.shape[1]
    xw, w, h = (np.ascontiguousarray(a) for a in (xw, w_hh.T, h0))
    bias, u = vector(b_hh, 0, width), np.empty((batch, width), np.float32)
    y, hn = np.empty((steps, batch, hidden), np.float32), np.empty((steps, batch, hidden), np.float32)
    gates = np.empty(xw.shape, np.float32)
    for t in range(steps):
        np.dot(h, w, out=u)
        _gates(xw[t], u, bias, h, gates[t], hn[t], y[t])
        h = y[t]
    return y, gates, hn


def backward(gy: Any, gates: Any, hn: Any, y: Any, h0: Any, w_hh: Any) -> tuple[Any, Any, Any]:
    """``∂xw, ∂(h W_hhᵀ + b_hh), ∂h0``."""
    if not takes(gy, gates, hn, y, h0, w_hh) or not y.size:
        return reference.backward(gy, gates, hn, y, h0, w_hh)
    gy, gates, hn, y, before, w = (np.ascontiguousarray(a) for a in (gy, gates, hn, y, h0, w_hh))
    dxw, dhw, dh, direct = np.empty_like(gates), np.empty_like(gates), np.zeros_like(before), np.empty_like(before)
    for t in reversed(range(len(y))):
        _gate_gradients(gy[t], gates[t], hn[t], y[t - 1] if t else before, dh, direct, dxw[t], dhw[t])
        np.dot(dhw[t], w, out=dh)
        dh += direct
    return dxw, dhw, dh
