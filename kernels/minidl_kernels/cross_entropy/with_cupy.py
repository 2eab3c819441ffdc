"""Cross-entropy in CUDA C: a block of threads a row of logits, which forward reads twice and backward once."""

from __future__ import annotations

from typing import Any

from minidl_kernels.arrays import namespace
from minidl_kernels.cross_entropy import with_numpy as reference
from minidl_kernels.cuda_c import CudaSource, float32

source = CudaSource(__file__, "cross_entropy.cu")
THREADS = 256


def forward(x: Any, target: Any, weight: Any = None, smoothing: float = 0.0) -> tuple[Any, Any]:
    """``loss, lse`` of each row, in float32."""
    if not float32.takes(x, weight) or not x.size:
        return reference.forward(x, target, weight, smoothing)
    (rows, classes), xs, ys = x.shape, float32(x), namespace(x).ascontiguousarray(target, "int64")
    w, whole = _weights(weight, classes)
    loss, lse = float32.empty(xs, (rows,)), float32.empty(xs, (rows,))
    arguments = (xs, ys, w, smoothing, whole, loss, lse, classes)
    source.launch("cross_entropy_forward", (rows,), (THREADS,), *arguments)
    return loss, lse


def backward(g: Any, x: Any, target: Any, lse: Any, weight: Any = None, smoothing: float = 0.0) -> Any:
    """∂x in the type of ``x``; ``g`` (rows,) is the gradient of each row's loss."""
    if not float32.takes(g, x, weight) or not x.size:
        return reference.backward(g, x, target, lse, weight, smoothing)
    (rows, classes), xs, ys = x.shape, float32(x), namespace(x).ascontiguousarray(target, "int64")
    w, whole = _weights(weight, classes)
    dx = float32.empty(xs)
    arguments = (float32(g), xs, ys, float32(lse), w, smoothing, whole, dx, classes)
    source.launch("cross_entropy_backward", (rows,), (THREADS,), *arguments)
    return dx.astype(x.dtype, copy=False)


def _weights(weight: Any, classes: int) -> tuple[Any, float]:
    """The class weights, if there are any, and their sum."""
    return (None, float(classes)) if weight is None else (float32(weight), float(weight.astype("float32").sum()))
