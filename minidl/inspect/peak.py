"""How much memory backward will take at its worst, found by walking over the tape without computing anything.

The walk is the engine's own (minidl.autograd.tape.Pass): operators youngest first, gradients waiting in a table, sums made
where two meet, what an operator saved let go when its rule has run.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from typing import Any

from minidl.autograd.tape import Operator
from minidl.inspect import arguments, workspace
from minidl.inspect.kept import Edge, Storage
from minidl.tensor import Tensor


@dataclass
class Timeline:
    """Bytes alive while each operator's rule runs, in the order in which they run."""

    operators: list[Operator] = field(default_factory=list)
    alive: list[int] = field(default_factory=list)

    def note(self, operator: Operator, nbytes: int) -> None:
        self.operators.append(operator)
        self.alive.append(nbytes)

    @property
    def peak(self) -> int:
        return max(self.alive, default=0)

    @property
    def at(self) -> Operator | None:
        """The operator whose rule runs when most is alive."""
        return self.operators[self.alive.index(self.peak)] if self.alive else None


class _Block:
    """Memory of a gradient, which several waiting gradients may share; ``permuted``: its dimensions do not lie in order, so
    that reshaping it makes a copy."""

    __slots__ = ("nbytes", "permuted", "users")

    def __init__(self, nbytes: int) -> None:
        self.nbytes, self.users, self.permuted = nbytes, 0, False


class Backward:
    """The walk. ``segments``: sets of operators whose storages are computed again when the walk comes to them."""

    def __init__(self, roots: Iterable[Tensor], found: list[Storage], segments: Iterable[set[Operator]] = ()) -> None:
        self.line = Timeline()
        self.alive = 0
        self.table: dict[Any, dict[int, _Block]] = {}
        self.heap: list = []
        self.summed: set[Edge] = set()
        self.waits: dict[int, int] = {}  # holders that have yet to let go of a storage
        self.holds: dict[Operator, list[Storage]] = {}
        self.again: dict[Operator, list[Storage]] = {}  # what is computed again when the walk comes to an operator
        self.until: dict[
            Operator, list[Storage]
        ] = {}  # a segment's outputs, which last until its first operator is done
        self.ends: dict[Operator, Operator] = {}
        self.lent: dict[Operator, list[_Block]] = {}
        self._place(found, list(segments))
        for root in roots:
            if (edge := root.edge()) is not None:
                self._arrive(edge, _Block(workspace.size(edge)))
        self._walk()

    def _place(self, found: list[Storage], segments: list[set[Operator]]) -> None:
        """What is alive before the walk, and what comes back when it enters a segment: what that has made and holds, be it
        alone (then it was not there meanwhile) or with others (then it is there twice)."""
        home = {operator: segment for segment in segments for operator in segment}
        ends = {id(s): (max(s, key=lambda o: o.seq), min(s, key=lambda o: o.seq)) for s in segments}
        self.ends = dict(ends.values())
        for storage in found:
            if storage.kind != "activation":
                self.alive += storage.nbytes
                continue
            segment = home.get(storage.made[0]) if storage.made is not None else None
            holders = {h.operator for h in storage.holders}
            inside = set() if segment is None else holders & segment
            if inside:
                last, first = ends[id(segment)]
                self.again.setdefault(last, []).append(storage)
                if holders - inside:
                    self.until.setdefault(first, []).append(storage)
                self._hold(storage, inside, bool(holders - inside))
            if holders - inside:
                self.alive += storage.nbytes
                self._hold(replace(storage), holders - inside, not all(h.released for h in storage.holders))

    def _hold(self, storage: Storage, holders: set[Operator], lasting: bool) -> None:
        self.waits[id(storage)] = len(holders) + lasting
        for operator in holders:
            self.holds.setdefault(operator, []).append(storage)

    def _walk(self) -> None:
        while self.heap:
            operator = heappop(self.heap)[1]
            for storage in self.again.get(operator, ()):
                self.alive += storage.nbytes
            incoming = self.table.pop(operator)
            if operator in self.ends:  # a segment's gradient waits outside until it is through
                self.lent[self.ends[operator]] = list(incoming.values())
                for block in incoming.values():
                    block.users += 1
            results = self._rule(operator, incoming)
            made = {id(b): b for b in results if b is not None and b.users == 0}
            self.alive += sum(b.nbytes for b in made.values())
            self.line.note(operator, self.alive + workspace.backward(operator))
            for storage in [*self.holds.get(operator, ()), *self.until.get(operator, ())]:
                self.waits[id(storage)] -= 1
                if not self.waits[id(storage)]:
                    self.alive -= storage.nbytes
            for edge, block in zip(operator.edges, results):
                if edge is not None and block is not None:
                    self._arrive(edge, block, counted=True)
            for block in [*incoming.values(), *self.lent.pop(operator, ())]:
                self._leave(block)

    def _rule(self, operator: Operator, incoming: dict[int, _Block]) -> list[_Block | None]:
        first = next(iter(incoming.values()))
        results: list[_Block | None] = []
        for edge in operator.edges:
            if edge is None:
                results.append(None)
            elif self._handed_on(operator, edge, first):
                first.permuted |= operator.name == "Permute"
                results.append(first)
            else:
                results.append(_Block(workspace.size(edge)))
        return results

    @staticmethod
    def _handed_on(operator: Operator, edge: Edge, block: _Block) -> bool:
        if operator.name not in workspace.HAND_ON or (operator.name == "Reshape" and block.permuted):
            return False
        return workspace.size(edge) >= block.nbytes or not operator.broadcasts

    def _arrive(self, edge: Edge, block: _Block, counted: bool = False) -> None:
        source, output = edge
        if not counted:
            self.alive += block.nbytes
        arrived = self.table.get(source)
        if arrived is None:
            arrived = self.table[source] = {}
            if isinstance(source, Operator):
                heappush(self.heap, (-source.seq, source))
        before = arrived.get(output)
        if before is None:
            arrived[output] = block
            block.users += 1
            return
        if edge not in self.summed:
            self.summed.add(edge)
            total = arrived[output] = _Block(workspace.size(edge))
            total.users = 1
            self.alive += total.nbytes
            self.line.note(self.line.operators[-1], self.alive)
            self._leave(before)
        if not block.users:
            self.alive -= block.nbytes

    def _leave(self, block: _Block) -> None:
        block.users -= 1
        if not block.users:
            self.alive -= block.nbytes


