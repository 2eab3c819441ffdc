"""How a drawn graph is laid out: in which layer each node stands, and in which order. Coordinates follow in place.py.

The method is that of Sugiyama, Tagawa and Toda 1981 ("Methods for visual understanding of hierarchical system
structures"), in three steps: nodes get layers by longest paths; the order within layers is found by barycentres, counting
crossings; coordinates are those that bring every node nearest to its neighbours, which for one layer whose order is fixed
is an isotonic regression, solved exactly by pooling adjacent violators.

A box is laid out by itself and is then one node of the box around it, so the order inside never depends on which boxes
are open, and opening one only moves coordinates. Lines enter and leave a box through ports, nodes of its first and last
layer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

WEAK = 0.1  # a link that draws less than this counts only where nothing else does


@dataclass
class Link:
    """A piece of a wire, from a node of one layer to a node of the next."""

    wire: int
    above: int
    below: int
    up: float = 1.0  # how strongly ``above`` is drawn towards ``below``
    down: float = 1.0  # and the other way round
    leaves: float = 0.0  # where on ``above`` it leaves, from 0 (left) to 1
    enters: float = 0.0  # where on ``below`` it enters


@dataclass
class Sheet:
    """The inside of one box, in order. Nodes 0 … n - 1 are the box's parts; behind them come ports and bends.

    A bend is where a long wire passes through a layer; all targets of a wire share its bends.
    """

    layers: list[list[int]]
    links: list[Link]
    entries: dict[int, int] = field(default_factory=dict)  # wire → its port in the first layer
    exits: dict[int, int] = field(default_factory=dict)  # wire → its port in the last layer
    bends: dict[int, list[int]] = field(default_factory=dict)  # wire → its bends, from the top down


@dataclass
class Net:
    """One wire inside a box: the node that it comes from and those that it goes to (a node may be named twice), and where
    on these it leaves and enters, from 0 (left) to 1."""

    wire: int
    source: int
    targets: list[int]
    leaves: float = 0.0
    enters: list[float] = field(default_factory=list)


# ------------------------------------------------------------------------------------------------------------ the order


def arrange(count: int, nets: Iterable[Net], entries: dict[int, int], exits: dict[int, int], light: set[int]) -> Sheet:
    """Layers and order of nodes 0 … ``count`` - 1, ports among them.

    Args:
        count: how many nodes there are.
        nets: who is joined to whom; without cycles.
        entries, exits: the ports, by wire, which go to the first and the last layer.
        light: nodes (parameters, constants) that follow who uses them and draw nobody.
    """
    nets = list(nets)
    layer = _layers(count, nets, set(entries.values()), set(exits.values()))
    sheet = Sheet([], [], dict(entries), dict(exits))
    depth = max(layer, default=-1) + 1
    total = count
    straight: set[int] = set()
    for net in nets:
        last = max((layer[t] for t in net.targets), default=layer[net.source])
        bends = list(range(total, total + max(last - layer[net.source] - 1, 0)))
        total += len(bends)
        straight.update(bends)
        layer += range(layer[net.source] + 1, layer[net.source] + 1 + len(bends))
        if bends:
            sheet.bends[net.wire] = bends
        column = [net.source, *bends]
        pairs = [(a, b) for a, b in zip(column, bends)]
        pairs += [(column[layer[t] - layer[net.source] - 1], t) for t in net.targets]
        enters = [0.0] * len(bends) + (net.enters or [0.0] * len(net.targets))
        for (a, b), enter in zip(pairs, enters):
            sheet.links.append(_link(net.wire, a, b, straight, light))
            sheet.links[-1].leaves, sheet.links[-1].enters = net.leaves if a == net.source else 0.0, enter
    sheet.layers = _untangle(_first_order(layer, depth, sheet.links), sheet.links, layer)
    return sheet


def _link(wire: int, above: int, below: int, straight: set[int], light: set[int]) -> Link:
    """Operators draw each other; a long wire is kept straight but gives way to them; it and parameters hardly draw."""
    if above in light:
        return Link(wire, above, below, 1.0, 0.02)
    if above in straight and below in straight:
        return Link(wire, above, below, 0.2, 0.2)
    if above in straight:
        return Link(wire, above, below, WEAK / 2, 0.1)
    if below in straight:
        return Link(wire, above, below, 0.1, WEAK / 2)
    return Link(wire, above, below)


def _layers(count: int, nets: list[Net], entries: set[int], exits: set[int]) -> list[int]:
    """The layer of each node: below all it comes from, and no higher above its users than need be."""
    sources: dict[int, set[int]] = defaultdict(set)
    users: dict[int, set[int]] = defaultdict(set)
    outgoing: dict[int, int] = defaultdict(int)
    for net in nets:
        outgoing[net.source] += bool(net.targets)
        for target in net.targets:
            sources[target].add(net.source)
            users[net.source].add(target)
    order = _topological(count, sources, users)
    first = 1 if entries else 0
    layer = [0] * count
    for node in order:
        floor = 0 if node in entries else first
        layer[node] = max([layer[s] + 1 for s in sources[node]], default=floor)
        layer[node] = max(layer[node], floor)
    last = max(layer, default=0)
    if exits and any(layer[node] == last and node not in exits for node in range(count)):
        last += 1
    for node in exits:
        layer[node] = last
    free: set[int] = set()  # what hangs on one user alone, such as a weight that is transposed first
    for node in order:
        if node not in entries and len(users[node]) == 1 and sources[node] <= free:
            free.add(node)
    for node in reversed(order):  # moves down to its users where that makes lines shorter in all
        if users[node] and node not in entries and outgoing[node] > len(sources[node] - free):
            layer[node] = min(layer[t] for t in users[node]) - 1
    return layer


def _topological(count: int, sources: dict[int, set[int]], users: dict[int, set[int]]) -> list[int]:
    missing = [len(sources[node]) for node in range(count)]
    order = [node for node in range(count) if not missing[node]]
    for node in order:
        for user in sorted(users[node]):
            missing[user] -= 1
            if not missing[user]:
                order.append(user)
    if len(order) < count:
        raise ValueError("the graph to lay out has a cycle")
    return order


def _first_order(layer: list[int], depth: int, links: list[Link]) -> list[list[int]]:
    """Nodes as they are met when the graph is walked from its ends upwards, operands from left to right."""
    above: dict[int, list[int]] = defaultdict(list)
    for link in links:
        above[link.below].append(link.above)
    order: list[list[int]] = [[] for _ in range(depth)]
    seen: set[int] = set()
    for end in sorted(range(len(layer)), key=lambda node: -layer[node]):
        stack = [end]
        while stack:
            node = stack.pop()
            if node not in seen:
                seen.add(node)
                order[layer[node]].append(node)
                stack += reversed(above[node])
    return order


def _untangle(order: list[list[int]], links: list[Link], layer: list[int], sweeps: int = 12) -> list[list[int]]:
    """Sort each layer by where its neighbours stand, down and up in turn; the order with fewest crossings is kept."""
    above: dict[int, list[tuple[int, float, float]]] = defaultdict(list)  # node, where on it, where here
    below: dict[int, list[tuple[int, float, float]]] = defaultdict(list)
    for link in links:
        above[link.below].append((link.above, link.leaves, link.enters))
        below[link.above].append((link.below, link.enters, link.leaves))
    place = {node: i for nodes in order for i, node in enumerate(nodes)}

    def crossings(nodes: list[list[int]]) -> int:
        """Pairs of lines that cross: lines sorted by their upper ends, inversions among their lower ends."""
        return sum(
            _inversions(
                [end for n in row for _, end in sorted((here, place[m] + there) for m, there, here in below[n])]
            )
            for row in nodes[:-1]
        )

    best, fewest = [list(row) for row in order], crossings(order)
    for sweep in range(sweeps):
        if not fewest:
            break
        neighbours, rows = (above, order[1:]) if sweep % 2 == 0 else (below, order[-2::-1])
        for row in rows:
            middle = {n: _mean([place[m] + there for m, there, _ in neighbours[n]], place[n]) for n in row}
            row.sort(key=middle.__getitem__)
            place.update((n, i) for i, n in enumerate(row))
        found = crossings(order)
        if found < fewest:
            best, fewest = [list(row) for row in order], found
    place.update((n, i) for row in best for i, n in enumerate(row))
    if fewest:
        _swap_neighbours(best, above, below, place)
    return best


def _swap_neighbours(order: list[list[int]], above: dict, below: dict, place: dict, passes: int = 4) -> None:
    """Exchange two neighbours wherever that leaves fewer crossings."""
    for _ in range(passes):
        better = False
        for row in order:
            for i in range(len(row) - 1):
                a, b = row[i], row[i + 1]
                now = _between(above[a], above[b], place) + _between(below[a], below[b], place)
                if now > _between(above[b], above[a], place) + _between(below[b], below[a], place):
                    row[i], row[i + 1] = b, a
                    place[a], place[b] = i + 1, i
                    better = True
        if not better:
            return


def _between(left: list, right: list, place: dict[int, int]) -> int:
    """Crossings between the lines of two neighbours."""
    return sum(place[a] + i > place[b] + j for a, i, _ in left for b, j, _ in right)


def _inversions(ends: list[float]) -> int:
    """Pairs in the wrong order, counted by a binary indexed tree."""
    rank = {end: i + 1 for i, end in enumerate(sorted(set(ends)))}
    tree = [0] * (len(rank) + 1)
    total = 0
    for count, end in enumerate(ends):
        i, before = rank[end], 0
        while i:
            before += tree[i]
            i &= i - 1
        total += count - before
        i = rank[end]
        while i < len(tree):
            tree[i] += 1
            i += i & -i
    return total


def _mean(numbers: list[float], default: float) -> float:
    return sum(numbers) / len(numbers) if numbers else default
