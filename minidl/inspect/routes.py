"""The lines of a drawn graph: each from where a value is made, through ports and bends, to where it is used."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from minidl.inspect.frame import Placed

SPREAD = 12.0  # between the arrows that reach one operator
Point = tuple[float, float]


@dataclass
class Route:
    """A line down through ``points``; between two of them it is straight if they stand one over the other."""

    wire: int
    start: Placed
    end: Placed
    points: list[Point]


def routes(root: Placed) -> list[Route]:
    """All lines between visible parts."""
    pieces = _pieces(root)
    made: list[Route] = []
    arriving: dict[int, list[Route]] = defaultdict(list)
    for placed in root.walk():
        if placed.part.open or (not placed.part.ins and not placed.part.outs):
            continue
        bottom = placed.y + placed.card.height + placed.card.pile
        for wire in dict.fromkeys(placed.part.outs):
            at = (placed.x + placed.card.ports[wire], bottom)
            for points, end in _follow(pieces, (id(placed), wire), [at]):
                made.append(Route(wire, placed, end, points))
                arriving[id(end)].append(made[-1])
    for lines in arriving.values():
        _arrive(lines)
    return made


def _pieces(root: Placed) -> dict:
    """From a node of some sheet (by its box and number, or a part by itself) and a wire, to what comes next: a list of
    (points on the way, next key, the part reached or None)."""
    pieces: dict = defaultdict(list)
    for box in root.walk():
        if not box.part.open or box.places is None:
            continue
        sheet, places = box.part.sheet, box.places
        layer = {node: i for i, row in enumerate(sheet.layers) for node in row}

        def key(node: int, box: Placed = box) -> tuple[int, int]:
            return (id(box), node)

        for link in sheet.links:
            above, below = link.above, link.below
            inner = box.parts[above] if above < len(box.parts) else None
            if inner is None:
                x, source = places.x[above], (key(above), link.wire)
            elif inner.part.open:
                exit_ = inner.part.sheet.exits[link.wire]
                x, source = inner.places.x[exit_], ((id(inner), exit_), link.wire)  # type: ignore[union-attr]
            else:
                x, source = inner.x + inner.card.ports[link.wire], (id(inner), link.wire)
            points = [(x, places.bottom[layer[above]])]
            target = box.parts[below] if below < len(box.parts) else None
            top = places.top[layer[below]]
            if target is None:
                points += [(places.x[below], top), (places.x[below], places.bottom[layer[below]])]
                pieces[source].append((points, (key(below), link.wire), None))
            elif target.part.open:
                entry = target.part.sheet.entries[link.wire]
                assert target.places is not None
                x = target.places.x[entry]
                points += [(x, top), (x, target.places.bottom[0])]
                pieces[source].append((points, ((id(target), entry), link.wire), None))
            else:
                points += [(target.x, top), (target.x, target.y)]
                pieces[source].append((points, None, target))
    return pieces


def _follow(pieces: dict, source: tuple, begun: list[Point]) -> list[tuple[list[Point], Placed]]:
    done, stack = [], [(source, begun)]
    while stack:
        key, points = stack.pop()
        for more, onward, target in pieces.get(key, ()):
            longer = points + more
            if target is not None:
                done.append((longer, target))
            else:
                stack.append((onward, longer))
    return done


def _arrive(lines: list[Route]) -> None:
    """Lines that reach one part come in side by side, in the order they come from; one from nearly straight above stays
    straight."""
    if len(lines) < 2:
        return
    lines.sort(key=lambda line: line.points[-3][0])
    end = lines[0].end
    half = end.card.width / 2 - 9
    room = min(SPREAD, 2 * half / (len(lines) - 1))
    from_ = [line.points[-3][0] - end.x for line in lines]
    nearest = min(range(len(lines)), key=lambda i: abs(from_[i]))
    first = from_[nearest] - nearest * room if abs(from_[nearest]) < half else -(len(lines) - 1) / 2 * room
    first = min(max(first, -half), half - (len(lines) - 1) * room)
    for i, line in enumerate(lines):
        at = end.x + first + i * room
        line.points[-2:] = [(at, line.points[-2][1]), (at, line.points[-1][1])]