def forward(ops: list[Operator], found: list[Storage]) -> Timeline:
    """Bytes alive while each operator's forward rule ran: what is kept from then on, and values that nobody keeps until
    their last reader has run."""
    line = Timeline()
    alive = sum(s.nbytes for s in found if s.kind != "activation")
    begins: dict[Operator, int] = {}
    kept_edges = set()
    for storage in found:
        if storage.kind == "activation":
            maker = storage.made[0] if storage.made is not None else storage.holders[0].operator
            begins[maker] = begins.get(maker, 0) + storage.nbytes
            kept_edges.add(storage.made)
    last: dict[Operator, Operator] = {}
    for operator in ops:
        for edge in operator.edges:
            if edge is not None and isinstance(edge[0], Operator):
                last[edge[0]] = operator
    ends: dict[Operator, int] = {}
    for operator in ops:
        passing = 0
        for position in range(len(operator.outputs)):
            if (operator, position) not in kept_edges and not operator.is_view:
                passing += workspace.size((operator, position))
        alive += begins.get(operator, 0) + passing
        ends[last.get(operator, operator)] = ends.get(last.get(operator, operator), 0) + passing
        line.note(operator, alive + workspace.forward(operator))
        alive -= ends.get(operator, 0)
    return line


@dataclass
class Measured:
    """What :func:`measure` found: bytes alive at the most, and afterwards, of those that NumPy asked for meanwhile; and
    what the function returned."""

    peak: int
    after: int
    result: Any


def measure(function: Callable[[], Any]) -> Measured:
    """Run ``function()`` and measure the memory that it takes at its worst, with tracemalloc, to which NumPy reports.

    Only what is allocated inside counts: build the model inside the function as well, or its parameters are missing. GPU
    memory is not seen. TypeError for what is no function; RuntimeError while tracemalloc runs already.
    """
    arguments.function(function, "measure", "a function without arguments")
    if tracemalloc.is_tracing():
        raise RuntimeError("tracemalloc is running already: stop it (tracemalloc.stop()) before measuring")
    gc.collect()
    tracemalloc.start()
    try:
        result = function()
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return Measured(peak, after, result)
