"""The sizes of what is drawn, and where everything stands, box within box."""

from __future__ import annotations

import math
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from typing import Any

from minidl.inspect.parts import Part, Picture
from minidl.inspect.place import GAP, PAD, Extent, Places, place
from minidl.inspect.theme import cut, dtype_text, shape_text, text_width

BIG, SMALL = 13.0, 10.5  # sizes of text
ROW = 28.0  # the height of an operator
STRIP = 17.0  # below what has outputs: their shapes and types, beside the lines that leave
FIGURES = 38.0  # the room for little pictures of value and gradient
LONGEST = 26  # characters of a name


@dataclass
class Card:
    """How a part looks while it is closed: its texts, its size, and its outputs' labels."""

    title: str
    subtitle: str
    width: float
    height: float  # of the body; the strip with the labels comes below
    labels: dict[int, str] = field(default_factory=dict)  # wire → "4×32 f32"
    ports: dict[int, float] = field(default_factory=dict)  # wire → where it leaves, from the middle
    figures: bool = False  # whether there is room for pictures of value and gradient
    kind: str = ""  # of a box: the class of its module, behind the title when it is open
    heading: float = 0.0  # the width of both then
    pile: float = 0.0  # how far the cards below stick out where it stands for several

    @property
    def extent(self) -> Extent:
        reach = max((self.ports[w] + 6 + text_width(text, SMALL) for w, text in self.labels.items()), default=0.0)
        below = STRIP if self.labels else 0.0
        return Extent(self.width / 2, max(self.width / 2, reach), self.height + self.pile + below, dict(self.ports))


def value_of(part: Part, nodes: Any) -> int | None:
    """The value that a part shows, by id: of an operator its first output; None of a box."""
    if part.kind == "op":
        return nodes.ops[part.ref].outputs[0]
    return None if part.kind == "box" else part.ref


def card(part: Part, picture: Picture, nodes: Any, shown: Container[int | None]) -> Card:
    """The card of a part. ``shown``: the values that have something to show, for which there is room then."""
    figures = part.kind in ("op", "leaf") and value_of(part, nodes) in shown
    title, subtitle = cut(part.label, LONGEST), ""
    if part.kind == "leaf":
        value = nodes.values[part.ref]
        subtitle = f"{shape_text(value.shape)} {dtype_text(value.dtype)}" + (", shared" if part.note else "")
    elif part.kind == "box":
        title, subtitle = cut(part.label, LONGEST + 10), _of_box(part, nodes)
    height = ROW + (12 if subtitle else 0) + (FIGURES if figures else 0)
    width = max(text_width(title, BIG), text_width(subtitle, SMALL)) + 26
    width = max(width, 112.0 if figures else 52.0)
    made = Card(title, subtitle, width, height, figures=figures)
    if part.kind == "box":
        made.pile = 6.0 if part.folded else 0.0
        made.kind = part.note
        made.heading = text_width(title, BIG) + 10 + text_width(part.note, SMALL)
    if part.kind in ("op", "box"):
        for wire in part.outs:
            of = nodes.values[picture.wires[wire]]
            made.labels[wire] = f"{cut(shape_text(of.shape), LONGEST)} {dtype_text(of.dtype)}"
        _spread(made)
    elif part.outs:
        made.ports = dict.fromkeys(part.outs, 0.0)
    return made


def _of_box(box: Part, nodes: Any) -> str:
    size = box.size
    numbers = {
        p.ref: math.prod(nodes.values[p.ref].shape)
        for p in box.walk()
        if p.kind == "leaf" and nodes.values[p.ref].requires_grad
    }
    told = [box.note] if box.note else []
    told.append(f"{size:,} operator{'s' * (size != 1)}")
    if numbers:
        told.append(f"{sum(numbers.values()):,} numbers")
    return " · ".join(told)


def _spread(made: Card) -> None:
    """Where the outputs leave: in the middle if there is one, else side by side with room for their labels."""
    if len(made.labels) == 1:
        made.ports = dict.fromkeys(made.labels, 0.0)
        return
    columns = [text_width(label, SMALL) + 20 for label in made.labels.values()]
    made.width = max(made.width, sum(columns))
    at = -sum(columns) / 2 + 8
    for wire, column in zip(made.labels, columns):
        made.ports[wire] = at
        at += column


@dataclass
class Placed:
    """A part in its place; ``x`` is its middle (for an open box, the middle of its frame), ``y`` its top."""

    part: Part
    card: Card
    extent: Extent
    width: float
    height: float
    x: float = 0.0
    y: float = 0.0
    parts: list[Placed] = field(default_factory=list)
    places: Places | None = None  # of an open box; its coordinates are the picture's after ``shift``

    def walk(self) -> Iterator[Placed]:
        yield self
        for part in self.parts:
            yield from part.walk()


def lay_out(picture: Picture, nodes: Any, shown: Container[int | None] = ()) -> Placed:
    """Everything that is visible, placed; the picture's corner is at (0, 0)."""
    placed = _measure(picture.root, picture, nodes, shown)
    _shift(placed, placed.width / 2, 0.0)
    return placed


def _measure(part: Part, picture: Picture, nodes: Any, shown: Container[int | None]) -> Placed:
    looks = card(part, picture, nodes, shown)
    if not part.open:
        return Placed(part, looks, looks.extent, looks.width, looks.height)
    sheet = part.sheet
    inner = [_measure(p, picture, nodes, shown) for p in part.parts]
    count = len(inner) + len(sheet.entries) + len(sheet.exits) + sum(map(len, sheet.bends.values()))
    extents = [p.extent for p in inner] + [Extent() for _ in range(count - len(inner))]
    places = place(sheet, extents)
    low = min((x - e.left for x, e in zip(places.x, extents)), default=0.0)
    high = max((x + e.right for x, e in zip(places.x, extents)), default=0.0)
    if looks.heading:
        low = min([low, *(places.x[node] - GAP - looks.heading for node in sheet.entries.values())])
        high = max(high, low + looks.heading)
        places.top = [y + ROW - PAD for y in places.top]
        places.bottom = [y + ROW - PAD for y in places.bottom]
    low, high = low - PAD, high + PAD
    middle = (low + high) / 2
    places.x = [x - middle for x in places.x]
    places.top = [y + PAD for y in places.top]
    places.bottom = [y + PAD for y in places.bottom]
    height = (places.bottom[-1] if places.bottom else 0.0) + PAD
    width = high - low
    extent = Extent(
        width / 2,
        width / 2,
        height,
        {wire: places.x[node] for wire, node in sheet.exits.items()},
        {wire: places.x[node] for wire, node in sheet.entries.items()},
    )
    for row, top, bottom in zip(sheet.layers, places.top, places.bottom):
        for node in row:
            if node < len(inner):
                part_of = inner[node]
                slack = bottom - top - part_of.extent.height
                part_of.x = places.x[node]
                part_of.y = top + (slack if part_of.part.kind == "leaf" else slack / 2)
    return Placed(part, looks, extent, width, height, parts=inner, places=places)


def _shift(placed: Placed, x: float, y: float) -> None:
    """From coordinates within the box around to those of the picture."""
    placed.x += x
    placed.y += y
    if placed.places is not None:
        placed.places.x = [at + placed.x for at in placed.places.x]
        placed.places.top = [at + placed.y for at in placed.places.top]
        placed.places.bottom = [at + placed.y for at in placed.places.bottom]
    for part in placed.parts:
        _shift(part, placed.x, placed.y)
