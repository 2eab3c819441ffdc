"""Values at any places of an image: grid_sample, and affine_grid, which makes such places."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np

from minidl import creation, ops
from minidl.autograd.autocast import in_float32
from minidl.backends import namespace
from minidl.nn.functional.resampling import cubic_weights
from minidl.tensor import raw, wrap

__all__ = ["affine_grid", "grid_sample"]


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
    _check(input, grid, mode, padding_mode)
    size, align = tuple(input.shape[2:]), bool(align_corners)
    # The grid's last dimension runs from the innermost dimension outwards.
    places = [_unnormalise(grid[..., -1 - axis], n, align) for axis, n in enumerate(size)]
    if mode == "bicubic":
        return _bicubic(input, places, size, padding_mode, align)
    places = [_kept_inside(p, n, padding_mode, align) for p, n in zip(places, size)]
    if mode == "nearest":
        return _look_up(input, [np.rint(raw(p)) for p in places], size) + _flat(places[0]).unsqueeze(1)
    return _linear(input, places, size)


def _check(input: Any, grid: Any, mode: str, padding_mode: str) -> None:
    """What :func:`grid_sample` raises for unknown modes, and for shapes and types that do not fit together."""
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
    if 0 in input.shape[2:]:
        raise RuntimeError(
            f"grid_sampler(): expected input to have non-empty spatial dimensions, got {list(input.shape)}"
        )


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


def _linear(input: Any, places: list, size: tuple) -> Any:
    """The values between the 2ⁿ around each place, n = len(size), each weighed by how near it is."""
    corners = [np.floor(raw(p)) for p in places]
    offsets = [p - wrap(c) for p, c in zip(places, corners)]
    y = None
    for corner in product((0, 1), repeat=len(size)):
        weight: Any = 1.0
        for step, t in zip(corner, offsets):
            weight = weight * (t if step else 1 - t)
        term = _look_up(input, [c + step for c, step in zip(corners, corner)], size) * weight.unsqueeze(1)
        y = term if y is None else y + term
    return y


def _bicubic(input: Any, places: list, size: tuple, padding_mode: str, align: bool) -> Any:
    corners = [np.floor(raw(p)) for p in places]
    weights = [cubic_weights(p - wrap(c)) for p, c in zip(places, corners)]
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
