"""Where one number of a gradient comes from: the paths through the graph whose contributions add up to it.

The paths, and what each contributes, are defined in :mod:`minidl.inspect.paths`.

    with minidl.inspect.trace():
        loss = (w * w + w).sum()
    print(minidl.inspect.provenance(loss, w, 0))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minidl import random
from minidl.autograd import no_grad
from minidl.inspect import arguments
from minidl.inspect.nodes import Nodes, Value, read
from minidl.inspect.paths import Path, Search
from minidl.inspect.replay import Difference, Replay, ReplayError, difference
from minidl.nn.module import Module
from minidl.tensor import Tensor

BAR = 20  # characters of the longest bar


@dataclass(eq=False, repr=False)
class Provenance:
    """An element of a gradient, taken apart.

    ``paths``: the largest found, by magnitude; ``count``: how many there are in all; ``remainder``: what the others sum to.
    ``complete``: all paths were computed. ``finite_difference``: the slope of the loss without any gradient rule, None where
    it could not be had (``why_not``); ``left`` and ``right``: on either side; ``kink``: a warning, None if there is none near.
    ``hooked``: values on the way with tensor hooks, which are left out.
    """

    name: str
    index: tuple[int, ...]
    gradient: float
    paths: list[Path]
    count: int
    remainder: float
    complete: bool
    finite_difference: float | None = None
    left: float | None = None
    right: float | None = None
    kink: str | None = None
    why_not: str = ""
    hooked: list[str] = field(default_factory=list)
    loss: str = field(default="loss", repr=False)

    @property
    def relative_error(self) -> float | None:
        """The distance of gradient and finite difference, relative to the larger; None without a finite difference."""
        if self.finite_difference is None:
            return None
        larger = max(abs(self.gradient), abs(self.finite_difference))
        return abs(self.gradient - self.finite_difference) / larger if larger else 0.0

    def __str__(self) -> str:
        place = f"[{', '.join(map(str, self.index))}]" if self.index else ""
        number = "one path" if self.count == 1 else f"{self.count:,} paths"
        lines = [f"∂{self.loss}/∂{self.name}{place} = {self.gradient:.6g}, over {number}"]
        most = max((abs(path.contribution) for path in self.paths), default=0.0)
        for path in self.paths:
            bar = "█" * round(BAR * abs(path.contribution) / most) if most else ""
            lines.append(f"{path.contribution:>12.5g}  {bar:<{BAR}}  {path}")
        others = self.count - len(self.paths)
        if others:
            which = "the other path" if others == 1 else f"the {others:,} other paths together"
            lines.append(f"{self.remainder:>12.5g}  {'':<{BAR}}  {which}")
        if self.finite_difference is None:
            lines.append(f"no finite difference: {self.why_not}")
        else:
            lines.append(f"finite difference {self.finite_difference:.6g}, relative error {self.relative_error:.1e}")
        if self.hooked:
            lines.append(
                f"Hooks on {', '.join(self.hooked)} are left out: what they do to the gradient on its way is not in these "
                "numbers, but in .grad."
            )
        if self.kink:
            lines.append(f"Warning: {self.kink}. The gradient rule takes one slope of several that would be right.")
        return "\n".join(lines)

    __repr__ = __str__

    def plot(self, ax: Any = None) -> Any:
        """The contributions as bars, the largest on top; returns the Axes."""
        from minidl.inspect.numbers import axes

        ax = axes(ax)
        labels, values = [str(path) for path in self.paths], [path.contribution for path in self.paths]
        if self.count > len(self.paths):
            labels, values = [*labels, "all other paths"], [*values, self.remainder]
        ax.barh(range(len(values)), values, color=["tab:red" if v > 0 else "tab:blue" for v in values])
        ax.set_yticks(range(len(values)), labels)
        ax.invert_yaxis()
        ax.axvline(0, color="black", linewidth=0.8)
        ax.set_xlabel("contribution")
        return ax


def provenance(
    loss: Tensor,
    tensor: Tensor | str,
    index: int | tuple[int, ...] = (),
    *,
    top: int = 10,
    limit: int = 1000,
    function: Callable[[], Any] | None = None,
    names: Module | Mapping[str, Tensor] | None = None,
) -> Provenance:
    """Which paths an element of a gradient comes by, and whether a finite difference agrees. Nothing is changed by it: no
    ``.grad``, and no hook is called.

    Args:
        loss: a single number, whose graph has not been freed. Computed inside ``trace()``, it gives finite differences too.
        tensor: a leaf or an inner tensor of the graph, or its name there.
        index: the element; () for a single number.
        top: how many paths to return.
        limit: up to how many paths all are computed; beyond, how much is looked at to find large ones.
        function: computes the loss again from ``tensor`` (a leaf), for finite differences without a trace, or where masks and
            indices depend on the tensor: a trace keeps those as they were.
        names: what values are called, as for :func:`minidl.inspect.read`.

    Raises:
        TypeError: the loss is no Tensor; the tensor neither one nor a name; the index no whole numbers.
        RuntimeError: the loss is no single number, has no graph, or its graph was freed by a backward.
        KeyError: the tensor takes no part in the graph.
        IndexError: it has no such element.
    """
    nodes = read(arguments.number(loss, "provenance"), names)
    value = nodes.find(tensor)
    index = _checked(index, value)
    search = Search(nodes, value, index)
    total = search.total(search.start)
    found, complete = search.all() if search.count <= limit else (search.best(top, limit), False)
    found.sort(key=lambda end: -abs(end.contribution))
    paths = [search.path(end, total) for end in found[:top]]
    remainder = total - sum(path.contribution for path in paths)
    if complete and len(paths) == len(found):
        remainder = 0.0
    root = nodes.values[nodes.roots[0]]
    result = Provenance(value.name, index, total, paths, search.count, remainder, complete, loss=root.name)
    result.hooked = search.hooked()
    _add_difference(result, nodes, value, function)
    return result


def _checked(index: Any, value: Value) -> tuple[int, ...]:
    index = tuple(index) if isinstance(index, (tuple, list)) else (index,)
    if not all(hasattr(i, "__index__") for i in index):
        raise TypeError(f"provenance is of one element: an index must be whole numbers, one a dimension, got {index}")
    if len(index) != len(value.shape):
        raise IndexError(
            f"{value.name} has shape {list(value.shape)}, so an element has {len(value.shape)} indices, not {index}"
        )
    index = tuple(int(i) for i in index)
    for i, n in zip(index, value.shape):
        if not -n <= i < n:
            raise IndexError(f"{value.name} has shape {list(value.shape)}: there is no element {list(index)}")
    return tuple(i % n for i, n in zip(index, value.shape))


# --------------------------------------------------------------------------------------------------- finite differences


def _add_difference(result: Provenance, nodes: Nodes, value: Value, function: Callable[[], Any] | None) -> None:
    try:
        found = _by_function(function, value, result.index) if function else _by_replay(nodes, value, result.index)
    except ReplayError as why:
        result.why_not = str(why)
        return
    result.finite_difference, result.left, result.right, result.kink = (
        found.central,
        found.left,
        found.right,
        found.kink,
    )


def _by_replay(nodes: Nodes, value: Value, index: tuple[int, ...]) -> Difference:
    replay = Replay(nodes, value)
    size = float(np.asarray(value.array)[index])
    found = difference(replay.loss(index), size, float(np.finfo(np.float64).eps))
    if found.kink:
        op = replay.kinked(index, max(abs(size), 1.0))
        if op is not None:
            name = nodes.values[op.outputs[0]].name
            found.kink += f", at {name}" + (f" ({op.line})" if op.line is not None else "")
    return found


def _by_function(function: Callable[[], Any], value: Value, index: tuple[int, ...]) -> Difference:
    leaf = value.tensor
    if leaf is None:
        raise ReplayError(f"function= can move a leaf alone, and {value.name} is computed; use a trace")
    before, chance = leaf._data[index].copy(), random.get_rng_state()

    def loss(delta: float) -> float:
        leaf._data[index] = before + delta
        try:
            with no_grad(), random.fork_rng():  # dropout, say, drops the same in every evaluation
                random.set_rng_state(chance)
                return float(function())
        finally:
            leaf._data[index] = before

    return difference(loss, float(before), float(np.finfo(leaf._data.dtype).eps))
