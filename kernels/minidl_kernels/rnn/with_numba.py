"""The plain recurrence with compiled activations: BLAS makes a step's product, one loop adds, activates and stores."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl_kernels.compiled import compiled, takes, tanh
from minidl_kernels.rnn import with_numpy as reference

_ZERO, _ONE = np.float32(0), np.float32(1)


@compiled
def _tanh(xw, u, y):
    for b in range(y.shape[0]):
        for j in range(y.shape[1]):
            y[b, j] = tanh(xw[b, j] + u[b, j])


@compiled
def _relu(xw, u, y):
    for b in range(y.shape[0]):
        for j in range(y.shape[1]):
            value = xw[b, j] + u[b, j]
            y[b, j] = _ZERO if value < _ZERO else value  # nan stays


@compiled
def _tanh_gradient(gy, dh, y, dxw):
    for b in range(y.shape[0]):
        for j in range(y.shape[1]):
            dxw[b, j] = (dh[b, j] + gy[b, j]) * (_ONE - y[b, j] * y[b, j])


@compiled
def _relu_gradient(gy, dh, y, dxw):
    for b in range(y.shape[0]):
        for j in range(y.shape[1]):
            dxw[b, j] = (dh[b, j] + gy[b, j]) * (_ONE if y[b, j] > _ZERO else _ZERO)


def forward(xw: Any, h0: Any, w_hh: Any, nonlinearity: str = "tanh") -> Any:
    """y."""
    if not takes(xw, h0, w_hh) or not xw.size:
        return reference.forward(xw, h0, w_hh, nonlinearity)
    xw, w, h = (np.ascontiguousarray(a) for a in (xw, w_hh.T, h0))
    y, u = np.empty_like(xw), np.empty_like(h)
    activate = _tanh if nonlinearity == "tanh" else _relu
    for t in range(len(xw)):
        np.dot(h, w, out=u)
        activate(xw[t], u, y[t])
        h = y[t]
    return y


def backward(gy: Any, y: Any, h0: Any, w_hh: Any, nonlinearity: str = "tanh") -> tuple[Any, Any]:
    """``∂xw, ∂h0``."""
    if not takes(gy, y, h0, w_hh) or not y.size:
        return reference.backward(gy, y, h0, w_hh, nonlinearity)
    gy, y, w = (np.ascontiguousarray(a) for a in (gy, y, w_hh))
    dxw, dh = np.empty_like(y), np.zeros(h0.shape, np.float32)
    derive = _tanh_gradient if nonlinearity == "tanh" else _relu_gradient
    for t in reversed(range(len(y))):
        derive(gy[t], dh, y[t], dxw[t])
        np.dot(dxw[t], w, out=dh)
    return dxw, dh
