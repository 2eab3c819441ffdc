"""Cross-entropy in Triton: a program a row, walked over in blocks with a running maximum and sum.

Forward reads each logit once, backward reads it once and writes its gradient; there are no probabilities in memory, and no
limit to the number of classes. (M. Milakov and N. Gimelshein, "Online normalizer calculation for softmax", 2018.)
"""

from __future__ import annotations

from functools import partial
from typing import Any

from minidl_kernels.triton_runtime import launch, next_power_of_2, warps

import triton  # isort: skip
import triton.language as tl  # isort: skip

from minidl_kernels.arrays import namespace
from minidl_kernels.cross_entropy import with_cupy as wide

LARGEST = 4096  # classes that a program looks at together


@triton.jit
def cross_entropy_forward(
    x, target, weight, smoothing, whole, loss, lse, n, WEIGHT: tl.constexpr, SMOOTH: tl.constexpr, BLOCK: tl.constexpr
):
    i = tl.program_id(0)
    row = x + i.to(tl.int64) * n
    largest = tl.full((), float("-inf"), tl.float32)
    total = tl.full((), 0.0, tl.float32)
    spread = tl.full((), 0.0, tl.float32)
    own = tl.load(target + i)
    first = tl.load(row + own).to(tl.float32)
    for begin in range(0, n, BLOCK):
        column = begin + tl.arange(0, BLOCK)
        inside = column < n
        values = tl.load(row + column, mask=inside, other=float("-inf")).to(tl.float32)
        top = tl.maximum(largest, tl.max(values, 0))
        shift = tl.where(top == float("-inf"), 0.0, top)
        total = total * tl.exp(largest - shift) + tl.sum(tl.exp(values - shift), 0)
        largest = top
        if SMOOTH:
            relative = tl.where(inside, values - first, 0.0)
            if WEIGHT:
                relative *= tl.load(weight + column, mask=inside, other=0.0).to(tl.float32)
            spread += tl.sum(relative, 0)
    rest = tl.log(total) + largest
    result = rest - first
    if WEIGHT:
        result *= tl.load(weight + own).to(tl.float32)
    if SMOOTH:
        result = (1.0 - smoothing) * result + smoothing / n * ((rest - first) * whole - spread)
    tl.store(loss + i, result)
    tl.store(lse + i, rest)


@triton.jit
def cross_entropy_backward(
    g, x, target, lse, weight, smoothing, whole, dx, n, WEIGHT: tl.constexpr, SMOOTH: tl.constexpr, BLOCK: tl.constexpr
):
    i = tl.program_id(0)
    start = i.to(tl.int64) * n
    own, shift = tl.load(target + i), tl.load(lse + i)
    gradient = tl.load(g + i).to(tl.float32)
    hit = gradient * (1.0 - smoothing)
    if WEIGHT:
        hit *= tl.load(weight + own).to(tl.float32)
    share = gradient * smoothing / n
    factor = hit + share * whole
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = column < n
    values = tl.load(x + start + column, mask=inside, other=0.0).to(tl.float32)
    result = factor * tl.exp(values - shift) - tl.where(column == own, hit, 0.0)
    if SMOOTH:
        if WEIGHT:
            result -= share * tl.load(weight + column, mask=inside, other=0.0).to(tl.float32)
        else:
            result -= share
    tl.store(dx + start + column, result.to(dx.dtype.element_ty), mask=inside)


def _takes(*arrays: Any) -> bool:
    return all(a is None or (a.dtype.kind in "fV" and a.dtype.itemsize <= 4) for a in arrays)


def _settings(weight: Any, smoothing: float, classes: int) -> tuple[float, dict[str, Any]]:
    block = min(next_power_of_2(classes), LARGEST)
    whole = float(classes) if weight is None else float(weight.astype("float32").sum())
    return whole, {"WEIGHT": weight is not None, "SMOOTH": smoothing > 0, "BLOCK": block, "num_warps": warps(block)}


def forward(x: Any, target: Any, weight: Any = None, smoothing: float = 0.0) -> tuple[Any, Any]:
    """``loss, lse`` of each row, in float32."""
    if not _takes(x, weight) or not x.size:
        return wide.forward(x, target, weight, smoothing)
    xp, (rows, classes) = namespace(x), x.shape
    x, target = xp.ascontiguousarray(x), xp.ascontiguousarray(target)
    weight = None if weight is None else xp.ascontiguousarray(weight)
    loss, lse = xp.empty(rows, "float32"), xp.empty(rows, "float32")
    whole, settings = _settings(weight, smoothing, classes)
    arguments = (x, target, weight, float(smoothing), whole, loss, lse, classes)
    launch(cross_entropy_forward, (rows,), *arguments, **settings)
    return loss, lse


def backward(g: Any, x: Any, target: Any, lse: Any, weight: Any = None, smoothing: float = 0.0) -> Any:
    """∂x in the type of ``x``; ``g`` (rows,) is the gradient of each row's loss."""
    if not _takes(g, x, weight) or not x.size:
        return wide.backward(g, x, target, lse, weight, smoothing)
    xp, (rows, classes) = namespace(x), x.shape
    g, x, target, lse = (xp.ascontiguousarray(a) for a in (g, x, target, lse))
    weight = None if weight is None else xp.ascontiguousarray(weight)
    dx = xp.empty(x.shape, x.dtype)
    whole, settings = _settings(weight, smoothing, classes)
    grid = (rows, -(-classes // settings["BLOCK"]))
    arguments = (g, x, target, lse, weight, float(smoothing), whole, dx, classes)
    launch(cross_entropy_backward, grid, *arguments, **settings)
    return dx


def compile_cases(array: Any) -> Any:
    """Calls that between them compile what is shipped."""
    for classes in (10, 1024, 8192):
        for dtype in ("float32", "float16"):
            for smoothing in (0.0, 0.1):
                for weight in (None, array((classes,), dtype)):
                    x, target = array((256, classes), dtype), array((256,), "int64")
                    yield partial(forward, x, target, weight, smoothing)
                    yield partial(backward, array((256,)), x, target, array((256,)), weight, smoothing)
