"""Where a token stands: positions as waves that are added, and as rotations."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from minidl import creation
from minidl.autograd.tape import Operator, apply
from minidl.backends import namespace
from minidl.dtypes import get_default_dtype
from minidl.tensor import Tensor, raw

__all__ = ["rotary_embedding", "sinusoidal_positions"]


class Rotation(Operator):
    """y₁ = x₁ cos φ - x₂ sin φ, y₂ = x₂ cos φ + x₁ sin φ: pairs of values, turned;  ∂x = g turned back."""

    def __init__(self, cos: Any, sin: Any, interleaved: bool) -> None:
        self.cos, self.sin, self.interleaved = cos, sin, interleaved

    def forward(self, x: Any) -> Any:
        half = self.cos.shape[-1]
        y = namespace(x).array(x, order="C")  # what lies behind the turned values stays
        if self.interleaved:
            first, second = (..., slice(0, 2 * half, 2)), (..., slice(1, 2 * half, 2))
        else:
            first, second = (..., slice(0, half)), (..., slice(half, 2 * half))
        y[first] = x[first] * self.cos - x[second] * self.sin
        y[second] = x[second] * self.cos + x[first] * self.sin
        return y

    def backward(self, g: Any) -> Any:
        return apply(Rotation(self.cos, -self.sin, self.interleaved), g)


def rotary_embedding(
    input: Any, positions: Any = None, base: float = 10000.0, dim: int | None = None, interleaved: bool = False
) -> Any:
    """Turn pairs of values by angles that grow with the position, so that q · k depends on how far apart the two stand.

    Pair i of D/2 at position p is turned by p · base^(-2i/D) (Su et al. 2021, "RoFormer", equation 34).

    Args:
        input: (…, T, D), floating.
        positions: the number of the first position (None: 0), or a tensor (T), or of any shape that broadcasts to (…, T).
        base: the slowest wave is about 2π · base long.
        dim: turn the first ``dim`` values only, an even number; all D if None.
        interleaved: pairs are neighbours, (0, 1), (2, 3), … (as in the paper), not half a head apart, (0, D/2), … (as
            in GPT-NeoX and LLaMA's published weights).

    Returns:
        A tensor as ``input``.

    Raises:
        RuntimeError: a tensor that is not floating, an odd or too large ``dim``, positions that do not fit.
    """
    name, array = "rotary_embedding", raw(input)
    if input.ndim < 2:
        raise RuntimeError(f"{name}: expected input (…, T, D), but got shape {list(input.shape)}")
    if array.dtype.kind not in "fV":
        raise RuntimeError(f"{name}: expected a floating point tensor, but got {input.dtype}")
    *lead, length, width = input.shape
    width = width if dim is None else dim
    if width % 2 or not 0 <= width <= input.shape[-1]:
        raise RuntimeError(f"{name}: dim must be even and at most D = {input.shape[-1]}, but is {width}")
    xp, wide = namespace(array), "float64" if array.dtype.itemsize == 8 else "float32"
    if positions is None or isinstance(positions, int):
        cos, sin = (xp.asarray(table) for table in _from(positions or 0, length, width, float(base), wide))
    else:
        where = np.asarray(positions.cpu()._data if isinstance(positions, Tensor) else positions)
        _check_positions(where.shape, (*lead, length))
        cos, sin = (xp.asarray(table) for table in _turns(where, width, float(base), wide))
    return apply(Rotation(cos, sin, interleaved), input)


def _turns(positions: np.ndarray, dim: int, base: float, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines (…, T, dim / 2) of the angles."""
    angles = positions[..., None].astype(np.float64) * base ** (-np.arange(0, dim, 2) / max(dim, 1))
    return np.cos(angles).astype(dtype), np.sin(angles).astype(dtype)


@lru_cache(maxsize=16)
def _from(first: int, length: int, dim: int, base: float, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    return _turns(np.arange(first, first + length), dim, base, dtype)


def _check_positions(shape: tuple[int, ...], whole: tuple[int, ...]) -> None:
    try:
        fits = np.broadcast_shapes(shape, whole) == whole
    except ValueError:
        fits = False
    if not fits:
        raise RuntimeError(
            f"rotary_embedding: positions {list(shape)} cannot be broadcast to (…, T) of the input, {list(whole)}"
        )


def sinusoidal_positions(length: int, dim: int, base: float = 10000.0, dtype: Any = None, device: Any = None) -> Any:
    """Waves (length, dim): in columns 2i and 2i + 1 the sine and the cosine of p · base^(-2i/dim).

    Vaswani et al. 2017, "Attention Is All You Need", section 3.5. RuntimeError for negative sizes.
    """
    if length < 0 or dim < 0:
        raise RuntimeError(f"sinusoidal_positions: sizes must not be negative, but got ({length}, {dim})")
    angles = np.arange(length)[:, None] * float(base) ** (-np.arange(0, dim, 2) / max(dim, 1))
    waves = np.stack([np.sin(angles), np.cos(angles)], -1).reshape(length, angles.shape[1] * 2)[:, :dim]
    return creation.tensor(waves, dtype=dtype or get_default_dtype(), device=device)
