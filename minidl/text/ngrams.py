"""The language model to beat: counts of the last few tokens, smoothed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


class NGram:
    """Interpolated Kneser-Ney with one discount: what followed the last n - 1 tokens, mixed with what followed the last
    n - 2, down to none:

        p(w | h) = max(c(h w) - d, 0)/c(h) + d · N(h)/c(h) · p(w | h without its first token)

    c counts occurrences (of shorter contexts: the different tokens before them), N(h) the different tokens after h. The last
    resort is uniform, so that no token is impossible. Kneser & Ney 1995; Chen & Goodman 1999, "An empirical study of
    smoothing techniques for language modeling". ``order=1`` is the unigram model.

    Args:
        tokens: the training text, numbers from 0.
        order: n; a gram must fit 63 bits: n · log₂(vocab_size) < 63.
        vocab_size: how many tokens there are.
        discount: d, between 0 and 1.
    """

    def __init__(self, tokens: Sequence[int] | Any, order: int, vocab_size: int, discount: float = 0.75) -> None:
        if order < 1 or vocab_size**order >= 1 << 63:
            raise ValueError(f"order must be 1 or more, and vocab_size ** order fit 63 bits: {order}, {vocab_size}")
        if not 0 < discount < 1:
            raise ValueError(f"discount must be between 0 and 1, but is {discount}")
        self.order, self.vocab_size, self.discount = order, vocab_size, discount
        self._tables = []
        grams, counts = np.unique(self._grams(self._checked(tokens), order), return_counts=True)
        for length in range(order, 0, -1):
            self._tables.insert(0, _Table(grams, counts, vocab_size))
            grams, counts = np.unique(grams % vocab_size ** (length - 1), return_counts=True)

    def _checked(self, tokens: Any) -> np.ndarray:
        tokens = np.asarray(tokens, np.int64)
        if tokens.size and not 0 <= tokens.min() <= tokens.max() < self.vocab_size:
            raise ValueError(
                f"tokens must be from 0 to {self.vocab_size - 1}, but are from {tokens.min()} to {tokens.max()}"
            )
        return tokens

    def _grams(self, tokens: np.ndarray, length: int) -> np.ndarray:
        """Each run of ``length`` tokens as a number: its digits in base ``vocab_size``."""
        keys = np.zeros(max(len(tokens) - length + 1, 0), np.int64)
        for i in range(length):
            keys = keys * self.vocab_size + tokens[i : i + len(keys)]
        return keys

    def probabilities(self, tokens: Sequence[int] | Any) -> np.ndarray:
        """p(token | up to n - 1 before it) for each token of a text, (T,)."""
        tokens = self._checked(tokens)
        p = np.full(len(tokens), 1 / self.vocab_size)
        for length, table in enumerate(self._tables, 1):
            grams = self._grams(tokens, length)
            p[length - 1 :] = table.mixed(grams, p[length - 1 :], self.discount)
        return p

    def probability(self, token: int, context: Sequence[int] | Any = ()) -> float:
        """p(token | context); of the context the last n - 1 tokens count."""
        recent = list(context)[max(len(context) - self.order + 1, 0) :]
        return float(self.probabilities([*recent, token])[-1])

    def guesses(self, tokens: Sequence[int] | Any) -> np.ndarray:
        """For each token of a text (T,) the one that most often followed the longest context before it that the training
        text has (of those as frequent, the smallest number)."""
        tokens = self._checked(tokens)
        found = np.zeros(len(tokens), np.int64)
        for length, table in enumerate(self._tables, 1):
            best, known = table.likeliest(self._grams(tokens, length) // self.vocab_size)
            found[length - 1 :] = np.where(known, best, found[length - 1 :])
        return found

    def bits(self, tokens: Sequence[int] | Any) -> float:
        """The mean of -log₂ p over a text. ValueError if it is empty."""
        if not len(tokens):
            raise ValueError("bits needs at least one token")
        return float(-np.log2(self.probabilities(tokens)).mean())


class _Table:
    """Counts of grams of one length, sorted, and of the contexts that they share."""

    def __init__(self, grams: np.ndarray, counts: np.ndarray, vocab_size: int) -> None:
        self.vocab_size, self.grams, self.counts = vocab_size, grams, counts
        self.contexts, self.starts, self.kinds = np.unique(grams // vocab_size, return_index=True, return_counts=True)
        self.totals = np.add.reduceat(counts, self.starts) if len(grams) else counts

    def mixed(self, grams: np.ndarray, shorter: np.ndarray, discount: float) -> np.ndarray:
        """Probabilities of ``grams``' last tokens, given those by the shorter contexts; these where one is unknown."""
        count, _ = _found(self.grams, self.counts, grams)
        contexts = grams // self.vocab_size
        total, known = _found(self.contexts, self.totals, contexts)
        kinds, _ = _found(self.contexts, self.kinds, contexts)
        total = np.maximum(total, 1)
        return np.where(known, np.maximum(count - discount, 0) / total + discount * kinds / total * shorter, shorter)

    def likeliest(self, contexts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The token that most often followed each context, and whether there is one."""
        order = np.lexsort((-self.counts, self.grams // self.vocab_size))
        return _found(self.contexts, self.grams[order[self.starts]] % self.vocab_size, contexts)


def _found(keys: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The values that stand beside the wanted keys, 0 where there is none; and whether there is."""
    if not len(keys):
        return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), bool)
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    known = keys[places] == wanted
    return np.where(known, values[places], 0), known
