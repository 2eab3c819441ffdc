"""Embeddings: rows of a table, bags of them, and one-hot vectors."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl import ops
from minidl.autograd.tape import Operator, apply
from minidl.backends import kernel, namespace
from minidl.tensor import Tensor, raw, wrap

__all__ = ["embedding", "embedding_bag", "one_hot"]


class Embedding(Operator):
    """y = W[index];  ∂W[r] = Σ of g over the places where row r was looked up."""

    def __init__(self, padding: int | None, by_frequency: bool) -> None:
        self.padding, self.by_frequency = padding, by_frequency

    def forward(self, weight: Any, index: Any) -> Any:
        self.rows = weight.shape[0]
        self.save(index)
        return kernel("embedding").forward(weight, index)

    def backward(self, g: Any) -> Any:
        return apply(EmbeddingGradient(self.rows, self.padding, self.by_frequency), g, self.saved), None


class EmbeddingGradient(Operator):
    """y[r] = Σ of all x whose index is r;  ∂x = g[index]: linear, so its gradient looks them up again."""

    def __init__(self, rows: int, padding: int | None, by_frequency: bool) -> None:
        self.rows, self.padding, self.by_frequency = rows, padding, by_frequency

    def forward(self, x: Any, index: Any) -> Any:
        self.save(index)
        return kernel("embedding").backward(x, index, self.rows, self.padding, self.by_frequency)

    def backward(self, g: Any) -> Any:
        index = raw(self.saved)
        rows = apply(Embedding(None, False), g, index)
        weights = np.ones(index.shape)
        if self.by_frequency:
            weights = 1 / np.bincount(index.reshape(-1), minlength=self.rows)[index]
        if self.padding is not None:
            weights = np.where(index == self.padding, 0, weights)
        return rows * namespace(index).asarray(weights[..., None], dtype=raw(g).dtype), None


def embedding(
    input: Any,
    weight: Any,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Any:
    """Rows of ``weight`` by number.

    Args:
        input: (*) of int32 or int64, numbers of rows.
        weight: (num_embeddings, dim).
        padding_idx: the row that gets no gradient; negative ones count from the end.
        max_norm: rows that are looked up and longer than this are shortened to it first, in ``weight`` itself.
        norm_type: which norm that is.
        scale_grad_by_freq: divide the gradient of a row by how often it is looked up here.
        sparse: not to be had in minidl, whose gradients are dense.

    Returns:
        (*, dim).

    Raises:
        IndexError: a number outside the table.
        RuntimeError: numbers that are not integers, a table that is not two-dimensional.
    """
    padding_idx = _check_table("embedding", input, weight, padding_idx, sparse)
    _check_range("embedding", raw(input), weight.shape[0])
    if max_norm is not None:
        _shorten(weight, raw(input), max_norm, norm_type)
    return apply(Embedding(padding_idx, scale_grad_by_freq), weight, input)


def _check_table(name: str, input: Any, weight: Any, padding_idx: int | None, sparse: bool) -> int | None:
    """The padding row counted from the front."""
    if sparse:
        raise RuntimeError(f"{name}: sparse=True asks for sparse gradients, which minidl lacks; leave it out")
    if str(raw(input).dtype) not in ("int32", "int64"):
        raise RuntimeError(
            f"{name}: Expected tensor for argument 'indices' to have one of the scalar types int64, int32; but got "
            f"{input.dtype} instead (convert with .long())"
        )
    if weight.ndim != 2:
        raise RuntimeError(f"{name}: 'weight' must be 2-D, (num_embeddings, dim), got shape {list(weight.shape)}")
    rows = weight.shape[0]
    if padding_idx is None:
        return None
    if not -rows <= padding_idx < rows:
        raise AssertionError(f"{name}: Padding_idx must be within num_embeddings, got {padding_idx} for {rows} rows")
    return padding_idx % rows


def _check_range(name: str, index: Any, rows: int) -> None:
    if index.size and (index.min() < 0 or index.max() >= rows):
        wrong = index[(index < 0) | (index >= rows)].reshape(-1)[0]
        raise IndexError(
            f"{name}: index out of range in self: index {int(wrong)}, but the table has {rows} rows "
            f"(numbers 0 to {rows - 1})"
        )


def _shorten(weight: Any, index: Any, max_norm: float, norm_type: float) -> None:
    """Scale the rows that ``index`` names down to ``max_norm``, outside the tape."""
    table = weight._data
    used = np.unique(index)
    norms = np.linalg.norm(table[used].astype("float64"), norm_type, axis=1)
    long = norms > max_norm
    scale = max_norm / (norms[long] + 1e-7)
    table[used[long]] = (table[used[long]] * scale[:, None]).astype(table.dtype)
    weight._counter[0] += 1


# ----------------------------------------------------------------------------------------------------------------- bags


def embedding_bag(
    input: Any,
    weight: Any,
    offsets: Any = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Any = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Any:
    """Sums, means or maxima over bags of rows of ``weight``; an empty bag gives 0.

    Args:
        input: (bags, length), or (places) with ``offsets``: numbers of rows.
        weight: (num_embeddings, dim).
        offsets: (bags), where each bag begins in a one-dimensional ``input``; ``include_last_offset``: (bags + 1), the
            last one the end of the last bag.
        mode: "sum", "mean" or "max".
        per_sample_weights: as ``input``, factors of the rows, with "sum" only.
        padding_idx: places with this number are left out of their bag.
        max_norm, norm_type, scale_grad_by_freq, sparse: as for :func:`embedding`.

    Returns:
        (bags, dim).
    """
    if mode not in ("sum", "mean", "max"):
        raise ValueError(f"embedding_bag: mode has to be one of sum, mean or max, got {mode!r}")
    if mode == "max" and scale_grad_by_freq:
        raise ValueError("embedding_bag: max mode does not support scaling the gradient by the frequency")
    if per_sample_weights is not None:
        _check_factors(input, per_sample_weights, mode)
    padding_idx = _check_table("embedding_bag", input, weight, padding_idx, sparse)
    index = raw(input).reshape(-1)
    bag, bags = _bags(input, offsets, include_last_offset)
    factors = None if per_sample_weights is None else per_sample_weights.reshape((-1,))
    if padding_idx is not None:
        kept = np.flatnonzero(index != padding_idx)
        index, bag = index[kept], bag[kept]
        factors = None if factors is None else factors[wrap(kept)]
    rows = embedding(wrap(index), weight, None, max_norm, norm_type, scale_grad_by_freq)
    if mode == "max":
        return _largest(rows, bag, bags)
    if factors is not None:
        rows = rows * factors.unsqueeze(1)
    total = ops.index_add(wrap(np.zeros((bags, weight.shape[1]), raw(rows).dtype)), 0, wrap(bag), rows)
    if mode == "sum":
        return total
    counts = np.maximum(np.bincount(bag, minlength=bags), 1)
    return total / wrap(counts[:, None].astype(raw(rows).dtype))


def _check_factors(input: Any, factors: Any, mode: str) -> None:
    if tuple(factors.shape) != tuple(input.shape):
        raise ValueError(
            f"embedding_bag: If per_sample_weights ({list(factors.shape)}) is not None, then it must have the same "
            f"shape as the input ({list(input.shape)})"
        )
    if mode != "sum":
        raise NotImplementedError(
            f"embedding_bag: per_sample_weights was not None: it is only supported for mode='sum' (got mode={mode!r})"
        )


def _bags(input: Any, offsets: Any, include_last: bool) -> tuple[Any, int]:
    """The number of each place's bag, and how many bags there are."""
    if input.ndim == 2:
        if offsets is not None:
            raise ValueError("embedding_bag: if input is 2D, then offsets has to be None: each row is a bag")
        return np.repeat(np.arange(input.shape[0]), input.shape[1]), input.shape[0]
    if input.ndim != 1:
        raise ValueError(f"embedding_bag: input has to be 1D or 2D Tensor, but got Tensor of dimension {input.ndim}")
    if offsets is None or not isinstance(offsets, Tensor):
        raise ValueError(f"embedding_bag: offsets has to be a 1D Tensor but got {type(offsets)}")
    if offsets.ndim != 1:
        raise ValueError(f"embedding_bag: offsets has to be a 1D Tensor, got {offsets.ndim} dimensions")
    begin, places = raw(offsets), input.shape[0]
    if include_last and not begin.size:
        raise RuntimeError("embedding_bag: include_last_offset=True needs at least one offset")
    if begin.size and begin[0] != 0:
        raise RuntimeError(f"embedding_bag: offsets[0] has to be 0, the first bag begins at the front; got {begin[0]}")
    if begin.size and begin[-1] > places:
        raise RuntimeError(f"embedding_bag: offsets[-1] can not be greater than the input's length ({places})")
    ends = begin[1:] if include_last else np.append(begin[1:], places)
    lengths = ends - begin[: ends.size]
    bag = np.repeat(np.arange(lengths.size), lengths)
    return np.pad(bag, (0, places - bag.size), constant_values=max(lengths.size - 1, 0)), lengths.size


