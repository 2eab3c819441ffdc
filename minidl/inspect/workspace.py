"""How much memory a rule needs while it runs, besides what it is given and what it hands on.

Most rules work in blocks that stay in the cache and need next to nothing; those written in plain array arithmetic need a
temporary or two; a few need whole arrays, which are told here one by one. These are models of the reference kernels
(minidl_kernels.*.with_numpy); another backend's may need less.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from minidl.autograd.tape import Operator
from minidl.inspect import kept
from minidl.tensor import Tensor
from minidl_kernels.attention.with_numpy import BLOCK as SCORES
from minidl_kernels.attention.with_numpy import TOGETHER, longer
from minidl_kernels.convolution import winograd
from minidl_kernels.convolution.with_numpy import BLOCK as COLUMNS
from minidl_kernels.dropout.with_numpy import BLOCK as DROPOUT_BLOCK
from minidl_kernels.dropout.with_numpy import WORTH_THREADS
from minidl_kernels.pieces import PIECE
from minidl_kernels.pieces import WORTH_THREADS as WORTH_THREADS_FOR_PIECES
from minidl_kernels.rows import BLOCK as ROWS
from minidl_kernels.rows import WORTH_THREADS as WORTH_THREADS_FOR_ROWS
from minidl_kernels.threads import get_num_threads, slices

# Gradient rules that hand on what they got, or a view of it: no new memory.
HAND_ON = frozenset(
    {
        "Add",
        "Sub",
        "_Alias",
        "_Border",
        "Reshape",
        "Permute",
        "Sum",
        "Mean",
        "Cat",
        "Stack",
        "Expand",
        "MeanOf",
        "Replaced",
    }
)
# Rules that compute in blocks, or straight into their result.
IN_PLACE = frozenset(
    {
        *("Linear", "MatMul", "Bmm", "Relu", "Gelu", "Silu", "LayerNorm", "RmsNorm", "BatchNorm", "MaxPool", "SumPool"),
        *("Dropout", "CrossEntropy", "Softmax", "LogSoftmax", "Select", "Split", "Unbind", "Embedding", "Mul", "Neg"),
    }
)


def size(edge: Any) -> int:
    """Bytes of the value (and so of the gradient) at an edge."""
    source, output = edge
    if isinstance(source, Tensor):
        return source._data.size * source._data.itemsize
    shape, dtype = source.outputs[output]
    return math.prod(shape) * dtype.itemsize


def outputs(operator: Operator) -> int:
    """Bytes of an operator's outputs."""
    return sum(math.prod(shape) * dtype.itemsize for shape, dtype in operator.outputs)


def backward(operator: Operator) -> int:
    """Bytes of temporaries in the gradient rule."""
    special = _BACKWARD.get(operator.name)
    if special is not None:
        return special(operator)
    if operator.name in HAND_ON or operator.name in IN_PLACE or operator.is_view:
        return 0
    return max([outputs(operator), *(size(e) for e in operator.edges if e is not None)])


def forward(operator: Operator) -> int:
    """Bytes of temporaries in the forward rule."""
    special = _FORWARD.get(operator.name)
    return 0 if special is None else special(operator)


# ------------------------------------------------------------------------------------------------- the rules with more


def _own(operator: Operator, name: str) -> int:
    """Bytes of an array that an operator keeps as an attribute."""
    return sum(array.nbytes for array in kept.arrays_in(operator.__dict__.get(name)))


def _lstm_forward(operator: Operator) -> int:
    return _own(operator, "gates")  # the inputs' share of all steps


def _lstm_backward(operator: Operator) -> int:
    y = size((operator, 0))
    return _own(operator, "gates") + 2 * y  # ∂xw; the states before each step, and the gradients of all states


def _gru_backward(operator: Operator) -> int:
    return 2 * _own(operator, "gates") + 2 * size((operator, 0))  # ∂xw and ∂(h W + b)


def _rnn_forward(operator: Operator) -> int:
    return size((operator, 0))


def _rnn_backward(operator: Operator) -> int:
    return 3 * size((operator, 0))


def _convolution_forward(operator: Operator) -> int:
    x, w = operator._saved
    geometry = operator.__dict__["geometry"]
    return _product(x, w.shape, operator.outputs[0][0][2:], geometry)


def _convolution_backward(operator: Operator) -> int:
    """The larger of what the two gradients need: ∂x is a convolution with the filters as channels, and ∂w keeps each
    block's share until all are there."""
    x, w = operator._saved
    shape, geometry = operator.outputs[0][0], operator.__dict__["geometry"]
    turned = (w.shape[1] * geometry.groups, shape[1], *w.shape[2:])
    one, several = all(s == 1 for s in geometry.stride), _blocks(x, w.shape, shape[2:], geometry)
    by_input = _product(x, turned, x.shape[2:], geometry) if one else _product(x, w.shape, shape[2:], geometry)
    tiled = _suits(x, w.shape, geometry)
    by_weight = _scratch(x, w.shape, shape[2:], geometry) + len(several) * w.nbytes * 16 // (9 if tiled else 16)
    return max(by_input if operator.needs[0] else 0, by_weight if operator.needs[1] else 0)


