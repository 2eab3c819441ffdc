"""From loops over every number to a layer that stays on the chip: long short-term memory, and the gradients of all it takes.

Steps must be walked one by one, so the climb is about what a step costs. Once BLAS multiplies (2), what remains is the number
of calls and of passes over memory: one product instead of four (3), gates computed where they lie, weights read in the order
in which they lie (4). Forward cannot do more than that; backward can, for by then all h are known, and what a step needs of
all others is no longer a chain: its products become one (5). Compiled gates, and weights that never leave the chip, are for
the room's own files.

xw (T, B, 4H) is the input's share, gates in the order i, f, g, o; h0, c0 (B, H), w_hh (4H, H), y (T, B, H). Only y is kept:
each backward makes the gates and cells again, in its own rung's manner.
"""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any

import numpy as np

from minidl_kernels.ladders import Rung

SIZES = ((3, 2, 4), (8, 4, 16), (32, 16, 64), (32, 32, 256), (64, 64, 512))  # T, B, H


def arguments(size: tuple, rng: np.random.Generator) -> tuple:
    """xw, h0, c0 and w_hh."""
    steps, batch, hidden = size
    xw, h0, c0 = (
        rng.standard_normal(shape) for shape in ((steps, batch, 4 * hidden), (batch, hidden), (batch, hidden))
    )
    return xw, h0, c0, rng.standard_normal((4 * hidden, hidden)) / hidden**0.5


def work(size: tuple) -> int:
    """Multiplications with an addition in the recurrent products."""
    steps, batch, hidden = size
    return steps * batch * 4 * hidden * hidden


def sigmoid(a: Any) -> Any:
    """1 / (1 + e^-a), by a function that cannot overflow."""
    return 0.5 + 0.5 * np.tanh(0.5 * a)


def earlier(states: Any, first: Any) -> Any:
    """What each step came from: the states of the steps before."""
    return np.concatenate([first[None], states[:-1]])


# ---------------------------------------------------------------------------------------------------- 1  plain loops


def loops_states(xw: Any, h0: Any, c0: Any, w_hh: Any) -> tuple:
    (steps, batch, _), hidden = xw.shape, h0.shape[1]
    y, c, gates = np.empty((steps, *h0.shape), xw.dtype), np.empty((steps, *h0.shape), xw.dtype), np.empty_like(xw)
    h, cell = h0, c0
    for t in range(steps):
        for b in range(batch):
            for j in range(4 * hidden):
                a = xw[t, b, j]
                for k in range(hidden):
                    a += h[b, k] * w_hh[j, k]
                is_g = 2 * hidden <= j < 3 * hidden
                gates[t, b, j] = math.tanh(a) if is_g else 0.5 + 0.5 * math.tanh(0.5 * a)
            for k in range(hidden):
                i, f, g, o = gates[t, b, k::hidden]
                c[t, b, k] = f * cell[b, k] + i * g
                y[t, b, k] = o * math.tanh(c[t, b, k])
        h, cell = y[t], c[t]
    return y, c, gates


def loops(xw: Any, h0: Any, c0: Any, w_hh: Any) -> Any:
    return loops_states(xw, h0, c0, w_hh)[0]


def loops_backward(grad: Any, xw: Any, h0: Any, c0: Any, w_hh: Any, y: Any) -> tuple:
    _, c, gates = loops_states(xw, h0, c0, w_hh)
    (steps, batch, _), hidden = xw.shape, h0.shape[1]
    dxw, dw = np.empty_like(xw), np.zeros_like(w_hh)
    dh, dc = np.zeros_like(h0), np.zeros_like(c0)
    for t in reversed(range(steps)):
        h, cell = (y[t - 1], c[t - 1]) if t else (h0, c0)
        for b in range(batch):
            for k in range(hidden):
                (i, f, g, o), tanh = gates[t, b, k::hidden], math.tanh(c[t, b, k])
                up = dh[b, k] + grad[t, b, k]
                down = dc[b, k] + up * o * (1 - tanh * tanh)
                dxw[t, b, k] = down * g * i * (1 - i)
                dxw[t, b, hidden + k] = down * cell[b, k] * f * (1 - f)
                dxw[t, b, 2 * hidden + k] = down * i * (1 - g * g)
                dxw[t, b, 3 * hidden + k] = up * tanh * o * (1 - o)
                dc[b, k] = down * f
            for k in range(hidden):
                dh[b, k] = 0
                for j in range(4 * hidden):
                    dh[b, k] += dxw[t, b, j] * w_hh[j, k]
                    dw[j, k] += dxw[t, b, j] * h[b, k]
    return dxw, dh, dc, dw


# -------------------------------------------------------------------------------------- 2  a product for every gate


