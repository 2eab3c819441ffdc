"""The Transformer (Vaswani et al. 2017, "Attention Is All You Need"): encoder, decoder, and both together."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import minidl.nn.functional as F
from minidl import creation, dtypes, ops
from minidl.nn import init
from minidl.nn.containers import ModuleList
from minidl.nn.module import Module
from minidl.nn.modules.attention import MultiheadAttention
from minidl.nn.modules.linear import Linear
from minidl.nn.modules.normalization import Dropout, LayerNorm
from minidl.tensor import raw

__all__ = [
    "Transformer",
    "TransformerDecoder",
    "TransformerDecoderLayer",
    "TransformerEncoder",
    "TransformerEncoderLayer",
]

Activation = str | Callable[[Any], Any]


class _Layer(Module):
    """What both kinds of layers share: self-attention, a feed-forward network, and norms.

    Around each part f stand a residual connection and layer norm: norm(x + f(x)), or with ``norm_first``
    x + f(norm(x)) (Xiong et al. 2020, "On Layer Normalization in the Transformer Architecture").
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        place: dict[str, Any] = {"device": device, "dtype": dtype}
        for name in self.attentions:
            made = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first, **place)
            setattr(self, name, made)
        self.linear1 = Linear(d_model, dim_feedforward, bias, **place)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, **place)
        self.norm_first = norm_first
        parts = range(1, len(self.attentions) + 2)
        for i in parts:
            setattr(self, f"norm{i}", LayerNorm(d_model, layer_norm_eps, bias=bias, **place))
        for i in parts:
            setattr(self, f"dropout{i}", Dropout(dropout))
        self.activation = _activation(activation) if isinstance(activation, str) else activation

    attentions: tuple[str, ...]

    def _around(self, i: int, x: Any, part: Callable[[Any], Any]) -> Any:
        """Part number i with its residual connection, dropout and norm."""
        norm, dropout = getattr(self, f"norm{i}"), getattr(self, f"dropout{i}")
        if self.norm_first:
            return x + dropout(part(norm(x)))
        return norm(x + dropout(part(x)))

    def _feed_forward(self, x: Any) -> Any:
        return self.linear2(self.dropout(self.activation(self.linear1(x))))

    def _self_attention(self, x: Any, mask: Any, padding: Any, is_causal: bool) -> Any:
        return self.self_attn(
            x, x, x, attn_mask=mask, key_padding_mask=padding, need_weights=False, is_causal=is_causal
        )[0]


class TransformerEncoderLayer(_Layer):
    """Self-attention, then a feed-forward network, each with a residual connection and layer norm.

    Shapes: src and output (S, N, d_model), or (N, S, d_model) with ``batch_first``, or (S, d_model).

    Args:
        d_model: the width.
        nhead: heads of attention.
        dim_feedforward: the width inside the feed-forward network.
        dropout: of attention weights, inside the feed-forward network, and of what each part adds.
        activation: "relu", "gelu" or a function of a tensor.
        layer_norm_eps: ε of the norms.
        batch_first: the batch is the first dimension.
        norm_first: norms before the parts, not after the sums.
        bias: with biases in linear layers and norms.
    """

    attentions = ("self_attn",)

    def forward(self, src: Any, src_mask: Any = None, src_key_padding_mask: Any = None, is_causal: bool = False) -> Any:
        """The output, of the shape of src.

        Args:
            src_mask: (S, S) or (N · nhead, S, S), True where a key is hidden, or floating and added.
            src_key_padding_mask: (N, S), or (S) without a batch; likewise.
            is_causal: a hint that ``src_mask`` is the causal mask.
        """
        x = self._around(1, src, lambda x: self._self_attention(x, src_mask, src_key_padding_mask, is_causal))
        return self._around(2, x, self._feed_forward)


