"""From three loops to one pass: the softmax of each row of x (N, n).

The arithmetic is nothing, a few operations for each value; what counts is how often the values travel. As three loops (1) a
row is read three times and written once. The maximum can be found on the way (2): when it grows, the sum so far is rescaled,
and two readings are enough (Milakov & Gimelshein 2018). NumPy does every step with whole arrays (3), which leave the cache
and come back for the next; a block of rows at a time (4) they stay. Then a compiled loop reads each value once (5), and a
GPU does with each row's values in registers (6, 7). There is a rung that is not here, the formula as it is written,
e^x / Σ e^x: beyond x = 88 it divides infinity by infinity.

With y the result, ∂x = y ⊙ (g - Σ g ⊙ y).
"""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any

import numpy as np

from minidl_kernels.ladders import Rung

SIZES = ((2, 5), (32, 10), (64, 1000), (4096, 512), (256, 32768))  # N, n


def arguments(size: tuple, rng: np.random.Generator) -> tuple:
    """x."""
    return (3 * rng.standard_normal(size),)


def work(size: tuple) -> int:
    """Exponentials."""
    return math.prod(size)


# --------------------------------------------------------------------------------------------------- 1  three loops


def loops(x: Any) -> Any:
    y = np.empty_like(x)
    for i in range(x.shape[0]):
        largest = -math.inf
        for value in x[i]:
            largest = max(largest, value)
        total = 0.0
        for value in x[i]:
            total += math.exp(value - largest)
        for j, value in enumerate(x[i]):
            y[i, j] = math.exp(value - largest) / total
    return y


def loops_backward(g: Any, x: Any, y: Any) -> tuple:
    dx = np.empty_like(x)
    for i in range(x.shape[0]):
        mean = 0.0
        for slope, p in zip(g[i], y[i]):
            mean += slope * p
        for j in range(x.shape[1]):
            dx[i, j] = y[i, j] * (g[i, j] - mean)
    return (dx,)


# --------------------------------------------------------------------------------------- 2  an online maximum and sum


def online(x: Any) -> Any:
    y = np.empty_like(x)
    for i in range(x.shape[0]):
        largest, total = -math.inf, 0.0
        for value in x[i]:
            if value > largest:
                total *= math.exp(largest - value)
                largest = value
            total += math.exp(value - largest)
        for j, value in enumerate(x[i]):
            y[i, j] = math.exp(value - largest) / total
    return y


# ----------------------------------------------------------------------------------------------------- 3  whole arrays


def arrays(x: Any) -> Any:
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def arrays_backward(g: Any, x: Any, y: Any) -> tuple:
    return (y * (g - (g * y).sum(1, keepdims=True)),)


# ------------------------------------------------------------------------------------------------------ the room's own


def rung(name: str, file: str, idea: str) -> Rung:
    """A file of the room."""

    def forward(x: Any) -> Any:
        return import_module(f"minidl_kernels.softmax.{file}").forward(x)

    def backward(g: Any, x: Any, y: Any) -> tuple:
        return (import_module(f"minidl_kernels.softmax.{file}").backward(g, y),)

    return Rung(name, idea, forward, backward)


RUNGS: tuple[Rung, ...] = (
    Rung(
        "1 three loops", "Python: the maximum, the sum, the quotients, value by value.", loops, loops_backward, 100_000
    ),
    Rung(
        "2 an online sum",
        "The first two loops in one: a reading less, for an exponential more whenever the maximum grows. Python's own cost "
        "hides the gain.",
        online,
        loops_backward,
        100_000,
    ),
    Rung(
        "3 whole arrays",
        "Five calls for all values together: loops run compiled, and four arrays as large as x are written and read again.",
        arrays,
        arrays_backward,
    ),
    rung(
        "4 blocks of rows, in place",
        "with_numpy",
        "The same calls on rows that stay in the cache between them, with fewer temporaries, blocks on a thread a core.",
    ),
    rung(
        "5 numba",
        "with_numba",
        "A row is read from memory once; its exponential is a polynomial of vector instructions.",
    ),
    rung("6 CUDA C", "with_cupy", "A block of threads for each row; maximum and sum go through shuffles of registers."),
    rung("7 Triton", "with_triton", "A row in a program's registers: read once, written once."),
)
