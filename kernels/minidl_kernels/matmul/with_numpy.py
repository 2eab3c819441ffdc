"""Matrix product with the BLAS library underneath NumPy (or CuPy)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minidl_kernels.activation.with_numpy import forward as activate


def forward(a: Any, b: Any, bias: Any = None, activation: str | None = None) -> Any:
    """y = f(a b + bias); a: [*batch, M, K], b: [*batch, K, N], bias: [N], y: [*batch, M, N]; f: see room activation.

    BLAS knows no 16-bit floats: these are multiplied in float32 and rounded once at the end, as PyTorch does.
    """
    if a.dtype.itemsize == 2 and a.dtype.kind in "fV":
        half = a.dtype
        wide = None if bias is None else bias.astype(np.float32)
        return forward(a.astype(np.float32), b.astype(np.float32), wide, activation).astype(half)
    if a.ndim == 2 and b.ndim == 2:
        y = a.dot(b)  # a third of the overhead of @
    elif b.ndim == 2:  # one matrix for the whole batch: its rows are rows of one tall matrix
        y = a.reshape(math.prod(a.shape[:-1]), a.shape[-1]).dot(b).reshape((*a.shape[:-1], b.shape[-1]))
    else:
        y = a @ b
    if bias is not None:
        y += bias
    return y if activation is None else activate(y, None, activation)
