"""The wires of a picture: which part makes each value and which use it; where leaves stand; what enters and leaves a box."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from minidl.inspect.parts import Part
from minidl.nn.parameter import Parameter


def wire_up(root: Part, nodes: Any) -> list[int]:
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
            if value is not None and value not in produced and not is_number(nodes.values[value]):
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


def is_number(value: Any) -> bool:
    """Whether a value is a number of the program's, such as the 8 in x / 8."""
    return value.kind == "constant" and not value.shape and _floats(value.name)


def _floats(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True
