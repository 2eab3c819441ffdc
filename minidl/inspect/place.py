"""Where everything of a laid-out graph stands: the coordinates of one box's nodes, whose layers and order are known.

The trace page computes them again when the reader opens a box: ``page/place.js`` is this file line by line, and a test
holds one against the other.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from minidl.inspect.layout import WEAK, Link, Sheet

GAP = 16.0  # between neighbours of a layer
RISE = 22.0  # between layers, at least
PAD = 14.0  # between a box and what is in it
ROUNDS = 10  # sweeps over the layers, up and down, for the coordinates
LINE = 5.0  # half the room of a line that passes through a layer


@dataclass
class Extent:
    """The room that a node needs about its own x, and where on it wires leave and (for open boxes) enter."""

    left: float = LINE
    right: float = LINE
    height: float = 0.0
    leaves: dict[int, float] = field(default_factory=dict)  # wire → offset from x
    enters: dict[int, float] = field(default_factory=dict)


@dataclass
class Places:
    """Coordinates of a sheet's nodes, and from where to where each layer reaches."""

    x: list[float]
    top: list[float]  # of each layer
    bottom: list[float]


def place(sheet: Sheet, extents: Sequence[Extent]) -> Places:
    """x of every node of a sheet, y of every layer, in units of pixels; the first layer begins at 0.

    Every layer in turn is brought nearest to the layer above, then, going up, to the one below; downwards comes last,
    so chains are straight.
    """
    x = [0.0] * len(extents)
    for row in sheet.layers:
        settle(row, [0.0] * len(row), [1.0] * len(row), extents, x)
    above: dict[int, list[Link]] = defaultdict(list)
    below: dict[int, list[Link]] = defaultdict(list)
    for link in sheet.links:
        above[link.below].append(link)
        below[link.above].append(link)

    def start(link: Link) -> float:
        return extents[link.above].leaves.get(link.wire, 0.0)

    def end(link: Link) -> float:
        return extents[link.below].enters.get(link.wire, 0.0)

    def from_above(node: int) -> tuple[float, float]:
        return _pull([(link.down, x[link.above] + start(link) - end(link)) for link in above[node]])

    def from_below(node: int) -> tuple[float, float]:
        return _pull([(link.up, x[link.below] + end(link) - start(link)) for link in below[node]])

    def sweep(rows: Iterable[list[int]], first: Callable, second: Callable, rough: bool) -> None:
        for row in rows:
            wishes, weights = [], []
            for node in row:
                weight, wish = first(node)
                if weight < WEAK:  # a parameter's user, or the end of a long wire: look to the other side
                    other, elsewhere = second(node)
                    if other and weight and rough:
                        wish = (wish + elsewhere) / 2
                    elif other:
                        wish = elsewhere
                    weight, wish = (other * 0.01, wish) if other else (0.001, wish if weight else x[node])
                wishes.append(wish)
                weights.append(weight)
            settle(row, wishes, weights, extents, x)

    for turn in range(ROUNDS):
        rough = turn < ROUNDS - 2
        sweep(reversed(sheet.layers), from_below, from_above, rough)
        sweep(sheet.layers, from_above, from_below, rough)
    for _ in range(2):
        _tighten(sheet, extents, x, start)
    return Places(x, *_heights(sheet, extents, x, start, end))


def _pull(pairs: list[tuple[float, float]]) -> tuple[float, float]:
    """The mean wish of those that pull hardest, and how hard."""
    most = max((weight for weight, _ in pairs), default=0.0)
    strong = [(weight, wish) for weight, wish in pairs if weight * 5 > most]
    total = sum(weight for weight, _ in strong)
    return total, sum(weight * wish for weight, wish in strong) / total if total else 0.0


def settle(
    row: list[int], wishes: list[float], weights: list[float], extents: Sequence[Extent], x: list[float]
) -> None:
    """Set x of a layer's nodes, in their order and apart, to minimise Σ weight · (x - wish)²."""
    shift, shifts = 0.0, []
    blocks: list[list[float]] = []  # [mean, weight, how many]
    for i, node in enumerate(row):
        if i:
            shift += extents[row[i - 1]].right + GAP + extents[node].left
        shifts.append(shift)
        blocks.append([wishes[i] - shift, weights[i], 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            mean, weight, many = blocks.pop()
            last = blocks[-1]
            last[0] = (last[0] * last[1] + mean * weight) / (last[1] + weight)
            last[1] += weight
            last[2] += many
    i = 0
    for mean, _, many in blocks:
        for _ in range(int(many)):
            x[row[i]] = mean + shifts[i]
            i += 1


def _tighten(sheet: Sheet, extents: Sequence[Extent], x: list[float], start: Callable) -> None:
    """Pull long wires straight between the nodes beside them: as few turns as there is room for."""
    beside = {n: (row[i - 1] if i else None, *row[i + 1 : i + 2]) for row in sheet.layers for i, n in enumerate(row)}
    begins = {link.below: x[link.above] + start(link) for link in sheet.links}
    for bends in sheet.bends.values():
        at = begins[bends[0]]
        run: list[int] = []
        low, high = -math.inf, math.inf
        for node in [*bends, None]:
            least, most = -math.inf, math.inf
            if node is not None:
                left, *right = beside[node]
                if left is not None:
                    least = x[left] + extents[left].right + GAP + LINE
                if right:
                    most = x[right[0]] - extents[right[0]].left - GAP - LINE
            if node is None or max(low, least) > min(high, most):
                at = min(max(at, low), high)
                for passed in run:
                    x[passed] = at
                run, low, high = [], -math.inf, math.inf
            if node is not None:
                run.append(node)
                low, high = max(low, least), min(high, most)


def _heights(
    sheet: Sheet, extents: Sequence[Extent], x: list[float], start: Callable, end: Callable
) -> tuple[list[float], list[float]]:
    """Top and bottom of each layer; lines that go far to the side get more room to do so."""
    layer = {node: i for i, row in enumerate(sheet.layers) for node in row}
    span = [0.0] * len(sheet.layers)
    for link in sheet.links:
        i = layer[link.above]
        span[i] = max(span[i], abs(x[link.above] + start(link) - x[link.below] - end(link)))
    tops, bottoms, y = [], [], 0.0
    for i, row in enumerate(sheet.layers):
        tops.append(y)
        y += max((extents[node].height for node in row), default=0.0)
        bottoms.append(y)
        y += RISE + min(span[i] * 0.08, 34.0)
    return tops, bottoms
