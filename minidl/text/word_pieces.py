"""WordPiece as BERT has it: words, split into the longest pieces that a published vocabulary holds.

Devlin et al. 2019, "BERT", with the code of google-research/bert for what the paper leaves open.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

# The blocks of Unicode with the characters that Chinese, Japanese and Korean share: a word each.
IDEOGRAPHS = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


class WordPiece:
    """Texts to the numbers of a vocabulary's pieces; pieces within a word begin with "##".

    Args:
        vocabulary: the pieces, in the order of their numbers; [UNK], [CLS], [SEP], [PAD] and [MASK] among them.
        lowercase: make texts small and take accents off first.
        longest_word: words of more characters become [UNK].

    Attributes
    ----------
    vocabulary                  the pieces
    vocab_size                  how many
    unk, cls, sep, pad, mask    the numbers of the special pieces
    """

    SPECIAL = ("[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]")

    def __init__(self, vocabulary: Iterable[str], lowercase: bool = True, longest_word: int = 100) -> None:
        self.vocabulary = list(vocabulary)
        self._numbers = {piece: i for i, piece in enumerate(self.vocabulary)}
        missing = [piece for piece in self.SPECIAL if piece not in self._numbers]
        if missing:
            raise ValueError(f"the vocabulary lacks {', '.join(missing)}")
        self.unk, self.cls, self.sep, self.pad, self.mask = (self._numbers[piece] for piece in self.SPECIAL)
        self.vocab_size, self.lowercase, self.longest_word = len(self.vocabulary), lowercase, longest_word

    @classmethod
    def from_file(cls, path: str | os.PathLike, lowercase: bool = True) -> WordPiece:
        """Read a ``vocab.txt`` (a piece a line), or the one of a folder."""
        file = Path(path) / "vocab.txt" if Path(path).is_dir() else Path(path)
        return cls(file.read_text(encoding="utf-8").rstrip("\n").split("\n"), lowercase)

    def encode(self, text: str, max_length: int | None = None, special: bool = True) -> list[int]:
        """The numbers of a text's pieces, between [CLS] and [SEP] if ``special``; at most ``max_length`` with these.

        ValueError if there is no room for these two.
        """
        if special and max_length is not None and max_length < 2:
            raise ValueError(f"max_length must leave room for [CLS] and [SEP], but is {max_length}; or special=False")
        numbers = [number for word in self.words(text) for number in self._pieces(word)]
        if not special:
            return numbers[:max_length]
        if max_length is not None:
            numbers = numbers[: max_length - 2]
        return [self.cls, *numbers, self.sep]

    def decode(self, numbers: Sequence[int] | Any, skip_special: bool = True) -> str:
        """The pieces put together: words with a space between. What was lost in encoding stays lost."""
        text = ""
        for number in map(int, numbers):
            if not 0 <= number < self.vocab_size:
                raise IndexError(
                    f"piece {number} is not in the vocabulary, whose numbers are 0 to {self.vocab_size - 1}"
                )
            piece = self.vocabulary[number]
            if not (skip_special and piece in self.SPECIAL):
                text += piece[2:] if piece.startswith("##") else f" {piece}"
        return text.strip()

    def tokens(self, text: str) -> list[str]:
        """The pieces themselves."""
        return [self.vocabulary[number] for number in self.encode(text, special=False)]

    def words(self, text: str) -> list[str]:
        """Words and signs, cleaned: no control characters, spaces alike, in small letters without accents."""
        cleaned = "".join(_clean(character) for character in text)
        words: list[str] = []
        for word in cleaned.split():
            if self.lowercase:
                apart = unicodedata.normalize("NFD", word)
                word = "".join(c for c in apart if unicodedata.category(c) != "Mn").lower()
            words += _at_signs(word)
        return words

    def _pieces(self, word: str) -> list[int]:
        """The longest piece that the word begins with, then that of the rest, and so on; [UNK] if a rest has none."""
        if len(word) > self.longest_word:
            return [self.unk]
        numbers, begin = [], 0
        while begin < len(word):
            for end in range(len(word), begin, -1):
                number = self._numbers.get(("##" if begin else "") + word[begin:end])
                if number is not None:
                    break
            else:
                return [self.unk]
            numbers.append(number)
            begin = end
        return numbers

    def __repr__(self) -> str:
        return f"WordPiece({self.vocab_size:,} pieces, lowercase={self.lowercase})"


def _clean(character: str) -> str:
    """The character; a space for any kind of space; nothing for a control character; ideographs stand alone."""
    code = ord(character)
    if character in "\t\n\r" or unicodedata.category(character) == "Zs":
        return " "
    if code in (0, 0xFFFD) or unicodedata.category(character).startswith("C"):
        return ""
    if any(first <= code <= last for first, last in IDEOGRAPHS):
        return f" {character} "
    return character


def _at_signs(word: str) -> list[str]:
    """The word split at its signs, each a word of its own."""
    parts = [""]
    for character in word:
        if _is_sign(character):
            parts += [character, ""]
        else:
            parts[-1] += character
    return [part for part in parts if part]


def _is_sign(character: str) -> bool:
    """Unicode's punctuation, and all of ASCII that is neither letter nor digit nor space."""
    code = ord(character)
    ascii_sign = 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126
    return ascii_sign or unicodedata.category(character).startswith("P")
