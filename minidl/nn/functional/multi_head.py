"""Multi-head attention: several attentions side by side, each in its own projection of queries, keys and values."""

from __future__ import annotations

import math
from typing import Any

from minidl import creation, dtypes, ops
from minidl.nn.functional.affine import linear
from minidl.nn.functional.attention import scaled_dot_product_attention
from minidl.nn.functional.dropouts import dropout
from minidl.nn.functional.padding import pad

__all__ = ["multi_head_attention_forward"]


def multi_head_attention_forward(
    query: Any,
    key: Any,
    value: Any,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Any,
    in_proj_bias: Any,
    bias_k: Any,
    bias_v: Any,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Any,
    out_proj_bias: Any,
    training: bool = True,
    key_padding_mask: Any = None,
    need_weights: bool = True,
    attn_mask: Any = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Any = None,
    k_proj_weight: Any = None,
    v_proj_weight: Any = None,
    static_k: Any = None,
    static_v: Any = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
    batch_first: bool = False,
) -> tuple[Any, Any]:
    """Concat(head₁ … head_H) Wᴼ + bᴼ, where head_i = attention(Q W_iᑫ, K W_iᴷ, V W_iⱽ).

    Vaswani et al. 2017, "Attention Is All You Need", section 3.2.2. In the shapes N is the batch, T the number of
    queries, S that of keys, E = H · D the width, H the heads, D the width of a head.

    Args:
        query: (T, N, E), or (T, E) for a single sequence.
        key: (S, N, E), or (S, N, kdim) with separate projections.
        value: (S, N, E), or (S, N, vdim) with separate projections.
        embed_dim_to_check: E.
        num_heads: H.
        in_proj_weight: (3E, E), the projections of queries, keys and values one below the other.
        in_proj_bias: (3E) or None.
        bias_k, bias_v: (1, 1, E), one more key and value, learned; or None.
        add_zero_attn: one more key and value, zero: somewhere to look for a query that wants nothing.
        dropout_p: the share of the attention weights that is dropped in ``training``.
        out_proj_weight, out_proj_bias: (E, E) and (E).
        key_padding_mask: (N, S), or (S): boolean, True for keys that are hidden, or floating, added to the scores.
        need_weights: return the attention weights too. Without them the fused kernel computes, which never holds the
            T × S weights.
        attn_mask: (T, S) or (N · H, T, S): boolean, True where a key is *hidden*, or floating, added to the scores.
        use_separate_proj_weight: project with ``q_proj_weight`` (E, E), ``k_proj_weight`` (E, kdim) and
            ``v_proj_weight`` (E, vdim).
        static_k, static_v: (N · H, S, D) in place of the projected keys and values.
        average_attn_weights: average the returned weights over the heads.
        is_causal: a hint that ``attn_mask``, which must be given, is the causal one.
        batch_first: the batch is the first dimension of query, key, value and output (PyTorch's function has no such
            argument; its module does).

    Returns:
        The output, of the query's shape, and the weights (N, T, S), or (N, H, T, S) if not averaged, or None.

    Raises:
        AssertionError: shapes that do not fit.
        RuntimeError: an attention mask of a wrong shape, or ``is_causal`` without one.
    """
    batched = _check_ranks(query, key, value, key_padding_mask, attn_mask, num_heads)
    place = 0 if batch_first else 1  # of the batch
    if not batched:
        key_is_query, value_is_key = key is query, value is key
        query = query.unsqueeze(place)
        key = query if key_is_query else key.unsqueeze(place)
        value = key if value_is_key else value.unsqueeze(place)
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    if is_causal and attn_mask is None:
        raise RuntimeError(
            "multi_head_attention_forward: Need attn_mask if specifying the is_causal hint; make it with "
            "nn.Transformer.generate_square_subsequent_mask(length)"
        )
    is_causal = is_causal and key_padding_mask is None and not need_weights
    n, t = query.shape[place], query.shape[1 - place]
    _check_sizes(query, key, value, embed_dim_to_check, num_heads, use_separate_proj_weight)
    if use_separate_proj_weight:
        weights = (q_proj_weight, k_proj_weight, v_proj_weight)
        _check_weights(weights, (query, key, value))
        q, k, v = _separate(query, key, value, weights, in_proj_bias, num_heads, batch_first)
    else:
        q, k, v = _packed(query, key, value, in_proj_weight, in_proj_bias, num_heads, batch_first)
    k, v = _static("static_k", static_k, k), _static("static_v", static_v, v)
    mask = None
    if not is_causal:
        mask = _merged(attn_mask, key_padding_mask, (n, num_heads, t, key.shape[1 - place]), k.shape[2], query.dtype)
    k, v, added = _extended(k, v, bias_k, bias_v, add_zero_attn)
    if mask is not None and added:
        mask = pad(mask, (0, added))
    dropped = float(dropout_p) if training else 0.0
    if need_weights:
        y, seen = _attend(q, k, v, mask, dropped)
        seen = seen.mean(1) if average_attn_weights else seen
        seen = seen if batched else seen.squeeze(0)
    else:
        if mask is not None and mask.dtype == dtypes.bool_:
            mask = ~mask
        y, seen = scaled_dot_product_attention(q, k, v, mask, dropped, is_causal), None
    y = y.permute(0, 2, 1, 3) if batch_first else y.permute(2, 0, 1, 3)
    y = linear(y.reshape((*y.shape[:2], embed_dim_to_check)), out_proj_weight, out_proj_bias)
    return y if batched else y.squeeze(place), seen


