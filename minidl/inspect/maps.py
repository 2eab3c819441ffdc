"""Who looks at whom: the attention weights of every attention inside a model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minidl.autograd.grad_mode import no_grad
from minidl.inspect import arguments
from minidl.inspect.calls import Call, Followed, call, without_trace
from minidl.inspect.numbers import axes, mean_known, on_host, pick
from minidl.nn.module import Module
from minidl.nn.modules.attention import MultiheadAttention


@dataclass
class AttentionMap:
    """One attention: ``weights`` (N, H, T, S), of head h from query t to key s, as they were computed; each row sums to 1.
    The row of a query that may see no key is 0, and so is what it gives; or NaN, as its output is, where
    nn.MultiheadAttention was asked for weights (``need_weights=True``, in PyTorch too). Dropout is left out. ``path`` is the
    module it ran in, ``name`` that module's class."""

    path: str
    name: str
    weights: np.ndarray

    @property
    def blind(self) -> np.ndarray:
        """Which queries see no key, (N, H, T)."""
        return ~(self.weights.sum(-1, dtype=np.float64) > 0)

    @property
    def entropy(self) -> np.ndarray:
        """How widely each head looks, (N, H): the mean of -Σ p log p, in bits, over the queries that see something; NaN if
        none does."""
        p = np.where(self.blind[..., None], 0, self.weights.astype(np.float64))
        bits = -(p * np.log2(np.where(p > 0, p, 1))).sum(-1)
        seeing = (~self.blind).sum(-1)
        return np.where(seeing, bits.sum(-1) / np.maximum(seeing, 1), np.nan)

    def __repr__(self) -> str:
        means = [mean_known(bits) for bits in self.entropy.T]
        told = (
            f"{self.path or '(model)'} {self.name}: (N, H, T, S) = {self.weights.shape}, "
            f"entropy {', '.join(f'{bits:.2f}' for bits in means)} bits"
        )
        n = int(self.blind.sum())
        if not n:
            return told
        rows = "NaN" if np.isnan(self.weights[self.blind]).any() else "0"
        return f"{told}; {n} of {self.blind.size} queries see no key: their rows are {rows}"


@dataclass
class AttentionMaps:
    """Every attention that ran, in order."""

    maps: list[AttentionMap]

    def __getitem__(self, which: int | str) -> AttentionMap:
        """By number, or the first that ran in the module at a path. KeyError with the paths there are."""
        if isinstance(which, int):
            return pick(self.maps, which, "attention")
        found = next((m for m in self.maps if m.path == which), None)
        if found is None:
            raise KeyError(f"no attention ran in {which!r}; those that did: {', '.join(m.path for m in self.maps)}")
        return found

    def __len__(self) -> int:
        return len(self.maps)

    def __repr__(self) -> str:
        return "\n".join(map(repr, self.maps))

    def plot(
        self,
        ax: Any = None,
        which: int | str = 0,
        sequence: int = 0,
        queries: Sequence[str] | None = None,
        keys: Sequence[str] | None = None,
    ) -> Any:
        """Draw one attention's heads for one sequence, queries down and keys across; returns the Figure.

        With ``ax``, the mean of the heads on it; returns the Axes. ``queries`` and ``keys``: words to write at the sides.
        """
        shown = self[which]
        weights = pick(shown.weights, sequence, "sequence")
        if ax is not None:
            return _draw(ax, weights.mean(0), f"{shown.path}, mean of {len(weights)} heads", queries, keys)
        columns = min(len(weights), 4)
        rows = -(-len(weights) // columns)
        panels = axes(None, nrows=rows, ncols=columns, squeeze=False, figsize=(3 * columns, 3 * rows)).ravel()
        for head, panel in enumerate(panels):
            if head < len(weights):
                _draw(panel, weights[head], f"head {head}", queries, keys)
            else:
                panel.axis("off")
        panels[0].figure.suptitle(shown.path or shown.name)
        return panels[0].figure


def _draw(ax: Any, weights: np.ndarray, title: str, queries: Any, keys: Any) -> Any:
    if weights.size:
        ax.imshow(weights, vmin=0, cmap="viridis", interpolation="nearest", aspect="auto")
    ax.set_title(title)
    ax.set_xlabel("key")
    ax.set_ylabel("query")
    if keys is not None:
        ax.set_xticks(range(len(keys)), keys, rotation=90)
    if queries is not None:
        ax.set_yticks(range(len(queries)), queries)
    return ax


def attention_maps(model: Module, input: Any) -> AttentionMaps:
    """Run a model and note the weights of every attention inside it: of nn.MultiheadAttention, nn.GroupedQueryAttention, and
    of whatever calls ``functional.scaled_dot_product_attention``.

    Args:
        model: an attention layer or any model.
        input: what it is called with; a tuple stands for several arguments, a dict for arguments by name.

    The fused kernel never holds the T × S weights: they are computed again here, from the queries and keys that it got.

    Raises:
        ValueError: nothing attended.
    """
    arguments.module(model, "attention_maps")
    found: list[AttentionMap] = []

    def note(where: Call, operator: Any, arrays: tuple, result: Any) -> None:
        if operator.name == "Attention":
            weights = attention_weights(on_host(arrays[0]), on_host(arrays[1]), *operator.settings[:3])
        elif operator.name == "Softmax" and isinstance(where.module, MultiheadAttention):
            weights = on_host(result).copy()
        else:
            return
        found.append(AttentionMap(where.path, where.name, weights))

    with without_trace(model), no_grad(), Followed(model, keep=False, rule=note):
        call(model, input)
    if not found:
        raise ValueError(f"attention_maps: nothing attended in this {type(model).__name__}")
    return AttentionMaps(found)


def attention_weights(q: np.ndarray, k: np.ndarray, mask: Any, causal: bool, scale: float) -> np.ndarray:
    """softmax(scale q kᵀ + mask) of q (N, H, T, D) and k (N, G, S, D), H a multiple of G: (N, H, T, S)."""
    wide = np.float64 if q.dtype == np.float64 else np.float32
    k = np.repeat(k, q.shape[1] // max(k.shape[1], 1), 1)
    scores = (q.astype(wide) @ k.swapaxes(2, 3).astype(wide)) * wide(scale)
    if mask is not None:
        mask = on_host(mask)
        scores = np.where(mask, scores, -math.inf) if mask.dtype == bool else scores + mask
    if causal:
        scores = np.where(np.tril(np.ones(scores.shape[-2:], bool)), scores, -math.inf)
    largest = scores.max(-1, keepdims=True, initial=-math.inf)
    e = np.exp(scores - np.where(largest == -math.inf, 0, largest))
    total = e.sum(-1, keepdims=True)
    return e / np.where(total == 0, 1, total)
