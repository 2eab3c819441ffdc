"""Random tensors: new ones, and existing ones filled with random numbers."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from minidl import dtypes
from minidl.autograd.inplace import in_place
from minidl.autograd.tape import Operator, apply
from minidl.backends import namespace, namespace_for
from minidl.creation import floating, leaf, like, number, shape_of
from minidl.ops.common import broadcast_shapes, numpy_dtype
from minidl.random import Generator, generator
from minidl.tensor import Tensor, raw

__all__ = [
    "bernoulli",
    "multinomial",
    "normal",
    "poisson",
    "rand",
    "rand_like",
    "randint",
    "randint_like",
    "randn",
    "randn_like",
    "randperm",
]

METHODS = [
    "bernoulli",
    "bernoulli_",
    "cauchy_",
    "exponential_",
    "geometric_",
    "log_normal_",
    "multinomial",
    "normal_",
    "random_",
    "uniform_",
]
INPLACE: list[str] = []

# How many bits the fraction of a value in [0, 1) may have without rounding up to 1.
_FRACTION_BITS = {"float16": 11, "bfloat16": 8}


# ------------------------------------------------------------------------------------------------ arrays, from a stream


def _uniform(rng: np.random.Generator, shape: tuple[int, ...], target: np.dtype) -> np.ndarray:
    """Values in [0, 1)."""
    if target.itemsize >= 4:
        return rng.random(shape, dtype=target)  # type: ignore[call-overload]
    steps = 1 << _FRACTION_BITS[target.name]
    return (rng.integers(0, steps, shape) / steps).astype(target)


def _standard_normal(rng: np.random.Generator, shape: tuple[int, ...], target: np.dtype) -> np.ndarray:
    if target.itemsize >= 4:
        return rng.standard_normal(shape, dtype=target)  # type: ignore[call-overload]
    return rng.standard_normal(shape, dtype=np.float32).astype(target)


def _whole(
    name: str, rng: np.random.Generator, low: int, high: int, shape: tuple[int, ...], target: np.dtype
) -> np.ndarray:
    """Whole numbers in [low, high). RuntimeError for an empty range, or one that the type cannot hold."""
    if low >= high:
        raise RuntimeError(f"{name} expects 'from' to be less than 'to', but got from={low} >= to={high}")
    if target.kind in "iub":
        limits = np.iinfo(target) if target.kind != "b" else None
        least, most = (limits.min, limits.max) if limits else (0, 1)
        if low < least:
            raise RuntimeError(f"{name}: from is out of bounds for {target.name}: {low} < {least}")
        if high - 1 > most:
            raise RuntimeError(f"{name}: to - 1 is out of bounds for {target.name}: {high - 1} > {most}")
    return rng.integers(low, high, shape, dtype=np.int64).astype(target)


def _floating_only(name: str, target: np.dtype) -> np.dtype:
    if target.kind in "iub":
        raise NotImplementedError(
            f'"{name}" not implemented for {target.name}: its values are real; use a floating dtype'
        )
    return target


# ---------------------------------------------------------------------------------------------------------- new tensors


def rand(
    *sizes: Any,
    size: Any = None,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Values drawn uniformly from [0, 1)."""
    shape, target = shape_of("rand", sizes, size), _floating_only("rand", floating(dtype))
    return leaf(namespace_for(device).asarray(_uniform(_rng(generator), shape, target)), requires_grad)


