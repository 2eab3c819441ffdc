"""Paths through the graph, and how much of a gradient comes by each.

Let x[i] be an element of a tensor x, and L the loss. A *path* is a way through the operators from x to L: a sequence of
operators, each entered by one of its inputs. With J_k the Jacobian of the k-th operator's output with respect to that one
input, all else held fixed, the contribution of a path through operators 1 … n is

    c = J_n · J_(n-1) ⋯ J_1 · e_i,

the product of the local derivatives, summed over the elements of all values between. The chain rule says that
∂L/∂x[i] = Σ c over all paths. A contribution is computed with the operators' own gradient rules, going back along the one
path: at each operator, the gradient of every input but the path's is dropped. The rules are linear in the gradient, so
this is exact, up to rounding. (On a graph of single numbers a path is what it is on paper: a product of slopes.)

Tensor hooks are left out: a hook may be any function of the whole gradient, and then there is no sum over paths.

The number of paths is counted exactly. If there are few, all are computed. If there are many, large ones are looked for:
at every fork the way is taken that has most behind it (the sum of all paths that begin so, which is one backward pass), then
the turns that were not taken, those first that lose least by it. What is found is exact, and so is the remainder, the sum
of all others; that none of them is larger is likely, but certain only where ``complete`` says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from typing import Any

import numpy as np

from minidl.autograd import no_grad
from minidl.autograd.tape import Operator, Pass
from minidl.autograd.walk import register_hook
from minidl.inspect.nodes import Nodes, Op, Value
from minidl.tensor import Tensor

MORE = 5  # paths that are looked at beyond those that are wanted, of which the largest are kept


@dataclass(eq=False, repr=False)
class Path:
    """A way from the tensor to the loss: ``ops`` in forward order, ``positions`` the input by which each is entered.
    ``factors``: the slope of each, where it has one number before and behind it, else None; ``share``: of the gradient."""

    ops: list[Op]
    positions: list[int]
    factors: list[float | None]
    contribution: float
    share: float
    names: list[str]

    def __str__(self) -> str:
        text = " → ".join(self.names)
        if self.factors and None not in self.factors:
            text += "   (" + " · ".join(f"{f:.4g}" for f in self.factors) + ")"
        return text

    def __repr__(self) -> str:
        return f"<Path of {self.contribution:.4g}: {self}>"


@dataclass(eq=False)
class End:
    """The end, on the tensor's side, of a half-finished path: it stands at an edge with the gradient that comes along it."""

    edge: Any
    gradient: Any
    op: Op | None = None  # the operator that was passed last
    position: int = 0
    behind: End | None = None
    contribution: float = 0.0


class Search:
    """Paths from the loss back to an element."""

    def __init__(self, nodes: Nodes, value: Value, index: tuple[int, ...]) -> None:
        self.nodes, self.index = nodes, index
        self.ops = {op.operator: op for op in nodes.ops}
        edges = {id: edge for edge, id in nodes.edges.items()}
        self.target, root = edges[value.id], edges[nodes.roots[0]]
        ways = _count_ways(nodes, value)
        self.ways = {edges[id]: number for id, number in ways.items()}
        self.count = ways.get(nodes.roots[0], 0)
        self.start = End(root, np.ones(nodes.values[nodes.roots[0]].shape, _numpy_type(root)))

    def total(self, end: End) -> float:
        """The sum of all paths that begin as ``end`` does: a backward pass from there."""
        gradient = _Sum(self.ways).run_to(self.target, end.edge, end.gradient)
        return 0.0 if gradient is None else float(gradient[self.index])

    def hooked(self) -> list[str]:
        """The values on the way that the user has hung hooks on, by name."""
        hung = {edge for edge in self.ways if any(_is_users(hook) for hook in _hooks_on(edge))}
        return [self.nodes.values[id].name for edge, id in self.nodes.edges.items() if edge in hung]

    def further(self, end: End) -> list[End]:
        """The ways to go on from ``end``: through its operator, to each input that the tensor takes part in."""
        operator, output = end.edge
        gradients: list[Any] = [None] * len(operator.outputs)
        gradients[output] = end.gradient
        op = self.ops[operator]
        found = _Rule().apply(operator, gradients)
        return [End(edge, gradient, op, position, end) for position, edge, gradient in found if edge in self.ways]

    def finished(self, end: End) -> bool:
        return end.edge[0] is self.target[0] and end.edge[1] == self.target[1]  # tensors compare element by element

    def all(self) -> tuple[list[End], bool]:
        """Every path."""
        done, stack = [], [self.start]
        while stack:
            end = stack.pop()
            if self.finished(end):
                end.contribution = float(end.gradient[self.index])
                done.append(end)
            else:
                stack += self.further(end)
        return done, True

    def best(self, wanted: int, limit: int) -> list[End]:
        """Some paths, the largest as far as can be told; about ``limit`` half-finished ones are looked at."""
        done: list[End] = []
        order = count()
        heap: list[Any] = [(0.0, next(order), self.start, self.total(self.start))]
        while heap and len(done) < wanted + MORE and (limit > 0 or not done):
            end, left = self._dive(*heappop(heap)[2:])
            if self.finished(end):
                done.append(end)
            limit -= len(left) + 1
            for share, other, total in left:
                heappush(heap, (-abs(end.contribution) * share, next(order), other, total))
        return done

    def _dive(self, end: End, total: float) -> tuple[End, list[tuple[float, End, float]]]:
        """Finish a path, at every fork the way with most behind it. The other ways are left, each with what is behind it
        as a share of what is behind the way taken: so much smaller is a path that turns off there likely to be."""
        left = []
        while not self.finished(end):
            ends = self.further(end)
            if not ends:  # the rule passes nothing on: a dead end, which contributes 0
                return end, left
            totals = [self.total(other) for other in ends[1:]]
            totals.insert(0, total - sum(totals))
            taken = max(range(len(ends)), key=lambda i: abs(totals[i]))
            most = abs(totals[taken]) or 1.0
            left += [(abs(totals[i]) / most, other, totals[i]) for i, other in enumerate(ends) if i != taken]
            total = totals[taken]
            end = ends[taken]
        end.contribution = float(end.gradient[self.index])
        return end, left

    def path(self, end: End, total: float) -> Path:
        """What a finished path is to the user."""
        ops, positions, factors = [], [], []
        names = [self.nodes.values[self.nodes.edges[self.target]].name]
        contribution = end.contribution
        here: End = end
        while here.op is not None and here.behind is not None:
            ops.append(here.op)
            positions.append(here.position)
            factors.append(_factor(here.behind.gradient, here.gradient))
            twice = here.op.inputs.count(here.op.inputs[here.position]) > 1
            name = self.nodes.values[self.nodes.edges[here.behind.edge]].name
            names.append(f"{name} (by input {here.position})" if twice else name)
            here = here.behind
        return Path(ops, positions, factors, contribution, contribution / total if total else 0.0, names)


