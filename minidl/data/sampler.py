"""Samplers: the order in which a loader asks for samples.

A sampler that draws at random draws its whole order when its iterator starts, so the order depends on the generator's
state at that moment and on nothing that is drawn later.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence, Sized
from itertools import islice
from typing import Any

import numpy as np

from minidl import random
from minidl.tensor import raw


class Sampler:
    """Base of samplers: a subclass gives ``__iter__()`` over indices (or lists of them) and, if possible, ``__len__``."""

    def __iter__(self) -> Iterator:
        raise NotImplementedError(f"{type(self).__name__} must define __iter__()")


class SequentialSampler(Sampler):
    """0, 1, 2, …"""

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


def _check_flag(name: str, value: Any, error: type[Exception]) -> None:
    if not isinstance(value, bool):
        raise error(f"{name} should be a boolean value, but got {name}={value!r}")


class RandomSampler(Sampler):
    """Every sample once in random order; with ``replacement`` each draw is independent. ``num_samples``: how many."""

    def __init__(
        self, data_source: Sized, replacement: bool = False, num_samples: int | None = None, generator: Any = None
    ) -> None:
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        self.generator = generator
        _check_flag("replacement", replacement, TypeError)
        if not isinstance(self.num_samples, int) or self.num_samples <= 0:
            raise ValueError(f"num_samples should be a positive integer value, but got num_samples={self.num_samples}")

    @property
    def num_samples(self) -> int:
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        draw = random.generator(self.generator)
        n, wanted = len(self.data_source), self.num_samples
        if self.replacement:
            return iter(draw.integers(0, n, wanted).tolist())
        rounds = [draw.permutation(n) for _ in range(math.ceil(wanted / n))]
        return iter(np.concatenate(rounds)[:wanted].tolist())

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler):
    """The given indices in random order."""

    def __init__(self, indices: Sequence[int], generator: Any = None) -> None:
        self.indices = indices
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        order = random.generator(self.generator).permutation(len(self.indices))
        return iter([self.indices[i] for i in order.tolist()])

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler):
    """``num_samples`` indices, index i with a probability in proportion to ``weights[i]``."""

    def __init__(
        self, weights: Sequence[float], num_samples: int, replacement: bool = True, generator: Any = None
    ) -> None:
        if not isinstance(num_samples, int) or isinstance(num_samples, bool) or num_samples <= 0:
            raise ValueError(f"num_samples should be a positive integer value, but got num_samples={num_samples}")
        _check_flag("replacement", replacement, ValueError)
        self.weights = np.asarray(raw(weights), dtype=np.float64)
        if self.weights.ndim != 1:
            raise ValueError(f"weights should be a 1d sequence but given weights have shape {self.weights.shape}")
        if not (np.isfinite(self.weights).all() and (self.weights >= 0).all() and self.weights.sum() > 0):
            raise RuntimeError("invalid multinomial distribution: weights must be finite, none negative, not all zero")
        if not replacement and num_samples > np.count_nonzero(self.weights):
            raise RuntimeError(
                f"cannot draw num_samples={num_samples} without replacement from "
                f"{np.count_nonzero(self.weights)} indices of non-zero weight"
            )
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        draw = random.generator(self.generator)
        if self.replacement:
            chances = self.weights / self.weights.sum()
            return iter(draw.choice(len(chances), self.num_samples, p=chances).tolist())
        # Exponential waiting times of rate w: the first to arrive are a weighted draw without replacement
        # (Efraimidis and Spirakis 2006).
        waiting = np.full(len(self.weights), np.inf)
        positive = self.weights > 0
        waiting[positive] = draw.exponential(size=int(positive.sum())) / self.weights[positive]
        return iter(np.argsort(waiting)[: self.num_samples].tolist())

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler):
    """Lists of ``batch_size`` indices from another sampler; the last, shorter one is left out with ``drop_last``."""

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size <= 0:
            raise ValueError(f"batch_size should be a positive integer value, but got batch_size={batch_size}")
        _check_flag("drop_last", drop_last, ValueError)
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        indices = iter(self.sampler)
        while batch := list(islice(indices, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch

    def __len__(self) -> int:
        n = len(self.sampler)  # type: ignore[arg-type]
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)