def randn(
    *sizes: Any,
    size: Any = None,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Values drawn from the normal distribution of mean 0 and variance 1."""
    shape, target = shape_of("randn", sizes, size), _floating_only("randn", floating(dtype))
    return leaf(namespace_for(device).asarray(_standard_normal(_rng(generator), shape, target)), requires_grad)


def randint(
    *arguments: Any,
    low: int = 0,
    high: int | None = None,
    size: Any = None,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``randint(high, size)`` or ``randint(low, high, size)``: whole numbers in [low, high), int64 unless ``dtype`` is
    given."""
    if size is None and arguments:
        *arguments, size = arguments  # type: ignore[assignment]
    if len(arguments) == 2:
        low, high = arguments
    elif len(arguments) == 1:
        high = arguments[0]
    if not isinstance(size, (tuple, list)):
        raise TypeError(f"randint(): argument 'size' must be tuple of ints, not {type(size).__name__}")
    low, high = _index("randint", "low", low), _index("randint", "high", high)
    target = numpy_dtype(dtype) or np.dtype(np.int64)
    values = _whole("randint", _rng(generator), low, high, shape_of("randint", (), size), target)
    return leaf(namespace_for(device).asarray(values), requires_grad)


def _index(name: str, argument: str, value: Any) -> int:
    try:
        return operator.index(number(value))
    except TypeError:
        raise TypeError(f"{name}(): argument '{argument}' must be int, not {type(value).__name__}") from None


def randperm(
    n: int, *, generator: Generator | None = None, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """The whole numbers 0 … n - 1 in random order."""
    n = _index("randperm", "n", n)
    if n < 0:
        raise RuntimeError(f"randperm: Trying to create tensor with negative dimension {n}: [{n}]")
    target = numpy_dtype(dtype) or np.dtype(np.int64)
    if target.kind == "b":
        raise NotImplementedError('"randperm" not implemented for bool')
    if target.kind in "iu" and n - 1 > np.iinfo(target).max:
        raise RuntimeError(f"randperm: value {n - 1} cannot be converted to type {target.name} without overflow")
    values = _rng(generator).permutation(n).astype(target)
    return leaf(namespace_for(device).asarray(values), requires_grad)


def rand_like(
    input: Tensor,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    generator: Generator | None = None,
) -> Tensor:
    """Values drawn uniformly from [0, 1), in the shape and type of ``input``."""
    xp, shape, target = like("rand_like", input, dtype, device)
    return leaf(xp.asarray(_uniform(_rng(generator), shape, _floating_only("rand_like", target))), requires_grad)


def randn_like(
    input: Tensor,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    generator: Generator | None = None,
) -> Tensor:
    """Values drawn from the normal distribution of mean 0 and variance 1, in the shape and type of ``input``."""
    xp, shape, target = like("randn_like", input, dtype, device)
    return leaf(
        xp.asarray(_standard_normal(_rng(generator), shape, _floating_only("randn_like", target))), requires_grad
    )


def randint_like(
    input: Tensor,
    *arguments: Any,
    low: int = 0,
    high: int | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    generator: Generator | None = None,
) -> Tensor:
    """``randint_like(input, high)`` or ``randint_like(input, low, high)``: whole numbers in the shape and type of
    ``input``."""
    if len(arguments) == 2:
        low, high = arguments
    elif len(arguments) == 1:
        high = arguments[0]
    low, high = _index("randint_like", "low", low), _index("randint_like", "high", high)
    xp, shape, target = like("randint_like", input, dtype, device)
    return leaf(xp.asarray(_whole("randint_like", _rng(generator), low, high, shape, target)), requires_grad)


def normal(
    mean: Any = 0.0,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Values drawn from normal distributions: ``normal(mean, std, size)`` with numbers, or with a Tensor for one or
    both of mean and standard deviation, which then give the shape."""
    tensors = [t for t in (mean, std) if isinstance(t, Tensor)]
    if bool(tensors) == (size is not None):
        raise TypeError("normal() takes two numbers and a size, or a Tensor for mean or std (or both) and no size")
    if isinstance(std, Tensor):
        if not (std._data >= 0).all():
            raise RuntimeError("normal expects all elements of std >= 0.0")
    else:
        _require_std(std)
    if not tensors:
        shape, target = shape_of("normal", (), size), floating(dtype)
        values = _standard_normal(_rng(generator), shape, _floating_only("normal", target))
        return leaf(namespace_for(device).asarray(values * target.type(std) + target.type(mean)), requires_grad)
    shape, target = broadcast_shapes("normal", *tensors), _floating_only("normal", tensors[0]._data.dtype)
    xp = namespace(tensors[0]._data)
    values = xp.asarray(_standard_normal(_rng(generator), shape, target))
    return leaf((values * raw(std) + raw(mean)).astype(target, copy=False), requires_grad)


def _require_std(std: float) -> None:
    if not std >= 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")


# ---------------------------------------------------------------------------------- random functions of a tensor


class Draw(Operator):
    """y = random numbers, as many as there are x;  ∂y/∂x = 0.

    They are made by ``make(shape, type)``.
    """

    def __init__(self, make: Callable[[tuple[int, ...], np.dtype], np.ndarray]) -> None:
        self.make = make

    def forward(self, x: Any) -> Any:
        return namespace(x).asarray(self.make(x.shape, x.dtype))

    def backward(self, g: Any) -> Any:
        return g * 0


class Bernoulli(Draw):
    """y = 1 with probability x, else 0;  ∂y/∂x = 0."""

    def forward(self, x: Any) -> Any:
        if not ((x >= 0) & (x <= 1)).all():
            raise RuntimeError(
                "bernoulli: Expected p_in >= 0 && p_in <= 1 to be true, but got a probability outside [0, 1]"
            )
        xp = namespace(x)
        return (xp.asarray(self.make(x.shape, np.dtype(np.float64))) < x).astype(x.dtype)


def bernoulli(input: Tensor, p: float | None = None, *, generator: Generator | None = None) -> Tensor:
    """Zeros and ones: each is 1 with the probability in ``input`` (or with probability ``p``, whatever ``input``
    holds)."""
    rng = _rng(generator)
    if p is None:
        _floating_only("bernoulli", input._data.dtype)
        return apply(Bernoulli(lambda shape, target: _uniform(rng, shape, target)), input)
    _require_probability("bernoulli_", p)
    return apply(Draw(lambda shape, target: (rng.random(shape) < p).astype(target)), input)


def _require_probability(name: str, p: float) -> None:
    if not 0 <= p <= 1:
        raise RuntimeError(f"{name} expects p to be in [0, 1], but got p={p}")


def poisson(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Values drawn from the Poisson distributions whose rates are in ``input``."""
    _floating_only("poisson", input._data.dtype)
    rates = np.asarray(input.cpu()._data, np.float64)
    if (rates < 0).any():
        raise RuntimeError("poisson: invalid Poisson rate, expected rate to be non-negative")
    rng = _rng(generator)
    return apply(Draw(lambda shape, target: rng.poisson(rates).astype(target)), input)


def multinomial(
    input: Tensor, num_samples: int, replacement: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """Positions drawn with probabilities proportional to ``input``.

    Args:
        input: weights ≥ 0 of shape (categories) or (rows, categories); a row need not sum to 1.
        num_samples: how many to draw from each row.
        replacement: whether a position may come again.

    Returns:
        Positions, int64, of shape (num_samples) or (rows, num_samples).

    Raises:
        RuntimeError: weights that are negative, not finite or all zero; more samples than positions without
            replacement.
    """
    weights = np.asarray(input.cpu()._data)
    if weights.ndim not in (1, 2):
        raise RuntimeError(f"multinomial: prob_dist must be 1 or 2 dim, but has shape {input.shape}")
    if weights.dtype.kind in "iub":
        raise RuntimeError(f"multinomial only supports floating-point dtypes for input, got: {input.dtype}")
    if num_samples <= 0:
        raise RuntimeError(f"multinomial: cannot sample n_sample <= 0 samples, got {num_samples}")
    if not replacement and num_samples > weights.shape[-1]:
        raise RuntimeError(
            f"multinomial: cannot sample n_sample > prob_dist.size(-1) samples without replacement: {num_samples} of "
            f"{weights.shape[-1]}"
        )
    rows = np.atleast_2d(weights).astype(np.float64)
    if not (np.isfinite(rows).all() and (rows >= 0).all()):
        raise RuntimeError("multinomial: probability tensor contains either `inf`, `nan` or element < 0")
    if (rows.sum(-1) <= 0).any():
        raise RuntimeError("multinomial: invalid multinomial distribution (sum of probabilities <= 0)")
    if not replacement and ((rows > 0).sum(-1) < num_samples).any():
        raise RuntimeError(
            "multinomial: invalid multinomial distribution (with replacement=False, not enough non-negative category "
            "to sample): fewer positions with a weight than samples"
        )
    rng = _rng(generator)
    drawn = _with_replacement(rows, num_samples, rng) if replacement else _without_replacement(rows, num_samples, rng)
    return leaf(namespace(input._data).asarray(drawn.reshape(*weights.shape[:-1], num_samples)), False)


def _with_replacement(rows: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Where a uniform number falls among the cumulative weights."""
    cumulative = rows.cumsum(-1)
    points = rng.random((len(rows), count)) * cumulative[:, -1:]
    found = [np.searchsorted(c, p, side="right") for c, p in zip(cumulative, points)]
    return np.array(found, np.int64).reshape(len(rows), count)


def _without_replacement(rows: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Exponential waiting times at the rates of the weights: whoever comes first is drawn first."""
    with np.errstate(divide="ignore"):
        waiting = rng.standard_exponential(rows.shape) / rows
    return np.argsort(waiting, axis=-1, kind="stable")[:, :count].astype(np.int64)


# ------------------------------------------------------------------------------------------------ filling what is there


def _fill(name: str, tensor: Tensor, make: Callable[[tuple[int, ...], np.dtype], np.ndarray]) -> Tensor:
    """Put random numbers into ``tensor``, whose history ends here: they do not depend on what it held."""
    return in_place(name, lambda t: apply(Draw(make), t), tensor)


def uniform_(
    self: Tensor, from_: float = 0.0, to: float = 1.0, *, generator: Generator | None = None, **named: Any
) -> Tensor:
    """Fill with values drawn uniformly from [from, to)."""
    low = named.pop("from", from_)  # `from` is a word of Python's own
    if named:
        raise TypeError(f"uniform_() got unexpected arguments {list(named)}")
    _floating_only("uniform_", self._data.dtype)
    if low > to:
        raise RuntimeError(f"uniform_ expects to return a [from, to) range, but found from={low} > to={to}")
    rng = _rng(generator)

    def make(shape: tuple[int, ...], target: np.dtype) -> np.ndarray:
        values = _uniform(rng, shape, target)
        values *= target.type(to - low)
        values += target.type(low)
        return values

    return _fill("uniform_", self, make)


def normal_(self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill with values drawn from the normal distribution of this mean and standard deviation."""
    _floating_only("normal_", self._data.dtype)
    _require_std(std)
    rng = _rng(generator)

    def make(shape: tuple[int, ...], target: np.dtype) -> np.ndarray:
        values = _standard_normal(rng, shape, target)
        values *= target.type(std)
        values += target.type(mean)
        return values

    return _fill("normal_", self, make)


def log_normal_(self: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None) -> Tensor:
    """Fill with values whose logarithms are normal with this mean and standard deviation."""
    _floating_only("log_normal_", self._data.dtype)
    if not std > 0:
        raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={std}")
    rng = _rng(generator)
    return _fill("log_normal_", self, lambda shape, target: rng.lognormal(mean, std, shape).astype(target))


def exponential_(self: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill with values drawn from the exponential distribution of rate ``lambd``."""
    if self._data.dtype.kind in "iub":
        raise RuntimeError(
            f"exponential_: the exponential distribution is continuous; {self.dtype} is not floating point"
        )
    if not lambd > 0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={lambd}")
    rng = _rng(generator)
    return _fill("exponential_", self, lambda shape, target: rng.exponential(1 / lambd, shape).astype(target))


def cauchy_(self: Tensor, median: float = 0.0, sigma: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill with values drawn from the Cauchy distribution of this median and half width."""
    if self._data.dtype.kind in "iub":
        raise RuntimeError(f"cauchy_: the Cauchy distribution is continuous; {self.dtype} is not floating point")
    if not sigma > 0:
        raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma}")
    rng = _rng(generator)
    return _fill("cauchy_", self, lambda shape, target: (median + sigma * rng.standard_cauchy(shape)).astype(target))


def geometric_(self: Tensor, p: float, *, generator: Generator | None = None) -> Tensor:
    """Fill with the numbers of trials until the first success, each of probability ``p``."""
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p}")
    rng = _rng(generator)
    return _fill("geometric_", self, lambda shape, target: rng.geometric(p, shape).astype(target))


def random_(self: Tensor, *bounds: Any, generator: Generator | None = None, **named: Any) -> Tensor:
    """``random_()``, ``random_(to)`` or ``random_(from, to)``: fill with whole numbers in [from, to). Without ``to``,
    up to the largest that the type holds (all of them exactly, for floating types)."""
    given = dict(zip(("to",) if len(bounds) == 1 and not named else ("from", "to"), bounds)) | named
    if len(bounds) > 2 or given.keys() - {"from", "to"}:
        raise TypeError(f"random_() takes to, or from and to; got {bounds} and {named}")
    low, high = given.get("from", 0), given.get("to")
    if high is None:
        high = _largest(self._data.dtype) + 1
    rng = _rng(generator)
    _whole("random_", rng, low, high, (0,), self._data.dtype)  # refuses the bounds before anything is written
    return _fill("random_", self, lambda shape, target: _whole("random_", rng, low, high, shape, target))


def _largest(target: np.dtype) -> int:
    if target.kind == "b":
        return 1
    if target.kind in "iu":
        return min(int(np.iinfo(target).max), (1 << 63) - 2)
    return 1 << (dtypes.finfo(dtypes.from_numpy_dtype(target)).nmant + 1)


def bernoulli_(self: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Fill with zeros and ones, 1 with probability ``p`` (a number, or a Tensor that broadcasts to this shape)."""
    rng = _rng(generator)
    if isinstance(p, Tensor):
        chances = np.asarray(p.cpu()._data)
        if not ((chances >= 0) & (chances <= 1)).all():
            raise RuntimeError("bernoulli_ expects p to be in [0, 1], and a value of the given tensor is not")
    else:
        _require_probability("bernoulli_", p)
        chances = p
    return _fill("bernoulli_", self, lambda shape, target: (rng.random(shape) < chances).astype(target))


def _rng(given: Generator | None) -> np.random.Generator:
    return generator(given)
