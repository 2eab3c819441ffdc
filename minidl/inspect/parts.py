"""What a picture of a graph is made of: parts in boxes, joined by wires."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

from minidl.inspect.layout import Net, Sheet, arrange


@dataclass(eq=False)
class Part:
    """A thing that is drawn: an operator ("op"), a leaf, the end of the graph ("end"), or a box of parts.

    ``ref`` is the id of the operator (op) or of the value (leaf, end). ``ins`` and ``outs`` are wires; a wire that is an
    operand twice stands in ``ins`` twice.
    """

    kind: str
    label: str
    ref: int = -1
    scope: tuple[str, ...] = ()
    ins: list[int] = field(default_factory=list)
    outs: list[int] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    note: str = ""  # of a box: what it is ("LSTMCell", "11 more like this")
    folded: bool = False  # made for lack of room: opens on request alone
    open: bool = False
    key: str = ""
    _sheet: Sheet | None = None

    @property
    def size(self) -> int:
        """How many operators are in it."""
        return sum(part.kind == "op" for part in self.walk())

    def walk(self) -> Iterator[Part]:
        """The part and all parts in it, outermost first."""
        stack: list[Part] = [self]
        while stack:
            part = stack.pop()
            yield part
            stack.extend(reversed(part.parts))

    @property
    def sheet(self) -> Sheet:
        """The order of the inside, found when it is first asked for."""
        if self._sheet is None:
            self._sheet = _sheet_of(self)
        return self._sheet


@dataclass
class Picture:
    """A tree of parts, and which value each wire carries."""

    root: Part
    wires: list[int]
    remarks: list[str] = field(default_factory=list)


def _sheet_of(box: Part) -> Sheet:
    """The box's parts in order."""
    source: dict[int, int] = {}
    leaves: dict[int, float] = {}
    targets: dict[int, list[int]] = defaultdict(list)
    enters: dict[int, list[float]] = defaultdict(list)
    for i, part in enumerate(box.parts):
        ins, outs = _ports(part)
        for at, wire in enumerate(outs):
            source[wire], leaves[wire] = i, at / len(outs)
        for wire in part.ins:
            targets[wire].append(i)
            enters[wire].append(ins.index(wire) / len(ins) if part.kind == "box" else 0.0)
    number = count(len(box.parts))
    entries = {wire: next(number) for wire in box.ins}
    exits = {wire: next(number) for wire in box.outs}
    source.update((wire, node) for wire, node in entries.items())
    for wire, node in exits.items():
        targets[wire].append(node)
        enters[wire].append(0.0)
    nets = [
        Net(wire, source[wire], nodes, leaves.get(wire, 0.0), enters[wire])
        for wire, nodes in targets.items()
        if wire in source
    ]
    light = {i for i, part in enumerate(box.parts) if part.kind == "leaf" and _lone(part, box)}
    return arrange(next(number), nets, entries, exits, light)


def _ports(part: Part, most: int = 3000) -> tuple[list[int], list[int]]:
    """The wires that enter and leave a part, from left to right as they do when it is open."""
    if part.kind != "box" or len(part.ins) + len(part.outs) < 3 or part.size > most:
        return part.ins, part.outs
    sheet = part.sheet
    place = {node: i for row in (sheet.layers[0], sheet.layers[-1]) for i, node in enumerate(row)}
    part.ins.sort(key=lambda wire: place[sheet.entries[wire]])
    part.outs.sort(key=lambda wire: place[sheet.exits[wire]])
    return part.ins, part.outs


def _lone(leaf: Part, box: Part) -> bool:
    """Whether a leaf joins something else at all it goes to, so that it need not hold them together."""
    users = [part for part in box.parts if leaf.outs[0] in part.ins]
    return all(any(wire != leaf.outs[0] for wire in part.ins) for part in users) and len(users) == 1