def _attend(q: Any, k: Any, v: Any, mask: Any, p: float) -> tuple[Any, Any]:
    """Attention with all its weights (N, H, T, S) at hand."""
    scores = ops.matmul(q * math.sqrt(1 / q.shape[-1]), k.mT)
    if mask is not None:
        scores = scores + (_additive(mask, q.dtype) if mask.dtype == dtypes.bool_ else mask)
    weights = ops.softmax(scores, -1)
    if p:
        weights = dropout(weights, p)
    return ops.matmul(weights, v), weights


# ---------------------------------------------------------------------------------------------------- the projections


def _heads(x: Any, heads: int, batch_first: bool) -> Any:
    """x (N, T, E), or (T, N, E), as (N, H, T, D)."""
    x = x.reshape((*x.shape[:2], heads, x.shape[-1] // heads))
    return x.permute(0, 2, 1, 3) if batch_first else x.permute(1, 2, 0, 3)


def _several(x: Any, weight: Any, bias: Any, count: int, heads: int, batch_first: bool) -> Any:
    """``count`` projections of one x, as (N, H, T, D) each, by one product."""
    y = linear(x, weight, bias)
    y = y.reshape((*y.shape[:2], count, heads, y.shape[-1] // (count * heads)))
    return (y.permute(2, 0, 3, 1, 4) if batch_first else y.permute(2, 1, 3, 0, 4)).unbind(0)


def _packed(query: Any, key: Any, value: Any, weight: Any, bias: Any, heads: int, batch_first: bool) -> Any:
    if weight is None:
        raise AssertionError("use_separate_proj_weight is False but in_proj_weight is None")
    if query is key and key is value:
        return _several(query, weight, bias, 3, heads, batch_first)
    e = query.shape[-1]
    if key is value:
        first, rest = weight.split([e, 2 * e])
        first_bias, rest_bias = (None, None) if bias is None else bias.split([e, 2 * e])
        q = _heads(linear(query, first, first_bias), heads, batch_first)
        return q, *_several(key, rest, rest_bias, 2, heads, batch_first)
    return _separate(query, key, value, weight.chunk(3), bias, heads, batch_first)


def _separate(query: Any, key: Any, value: Any, weights: Any, bias: Any, heads: int, batch_first: bool) -> Any:
    biases = (None,) * 3 if bias is None else bias.chunk(3)
    inputs = (query, key, value)
    return tuple(_heads(linear(x, w, b), heads, batch_first) for x, w, b in zip(inputs, weights, biases))


def _check_weights(weights: Any, inputs: Any) -> None:
    for name, weight, x in zip("qkv", weights, inputs):
        if weight is None:
            raise AssertionError(f"use_separate_proj_weight is True but {name}_proj_weight is None")
        if weight.shape[-1] != x.shape[-1]:
            raise AssertionError(
                f"expecting {name}_proj_weight for inputs of width {x.shape[-1]}, but got shape {list(weight.shape)}"
            )


def _static(name: str, given: Any, projected: Any) -> Any:
    """Keys or values given as (N · H, S, D), if they are."""
    if given is None:
        return projected
    n, heads, _, d = projected.shape
    if given.shape[0] != n * heads or given.shape[2] != d:
        raise AssertionError(f"expecting {name} of shape ({n * heads}, S, {d}), but got {list(given.shape)}")
    return given.reshape((n, heads, given.shape[1], d))


def _extended(k: Any, v: Any, bias_k: Any, bias_v: Any, zero: bool) -> tuple[Any, Any, int]:
    """Keys and values with the learned and the zero one at their end, and how many were added."""
    if (bias_k is None) != (bias_v is None):
        raise AssertionError("bias_k and bias_v go together: only one of them is given")
    n, heads, length, d = k.shape
    if bias_k is not None:
        k, v = (
            ops.cat([x, b.reshape((1, heads, 1, d)).expand((n, -1, -1, -1))], 2) for x, b in ((k, bias_k), (v, bias_v))
        )
    if zero:
        nothing = creation.zeros((n, heads, 1, d), dtype=k.dtype, device=k.device)
        k, v = ops.cat([k, nothing], 2), ops.cat([v, nothing], 2)
    return k, v, k.shape[2] - length


# ----------------------------------------------------------------------------------------------------------- the masks


def _merged(attn_mask: Any, padding: Any, sizes: tuple, keys: int, dtype: Any) -> Any:
    """Both masks as one that broadcasts to (N, H, T, S): boolean (True: hidden) if both are, else floating."""
    n, heads, t, s = sizes
    if attn_mask is not None:
        wanted = (t, s) if attn_mask.ndim == 2 else (n * heads, t, s)
        if tuple(attn_mask.shape) != wanted:
            raise RuntimeError(
                f"The shape of the {attn_mask.ndim}D attn_mask is {list(attn_mask.shape)}, but should be {list(wanted)}"
            )
        attn_mask = attn_mask.reshape((1, 1, t, s) if attn_mask.ndim == 2 else (n, heads, t, s))
    if padding is not None:
        if tuple(padding.shape) != (n, keys):
            raise AssertionError(f"Expected key_padding_mask of shape {[n, keys]}, but got {list(padding.shape)}")
        padding = padding.reshape((n, 1, 1, keys))
    if attn_mask is None or padding is None:
        return padding if attn_mask is None else attn_mask
    if attn_mask.dtype == padding.dtype == dtypes.bool_:
        return attn_mask | padding
    return _additive(attn_mask, dtype) + _additive(padding, dtype)


def _additive(mask: Any, dtype: Any) -> Any:
    """A boolean mask as one that is added: -inf where it is True."""
    if mask.dtype != dtypes.bool_:
        return mask
    return creation.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(mask, -math.inf)


# ---------------------------------------------------------------------------------------------------------- the checks


def _check_ranks(query: Any, key: Any, value: Any, padding: Any, mask: Any, heads: int) -> bool:
    """Whether there is a batch. AssertionError for numbers of dimensions that do not fit together."""
    if query.ndim not in (2, 3):
        raise AssertionError(
            f"query should be unbatched 2D or batched 3D tensor but received {query.ndim}-D query tensor"
        )
    batched = query.ndim == 3
    what = "batched (3-D)" if batched else "unbatched (2-D)"
    if key.ndim != query.ndim or value.ndim != query.ndim:
        raise AssertionError(
            f"For {what} `query`, expected `key` and `value` to be {query.ndim}-D but found {key.ndim}-D and "
            f"{value.ndim}-D tensors respectively"
        )
    for name, given, ranks in (("key_padding_mask", padding, (query.ndim - 1,)), ("attn_mask", mask, (2, 3))):
        if given is None:
            continue
        if given.ndim not in ranks:
            raise AssertionError(
                f"For {what} `query`, expected `{name}` to be `None` or {' or '.join(f'{r}-D' for r in ranks)} but found "
                f"{given.ndim}-D tensor instead"
            )
        if given.dtype != dtypes.bool_ and not given.dtype.is_floating_point:
            raise AssertionError(f"only bool and floating types of {name} are supported, but got {given.dtype}")
    if not batched and mask is not None and mask.ndim == 3:
        wanted = (heads, query.shape[0], key.shape[0])
        if tuple(mask.shape) != wanted:
            raise AssertionError(f"Expected `attn_mask` shape to be {wanted} but got {list(mask.shape)}")
    return batched


def _check_sizes(query: Any, key: Any, value: Any, embed_dim: int, heads: int, separate: bool) -> None:
    if query.shape[-1] != embed_dim:
        raise AssertionError(
            f"was expecting embedding dimension of {embed_dim}, but got {query.shape[-1]}: query {list(query.shape)}"
        )
    if embed_dim % heads:
        raise AssertionError(f"embed_dim {embed_dim} not divisible by num_heads {heads}")
    last = -1 if separate else None
    if tuple(key.shape)[:last] != tuple(value.shape)[:last]:
        raise AssertionError(
            f"key shape {list(key.shape)} does not match value shape {list(value.shape)}"
            + (" in the sequence and batch dimensions" if separate else "")
        )
