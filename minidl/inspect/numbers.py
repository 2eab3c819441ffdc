"""A tensor in a few lines: shape, type, place, statistics, and a histogram drawn in one row of characters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from minidl import dtypes
from minidl.backends import device_of
from minidl.tensor import Tensor, raw

BARS = "▁▂▃▄▅▆▇█"
BINS = 24


@dataclass
class TensorSummary:
    """What is to be known of a tensor's values. Statistics are of the finite values, None where there are none (``std`` is
    that of the whole population); ``nan``, ``inf`` and ``zeros`` count elements. ``counts`` has the values in each of
    equal bins between ``min`` and ``max``."""

    shape: tuple[int, ...]
    dtype: str
    device: str
    size: int
    nbytes: int
    requires_grad: bool
    min: float | None
    max: float | None
    mean: float | None
    std: float | None
    norm: float | None
    nan: int
    inf: int
    zeros: int
    counts: list[int]
    gradient_norm: float | None = None

    @property
    def sparkline(self) -> str:
        """The histogram as characters: the fullest bin is the tallest; a bin with anything in it shows at least the
        lowest bar, an empty one is blank."""
        return sparkline(self.counts)

    def __str__(self) -> str:
        shape = " × ".join(map(str, self.shape)) if self.shape else "a single number"
        grad = ", requires grad" if self.requires_grad else ""
        lines = [f"{shape}  {self.dtype}  {self.device}{grad}  ({size_of(self.nbytes)})"]
        if self.min is not None and self.max is not None:
            lines.append(
                f"min {self.min:.4g}  max {self.max:.4g}  mean {self.mean:.4g}  std {self.std:.4g}  norm {self.norm:.4g}"
            )
            lines.append(f"{self.min:.3g} ▕{self.sparkline}▏ {self.max:.3g}")
        odd = [f"{n:,} {what}" for n, what in ((self.nan, "NaN"), (self.inf, "infinite"), (self.zeros, "zero")) if n]
        if odd:
            lines.append(f"of {self.size:,} values: " + ", ".join(odd))
        if not self.size:
            lines.append("no values")
        if self.gradient_norm is not None:
            lines.append(f"norm of the gradient {self.gradient_norm:.4g}")
        return "\n".join(lines)

    __repr__ = __str__

    def plot(self, ax: Any = None) -> Any:
        """Draw the histogram; returns the Axes."""
        ax = axes(ax)
        if self.min is not None and self.max is not None:
            low, high = (self.min, self.max) if self.max > self.min else (self.min - 0.5, self.max + 0.5)
            edges = np.linspace(low, high, len(self.counts) + 1)
            ax.bar(edges[:-1], self.counts, width=np.diff(edges), align="edge")
        ax.set_xlabel("value")
        ax.set_ylabel("elements")
        return ax


def summarize(tensor: Any) -> TensorSummary:
    """The summary of a Tensor or an array of any shape and type."""
    array = raw(tensor)
    known = isinstance(tensor, Tensor)
    dtype, device = dtypes.from_numpy_dtype(array.dtype), device_of(array)
    values = on_host(array)
    finite = values[np.isfinite(values)]
    wide = finite.astype(np.float64)
    some = bool(wide.size)
    with np.errstate(all="ignore"):  # the norm of values near a type's end overflows to infinity, which is told as such
        measures = (np.min, np.max, np.mean, np.std, np.linalg.norm)
        numbers = [float(measure(wide.ravel())) if some else None for measure in measures]
    gradient = tensor.grad if known else None
    return TensorSummary(
        shape=tuple(array.shape),
        dtype=str(dtype),
        device=str(device),
        size=values.size,
        nbytes=int(array.nbytes),
        requires_grad=known and tensor.requires_grad,
        min=numbers[0],
        max=numbers[1],
        mean=numbers[2],
        std=numbers[3],
        norm=numbers[4],
        nan=int(np.isnan(values).sum()),
        inf=int(np.isinf(values).sum()),
        zeros=int((values == 0).sum()),
        counts=histogram(wide),
        gradient_norm=None if gradient is None else float(np.linalg.norm(on_host(gradient._data).astype(float))),
    )


def histogram(values: np.ndarray, bins: int = BINS) -> list[int]:
    """How many of some finite values lie in each of ``bins`` equal bins between the least and the largest."""
    if not values.size:
        return [0] * bins
    low, high = values.min(), values.max()
    if low == high:
        counts = [0] * bins
        counts[bins // 2] = values.size
        return counts
    scaled = values / 2 - low / 2  # halves: the distance between the ends of a type is beyond it
    place = np.minimum((scaled / (high / 2 - low / 2) * bins).astype(int), bins - 1)
    return np.bincount(place.ravel(), minlength=bins).tolist()


def sparkline(counts: list[int]) -> str:
    """Numbers of 0 or more as bars of eight heights."""
    most = max(counts, default=0)
    return "".join(" " if not n else BARS[-(-n * len(BARS) // most) - 1] for n in counts)


def on_host(array: Any) -> np.ndarray:
    """An array's values in NumPy's memory, half-precision types that NumPy lacks as float32."""
    array = array.get() if hasattr(array, "get") and not isinstance(array, np.ndarray) else np.asarray(array)
    return array if array.dtype.kind in "fiub" else array.astype(np.float32)


def mean_known(values: np.ndarray) -> float:
    """The mean of the values that are not NaN; NaN if none is known."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def pick(values: Any, index: int, what: str) -> Any:
    """``values[index]``; IndexError in words if there is none."""
    if not -len(values) <= index < len(values):
        there = {0: "are none", 1: "is one"}.get(len(values), f"are {len(values)}")
        raise IndexError(f"there is no {what} {index}: there {there}")
    return values[index]


def size_of(nbytes: float) -> str:
    """Bytes in words: "1.50 MB"; powers of 1000."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(nbytes) >= factor:
            return f"{nbytes / factor:.3g} {unit}"
    return f"{nbytes:.0f} bytes"


def axes(ax: Any = None, **settings: Any) -> Any:
    """``ax``, or the Axes of a new figure. Matplotlib is loaded when it is first needed."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(layout="constrained", **settings)[1]
