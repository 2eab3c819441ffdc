"""The table of operators: what an entry says, and how its samples are written.

An entry names an operator and generates sample inputs over its whole signature. A sample holds NumPy arrays where the
operator takes tensors; the tests turn them into minidl tensors (keeping strides) and into PyTorch tensors.

    op("atan2", lambda s: [
        s.sample("broadcast", s.floats(3, 1), s.floats(4)),
        s.sample("transposed", s.floats(4, 3).T, s.floats(3, 4)),
    ])
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

FLOATS = ("float16", "bfloat16", "float32", "float64")
INTS = ("uint8", "int8", "int16", "int32", "int64")
BOOL = ("bool",)
ALL = FLOATS + INTS + BOOL


class Constant:
    """A floating array that takes no part in gradients."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array


@dataclass
class Sample:
    """One call: ``args`` and ``kwargs`` with arrays where the operator takes tensors (inside lists and tuples too).

    ``order`` (0, 1, 2) lowers the operator's order of differentiation for this sample, where PyTorch's gradient is not
    the derivative. At a ``kink`` the gradient is a convention: PyTorch's is the reference, finite differences are not.
    """

    name: str
    args: tuple
    kwargs: dict
    order: int | None = None
    kink: bool = False


@dataclass
class ErrorCase:
    """A wrong call: the type PyTorch raises, and a regular expression that the message must match."""

    name: str
    args: tuple
    kwargs: dict
    error: type[Exception]
    match: str


class Samples:
    """Makes sample arrays, the same ones every time."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)

    def floats(self, *shape: int, low: float = -2.0, high: float = 2.0) -> np.ndarray:
        """Uniform float64 values in [low, high)."""
        return self.rng.uniform(low, high, shape)

    def positive(self, *shape: int, low: float = 0.1, high: float = 3.0) -> np.ndarray:
        return self.floats(*shape, low=low, high=high)

    def distinct(self, *shape: int, gap: float = 0.1) -> np.ndarray:
        """Values that differ from each other (and from 0) by at least ``gap``/2: no ties, no kinks in max or sort."""
        n = int(np.prod(shape, dtype=np.int64))
        values = (np.arange(n) - n // 2 + 0.5) * gap
        return self.rng.permutation(values).reshape(shape)

    def ints(self, *shape: int, low: int = 0, high: int = 10, dtype: str = "int64") -> np.ndarray:
        return self.rng.integers(low, high, shape).astype(dtype)

    def bools(self, *shape: int) -> np.ndarray:
        return self.rng.random(shape) < 0.5

    def expanded(self, array: np.ndarray, *shape: int) -> np.ndarray:
        """A stride-0 view, as ``expand`` makes."""
        return np.broadcast_to(array, shape)

    def sliced(self, *shape: int) -> np.ndarray:
        """Floats whose memory has gaps and runs backwards along the first dimension."""
        if not shape:
            return self.floats()
        return self.floats(*(2 * n for n in shape))[
            tuple(slice(None, None, -2 if i == 0 else 2) for i in range(len(shape)))
        ]

    def shape(self, ndim: int = 3) -> tuple[int, ...]:
        """A random shape of up to ``ndim`` dimensions, of size 1 and 0 too."""
        sizes = self.rng.choice([0, 1, 2, 3, 4], self.rng.integers(0, ndim + 1), p=[0.06, 0.24, 0.25, 0.25, 0.2])
        return tuple(int(n) for n in sizes)

    def shapes(self, count: int = 2, ndim: int = 3) -> list[tuple[int, ...]]:
        """Random shapes that can be broadcast together."""
        common = self.shape(ndim)

        def one() -> tuple[int, ...]:
            sizes = tuple(1 if self.rng.random() < 0.25 else n for n in common)
            return sizes[self.rng.integers(0, len(sizes) + 1) :] if self.rng.random() < 0.4 else sizes

        return [one() for _ in range(count)]

    def laid_out(self, array: np.ndarray) -> np.ndarray:
        """The same values in memory of a random order, perhaps with gaps."""
        order = self.rng.permutation(np.ndim(array))
        array = np.array(np.transpose(array, order), order="C").transpose(np.argsort(order))
        return np.repeat(array, 2, 0)[::2] if array.ndim and self.rng.random() < 0.3 else array

    def dim(self, array: np.ndarray) -> int:
        """One of the array's axes, counted from the front or from the end."""
        bound = max(array.ndim, 1)
        return int(self.rng.integers(-bound, bound))

    def constant(self, array: np.ndarray) -> Constant:
        return Constant(array)

    def sample(self, name: str, *args: Any, order: int | None = None, kink: bool = False, **kwargs: Any) -> Sample:
        return Sample(name, args, kwargs, order, kink)


@dataclass
class Op:
    """An entry of the table.

    name       dotted below the package: ``"exp"``, ``"nn.functional.conv2d"``, ``"linalg.inv"``, ``"Tensor.view"``
    samples    makes the sample inputs
    dtypes     element types for which values are compared with PyTorch
    order      how often it can be differentiated: 0, 1 or 2 (2 stands for any number)
    linear     in its first argument: the adjoint test ⟨Ax, g⟩ = ⟨x, Aᵀg⟩ runs
    errors     makes wrong calls
    kinks      a description of where the gradient is a convention, for the scoreboard
    torch      the reference, where it is not PyTorch's function of the same name
    compare    "values", "shape" (random or uninitialised results)
    inplace    the in-place variant ``name_`` is compared as well
    method     ``x.name(...)`` is compared with ``name(x, ...)``
    atol       tolerance for values in float64 (1e-6 unless there is a reason); gradients use ten times it
    module     where the entry stands: ``tests/table/<module>.py``
    dtype_samples   the names of the samples that run in the other types (default: those whose arguments allow it)
    """

    name: str
    samples: Callable[[Samples], Iterable[Sample]]
    dtypes: tuple[str, ...] = FLOATS
    order: int = 2
    linear: bool = False
    errors: Callable[[Samples], Iterable[ErrorCase]] | None = None
    kinks: str = ""
    torch: Callable | None = None
    compare: str = "values"
    inplace: bool = False
    method: bool = True
    atol: float = 1e-6
    dtype_samples: tuple[str, ...] | None = None
    tolerance: dict[str, float] = field(default_factory=dict)
    module: str = ""

    def all_samples(self) -> list[Sample]:
        return list(self.samples(Samples(sum(map(ord, self.name)))))

    def all_errors(self) -> list[ErrorCase]:
        return list(self.errors(Samples())) if self.errors else []


TABLE: dict[str, Op] = {}


def op(name: str, samples: Callable[[Samples], Iterable[Sample]], **settings: Any) -> Op:
    """Add an entry to the table."""
    assert name not in TABLE, f"{name} stands in the table twice"
    module = samples.__globals__["__name__"].rpartition(".")[2]
    TABLE[name] = Op(name, samples, module=module, **settings)
    return TABLE[name]


def error(name: str, error_type: type[Exception], match: str, *args: Any, **kwargs: Any) -> ErrorCase:
    """A wrong call for ``errors=``."""
    return ErrorCase(name, args, kwargs, error_type, match)
