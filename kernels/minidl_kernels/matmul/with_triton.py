"""Matrix product in Triton: a program makes a tile of y, with the bias and the activation applied before it is written.

A tile (ROWS, COLUMNS) of y stays in the registers of a program as float32 while it walks along K: each step brings a
tile of a and one of b to shared memory (asynchronously: ``num_stages`` steps are under way at a time) and multiplies
them on the tensor cores. Every value of a is read N / COLUMNS times and every one of b M / ROWS times, mostly from the
second-level cache thanks to the order of the tiles. Operands are read where they lie, whatever their strides: for a
transposed one the compiler transposes on the way through shared memory. float32 is multiplied as float32, off the tensor
cores, unless :mod:`minidl_kernels.precision` allows TF32.

The tile's size is tuned: the first product of a size (to the power of two) and type tries a few and keeps the fastest.
Each sum over K is made by one program, in order: the same bits every time, for the same size of tile.

Source: Tillet et al., "Triton: an intermediate language and compiler for tiled neural network computations" (2019).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from minidl_kernels.triton_runtime import architecture, autotune, launch

import triton  # isort: skip
import triton.language as tl  # isort: skip

from minidl_kernels.arrays import namespace
from minidl_kernels.matmul import with_numpy as reference
from minidl_kernels.precision import get_float32_matmul_precision, input_precision, set_float32_matmul_precision
from minidl_kernels.triton_functions import activate, tile_of


def _config(rows: int, columns: int, depth: int, warps: int, stages: int) -> Any:
    sizes = {"ROWS": rows, "COLUMNS": columns, "DEPTH": depth}
    return triton.Config(sizes, num_warps=warps, num_stages=stages)


LARGE = _config(128, 256, 64, 8, 3)  # all but fills the registers: no room for an activation, nor for Ampere's operands
HALF = [  # 16-bit floats: the last is for a handful of rows
    _config(64, 64, 32, 4, 4),
    _config(64, 64, 64, 4, 4),
    _config(64, 128, 64, 4, 4),
    _config(128, 64, 32, 4, 4),
    _config(128, 128, 64, 8, 3),
    LARGE,
    _config(16, 128, 64, 4, 4),
]
SINGLE = [  # float32: on TF32 tensor cores, or off them, where it is bound by arithmetic whatever the depth
    _config(64, 64, 32, 4, 3),
    _config(32, 64, 32, 4, 3),
    _config(128, 64, 32, 8, 3),
    _config(128, 128, 16, 8, 3),
    _config(16, 128, 32, 4, 3),
]


def _worth_trying(configs: list, arguments: dict, ACTIVATION: str | None = None, **_: Any) -> list:
    """Those meant for the operands' type; few rows only where there are few; the largest where it fits."""
    meant = HALF if arguments["a"].dtype.itemsize == 2 else SINGLE
    few = arguments["M"] <= 16
    room = ACTIVATION is None and architecture() >= 90
    return [c for c in configs if c in meant and (few or c.kwargs["ROWS"] > 16) and (room or c is not LARGE)]


