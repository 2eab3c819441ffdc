"""Cross-entropy in CUDA C: a block of threads a row of logits, which forward reads from memory once.

Each thread keeps a running maximum and the sum of exponentials that belongs to it, so one pass gives log Σ exp (Milakov &
Gimelshein 2018); the threads' pairs are folded by shuffles. No probabilities are written: backward makes them again from
the logits and that one number a row.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl_kernels.arrays import namespace
from minidl_kernels.cross_entropy import with_numpy as reference
from minidl_kernels.cuda_c import CudaSource, float32, threads

source = CudaSource(__file__, "cross_entropy.cu")
MOST_THREADS = 1024  # vocabularies are long


def forward(x: Any, target: Any, weight: Any = None, smoothing: float = 0.0) -> tuple[Any, Any]:
    """``loss, lse`` of each row, in the type that sums are kept in."""
    if not float32.takes(x, weight) or not x.size:
        return reference.forward(x, target, weight, smoothing)
    (rows, n), xs = x.shape, float32(x)
    loss, lse = float32.empty(xs, (rows,)), float32.empty(xs, (rows,))
    settings = (_whole(target), *_weights(weight))
    grid, block = (rows,), (threads(n, MOST_THREADS),)
    source.launch("cross_entropy_forward", grid, block, xs, *settings, loss, lse, n, smoothing)
    return loss, lse


def backward(g: Any, x: Any, target: Any, lse: Any, weight: Any = None, smoothing: float = 0.0) -> Any:
    """∂x in the type of ``x``; ``g`` (rows,) is the gradient of each row's loss."""
    if not float32.takes(g, x, weight) or not x.size:
        return reference.backward(g, x, target, lse, weight, smoothing)
    (rows, n), xs = x.shape, float32(x)
    dx = float32.empty(xs)
    given = (float32(g), xs, _whole(target), float32(lse), *_weights(weight))
    source.launch("cross_entropy_backward", (rows,), (threads(n, MOST_THREADS),), *given, dx, n, smoothing)
    return dx.astype(x.dtype, copy=False)


def _whole(target: Any) -> Any:
    return namespace(target).ascontiguousarray(target, np.int64)


def _weights(weight: Any) -> tuple[Any, Any]:
    """The classes' weights, and their mean as an array, which need not leave the GPU."""
    if weight is None:
        return None, None
    weight = float32(weight)
    return weight, weight.mean(keepdims=True)
