"""A laid-out graph as simple shapes, which SVG and PNG draw alike."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from typing import Any

from minidl.inspect.frame import BIG, FIGURES, ROW, SMALL, Placed, lay_out, value_of
from minidl.inspect.heat import Figure, numbers, pixels
from minidl.inspect.parts import Picture
from minidl.inspect.place import PAD
from minidl.inspect.routes import Point, Route, routes
from minidl.inspect.theme import KINDS, WIDE, kind_of, text_width

MARGIN = 18.0


@dataclass
class Box:
    """A rectangle with round corners."""

    x: float
    y: float
    width: float
    height: float
    radius: float
    dashed: bool = False
    thick: float = 1.2


@dataclass
class Path:
    """A line through points, each piece straight or an S from vertical to vertical; or a closed polygon."""

    points: list[Point]
    closed: bool = False


@dataclass
class Text:
    x: float
    y: float  # of the line that letters stand on
    text: str
    size: float
    anchor: str = "middle"  # or "start", "end"
    bold: bool = False
    role: str = ""  # where it differs from its group's


@dataclass
class Pixels:
    """A small picture, sharp however large: rows of (red, green, blue)."""

    x: float
    y: float
    width: float
    height: float
    rows: Any


@dataclass
class Group:
    """Shapes of one role, with the tooltip of what they show."""

    role: str
    key: str = ""
    tip: str = ""
    shapes: list[Box | Path | Text | Pixels] = field(default_factory=list)


@dataclass
class Scene:
    """``header`` stands above the picture, which begins at ``top``; ``least`` is the width that the header needs."""

    width: float
    height: float
    header: list[Group]
    groups: list[Group]
    top: float
    least: float


def scene(
    picture: Picture,
    nodes: Any,
    values: dict[int, Figure],
    gradients: dict[int, Figure],
    title: str,
    shown: Container[int | None] = (),
) -> Scene:
    """The picture drawn, with room for ``values`` and ``gradients`` in operators and leaves whose value is in ``shown``."""
    root = lay_out(picture, nodes, shown)
    lines = routes(root)
    groups = [_frame(box, depth) for box, depth in _open_boxes(root)]
    groups += [_line(route, picture, nodes) for route in lines]
    used = {(id(route.start), route.wire) for route in lines}
    for placed in root.walk():
        if not placed.part.open:
            groups.append(_card(placed, nodes, used))
            if placed.card.figures:
                groups[-1].shapes += _figures(placed, nodes, values, gradients)
            if placed.part.kind == "end":
                _with_number(groups[-1], values.get(placed.part.ref))
    header, top = _header(title, root, nodes, picture, bool(gradients))
    least = max(_right(group) for group in header) + MARGIN
    width = max(root.width + 2 * (MARGIN - PAD), least)
    _move(groups, (width - root.width) / 2, top - PAD)
    return Scene(width, top + root.height - 2 * PAD + MARGIN, header, groups, top, least)


def _open_boxes(root: Placed) -> Iterator[tuple[Placed, int]]:
    stack = [(part, 0) for part in root.parts]
    while stack:
        placed, depth = stack.pop()
        if placed.part.open:
            yield placed, depth
            stack += [(part, depth + 1) for part in placed.parts]


def _frame(placed: Placed, depth: int) -> Group:
    x, y = placed.x - placed.width / 2, placed.y
    looks = placed.card
    group = Group("deeper" if depth % 2 else "box", placed.part.key, f"{looks.title}\n{looks.subtitle}")
    group.shapes = [
        Box(x, y, placed.width, placed.height, 10, thick=1),
        Text(x + PAD, y + 19, looks.title, BIG, "start", True, "title"),
        Text(x + PAD + text_width(looks.title, BIG) + 10, y + 19, looks.kind, SMALL, "start", role="label"),
    ]
    return group


def _line(route: Route, picture: Picture, nodes: Any) -> Group:
    x, y = route.points[-1]
    points = [*route.points[:-1], (x, y - 6)]
    value = nodes.values[picture.wires[route.wire]]
    tip = f"{value.name}: shape {tuple(value.shape)}, {value.dtype}"
    head = Path([(x - 4, y - 7), (x + 4, y - 7), (x, y)], closed=True)
    return Group("wire", f"w{route.wire}", tip, [Path(points), head])


def _card(placed: Placed, nodes: Any, used: set[tuple[int, int]]) -> Group:
    part, looks = placed.part, placed.card
    x, y = placed.x - looks.width / 2, placed.y
    role, tip = role_of(part, nodes), tip_of(part, nodes)
    group = Group(role, part.key, tip)
    if looks.pile:
        group.shapes += [Box(x + d, y + d, looks.width, looks.height, 8) for d in (looks.pile, looks.pile / 2)]
    radius = {"leaf": 14, "end": 14}.get(part.kind, 7)
    group.shapes.append(Box(x, y, looks.width, looks.height, radius, role == "constant"))
    if looks.subtitle:
        group.shapes.append(Text(placed.x, y + 16.5, looks.title, BIG, bold=True))
        group.shapes.append(Text(placed.x, y + 31, looks.subtitle, SMALL))
    else:
        group.shapes.append(Text(placed.x, y + ROW / 2 + BIG * 0.35, looks.title, BIG, bold=part.kind != "op"))
    for wire, label in looks.labels.items():
        if (id(placed), wire) in used:
            at = placed.x + looks.ports[wire] + 6
            group.shapes.append(Text(at, y + looks.height + looks.pile + 12.5, label, SMALL, "start", role="label"))
    return group


def role_of(part: Any, nodes: Any) -> str:
    """The colours of a closed part."""
    if part.kind == "op":
        return kind_of(nodes.ops[part.ref].operator)
    if part.kind == "leaf":
        return "parameter" if nodes.values[part.ref].requires_grad else "constant"
    return part.kind if part.kind == "end" else "folded"


def tip_of(part: Any, nodes: Any) -> str:
    """What there is to say about a part: formula, settings, operands, line, time."""
    if part.kind == "box":
        return f"{part.label}\n{part.note or 'closed'}: {part.size:,} operators"
    if part.kind != "op":
        value = nodes.values[part.ref]
        grad = "requires grad" if value.requires_grad else "no gradient"
        return f"{value.name}: shape {tuple(value.shape)}, {value.dtype}, {grad}"
    op = nodes.ops[part.ref]
    told = [f"{op.name}: {op.formula}" if op.formula else op.name]
    if op.settings:
        told.append(", ".join(f"{name}={value}" for name, value in op.settings.items()))
    names = [nodes.values[v].name for v in op.inputs if v is not None]
    told.append(f"of {', '.join(names)}" if names else "of constants")
    if op.scope:
        told.append("in " + ".".join(map(str, op.scope)))
    if op.line is not None:
        told.append(f"{op.line.file}, line {op.line.number}: {op.line.text}")
    if op.seconds:
        told.append(f"{op.seconds * 1e6:,.0f} µs, {op.implementation}")
    return "\n".join(told)


# ---------------------------------------------------------------------------------------------------- values, gradients


def _figures(placed: Placed, nodes: Any, values: dict[int, Figure], gradients: dict[int, Figure]) -> list:
    part, looks = placed.part, placed.card
    value = value_of(part, nodes)
    assert value is not None
    top, width, height = placed.y + looks.height - FIGURES + 1, min(looks.width, 150) - 12, FIGURES - 7
    if not gradients or role_of(part, nodes) == "constant":
        return _figure(values.get(value), placed.x - width / 2, top, width, height, "value")
    half = width / 2 - 2
    return [
        *_figure(values.get(value), placed.x - half - 2, top, half, height, "value"),
        *_figure(gradients.get(value), placed.x + 2, top, half, height, "grad"),
    ]


def _figure(figure: Figure | None, x: float, y: float, width: float, height: float, kind: str) -> list:
    """Numbers if there are few, else a heat map."""
    if figure is None:
        return [Text(x + width / 2, y + height / 2 + 4, "·", SMALL, role="label")]
    told = numbers(figure, int(width / (SMALL * WIDE)))
    if told:
        mark = "∂ " if kind == "grad" else ""
        return [Text(x + width / 2, y + height / 2 + 4, mark + told, SMALL, role="title")]
    rows = pixels(figure, kind)
    if rows is None:
        return [Text(x + width / 2, y + height / 2 + 4, "no values", SMALL - 1, role="label")]
    tall, wide = len(rows), len(rows[0])
    scale = min(width / wide, height / tall)
    w, h = max(wide * scale, 18.0), max(tall * scale, 9.0)  # slender ones are widened
    return [Pixels(x + (width - w) / 2, y + (height - h) / 2, w, h, rows)]


def _with_number(group: Group, figure: Figure | None) -> None:
    told = numbers(figure, 12) if figure else ""
    if told:
        title = next(shape for shape in group.shapes if isinstance(shape, Text))
        box = next(shape for shape in group.shapes if isinstance(shape, Box))
        title.text = f"{title.text} = {told}"
        width = max(box.width, text_width(title.text, BIG) + 24)
        box.x, box.width = box.x - (width - box.width) / 2, width


# ------------------------------------------------------------------------------------------------- above the picture


def _header(title: str, root: Placed, nodes: Any, picture: Picture, gradients: bool) -> tuple[list[Group], float]:
    """Title, what is left out, what is not known, and the legend, broken into lines no wider than the picture (or 460); and
    where they end."""
    y = MARGIN + 12
    group = Group("title", shapes=[Text(MARGIN, y, title, 15, "start", True)])
    shown = sum(not placed.part.open for placed in root.walk())
    total = f"{len(nodes.ops):,} operator{'s' * (len(nodes.ops) != 1)}"
    remarks = [f"{total}, drawn as {shown:,} parts", *dict.fromkeys(picture.remarks)] if picture.remarks else [total]
    y += 17
    group.shapes.append(Text(MARGIN, y, "; ".join(remarks), SMALL, "start", role="label"))
    for line in nodes.untraced:
        y += 15
        indented = len(line) - len(line.lstrip())  # SVG swallows spaces
        x = MARGIN + text_width(" " * indented, SMALL)
        group.shapes.append(Text(x, y, line.strip(), SMALL, "start"))
    groups, x = [group], MARGIN
    y += 16
    kinds = {role_of(p.part, nodes) for p in root.walk() if not p.part.open and p.part.kind in ("op", "leaf")}
    named = [(kind, KINDS[kind][0]) for kind in KINDS if kind in kinds]
    named += [(r, n) for r, n in (("parameter", "gets a gradient"), ("constant", "gets none")) if r in kinds]
    limit = max(root.width, 460.0)
    for kind, name in named:
        width = 15 + text_width(name, SMALL) * 1.04 + 16
        if x > MARGIN and x + width > MARGIN + limit:
            x, y = MARGIN, y + 16
        entry = Group(kind, shapes=[Box(x, y - 8, 10, 9, 2.5, kind == "constant")])
        groups += [entry, Group("label", shapes=[Text(x + 15, y, name, SMALL, "start")])]
        x += width
    if any(placed.card.figures for placed in root.walk() if not placed.part.open):
        y += 16
        told = (
            f"blue below zero, red above{'; gradients (∂) beside, violet below zero, green above' if gradients else ''}"
        )
        groups.append(Group("label", shapes=[Text(MARGIN, y, told, SMALL, "start")]))
    return groups, y + 18


def _right(group: Group) -> float:
    return max(
        (s.x + text_width(s.text, s.size) if isinstance(s, Text) else s.x + s.width)
        for s in group.shapes
        if isinstance(s, (Text, Box))
    )


def _move(groups: list[Group], dx: float, dy: float) -> None:
    for group in groups:
        for shape in group.shapes:
            if isinstance(shape, Path):
                shape.points = [(x + dx, y + dy) for x, y in shape.points]
            else:
                shape.x += dx
                shape.y += dy
