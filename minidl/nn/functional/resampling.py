"""Resampling on a regular grid, by the nearest values, linearly, by cubics or filters."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from minidl import creation, ops
from minidl.backends import namespace
from minidl.nn.functional.pooling import averages
from minidl.tensor import raw, wrap

__all__ = ["interpolate", "upsample"]

_MODES = {"nearest": (1, 2, 3), "nearest-exact": (1, 2, 3), "area": (1, 2, 3), "linear": (1,), "bilinear": (2,)}
_MODES |= {"trilinear": (3,), "bicubic": (2,), "lanczos": (2,)}


def interpolate(
    input: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Any:
    """``input`` (N, C, *S) resampled to another size, along each dimension of S in turn.

    Args:
        size: the new size, an int or one for each dimension; or
        scale_factor: what the size is multiplied by (rounded down).
        mode: "nearest", "nearest-exact", "area"; "linear" (one dimension), "bilinear", "bicubic", "lanczos" (two),
            "trilinear".
        align_corners: for the linear modes: the outermost values stay where they are, instead of the outermost edges.
        recompute_scale_factor: place the samples by the sizes, not by ``scale_factor``.
        antialias: where the image gets smaller, weigh all values that a new one covers ("bilinear", "bicubic", and
            "lanczos", which needs it).

    Raises:
        ValueError: neither or both of ``size`` and ``scale_factor``; another number of dimensions; ``antialias`` with
            another mode.
        TypeError: a size that is no whole number.
        NotImplementedError: a mode that does not fit the number of dimensions; whole numbers, but for the nearest modes.
    """
    _check(input, mode, align_corners, antialias)
    sizes, factors = _sizes(input.shape[2:], size, scale_factor, recompute_scale_factor)
    if mode != "area" and min((*sizes, *input.shape[2:])) <= 0:
        raise RuntimeError(
            f"interpolate: Input and output sizes should be greater than 0, but got input (H, W, …): "
            f"{list(input.shape[2:])} output {list(sizes)}"
        )
    wide = input.dtype.itemsize < 4 and input.dtype.is_floating_point
    y = input.float() if wide else input
    for axis, (n, factor) in enumerate(zip(sizes, factors), start=2):
        y = _resample(y, axis, n, factor, mode, bool(align_corners), antialias)
    return y.to(input.dtype) if wide else y


def upsample(
    input: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: Any = None
) -> Any:
    """The older name of :func:`interpolate`."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def _check(input: Any, mode: str, align_corners: bool | None, antialias: bool) -> None:
    """What :func:`interpolate` raises for a mode that does not fit the input or the other settings."""
    ndim = input.ndim - 2
    if mode not in _MODES or ndim not in _MODES[mode]:
        raise NotImplementedError(
            f"Input Error: Only 3D, 4D and 5D input Tensors supported (got {input.ndim}D) for the modes: nearest | linear | "
            f"bilinear | bicubic | trilinear | lanczos | area | nearest-exact (got {mode})"
        )
    if antialias and mode not in _FILTERS:
        raise ValueError(f"Anti-alias option is restricted to bilinear, bicubic, and lanczos modes, got mode {mode!r}")
    if mode == "lanczos" and (align_corners or not antialias):
        raise ValueError("Lanczos mode requires antialias=True, and does not support align_corners=True")
    if align_corners is not None and mode in ("nearest", "area", "nearest-exact"):
        raise ValueError(
            "align_corners option can only be set with the interpolating modes: linear | bilinear | bicubic | trilinear"
        )
    if not input.dtype.is_floating_point and not mode.startswith("nearest"):
        raise NotImplementedError(
            f"interpolate: mode '{mode}' is not implemented for {input.dtype}, whose values have none in between; convert "
            "the input first, with .float(), or choose mode='nearest'"
        )


def _sizes(old: tuple[int, ...], size: Any, scale_factor: Any, recompute: bool | None) -> tuple[tuple, tuple]:
    """The new size along each dimension, and the factor by which its samples are placed; None: by the sizes."""
    if size is None and scale_factor is None:
        raise ValueError("either size or scale_factor should be defined")
    if size is not None and scale_factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    by_size = (None,) * len(old)
    if size is not None:
        if recompute:
            raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
        return _whole_sizes(_of_each("size", size, len(old))), by_size
    factors = _of_each("scale_factor", scale_factor, len(old))
    return tuple(math.floor(n * f) for n, f in zip(old, factors)), by_size if recompute else factors


