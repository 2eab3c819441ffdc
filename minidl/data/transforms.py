"""Transforms of images: from pictures to Tensors, normalised, cropped, flipped and turned.

Images are Tensors (C, H, W) of floats in [0, 1], except for what :class:`ToTensor` takes. The random ones draw from
minidl's default generator, so a seed makes them repeat.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minidl import random
from minidl.tensor import Tensor, raw, wrap


def _image(name: str, image: Any) -> np.ndarray:
    """The array of an image (C, H, W)."""
    if not isinstance(image, Tensor):
        raise TypeError(f"{name} takes a Tensor (C, H, W), not {type(image).__name__}; put ToTensor() before it")
    if image.ndim < 2:
        raise ValueError(f"{name} takes an image (…, H, W), got shape {list(image.shape)}")
    return image._data


def _pair(value: Any) -> tuple:
    return (value, value) if isinstance(value, (int, float)) else tuple(value)


class Compose:
    """One transform after the other."""

    def __init__(self, transforms: Sequence[Callable]) -> None:
        self.transforms = list(transforms)

    def __call__(self, image: Any) -> Any:
        for transform in self.transforms:
            image = transform(image)
        return image

    def __repr__(self) -> str:
        return "Compose(" + "".join(f"\n    {t}" for t in self.transforms) + "\n)"


class ToTensor:
    """A picture as a float Tensor (C, H, W): an array (H, W) or (H, W, C), or anything NumPy can read as one.

    uint8 values 0…255 become 0…1; other types keep their values.
    """

    def __call__(self, picture: Any) -> Tensor:
        array = np.asarray(raw(picture))
        if array.ndim not in (2, 3):
            raise ValueError(f"ToTensor takes a picture (H, W) or (H, W, C), got shape {array.shape}")
        array = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
        if array.dtype == np.uint8:
            return wrap(np.divide(array, 255, dtype=np.float32))
        return wrap(np.ascontiguousarray(array))

    def __repr__(self) -> str:
        return "ToTensor()"


class Normalize:
    """(x - mean) / std for each channel."""

    def __init__(self, mean: Sequence[float], std: Sequence[float], inplace: bool = False) -> None:
        self.mean, self.std = mean, std
        if any(s == 0 for s in _pair(std)):
            raise ValueError(f"std evaluated to zero, leading to division by zero: {std}")

    def __call__(self, image: Any) -> Tensor:
        x = _image("Normalize", image)
        if x.dtype.kind not in "fV":
            raise TypeError(f"Input tensor should be a float tensor. Got {image.dtype}")
        mean, std = (np.asarray(v, x.dtype).reshape(-1, 1, 1) for v in (self.mean, self.std))
        return wrap((x - mean) / std)

    def __repr__(self) -> str:
        return f"Normalize(mean={self.mean}, std={self.std})"


class Lambda:
    """Any function as a transform."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        if not callable(function):
            raise TypeError(f"Lambda takes a function, not {type(function).__name__}")
        self.function = function

    def __call__(self, image: Any) -> Any:
        return self.function(image)


class CenterCrop:
    """The middle ``size`` (height, width) of an image."""

    def __init__(self, size: int | Sequence[int]) -> None:
        self.size = _pair(size)

    def __call__(self, image: Any) -> Tensor:
        x = _image("CenterCrop", image)
        _check_crop("CenterCrop", self.size, x.shape)
        top, left = ((n - m) // 2 for n, m in zip(x.shape[-2:], self.size))
        return wrap(x[..., top : top + self.size[0], left : left + self.size[1]])


def _check_crop(name: str, size: tuple, shape: tuple) -> None:
    if shape[-2] < size[0] or shape[-1] < size[1]:
        raise ValueError(f"{name}: required crop size {size} is larger than input image size {tuple(shape[-2:])}")


class RandomCrop:
    """A window of ``size`` at a random place, after ``padding`` zeros (or ``fill``) on every side."""

    def __init__(self, size: int | Sequence[int], padding: int | None = None, fill: float = 0) -> None:
        self.size, self.padding, self.fill = _pair(size), padding or 0, fill

    def __call__(self, image: Any) -> Tensor:
        x, p = _image("RandomCrop", image), self.padding
        x = np.pad(x, [(0, 0)] * (x.ndim - 2) + [(p, p), (p, p)], constant_values=self.fill) if p else x
        _check_crop("RandomCrop", self.size, x.shape)
        draw = random.generator()
        top, left = (int(draw.integers(0, n - m + 1)) for n, m in zip(x.shape[-2:], self.size))
        return wrap(x[..., top : top + self.size[0], left : left + self.size[1]])


class _RandomFlip:
    axis: int

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"the probability p must be between 0 and 1, got {p}")
        self.p = p

    def __call__(self, image: Any) -> Tensor:
        x = _image(type(self).__name__, image)
        return wrap(np.flip(x, self.axis).copy()) if random.generator().random() < self.p else image

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p})"


