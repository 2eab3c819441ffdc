"""What networks that write share: they go on with a text token by token, and remember the keys and values so far."""

from __future__ import annotations

from typing import Any

from minidl import nn, ops
from minidl.models.generation import Beams, beam_search, evaluating, generate


class CausalLM(nn.Module):
    """A language model whose every token sees those before it; called as ``model(tokens, caches)``.

    Attributes
    ----------
    context      how many tokens it can look at
    num_layers   of attention; each has a cache of its own
    """

    context: int
    num_layers: int

    def make_caches(self) -> list[nn.KVCache]:
        """Empty, one for each layer."""
        return [nn.KVCache() for _ in range(self.num_layers)]

    def first_position(self, tokens: Any, caches: list[nn.KVCache] | None) -> int:
        """Where ``tokens`` (N, T) begin, behind what the caches hold. RuntimeError if they end beyond the context, or are
        not (N, T)."""
        if tokens.ndim != 2:
            raise RuntimeError(f"{type(self).__name__}: tokens are (N, T), not of shape {list(tokens.shape)}")
        first = caches[0].length if caches else 0
        end = first + tokens.shape[1]
        if end > self.context:
            raise RuntimeError(f"{type(self).__name__}: {end} tokens are more than its context of {self.context}")
        return first

    def generate(self, prompt: Any, max_new_tokens: int, **settings: Any) -> Any:
        """A prompt (N, L) continued; settings as those of :func:`minidl.models.generate`.

        A text longer than the context is read anew from its last half when the context is full.
        """
        with evaluating(self):
            return generate(_Memory(self).step, prompt, max_new_tokens, **settings)

    def beam_search(self, prompt: Any, num_beams: int, max_new_tokens: int, **settings: Any) -> Beams:
        """The likeliest continuations; settings as those of :func:`minidl.models.beam_search`.

        RuntimeError if prompt and continuation are longer than the context.
        """
        caches = self.make_caches()

        def step(tokens: Any, beams: Any) -> Any:
            if beams is not None:
                for cache in caches:
                    cache.reorder(beams)
            return self(tokens, caches)[:, -1]

        with evaluating(self):
            return beam_search(step, prompt, num_beams, max_new_tokens, **settings)


def check_config(config: dict[str, Any], usual: dict[str, Any]) -> None:
    """ValueError for settings of a published network that are neither left out nor what they always are here: it would be
    computed wrongly."""
    for name, value in usual.items():
        if config.get(name) not in (None, value):
            raise ValueError(f"config.json: {name} = {config[name]!r} is not supported; here it is always {value!r}")


class _Memory:
    """What a model that generates remembers: keys and values, and the tokens, to start afresh when the context is full."""

    def __init__(self, model: CausalLM) -> None:
        self.model, self.caches = model, model.make_caches()
        self.text: Any = None

    def step(self, tokens: Any) -> Any:
        context = self.model.context
        self.text = tokens if self.text is None else ops.cat([self.text, tokens], 1)
        if self.caches[0].length + tokens.shape[1] > context:
            self.caches = self.model.make_caches()
            self.text = tokens = self.text[:, -max(context // 2, 1) :]
        return self.model(tokens, self.caches)[:, -1]
