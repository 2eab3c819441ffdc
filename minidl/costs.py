"""How many operations one call of a room's kernel computes, from the arrays that it was given.

The room's own cost model, where forward is concerned; backward by its formula.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from minidl_kernels import attention, convolution, matmul


def flops(room: str, function: str, args: tuple, result: Any, named: dict[str, Any] | None = None) -> int:
    """Operations of ``minidl_kernels.<room>.<function>(*args, **named)``; of what is not known, one for each value of the
    largest array."""
    counted = _COUNTS.get(room)
    try:
        if counted is not None:
            return int(counted(function, args if room != "attention" else (*args, named or {}), result))
    except (IndexError, AttributeError, TypeError, ValueError):  # called with keywords: count values
        pass
    return _largest((args, result))


def _largest(values: Any) -> int:
    if isinstance(values, (tuple, list)):
        return max((_largest(value) for value in values), default=0)
    return int(getattr(values, "size", 0))


def _rows(forward: int, backward: int) -> Callable[..., int]:
    """Operations a value of the largest array."""
    return lambda function, args, result: _largest(args) * (backward if function == "backward" else forward)


def _matmul(function: str, args: tuple, result: Any) -> int:
    return matmul.flops(args[0].shape, args[1].shape, len(args) > 2 and args[2] is not None)


def _convolution(function: str, args: tuple, result: Any) -> int:
    if function == "forward":
        x, w, y = args[0], args[1], result
    elif function == "input_gradient":
        x, w, y = result, args[1], args[0]
    elif function == "weight_gradient":
        x, w, y = args[0], result, args[1]
    else:
        return _largest((args, result))
    filters, channels = w.shape[:2]
    return convolution.flops(x.shape[0], channels, filters, y.shape[2:], w.shape[2:], 1)


def _pooling(function: str, args: tuple, result: Any) -> int:
    if function == "max_forward":
        return result[0].size * math.prod(args[1])
    if function == "sum_forward":
        return result.size * math.prod(args[1])
    return args[0].size * (math.prod(args[2]) if function == "sum_backward" else 1)


def _attention(function: str, args: tuple, result: Any) -> int:
    """Two products forward, five backward; half of them with a causal mask. The last of ``args`` are those by name."""
    *args, named = args  # type: ignore[assignment]
    q, k, v, *rest = args if function == "forward" else args[1:]
    place = 1 if function == "forward" else 3  # after the mask; backward has y and lse before it
    causal = named.get("causal", rest[place] if len(rest) > place else False)
    (b, h, t, d), s, e = q.shape, k.shape[2], v.shape[3]
    pairs = attention.flops(b, h, t, s, 1, 0, bool(causal))  # 2 for each pair of places, heads and batch counted
    return pairs * (d + e if function == "forward" else 3 * d + 2 * e)


def _recurrent(function: str, args: tuple, result: Any) -> int:
    """The products with the recurrent weights, the fourth argument or the largest matrix: 2 a weight, step and sequence."""
    steps, batch = args[0].shape[:2]
    weights = max(a.size for a in args if getattr(a, "ndim", 0) == 2 and a.shape[0] % a.shape[1] == 0)
    return 2 * steps * batch * weights


_COUNTS: dict[str, Callable[..., int]] = {
    "matmul": _matmul,
    "convolution": _convolution,
    "pooling": _pooling,
    "attention": _attention,
    "rnn": _recurrent,
    "gru": _recurrent,
    "lstm": _recurrent,
    "softmax": _rows(5, 4),
    "cross_entropy": _rows(4, 4),
    "layer_norm": _rows(8, 16),
    "rms_norm": _rows(6, 12),
    "batch_norm": _rows(4, 8),
    "activation": _rows(20, 25),
    "dropout": _rows(3, 3),
    "adam": lambda function, args, result: 12 * sum(x.size for x in args[0]),
    "sgd": lambda function, args, result: 4 * sum(x.size for x in args[0]),
}
