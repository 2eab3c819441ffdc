"""LSTM in Triton: recurrent weights stay on the chip across the time steps, where they fit.

small layers    One launch for the whole sequence. A program owns ROWS sequences of the batch and all hidden units; it reads
                the weights once, and then h and c never leave it: each step is a product on the tensor cores and the gates.
large layers    A launch for each step: a program owns ROWS sequences and UNITS hidden units, makes all four gates of these
                from the h that the step before has written, and applies them at once. (The four gates of a unit meet in one
                program: nothing but h has to travel.)

Backward walks the other way, in the same two manners; of ∂h it needs all units of the step after, which are in ∂xw.

Sources: S. Hochreiter and J. Schmidhuber, "Long short-term memory" (1997); G. Diamos et al., "Persistent RNNs: stashing
recurrent weights on-chip" (2016).
"""

from __future__ import annotations

from functools import partial
from typing import Any

from minidl_kernels.triton_runtime import launch

import triton  # isort: skip
import triton.language as tl  # isort: skip

from minidl_kernels.arrays import namespace
from minidl_kernels.lstm import with_numpy as reference
from minidl_kernels.matmul import with_triton as matmul
from minidl_kernels.persistent import plan, takes
from minidl_kernels.triton_functions import tanh


@triton.jit(do_not_specialize=["first", "last"])
def lstm_forward(
    xw,
    h0,
    c0,
    w,
    y,
    c,
    gates,
    carry,  # (B, H) in float32: c between launches
    first,
    last,
    B,
    H,
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
    xw += time * B * 4 * H + row * 4 * H + unit
    gates += time * B * 4 * H + row * 4 * H + unit
    y += time * B * H
    c += time * B * H + row * H + unit

    k = tl.arange(0, DEPTH)
    own = w + unit * H + k[:, None]  # (DEPTH, UNITS) of the input gate's weights, transposed
    state = tl.load(c0 + row * H + unit, mask=inside, other=0.0).to(tl.float32)
    h = tl.load(h0 + row * H + unit, mask=inside, other=0.0).to(tl.float32)
    if WHOLE:
        used = (k[:, None] < H) & (unit < H)
        w_i = tl.load(own, mask=used, other=0.0)
        w_f = tl.load(own + H * H, mask=used, other=0.0)
        w_g = tl.load(own + 2 * H * H, mask=used, other=0.0)
        w_o = tl.load(own + 3 * H * H, mask=used, other=0.0)
    elif first > 0:
        state = tl.load(carry + row * H + unit, mask=inside, other=0.0)

    for _ in range(first, last):
        i = tl.load(xw, mask=inside, other=0.0).to(tl.float32)
        f = tl.load(xw + H, mask=inside, other=0.0).to(tl.float32)
        g = tl.load(xw + 2 * H, mask=inside, other=0.0).to(tl.float32)
        o = tl.load(xw + 3 * H, mask=inside, other=0.0).to(tl.float32)
        if WHOLE:
            before = h.to(w.dtype.element_ty)
            i = tl.dot(before, w_i, i, input_precision=PRECISION)
            f = tl.dot(before, w_f, f, input_precision=PRECISION)
            g = tl.dot(before, w_g, g, input_precision=PRECISION)
            o = tl.dot(before, w_o, o, input_precision=PRECISION)
        else:
            source = h0
            if first > 0:
                source = y - B * H
            for start in range(0, H, DEPTH):
                d = start + k
                before = tl.load(source + row * H + d[None, :], mask=(row < B) & (d[None, :] < H), other=0.0)
                used = (d[:, None] < H) & (unit < H)
                part = own + start
                i = tl.dot(before, tl.load(part, mask=used, other=0.0), i, input_precision=PRECISION)
                f = tl.dot(before, tl.load(part + H * H, mask=used, other=0.0), f, input_precision=PRECISION)
                g = tl.dot(before, tl.load(part + 2 * H * H, mask=used, other=0.0), g, input_precision=PRECISION)
                o = tl.dot(before, tl.load(part + 3 * H * H, mask=used, other=0.0), o, input_precision=PRECISION)
        i, f, g, o = tl.sigmoid(i), tl.sigmoid(f), tanh(g), tl.sigmoid(o)
        state = f * state + i * g
        h = o * tanh(state)
        tl.store(gates, i.to(gates.dtype.element_ty), mask=inside)
        tl.store(gates + H, f.to(gates.dtype.element_ty), mask=inside)
        tl.store(gates + 2 * H, g.to(gates.dtype.element_ty), mask=inside)
        tl.store(gates + 3 * H, o.to(gates.dtype.element_ty), mask=inside)
        tl.store(c, state.to(c.dtype.element_ty), mask=inside)
        tl.store(y + row * H + unit, h.to(y.dtype.element_ty), mask=inside)
        xw += B * 4 * H
        gates += B * 4 * H
        y += B * H
        c += B * H
    if not WHOLE:
        tl.store(carry + row * H + unit, state, mask=inside)


@triton.jit(do_not_specialize=["first", "last"])
def lstm_backward(
    gy,
    gc,
    gates,
    c,
    c0,
    w,
    dxw,
    dh0,
    dc0,
    carry,  # (B, H) in float32: ∂c between launches
    first,
    last,
    T,
    B,
    H,
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
    c += time * B * H + row * H + unit
    gates += time * B * 4 * H + row * 4 * H + unit
    dxw += time * B * 4 * H
    if gc is not None:
        gc += time * B * H + row * H + unit

    n = tl.arange(0, DEPTH)
    own = w + n[:, None] * H + unit  # (DEPTH, UNITS) of the input gate's weights
    dc = tl.zeros((ROWS, UNITS), tl.float32)
    dh = tl.zeros((ROWS, UNITS), tl.float32)
    if WHOLE:
        used = (n[:, None] < H) & (unit < H)
        w_i = tl.load(own, mask=used, other=0.0)
        w_f = tl.load(own + H * H, mask=used, other=0.0)
        w_g = tl.load(own + 2 * H * H, mask=used, other=0.0)
        w_o = tl.load(own + 3 * H * H, mask=used, other=0.0)
    elif last < T:
        dc = tl.load(carry + row * H + unit, mask=inside, other=0.0)

    left = last - 1
    for _ in range(first, last):
        if not WHOLE and last < T:
            after = dxw + B * 4 * H
            for start in range(0, 4 * H, DEPTH):
                d = start + n
                gradients = tl.load(after + row * 4 * H + d[None, :], mask=(row < B) & (d[None, :] < 4 * H), other=0.0)
                part = tl.load(own + start * H, mask=(d[:, None] < 4 * H) & (unit < H), other=0.0)
                dh = tl.dot(gradients, part, dh, input_precision=PRECISION)
        dh += tl.load(gy, mask=inside, other=0.0).to(tl.float32)
        i = tl.load(gates, mask=inside, other=0.0).to(tl.float32)
        f = tl.load(gates + H, mask=inside, other=0.0).to(tl.float32)
        g = tl.load(gates + 2 * H, mask=inside, other=0.0).to(tl.float32)
        o = tl.load(gates + 3 * H, mask=inside, other=0.0).to(tl.float32)
        squashed = tanh(tl.load(c, mask=inside, other=0.0).to(tl.float32))
        c -= B * H
        earlier = c0 + row * H + unit
        if left > 0:
            earlier = c
        before = tl.load(earlier, mask=inside, other=0.0).to(tl.float32)
        dc += dh * o * (1.0 - squashed * squashed)
        if gc is not None:
            dc += tl.load(gc, mask=inside, other=0.0).to(tl.float32)
            gc -= B * H
        di = (dc * g * i * (1.0 - i)).to(dxw.dtype.element_ty)
        df = (dc * before * f * (1.0 - f)).to(dxw.dtype.element_ty)
        dg = (dc * i * (1.0 - g * g)).to(dxw.dtype.element_ty)
        do = (dh * squashed * o * (1.0 - o)).to(dxw.dtype.element_ty)
        dc *= f
        place = dxw + row * 4 * H + unit
        tl.store(place, di, mask=inside)
        tl.store(place + H, df, mask=inside)
        tl.store(place + 2 * H, dg, mask=inside)
        tl.store(place + 3 * H, do, mask=inside)
        if WHOLE:
            dh = tl.dot(di, w_i, input_precision=PRECISION)
            dh = tl.dot(df, w_f, dh, input_precision=PRECISION)
            dh = tl.dot(dg, w_g, dh, input_precision=PRECISION)
            dh = tl.dot(do, w_o, dh, input_precision=PRECISION)
        gy -= B * H
        gates -= B * 4 * H
        dxw -= B * 4 * H
        left -= 1
    if WHOLE:
        tl.store(dh0 + row * H + unit, dh.to(dh0.dtype.element_ty), mask=inside)
    else:
        tl.store(carry + row * H + unit, dc, mask=inside)
    if first == 0:
        tl.store(dc0 + row * H + unit, dc.to(dc0.dtype.element_ty), mask=inside)


def forward(xw: Any, h0: Any, c0: Any, w_hh: Any) -> tuple[Any, Any, Any]:
    """y, c (T, B, H) and the gates (T, B, 4 H); xw (T, B, 4 H), h0 and c0 (B, H), w_hh (4 H, H)."""
    if not takes(xw, h0, c0, w_hh):
        return reference.forward(xw, h0, c0, w_hh)
    xp = namespace(xw)
    xw, h0, c0, w_hh = map(xp.ascontiguousarray, (xw, h0, c0, w_hh))
    (T, B, _), H = xw.shape, w_hh.shape[1]
    y, c, gates = xp.empty((T, B, H), xw.dtype), xp.empty((T, B, H), xw.dtype), xp.empty(xw.shape, xw.dtype)
    grid, times, constants = plan(T, B, H, xw.dtype)
    carry = None if constants["WHOLE"] else xp.empty((B, H), "float32")
    for first, last in times:
        launch(lstm_forward, grid, xw, h0, c0, w_hh, y, c, gates, carry, first, last, B, H, **constants)
    return y, c, gates


def backward(gy: Any, gc: Any, gates: Any, c: Any, c0: Any, w_hh: Any) -> tuple[Any, Any, Any]:
    """∂xw, ∂h0, ∂c0 from the gradient gy of the results, and gc of every cell state (or None)."""
    if not takes(gy, gates, c, c0, w_hh):
        return reference.backward(gy, gc, gates, c, c0, w_hh)
    xp = namespace(gy)
    gy, gates, c, c0, w_hh = map(xp.ascontiguousarray, (gy, gates, c, c0, w_hh))
    gc = None if gc is None else xp.ascontiguousarray(gc)
    T, B, H = gy.shape
    dxw, dh0, dc0 = xp.empty(gates.shape, gates.dtype), xp.empty_like(c0), xp.empty_like(c0)
    grid, times, constants = plan(T, B, H, gy.dtype)
    carry = None if constants["WHOLE"] else xp.empty((B, H), "float32")
    for first, last in reversed(times):
        arrays = (gy, gc, gates, c, c0, w_hh, dxw, dh0, dc0, carry)
        launch(lstm_backward, grid, *arrays, first, last, T, B, H, **constants)
    return dxw, dh0 if constants["WHOLE"] else matmul.forward(dxw[0], w_hh), dc0


def compile_cases(array: Any) -> Any:
    """Calls that between them compile what is shipped: each size that stays on the chip, and one that does not."""
    for dtype in ("float16", "float32"):
        for H in (16, 32, 64, 128, 256):
            x, h, w = array((1, 32, 4 * H), dtype), array((32, H), dtype), array((4 * H, H), dtype)
            yield partial(forward, x, h, h, w)
            yield partial(backward, array((1, 32, H), dtype), None, x, array((1, 32, H), dtype), h, w)