@autotune(
    [*HALF, *SINGLE],
    ["size_m", "size_n", "size_k", "layout", "ACTIVATION", "PRECISION"],
    prune_configs_by={"early_config_prune": _worth_trying},
)
@triton.jit(do_not_specialize=["size_m", "size_n", "size_k", "layout"])
def matmul_kernel(
    a,
    b,
    bias,
    y,
    M,
    N,
    K,
    inner,  # batches (outer, inner), numbered row-major
    a_outer,
    a_inner,
    a_m,
    a_k,
    b_outer,
    b_inner,
    b_k,
    b_n,
    size_m,  # these four are for the tuner
    size_n,
    size_k,
    layout,
    ACTIVATION: tl.constexpr,
    PRECISION: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
):
    down, across = tl.cdiv(M, ROWS), tl.cdiv(N, COLUMNS)
    batch = tl.program_id(0) // (down * across)
    tile_m, tile_n = tile_of(tl.program_id(0) % (down * across), down, across, 8)
    i, j, k = tl.arange(0, ROWS), tl.arange(0, COLUMNS), tl.arange(0, DEPTH)
    left_m, left_n = M - tile_m * ROWS, N - tile_n * COLUMNS  # rows and columns from here to the end

    # Long distances in 64 bits, those within a tile in 32.
    a += (batch // inner).to(tl.int64) * a_outer + (batch % inner).to(tl.int64) * a_inner
    b += (batch // inner).to(tl.int64) * b_outer + (batch % inner).to(tl.int64) * b_inner
    a += tile_m.to(tl.int64) * ROWS * a_m
    b += tile_n.to(tl.int64) * COLUMNS * b_n
    a_tile = a + i[:, None] * a_m + k[None, :] * a_k
    b_tile = b + k[:, None] * b_k + j[None, :] * b_n

    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    for step in range(0, K, DEPTH):
        left_k = K - step
        a_values = tl.load(a_tile, mask=(i[:, None] < left_m) & (k[None, :] < left_k), other=0.0)
        b_values = tl.load(b_tile, mask=(k[:, None] < left_k) & (j[None, :] < left_n), other=0.0)
        total = tl.dot(a_values, b_values, total, input_precision=PRECISION)
        a_tile += DEPTH * a_k
        b_tile += DEPTH * b_k

    if bias is not None:
        total += tl.load(bias + tile_n * COLUMNS + j, mask=j < left_n, other=0.0).to(tl.float32)[None, :]
    total = activate(total, ACTIVATION)
    y += (batch.to(tl.int64) * M + tile_m * ROWS) * N + tile_n * COLUMNS
    inside = (i[:, None] < left_m) & (j[None, :] < left_n)
    tl.store(y + i[:, None].to(tl.int64) * N + j[None, :], total.to(y.dtype.element_ty), mask=inside)


def forward(a: Any, b: Any, bias: Any = None, activation: str | None = None) -> Any:
    """y = activation(a b + bias); a: [*batch, M, K], b: [*batch, K, N], bias: [N], y: [*batch, M, N]."""
    if not _takes(a, b):
        return reference.forward(a, b, bias, activation)
    xp = namespace(a)
    batch = a.shape[:-2] if a.ndim == b.ndim == 2 else np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a, b = (xp.broadcast_to(x, (*batch, *x.shape[-2:])) for x in (a, b))
    rows, depth, columns = a.shape[-2], a.shape[-1], b.shape[-1]
    y = xp.empty((*batch, rows, columns), a.dtype)
    lengths, a_steps, b_steps = _merged(batch, _steps(a), _steps(b))
    if len(lengths) > 2:  # rare: an exotic broadcast
        a, b = xp.ascontiguousarray(a), xp.ascontiguousarray(b)
        lengths, a_steps, b_steps = _merged(batch, _steps(a), _steps(b))
    (a_m, a_k), (b_k, b_n) = _steps(a)[-2:], _steps(b)[-2:]
    if lengths and b_steps[-1] == 0 and (rows == 1 or a_steps[-1] == rows * a_m):
        step = a_steps.pop()
        a_m = step if rows == 1 else a_m  # one b for all: the batch's rows are rows of one tall matrix
        rows *= lengths.pop()
        b_steps.pop()
    outer, inner = [1, 1, *lengths][-2:]
    launch(
        matmul_kernel,
        lambda tile: (outer * inner * triton.cdiv(rows, tile["ROWS"]) * triton.cdiv(columns, tile["COLUMNS"]),),
        a,
        b,
        None if bias is None else xp.ascontiguousarray(bias),
        y,
        rows,
        columns,
        depth,
        inner,
        *[0, 0, *a_steps][-2:],
        a_m,
        a_k,
        *[0, 0, *b_steps][-2:],
        b_k,
        b_n,
        *(n.bit_length() for n in (rows, columns, depth)),
        2 * (a_k == 1) + (b_n == 1),
        ACTIVATION=activation,
        PRECISION=input_precision() if a.dtype.itemsize == 4 else "ieee",
    )
    return y


def _takes(a: Any, b: Any) -> bool:
    floats = a.dtype == b.dtype and a.dtype.kind in "fV" and a.dtype.itemsize <= 4
    return floats and min(a.ndim, b.ndim) >= 2 and a.size > 0 and b.size > 0


def _steps(x: Any) -> list[int]:
    return [step // x.dtype.itemsize for step in x.strides]


def _merged(batch: tuple, a_steps: list, b_steps: list) -> tuple[list, list, list]:
    """The batch's lengths, and the steps of a and b along them, in as few dimensions as walk the same places."""
    merged: list[list] = []
    for n, *steps in zip(batch, a_steps, b_steps):
        if n == 1:
            continue
        if merged and all(before == n * step for before, step in zip(merged[-1][1:], steps)):
            merged[-1] = [merged[-1][0] * n, *steps]
        else:
            merged.append([n, *steps])
    lengths, a_steps, b_steps = ([list(m) for m in zip(*merged)]) if merged else ([], [], [])
    return lengths, a_steps, b_steps


def compile_cases(array: Any) -> Any:
    """Calls that between them compile what is shipped: every tile, for each type and layout."""
    for rows in (16, 512):
        for dtype in ("float16", "float32"):
            a, b = array((rows, 256), dtype), array((256, 512), dtype)
            yield partial(forward, a, b, array((512,), dtype), "gelu")
            yield partial(forward, array((256, rows), dtype).T, array((512, 256), dtype).T)
    yield partial(_in_tf32, array((512, 256), "float32"), array((256, 512), "float32"))


def _in_tf32(a: Any, b: Any) -> None:
    before = get_float32_matmul_precision()
    set_float32_matmul_precision("high")
    forward(a, b)
    set_float32_matmul_precision(before)
