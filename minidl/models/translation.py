"""A Transformer that translates, as Vaswani et al. 2017 built it ("Attention Is All You Need")."""

from __future__ import annotations

import math
from typing import Any

from minidl import creation, nn, ops
from minidl.models.generation import Beams, beam_search, evaluating
from minidl.nn import init


class Transformer(nn.Module):
    """Encoder and decoder with embeddings, sinusoidal positions, and scores from the target embedding's own matrix.

    Source (N, S) and target (N, T) tokens, both padded at the end with ``padding`` → (N, T, target_vocab) scores of what
    follows each target token.

    Args:
        source_vocab, target_vocab: how many tokens each side has; ``source_vocab`` None: both share one embedding.
        width, heads, layers, inner: of encoder and decoder; ``inner`` 4 · ``width`` if None.
        dropout: of embeddings, attention weights, and what each part adds.
        max_len: the longest text.
        padding: the token that fills up.
    """

    def __init__(
        self,
        target_vocab: int,
        source_vocab: int | None = None,
        width: int = 256,
        heads: int = 8,
        layers: int = 3,
        inner: int | None = None,
        dropout: float = 0.1,
        max_len: int = 512,
        padding: int = 0,
    ) -> None:
        super().__init__()
        self.padding, self.width = padding, width
        self.target_embedding = nn.Embedding(target_vocab, width, padding_idx=padding)
        self.source_embedding = (
            self.target_embedding if source_vocab is None else nn.Embedding(source_vocab, width, padding_idx=padding)
        )
        self.positions = nn.SinusoidalPositions(max_len, width, dropout, batch_first=True)
        self.transformer = nn.Transformer(
            width, heads, layers, layers, inner or 4 * width, dropout, batch_first=True, norm_first=True
        )
        self.head = nn.Linear(width, target_vocab, bias=False)
        self.head.weight = self.target_embedding.weight
        for embedding in {self.source_embedding, self.target_embedding}:
            init.normal_(embedding.weight, std=width**-0.5)

    def forward(self, source: Any, target: Any) -> Any:
        """Scores (N, T, target_vocab)."""
        return self.decode(target, *self.encode(source))

    def encode(self, source: Any) -> tuple[Any, Any]:
        """What the encoder makes of a source, (N, S, width), and where it is padding, (N, S)."""
        hidden = source == self.padding
        return self.transformer.encoder(
            self._placed(self.source_embedding, source), src_key_padding_mask=hidden
        ), hidden

    def decode(self, target: Any, memory: Any, hidden: Any) -> Any:
        """Scores (N, T, target_vocab), given the encoder's memory. Each token sees those before it; padding comes last,
        so that nothing but padding sees it."""
        return self.head(self._states(target, memory, hidden))

    def _states(self, target: Any, memory: Any, hidden: Any) -> Any:
        mask = nn.Transformer.generate_square_subsequent_mask(target.shape[1], device=target.device)
        return self.transformer.decoder(
            self._placed(self.target_embedding, target),
            memory,
            mask,
            memory_key_padding_mask=hidden,
            tgt_is_causal=True,
        )

    def _placed(self, embedding: nn.Embedding, tokens: Any) -> Any:
        return self.positions(embedding(tokens) * math.sqrt(self.width))

    def translate(
        self,
        source: Any,
        bos: int,
        eos: int,
        num_beams: int = 4,
        max_new_tokens: int = 100,
        length_penalty: float = 1.0,
    ) -> Beams:
        """Translations of sources (N, S), by beam search (:func:`minidl.models.beam_search`). They begin with ``bos``."""
        with evaluating(self):
            memory, hidden = (x.repeat_interleave(num_beams, 0) for x in self.encode(source))
            texts: list[Any] = [None]

            def step(tokens: Any, beams: Any) -> Any:
                if beams is not None:
                    tokens = ops.cat([ops.index_select(texts[0], 0, beams), tokens], 1)
                texts[0] = tokens
                return self.head(self._states(tokens, memory, hidden)[:, -1])

            prompt = creation.full((source.shape[0], 1), bos, dtype="int64", device=source.device)
            return beam_search(step, prompt, num_beams, max_new_tokens, eos, length_penalty)

    def attention_maps(self, source: Any, target: Any) -> list[Any]:
        """Which source tokens each target token looks at: for each decoder layer (N, heads, T, S)."""
        seen: list[Any] = []
        layers = self.transformer.decoder.layers
        handles = [
            layer.multihead_attn.register_forward_hook(lambda module, inputs, output: seen.append(inputs[:2]))
            for layer in layers
        ]
        try:
            with evaluating(self):
                hidden = self.encode(source)[1]
                self(source, target)
        finally:
            for handle in handles:
                handle.remove()
        with evaluating(self):
            return [
                layer.multihead_attn(x, memory, memory, key_padding_mask=hidden, average_attn_weights=False)[1]
                for layer, (x, memory) in zip(layers, seen)
            ]