class TransformerDecoderLayer(_Layer):
    """Self-attention, attention to the encoder's output, and a feed-forward network.

    Shapes: tgt and output (T, N, d_model), memory (S, N, d_model), or with ``batch_first`` (N, …), or without N.
    Arguments as those of :class:`TransformerEncoderLayer`.
    """

    attentions = ("self_attn", "multihead_attn")

    def forward(
        self,
        tgt: Any,
        memory: Any,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Any:
        """The output, of the shape of tgt.

        Args:
            tgt_mask: (T, T) or (N · nhead, T, T), True where a key is hidden, or floating and added.
            memory_mask: (T, S) or (N · nhead, T, S); likewise.
            tgt_key_padding_mask, memory_key_padding_mask: (N, T) and (N, S); likewise.
            tgt_is_causal, memory_is_causal: hints that the mask is the causal one.
        """

        def look_at_memory(x: Any) -> Any:
            return self.multihead_attn(
                x,
                memory,
                memory,
                attn_mask=memory_mask,
                key_padding_mask=memory_key_padding_mask,
                need_weights=False,
                is_causal=memory_is_causal,
            )[0]

        x = self._around(1, tgt, lambda x: self._self_attention(x, tgt_mask, tgt_key_padding_mask, tgt_is_causal))
        x = self._around(2, x, look_at_memory)
        return self._around(3, x, self._feed_forward)


class TransformerEncoder(Module):
    """``num_layers`` copies of a layer, one after another, and a norm at the end if it is given.

    ``enable_nested_tensor`` and ``mask_check`` are PyTorch's; they change no result and do nothing here.
    """

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__()
        self.layers = _clones(encoder_layer, num_layers)
        self.num_layers, self.norm = num_layers, norm
        self.enable_nested_tensor, self.mask_check = enable_nested_tensor, mask_check

    def forward(
        self, src: Any, mask: Any = None, src_key_padding_mask: Any = None, is_causal: bool | None = None
    ) -> Any:
        """The output, of the shape of src. Masks as for a layer; ``is_causal=None``: find out."""
        causal = _is_causal(mask, is_causal, src, self.layers)
        for layer in self.layers:
            src = layer(src, src_mask=mask, is_causal=causal, src_key_padding_mask=src_key_padding_mask)
        return src if self.norm is None else self.norm(src)


class TransformerDecoder(Module):
    """``num_layers`` copies of a layer, one after another, and a norm at the end if it is given."""

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self.layers = _clones(decoder_layer, num_layers)
        self.num_layers, self.norm = num_layers, norm

    def forward(
        self,
        tgt: Any,
        memory: Any,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Any:
        """The output, of the shape of tgt. Masks as for a layer; ``tgt_is_causal=None``: find out."""
        causal = _is_causal(tgt_mask, tgt_is_causal, tgt, self.layers)
        for layer in self.layers:
            tgt = layer(
                tgt,
                memory,
                tgt_mask=tgt_mask,
                memory_mask=memory_mask,
                tgt_key_padding_mask=tgt_key_padding_mask,
                memory_key_padding_mask=memory_key_padding_mask,
                tgt_is_causal=causal,
                memory_is_causal=memory_is_causal,
            )
        return tgt if self.norm is None else self.norm(tgt)


class Transformer(Module):
    """Encoder and decoder: from a source (S, N, d_model) and a target (T, N, d_model) to (T, N, d_model).

    The two have a norm at their end. All weight matrices are drawn by Glorot's rule.

    Args:
        d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias: of the
            layers; see :class:`TransformerEncoderLayer`.
        num_encoder_layers, num_decoder_layers: how many.
        custom_encoder, custom_decoder: modules to use in their place, called as those here are.
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = F.relu,
        custom_encoder: Any = None,
        custom_decoder: Any = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        place: dict[str, Any] = {"device": device, "dtype": dtype}
        settings = (dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias)

        def norm() -> LayerNorm:
            return LayerNorm(d_model, layer_norm_eps, bias=bias, **place)

        if custom_encoder is None:
            layer = TransformerEncoderLayer(d_model, nhead, *settings, **place)
            custom_encoder = TransformerEncoder(layer, num_encoder_layers, norm())
        if custom_decoder is None:
            layer = TransformerDecoderLayer(d_model, nhead, *settings, **place)
            custom_decoder = TransformerDecoder(layer, num_decoder_layers, norm())
        self.encoder, self.decoder = custom_encoder, custom_decoder
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the initial values of all weight matrices."""
        for parameter in self.parameters():
            if parameter.ndim > 1:
                init.xavier_uniform_(parameter)

    def forward(
        self,
        src: Any,
        tgt: Any,
        src_mask: Any = None,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        src_key_padding_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Any:
        """The decoder's output, of the shape of tgt.

        Args:
            src_mask (S, S), tgt_mask (T, T), memory_mask (T, S): True where a key is hidden, or floating and added; or
                one a sequence and head, (N · nhead, …).
            src_key_padding_mask (N, S), tgt_key_padding_mask (N, T), memory_key_padding_mask (N, S): True for padding.
            src_is_causal, tgt_is_causal, memory_is_causal: hints that the mask is the causal one; None: find out.

        Raises:
            RuntimeError: batches or widths that differ.
        """
        place = 0 if self.batch_first else 1
        if src.ndim == 3 and src.shape[place] != tgt.shape[place]:
            raise RuntimeError(
                f"the batch number of src and tgt must be equal, but got src {list(src.shape)} and tgt "
                f"{list(tgt.shape)}, batch_first={self.batch_first}"
            )
        if src.shape[-1] != self.d_model or tgt.shape[-1] != self.d_model:
            raise RuntimeError(
                f"the feature number of src and tgt must be equal to d_model ({self.d_model}), but got src "
                f"{list(src.shape)} and tgt {list(tgt.shape)}"
            )
        memory = self.encoder(src, mask=src_mask, src_key_padding_mask=src_key_padding_mask, is_causal=src_is_causal)
        return self.decoder(
            tgt,
            memory,
            tgt_mask=tgt_mask,
            memory_mask=memory_mask,
            tgt_key_padding_mask=tgt_key_padding_mask,
            memory_key_padding_mask=memory_key_padding_mask,
            tgt_is_causal=tgt_is_causal,
            memory_is_causal=memory_is_causal,
        )

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Any:
        """The causal mask (sz, sz): 0 where a key is seen, -inf where it comes later than the query."""
        return ops.triu(creation.full((sz, sz), -math.inf, dtype=dtype, device=device), 1)


def _clones(module: Module, count: int) -> ModuleList:
    return ModuleList([copy.deepcopy(module) for _ in range(count)])


def _activation(name: str) -> Callable[[Any], Any]:
    if name not in ("relu", "gelu"):
        raise RuntimeError(f"activation should be relu/gelu, not {name}; or give a function")
    return getattr(F, name)


def _is_causal(mask: Any, hint: bool | None, x: Any, layers: ModuleList) -> bool:
    """The hint, or, if there is none, whether the mask is the causal one: attention then skips what it hides."""
    if hint is not None or mask is None:
        return bool(hint)
    first = layers[0].self_attn.batch_first if len(layers) else False
    length = x.shape[1 if first and x.ndim == 3 else 0]
    if tuple(mask.shape) != (length, length):
        return False
    causal = raw(Transformer.generate_square_subsequent_mask(length, device=mask.device))
    hidden = raw(mask)
    return bool(((causal < 0) == hidden).all() if mask.dtype == dtypes.bool_ else (causal == hidden).all())
