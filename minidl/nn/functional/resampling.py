"""Resampling: interpolate on a regular grid, grid_sample at any places, affine_grid to make such places."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np

from minidl import creation, ops
from minidl.autograd.autocast import in_float32
from minidl.backends import namespace
from minidl.nn.functional.pooling import averages
from minidl.tensor import raw, wrap

__all__ = ["affine_grid", "grid_sample", "interpolate", "upsample"]

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
    if (size is None) == (scale_factor is None):
        which = "either size or scale_factor should be defined" if size is None else "only one of size or scale_factor"
        raise ValueError(f"{which}{'' if size is None else ' should be defined'}")
    factors: tuple = (None,) * ndim
    if size is not None:
        sizes = _whole_sizes(_of_each("size", size, ndim))
        if recompute_scale_factor:
            raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
    else:
        factors = _of_each("scale_factor", scale_factor, ndim)
        sizes = tuple(math.floor(n * f) for n, f in zip(input.shape[2:], factors))
        if recompute_scale_factor:
            factors = (None,) * ndim
    if mode != "area" and min((*sizes, *input.shape[2:])) <= 0:
        raise RuntimeError(
            f"interpolate: Input and output sizes should be greater than 0, but got input (H, W, …): "
            f"{list(input.shape[2:])} output {list(sizes)}"
        )
    if not input.dtype.is_floating_point and not mode.startswith("nearest"):
        raise NotImplementedError(
            f"interpolate: mode '{mode}' is not implemented for {input.dtype}, whose values have none in between; convert "
            "the input first, with .float(), or choose mode='nearest'"
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
    taps = zip((-1, 0, 1, 2), _cubic(t)) if cubic else zip((0, 1), (1 - t, t))
    for offset, weight in taps:
        np.add.at(matrix, (np.arange(out), np.clip(base + offset, 0, n - 1)), weight)
    return matrix


def _cubic(t: Any) -> tuple:
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


# ----------------------------------------------------------------------------------------------------------- any places


@in_float32
def grid_sample(
    input: Any, grid: Any, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool | None = None
) -> Any:
    """The values of ``input`` at the places of ``grid``.

    Args:
        input: (N, C, H, W), or (N, C, D, H, W).
        grid: (N, H', W', 2) of (x, y) in [-1, 1] from edge to edge, or (N, D', H', W', 3) of (x, y, z).
        mode: "bilinear", "nearest" or "bicubic" (two dimensions only).
        padding_mode: outside lies 0 ("zeros"), the edge value ("border"), or the mirror image ("reflection").
        align_corners: -1 and 1 are the middles of the outermost values instead of their edges.

    Returns:
        (N, C, H', W'), or (N, C, D', H', W'). Differentiable in both arguments; where the grid is held at the border, or
        looks for the nearest value, its gradient is 0.

    Raises:
        ValueError: an unknown mode.
        RuntimeError: shapes or types that do not fit together.
    """
    ndim = input.ndim - 2
    if mode not in ("bilinear", "nearest", "bicubic"):
        raise ValueError(
            f"nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', got: '{mode}'"
        )
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError(
            "nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or 'reflection', but got: "
            f"'{padding_mode}'"
        )
    if ndim not in (2, 3) or grid.ndim != input.ndim or grid.shape[-1] != ndim or grid.shape[0] != input.shape[0]:
        raise RuntimeError(
            f"grid_sampler(): expected 4D or 5D input and grid with same number of dimensions, the same batch size, and "
            f"grid to have size {ndim} in its last dimension, but got input with sizes {list(input.shape)} and grid with "
            f"sizes {list(grid.shape)}"
        )
    if mode == "bicubic" and ndim == 3:
        raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")
    if input.dtype != grid.dtype or raw(input).dtype.kind in "iub":
        raise RuntimeError(
            f"grid_sampler(): expected input and grid to have the same floating point dtype, but input has {input.dtype} "
            f"and grid has {grid.dtype}; convert one with .to()"
        )
    size = tuple(input.shape[2:])
    if 0 in size:
        raise RuntimeError(
            f"grid_sampler(): expected input to have non-empty spatial dimensions, got {list(input.shape)}"
        )
    align = bool(align_corners)
    # The grid's last dimension runs from the innermost dimension outwards.
    places = [_unnormalise(grid[..., ndim - 1 - axis], size[axis], align) for axis in range(ndim)]
    if mode == "bicubic":
        return _bicubic(input, places, size, padding_mode, align)
    places = [_kept_inside(p, n, padding_mode, align) for p, n in zip(places, size)]
    if mode == "nearest":
        return _look_up(input, [np.rint(raw(p)) for p in places], size) + _flat(places[0]).unsqueeze(1)
    corners = [np.floor(raw(p)) for p in places]
    offsets = [p - wrap(c) for p, c in zip(places, corners)]
    y = None
    for corner in product((0, 1), repeat=ndim):
        weight = 1.0
        for step, t in zip(corner, offsets):
            weight = weight * (t if step else 1 - t)
        term = _look_up(input, [c + step for c, step in zip(corners, corner)], size) * weight.unsqueeze(1)  # type: ignore[attr-defined]
        y = term if y is None else y + term
    return y


def _unnormalise(x: Any, n: int, align: bool) -> Any:
    """From [-1, 1] to [0, n - 1], or to [-1/2, n - 1/2]."""
    return (x + 1) * ((n - 1) / 2) if align else ((x + 1) * n - 1) * 0.5


def _kept_inside(x: Any, n: int, padding_mode: str, align: bool) -> Any:
    if padding_mode == "reflection":
        low, span = (0.0, float(n - 1)) if align else (-0.5, float(n))
        if span == 0:
            return _flat(x)
        away = (x - low) * ops.where(wrap(raw(x) < low), -1.0, 1.0).to(x.dtype)
        folds = wrap(np.floor(raw(away) / span))
        rest = away - folds * span
        x = ops.where(folds % 2 == 0, rest + low, span - rest + low)
    if padding_mode == "zeros":
        return x
    held = raw(x).clip(0, n - 1)
    return ops.where(wrap((held > 0) & (held < n - 1)), x, wrap(held))


def _flat(x: Any) -> Any:
    """0, whatever x is: on the tape, with the gradient 0."""
    return ops.where(wrap(namespace(raw(x)).zeros(x.shape, bool)), x, 0.0).to(x.dtype)


def _look_up(input: Any, places: list, size: tuple) -> Any:
    """The values (N, C, *out) at whole numbers of ``places``, one array (N, *out) a dimension; 0 outside."""
    lead, out = tuple(input.shape[:2]), places[0].shape[1:]
    xp = namespace(raw(input))
    inside = xp.ones(places[0].shape, bool)
    index = xp.zeros(places[0].shape, np.int64)
    for place, n in zip(places, size):
        inside &= (place >= 0) & (place <= n - 1)
        index = index * n + xp.clip(xp.nan_to_num(place), 0, n - 1).astype(np.int64)
    flat = input.reshape((*lead, math.prod(size)))
    index = xp.broadcast_to(index.reshape(lead[0], 1, -1), (*lead, math.prod(out)))
    found = ops.gather(flat, 2, wrap(index)).reshape((*lead, *out))
    return found * wrap(inside[:, None].astype(raw(input).dtype))


def _bicubic(input: Any, places: list, size: tuple, padding_mode: str, align: bool) -> Any:
    corners = [np.floor(raw(p)) for p in places]
    weights = [_cubic(p - wrap(c)) for p, c in zip(places, corners)]
    y = None
    for i, j in product(range(4), repeat=2):
        taps = [wrap(corners[0] + (i - 1)), wrap(corners[1] + (j - 1))]
        taps = [raw(_kept_inside(t, n, padding_mode, align)) for t, n in zip(taps, size)]
        term = _look_up(input, taps, size) * (weights[0][i] * weights[1][j]).unsqueeze(1)
        y = term if y is None else y + term
    return y


def affine_grid(theta: Any, size: Any, align_corners: bool | None = None) -> Any:
    """The grid of an affine map, for :func:`grid_sample`.

    Args:
        theta: (N, 2, 3), or (N, 3, 4): from output coordinates in [-1, 1] to input coordinates.
        size: of the output, (N, C, H, W), or (N, C, D, H, W).

    Returns:
        (N, H, W, 2), or (N, D, H, W, 3).
    """
    ndim = len(size) - 2
    if not theta.dtype.is_floating_point:
        raise ValueError(f"Expected theta to have floating point type, but got {theta.dtype}")
    if ndim not in (2, 3) or tuple(theta.shape[-2:]) != (ndim, ndim + 1) or theta.ndim != 3:
        raise ValueError(
            f"Expected a batch of {ndim}D affine matrices of shape Nx{ndim}x{ndim + 1} for size {list(size)}. "
            f"Got {list(theta.shape)}."
        )
    axes = []
    for n in size[2:]:
        steps = np.linspace(-1, 1, n) if n > 1 else np.zeros(n)
        axes.append(steps if align_corners else steps * ((n - 1) / n))
    mesh = np.meshgrid(*axes, indexing="ij")
    base = np.stack([*reversed(mesh), np.ones(tuple(size[2:]))], axis=-1).reshape(-1, ndim + 1)
    base = creation.as_tensor(base, theta.dtype, theta.device)
    return (base @ theta.mT).reshape((theta.shape[0], *size[2:], ndim))