def _largest(rows: Any, bag: Any, bags: int) -> Any:
    """The maximum over each bag: its rows side by side, -inf where a bag is shorter than the longest."""
    lengths = np.bincount(bag, minlength=bags)
    longest = int(lengths.max(initial=0))
    dim = rows.shape[1]
    if not longest:
        return rows.sum(0).reshape((1, dim)) * wrap(np.zeros((bags, 1), raw(rows).dtype))
    order = bag.argsort(kind="stable")
    column = np.arange(bag.size) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    place = np.zeros((bags, longest), np.int64)
    there = np.zeros((bags, longest), bool)
    place[bag[order], column], there[bag[order], column] = order, True
    grid = ops.where(wrap(there[..., None]), rows[wrap(place)], -np.inf)
    largest = ops.max(grid, 1)[0]
    return ops.where(wrap(lengths[:, None] > 0), largest, 0.0)


def one_hot(tensor: Any, num_classes: int = -1) -> Any:
    """Vectors of ``num_classes`` int64 that are 1 at the place ``tensor`` (*) of int64 names: (*, num_classes).

    ``num_classes=-1``: one more than the largest. RuntimeError for a number that is no class.
    """
    index = raw(tensor)
    if str(index.dtype) != "int64":
        raise RuntimeError(f"one_hot is only applicable to index tensor of type int64, got {tensor.dtype}; use .long()")
    if not index.size and num_classes <= 0:
        raise RuntimeError("one_hot: Can not infer total number of classes from empty tensor; give num_classes")
    if index.size and index.min() < 0:
        raise RuntimeError(f"one_hot: Class values must be non-negative, got {int(index.min())}")
    if num_classes < -1 or (num_classes == 0 and index.size):
        raise RuntimeError(f"one_hot: num_classes should be positive (or -1, to infer it), got {num_classes}")
    if num_classes == -1:
        num_classes = int(index.max()) + 1
    if index.size and index.max() >= num_classes:
        raise RuntimeError(
            f"one_hot: Class values must be smaller than num_classes, got {int(index.max())} and num_classes "
            f"{num_classes}"
        )
    xp = namespace(index)
    return wrap((index[..., None] == xp.arange(num_classes)).astype("int64"))
