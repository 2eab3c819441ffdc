"""The simplest tokeniser: a number for each character."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from minidl.utils.files import atomic_write


class CharTokenizer:
    """Characters to numbers and back. Number 0 stands for every character that is not in the alphabet.

    Args:
        alphabet: the characters that get numbers, from 1 on.

    Attributes
    ----------
    alphabet     the characters, in order
    vocab_size   how many numbers there are, 0 included
    """

    unknown = "\ufffd"

    def __init__(self, alphabet: Iterable[str]) -> None:
        self.alphabet = "".join(dict.fromkeys(alphabet))
        self._numbers = {character: i for i, character in enumerate(self.alphabet, 1)}
        self.vocab_size = len(self.alphabet) + 1

    @classmethod
    def of(cls, text: str, least: int = 1) -> CharTokenizer:
        """The tokeniser of all characters that stand in ``text`` at least ``least`` times, in Unicode's order."""
        counts: dict[str, int] = {}
        for character in text:
            counts[character] = counts.get(character, 0) + 1
        return cls(sorted(c for c, n in counts.items() if n >= least))

    def encode(self, text: str) -> list[int]:
        """The numbers of a text's characters."""
        return [self._numbers.get(character, 0) for character in text]

    def decode(self, numbers: Sequence[int] | Any) -> str:
        """The text; "�" for number 0. IndexError for a number beyond the vocabulary."""
        letters = self.unknown + self.alphabet
        return "".join(letters[_checked(int(n), self.vocab_size)] for n in numbers)

    def save(self, path: str | os.PathLike) -> None:
        """Write it, as JSON."""
        with atomic_write(path, "w", encoding="utf-8") as file:
            json.dump({"kind": "characters", "alphabet": self.alphabet}, file)

    @classmethod
    def load(cls, path: str | os.PathLike) -> CharTokenizer:
        """Read what ``save`` wrote. ValueError for another file."""
        return cls(read(path, "characters")["alphabet"])

    def __repr__(self) -> str:
        return f"CharTokenizer({self.vocab_size} numbers)"


def read(path: str | os.PathLike, kind: str) -> dict[str, Any]:
    """The content of a tokeniser's file. ValueError if it is not of this kind."""
    try:
        saved = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not a tokeniser's file: {error}") from None
    if not isinstance(saved, dict) or saved.get("kind") != kind:
        raise ValueError(f"{path} holds no tokeniser of the kind {kind!r}")
    return saved


def _checked(number: int, size: int) -> int:
    if not 0 <= number < size:
        raise IndexError(f"token {number} is not in the vocabulary, whose numbers are 0 to {size - 1}")
    return number
