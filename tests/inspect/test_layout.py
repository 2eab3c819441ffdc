"""The layout held to what makes a drawing readable, on random graphs and on small ones with a known answer."""

from __future__ import annotations

import itertools
import random

import pytest

from minidl.inspect.layout import Net, arrange
from minidl.inspect.place import GAP, Extent, place, settle


def random_graph(seed, n):
    """n nodes, each fed by up to three earlier ones."""
    draw = random.Random(seed)
    targets = {i: [] for i in range(n)}
    for node in range(1, n):
        for source in {draw.randrange(node) for _ in range(draw.randint(1, 3))}:
            targets[source].append(node)
    return [Net(i, i, t) for i, t in targets.items() if t]


def extents_of(sheet, n, draw):
    count = n + sum(map(len, sheet.bends.values()))
    return [Extent(draw.uniform(10, 60), draw.uniform(10, 90), 30.0) if i < n else Extent() for i in range(count)]


def crossings(sheet, x):
    """Pairs of lines that cross, counted one against one."""
    layer = {node: i for i, row in enumerate(sheet.layers) for node in row}
    total = 0
    for a, b in itertools.combinations(sheet.links, 2):
        if layer[a.above] == layer[b.above]:
            total += (x[a.above] - x[b.above]) * (x[a.below] - x[b.below]) < 0
    return total


@pytest.mark.parametrize("seed", range(8))
def test_lines_go_down_and_nodes_stand_apart(seed):
    n = 5 + 7 * seed
    sheet = arrange(n, random_graph(seed, n), {}, {}, set())
    layer = {node: i for i, row in enumerate(sheet.layers) for node in row}
    assert sorted(layer) == list(range(len(layer)))  # each node once
    assert all(layer[link.below] == layer[link.above] + 1 for link in sheet.links)
    extents = extents_of(sheet, n, random.Random(seed))
    places = place(sheet, extents)
    for row in sheet.layers:
        for a, b in itertools.pairwise(row):
            assert places.x[b] - places.x[a] >= extents[a].right + GAP + extents[b].left - 1e-6
    for i in range(len(sheet.layers) - 1):
        assert places.bottom[i] < places.top[i + 1]


def test_every_target_is_reached():
    nets = random_graph(3, 40)
    sheet = arrange(40, nets, {}, {}, set())
    below = {}
    for link in sheet.links:
        below.setdefault((link.wire, link.above), []).append(link.below)
    for net in nets:
        found, stack = [], [net.source]
        while stack:
            for node in below.get((net.wire, stack.pop()), []):
                (found if node < 40 else stack).append(node)
        assert sorted(found) == sorted(net.targets)


def test_a_chain_is_straight():
    sheet = arrange(30, [Net(i, i, [i + 1]) for i in range(29)], {}, {}, set())
    x = place(sheet, [Extent(20, 20 + i, 30) for i in range(30)]).x
    assert max(x) - min(x) < 1e-9


def test_a_chain_stays_straight_beside_a_residual_and_parameters():
    """0 → 1 → 2 → 3 → 4, 0 also to 4; 1 and 3 have a parameter each."""
    nets = [Net(0, 0, [1, 4]), Net(1, 1, [2]), Net(2, 2, [3]), Net(3, 3, [4]), Net(5, 5, [1]), Net(6, 6, [3])]
    sheet = arrange(7, nets, {}, {}, {5, 6})
    extents = [Extent(40, 60, 30)] * 7 + [Extent()] * len(sheet.bends[0])
    x = place(sheet, extents).x
    assert max(x[1:5]) - min(x[1:5]) < 1
    assert max(x[i] for i in sheet.bends[0]) - min(x[i] for i in sheet.bends[0]) < 1e-9


def test_a_parameter_is_one_layer_above_its_user():
    nets = [Net(0, 0, [1]), Net(1, 1, [2]), Net(2, 2, [3]), Net(4, 4, [5]), Net(5, 5, [3])]  # 4 → 5 hangs on 3 alone
    sheet = arrange(6, nets, {}, {}, {4})
    layer = {node: i for i, row in enumerate(sheet.layers) for node in row}
    assert (layer[5], layer[4]) == (layer[3] - 1, layer[3] - 2)


def test_crossings_that_can_be_avoided_are():
    nets = [Net(0, 0, [5]), Net(1, 1, [4]), Net(2, 2, [3])]  # given crosswise
    sheet = arrange(6, nets, {}, {}, set())
    assert crossings(sheet, place(sheet, [Extent(10, 10, 10)] * 6).x) == 0


def test_outputs_of_one_node_do_not_cross_on_their_way():
    nets = [Net(0, 0, [3], 0.0), Net(1, 0, [2], 0.4), Net(2, 0, [1], 0.8)]
    sheet = arrange(4, nets, {}, {}, set())
    assert sheet.layers[1] == [3, 2, 1]


def test_a_layer_settles_where_the_sum_of_squares_is_least():
    draw = random.Random(0)
    for _ in range(20):
        n = draw.randint(1, 6)
        wishes, weights = [draw.uniform(-50, 50) for _ in range(n)], [draw.uniform(0.1, 4) for _ in range(n)]
        extents, x = [Extent(5, 5)] * n, [0.0] * n
        settle(list(range(n)), wishes, weights, extents, x)

        def cost(at, wishes=wishes, weights=weights):
            return sum(w * (a - b) ** 2 for a, b, w in zip(at, wishes, weights))

        least = cost(x)
        for _ in range(300):  # no allowed point is better
            other = [a + draw.uniform(-3, 3) for a in x]
            for i in range(1, n):
                other[i] = max(other[i], other[i - 1] + 10 + GAP)
            assert cost(other) >= least - 1e-9


def test_ports_are_in_the_first_and_the_last_layer():
    nets = [Net(0, 2, [0]), Net(1, 0, [1]), Net(2, 1, [3])]
    sheet = arrange(4, nets, {0: 2}, {2: 3}, set())
    assert sheet.layers[0] == [2]
    assert sheet.layers[-1] == [3]


def test_a_cycle_is_refused():
    with pytest.raises(ValueError, match="cycle"):
        arrange(2, [Net(0, 0, [1]), Net(1, 1, [0])], {}, {}, set())


def test_nothing_at_all():
    sheet = arrange(0, [], {}, {}, set())
    assert place(sheet, []).x == []
