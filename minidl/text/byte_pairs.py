"""Byte-level byte-pair encoding, trained here.

A text is its UTF-8 bytes, so that nothing is unknown. The pair of neighbours that occurs most often becomes a token of its
own, again and again: frequent words end up as one token, rare ones as several (Gage 1994, "A new algorithm for data
compression"; Sennrich, Haddow & Birch 2016; on bytes: Radford et al. 2019, GPT-2).
"""

from __future__ import annotations

import heapq
import itertools
import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from minidl.text.characters import read
from minidl.utils.files import atomic_write

# Merges never cross these: a word with the space before it, a number, a run of signs, spaces (but the last before a word).
WORDS = re.compile(r"'(?:[sdmt]|ll|ve|re)\b| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")


class ByteBPE:
    """Byte-pair encoding. Tokens 0 to 255 are the bytes; token 256 + i is merge i; the special tokens come last.

    ::

        tokenizer = ByteBPE.train(text, vocab_size=1000)
        tokenizer.merges[:3]                    # [(b' ', b't'), (b'h', b'e'), (b' t', b'he')]
        tokenizer.decode(tokenizer.encode("now is the winter"))

    Args:
        merges: pairs of byte strings, in the order in which they were found.
        special: texts that are a token each wherever they stand, such as "<eos>".

    Attributes
    ----------
    merges       the pairs
    tokens       the bytes of every token, special ones as UTF-8
    special      special texts → numbers
    vocab_size   how many tokens there are
    """

    def __init__(self, merges: Iterable[tuple[bytes, bytes]] = (), special: Iterable[str] = ()) -> None:
        self.merges, special = [(bytes(a), bytes(b)) for a, b in merges], list(dict.fromkeys(special))
        self.tokens = [bytes([i]) for i in range(256)]
        numbers = {token: i for i, token in enumerate(self.tokens)}
        self._ranks: dict[tuple[int, int], int] = {}
        for a, b in self.merges:
            if a not in numbers or b not in numbers:
                raise ValueError(f"the merge {(a, b)} joins tokens that no merge before it made")
            self._ranks[numbers[a], numbers[b]] = len(self.tokens)
            numbers.setdefault(a + b, len(self.tokens))
            self.tokens.append(a + b)
        if "" in special:
            raise ValueError("a special token must be a text of one character or more")
        self.special = {text: len(self.tokens) + i for i, text in enumerate(special)}
        self.tokens += [text.encode() for text in self.special]
        self.vocab_size = len(self.tokens)
        marks = sorted(self.special, key=len, reverse=True)
        self._split = re.compile("(" + "|".join(map(re.escape, marks)) + ")") if marks else None
        self._known: dict[str, list[int]] = {}

    @classmethod
    def train(
        cls,
        text: str,
        vocab_size: int,
        special: Iterable[str] = (),
        progress: Callable[[int], None] = lambda merges: None,
    ) -> ByteBPE:
        """Find the merges of ``text``, until there are ``vocab_size`` tokens or no pair occurs twice.

        Of pairs equally frequent the one with the smaller bytes is taken, so that the same text gives the same merges.
        ValueError for a vocabulary smaller than the bytes and the special tokens.
        """
        special = list(dict.fromkeys(special))
        wanted = vocab_size - 256 - len(special)
        if wanted < 0:
            raise ValueError(
                f"vocab_size must be at least {256 + len(special)} (bytes and special tokens): {vocab_size}"
            )
        found = Counter(WORDS.findall(text))
        words = [list(word.encode()) for word in found]
        pairs = _Pairs(words, list(found.values()))
        merges = []
        while len(merges) < wanted and (best := pairs.most_frequent()) is not None:
            merges.append((pairs.tokens[best[0]], pairs.tokens[best[1]]))
            pairs.merge(*best)
            progress(len(merges))
        return cls(merges, special)

    def encode(self, text: str) -> list[int]:
        """The tokens of a text."""
        if self._split is None:
            return self._encode_plain(text)
        numbers = []
        for part in self._split.split(text):
            numbers += [self.special[part]] if part in self.special else self._encode_plain(part)
        return numbers

    def _encode_plain(self, text: str) -> list[int]:
        numbers: list[int] = []
        for word in WORDS.findall(text):
            if word not in self._known:
                if len(self._known) > 1 << 16:
                    self._known.clear()
                self._known[word] = self._encode_word(word)
            numbers += self._known[word]
        return numbers

    def _encode_word(self, word: str) -> list[int]:
        """The merges that apply, the earliest found first."""
        numbers = list(word.encode())
        while len(numbers) > 1:
            first = min(itertools.pairwise(numbers), key=lambda pair: self._ranks.get(pair, 1 << 62))
            if first not in self._ranks:
                break
            numbers = joined(numbers, first, self._ranks[first])
        return numbers

    def decode(self, numbers: Sequence[int] | Any) -> str:
        """The text; "�" for bytes that are no UTF-8 (half a character, say). IndexError for a number that is no token."""
        parts = []
        for number in map(int, numbers):
            if not 0 <= number < self.vocab_size:
                raise IndexError(
                    f"token {number} is not in the vocabulary, whose numbers are 0 to {self.vocab_size - 1}"
                )
            parts.append(self.tokens[number])
        return b"".join(parts).decode("utf-8", "replace")

    def save(self, path: str | os.PathLike) -> None:
        """Write it, as JSON; bytes as Latin-1."""
        merges = [[a.decode("latin-1"), b.decode("latin-1")] for a, b in self.merges]
        with atomic_write(path, "w", encoding="utf-8") as file:
            json.dump({"kind": "byte pairs", "merges": merges, "special": list(self.special)}, file)

    @classmethod
    def load(cls, path: str | os.PathLike) -> ByteBPE:
        """Read what ``save`` wrote. ValueError for another file."""
        saved = read(path, "byte pairs")
        return cls([(a.encode("latin-1"), b.encode("latin-1")) for a, b in saved["merges"]], saved["special"])

    def __repr__(self) -> str:
        return f"ByteBPE({self.vocab_size} tokens: 256 bytes, {len(self.merges)} merges, {len(self.special)} special)"


