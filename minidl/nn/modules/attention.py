"""Multi-head attention as a layer."""

from __future__ import annotations

from typing import Any

import minidl.nn.functional as F
from minidl import creation
from minidl.nn import init
from minidl.nn.module import Module
from minidl.nn.modules.linear import Linear
from minidl.nn.parameter import Parameter

__all__ = ["MultiheadAttention"]


class MultiheadAttention(Module):
    """Several attentions side by side: ``functional.multi_head_attention_forward`` with its parameters.

    Shapes: query (T, N, E), key (S, N, kdim), value (S, N, vdim); with ``batch_first`` (N, T, E), …; without a batch
    (T, E), …. Output as the query. Weights (N, T, S), or (N, H, T, S).

    Args:
        embed_dim: E, a multiple of ``num_heads``.
        num_heads: H.
        dropout: the share of the attention weights dropped in training.
        bias: with biases in the projections.
        add_bias_kv: with one more key and value, learned: ``bias_k`` and ``bias_v``.
        add_zero_attn: with one more key and value, zero.
        kdim, vdim: the widths of keys and values, E if None.
        batch_first: the batch is the first dimension.

    Parameters: ``in_proj_weight`` (3E, E), the projections of queries, keys and values one below the other (or
    ``q_proj_weight`` (E, E), ``k_proj_weight`` (E, kdim), ``v_proj_weight`` (E, vdim), if the widths differ),
    ``in_proj_bias`` (3E), and the linear layer ``out_proj``. Weights are drawn by Glorot's rule, biases are 0.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError(
                f"embed_dim and num_heads must be greater than 0, got embed_dim={embed_dim} and num_heads={num_heads}"
            )
        super().__init__()
        self.embed_dim, self.num_heads = embed_dim, num_heads
        self.kdim, self.vdim = (embed_dim if d is None else d for d in (kdim, vdim))
        self.head_dim = embed_dim // num_heads
        if self.head_dim * num_heads != embed_dim:
            raise AssertionError(f"embed_dim ({embed_dim}) must be divisible by num_heads ({num_heads})")
        self.dropout, self.batch_first, self.add_zero_attn = dropout, batch_first, add_zero_attn
        self._same = self.kdim == embed_dim and self.vdim == embed_dim
        shapes: dict[str, Any] = {
            "q_proj_weight": None if self._same else (embed_dim, embed_dim),
            "k_proj_weight": None if self._same else (embed_dim, self.kdim),
            "v_proj_weight": None if self._same else (embed_dim, self.vdim),
            "in_proj_weight": (3 * embed_dim, embed_dim) if self._same else None,
            "in_proj_bias": (3 * embed_dim,) if bias else None,
            "bias_k": (1, 1, embed_dim) if add_bias_kv else None,
            "bias_v": (1, 1, embed_dim) if add_bias_kv else None,
        }
        for name, shape in shapes.items():
            made = None if shape is None else Parameter(creation.empty(shape, device=device, dtype=dtype))
            self.register_parameter(name, made)
        self.out_proj = Linear(embed_dim, embed_dim, bias, device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the initial values of all but ``out_proj.weight``."""
        for name in ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"):
            if getattr(self, name) is not None:
                init.xavier_uniform_(getattr(self, name))
        if self.in_proj_bias is not None:
            init.zeros_(self.in_proj_bias)
            init.zeros_(self.out_proj.bias)
        for added in (self.bias_k, self.bias_v):
            if added is not None:
                init.xavier_normal_(added)

    def forward(
        self,
        query: Any,
        key: Any,
        value: Any,
        key_padding_mask: Any = None,
        need_weights: bool = True,
        attn_mask: Any = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Any, Any]:
        """The output and the attention weights (None unless ``need_weights``).

        Args:
            key_padding_mask: (N, S), or (S) without a batch: True for keys that are hidden (or floating: added).
            need_weights: return the weights; without them the fused kernel computes, faster and in less memory.
            attn_mask: (T, S) or (N · H, T, S): True where a key is hidden from a query (or floating: added). Note that
                ``functional.scaled_dot_product_attention`` has it the other way round.
            average_attn_weights: the mean over the heads rather than the weights of each.
            is_causal: a hint that ``attn_mask`` is the causal mask.
        """
        return F.multi_head_attention_forward(
            query,
            key,
            value,
            self.embed_dim,
            self.num_heads,
            self.in_proj_weight,
            self.in_proj_bias,
            self.bias_k,
            self.bias_v,
            self.add_zero_attn,
            self.dropout,
            self.out_proj.weight,
            self.out_proj.bias,
            training=self.training,
            key_padding_mask=key_padding_mask,
            need_weights=need_weights,
            attn_mask=attn_mask,
            use_separate_proj_weight=not self._same,
            q_proj_weight=self.q_proj_weight,
            k_proj_weight=self.k_proj_weight,
            v_proj_weight=self.v_proj_weight,
            average_attn_weights=average_attn_weights,
            is_causal=is_causal,
            batch_first=self.batch_first,
        )
