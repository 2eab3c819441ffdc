"""Which parts of a network to checkpoint: where most memory goes for what is kept in between.

A segment is a module, or several that run one after the other; of it only the input is kept, and the rest computed again
in backward (minidl.utils.checkpoint). While that happens its insides are there once more, so several segments of middling
size are best (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost": about √n of them).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from minidl.autograd.tape import Operator
from minidl.inspect import peak, workspace
from minidl.inspect.kept import Edge, Storage, scope_of, source, total
from minidl.inspect.numbers import size_of
from minidl.inspect.trace import seen
from minidl.tensor import Tensor


@dataclass(eq=False)
class Segment:
    """Modules to wrap together: their dotted ``paths``, the bytes ``saved`` while they are not at work, and the number of
    operators that are computed again."""

    paths: list[str]
    saved: int
    recomputed: int
    operators: set[Operator] = field(repr=False)

    def __str__(self) -> str:
        name = self.paths[0] if len(self.paths) == 1 else f"{self.paths[0]} … {self.paths[-1]}"
        return f"{name or '(the whole model)'}: saves {size_of(self.saved)}, computes {self.recomputed} operators again"


@dataclass
class Checkpointing:
    """A suggestion, and what it would do, predicted: bytes ``kept`` after forward and at the ``peak`` of backward, before and
    after."""

    segments: list[Segment]
    kept_before: int
    kept_after: int
    peak_before: int
    peak_after: int

    @property
    def saved(self) -> int:
        """Bytes by which the peak falls."""
        return self.peak_before - self.peak_after

    def __str__(self) -> str:
        if not self.segments:
            return "Checkpointing would save nothing here: no module keeps more than its input and output."
        lines = [
            f"Checkpointing {len(self.segments)} segments would bring the peak of backward from "
            f"{size_of(self.peak_before)} to {size_of(self.peak_after)}, and what is kept after "
            f"forward from {size_of(self.kept_before)} to {size_of(self.kept_after)}:",
            *(f"    {segment}" for segment in self.segments),
            "Call them as minidl.utils.checkpoint(module, x); several of a Sequential together, as checkpoint(part, x) with",
            "part = model[i:j].",
        ]
        return "\n".join(lines)

    __repr__ = __str__


class _Node:
    """A module's path, the operators recorded in it and below, and what is below it in the order of running."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.operators: list[Operator] = []
        self.children: dict[str, _Node] = {}


def suggest(roots: list[Tensor], ops: list[Operator], found: list[Storage], plain: peak.Timeline) -> Checkpointing:
    """The best segments: none where no module ran. RuntimeError where that is not known."""
    tree = _tree(ops)
    if not any(seen(operator) for operator in ops):
        raise RuntimeError(
            "which module an operator ran in is known from a trace only: compute the loss inside inspect.trace()"
        )
    costs = _Costs(ops, found)
    sizes = sorted({costs.saved(node.operators) for node in _below(tree)} | {costs.saved(tree.operators)})
    limits = [size for size in sizes if size > 0]
    limits += [total(found, "activation") // n for n in range(2, 13)]
    best = Checkpointing([], total(found), total(found), plain.peak, plain.peak)
    for limit in sorted(set(limits)):
        segments = list(_segments(tree, limit, costs))
        if segments:
            line = peak.Backward(roots, found, [segment.operators for segment in segments]).line
            saved = sum(segment.saved for segment in segments)
            if line.peak < best.peak_after:
                best = Checkpointing(segments, total(found), total(found) - saved, plain.peak, line.peak)
    return best


def _tree(ops: list[Operator]) -> _Node:
    root = _Node("")
    for operator in ops:
        node = root
        node.operators.append(operator)
        path = scope_of(operator)
        for part in path.split(".") if path else []:
            below = f"{node.path}.{part}" if node.path else part
            node = node.children.setdefault(part, _Node(below))
            node.operators.append(operator)
    return root


def _below(node: _Node) -> Iterator[_Node]:
    for child in node.children.values():
        yield child
        yield from _below(child)


class _Costs:
    """What a set of operators would save as a segment."""

    def __init__(self, ops: list[Operator], found: list[Storage]) -> None:
        self.number = {operator: i for i, operator in enumerate(ops)}
        self.found = [s for s in found if s.kind == "activation" and s.holders]
        self.kept: set[Edge] = {s.made for s in found if s.made is not None}

    def together(self, ops: list[Operator]) -> bool:
        """Whether no other operator ran in between."""
        numbers = [self.number[operator] for operator in ops]
        return bool(numbers) and max(numbers) - min(numbers) + 1 == len(numbers)

    def saved(self, ops: list[Operator]) -> int:
        """Bytes held inside alone, less inputs that would have to be kept for it."""
        inside = set(ops)
        within = sum(
            s.nbytes
            for s in self.found
            if all(h.operator in inside for h in s.holders) and (s.made is None or s.made[0] in inside)
        )
        inputs = {e for operator in ops for e in operator.edges if e is not None and isinstance(e[0], Operator)}
        entering = {source(e) for e in inputs if e[0] not in inside}
        return within - sum(workspace.size(e) for e in entering if e not in self.kept)


def _segments(node: _Node, limit: int, costs: _Costs) -> Iterator[Segment]:
    """Disjoint segments below a node, each saving at most ``limit``: neighbours are taken together while they fit."""
    run: list[_Node] = []
    for child in sorted(node.children.values(), key=lambda n: costs.number[n.operators[0]]):
        ops = [operator for part in [*run, child] for operator in part.operators]
        if costs.together(ops) and costs.saved(ops) <= limit:
            run.append(child)
            continue
        yield from _segment(run, costs)
        run = []
        if costs.together(child.operators) and costs.saved(child.operators) <= limit:
            run = [child]
        else:
            yield from _segments(child, limit, costs)
    yield from _segment(run, costs)


def _segment(run: list[_Node], costs: _Costs) -> Iterator[Segment]:
    ops = [operator for node in run for operator in node.operators]
    if ops and (saved := costs.saved(ops)) > 0:
        yield Segment([node.path for node in run], saved, len(ops), set(ops))
