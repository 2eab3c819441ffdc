"""Distances and similarities between vectors."""

from __future__ import annotations

from typing import Any

from minidl import ops
from minidl.autograd.grad_mode import no_grad
from minidl.backends import namespace
from minidl.nn.functional.reduction import tensors
from minidl.ops.common import broadcast_shapes, normalize_dim, promote
from minidl.ops.norms import vector_distance
from minidl.tensor import raw, wrap

__all__ = ["cosine_similarity", "pairwise_distance", "pdist"]


def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    """x₁ · x₂ / (max(‖x₁‖, eps) · max(‖x₂‖, eps)) along ``dim``; the shapes broadcast.

    RuntimeError for integers and shapes that do not fit, IndexError for a dim out of range.
    """
    tensors("cosine_similarity", x1=x1, x2=x2)
    shape = broadcast_shapes("cosine_similarity", x1, x2)
    x1, x2 = promote("cosine_similarity", x1, x2)
    if raw(x1).dtype.kind in "iub":
        raise RuntimeError(
            f"cosine_similarity(): expected common dtype to be floating point, yet common dtype is {x1.dtype}"
        )
    axis = normalize_dim(dim, len(shape), "cosine_similarity")
    if not shape:
        return _unit(x1, None, eps) * _unit(x2, None, eps)
    x1, x2 = (x.reshape((1,) * (len(shape) - x.ndim) + tuple(x.shape)) for x in (x1, x2))
    x1, x2 = (
        ops.broadcast_to(x, tuple(n if d == axis else s for d, (n, s) in enumerate(zip(shape, x.shape))))
        for x in (x1, x2)
    )
    return ops.sum(_unit(x1, axis, eps) * _unit(x2, axis, eps), axis)


def _unit(x: Any, axis: int | None, eps: float) -> Any:
    """x / max(‖x‖, eps). The bound guards the division only: gradients flow through the norm as if it were not there,
    and are 0 for the zero vector."""
    length = ops.norm(x, 2, axis, keepdim=True).clone()
    with no_grad():
        length.clamp_min_(eps)
    return x / length


def pairwise_distance(x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Any:
    """‖x₁ - x₂ + eps‖ₚ over the last dimension: (N, D) or (D), which broadcast, → (N) or ()."""
    tensors("pairwise_distance", x1=x1, x2=x2)
    broadcast_shapes("pairwise_distance", x1, x2)
    x1, x2 = promote("pairwise_distance", x1, x2)
    return ops.norm(x1 - x2 + eps, p, -1, keepdim)


def pdist(input: Any, p: float = 2.0) -> Any:
    """The p-norm distance of every pair of rows i < j: (N, D) → (N (N - 1) / 2).

    RuntimeError for other shapes, integers, and p < 0.
    """
    tensors("pdist", input=input)
    if input.ndim != 2:
        raise RuntimeError(f"pdist only supports 2D tensors, got: {input.ndim}D, shape {list(input.shape)}")
    if raw(input).dtype.kind in "iub":
        raise RuntimeError(f"pdist only supports floating-point dtypes, got {input.dtype}")
    if p < 0:
        raise RuntimeError(f"pdist only supports non-negative p values, got {p}")
    first, second = (wrap(i) for i in namespace(raw(input)).triu_indices(input.shape[0], 1))
    difference = ops.index_select(input, 0, first) - ops.index_select(input, 0, second)
    if not input.shape[1]:
        return ops.sum(difference, -1)
    return vector_distance(difference, p)
