"""A step of a recorded backward pass: what came in, what the rule gave for each input, and what was added to what."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from minidl import dtypes
from minidl.inspect import digest
from minidl.inspect.nodes import Nodes, Op, Value
from minidl.inspect.trace import Keeper
from minidl.tensor import raw

if TYPE_CHECKING:
    from minidl.inspect.recording import Recording


class Gradient:
    """A gradient as it was at a moment of the pass: shape, statistics, and the values themselves (``array``), as long as
    the recording's limit allowed."""

    def __init__(self, array: Any, keeper: Keeper) -> None:
        array = raw(array)
        self.shape: tuple[int, ...] = tuple(array.shape)
        self.dtype = dtypes.from_numpy_dtype(array.dtype).name
        self.array = keeper.copy(array)
        if self.array is None:
            host = array if isinstance(array, (np.ndarray, np.generic)) else array.get()
            self.stats = digest.statistics(host)
            self._grid = digest.grid(host)

    @cached_property
    def stats(self) -> dict[str, Any]:
        """min, max, mean, std and norm of the finite values; counts of nan, inf and zeros."""
        return digest.statistics(self.array)

    @property
    def norm(self) -> float:
        """The Euclidean norm; nan or infinite if any value is."""
        if self.stats["nan"]:
            return float("nan")
        return float("inf") if self.stats["inf"] else self.stats["norm"] or 0.0

    @property
    def has_nan(self) -> bool:
        return self.stats["nan"] > 0

    def to_json(self) -> dict[str, Any]:
        """Shape, statistics, grid and, of few, the items: the same dict every time."""
        return self._json

    @cached_property
    def _json(self) -> dict[str, Any]:
        if self.array is not None:
            return {"shape": list(self.shape), **digest.brief(self.array)}
        return digest.jsonable({"shape": self.shape, "stats": self.stats, "grid": self._grid, "items": None})

    def __repr__(self) -> str:
        return f"Gradient(shape={self.shape}, norm={self.norm:.4g})"


@dataclass(eq=False)
class Local:
    """What a gradient rule gave for one input. ``rule_shape``: the shape in which the rule returned it, before broadcasting
    was undone; ``gradient`` has the input's own."""

    position: int
    value: Value
    gradient: Gradient
    rule_shape: tuple[int, ...]

    @property
    def was_broadcast(self) -> bool:
        return self.rule_shape != self.gradient.shape


@dataclass(eq=False)
class Added:
    """How a contribution was added to the gradient of ``value``: what was there ``before`` (None: nothing), and after."""

    value: Value
    before: Gradient | None
    contribution: Gradient
    after: Gradient


@dataclass(eq=False, repr=False)
class Step:
    """One operator's turn in the backward pass. ``incoming``: the gradient of each output (None where none came);
    ``local``: of each input that wants one; ``seconds`` of the gradient rule, ``nbytes`` of all that it read and made."""

    index: int
    op: Op
    recording: Recording = field(repr=False)
    incoming: list[Gradient | None] = field(default_factory=list)
    local: list[Local] = field(default_factory=list)
    added: list[Added] = field(default_factory=list)
    seconds: float = 0.0
    nbytes: int = 0

    @property
    def nodes(self) -> Nodes:
        return self.recording.nodes

    @property
    def name(self) -> str:
        return self.op.name

    @property
    def formula(self) -> str:
        return self.op.formula

    @property
    def line(self) -> Any:
        """The user's line that applied the operator; None if that was not traced."""
        return self.op.line

    @property
    def norm(self) -> float:
        """The largest norm of a gradient that comes in or goes out; nan if any has one."""
        norms = [gradient.norm for gradient in self._gradients()]
        return float("nan") if any(np.isnan(norms)) else max(norms, default=0.0)

    @property
    def has_nan(self) -> bool:
        """Whether a gradient that comes in or goes out has a NaN."""
        return any(gradient.has_nan for gradient in self._gradients())

    def _gradients(self) -> list[Gradient]:
        return [g for g in self.incoming if g is not None] + [local.gradient for local in self.local]

    def explain(self) -> str:
        """The step in words and mathematics."""
        from minidl.inspect.explain import explain

        return explain(self)

    def __str__(self) -> str:
        return self.explain()

    def __repr__(self) -> str:
        from minidl.inspect.explain import heading

        return f"<{heading(self)}>"
