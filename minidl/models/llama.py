"""LLaMA: a GPT with rotary positions, RMSNorm and SwiGLU (Touvron et al. 2023, "LLaMA: Open and Efficient Foundation
Language Models"; grouped queries since "Llama 2")."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from minidl import nn, serialization
from minidl.models.causal import CausalLM, check_config
from minidl.models.initial import usual_std
from minidl.nn import init

# Settings of published networks that are always the same here.
USUAL = {
    "model_type": "llama",
    "attention_bias": False,
    "mlp_bias": False,
    "rope_scaling": None,
    "sliding_window": None,
    "hidden_act": "silu",
}


class DecoderLayer(nn.Module):
    """Attention, then a gated feed-forward network, each behind a norm and beside a residual connection."""

    def __init__(
        self, width: int, heads: int, kv_heads: int | None, hidden: int | None, eps: float, base: float, dropout: float
    ) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(width, eps)
        self.self_attn = nn.GroupedQueryAttention(width, heads, kv_heads, dropout=dropout, base=base)
        self.post_attention_layernorm = nn.RMSNorm(width, eps)
        self.mlp = nn.SwiGLU(width, hidden)

    def forward(self, x: Any, cache: nn.KVCache | None = None) -> Any:
        x = x + self.self_attn(self.input_layernorm(x), cache=cache)
        return x + self.mlp(self.post_attention_layernorm(x))


class Body(nn.Module):
    """All but the scores: (N, T) tokens → (N, T, width) states. Positions are turned into queries and keys alone."""

    def __init__(self, vocab_size: int, width: int, layers: list[DecoderLayer], eps: float) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(vocab_size, width)
        self.layers = nn.ModuleList(layers)
        self.norm = nn.RMSNorm(width, eps)

    def forward(self, tokens: Any, caches: list[nn.KVCache] | None) -> Any:
        x = self.embed_tokens(tokens)
        for i, layer in enumerate(self.layers):
            x = layer(x, caches[i] if caches else None)
        return self.norm(x)


class Llama(CausalLM):
    """LLaMA's network under the names of its published files; as it stands here, that of 15,191,712 parameters which
    llama2.c's "stories15M" has.

    (N, T) tokens → (N, T, vocab_size) scores of what follows each.

    Args:
        vocab_size: how many tokens there are.
        context: how many tokens it can look at.
        width: of the states, a multiple of ``heads``.
        layers, heads: how many.
        kv_heads: heads of keys and values, each for as many heads of queries; ``heads`` if None.
        hidden: width inside the feed-forward networks; about 8/3 · width if None.
        eps: of the norms.
        rope_base: the slowest rotation's wave is about 2π · base tokens long.
        tie: the scores come from the embedding's own matrix.
        dropout: of attention weights.
    """

    def __init__(
        self,
        vocab_size: int = 32000,
        context: int = 256,
        width: int = 288,
        layers: int = 6,
        heads: int = 6,
        kv_heads: int | None = None,
        hidden: int | None = None,
        eps: float = 1e-5,
        rope_base: float = 10000.0,
        tie: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if heads < 1 or width % heads or (kv_heads is not None and (kv_heads < 1 or heads % kv_heads)):
            raise ValueError(
                f"width ({width}) must be a multiple of heads ({heads}), and heads a multiple of kv_heads ({kv_heads})"
            )
        self.context, self.vocab_size, self.num_layers = context, vocab_size, layers
        made = [DecoderLayer(width, heads, kv_heads, hidden, eps, rope_base, dropout) for _ in range(layers)]
        self.model = Body(vocab_size, width, made, eps)
        self.lm_head = nn.Linear(width, vocab_size, bias=False)
        if tie:
            self.lm_head.weight = self.model.embed_tokens.weight
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the initial values: normal, with less for what is added 2 L times over, as for GPT-2."""
        std = usual_std(self.model.embed_tokens.embedding_dim)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                added = name.endswith(("o_proj.weight", "down_proj.weight"))
                init.normal_(parameter, std=std / math.sqrt(2 * self.num_layers) if added else std)

    def forward(self, tokens: Any, caches: list[nn.KVCache] | None = None) -> Any:
        """Scores (N, T, vocab_size). With ``caches``, one a layer, the tokens follow those that went before.

        RuntimeError if they are more than ``context`` together.
        """
        self.first_position(tokens, caches)
        return self.lm_head(self.model(tokens, caches))

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike) -> Llama:
        """The network of a folder with ``config.json`` and ``model.safetensors`` as Hugging Face keeps LLaMA's.

        Raises:
            FileNotFoundError: a file is missing.
            ValueError: the network has a part that is not here: biases, scaled rotations, heads of another width, a
                window; or it is another's.
            RuntimeError: the weights are of another network.
        """
        folder = Path(folder)
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        rotations = config.get("rope_parameters") or {}  # where newer files keep them
        check_config(rotations, {"rope_type": "default", "partial_rotary_factor": 1.0})
        width = config["hidden_size"] // config["num_attention_heads"]
        check_config(config, {**USUAL, "head_dim": width})
        model = cls(
            config["vocab_size"],
            config["max_position_embeddings"],
            config["hidden_size"],
            config["num_hidden_layers"],
            config["num_attention_heads"],
            config.get("num_key_value_heads"),
            config["intermediate_size"],
            config["rms_norm_eps"],
            rotations.get("rope_theta", config.get("rope_theta", 10000.0)),
            config.get("tie_word_embeddings", False),
        )
        saved = serialization.load_file(folder / "model.safetensors")
        named = {name: tensor for name, tensor in saved.items() if not name.endswith("rotary_emb.inv_freq")}
        if config.get("tie_word_embeddings", False) and "model.embed_tokens.weight" in named:
            named["lm_head.weight"] = named["model.embed_tokens.weight"]
        model.load_state_dict(named)
        model.eval()
        return model