class RandomHorizontalFlip(_RandomFlip):
    """Left and right exchanged with probability ``p``."""

    axis = -1


class RandomVerticalFlip(_RandomFlip):
    """Top and bottom exchanged with probability ``p``."""

    axis = -2


class RandomAffine:
    """A random rotation, shift, scaling and shear about the middle, resampled bilinearly.

    Args:
        degrees: the rotation is drawn from (-degrees, degrees), or from a given (low, high).
        translate: largest shifts as fractions (of the width, of the height).
        scale: (smallest, largest) factor.
        shear: degrees of horizontal shear, as ``degrees``.
        fill: the value outside the image.
    """

    def __init__(
        self,
        degrees: float | Sequence[float],
        translate: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
        shear: float | Sequence[float] | None = None,
        fill: float = 0,
    ) -> None:
        self.degrees, self.shear = _range("degrees", degrees), _range("shear", shear or 0)
        self.translate, self.scale, self.fill = translate, scale, fill
        if translate is not None and not all(0 <= t <= 1 for t in translate):
            raise ValueError(f"translation values should be between 0 and 1, got {translate}")
        if scale is not None and not all(s > 0 for s in scale):
            raise ValueError(f"scale values should be positive, got {scale}")

    def __call__(self, image: Any) -> Tensor:
        x = _image(type(self).__name__, image)
        draw, (h, w) = random.generator(), x.shape[-2:]
        angle, shear = (math.radians(draw.uniform(*r)) for r in (self.degrees, self.shear))
        factor = draw.uniform(self.scale[0], self.scale[1]) if self.scale is not None else 1.0
        dx, dy = (draw.uniform(-t, t) for t in self.translate) if self.translate is not None else (0.0, 0.0)
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        matrix = factor * turn @ np.array([[1.0, math.tan(shear)], [0.0, 1.0]])
        return wrap(resample(x, np.linalg.inv(matrix), (dy * h, dx * w), self.fill))


class RandomRotation(RandomAffine):
    """A random turn about the middle by an angle from (-degrees, degrees), or a given (low, high)."""

    def __init__(self, degrees: float | Sequence[float], fill: float = 0) -> None:
        super().__init__(degrees, fill=fill)


def _range(name: str, value: float | Sequence[float]) -> tuple[float, float]:
    if isinstance(value, (int, float)):
        if value < 0:
            raise ValueError(f"if {name} is a single number, it must be positive, got {value}")
        return -float(value), float(value)
    if len(value) != 2:
        raise ValueError(f"{name} should be a number or (low, high), got {value}")
    return float(value[0]), float(value[1])


def resample(x: np.ndarray, inverse: np.ndarray, shift: tuple[float, float], fill: float) -> np.ndarray:
    """``x`` (…, H, W) moved: the value at p comes from ``inverse`` (p - middle - shift) + middle, bilinearly."""
    h, w = x.shape[-2:]
    rows, columns = np.mgrid[0:h, 0:w]
    u, v = columns - (w - 1) / 2 - shift[1], rows - (h - 1) / 2 - shift[0]
    from_column = inverse[0, 0] * u + inverse[0, 1] * v + (w - 1) / 2
    from_row = inverse[1, 0] * u + inverse[1, 1] * v + (h - 1) / 2
    top, left = np.floor(from_row).astype(int), np.floor(from_column).astype(int)
    below, right = from_row - top, from_column - left
    framed = np.pad(x, [(0, 0)] * (x.ndim - 2) + [(1, 1), (1, 1)], constant_values=fill)

    def at(i: np.ndarray, j: np.ndarray) -> np.ndarray:
        return framed[..., np.clip(i + 1, 0, h + 1), np.clip(j + 1, 0, w + 1)]

    upper = at(top, left) * (1 - right) + at(top, left + 1) * right
    lower = at(top + 1, left) * (1 - right) + at(top + 1, left + 1) * right
    return (upper * (1 - below) + lower * below).astype(x.dtype)


class RandomErasing:
    """With probability ``p`` a random rectangle set to ``value`` (Zhong et al. 2020, "Random Erasing")."""

    def __init__(
        self,
        p: float = 0.5,
        scale: Sequence[float] = (0.02, 0.33),
        ratio: Sequence[float] = (0.3, 3.3),
        value: float = 0,
    ) -> None:
        self.p, self.scale, self.ratio, self.value = p, scale, ratio, value

    def __call__(self, image: Any) -> Tensor:
        x, draw = _image("RandomErasing", image), random.generator()
        if draw.random() >= self.p:
            return image
        h, w = x.shape[-2:]
        for _ in range(10):
            area = h * w * draw.uniform(self.scale[0], self.scale[1])
            aspect = math.exp(draw.uniform(math.log(self.ratio[0]), math.log(self.ratio[1])))
            a, b = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if 0 < a < h and 0 < b < w:
                top, left = int(draw.integers(0, h - a + 1)), int(draw.integers(0, w - b + 1))
                x = x.copy()
                x[..., top : top + a, left : left + b] = self.value
                return wrap(x)
        return image
