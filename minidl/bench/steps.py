"""A training step of a whole language model on a GPU, beside PyTorch's: the shape of GPT-2 small, written once for both.

Radford et al. 2019, "Language Models are Unsupervised Multitask Learners": 12 layers of width 768 with 12 heads, 124 million
parameters, the embedding shared with the last product. AdamW, bfloat16 under autocast, batch 4 of 1,024 tokens.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import minidl
from minidl import backends
from minidl.bench import ceilings as limits
from minidl.bench import timing
from minidl.bench.results import Row


@dataclass(frozen=True)
class Size:
    """Layers, width, heads, vocabulary, sequences and tokens each."""

    layers: int = 12
    width: int = 768
    heads: int = 12
    vocabulary: int = 50257
    batch: int = 4
    tokens: int = 1024

    @property
    def parameters(self) -> int:
        """Weights that take part in products."""
        return self.layers * 12 * self.width**2 + self.vocabulary * self.width

    @property
    def flops(self) -> int:
        """Operations of a step: 6 a weight and token, and attention's own (Kaplan et al. 2020, section 2.1; causal)."""
        n = self.batch * self.tokens
        return 6 * self.parameters * n + 6 * self.layers * n * self.tokens * self.width

    @property
    def nbytes(self) -> int:
        """Bytes that a step must move: weights, gradients and both moments in float32."""
        return 7 * 4 * self.parameters


GPT2 = Size()


def network(library: Any, size: Size = GPT2) -> Any:
    """The model in either library: token numbers (B, T) to logits (B, T, vocabulary)."""
    nn, functional = library.nn, library.nn.functional

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            w = size.width
            self.before_attention, self.before_mlp = nn.LayerNorm(w), nn.LayerNorm(w)
            self.qkv, self.out = nn.Linear(w, 3 * w), nn.Linear(w, w)
            self.up, self.down = nn.Linear(w, 4 * w), nn.Linear(4 * w, w)

        def forward(self, x: Any) -> Any:
            b, t, w = x.shape
            qkv = self.qkv(self.before_attention(x)).reshape(b, t, 3, size.heads, w // size.heads)
            q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
            mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(mixed.transpose(1, 2).reshape(b, t, w))
            return x + self.down(functional.gelu(self.up(self.before_mlp(x)), approximate="tanh"))

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token = nn.Embedding(size.vocabulary, size.width)
            self.place = nn.Embedding(size.tokens, size.width)
            self.blocks = nn.Sequential(*(Block() for _ in range(size.layers)))
            self.norm = nn.LayerNorm(size.width)

        def forward(self, index: Any) -> Any:
            places = library.arange(index.shape[1], device=index.device)
            x = self.norm(self.blocks(self.token(index) + self.place(places)))
            return functional.linear(x, self.token.weight)

    return Model()


def training(library: Any, device: str, size: Size = GPT2, half: bool = True) -> Callable[[], Any]:
    """A step of training in either library, on ``device``; it returns the loss."""
    random = np.random.default_rng(0)
    model = network(library, size)
    with library.no_grad():
        for p in model.parameters():
            if p.ndim > 1:
                p.copy_(
                    library.tensor(random.standard_normal(tuple(p.shape), np.float32) * np.float32(0.02), device="cpu")
                )
            else:
                p.fill_(float((p == 1).all()))  # norms' scales stay 1, biases are 0
    model = model.to(device)
    optimizer = library.optim.AdamW(model.parameters(), lr=1e-4)
    text = random.integers(0, size.vocabulary, (size.batch, size.tokens + 1))
    index = library.tensor(text[:, :-1], device="cpu").to(device)
    target = library.tensor(text[:, 1:].ravel(), device="cpu").to(device)

    def step() -> Any:
        optimizer.zero_grad()
        with library.autocast(device, dtype=library.bfloat16) if half else contextlib.nullcontext():
            logits = model(index)
            loss = library.nn.functional.cross_entropy(logits.reshape(-1, size.vocabulary), target)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def measure(names: list[str], torch: Any, ceilings: limits.Ceilings, runs: int = 10, size: Size = GPT2) -> list[Row]:
    """Time the step on the backends ``names`` and, if it is given, with PyTorch, on the GPU or wherever the backends are.

    RuntimeError if the first losses differ.
    """
    device = backends.device_type(names[0])
    works: dict[str, Callable[[], Any]] = {}
    losses: dict[str, float] = {}
    for name in names:
        with backends.use_backend(name):
            works[name] = _under(name, training(minidl, device, size))
            losses[name] = works[name]().item()
    if torch is not None:
        works["torch"] = training(torch, device, size)
        losses["torch"] = works["torch"]().item()
    first = next(iter(losses.values()))
    if any(abs(loss - first) > 0.02 * abs(first) for loss in losses.values()):
        raise RuntimeError(f"the first losses differ: {losses}; there is nothing to compare")
    rows = []
    for name, taken in timing.in_turn(works, dict.fromkeys(works, timing.clock(device)), runs, budget=20).items():
        verdict = limits.judge(ceilings, taken.seconds, size.flops, size.nbytes, calls=100)
        shown = f"{size.batch} × {size.tokens}"
        rows.append(
            Row(
                *("gpt2 small", "training step", shown, size.batch * size.tokens, "bfloat16", name, name),
                *(taken.seconds, taken.spread, taken.runs, size.flops, size.nbytes),
                *(verdict.bound, verdict.share, verdict.sentence),
            )
        )
    return rows


def _under(name: str, step: Callable[[], Any]) -> Callable[[], Any]:
    def work() -> Any:
        with backends.use_backend(name):
            return step()

    return work
