"""GRU in Triton: recurrent weights stay on the chip across the time steps, where they fit.

As :mod:`minidl_kernels.lstm.with_triton`: small layers in one launch, whose programs own ROWS sequences each and keep the
weights and h; large layers with a launch for each step, whose programs own UNITS hidden units too.

Sources: K. Cho et al., "Learning phrase representations using RNN encoder-decoder" (2014), in the form in which the reset
gate multiplies after the product; G. Diamos et al., "Persistent RNNs: stashing recurrent weights on-chip" (2016).
"""

from __future__ import annotations

from functools import partial
from typing import Any

from minidl_kernels.triton_runtime import launch

import triton  # isort: skip
import triton.language as tl  # isort: skip

from minidl_kernels.arrays import namespace
from minidl_kernels.gru import with_numpy as reference
from minidl_kernels.matmul import with_triton as matmul
from minidl_kernels.persistent import plan, takes
from minidl_kernels.triton_functions import tanh


@triton.jit(do_not_specialize=["first", "last"])
def gru_forward(
    xw,
    h0,
    w,
    b,
    y,
    gates,
    hn,
    carry,  # (B, H) in float32: h between launches
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
    xw += time * B * 3 * H + row * 3 * H + unit
    gates += time * B * 3 * H + row * 3 * H + unit
    y += time * B * H
    hn += time * B * H + row * H + unit

    k = tl.arange(0, DEPTH)
    own = w + unit * H + k[:, None]  # (DEPTH, UNITS) of the reset gate's weights, transposed
    h = tl.load(h0 + row * H + unit, mask=inside, other=0.0).to(tl.float32)
    b_r = tl.zeros((1, UNITS), tl.float32)
    b_z = tl.zeros((1, UNITS), tl.float32)
    b_n = tl.zeros((1, UNITS), tl.float32)
    if b is not None:
        b_r = tl.load(b + unit, mask=unit < H, other=0.0).to(tl.float32)
        b_z = tl.load(b + H + unit, mask=unit < H, other=0.0).to(tl.float32)
        b_n = tl.load(b + 2 * H + unit, mask=unit < H, other=0.0).to(tl.float32)
    if WHOLE:
        used = (k[:, None] < H) & (unit < H)
        w_r = tl.load(own, mask=used, other=0.0)
        w_z = tl.load(own + H * H, mask=used, other=0.0)
        w_n = tl.load(own + 2 * H * H, mask=used, other=0.0)
    elif first > 0:
        h = tl.load(carry + row * H + unit, mask=inside, other=0.0)

    for _ in range(first, last):
        r = tl.load(xw, mask=inside, other=0.0).to(tl.float32) + b_r
        z = tl.load(xw + H, mask=inside, other=0.0).to(tl.float32) + b_z
        hidden = tl.zeros((ROWS, UNITS), tl.float32) + b_n
        if WHOLE:
            before = h.to(w.dtype.element_ty)
            r = tl.dot(before, w_r, r, input_precision=PRECISION)
            z = tl.dot(before, w_z, z, input_precision=PRECISION)
            hidden = tl.dot(before, w_n, hidden, input_precision=PRECISION)
        else:
            source = h0
            if first > 0:
                source = y - B * H
            for start in range(0, H, DEPTH):
                d = start + k
                before = tl.load(source + row * H + d[None, :], mask=(row < B) & (d[None, :] < H), other=0.0)
                used = (d[:, None] < H) & (unit < H)
                part = own + start
                r = tl.dot(before, tl.load(part, mask=used, other=0.0), r, input_precision=PRECISION)
                z = tl.dot(before, tl.load(part + H * H, mask=used, other=0.0), z, input_precision=PRECISION)
                third = tl.load(part + 2 * H * H, mask=used, other=0.0)
                hidden = tl.dot(before, third, hidden, input_precision=PRECISION)
        r, z = tl.sigmoid(r), tl.sigmoid(z)
        n = tanh(tl.load(xw + 2 * H, mask=inside, other=0.0).to(tl.float32) + r * hidden)
        h = n + z * (h - n)
        tl.store(gates, r.to(gates.dtype.element_ty), mask=inside)
        tl.store(gates + H, z.to(gates.dtype.element_ty), mask=inside)
        tl.store(gates + 2 * H, n.to(gates.dtype.element_ty), mask=inside)
        tl.store(hn, hidden.to(hn.dtype.element_ty), mask=inside)
        tl.store(y + row * H + unit, h.to(y.dtype.element_ty), mask=inside)
        xw += B * 3 * H
        gates += B * 3 * H
        y += B * H
        hn += B * H
    if not WHOLE:
        tl.store(carry + row * H + unit, h, mask=inside)


@triton.jit(do_not_specialize=["first", "last"])
def gru_backward(
    gy,
    gates,
    hn,
    y,
    h0,
    w,
    dxw,
    dhw,
    dh0,
    carry,  # (B, H) in float32: what of ∂h does not come through the weights, between launches
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
    y += time * B * H + row * H + unit
    hn += time * B * H + row * H + unit
    gates += time * B * 3 * H + row * 3 * H + unit
    dxw += time * B * 3 * H + row * 3 * H + unit
    dhw += time * B * 3 * H

    k = tl.arange(0, DEPTH)
    own = w + k[:, None] * H + unit  # (DEPTH, UNITS) of the reset gate's weights
    dh = tl.zeros((ROWS, UNITS), tl.float32)
    if WHOLE:
        used = (k[:, None] < H) & (unit < H)
        w_r = tl.load(own, mask=used, other=0.0)
        w_z = tl.load(own + H * H, mask=used, other=0.0)
        w_n = tl.load(own + 2 * H * H, mask=used, other=0.0)
    elif last < T:
        dh = tl.load(carry + row * H + unit, mask=inside, other=0.0)

    left = last - 1
    for _ in range(first, last):
        if not WHOLE and last < T:
            after = dhw + B * 3 * H
            for start in range(0, 3 * H, DEPTH):
                d = start + k
                gradients = tl.load(after + row * 3 * H + d[None, :], mask=(row < B) & (d[None, :] < 3 * H), other=0.0)
                part = tl.load(own + start * H, mask=(d[:, None] < 3 * H) & (unit < H), other=0.0)
                dh = tl.dot(gradients, part, dh, input_precision=PRECISION)
        dh += tl.load(gy, mask=inside, other=0.0).to(tl.float32)
        r = tl.load(gates, mask=inside, other=0.0).to(tl.float32)
        z = tl.load(gates + H, mask=inside, other=0.0).to(tl.float32)
        n = tl.load(gates + 2 * H, mask=inside, other=0.0).to(tl.float32)
        hidden = tl.load(hn, mask=inside, other=0.0).to(tl.float32)
        y -= B * H
        earlier = h0 + row * H + unit
        if left > 0:
            earlier = y
        before = tl.load(earlier, mask=inside, other=0.0).to(tl.float32)
        dn = dh * (1.0 - z) * (1.0 - n * n)
        dr = (dn * hidden * r * (1.0 - r)).to(dxw.dtype.element_ty)
        dz = (dh * (before - n) * z * (1.0 - z)).to(dxw.dtype.element_ty)
        dhidden = (dn * r).to(dxw.dtype.element_ty)
        dh *= z
        tl.store(dxw, dr, mask=inside)
        tl.store(dxw + H, dz, mask=inside)
        tl.store(dxw + 2 * H, dn.to(dxw.dtype.element_ty), mask=inside)
        place = dhw + row * 3 * H + unit
        tl.store(place, dr, mask=inside)
        tl.store(place + H, dz, mask=inside)
        tl.store(place + 2 * H, dhidden, mask=inside)
        if WHOLE:
            dh = tl.dot(dr, w_r, dh, input_precision=PRECISION)
            dh = tl.dot(dz, w_z, dh, input_precision=PRECISION)
            dh = tl.dot(dhidden, w_n, dh, input_precision=PRECISION)
        gy -= B * H
        hn -= B * H
        gates -= B * 3 * H
        dxw -= B * 3 * H
        dhw -= B * 3 * H
        left -= 1
    if WHOLE:
        tl.store(dh0 + row * H + unit, dh.to(dh0.dtype.element_ty), mask=inside)
    else:
        tl.store(carry + row * H + unit, dh, mask=inside)


def forward(xw: Any, h0: Any, w_hh: Any, b_hh: Any) -> tuple[Any, Any, Any]:
    """y (T, B, H), the gates (T, B, 3 H) and hn (T, B, H); xw (T, B, 3 H), h0 (B, H), w_hh (3 H, H), b_hh (3 H) or None."""
    if not takes(xw, h0, w_hh):
        return reference.forward(xw, h0, w_hh, b_hh)
    xp = namespace(xw)
    xw, h0, w_hh = map(xp.ascontiguousarray, (xw, h0, w_hh))
    b_hh = None if b_hh is None else xp.ascontiguousarray(b_hh)
    (T, B, _), H = xw.shape, w_hh.shape[1]
    y, hn, gates = xp.empty((T, B, H), xw.dtype), xp.empty((T, B, H), xw.dtype), xp.empty(xw.shape, xw.dtype)
    grid, times, constants = plan(T, B, H, xw.dtype, units=16)
    carry = None if constants["WHOLE"] else xp.empty((B, H), "float32")
    for first, last in times:
        launch(gru_forward, grid, xw, h0, w_hh, b_hh, y, gates, hn, carry, first, last, B, H, **constants)
    return y, gates, hn


def backward(gy: Any, gates: Any, hn: Any, y: Any, h0: Any, w_hh: Any) -> tuple[Any, Any, Any]:
    """∂xw, the gradient of h W_hhᵀ + b_hh, and ∂h0."""
    if not takes(gy, gates, hn, y, h0, w_hh):
        return reference.backward(gy, gates, hn, y, h0, w_hh)
    xp = namespace(gy)
    gy, gates, hn, y, h0, w_hh = map(xp.ascontiguousarray, (gy, gates, hn, y, h0, w_hh))
    T, B, H = gy.shape
    dxw, dhw, dh0 = xp.empty(gates.shape, gates.dtype), xp.empty(gates.shape, gates.dtype), xp.empty_like(h0)
    grid, times, constants = plan(T, B, H, gy.dtype, units=16)
    carry = None if constants["WHOLE"] else xp.empty((B, H), "float32")
    for first, last in reversed(times):
        arrays = (gy, gates, hn, y, h0, w_hh, dxw, dhw, dh0, carry)
        launch(gru_backward, grid, *arrays, first, last, T, B, H, **constants)
    if carry is not None:
        dh0 = (matmul.forward(dhw[0], w_hh) + carry).astype(h0.dtype)
    return dxw, dhw, dh0


def compile_cases(array: Any) -> Any:
    """Calls that between them compile what is shipped: each size that stays on the chip, and one that does not."""
    for dtype in ("float16", "float32"):
        for H in (16, 32, 64, 128, 256):
            x, h, w = array((1, 32, 3 * H), dtype), array((32, H), dtype), array((3 * H, H), dtype)
            y = array((1, 32, H), dtype)
            yield partial(forward, x, h, w, array((3 * H,), dtype))
            yield partial(backward, y, x, y, y, h, w)
