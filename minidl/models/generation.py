"""How a language model's logits become text: sampling, and beam search."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from minidl import creation, ops, sampling
from minidl.autograd.grad_mode import no_grad
from minidl.nn import functional as F
from minidl.random import Generator

__all__ = ["Beams", "beam_search", "evaluating", "generate", "restrict", "sample"]


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """A block in which a model is in evaluation mode, and nothing goes on the tape."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training


def restrict(logits: Any, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None) -> Any:
    """Logits (…, V) divided by the temperature, those of tokens that may not be drawn set to -inf.

    Args:
        temperature: > 0; below 1 the likely become likelier, above 1 the unlikely do.
        top_k: only the k likeliest tokens (and those as likely as the k-th) may be drawn (Fan et al. 2018).
        top_p: only the fewest likeliest tokens whose probabilities sum to p or more ("nucleus", Holtzman et al. 2020),
            after ``temperature`` and ``top_k``.

    Raises:
        ValueError: a temperature ≤ 0, ``top_k`` < 1, ``top_p`` outside (0, 1].
    """
    if not temperature > 0:
        raise ValueError(
            f"temperature must be greater than 0, but is {temperature}; sample and generate take 0 too: greedy"
        )
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k must be 1 or more, but is {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p must be in (0, 1], but is {top_p}")
    logits = logits / temperature
    if top_k is not None and top_k < logits.shape[-1]:
        least = ops.topk(logits, top_k, -1)[0][..., -1:]
        logits = logits.masked_fill(logits < least, -math.inf)
    if top_p is not None and top_p < 1:
        order = ops.argsort(logits, -1, descending=True, stable=True)
        likeliest = ops.softmax(ops.gather(logits, -1, order), -1)
        before = ops.cumsum(likeliest, -1) - likeliest  # what the likelier ones hold already
        out = ops.scatter(creation.zeros_like(logits), -1, order, (before >= top_p).to(logits.dtype))
        logits = logits.masked_fill(out > 0, -math.inf)
    return logits


def sample(
    logits: Any,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: Generator | None = None,
) -> Any:
    """A token drawn for each row of logits.

    Args:
        logits: (…, V).
        temperature, top_k, top_p: see :func:`restrict`; temperature 0 takes the likeliest token.
        generator: where the random numbers come from.

    Returns:
        (…), int64.
    """
    if temperature == 0:
        return ops.argmax(logits.detach(), -1)
    below = logits.detach().double()
    below = below - below.amax(-1, keepdim=True)  # so that no temperature, however low, makes one infinite
    chosen = restrict(below, temperature, top_k, top_p)
    rows = ops.softmax(chosen.reshape((-1, logits.shape[-1])), -1)
    return sampling.multinomial(rows, 1, generator=generator).reshape(tuple(logits.shape[:-1]))


def generate(
    step: Callable[[Any], Any],
    prompt: Any,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    eos: int | None = None,
    generator: Generator | None = None,
) -> Any:
    """A prompt continued token by token.

    Args:
        step: new tokens (N, L) to the logits (N, V) of the token after them. First it gets the whole prompt, then one
            token at a time; what came before is the step's own to remember, say in a ``nn.KVCache``.
        prompt: (N, L), int64, L ≥ 1.
        max_new_tokens: how many at most.
        temperature, top_k, top_p, generator: see :func:`sample`.
        eos: the token that ends a text; after it a row is filled with it, and when all rows have ended nothing more is
            drawn.

    Returns:
        (N, L + new), int64: the prompt and what follows it.

    Raises:
        ValueError: a prompt of another shape; ``max_new_tokens`` below 0.
    """
    _check_prompt("generate", prompt)
    if max_new_tokens < 0:
        raise ValueError(f"generate: max_new_tokens must be 0 or more, but is {max_new_tokens}")
    texts, fresh = [prompt], prompt
    ended = np.zeros(prompt.shape[0], bool)
    with no_grad():
        for _ in range(max_new_tokens):
            drawn = sample(step(fresh), temperature, top_k, top_p, generator).cpu().numpy()
            if eos is not None:
                drawn = np.where(ended, eos, drawn)
                ended |= drawn == eos
            fresh = creation.tensor(drawn[:, None], device=prompt.device)
            texts.append(fresh)
            if ended.all() and len(ended):
                break
    return ops.cat(texts, 1)


def _check_prompt(name: str, prompt: Any) -> None:
    if not hasattr(prompt, "shape"):
        raise TypeError(
            f"{name}: a prompt is a tensor (N, L) of tokens, not {type(prompt).__name__}: encode the text first"
        )
    if len(prompt.shape) != 2 or not prompt.shape[1]:
        raise ValueError(f"{name}: a prompt is (N, L), L 1 or more, not of shape {tuple(prompt.shape)}")


@dataclass
class Beams:
    """What beam search found, the best first.

    tokens    (N, R, L + new), int64; a text that ended early is filled with ``eos``
    scores    (N, R), the log-probabilities of the new tokens, divided by the length penalty
    lengths   (N, R), int64, how many new tokens each text has, the ``eos`` included
    """

    tokens: Any
    scores: Any
    lengths: Any


def beam_search(
    step: Callable[[Any, Any], Any],
    prompt: Any,
    num_beams: int,
    max_new_tokens: int,
    eos: int | None = None,
    length_penalty: float = 0.0,
    num_return: int = 1,
) -> Beams:
    """The likeliest continuations, as far as ``num_beams`` of them, kept at each step, lead to them.

    A text that ends is set aside with its score log p / lengthᵅ, α = ``length_penalty`` (0: the plain log-probability,
    which favours short texts; 1: the mean over the tokens). The search ends when no beam can overtake the R best set
    aside, or after ``max_new_tokens``, when the beams still open count as texts too.

    Args:
        step: ``step(tokens, beams)`` with tokens (N · K, L) gives the logits (N · K, V) of the token after them. First
            it gets the prompt, each row K times, and None; then one token a row, and ``beams`` (N · K), int64: which row
            of the last call each row continues (hand it to ``nn.KVCache.reorder``).
        prompt: (N, L), int64.
        num_beams: K.
        max_new_tokens: how many at most.
        eos: the token that ends a text; None: all have ``max_new_tokens``.
        num_return: R, how many texts for each prompt, at most K.

    Raises:
        ValueError: numbers below 1, ``num_return`` above ``num_beams``; no prompt, or one of another shape; logits that
            are no numbers.
    """
    _check_prompt("beam_search", prompt)
    if not prompt.shape[0]:
        raise ValueError(f"beam_search: there is no prompt to go on from (shape {tuple(prompt.shape)})")
    if min(num_beams, max_new_tokens, num_return) < 1 or num_return > num_beams:
        raise ValueError(
            f"beam_search: num_beams ({num_beams}), max_new_tokens ({max_new_tokens}) and num_return ({num_return}) must "
            "be 1 or more, and no more texts be returned than there are beams"
        )
    n, device = prompt.shape[0], prompt.device
    searches = [_Search(num_beams, num_return, eos, length_penalty, max_new_tokens) for _ in range(n)]
    fresh, beams = prompt.repeat_interleave(num_beams, 0), None
    with no_grad():
        for _ in range(max_new_tokens):
            scores = F.log_softmax(step(fresh, beams).double(), -1).cpu().numpy()
            if np.isnan(scores).any():
                raise ValueError("beam_search: step gave logits that are NaN, or -inf for every token")
            logs = scores.reshape(n, num_beams, scores.shape[-1])
            moves = [search.advance(rows) for search, rows in zip(searches, logs)]
            if all(search.done for search in searches):
                break
            parents = np.concatenate([i * num_beams + parents for i, (parents, _) in enumerate(moves)])
            fresh = creation.tensor(np.concatenate([tokens for _, tokens in moves])[:, None], device=device)
            beams = creation.tensor(parents, device=device)
    found = [search.best() for search in searches]
    longest = max(len(tokens) for texts in found for _, tokens in texts)
    fill = 0 if eos is None else eos
    grid = np.full((n, num_return, longest), fill, np.int64)
    for i, texts in enumerate(found):
        for j, (_, tokens) in enumerate(texts):
            grid[i, j, : len(tokens)] = tokens
    start = prompt.unsqueeze(1).expand((n, num_return, prompt.shape[1]))
    return Beams(
        ops.cat([start, creation.tensor(grid, device=device)], 2),
        creation.tensor(np.array([[score for score, _ in texts] for texts in found])),
        creation.tensor(np.array([[len(tokens) for _, tokens in texts] for texts in found])),
    )


class _Search:
    """The beams of one prompt."""

    def __init__(self, width: int, wanted: int, eos: int | None, penalty: float, limit: int) -> None:
        self.width, self.wanted, self.eos, self.penalty, self.limit = width, wanted, eos, penalty, limit
        self.texts: list[list[int]] = [[] for _ in range(width)]
        self.logs = np.array([0.0] + [-np.inf] * (width - 1))  # all beams are alike at first: one counts
        self.ended: list[tuple[float, list[int]]] = []
        self.done = False

    def score(self, log: float, length: int) -> float:
        return float(log) / length**self.penalty

    def advance(self, logs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Go on with the log-probabilities (K, V) of the next tokens: which beam each continues, and by which token."""
        if self.done:
            return np.arange(self.width), np.full(self.width, self.eos or 0)
        total = self.logs[:, None] + logs
        vocabulary = total.shape[1]
        count = min(2 * self.width, total.size)  # so that K go on even if each beam ends
        order = np.argpartition(-total.ravel(), count - 1)[:count]
        order = order[np.lexsort((order, -total.ravel()[order]))]
        open_ = []
        for rank, place in enumerate(order):
            parent, token = divmod(int(place), vocabulary)
            log = float(total[parent, token])
            if log == -math.inf:
                continue
            text = [*self.texts[parent], token]
            if token == self.eos:
                if rank < self.width:
                    self.ended.append((self.score(log, len(text)), text))
            elif len(open_) < self.width:
                open_.append((log, parent, token, text))
        self.ended = sorted(self.ended, key=lambda text: -text[0])[: self.width]
        while len(open_) < self.width:  # fewer ways to go on than beams
            open_.append((-math.inf, open_[0][1] if open_ else 0, int(order[0]) % vocabulary, []))
        self.logs = np.array([log for log, *_ in open_])
        self.texts = [text for *_, text in open_]
        self.done = self._cannot_improve()
        return np.array([parent for _, parent, *_ in open_]), np.array([token for _, _, token, _ in open_])

    def _cannot_improve(self) -> bool:
        """Whether no open beam can come before the texts set aside. Log-probabilities only fall."""
        best = self.logs.max()
        if best == -math.inf:
            return True
        if len(self.ended) < self.wanted:
            return False
        lengths = (len(self.texts[int(self.logs.argmax())]) + 1, self.limit)
        return self.ended[self.wanted - 1][0] >= max(self.score(best, length) for length in lengths)

    def best(self) -> list[tuple[float, list[int]]]:
        opened = [(self.score(log, len(t)), t) for log, t in zip(self.logs, self.texts) if log > -math.inf and t]
        texts = sorted(self.ended + ([] if self.done and self.ended else opened), key=lambda text: -text[0])
        texts = texts or [(-math.inf, [])]
        return (texts + [texts[-1]] * self.wanted)[: self.wanted]
