"""How the Triton kernels of recurrent layers are launched: with the recurrent weights on the chip across the time steps
where they fit, else a launch for each step."""

from __future__ import annotations

from typing import Any

from minidl_kernels.triton_runtime import next_power_of_2

import triton  # isort: skip

from minidl_kernels.precision import input_precision


def takes(*arrays: Any) -> bool:
    """Whether the kernels are meant for ``arrays``: not empty, of one floating type of at most 32 bits."""
    first = arrays[0]
    alike = all(x.dtype == first.dtype and x.size > 0 for x in arrays)
    return alike and first.dtype.kind in "fV" and first.dtype.itemsize <= 4


def plan(T: int, B: int, H: int, dtype: Any, units: int = 32) -> tuple[tuple[Any, Any], list, dict]:
    """The grid, the (first, last) steps of each launch, and the kernel's constants.

    A matrix of the largest H that stays on the chip takes 16 KB of shared memory in float32, 32 KB in half precision; an
    LSTM has four. ``units`` is how many hidden units a program owns where they do not stay, in float32.
    """
    size, single = max(next_power_of_2(H), 16), dtype.itemsize == 4
    whole = size <= (64 if single else 128)
    if whole:
        rows, units, depth = 16, size, size
    else:
        rows, units, depth = (16, units, 32) if single else (16 if B <= 16 else 32, 32, 64)
    stages = 1 if whole and size == 128 else 2 if whole or single else 3
    warps = 8 if whole and size >= (64 if single else 128) else 4
    grid = (triton.cdiv(B, rows), triton.cdiv(H, units))
    precision = input_precision() if single else "ieee"
    constants = {"ROWS": rows, "UNITS": units, "DEPTH": depth, "WHOLE": whole, "PRECISION": precision}
    times = [(0, T)] if whole else [(t, t + 1) for t in range(T)]
    return grid, times, constants | {"num_warps": warps, "num_stages": stages}