def joined(numbers: list[int], pair: tuple[int, int], number: int) -> list[int]:
    """The word with every occurrence of the pair, from the left, replaced by the number."""
    result, i = [], 0
    while i < len(numbers):
        if i + 1 < len(numbers) and (numbers[i], numbers[i + 1]) == pair:
            result.append(number)
            i += 2
        else:
            result.append(numbers[i])
            i += 1
    return result


class _Pairs:
    """How often each pair of neighbours occurs, kept up to date as pairs are merged: only words that hold the pair change."""

    def __init__(self, words: list[list[int]], counts: list[int]) -> None:
        self.words, self.counts = words, counts
        self.tokens = [bytes([i]) for i in range(256)]
        self.total: dict[tuple[int, int], int] = defaultdict(int)
        self.places: dict[tuple[int, int], set[int]] = defaultdict(set)
        for i in range(len(words)):
            self._count(i, 1)
        self.heap = [self._entry(pair) for pair in self.total]
        heapq.heapify(self.heap)

    def _entry(self, pair: tuple[int, int]) -> tuple:
        return -self.total[pair], self.tokens[pair[0]], self.tokens[pair[1]], pair

    def _count(self, i: int, sign: int) -> set[tuple[int, int]]:
        word, changed = self.words[i], set()
        for pair in itertools.pairwise(word):
            self.total[pair] += sign * self.counts[i]
            changed.add(pair)
            if sign > 0:
                self.places[pair].add(i)
        return changed

    def most_frequent(self) -> tuple[int, int] | None:
        """The pair to merge next; None if none occurs twice. Entries of the heap may be out of date: they go back."""
        while self.heap:
            entry = heapq.heappop(self.heap)
            pair = entry[3]
            if -entry[0] == self.total.get(pair, 0):
                return pair if -entry[0] > 1 else None
            if self.total.get(pair, 0) > 0:
                heapq.heappush(self.heap, self._entry(pair))
        return None

    def merge(self, a: int, b: int) -> None:
        """Make the pair a token."""
        number = len(self.tokens)
        self.tokens.append(self.tokens[a] + self.tokens[b])
        changed: set[tuple[int, int]] = set()
        for i in self.places.pop((a, b), ()):
            changed |= self._count(i, -1)
            self.words[i] = joined(self.words[i], (a, b), number)
            changed |= self._count(i, 1)
        self.total.pop((a, b), None)
        for pair in changed - {(a, b)}:
            if self.total[pair] > 0:
                heapq.heappush(self.heap, self._entry(pair))
            else:
                del self.total[pair]
