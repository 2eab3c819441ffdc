"""Memory looked at by strides, whatever the shape that a tensor has in it."""

from __future__ import annotations

from typing import Any

from minidl.autograd.layout import layout_of, look_at
from minidl.autograd.tape import Operator, apply
from minidl.backends import namespace
from minidl.ops.accumulation import accumulate
from minidl.ops.common import ints, only_tensors
from minidl.tensor import raw

__all__ = ["as_strided"]

METHODS = ["as_strided"]
INPLACE: list[str] = []
INPLACE_VIEWS = ["as_strided"]


class AsStrided(Operator):
    """y[i] = the memory of x at o + Σ iₖ sₖ: a view;  ∂x = Σ g over the y at the same place, shared equally among the x there.

    Which is :class:`Relocate`.
    """

    is_view = True
    by_memory = True

    def __init__(self, shape: tuple[int, ...], strides: tuple[int, ...], offset: int | None) -> None:
        self.shape, self.strides, self.offset = shape, strides, offset

    def forward(self, x: Any) -> Any:
        self.original = x.shape, layout_of(x)
        offset, _, size = self.original[1]
        self.layout = (offset if self.offset is None else self.offset, self.strides, size)
        return look_at(x, self.shape, self.layout)

    def backward(self, g: Any) -> Any:
        return apply(Relocate((self.shape, self.layout), self.original), g)


class Relocate(Operator):
    """y = Σ x at the same place of memory, shared equally among the y there;  ∂x = g taken back the same way.

    ``share_first``: each share is weighed before.
    """

    def __init__(self, source: tuple, target: tuple, share_first: bool = False) -> None:
        self.source, self.target, self.share_first = source, target, share_first

    def forward(self, x: Any) -> Any:
        xp = namespace(x)
        size = self.source[1][2]
        here, there = places(xp, *self.source), places(xp, *self.target)
        shared = here if self.share_first else there
        count = accumulate(xp.zeros(size, x.dtype), (shared,), xp.ones(shared.shape, x.dtype))
        if self.share_first:
            return accumulate(xp.zeros(size, x.dtype), (here,), x / count[here])[there]
        return accumulate(xp.zeros(size, x.dtype), (here,), x)[there] / count[there]

    def backward(self, g: Any) -> Any:
        return apply(Relocate(self.target, self.source, not self.share_first), g)


def places(xp: Any, shape: tuple[int, ...], layout: tuple) -> Any:
    """Where in memory, counted in elements, each element of an array lies: an int64 array of its shape."""
    offset, strides, _ = layout
    where = xp.full(shape, offset, dtype="int64")
    for axis, stride in enumerate(strides):
        steps = xp.arange(shape[axis], dtype="int64") * stride
        where = where + steps.reshape([-1 if i == axis else 1 for i in range(len(shape))])
    return where


def as_strided(input: Any, size: Any, stride: Any, storage_offset: int | None = None) -> Any:
    """The memory of ``input`` as a tensor of shape ``size``, ``stride`` elements apart along each dimension.

    Args:
        input: whose memory is looked at, from its beginning, whatever its own shape and strides are.
        size, stride: a number for each dimension; elements may lie in several places of the result.
        storage_offset: where in the memory the result begins; where ``input`` does if None.

    RuntimeError for what reaches beyond the memory, negative numbers, or sizes and strides that differ in number.
    """
    only_tensors("as_strided", input=input)
    shape, strides = ints((tuple(size),)), ints((tuple(stride),))
    if len(shape) != len(strides):
        raise RuntimeError(f"as_strided: mismatch in length of strides and shape: {list(shape)} and {list(strides)}")
    if min((*shape, *strides, storage_offset or 0)) < 0:
        raise RuntimeError(
            f"as_strided: Negative sizes, strides and offsets are not supported, got sizes {list(shape)}, strides "
            f"{list(strides)} and storage offset {storage_offset}"
        )
    begin, _, available = layout_of(raw(input))
    begin = begin if storage_offset is None else storage_offset
    needed = begin + 1 + sum((n - 1) * s for n, s in zip(shape, strides)) if 0 not in shape else 0
    if needed > available:
        raise RuntimeError(
            f"as_strided: sizes {list(shape)}, strides {list(strides)}, storage offset {begin} require a memory of "
            f"{needed} elements, but that of the tensor has {available}"
        )
    return apply(AsStrided(shape, strides, storage_offset), input)
