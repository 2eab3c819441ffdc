"""GPT-2: a Transformer that writes (Radford et al. 2019, "Language models are unsupervised multitask learners")."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from minidl import creation, nn, serialization
from minidl.models.causal import CausalLM, check_config
from minidl.models.initial import usual_std
from minidl.nn import functional as F
from minidl.nn import init

# Settings of published networks that are always the same here.
USUAL = {
    "model_type": "gpt2",
    "activation_function": "gelu_new",
    "layer_norm_epsilon": 1e-5,
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "add_cross_attention": False,
    "tie_word_embeddings": True,
}


class Conv1D(nn.Module):
    """y = x W + b with W (in, out): a linear layer, whose weight GPT-2's files keep the other way round."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(creation.empty((inputs, outputs)))
        self.bias = nn.Parameter(creation.zeros(outputs))

    def forward(self, x: Any) -> Any:
        return F.linear(x, self.weight.t(), self.bias)


class CausalAttention(nn.Module):
    """Each token looks at itself and at those before it. (N, T, width) → (N, T, width)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.c_attn, self.c_proj = Conv1D(width, 3 * width), Conv1D(width, width)
        self.heads, self.p, self.resid_dropout = heads, dropout, nn.Dropout(dropout)

    def forward(self, x: Any, cache: nn.KVCache | None = None) -> Any:
        n, t, width = x.shape
        q, k, v = (
            part.reshape((n, t, self.heads, width // self.heads)).transpose(1, 2)
            for part in self.c_attn(x).split(width, 2)
        )
        if cache is not None:
            k, v = cache.append(k, v)
        dropout_p = self.p if self.training else 0.0
        if k.shape[2] == t:
            y = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout_p, is_causal=True)
        else:  # with what the cache holds, query i is token (length - t + i)
            seen = creation.ones(t, k.shape[2], dtype="bool", device=x.device).tril(k.shape[2] - t)
            y = F.scaled_dot_product_attention(q, k, v, seen, dropout_p)
        return self.resid_dropout(self.c_proj(y.transpose(1, 2).reshape((n, t, width))))


class FeedForward(nn.Module):
    """Four times as wide inside."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.c_fc, self.c_proj, self.dropout = Conv1D(width, 4 * width), Conv1D(4 * width, width), nn.Dropout(dropout)

    def forward(self, x: Any) -> Any:
        return self.dropout(self.c_proj(F.gelu(self.c_fc(x), approximate="tanh")))


class Block(nn.Module):
    """Attention, then a feed-forward network, each behind a norm and beside a residual connection."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.ln_1, self.attn = nn.LayerNorm(width), CausalAttention(width, heads, dropout)
        self.ln_2, self.mlp = nn.LayerNorm(width), FeedForward(width, dropout)

    def forward(self, x: Any, cache: nn.KVCache | None = None) -> Any:
        x = x + self.attn(self.ln_1(x), cache)
        return x + self.mlp(self.ln_2(x))


class Body(nn.Module):
    """All but the scores: (N, T) tokens → (N, T, width) states."""

    def __init__(self, vocab_size: int, context: int, width: int, layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocab_size, width), nn.Embedding(context, width)
        self.drop = nn.Dropout(dropout)
        self.h = nn.ModuleList([Block(width, heads, dropout) for _ in range(layers)])
        self.ln_f = nn.LayerNorm(width)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the initial values: normal, with less for what is added 2 L times over (section 2.3)."""
        std = usual_std(self.wte.embedding_dim)
        for embedding in (self.wte, self.wpe):
            init.normal_(embedding.weight, std=std)
        for block in self.h:
            for layer in (block.attn.c_attn, block.mlp.c_fc):
                init.normal_(layer.weight, std=std)
            for added in (block.attn.c_proj, block.mlp.c_proj):
                init.normal_(added.weight, std=std / math.sqrt(2 * len(self.h)))

    def forward(self, tokens: Any, first: int, caches: list[nn.KVCache] | None) -> Any:
        places = creation.arange(first, first + tokens.shape[1], device=tokens.device)
        x = self.drop(self.wte(tokens) + self.wpe(places))
        for i, block in enumerate(self.h):
            x = block(x, caches[i] if caches else None)
        return self.ln_f(x)


class GPT(CausalLM):
    """GPT-2's network under the names of its published files; as it stands here, the smallest of them (124,439,808
    parameters: the scores come from the embedding's own matrix).

    (N, T) tokens → (N, T, vocab_size) scores of what follows each.

    Args:
        vocab_size: how many tokens there are.
        context: how many tokens it can look at.
        width: of the states, a multiple of ``heads``.
        layers, heads: how many.
        dropout: of embeddings, attention weights, and what each part adds.
    """

    def __init__(
        self,
        vocab_size: int = 50257,
        context: int = 1024,
        width: int = 768,
        layers: int = 12,
        heads: int = 12,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise ValueError(f"width ({width}) must be a multiple of heads ({heads})")
        self.context, self.vocab_size, self.num_layers = context, vocab_size, layers
        self.transformer = Body(vocab_size, context, width, layers, heads, dropout)
        self.lm_head = nn.Linear(width, vocab_size, bias=False)
        self.lm_head.weight = self.transformer.wte.weight

    def forward(self, tokens: Any, caches: list[nn.KVCache] | None = None) -> Any:
        """Scores (N, T, vocab_size). With ``caches``, one a layer, the tokens follow those that went before.

        RuntimeError if they are more than ``context`` together.
        """
        return self.lm_head(self.transformer(tokens, self.first_position(tokens, caches), caches))

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike) -> GPT:
        """The network of a folder with ``config.json`` and ``model.safetensors`` as Hugging Face keeps GPT-2's.

        Raises:
            FileNotFoundError: a file is missing.
            ValueError: the network has a part that is not here: another activation, other scores of attention.
            RuntimeError: the weights are of another network.
        """
        folder = Path(folder)
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        check_config(config, USUAL)
        model = cls(config["vocab_size"], config["n_positions"], config["n_embd"], config["n_layer"], config["n_head"])
        saved = serialization.load_file(folder / "model.safetensors")
        named = {
            name if name.startswith(("transformer.", "lm_head.")) else f"transformer.{name}": tensor
            for name, tensor in saved.items()
            if not name.endswith((".attn.bias", ".attn.masked_bias"))  # the causal mask, kept as a buffer
        }
        if "transformer.wte.weight" in named:
            named["lm_head.weight"] = named["transformer.wte.weight"]
        model.load_state_dict(named)
        model.eval()
        return model