def _of_each(argument: str, value: Any, ndim: int) -> tuple:
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,) * ndim
    if len(values) != ndim:
        raise ValueError(
            f"Input and output must have the same number of spatial dimensions, but got {ndim} spatial dimensions and "
            f"{argument} of {value}. Provide {argument} for every spatial dimension."
        )
    return values


def _whole_sizes(sizes: tuple) -> tuple[int, ...]:
    if any(isinstance(n, bool) for n in sizes):
        raise TypeError(f"interpolate(): argument 'size' must be int or tuple of ints, but got {sizes}")
    try:
        return tuple(operator.index(n) for n in sizes)
    except TypeError:
        raise TypeError(f"interpolate(): argument 'size' must be int or tuple of ints, but got {sizes}") from None


def _resample(
    x: Any, axis: int, out: int, factor: float | None, mode: str, align_corners: bool, antialias: bool
) -> Any:
    """One dimension resampled: a choice of values, or a matrix (out, n) from the old values to the new."""
    n = x.shape[axis]
    if n == out and ("linear" in mode or antialias):  # whatever the factor was that led here
        return x
    step = n / out if factor is None else 1 / factor
    places = np.arange(out)
    if mode.startswith("nearest"):
        shift = 0.5 if mode == "nearest-exact" else 0.0
        # In single precision, as PyTorch computes it: which value is nearest may hang on it.
        index = np.floor(((places + np.float32(shift)) * np.float32(step)).astype(np.float32)).astype(np.int64)
        return ops.index_select(x, axis, wrap(namespace(raw(x)).asarray(np.minimum(index, n - 1))))
    if align_corners:
        step = (n - 1) / (out - 1) if out > 1 else 0.0
    if mode == "area":
        matrix = averages(n, out)
    elif antialias:
        matrix = _covered((places + 0.5) * step, max(step, 1.0), n, mode)
    else:
        source = places * step if align_corners else (places + 0.5) * step - 0.5
        matrix = _weights(source, n, out, cubic=mode == "bicubic")
    matrix = creation.as_tensor(matrix, x.dtype, x.device)
    return (x.movedim(axis, -1) @ matrix.T).movedim(-1, axis)


def _weights(source: Any, n: int, out: int, cubic: bool) -> np.ndarray:
    """The matrix (out, n) whose row i takes the value at ``source[i]``, linearly or by a cubic, edges repeated."""
    if not cubic:
        source = np.maximum(source, 0)
    base = np.floor(source).astype(int)
    t = source - base
    matrix = np.zeros((out, n))
    taps = zip((-1, 0, 1, 2), cubic_weights(t)) if cubic else zip((0, 1), (1 - t, t))
    for offset, weight in taps:
        np.add.at(matrix, (np.arange(out), np.clip(base + offset, 0, n - 1)), weight)
    return matrix


def cubic_weights(t: Any) -> tuple:
    """Weights of the four values around a place, t after the second."""
    return _far(t + 1), _near(t), _near(1 - t), _far(2 - t)


def _near(s: Any, a: float = -0.75) -> Any:
    """The cubic filter at distances s ≤ 1 (Keys 1981, "Cubic convolution interpolation")."""
    return ((a + 2) * s - (a + 3)) * s * s + 1


def _far(s: Any, a: float = -0.75) -> Any:
    """The cubic filter at distances 1 ≤ s ≤ 2."""
    return ((a * s - 5 * a) * s + 8 * a) * s - 4 * a


def _covered(centres: np.ndarray, width: float, n: int, mode: str) -> np.ndarray:
    """The matrix (out, n) whose rows weigh what a filter of ``width`` values around each centre covers; rows sum to 1."""
    reach, filter = _FILTERS[mode]
    begin, end = (np.trunc(centres + side * reach * width + 0.5).clip(0, n)[:, None] for side in (-1, 1))
    values = np.arange(n)
    weights = filter(np.abs(values + 0.5 - centres[:, None]) / width) * ((values >= begin) & (values < end))
    return weights / weights.sum(1, keepdims=True)


_FILTERS: dict[str, tuple[int, Callable]] = {  # by the distance, in values; 0 from the first number on
    "bilinear": (1, lambda s: np.maximum(1 - s, 0)),
    "bicubic": (2, lambda s: np.where(s < 1, _near(s, -0.5), np.where(s < 2, _far(s, -0.5), 0))),
    "lanczos": (3, lambda s: np.where(s < 3, np.sinc(s) * np.sinc(s / 3), 0)),
}
