"""What a picture of a graph shows: operators, leaves and ends, in boxes for the modules that they ran in.

A box holds a stretch of the forward pass, so two calls of one module are two boxes, and boxes never form a cycle. Where a
graph has more parts than can be read, repeated stretches are folded into "11 more like this", and what is still too long
into "operators 101 to 200". Everything here is structure; sizes and coordinates come later.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, groupby
from typing import Any

import numpy as np

from minidl.inspect.layout import Net, Sheet, arrange
from minidl.nn.parameter import Parameter


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


def picture(nodes: Any, fold: int | None = None, limit: int | None = 120) -> Picture:
    """The parts of a graph as read by ``nodes.read``.

    Args:
        nodes: operators and values.
        fold: how many levels of boxes are open; None opens as many as ``limit`` allows.
        limit: the most parts that may be visible; None for no limit.
    """
    classes = {op.scope: op.classes for op in nodes.ops}
    root = Part("box", "", parts=_scopes([_op(op, nodes) for op in nodes.ops], 0, classes), open=True)
    _simplify(root)
    remarks: list[str] = []
    if limit is not None:
        _shorten(root, max(limit, 8), remarks)
    wires = _wire(root, nodes)
    for number, part in zip(count(), root.walk()):
        part.key = f"{part.kind}{number if part.kind in ('box', 'leaf') else part.ref}"
    _open(root, fold, limit, remarks)
    return Picture(root, wires, remarks)


def _op(op: Any, nodes: Any) -> Part:
    """An operator; numbers among its operands are told in its name, as in "div(·, 2.83)"."""
    operands = [nodes.values[v] if v is not None else None for v in op.inputs]
    label = op.label
    if any(v is not None and _is_number(v) for v in operands):
        label += "(" + ", ".join(v.name if v is not None and _is_number(v) else "·" for v in operands) + ")"
    return Part("op", label, op.id, tuple(op.scope))


def _is_number(value: Any) -> bool:
    return (
        value.kind == "constant" and not value.shape and not value.name.startswith("constant") and _floats(value.name)
    )


def _floats(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True


# ------------------------------------------------------------------------------------------------------------ the boxes


def _scopes(parts: list[Part], depth: int, classes: dict[tuple[str, ...], tuple[str, ...]]) -> list[Part]:
    """Neighbours that ran in the same module go into one box."""
    made: list[Part] = []
    for name, group in groupby(parts, key=lambda part: part.scope[depth] if len(part.scope) > depth else None):
        inside = list(group)
        if name is None:
            made += inside
            continue
        scope, kind = inside[0].scope[: depth + 1], classes[inside[0].scope][depth]
        calls = _calls(inside)
        for i, call in enumerate(calls):
            label = f"{name} ({i + 1} of {len(calls)})" if len(calls) > 1 else name
            made.append(Part("box", label, scope=scope, parts=_scopes(call, depth + 1, classes), note=kind))
    return made


def _calls(parts: list[Part], shortest: int = 4) -> list[list[Part]]:
    """A stretch that is one stretch several times over, as when a cell is called for each time step, in its parts."""
    labels = [(part.label, part.scope) for part in parts]
    for period in range(shortest, len(parts) // 2 + 1):
        if len(parts) % period == 0 and labels[:-period] == labels[period:]:
            return [parts[i : i + period] for i in range(0, len(parts), period)]
    return [parts]


def _simplify(box: Part) -> None:
    """A box with nothing but one box in it is that box, under both names."""
    for part in list(box.walk()):
        for i, child in enumerate(part.parts):
            while child.kind == "box" and len(child.parts) == 1 and child.parts[0].kind == "box":
                (inner,) = child.parts
                inner.label = inner.label if inner.label.startswith(child.label) else f"{child.label}.{inner.label}"
                part.parts[i] = child = inner


def _shorten(box: Part, limit: int, remarks: list[str]) -> None:
    """Fold what repeats, then what is still too long, wherever a box has more parts than the limit."""
    names: dict[tuple, int] = {}
    for part in list(box.walk()):
        if part.kind == "box" and len(part.parts) > limit // 2:
            before = len(part.parts)
            part.parts = _fold_repeats(part.parts, names)
            if len(part.parts) < before:
                remarks.append("repeated stretches are folded")
        if len(part.parts) > limit:
            part.parts = _fold_stretches(part.parts, limit)
            remarks.append("long stretches are folded")


def _signature(part: Part, names: dict[tuple, int]) -> int:
    """A number that parts of the same structure share."""
    inside = tuple(_signature(child, names) for child in part.parts)
    return names.setdefault((part.kind, "" if inside else part.label, inside), len(names))


def _fold_repeats(parts: list[Part], names: dict[tuple, int], longest: int = 64) -> list[Part]:
    """Where a stretch of up to ``longest`` parts comes three times or more in a row, only the first one stays."""
    signs = np.array([_signature(part, names) for part in parts])
    n = len(signs)
    reach = np.zeros((longest + 1, n), np.int64)  # [p, i]: how many parts from i on equal the one p further
    for period in range(1, min(longest, n // 3) + 1):
        same = signs[:-period] == signs[period:]
        breaks = np.append(np.flatnonzero(~same), len(same))
        reach[period, : len(same)] = breaks[np.searchsorted(breaks, np.arange(len(same)))] - np.arange(len(same))
    made: list[Part] = []
    i = 0
    while i < n:
        times = np.array([0] + [reach[p, i] // p + 1 for p in range(1, longest + 1)])
        covered = np.where(times >= 3, times * np.arange(longest + 1), 0)
        period = int(covered.argmax())
        if not covered[period]:
            made.append(parts[i])
            i += 1
            continue
        rest = parts[i + period : i + int(covered[period])]
        made += parts[i : i + period]
        made.append(Part("box", _names(rest, period), parts=rest, folded=True))
        made[-1].note = f"{int(times[period]) - 1} more like the one before"
        made[-1].scope = rest[0].scope[:-1] if rest[0].kind == "box" else rest[0].scope
        i += int(covered[period])
    return made


def _names(parts: list[Part], period: int) -> str:
    if period == 1:
        return f"{parts[0].label} … {parts[-1].label}" if parts[0].kind == "box" else f"{parts[0].label} × {len(parts)}"
    inside = " ".join(part.label for part in parts[: min(period, 3)])
    return f"({inside}{' …' if period > 3 else ''}) × {len(parts) // period}"


def _fold_stretches(parts: list[Part], limit: int) -> list[Part]:
    length = max(math.ceil(len(parts) / max(limit // 3, 2)), 2)
    made, first = [], 1
    for start in range(0, len(parts), length):
        inside = parts[start : start + length]
        operators = sum(part.size for part in inside)
        box = Part("box", f"operators {first:,} to {first + operators - 1:,}", parts=inside, folded=True)
        box.scope = inside[0].scope
        if len(inside) > limit:
            box.parts = _fold_stretches(inside, limit)
        made.append(box)
        first += operators
    return made


def _open(root: Part, fold: int | None, limit: int | None, remarks: list[str]) -> None:
    """Open boxes from the outside in, as deep as asked and as long as there is room."""
    room = math.inf if limit is None else limit - len(root.parts)
    level, depth, names = [root], 0, {}
    while level and (fold is None or depth < fold):
        inner = [part for box in level for part in box.parts if part.kind == "box" and not part.folded]
        if sum(len(box.parts) - 1 for box in inner) > room:  # of those that are alike, one is to do
            remarks.append("boxes are closed")
            inner = list({_signature(box, names): box for box in reversed(inner)}.values())[::-1]
        for box in inner:
            box.open = len(box.parts) - 1 <= room
            room -= (len(box.parts) - 1) * box.open
        level = [box for box in inner if box.open]
        depth += 1


# ------------------------------------------------------------------------------------------------------------ the wires


def _wire(root: Part, nodes: Any) -> list[int]:
    """Place leaves and ends, and give every part its wires; returns the value of each wire."""
    ops = {part.ref: part for part in root.walk() if part.kind == "op"}
    produced = {value for op in nodes.ops for value in op.outputs}
    wires: list[int] = []
    wire_of: dict[int, int] = {}

    def wire(value: int) -> int:
        wires.append(value)
        return len(wires) - 1

    uses: dict[int, list[Part]] = defaultdict(list)
    for op in nodes.ops:
        for value in op.outputs:
            wire_of[value] = wire(value)
        ops[op.id].outs = [wire_of[value] for value in op.outputs]
        for value in op.inputs:
            if value is not None and value not in produced and not _is_number(nodes.values[value]):
                uses[value].append(ops[op.id])
    paths = _paths(root)
    levels = _levels(nodes)
    taken: dict[tuple[int, Part], int] = {}
    leaves: list[tuple[tuple[Part, ...], Part]] = []
    for value, users in uses.items():
        clusters = _clusters(users, levels, paths if isinstance(nodes.values[value].tensor, Parameter) else {})
        for cluster in clusters:
            leaf = Part("leaf", nodes.values[value].name, value, outs=[wire(value)])
            leaf.note = "shared" if len(clusters) > 1 else ""
            taken.update(((value, user), leaf.outs[0]) for user in cluster)
            leaves.append((_home(nodes.values[value], [paths[user] for user in cluster]), leaf))
    for op in nodes.ops:
        part = ops[op.id]
        wires_in = [taken.get((v, part), wire_of.get(v)) for v in op.inputs if v is not None]
        part.ins = [w for w in wires_in if w is not None]
    for path, leaf in leaves:
        path[-1].parts.insert(0, leaf)
        leaf.label = _within(leaf.label, path[-1].scope)
    for value in nodes.roots:
        if value in wire_of:
            root.parts.append(Part("end", _end_name(nodes.values[value]), value, ins=[wire_of[value]]))
    _borders(root)
    return wires


def _end_name(value: Any) -> str:
    size = math.prod(value.shape)
    return value.name if value.name.isidentifier() else "loss" if size == 1 else "output"


def _paths(root: Part) -> dict[Part, tuple[Part, ...]]:
    """The boxes around each operator, outermost first."""
    paths: dict[Part, tuple[Part, ...]] = {}
    stack: list[tuple[Part, tuple[Part, ...]]] = [(root, (root,))]
    while stack:
        box, path = stack.pop()
        for part in box.parts:
            if part.kind == "box":
                stack.append((part, (*path, part)))
            else:
                paths[part] = path
    return paths


def _levels(nodes: Any) -> dict[int, int]:
    """How many operators there are before each operator, on the longest way."""
    made: dict[int, int] = {}
    level: dict[int, int] = {}
    for op in nodes.ops:
        level[op.id] = max([made[v] + 1 for v in op.inputs if v in made], default=0)
        made.update((value, level[op.id]) for value in op.outputs)
    return level


def _clusters(users: list[Part], levels: dict[int, int], paths: dict[Part, tuple[Part, ...]]) -> list[list[Part]]:
    """Who shares one drawn leaf. A parameter of a module that is called several times is drawn in each call, and a leaf
    used at three places far apart or more at each of them: lines from one pill to everywhere cannot be followed."""
    users = sorted(dict.fromkeys(users), key=lambda part: levels[part.ref])
    calls: dict[Part, list[Part]] = defaultdict(list)
    for user in users:
        if user in paths:
            calls[paths[user][-1]].append(user)
    if len(calls) > 1 and len({box.scope for box in calls}) == 1:
        return list(calls.values())
    groups: list[list[Part]] = []
    for user in users:
        if groups and levels[user.ref] - levels[groups[-1][-1].ref] <= 2:
            groups[-1].append(user)
        else:
            groups.append([user])
    return groups if len(groups) >= 3 else [users]


def _within(name: str, scope: tuple[str, ...]) -> str:
    """A parameter's name inside the box of its module: "weight" for "encoder.fc1.weight"."""
    for start in range(len(scope)):
        prefix = ".".join(scope[start:]) + "."
        if name.startswith(prefix):
            return name[len(prefix) :]
    return name


