"""Layers that tell a Transformer where a token stands."""

from __future__ import annotations

from typing import Any

import minidl.nn.functional as F
from minidl import creation
from minidl.nn import init
from minidl.nn.module import Module
from minidl.nn.modules.normalization import Dropout
from minidl.nn.parameter import Parameter

__all__ = ["LearnedPositions", "RotaryEmbedding", "SinusoidalPositions"]


class _Added(Module):
    """A table of positions that is added to the tokens, and dropout.

    Shapes: input and output (T, N, d_model), (N, T, d_model) with ``batch_first``, or (T, d_model).
    """

    table: Any

    def __init__(self, max_len: int, d_model: int, dropout: float, batch_first: bool) -> None:
        super().__init__()
        self.max_len, self.d_model, self.batch_first = max_len, d_model, batch_first
        self.dropout = Dropout(dropout)

    def forward(self, input: Any, first: int = 0) -> Any:
        """``input`` with its positions, from number ``first`` on.

        RuntimeError for an input of another width, or longer than the table.
        """
        sequence_first = input.ndim == 3 and not self.batch_first
        length = input.shape[0 if sequence_first or input.ndim == 2 else 1]
        if input.ndim not in (2, 3) or input.shape[-1] != self.d_model:
            raise RuntimeError(
                f"{type(self).__name__}: expected 2 or 3 dimensions, the last of them d_model ({self.d_model}), but "
                f"got {list(input.shape)}"
            )
        if not 0 <= first <= first + length <= self.max_len:
            raise RuntimeError(
                f"{type(self).__name__}: positions {first} to {first + length} are not all among the {self.max_len} of "
                "the table; give a larger max_len"
            )
        rows = self.table[first : first + length]
        return self.dropout(input + (rows.unsqueeze(1) if sequence_first else rows).to(input.dtype))

    def extra_repr(self) -> str:
        return f"{self.max_len}, {self.d_model}, batch_first={self.batch_first}"


class SinusoidalPositions(_Added):
    """Adds waves of growing length (``functional.sinusoidal_positions``); nothing to learn.

    The waves are a buffer that is not stored in the state dict.
    """

    def __init__(
        self,
        max_len: int,
        d_model: int,
        dropout: float = 0.0,
        batch_first: bool = False,
        base: float = 10000.0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(max_len, d_model, dropout, batch_first)
        waves = F.sinusoidal_positions(max_len, d_model, base, dtype, device)
        self.register_buffer("table", waves, persistent=False)


class LearnedPositions(_Added):
    """Adds a learned vector for each position: ``table`` (max_len, d_model), normal of deviation 0.02 at first."""

    def __init__(
        self,
        max_len: int,
        d_model: int,
        dropout: float = 0.0,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(max_len, d_model, dropout, batch_first)
        self.table = Parameter(creation.empty((max_len, d_model), device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the initial values."""
        init.normal_(self.table, std=0.02)


class RotaryEmbedding(Module):
    """``functional.rotary_embedding`` with its settings: turns queries and keys (…, T, D) by their positions."""

    def __init__(self, dim: int | None = None, base: float = 10000.0, interleaved: bool = False) -> None:
        super().__init__()
        self.dim, self.base, self.interleaved = dim, base, interleaved

    def forward(self, input: Any, positions: Any = None) -> Any:
        return F.rotary_embedding(input, positions, self.base, self.dim, self.interleaved)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, base={self.base}, interleaved={self.interleaved}"
