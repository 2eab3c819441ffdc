"""Activations in Triton: a program 1,024 values, each read once and written once, the bias added on the way."""

from __future__ import annotations

from functools import partial
from typing import Any

from minidl_kernels.triton_runtime import launch

import triton  # isort: skip
import triton.language as tl  # isort: skip

from minidl_kernels.activation import with_cupy as wide
from minidl_kernels.arrays import namespace
from minidl_kernels.triton_functions import activate

BLOCK = 1024


@triton.jit
def slope(x, KIND: tl.constexpr):
    """f'(x) in float32."""
    if KIND == "relu":
        result = tl.where(x <= 0, 0.0, 1.0)
    elif KIND == "silu":
        s = tl.sigmoid(x)
        result = s * (1.0 + x * tl.sigmoid(-x))
    elif KIND == "gelu":
        result = 0.5 * (1.0 + tl.erf(x * 0.7071067811865476)) + x * 0.3989422804014327 * tl.exp(-0.5 * x * x)
    else:
        u = 1.5957691216057308 * x * (1.0 + 0.044715 * x * x)  # (1 + tanh(u / 2)) / 2 = σ(u)
        s = tl.sigmoid(u)
        result = s * (1.0 + x * tl.sigmoid(-u) * 1.5957691216057308 * (1.0 + 0.134145 * x * x))
    return result


@triton.jit
def activation_forward(x, bias, y, size, n, BIAS: tl.constexpr, KIND: tl.constexpr, B: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * B + tl.arange(0, B)
    inside = i < size
    values = tl.load(x + i, mask=inside, other=0.0).to(tl.float32)
    if BIAS:
        values += tl.load(bias + i % n, mask=inside, other=0.0).to(tl.float32)
    tl.store(y + i, activate(values, KIND).to(y.dtype.element_ty), mask=inside)


@triton.jit
def activation_backward(g, x, bias, dx, size, n, BIAS: tl.constexpr, KIND: tl.constexpr, B: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * B + tl.arange(0, B)
    inside = i < size
    values = tl.load(x + i, mask=inside, other=0.0).to(tl.float32)
    if BIAS:
        values += tl.load(bias + i % n, mask=inside, other=0.0).to(tl.float32)
    result = tl.load(g + i, mask=inside, other=0.0).to(tl.float32) * slope(values, KIND)
    tl.store(dx + i, result.to(dx.dtype.element_ty), mask=inside)


def _takes(*arrays: Any) -> bool:
    return all(a is None or (a.dtype.kind in "fV" and a.dtype.itemsize <= 4) for a in arrays)


def forward(x: Any, bias: Any = None, kind: str = "relu") -> Any:
    """y = f(x + bias), of the type of x."""
    if not _takes(x, bias) or not x.size:
        return wide.forward(x, bias, kind)
    xp, shape = namespace(x), x.shape
    x, b = xp.ascontiguousarray(x).reshape(shape), None if bias is None else xp.ascontiguousarray(bias)
    y, n = xp.empty(shape, x.dtype), shape[-1] if shape else 1
    launch(activation_forward, (-(-x.size // BLOCK),), x, b, y, x.size, n, BIAS=b is not None, KIND=kind, B=BLOCK)
    return y


def backward(g: Any, x: Any, bias: Any = None, kind: str = "relu") -> Any:
    """∂x from the gradient g of y. For relu, ``x`` may as well be y."""
    if not _takes(g, x, bias) or not x.size:
        return wide.backward(g, x, bias, kind)
    xp, shape = namespace(x), x.shape
    g, x, b = xp.ascontiguousarray(g), xp.ascontiguousarray(x), None if bias is None else xp.ascontiguousarray(bias)
    dx, n = xp.empty(shape, x.dtype), shape[-1] if shape else 1
    grid = (-(-x.size // BLOCK),)
    launch(activation_backward, grid, g, x, b, dx, x.size, n, BIAS=b is not None, KIND=kind, B=BLOCK)
    return dx


def compile_cases(array: Any) -> Any:
    """Calls that between them compile what is shipped."""
    for dtype in ("float32", "float16"):
        for kind in ("relu", "silu", "gelu", "gelu_tanh"):
            for bias in (None, array((512,), dtype)):
                x = array((256, 512), dtype)
                yield partial(forward, x, bias, kind)
                yield partial(backward, x, x, bias, kind)