class _Rule(Pass):
    """One gradient rule, whose results are kept apart."""

    def __init__(self) -> None:
        super().__init__(retain_graph=True, create_graph=False)
        self.found: list[tuple[int, Any, Any]] = []

    def apply(self, operator: Operator, gradients: list) -> list[tuple[int, Any, Any]]:
        """(input, its edge, its gradient) for every input that gets one."""
        with no_grad(), np.errstate(all="ignore"):
            self.step(operator, gradients)
        return self.found

    def fit(self, operator: Operator, position: int, gradient: Any, edge: Any) -> Any:
        fitted = super().fit(operator, position, gradient, edge)
        self.found.append((position, edge, fitted))
        return fitted

    def accumulate(self, edge: Any, gradient: Any) -> None:
        """Nothing is added up: that is the point."""


class _Sum(Pass):
    """A backward pass along some edges alone, without hooks."""

    def __init__(self, edges: Any) -> None:
        super().__init__(retain_graph=True, create_graph=False)
        self.edges = edges

    def run_to(self, target: Any, edge: Any, gradient: Any) -> Any:
        """The gradient that comes to ``target`` from ``edge``; None if none does."""
        self.accumulate(edge, gradient)
        with no_grad(), np.errstate(all="ignore"):
            while self.heap:
                operator = heappop(self.heap)[1]
                if operator is target[0]:
                    break
                self.step(operator, self.table.pop(operator))
        arrived = self.table.get(target[0])
        return None if arrived is None else arrived[target[1]]

    def accumulate(self, edge: Any, gradient: Any) -> None:
        if edge in self.edges:
            super().accumulate(edge, gradient)


def _hooks_on(edge: Any) -> Any:
    source, output = edge
    return (source._hooks if isinstance(source, Tensor) else (source.hooks or {}).get(output)) or ()


def _is_users(hook: Any) -> bool:
    """Whether a hook may change the gradient; that of ``retain_grad``, which is the engine's own, does not."""
    return getattr(hook, "__module__", None) != register_hook.__module__


def _count_ways(nodes: Nodes, value: Value) -> dict[int, int]:
    """How many paths lead from ``value`` to each value, by id; those without any are left out."""
    ways = {value.id: 1}
    for op in nodes.ops:
        if value.id in op.outputs:
            continue
        edges = op.operator.edges
        number = sum(ways.get(id, 0) for id, edge in zip(op.inputs, edges) if edge is not None and id is not None)
        if number:
            ways.update(dict.fromkeys(op.outputs, number))
    return ways


def _factor(before: Any, after: Any) -> float | None:
    if before.size != 1 or after.size != 1 or not before.item():
        return None
    return after.item() / before.item()


def _numpy_type(edge: Any) -> Any:
    source, output = edge
    return source._data.dtype if isinstance(source, Tensor) else source.outputs[output][1]
