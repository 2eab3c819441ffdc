"""The parts of today's language models: grouped-query attention with a cache of keys and values, and SwiGLU."""

from __future__ import annotations

from typing import Any

import minidl.nn.functional as F
from minidl import creation, dtypes, ops
from minidl.autograd.grad_mode import no_grad
from minidl.nn.module import Module
from minidl.nn.modules.linear import Linear
from minidl.nn.modules.positions import RotaryEmbedding

__all__ = ["GroupedQueryAttention", "KVCache", "SwiGLU"]


class KVCache:
    """The keys and values of all tokens so far, so that a new token's attention computes nothing twice.

    For each attention layer of a model its own. Room doubles when it is used up, so a token costs the same at any
    length. What is kept is not on the tape.

    Attributes
    ----------
    length    how many tokens are kept
    """

    def __init__(self) -> None:
        self.length = 0
        self._room: list[Any] = []

    def __repr__(self) -> str:
        kept = f", keys {[*self._room[0].shape[:2], self.length, self._room[0].shape[3]]}" if self._room else ""
        return f"KVCache(length={self.length}{kept})"

    def append(self, k: Any, v: Any) -> tuple[Any, Any]:
        """Keep new keys and values (N, G, T, D); returns all, (N, G, length, D).

        RuntimeError if they carry a gradient, or are of another batch or width than those kept.
        """
        if k.requires_grad or v.requires_grad:
            raise RuntimeError("KVCache: what is kept carries no gradient; generate under minidl.no_grad()")
        end = self.length + k.shape[2]
        for kept, new in zip(self._room, (k, v)):
            if (*kept.shape[:2], kept.shape[3]) != (*new.shape[:2], new.shape[3]):
                raise RuntimeError(
                    f"KVCache: keys and values of shape {list(new.shape)} do not continue those kept, "
                    f"{[*kept.shape[:2], self.length, kept.shape[3]]}"
                )
        if not self._room or end > self._room[0].shape[2]:
            self._grow(k, v, end)
        with no_grad():
            for kept, new in zip(self._room, (k, v)):
                kept[:, :, self.length : end] = new
        self.length = end
        return tuple(kept[:, :, :end] for kept in self._room)  # type: ignore[return-value]

    def _grow(self, k: Any, v: Any, needed: int) -> None:
        size = max(needed, 2 * self.length, 16)
        room = []
        for i, new in enumerate((k, v)):
            larger = creation.empty((*new.shape[:2], size, new.shape[3]), dtype=new.dtype, device=new.device)
            if self._room:
                larger[:, :, : self.length] = self._room[i][:, :, : self.length]
            room.append(larger)
        self._room = room

    def reorder(self, rows: Any) -> None:
        """Sequence i becomes what sequence ``rows[i]`` was (beam search: a beam goes on from another)."""
        self._room = [ops.index_select(kept, 0, rows) for kept in self._room]

    def truncate(self, length: int) -> None:
        """Forget all but the first ``length`` tokens."""
        if not 0 <= length <= self.length:
            raise ValueError(f"KVCache: cannot keep {length} of {self.length} tokens")
        self.length = length


