"""Matrix product on CUDA: cuBLAS's, and ours in tiles, to read.

cuBLAS is what CuPy's product calls, and no hand-written kernel of a screenful comes near it in half precision; ``tiled``
shows the two ideas that every fast product is made of. Emulated, without a GPU, ``tiled`` is what runs. Bias and activation
follow in one launch of the activation room.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl_kernels.activation import with_cupy as activations
from minidl_kernels.cuda_c import CudaSource, float32
from minidl_kernels.matmul import with_numpy as reference

__all__ = ["forward", "tiled"]

source = CudaSource(__file__, "matmul.cu")
TILE = 64


def forward(a: Any, b: Any, bias: Any = None, activation: str | None = None) -> Any:
    """y = f(a b + bias); a: [*batch, M, K], b: [*batch, K, N], bias: [N], y: [*batch, M, N]; f: see room activation."""
    ours = isinstance(a, np.ndarray) and a.ndim == b.ndim == 2 and float32.takes(a, b) and min(*a.shape, *b.shape) > 0
    y = tiled(a, b) if ours else reference.forward(a, b)
    if activation is not None:
        return activations.forward(y, bias, activation)
    return y if bias is None else (y + bias).astype(y.dtype, copy=False)


def tiled(a: Any, b: Any) -> Any:
    """a (M, K) times b (K, N), through shared memory and registers."""
    (rows, depth), columns = a.shape, b.shape[1]
    y = float32.empty(a, (rows, columns))
    grid = (-(-columns // TILE), -(-rows // TILE))
    source.launch("matmul_tiled", grid, (16, 16), float32(a), float32(b), y, rows, columns, depth)
    return y.astype(a.dtype, copy=False)
