"""Embedding: ``embedding``."""

from __future__ import annotations

from typing import Any

from minidl.autograd.tape import Operator, apply
from minidl.backends import namespace

__all__ = ["embedding"]


class Embedding(Operator):
    """y = weight[index];  the gradient of a row is the sum over the places where it was looked up."""

    def __init__(self, index: Any, padding_idx: int | None) -> None:
        self.index, self.padding_idx = index, padding_idx

    def forward(self, weight: Any) -> Any:
        self.rows = weight.shape[0]
        return weight[self.index]

    def backward(self, g: Any) -> Any:
        return apply(EmbeddingGradient(self.index, self.padding_idx, self.rows), g)


class EmbeddingGradient(Operator):
    """Sums the rows of g by their index; linear, so its gradient looks them up again."""

    def __init__(self, index: Any, padding_idx: int | None, rows: int) -> None:
        self.index, self.padding_idx, self.rows = index, padding_idx, rows

    def forward(self, g: Any) -> Any:
        xp = namespace(g)
        total = xp.zeros((self.rows, g.shape[-1]), g.dtype)
        xp.add.at(total, self.index.reshape(-1), g.reshape(-1, g.shape[-1]))
        if self.padding_idx is not None:
            total[self.padding_idx] = 0
        return total

    def backward(self, g: Any) -> Any:
        keep = (self.index != self.padding_idx)[..., None] if self.padding_idx is not None else None
        rows = apply(Embedding(self.index, None), g)
        return rows if keep is None else rows * keep


def embedding(input: Any, weight: Any, padding_idx: int | None = None) -> Any:
    """Rows of ``weight`` (num, dim) by ``input`` (*): (*, dim). The row ``padding_idx`` gets no gradient.

    IndexError for an index outside the table.
    """
    index, rows = input._data, weight.shape[0]
    wrong = (index < 0) | (index >= rows)
    if wrong.any():
        raise IndexError(f"embedding(): index {int(index[wrong][0])} is out of range: there are {rows} rows")
    if padding_idx is not None:
        if not -rows <= padding_idx < rows:
            raise AssertionError("Padding_idx must be within num_embeddings")
        padding_idx %= rows
    return apply(Embedding(index, padding_idx), weight)