def _blocks(x: Any, weight: tuple, out: tuple, geometry: Any) -> list[int]:
    """How many images each block of a convolution has."""
    width = math.prod(out) * math.prod(weight[1:])
    if _suits(x, weight, geometry):
        width = 8 * math.prod(winograd.tiles(out)) * weight[1]
    step = max(min(COLUMNS // max(width, 1), len(x)), 1)
    return [min(step, len(x) - begin) for begin in range(0, len(x), step)]


def _suits(x: Any, weight: tuple, geometry: Any) -> bool:
    same = (geometry.stride, geometry.dilation, geometry.groups)
    return min(weight[:2]) >= winograd.WORTH and winograd.suits(x, tuple(weight[2:]), *same, weight[0])


def _product(x: Any, weight: tuple, out: tuple, geometry: Any) -> int:
    """Bytes of scratch, and of the weights in the form in which they are multiplied."""
    pairs = math.prod(weight[:2]) * x.itemsize
    weights = (9 + 16) * pairs if _suits(x, weight, geometry) else math.prod(weight[2:]) * pairs
    return weights + _scratch(x, weight, out, geometry)


def _scratch(x: Any, weight: tuple, out: tuple, geometry: Any) -> int:
    """Bytes of the scratch of a convolution's blocks that run at once, a thread each."""
    sizes = _blocks(x, weight, out, geometry)
    images = sum(max(sizes[part]) for part in slices(len(sizes)) if sizes[part])
    filters, channels = weight[:2]
    if _suits(x, weight, geometry):  # sixteen places of each tile, in and out; rows on the way; the padded images
        tiles = math.prod(winograd.tiles(out))
        return images * tiles * (16 * (channels + filters) + 8 * max(channels, filters) + 5 * channels) * x.itemsize
    padded = math.prod(n + sum(pair) for n, pair in zip(x.shape[2:], geometry.padding)) * channels
    return images * (math.prod(out) * math.prod(weight[1:]) + padded) * x.itemsize


def _attention(operator: Operator) -> tuple[int, int, int, int]:
    """Bytes of scores, of keys (or values), of keys turned into longer rows, and of queries that are in work at once."""
    q, k = operator._saved[:2]
    (batch, heads, queries, width), (groups, keys) = q.shape, k.shape[1:3]
    each = heads // max(groups, 1)
    step = max(min(max(SCORES // max(keys * each, 1), 32), queries), 1)
    together = max(TOGETHER // max(each * step * keys, 1), 1)
    pairs = min(batch * groups, together * get_num_threads())
    rows, line = pairs * each * step * q.itemsize, pairs * width * q.itemsize
    return rows * longer(keys), line * keys, line * longer(keys), rows * width


def _attention_forward(operator: Operator) -> int:
    scores, keys, turned, queries = _attention(operator)
    return scores + 2 * keys + turned + 3 * queries


def _attention_backward(operator: Operator) -> int:
    scores, keys, turned, queries = _attention(operator)
    return 2 * scores + 4 * keys + 2 * turned + 6 * queries


def _dropout(operator: Operator) -> int:
    """Random numbers on the way, 24 bytes a value of a block."""
    values = outputs(operator) // operator.outputs[0][1].itemsize
    return 24 * min(values, DROPOUT_BLOCK * (get_num_threads() if values >= WORTH_THREADS else 1))


def _rows(operator: Operator) -> int:
    """Two blocks of rows on every thread."""
    values, itemsize = outputs(operator) // operator.outputs[0][1].itemsize, operator.outputs[0][1].itemsize
    return 2 * itemsize * min(values, ROWS * (get_num_threads() if values >= WORTH_THREADS_FOR_ROWS else 1))


def _pieces(operator: Operator) -> int:
    """Two pieces of scratch and a mask on every thread."""
    values, itemsize = outputs(operator) // operator.outputs[0][1].itemsize, operator.outputs[0][1].itemsize
    return 2 * (itemsize + 1) * min(values, PIECE * (get_num_threads() if values >= WORTH_THREADS_FOR_PIECES else 1))


_FORWARD: dict[str, Callable[[Operator], int]] = {
    "LstmLayer": _lstm_forward,
    "GruLayer": _lstm_forward,
    "RnnLayer": _rnn_forward,
    "Convolution": _convolution_forward,
    "Attention": _attention_forward,
    "Dropout": _dropout,
    "LayerNorm": _rows,
    "RmsNorm": _rows,
    **dict.fromkeys(("Relu", "Gelu", "Silu"), _pieces),
}
_BACKWARD: dict[str, Callable[[Operator], int]] = {
    "LstmLayer": _lstm_backward,
    "GruLayer": _gru_backward,
    "RnnLayer": _rnn_backward,
    "Convolution": _convolution_backward,
    "Attention": _attention_backward,
    "Dropout": _dropout,
    "LayerNorm": _rows,
    "RmsNorm": _rows,
    **dict.fromkeys(("Relu", "Gelu", "Silu"), _pieces),
}
