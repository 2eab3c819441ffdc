"""Texts as a data set, and which part of it a sample belongs to."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

from minidl.data.dataset import Dataset

SPLITS = ("train", "validation", "test", "all")


def part_of(key: str, percent: int = 10) -> str:
    """The part of the sample with this name: ``percent`` in 100 are "validation", as many "test", the rest "train".

    The name alone decides (by its CRC-32), so a sample stays in its part whatever is added or left out around it, and
    samples with one name (sentences of one review, languages of one date) stay together.
    """
    slot = zlib.crc32(key.encode()) % 100
    return "validation" if slot < percent else "test" if slot < 2 * percent else "train"


def check_split(split: str) -> None:
    """ValueError if there is no such part."""
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(map(repr, SPLITS))}, got {split!r}")


class Texts(Dataset):
    """Samples that are tuples of texts and numbers; for a classification task ``classes`` names the last entry's.

    Slices and lists of numbers give a smaller data set of the same kind.
    """

    def __init__(self, samples: Sequence[tuple], classes: Sequence[str] = ()) -> None:
        self.samples, self.classes = list(samples), list(classes)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return self._with(self.samples[index])
        if isinstance(index, list):
            return self._with([self.samples[i] for i in index])
        return self.samples[index]

    def __getitems__(self, indices: Sequence[int]) -> list:
        return [self.samples[i] for i in indices]

    def _with(self, samples: list[tuple]) -> Texts:
        return type(self)(samples, self.classes)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({len(self):,} samples{', classes ' * bool(self.classes)}{', '.join(self.classes)})"
        )
