"""The plain recurrent layer in Triton: recurrent weights stay on the chip across the time steps, where they fit.

As :mod:`minidl_kernels.lstm.with_triton`: small layers in one launch, whose programs own ROWS sequences each and keep the
weights and h; large layers with a launch for each step, whose programs own UNITS hidden units too.

Sources: J. Elman, "Finding structure in time" (1990); G. Diamos et al., "Persistent RNNs: stashing recurrent weights
on-chip" (2016).
"""

from __future__ import annotations

from functools import partial
from typing import Any

from minidl_kernels.triton_runtime import launch

import triton  # isort: skip
import triton.language as tl  # isort: skip

from minidl_kernels.arrays import namespace
from minidl_kernels.matmul import with_triton as matmul
from minidl_kernels.persistent import plan, takes
from minidl_kernels.rnn import with_numpy as reference
from minidl_kernels.triton_functions import activate, tanh


@triton.jit(do_not_specialize=["first", "last"])
def rnn_forward(
    xw,
    h0,
    w,
    y,
    first,
    last,
    B,
    H,
    KIND: tl.constexpr,
    ROWS: tl.constexpr,
    UNITS: tl.constexpr,
    DEPTH: tl.constexpr,
    WHOLE: tl.constexpr,  # a program has all units
    PRECISION: tl.constexpr,
):
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS))[:, None]
    unit = (tl.program_id(1) * UNITS + tl.arange(0, UNITS))[None, :]
    inside = (row < B) & (unit < H)
    time = first.to(tl.int64)
    xw += time * B * H + row * H + unit
    y += time * B * H

    k = tl.arange(0, DEPTH)
    own = w + unit * H + k[:, None]  # (DEPTH, UNITS) of the weights, transposed
    h = tl.load(h0 + row * H + unit, mask=inside, other=0.0).to(tl.float32)
    if WHOLE:
        weights = tl.load(own, mask=(k[:, None] < H) & (unit < H), other=0.0)
    for _ in range(first, last):
        h_new = tl.load(xw, mask=inside, other=0.0).to(tl.float32)
        if WHOLE:
            h_new = tl.dot(h.to(w.dtype.element_ty), weights, h_new, input_precision=PRECISION)
        else:
            source = h0
            if first > 0:
                source = y - B * H
            for start in range(0, H, DEPTH):
                d = start + k
                before = tl.load(source + row * H + d[None, :], mask=(row < B) & (d[None, :] < H), other=0.0)
                part = tl.load(own + start, mask=(d[:, None] < H) & (unit < H), other=0.0)
                h_new = tl.dot(before, part, h_new, input_precision=PRECISION)
        h = tanh(h_new) if KIND == "tanh" else activate(h_new, KIND)
        tl.store(y + row * H + unit, h.to(y.dtype.element_ty), mask=inside)
        xw += B * H
        y += B * H


@triton.jit(do_not_specialize=["first", "last"])
def rnn_backward(
    gy,
    y,
    w,
    dxw,
    dh0,
    first,
    last,
    T,
    B,
    H,
    KIND: tl.constexpr,
    ROWS: tl.constexpr,
    UNITS: tl.constexpr,
    DEPTH: tl.constexpr,
    WHOLE: tl.constexpr,
    PRECISION: tl.constexpr,
):
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS))[:, None]
    unit = (tl.program_id(1) * UNITS + tl.arange(0, UNITS))[None, :]
    inside = (row < B) & (unit < H)
    time = (last - 1).to(tl.int64)
    gy += time * B * H + row * H + unit
    y += time * B * H + row * H + unit
    dxw += time * B * H

    k = tl.arange(0, DEPTH)
    own = w + k[:, None] * H + unit  # (DEPTH, UNITS) of the weights
    dh = tl.zeros((ROWS, UNITS), tl.float32)
    if WHOLE:
        weights = tl.load(own, mask=(k[:, None] < H) & (unit < H), other=0.0)
    for _ in range(first, last):
        if not WHOLE and last < T:
            after = dxw + B * H
            for start in range(0, H, DEPTH):
                d = start + k
                gradients = tl.load(after + row * H + d[None, :], mask=(row < B) & (d[None, :] < H), other=0.0)
                part = tl.load(own + start * H, mask=(d[:, None] < H) & (unit < H), other=0.0)
                dh = tl.dot(gradients, part, dh, input_precision=PRECISION)
        dh += tl.load(gy, mask=inside, other=0.0).to(tl.float32)
        h = tl.load(y, mask=inside, other=0.0).to(tl.float32)
        slope = 1.0 - h * h if KIND == "tanh" else tl.where(h > 0, 1.0, 0.0)
        da = (dh * slope).to(dxw.dtype.element_ty)
        tl.store(dxw + row * H + unit, da, mask=inside)
        if WHOLE:
            dh = tl.dot(da, weights, input_precision=PRECISION)
        gy -= B * H
        y -= B * H
        dxw -= B * H
    if WHOLE:
        tl.store(dh0 + row * H + unit, dh.to(dh0.dtype.element_ty), mask=inside)


def forward(xw: Any, h0: Any, w_hh: Any, nonlinearity: str = "tanh") -> Any:
    """y (T, B, H); xw (T, B, H), h0 (B, H), w_hh (H, H)."""
    if not takes(xw, h0, w_hh):
        return reference.forward(xw, h0, w_hh, nonlinearity)
    xp = namespace(xw)
    xw, h0, w_hh = map(xp.ascontiguousarray, (xw, h0, w_hh))
    T, B, H = xw.shape
    y = xp.empty((T, B, H), xw.dtype)
    grid, times, constants = plan(T, B, H, xw.dtype)
    for first, last in times:
        launch(rnn_forward, grid, xw, h0, w_hh, y, first, last, B, H, KIND=nonlinearity, **constants)
    return y


def backward(gy: Any, y: Any, h0: Any, w_hh: Any, nonlinearity: str = "tanh") -> tuple[Any, Any]:
    """∂xw and ∂h0 from the gradient gy of the results y."""
    if not takes(gy, y, h0, w_hh):
        return reference.backward(gy, y, h0, w_hh, nonlinearity)
    xp = namespace(gy)
    gy, y, w_hh = map(xp.ascontiguousarray, (gy, y, w_hh))
    T, B, H = gy.shape
    dxw, dh0 = xp.empty((T, B, H), gy.dtype), xp.empty((B, H), gy.dtype)
    grid, times, constants = plan(T, B, H, gy.dtype)
    for first, last in reversed(times):
        launch(rnn_backward, grid, gy, y, w_hh, dxw, dh0, first, last, T, B, H, KIND=nonlinearity, **constants)
    return dxw, dh0 if constants["WHOLE"] else matmul.forward(dxw[0], w_hh)


def compile_cases(array: Any) -> Any:
    """Calls that between them compile what is shipped: each size that stays on the chip, and one that does not."""
    for dtype in ("float16", "float32"):
        for H in (16, 32, 64, 128, 256):
            for kind in ("tanh", "relu"):
                y, h, w = array((1, 32, H), dtype), array((32, H), dtype), array((H, H), dtype)
                yield partial(forward, y, h, w, kind)
                yield partial(backward, y, y, h, w, kind)
