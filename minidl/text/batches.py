"""How a long text becomes batches: windows, parallel streams, masked windows; and rows of different lengths one array."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from minidl import creation, sampling
from minidl.data.dataset import Dataset
from minidl.data.sampler import Sampler
from minidl.random import generator


def _at_least_one(**sizes: int) -> None:
    """ValueError for a size below 1, by its name."""
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be 1 or more, but is {size}")


class Windows(Dataset):
    """Sample i: ``length`` tokens of a text, and the same shifted by one, (T,) and (T,), int64: what follows each.

    Windows lie side by side; the last, incomplete one is left out.

    Args:
        tokens: the text, numbers.
        length: T.
        offset: where the first window begins.
    """

    def __init__(self, tokens: Sequence[int] | Any, length: int, offset: int = 0) -> None:
        if length < 1 or offset < 0:
            raise ValueError(f"length must be 1 or more, and offset 0 or more, but they are {length} and {offset}")
        self.tokens, self.length, self.offset = np.asarray(tokens, np.int64), length, offset
        self._count = max((len(self.tokens) - 1 - offset) // length, 0)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"window {index} of {len(self)}")
        begin = self.offset + index % len(self) * self.length
        window = self.tokens[begin : begin + self.length + 1]
        return creation.tensor(window[:-1]), creation.tensor(window[1:])

    def __getitems__(self, indices: Sequence[int]) -> list:
        return [self[i] for i in indices]


class RandomWindows:
    """Batches of windows from anywhere in a text, drawn with replacement: (N, T) and (N, T) shifted by one.

    Every epoch has ``steps`` batches; a text is never cut at the same places twice. Random numbers are minidl's.
    """

    def __init__(self, tokens: Sequence[int] | Any, length: int, batch_size: int, steps: int) -> None:
        _at_least_one(length=length)
        self.tokens, self.length = np.asarray(tokens, np.int64), length
        self.batch_size, self.steps = batch_size, steps
        if len(self.tokens) <= length:
            raise ValueError(f"a window of {length} tokens and the next one do not fit a text of {len(self.tokens)}")

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        for _ in range(self.steps):
            begins = sampling.randint(0, len(self.tokens) - self.length, (self.batch_size, 1)).numpy()
            windows = self.tokens[begins + np.arange(self.length + 1)]
            yield creation.tensor(windows[:, :-1]), creation.tensor(windows[:, 1:])


class Streams:
    """A text as ``batch_size`` streams read side by side, T tokens at a time: batch b + 1 goes on where batch b ended.

    What a recurrent network remembers at the end of a batch can be handed on to the next, while gradients stay within one:
    truncated backpropagation through time (Williams & Peng 1990). Batches are (N, T) and (N, T), shifted by one.
    """

    def __init__(self, tokens: Sequence[int] | Any, length: int, batch_size: int) -> None:
        _at_least_one(length=length, batch_size=batch_size)
        tokens = np.asarray(tokens, np.int64)
        self.length, self.batch_size = length, batch_size
        self.steps = max(len(tokens) - 1, 0) // (batch_size * length)
        span = self.steps * length
        starts = np.arange(batch_size)[:, None] * span
        self._rows = tokens[starts + np.arange(span + 1)] if self.steps else np.empty((batch_size, 1), np.int64)

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        for i in range(self.steps):
            part = self._rows[:, i * self.length : (i + 1) * self.length + 1]
            yield creation.tensor(part[:, :-1]), creation.tensor(part[:, 1:])


class MaskedText(Dataset):
    """Windows for masked language modelling: (T,) with tokens hidden, and (T,) the hidden ones, -100 elsewhere.

    A token is chosen with probability ``share``; of the chosen 80 % become ``mask``, 10 % a token drawn from all, which as in
    the paper's own program may be the same by chance, and 10 % stay: the model cannot know which to trust (Devlin et al.
    2019, section 3.1). In a window where none would be chosen, one is.

    Args:
        tokens, length: as for :class:`Windows`.
        mask: the number that stands for a hidden token.
        vocab_size: tokens drawn at random are below it.
        share: how many are chosen.
        fixed: choose by the window's number, the same each time: for validation.
    """

    def __init__(
        self,
        tokens: Sequence[int] | Any,
        length: int,
        mask: int,
        vocab_size: int,
        share: float = 0.15,
        fixed: bool = False,
    ) -> None:
        _at_least_one(length=length)
        if not 0 < share <= 1:
            raise ValueError(f"share must be in (0, 1], but is {share}")
        self.tokens, self.length = np.asarray(tokens, np.int64), length
        self.mask, self.vocab_size, self.share, self.fixed = mask, vocab_size, share, fixed

    def __len__(self) -> int:
        return len(self.tokens) // self.length

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"window {index} of {len(self)}")
        begin = index % len(self) * self.length
        original = self.tokens[begin : begin + self.length]
        rng = np.random.default_rng(index % len(self)) if self.fixed else generator()
        chosen = rng.random(self.length) < self.share
        if not chosen.any():
            chosen[int(rng.integers(self.length))] = True
        fate = rng.random(self.length)
        shown = np.where(chosen & (fate < 0.8), self.mask, original)
        drawn = rng.integers(0, self.vocab_size, self.length)
        shown = np.where(chosen & (fate >= 0.9), drawn, shown)
        return creation.tensor(shown), creation.tensor(np.where(chosen, original, -100))

    def __getitems__(self, indices: Sequence[int]) -> list:
        return [self[i] for i in indices]


class EncodedTexts(Dataset):
    """Texts with labels, as numbers: samples (row of tokens, label). ``lengths`` has the rows'."""

    def __init__(self, rows: Sequence[Sequence[int]], labels: Sequence[int]) -> None:
        if len(rows) != len(labels):
            raise ValueError(f"as many rows as labels are needed, but there are {len(rows)} and {len(labels)}")
        self.rows, self.labels = list(rows), list(labels)
        self.lengths = [len(row) for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Sequence[int], int]:
        return self.rows[index], self.labels[index]


