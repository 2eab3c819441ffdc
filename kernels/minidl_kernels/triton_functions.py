"""Functions that several rooms' Triton kernels call."""

from __future__ import annotations

import minidl_kernels.triton_runtime  # noqa: F401  (sets Triton up before it is imported)

import triton  # isort: skip
import triton.language as tl  # isort: skip


@triton.jit
def tanh(x):
    """By way of the logistic function, which the interpreter has too; exact to float32's rounding error."""
    return 2.0 * tl.sigmoid(2.0 * x) - 1.0


@triton.jit
def activate(x, KIND: tl.constexpr):
    """f(x) in float32, for the kinds of the activation room, or None."""
    if KIND == "relu":
        x = tl.where(x > 0, x, tl.where(x == x, 0.0, x))  # lets nan through
    elif KIND == "silu":
        x = x * tl.sigmoid(x)
    elif KIND == "gelu":
        x = 0.5 * x * (1.0 + tl.erf(x * 0.7071067811865476))
    elif KIND == "gelu_tanh":
        x = x * tl.sigmoid(1.5957691216057308 * (x + 0.044715 * x * x * x))  # (1 + tanh(u)) / 2 = σ(2 u)
    return x


@triton.jit
def tile_of(number, rows, columns, GROUP: tl.constexpr):
    """The row and column of tile ``number`` of a grid (rows, columns) walked in bands of GROUP rows, column by column.

    Programs run roughly in order: at any time those under way then lie in a nearly square region, which shares its
    operands' rows and columns in the second-level cache.
    """
    band = number // (GROUP * columns)
    first = band * GROUP
    height = min(rows - first, GROUP)
    within = number % (GROUP * columns)
    return first + within % height, within // height


@triton.jit
def kept(number, seed, p):
    """Whether dropout keeps the value of this ``number``: the random numbers of :mod:`minidl_kernels.philox`.

    Numbers are int64, or uint32 where all fit into it: half the registers.
    """
    if number.dtype == tl.uint32:
        low = number >> 2
        high = low * 0
    else:
        counter = number >> 2
        low, high = (counter & 0xFFFFFFFF).to(tl.uint32), (counter >> 32).to(tl.uint32)
    w0, w1, w2, w3 = tl.philox(seed, low, high, low * 0, low * 0)
    place = number & 3
    word = tl.where(place < 2, tl.where(place == 0, w0, w1), tl.where(place == 2, w2, w3))
    return (word >> 8).to(tl.float32) * 5.9604644775390625e-08 >= p  # 2**-24
