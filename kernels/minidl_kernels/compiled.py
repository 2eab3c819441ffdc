"""Numba for the kernels: loops compiled for this processor, run on minidl's own threads.

    @compiled
    def scale(x, factor, y):            # of contiguous float32 arrays
        for i in range(x.size):
            y[i] = factor * x[i]

Compiled functions let go of the interpreter's lock, so ``in_parallel`` runs them side by side; Numba's own threads, which
would wait in a busy loop while BLAS computes, are never started. What has been compiled is kept on disk.

The exponential and its kin are polynomials here: the C library's take one value at a time, these the compiler makes vector
instructions of (0.2 ns a value, against 2.3). They are meant for float32; other types stay with the NumPy files.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from minidl_kernels.installing import how_to_install
from minidl_kernels.threads import in_parallel, slices

try:
    import numba
    from numba.core import event
except ImportError as error:
    raise ModuleNotFoundError(
        f"the numba backend needs Numba: {how_to_install('minidl[jit]')}", name="numba"
    ) from error

WORTH_THREADS = 1 << 15  # values below which waking another thread costs more than it saves

# Sums may be reordered and products contracted, so that loops become vector instructions; nan and inf keep their meaning.
_SETTINGS: dict[str, Any] = {
    "nogil": True,
    "cache": True,
    "error_model": "numpy",
    "fastmath": {"contract", "reassoc", "nsz", "arcp"},
}
compiled = numba.njit(**_SETTINGS)
inline = numba.njit(inline="always", **_SETTINGS)


def takes(*arrays: Any) -> bool:
    """Whether the compiled loops are meant for all of ``arrays`` (or None): NumPy arrays of float32."""
    return all(a is None or (type(a) is np.ndarray and a.dtype == np.float32) for a in arrays)


def over_rows(function: Any, rows: int, values: int) -> None:
    """``function(slice of the rows)``, on several threads if there are ``values`` enough."""
    if values < WORTH_THREADS:
        function(slice(0, rows))
    else:
        in_parallel(function, slices(rows))


def in_parts(function: Any, flat: tuple, *settings: Any) -> None:
    """``function(*arrays, *settings)`` on arrays of one dimension, in parts on several threads if they are long."""
    n = flat[0].size
    over_rows(lambda part: function(*(a[part] for a in flat), *settings), n, n)


def chunks(rows: int, values: int) -> list[slice]:
    """The rows in few slices, the same ones however many threads there are: for sums, whose order must not change."""
    return slices(rows, 16 if values >= WORTH_THREADS else 1)


def over_chunks(function: Any, parts: list[slice]) -> None:
    """``function(number of a chunk, its rows)`` for all chunks, on several threads."""
    in_parallel(lambda some: [function(i, parts[i]) for i in range(some.start, some.stop)], slices(len(parts)))


def vector(values: Any, default: float, n: int) -> Any:
    """A contiguous float32 vector; of the ``default``, where there is none."""
    return np.full(n, default, np.float32) if values is None else np.ascontiguousarray(values)


# -------------------------------------------------------------------------------------------------- functions of float32

_LOG2_E = np.float32(1.4426950408889634)
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
_HALF, _ONE, _TWO = np.float32(0.5), np.float32(1), np.float32(2)
_E = tuple(np.float32(c) for c in (1.9875691e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 0.16666665459, 0.5))


@inline
def exp(x):
    """eˣ = 2ⁿ eʳ with |r| ≤ ½ ln 2, a polynomial for eʳ (Cephes: expf); 0 below 10⁻³⁸. Error: 1.2 units in the last place."""
    x = min(max(x, np.float32(-88)), np.float32(88.8))
    n = np.floor(x * _LOG2_E + _HALF)
    r = (x - n * _LN2_HIGH) - n * _LN2_LOW
    p = ((((_E[0] * r + _E[1]) * r + _E[2]) * r + _E[3]) * r + _E[4]) * r + _E[5]
    bits = np.int32((np.int32(n) + np.int32(127)) << np.int32(23))
    return (p * r * r + r + _ONE) * bits.view(np.float32)


@inline
def sigmoid(x):
    return _ONE / (_ONE + exp(-x))


@inline
def tanh(x):
    """1 - 2 / (e²ˣ + 1); near 0, where that would cancel, the first terms of its continued fraction."""
    square = x * x
    near = (
        x
        * (square * (square + np.float32(105)) + np.float32(945))
        / (square * (square * np.float32(15) + np.float32(420)) + np.float32(945))
    )
    return near if square < np.float32(0.25) else _ONE - _TWO / (exp(_TWO * x) + _ONE)


_P = np.float32(0.3275911 / 2**0.5)
_A = tuple(np.float32(a) for a in (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429))


@inline
def normal(x):
    """Φ(x) and e^(-x²/2), the first by Abramowitz & Stegun 7.1.26 (error below 10⁻⁷)."""
    bell = exp(np.float32(-0.5) * x * x)
    t = _ONE / (_ONE + _P * abs(x))
    tail = _HALF * bell * t * (_A[0] + t * (_A[1] + t * (_A[2] + t * (_A[3] + t * _A[4]))))
    return (_ONE - tail if x >= 0 else tail), bell


@compiled
def largest(row):
    """The largest value of a row that is not empty; nan, if there is one.

    Whole numbers are compared, which the compiler can do many at a time where nan could be among floats: the bits of a
    float, those below the sign turned over if it is negative, have the order of the floats.
    """
    found = np.int32(-0x80000000)
    for j in range(row.size):
        bits = np.float32(row[j]).view(np.int32)
        key = np.int32(bits ^ np.int32(np.int32(bits >> np.int32(31)) & np.int32(0x7FFFFFFF)))
        found = max(found, key)
    bits = np.int32(found ^ np.int32(np.int32(found >> np.int32(31)) & np.int32(0x7FFFFFFF)))
    return bits.view(np.float32)


# ------------------------------------------------------------------------------------------------------------- progress


class _Announcer(event.Listener):
    """Says on the first compilation for a room that one is under way: it takes seconds, once."""

    def __init__(self) -> None:
        self.rooms: set[str] = set()

    def on_start(self, event: Any) -> None:
        module = event.data["dispatcher"].py_func.__module__
        room = module.split(".")[-2] if module.startswith("minidl_kernels.") else ""
        if room and room != "minidl_kernels" and room not in self.rooms:
            self.rooms.add(room)
            print(f"minidl: compiling {room} for this processor (some seconds, once)", file=sys.stderr)

    def on_end(self, event: Any) -> None:
        pass


event.register("numba:compile", _Announcer())