def by_gate_states(xw: Any, h0: Any, c0: Any, w_hh: Any) -> tuple:
    w_i, w_f, w_g, w_o = np.split(w_hh, 4)
    h, c, states = h0, c0, []
    for x in xw:
        x_i, x_f, x_g, x_o = np.split(x, 4, axis=1)
        i = sigmoid(x_i + h @ w_i.T)
        f = sigmoid(x_f + h @ w_f.T)
        g = np.tanh(x_g + h @ w_g.T)
        o = sigmoid(x_o + h @ w_o.T)
        c = f * c + i * g
        h = o * np.tanh(c)
        states.append((h, c, np.concatenate([i, f, g, o], axis=1)))
    return tuple(map(np.stack, zip(*states)))


def by_gate(xw: Any, h0: Any, c0: Any, w_hh: Any) -> Any:
    return by_gate_states(xw, h0, c0, w_hh)[0]


def by_gate_backward(grad: Any, xw: Any, h0: Any, c0: Any, w_hh: Any, y: Any) -> tuple:
    _, cells, gates = by_gate_states(xw, h0, c0, w_hh)
    ws = np.split(w_hh, 4)
    dws, dxw = [np.zeros_like(w) for w in ws], []
    dh, dc = np.zeros_like(h0), np.zeros_like(c0)
    for up, gate, c, before, h in reversed(list(zip(grad, gates, cells, earlier(cells, c0), earlier(y, h0)))):
        dgates, dc = step_back(dh + up, dc, gate, c, before)
        dh = np.zeros_like(h0)
        for dgate, w, dw in zip(dgates, ws, dws):
            dh += dgate @ w
            dw += dgate.T @ h
        dxw.append(np.concatenate(dgates, axis=1))
    return np.stack(dxw[::-1]), dh, dc, np.concatenate(dws)


def step_back(dh: Any, dc: Any, gates: Any, c: Any, before: Any) -> tuple:
    """The gradients of a step's four gates, before their nonlinearities, and of the cell that it came from."""
    (i, f, g, o), tanh = np.split(gates, 4, axis=1), np.tanh(c)
    dc = dc + dh * o * (1 - tanh * tanh)
    return (dc * g * i * (1 - i), dc * before * f * (1 - f), dc * i * (1 - g * g), dh * tanh * o * (1 - o)), dc * f


# ------------------------------------------------------------------------------------------- 3  all gates in one product


