"""What a picture of a graph shows: operators, leaves and ends, in boxes for the modules that they ran in.

A box holds a stretch of the forward pass, so two calls of one module are two boxes, and boxes never form a cycle. Where a
graph has more parts than can be read, repeated stretches are folded into "11 more like this", and what is still too long
into "operators 101 to 200". Everything here is structure; sizes and coordinates come later.
"""

from __future__ import annotations

import math
from itertools import count, groupby
from typing import Any

import numpy as np

from minidl.inspect.parts import Part, Picture
from minidl.inspect.wires import is_number, wire_up


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
    wires = wire_up(root, nodes)
    for number, part in zip(count(), root.walk()):
        part.key = f"{part.kind}{number if part.kind in ('box', 'leaf') else part.ref}"
    _open(root, fold, limit, remarks)
    return Picture(root, wires, remarks)


def _op(op: Any, nodes: Any) -> Part:
    """An operator; numbers among its operands are told in its name, as in "div(·, 2.83)"."""
    operands = [nodes.values[v] if v is not None else None for v in op.inputs]
    label = op.label
    if any(v is not None and is_number(v) for v in operands):
        label += "(" + ", ".join(v.name if v is not None and is_number(v) else "·" for v in operands) + ")"
    return Part("op", label, op.id, tuple(op.scope))


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
    boxes = [part for part in box.walk() if part.kind == "box"]
    for part in boxes:
        if len(part.parts) > limit // 2 and not part.folded:
            folded = _fold_repeats(part.parts, names)
            if len(folded) < len(part.parts):
                remarks.append("repeated stretches are folded")
            part.parts = folded
            boxes += [inner for inner in folded if inner.folded and len(inner.parts) > limit]
        if len(part.parts) > limit:
            part.parts = _fold_stretches(part.parts, limit)
            if not part.folded:
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
        made[-1].note = f"{int(times[period]) - 1:,} more like the one before"
        made[-1].scope = rest[0].scope[:-1] if rest[0].kind == "box" else rest[0].scope
        i += int(covered[period])
    return made


def _names(parts: list[Part], period: int) -> str:
    if period == 1:
        return (
            f"{parts[0].label} … {parts[-1].label}" if parts[0].kind == "box" else f"{parts[0].label} × {len(parts):,}"
        )
    inside = " ".join(part.label for part in parts[: min(period, 3)])
    return f"({inside}{' …' if period > 3 else ''}) × {len(parts) // period:,}"


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
            remarks.append("some boxes are closed")
            inner = list({_signature(box, names): box for box in reversed(inner)}.values())[::-1]
        for box in inner:
            box.open = len(box.parts) - 1 <= room
            room -= (len(box.parts) - 1) * box.open
        level = [box for box in inner if box.open]
        depth += 1