def _home(value: Any, paths: Sequence[tuple[Part, ...]]) -> tuple[Part, ...]:
    """The path to the box where a leaf is drawn: the innermost around all its users for what belongs to a module; for
    what the program holds in a variable, outside all modules."""
    shared = 0
    while all(len(path) > shared and path[shared] is paths[0][shared] for path in paths):
        shared += 1
    path = paths[0][:shared]
    if value.name.isidentifier() and not isinstance(value.tensor, Parameter):
        outside = 1
        while outside < len(path) and path[outside].folded:
            outside += 1
        return path[:outside]
    return path


def _borders(root: Part) -> None:
    """The wires that enter and leave each box."""
    total: dict[int, int] = defaultdict(int)
    for part in root.walk():
        for wire in part.ins:
            total[wire] += 1
    for part in root.walk():
        part.outs = [wire for wire in part.outs if total[wire]]
    _border(root, total)


def _border(box: Part, total: dict[int, int]) -> tuple[dict[int, int], list[int]]:
    """How often each wire is used in a box, and the wires made in it."""
    used: dict[int, int] = defaultdict(int)
    made: list[int] = []
    for part in box.parts:
        inner, new = _border(part, total) if part.kind == "box" else (None, part.outs)
        for wire in part.ins if inner is None else ():
            used[wire] += 1
        for wire, times in (inner or {}).items():
            used[wire] += times
        made += new
    inside = set(made)
    box.ins = [wire for wire in used if wire not in inside]
    box.outs = [wire for wire in made if used.get(wire, 0) < total.get(wire, 0)]
    return used, made


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