class GroupedQueryAttention(Module):
    """Self-attention in which several heads of queries share a head of keys and values, with rotary positions.

    Ainslie et al. 2023, "GQA: Training Generalized Multi-Query Transformer Models"; ``num_kv_heads`` = ``num_heads`` is
    multi-head attention, 1 multi-query attention.

    Shapes: input and output (N, T, embed_dim).

    Args:
        embed_dim: E = num_heads · D.
        num_heads: H, heads of queries.
        num_kv_heads: G, heads of keys and values; H is a multiple of it. H if None.
        bias: with biases in the projections.
        dropout: the share of the attention weights dropped in training.
        rotary: turn queries and keys by their positions.
        base, interleaved: see ``functional.rotary_embedding``.

    Parameters: the linear layers ``q_proj`` (E → H · D), ``k_proj`` and ``v_proj`` (E → G · D), ``o_proj`` (H · D → E).
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        num_kv_heads: int | None = None,
        bias: bool = False,
        dropout: float = 0.0,
        rotary: bool = True,
        base: float = 10000.0,
        interleaved: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        groups = num_heads if num_kv_heads is None else num_kv_heads
        if min(embed_dim, num_heads, groups) <= 0 or embed_dim % num_heads or num_heads % groups:
            raise ValueError(
                f"GroupedQueryAttention: embed_dim ({embed_dim}) must be a multiple of num_heads ({num_heads}), and that "
                f"of num_kv_heads ({groups})"
            )
        self.embed_dim, self.num_heads, self.num_kv_heads = embed_dim, num_heads, groups
        self.head_dim, self.dropout = embed_dim // num_heads, dropout
        if rotary and self.head_dim % 2:
            raise ValueError(f"GroupedQueryAttention: rotary positions need an even head width, not {self.head_dim}")
        narrow = groups * self.head_dim
        self.q_proj = Linear(embed_dim, embed_dim, bias, device, dtype)
        self.k_proj = Linear(embed_dim, narrow, bias, device, dtype)
        self.v_proj = Linear(embed_dim, narrow, bias, device, dtype)
        self.o_proj = Linear(embed_dim, embed_dim, bias, device, dtype)
        self.rotary = RotaryEmbedding(self.head_dim, base, interleaved) if rotary else None

    def forward(self, input: Any, attn_mask: Any = None, is_causal: bool = True, cache: KVCache | None = None) -> Any:
        """The output (N, T, E).

        Args:
            attn_mask: broadcastable to (N, H, T, S), S = T + tokens in the cache: True where a key may be *seen*, or
                floating and added, as in ``functional.scaled_dot_product_attention``.
            is_causal: a token sees itself and those before it.
            cache: of the tokens before ``input``, which are seen too; the new ones are added to it.
        """
        if input.ndim != 3 or input.shape[-1] != self.embed_dim:
            raise RuntimeError(
                f"GroupedQueryAttention: expected input (N, T, {self.embed_dim}), but got {list(input.shape)}"
            )
        past = 0 if cache is None else cache.length
        q, k, v = (
            self._heads(layer(input), heads)
            for layer, heads in (
                (self.q_proj, self.num_heads),
                (self.k_proj, self.num_kv_heads),
                (self.v_proj, self.num_kv_heads),
            )
        )
        if self.rotary is not None:
            q, k = self.rotary(q, past), self.rotary(k, past)
        if cache is not None:
            k, v = cache.append(k, v)
        t = q.shape[2]
        if is_causal and past:  # the kernel's causal mask is for queries that begin where the keys do
            is_causal = False
            if t > 1:
                seen = creation.ones((t, past + t), dtype=dtypes.bool_, device=q.device).tril(past)
                attn_mask = seen if attn_mask is None else _both(seen, attn_mask)
        y = F.scaled_dot_product_attention(
            *(q, k, v, attn_mask, self.dropout if self.training else 0.0, is_causal), enable_gqa=True
        )
        return self.o_proj(y.transpose(1, 2).reshape((*input.shape[:2], self.embed_dim)))

    def _heads(self, x: Any, heads: int) -> Any:
        return x.reshape((*x.shape[:2], heads, self.head_dim)).transpose(1, 2)

    def extra_repr(self) -> str:
        return f"{self.embed_dim}, num_heads={self.num_heads}, num_kv_heads={self.num_kv_heads}"


def _both(seen: Any, mask: Any) -> Any:
    """A mask that hides what either of two does, the first of them boolean."""
    return seen & mask if mask.dtype == dtypes.bool_ else mask.masked_fill(~seen, float("-inf"))


class SwiGLU(Module):
    """y = W_down (silu(W_gate x) ⊙ W_up x): a feed-forward network whose inner values are gated.

    Shazeer 2020, "GLU Variants Improve Transformer". With ``hidden_features`` at ⅔ of the usual width, the default
    (⅔ · 4 · in_features, rounded up to a multiple of 8), it has as many parameters as one of two layers.

    Shapes: input (*, in_features), output (*, out_features), ``in_features`` of them if None.
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int | None = None,
        out_features: int | None = None,
        bias: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        hidden = -(-8 * in_features // 3 // 8) * 8 if hidden_features is None else hidden_features
        self.gate_proj = Linear(in_features, hidden, bias, device, dtype)
        self.up_proj = Linear(in_features, hidden, bias, device, dtype)
        self.down_proj = Linear(hidden, in_features if out_features is None else out_features, bias, device, dtype)

    def forward(self, input: Any) -> Any:
        return self.down_proj(F.silu(self.gate_proj(input)) * self.up_proj(input))