class LengthBatches(Sampler):
    """Batches of samples that are about as long as each other, so that little is padding; in random order.

    Samples are shuffled, sorted by length within pools of 50 batches, cut into batches, and these shuffled.

    Args:
        lengths: of the samples.
        batch_size: how many in a batch.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int) -> None:
        _at_least_one(batch_size=batch_size)
        self.lengths, self.batch_size = np.asarray(lengths), batch_size

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        rng = generator()
        order, pool = rng.permutation(len(self.lengths)), 50 * self.batch_size
        pools = [order[i : i + pool] for i in range(0, len(order), pool)]
        order = np.concatenate([p[np.argsort(self.lengths[p], kind="stable")] for p in pools]) if pools else order
        batches = [order[i : i + self.batch_size] for i in range(0, len(order), self.batch_size)]
        return iter([batches[i].tolist() for i in rng.permutation(len(batches))])


def collate(padding: int) -> Any:
    """A function that makes a batch of samples (row, label): rows padded with ``padding`` (N, T), labels (N,)."""

    def together(samples: Sequence[tuple[Sequence[int], int]]) -> tuple[Any, Any]:
        rows, labels = zip(*samples)
        return pad(rows, padding)[0], creation.tensor(np.array(labels, np.int64))

    return together


def pad(rows: Sequence[Sequence[int]], value: int, length: int | None = None) -> tuple[Any, Any]:
    """Rows of numbers as one array (N, T), filled up with ``value``, and their lengths (N,).

    T is ``length``, or the longest row's. ValueError if a row is longer than ``length``.
    """
    longest = max(map(len, rows), default=0)
    if length is not None and longest > length:
        raise ValueError(f"a row has {longest} tokens, more than length={length}")
    grid = np.full((len(rows), longest if length is None else length), value, np.int64)
    for i, row in enumerate(rows):
        grid[i, : len(row)] = row
    return creation.tensor(grid), creation.tensor(np.array([len(row) for row in rows], np.int64))
