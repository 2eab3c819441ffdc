"""Activations in pieces that stay in the cache: a dozen passes over each, one over memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minidl_kernels.error_function import error_function
from minidl_kernels.pieces import each_piece

_P = 0.3275911 / math.sqrt(2)
_A = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
_ROOT = math.sqrt(2 / math.pi)
_CUBE = 0.044715


def forward(x: Any, bias: Any = None, kind: str = "relu") -> Any:
    """y = f(x + bias), of the shape, type and memory order of x."""
    x = _shifted(x, bias)
    if not x.ndim:
        return forward(x.reshape(1), None, kind).reshape(())
    y = np.empty_like(x)
    each_piece(_VALUE[kind], (x, y), scratch=2)
    return y


def backward(g: Any, x: Any, bias: Any = None, kind: str = "relu") -> Any:
    """∂x from the gradient g of y. For relu, ``x`` may as well be y."""
    x = _shifted(x, bias)
    if not x.ndim:
        return backward(g.reshape(1), x.reshape(1), None, kind).reshape(())
    dx = np.empty_like(x)
    if g.strides != x.strides:
        g, given = np.empty_like(x, g.dtype), g
        g[...] = given
    each_piece(_SLOPE[kind], (x, g, dx), scratch=2)
    return dx


def _shifted(x: Any, bias: Any) -> Any:
    return x if bias is None else x + bias


def _relu(x: Any, y: Any, *_: Any) -> None:
    np.maximum(x, 0, out=y)


def _relu_slope(x: Any, g: Any, dx: Any, *_: Any) -> None:
    np.multiply(g, ~(x <= 0), out=dx)  # at nan too the gradient passes


def _sigmoid(x: Any, out: Any) -> None:
    np.negative(x, out=out)
    np.exp(out, out=out)
    out += 1
    np.reciprocal(out, out=out)


def _silu(x: Any, y: Any, s: Any, _: Any) -> None:
    _sigmoid(x, s)
    np.multiply(x, s, out=y)


def _silu_slope(x: Any, g: Any, dx: Any, s: Any, t: Any) -> None:
    _sigmoid(x, s)
    np.subtract(1, s, out=t)
    t *= x
    t += 1
    t *= s
    np.multiply(g, t, out=dx)


def _tail(size: Any, bell: Any, out: Any) -> None:
    """Φ(-|x|) from |x| and e^(-x²/2), into ``out``, which may be none of the others."""
    if out.dtype.itemsize > 4:
        out[...] = error_function(size / math.sqrt(2), complement=True)
        out *= 0.5
        return
    t = size * _P
    t += 1
    np.reciprocal(t, out=t)
    np.multiply(t, _A[-1], out=out)
    for a in _A[-2::-1]:
        out += a
        out *= t
    out *= bell
    out *= 0.5


def _bell(x: Any, out: Any) -> None:
    """e^(-x²/2)."""
    np.multiply(x, x, out=out)
    out *= -0.5
    np.exp(out, out=out)


def _exact(x: Any, y: Any, size: Any, tail: Any) -> None:
    # x Φ(x) = max(x, 0) - |x| Φ(-|x|): nothing cancels, on either side.
    np.abs(x, out=size)
    np.minimum(size, 40, out=size)  # there the tail is 0, and stays 0 times an infinite x
    _bell(size, out=y)
    _tail(size, y, out=tail)
    tail *= size
    np.maximum(x, 0, out=y)
    y -= tail


def _exact_slope(x: Any, g: Any, slope: Any, size: Any, tail: Any) -> None:
    np.abs(x, out=size)
    np.minimum(size, 40, out=size)
    _bell(size, out=slope)
    _tail(size, slope, out=tail)
    slope *= 1 / math.sqrt(2 * math.pi)
    slope *= np.copysign(size, x, out=size)
    np.subtract(0.5, tail, out=tail)  # Φ(x) - ½, but for its sign
    slope += np.copysign(tail, x, out=tail)
    slope += 0.5
    slope *= g


def _tanh(x: Any, y: Any, t: Any, _: Any) -> None:
    _inner(x, t)
    t += 1
    t *= 0.5
    np.multiply(x, t, out=y)


def _inner(x: Any, t: Any) -> None:
    """tanh u."""
    np.multiply(x, x, out=t)
    t *= _CUBE
    t += 1
    t *= x
    t *= _ROOT
    np.tanh(t, out=t)


def _tanh_slope(x: Any, g: Any, slope: Any, t: Any, inner: Any) -> None:
    near = np.clip(x, -40, 40)  # beyond, 1 - tanh² is 0, and stays 0 times an infinite x
    _inner(near, t)
    np.multiply(near, near, out=inner)
    inner *= 3 * _CUBE * _ROOT
    inner += _ROOT
    inner *= near
    np.multiply(t, t, out=slope)
    np.subtract(1, slope, out=slope)
    slope *= inner
    slope += t
    slope += 1
    slope *= 0.5
    slope *= g


_VALUE = {"relu": _relu, "silu": _silu, "gelu": _exact, "gelu_tanh": _tanh}
_SLOPE = {"relu": _relu_slope, "silu": _silu_slope, "gelu": _exact_slope, "gelu_tanh": _tanh_slope}
