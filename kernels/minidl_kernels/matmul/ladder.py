"""From three loops to the tensor cores: y = a b, with a (M, K) and b (K, N).

2 M N K operations on only M K + K N + M N values: there is enough to do for each value that is read, if it is still at hand
when it is needed again. In the order i, j, k (1) b is read down its columns, a cache line for a single value. In the order
i, k, j (2) rows are added to rows, in order. A product of column k of a and row k of b (3) adds to all of y at once, and so
reads and writes all of y K times. Tiles (4) are small enough to stay: each value that comes into the cache is used TILE
times. Compiled loops over the same tiles (5) show how far that is from a library, which also packs the tiles, keeps a small
one of y in registers, and orders the instructions by hand (6; Goto & van de Geijn 2008). On a GPU the tiles lie in shared
memory (7) and go to the tensor cores (8).

∂a = g bᵀ and ∂b = aᵀ g are the same product again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from minidl_kernels.ladders import Rung

SIZES = ((5, 3, 4), (32, 32, 32), (64, 256, 10), (256, 256, 256), (1024, 1024, 1024))  # M, K, N
TILE = 64


def arguments(size: tuple, rng: np.random.Generator) -> tuple:
    """a and b, drawn so that y is of size one."""
    m, k, n = size
    return rng.standard_normal((m, k)), rng.standard_normal((k, n)) / math.sqrt(k)


def work(size: tuple) -> int:
    """Multiplications with an addition."""
    return math.prod(size)


def backward_by(product: Callable[[Any, Any], Any]) -> Callable[..., tuple]:
    """The gradients, by the same product."""

    def backward(g: Any, a: Any, b: Any, y: Any) -> tuple:
        return product(g, np.ascontiguousarray(b.T)), product(np.ascontiguousarray(a.T), g)

    return backward


# --------------------------------------------------------------------------------------------------- 1  three loops


def loops(a: Any, b: Any) -> Any:
    y = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            for k in range(a.shape[1]):
                y[i, j] += a[i, k] * b[k, j]
    return y


# ------------------------------------------------------------------------------------------- 2  rows added to rows


def by_row(a: Any, b: Any) -> Any:
    y = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    for i in range(a.shape[0]):
        for k in range(a.shape[1]):
            y[i] += a[i, k] * b[k]
    return y


# ------------------------------------------------------------------------------------------------ 3  outer products


def by_outer_product(a: Any, b: Any) -> Any:
    y = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    for k in range(a.shape[1]):
        y += a[:, k, None] * b[k]
    return y


# ---------------------------------------------------------------------------------------------------------- 4  tiles


def by_tile(a: Any, b: Any) -> Any:
    y = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    for i in range(0, a.shape[0], TILE):
        for j in range(0, b.shape[1], TILE):
            tile = y[i : i + TILE, j : j + TILE]
            for k in range(0, a.shape[1], TILE):
                tile += by_sums(a[i : i + TILE, k : k + TILE], b[k : k + TILE, j : j + TILE])
    return y


def by_sums(a: Any, b: Any) -> Any:
    """A product of tiles, by NumPy's own loops rather than the library's."""
    return np.einsum("ik,kj->ij", a, b, optimize=False)


# ------------------------------------------------------------------------------------------------- 5  compiled tiles


@cache
def compiled_tiles() -> Callable[[Any, Any, Any], None]:
    from minidl_kernels.compiled import compiled

    @compiled
    def tiles(a, b, y):
        y[:] = 0
        for i in range(0, a.shape[0], 4):
            for k in range(0, a.shape[1], TILE):
                for r in range(i, min(i + 4, a.shape[0])):
                    for c in range(k, min(k + TILE, a.shape[1])):
                        factor = a[r, c]
                        for j in range(b.shape[1]):
                            y[r, j] += factor * b[c, j]

    return tiles


def by_compiled_tile(a: Any, b: Any) -> Any:
    y = np.empty((a.shape[0], b.shape[1]), a.dtype)
    compiled_tiles()(np.ascontiguousarray(a), np.ascontiguousarray(b), y)
    return y


# ------------------------------------------------------------------------------------------------------ the room's own


def rung(name: str, file: str, idea: str) -> Rung:
    """A file of the room."""

    def forward(a: Any, b: Any) -> Any:
        return import_module(f"minidl_kernels.matmul.{file}").forward(a, b)

    return Rung(name, idea, forward, backward_by(forward))


RUNGS: tuple[Rung, ...] = (
    Rung(
        "1 three loops",
        "Python multiplies and adds number by number, and reads b down its columns.",
        loops,
        backward_by(loops),
        100_000,
    ),
    Rung(
        "2 rows added to rows",
        "The loops in another order: the innermost runs along rows of b and y, and is one call of NumPy's.",
        by_row,
        backward_by(by_row),
        30_000_000,
    ),
    Rung(
        "3 outer products",
        "K calls instead of M · K, each of which reads and writes all of y: fine while y stays in the cache.",
        by_outer_product,
        backward_by(by_outer_product),
        200_000_000,
    ),
    Rung(
        "4 tiles",
        "64 × 64 at a time: what comes into the cache is used 64 times, by plain compiled loops.",
        by_tile,
        backward_by(by_tile),
        200_000_000,
    ),
    Rung(
        "5 tiles, numba",
        "The loops of rung 2 compiled, over tiles of b that stay: vector instructions, but every sum goes back to the cache. "
        "It loses to the library by far, and is why this room has no file for Numba.",
        by_compiled_tile,
        backward_by(by_compiled_tile),
    ),
    rung(
        "6 the library",
        "with_numpy",
        "BLAS packs tiles, keeps a small one of y in registers, and uses all cores.",
    ),
    rung("7 CUDA C", "with_cupy", "cuBLAS on a GPU; to be read, tiles in shared memory, a value of y to a thread."),
    rung("8 Triton", "with_triton", "Tiles go to the tensor cores, and programs that share operands run together."),
)
