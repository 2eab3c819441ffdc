"""Images as GPU kernels take them: contiguous (N, H, W, C), of two dimensions; one dimension is a height of 1."""

from __future__ import annotations

from typing import Any

from minidl_kernels.arrays import namespace


def suits(*arrays: Any) -> bool:
    """Whether arrays (N, C, *S) are images of one or two dimensions, with something in them."""
    return all(a.ndim in (3, 4) and a.size > 0 for a in arrays)


def innermost(x: Any, dtype: Any = None) -> Any:
    """x (N, C, W) or (N, C, H, W) as a contiguous (N, H, W, C)."""
    x = x[:, :, None] if x.ndim == 3 else x
    return namespace(x).ascontiguousarray(x.transpose(0, 2, 3, 1), dtype)


def restored(x: Any, ndim: int, dtype: Any) -> Any:
    """x (N, H, W, C) as (N, C, H, W), or (N, C, W), in the type of the caller's arrays."""
    x = x.transpose(0, 3, 1, 2).astype(dtype, copy=False)
    return x[:, :, 0] if ndim == 3 else x


def pairs(values: tuple, first: Any) -> tuple:
    """Settings of one or two dimensions as two; ``first`` stands for the height that is not there."""
    return (first, *values) if len(values) == 1 else tuple(values)
