"""Activations as compiled loops: each value is read once and written once, whatever the arithmetic between."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl_kernels.activation import with_numpy as reference
from minidl_kernels.compiled import compiled, exp, normal, over_rows, sigmoid, takes
from minidl_kernels.pieces import flattened

_KINDS = {"relu": 0, "silu": 1, "gelu": 2, "gelu_tanh": 3}
_TWICE_ROOT, _CUBE = np.float32(2 * (2 / np.pi) ** 0.5), np.float32(0.044715)
_BELL = np.float32(1 / (2 * np.pi) ** 0.5)
_ONE, _THREE = np.float32(1), np.float32(3)


@compiled
def _forward(x, kind, y):
    if kind == 0:
        for i in range(x.size):
            y[i] = np.float32(0) if x[i] <= 0 else x[i]
    elif kind == 1:
        for i in range(x.size):
            y[i] = x[i] * sigmoid(x[i])
    elif kind == 2:
        for i in range(x.size):
            probability, _ = normal(x[i])
            y[i] = x[i] * probability
    else:
        for i in range(x.size):
            y[i] = x[i] * sigmoid(_TWICE_ROOT * x[i] * (_ONE + _CUBE * x[i] * x[i]))  # ½ (1 + tanh u) = σ(2 u)


@compiled
def _backward(g, x, kind, dx):
    if kind == 0:
        for i in range(x.size):
            dx[i] = np.float32(0) if x[i] <= 0 else g[i]
    elif kind == 1:
        for i in range(x.size):
            s = sigmoid(x[i])
            dx[i] = g[i] * s * (_ONE + x[i] * (_ONE - s))
    elif kind == 2:
        for i in range(x.size):
            probability, bell = normal(x[i])
            dx[i] = g[i] * (probability + x[i] * bell * _BELL)
    else:
        for i in range(x.size):
            square = x[i] * x[i]
            e = exp(-_TWICE_ROOT * x[i] * (_ONE + _CUBE * square))
            s = _ONE / (_ONE + e)
            slope = _TWICE_ROOT * (_ONE + _THREE * _CUBE * square)
            dx[i] = g[i] * s * (_ONE + x[i] * min(e, np.float32(1e30)) * s * slope)  # σ' = σ² e^-2u


@compiled
def _forward_rows(x, bias, kind, y):
    shifted = np.empty(x.shape[1], np.float32)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            shifted[j] = x[i, j] + bias[j]
        _forward(shifted, kind, y[i])


@compiled
def _backward_rows(g, x, bias, kind, dx):
    shifted = np.empty(x.shape[1], np.float32)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            shifted[j] = x[i, j] + bias[j]
        _backward(g[i], shifted, kind, dx[i])


def forward(x: Any, bias: Any = None, kind: str = "relu") -> Any:
    """y = f(x + bias)."""
    if not takes(x, bias) or not x.size or kind not in _KINDS:
        return reference.forward(x, bias, kind)
    code = _KINDS[kind]
    if bias is not None:
        x, bias = np.ascontiguousarray(x), np.ascontiguousarray(bias)
        y = np.empty_like(x)
        xs, ys = (a.reshape(-1, x.shape[-1]) for a in (x, y))
        over_rows(lambda p: _forward_rows(xs[p], bias, code, ys[p]), len(xs), x.size)
        return y
    y, xs, ys = _flat(x)
    over_rows(lambda p: _forward(xs[p], code, ys[p]), x.size, x.size)
    return y


def backward(g: Any, x: Any, bias: Any = None, kind: str = "relu") -> Any:
    """∂x from the gradient g of y."""
    if not takes(g, x, bias) or not x.size or kind not in _KINDS:
        return reference.backward(g, x, bias, kind)
    code = _KINDS[kind]
    if bias is not None:
        g, x, bias = np.ascontiguousarray(g), np.ascontiguousarray(x), np.ascontiguousarray(bias)
        dx = np.empty_like(x)
        gs, xs, ds = (a.reshape(-1, x.shape[-1]) for a in (g, x, dx))
        over_rows(lambda p: _backward_rows(gs[p], xs[p], bias, code, ds[p]), len(xs), x.size)
        return dx
    dx, xs, gs, ds = _flat(x, g)
    over_rows(lambda p: _backward(gs[p], xs[p], code, ds[p]), x.size, x.size)
    return dx


def _flat(*arrays: Any) -> tuple:
    """An empty result that lies in memory as the arrays do; the arrays and the result in one dimension."""
    result = np.empty_like(arrays[0])
    flat = flattened((*arrays, result))
    if flat is None:
        result = np.empty(arrays[0].shape, np.float32)
        flat = tuple(np.ascontiguousarray(a).reshape(-1) for a in (*arrays, result))
    return result, *flat