def by_step_states(xw: Any, h0: Any, c0: Any, w_hh: Any) -> tuple:
    hidden, h, c, states = h0.shape[1], h0, c0, []
    for x in xw:
        a = x + h @ w_hh.T
        gates = np.where(np.arange(4 * hidden) // hidden == 2, np.tanh(a), sigmoid(a))
        i, f, g, o = np.split(gates, 4, axis=1)
        c = f * c + i * g
        h = o * np.tanh(c)
        states.append((h, c, gates))
    return tuple(map(np.stack, zip(*states)))


def by_step(xw: Any, h0: Any, c0: Any, w_hh: Any) -> Any:
    return by_step_states(xw, h0, c0, w_hh)[0]


def by_step_backward(grad: Any, xw: Any, h0: Any, c0: Any, w_hh: Any, y: Any) -> tuple:
    _, cells, gates = by_step_states(xw, h0, c0, w_hh)
    dxw, dw, dh, dc = np.empty_like(xw), np.zeros_like(w_hh), np.zeros_like(h0), np.zeros_like(c0)
    before, hs = earlier(cells, c0), earlier(y, h0)
    for t in reversed(range(len(xw))):
        dgates, dc = step_back(dh + grad[t], dc, gates[t], cells[t], before[t])
        dxw[t] = np.concatenate(dgates, axis=1)
        dh = dxw[t] @ w_hh
        dw += dxw[t].T @ hs[t]
    return dxw, dh, dc, dw


# ---------------------------------------------------------------------------------- 4  laid out once, computed in place


def in_place_states(xw: Any, h0: Any, c0: Any, w_hh: Any) -> tuple:
    steps, hidden = len(xw), h0.shape[1]
    y, c, gates = np.empty((steps, *h0.shape), xw.dtype), np.empty((steps, *h0.shape), xw.dtype), np.empty_like(xw)
    w, spare = np.ascontiguousarray(w_hh.T), np.empty_like(h0)
    h, cell = h0, c0
    for t in range(steps):
        a = np.matmul(h, w, out=gates[t])
        a += xw[t]
        activate(a, hidden)
        i, f, g, o = (a[:, k * hidden : (k + 1) * hidden] for k in range(4))
        cell = np.multiply(f, cell, out=c[t])
        cell += np.multiply(i, g, out=spare)
        h = np.multiply(o, np.tanh(cell, out=spare), out=y[t])
    return y, c, gates


def activate(a: Any, hidden: int) -> None:
    """The gates' nonlinearities, where they lie: tanh for all, as σ(a) = (1 + tanh(a / 2)) / 2."""
    sigmoids = a[..., : 2 * hidden], a[..., 3 * hidden :]
    for part in sigmoids:
        part *= 0.5
    np.tanh(a, out=a)
    for part in sigmoids:
        part *= 0.5
        part += 0.5


def in_place(xw: Any, h0: Any, c0: Any, w_hh: Any) -> Any:
    return in_place_states(xw, h0, c0, w_hh)[0]


def in_place_backward(grad: Any, xw: Any, h0: Any, c0: Any, w_hh: Any, y: Any) -> tuple:
    _, c, gates = in_place_states(xw, h0, c0, w_hh)
    return walk_back(grad, gates, c, h0, c0, w_hh, y)


def walk_back(grad: Any, gates: Any, c: Any, h0: Any, c0: Any, w_hh: Any, y: Any) -> tuple:
    """All that does not depend on the step after at once for all steps, and the weights' gradient as one product."""
    steps, batch, hidden = c.shape
    (i, f, g, o), tanh = np.split(gates, 4, axis=2), np.tanh(c)
    slopes = np.concatenate(
        [g * i * (1 - i), earlier(c, c0) * f * (1 - f), i * (1 - g * g), tanh * o * (1 - o)], axis=2
    )
    to_cell = o * (1 - tanh * tanh)
    dxw, dh, dc = slopes.reshape(steps, batch, 4, hidden), np.zeros_like(h0), np.zeros_like(c0)
    for t in reversed(range(steps)):
        dh += grad[t]
        dc += dh * to_cell[t]
        dxw[t, :, :3] *= dc[:, None]
        dxw[t, :, 3] *= dh
        np.matmul(slopes[t], w_hh, out=dh)
        dc *= f[t]
    return slopes, dh, dc, slopes.reshape(-1, 4 * hidden).T @ earlier(y, h0).reshape(-1, hidden)


# -------------------------------------------------------------------------------- 5  backward knows y: no chain of products


def from_states(xw: Any, h0: Any, c0: Any, w_hh: Any, y: Any) -> tuple:
    """Cells and gates of all steps, from the states that they led to: one product, and additions along the steps."""
    gates = earlier(y, h0) @ w_hh.T
    gates += xw
    activate(gates, h0.shape[1])
    i, f, g, _ = np.split(gates, 4, axis=2)
    c, cell = i * g, c0
    for t in range(len(c)):
        cell = c[t] = c[t] + f[t] * cell
    return c, gates


def at_once_backward(grad: Any, xw: Any, h0: Any, c0: Any, w_hh: Any, y: Any) -> tuple:
    c, gates = from_states(xw, h0, c0, w_hh, y)
    return walk_back(grad, gates, c, h0, c0, w_hh, y)


# ------------------------------------------------------------------------------------------------------ the room's own


def rung(name: str, file: str, idea: str) -> Rung:
    """A file of the room; what it would have kept for backward is made again as in rung 5."""

    def forward(xw: Any, h0: Any, c0: Any, w_hh: Any) -> Any:
        return import_module(f"minidl_kernels.lstm.{file}").forward(xw, h0, c0, w_hh)[0]

    def backward(grad: Any, xw: Any, h0: Any, c0: Any, w_hh: Any, y: Any) -> tuple:
        c, gates = from_states(xw, h0, c0, w_hh, y)
        dxw, dh, dc = import_module(f"minidl_kernels.lstm.{file}").backward(grad, None, gates, c, c0, w_hh)
        return dxw, dh, dc, dxw.reshape(-1, dxw.shape[2]).T @ earlier(y, h0).reshape(-1, h0.shape[1])

    return Rung(name, idea, forward, backward, None)


RUNGS: tuple[Rung, ...] = (
    Rung(
        "1 plain loops",
        "Python multiplies and adds number by number.",
        loops,
        loops_backward,
        100_000,
    ),
    Rung(
        "2 a product for every gate",
        "The formulae as they stand, on arrays (B, H): the loops within a step are BLAS's and NumPy's.",
        by_gate,
        by_gate_backward,
        None,
    ),
    Rung(
        "3 all gates in one product",
        "One product with (4H, H) instead of four with (H, H), and h is read once; but each gate pays for two nonlinearities, "
        "of which np.where throws one away.",
        by_step,
        by_step_backward,
        None,
    ),
    Rung(
        "4 laid out once, in place",
        "Weights are transposed once, gates are computed where they will be kept, tanh alone serves for all; backward does "
        "all it can outside the loop, and the weights' gradient as one long product.",
        in_place,
        in_place_backward,
        None,
    ),
    Rung(
        "5 backward knows the states",
        "Given all h, the gates of all steps are one large product instead of T small ones in a chain.",
        in_place,
        at_once_backward,
        None,
    ),
    rung(
        "6 gates where they are kept",
        "with_numpy",
        "Rung 4 as the engine runs it: forward keeps gates and cells; here, where only y is kept, rung 5 makes them again.",
    ),
    rung(
        "7 numba",
        "with_numba",
        "A compiled loop goes through a step's gates, cell and state once, instead of a dozen calls that each go through all.",
    ),
    rung(
        "8 CUDA C",
        "with_cupy",
        "A product of cuBLAS and one launch a step; small layers spend their time on launching.",
    ),
    rung(
        "9 Triton",
        "with_triton",
        "One launch for all steps: weights, h and c stay on the chip, where they fit (Diamos et al. 2016).",
    ),
)
