"""A graph in the languages of Graphviz and of Mermaid, as much of it as is visible in the picture."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from minidl.inspect.parts import Part, Picture
from minidl.inspect.scene import role_of
from minidl.inspect.theme import colours, dtype_text, shape_text


def to_dot(picture: Picture, nodes: Any) -> str:
    """For ``dot -Tsvg``: modules are clusters, edges tell shapes and types."""
    lines = [
        "digraph minidl {",
        '  rankdir=TB; node [shape=box, style="rounded,filled", fontname="monospace", fontsize=11];',
        '  edge [fontname="monospace", fontsize=9, color="#8b96a4", fontcolor="#66717f"];',
    ]

    def inside(box: Part, indent: str) -> None:
        for part in box.parts:
            if part.open:
                lines.append(f"{indent}subgraph cluster_{part.key} {{")
                lines.append(
                    f'{indent}  label={_quoted(part.label)}; style=rounded; color="#c9d1db"; fontname=monospace;'
                )
                inside(part, indent + "  ")
                lines.append(f"{indent}}}")
            else:
                fill, line, text = colours(role_of(part, nodes))
                looks = f'fillcolor="{fill}", color="{line}", fontcolor="{text}"'
                lines.append(f"{indent}{part.key} [label={_quoted(label_of(part, nodes))}, {looks}];")

    inside(picture.root, "  ")
    for start, end, value in edges(picture, nodes):
        told = "" if start.kind == "leaf" else f" [label={_quoted(_about(value))}]"
        lines.append(f"  {start.key} -> {end.key}{told};")
    return "\n".join([*lines, "}", ""])


def to_mermaid(picture: Picture, nodes: Any) -> str:
    """A Mermaid flowchart: modules are subgraphs, edges tell shapes and types."""
    lines = ["flowchart TB"]
    roles: dict[str, list[str]] = {}

    def inside(box: Part, indent: str) -> None:
        for part in box.parts:
            if part.open:
                lines.append(f'{indent}subgraph {part.key} ["{_plain(part.label)}"]')
                inside(part, indent + "  ")
                lines.append(f"{indent}end")
            else:
                left, right = {"leaf": ("([", "])"), "end": ("((", "))"), "box": ("[[", "]]")}.get(
                    part.kind, ("[", "]")
                )
                lines.append(f'{indent}{part.key}{left}"{_plain(label_of(part, nodes))}"{right}')
                roles.setdefault(role_of(part, nodes), []).append(part.key)

    inside(picture.root, "  ")
    for start, end, value in edges(picture, nodes):
        told = "" if start.kind == "leaf" else f'|"{_plain(_about(value))}"|'
        lines.append(f"  {start.key} -->{told} {end.key}")
    for role, keys in roles.items():
        fill, line, text = colours(role)
        lines.append(f"  classDef {role}_ fill:{fill},stroke:{line},color:{text}")
        lines.append(f"  class {','.join(keys)} {role}_")
    return "\n".join([*lines, ""])


def edges(picture: Picture, nodes: Any) -> Iterator[tuple[Part, Part, Any]]:
    """(from, to, value) between the visible parts; an operand named twice gives two."""
    makers: dict[int, Part] = {}
    users: list[tuple[Part, int]] = []
    stack = [picture.root]
    while stack:
        part = stack.pop()
        if part.open:
            stack += reversed(part.parts)
        else:
            makers.update((wire, part) for wire in part.outs)
            users += [(part, wire) for wire in part.ins]
    for part, wire in users:
        yield makers[wire], part, nodes.values[picture.wires[wire]]


def label_of(part: Part, nodes: Any) -> str:
    """The texts of a closed part, in lines."""
    if part.kind == "leaf":
        return f"{part.label}\n{_about(nodes.values[part.ref])}"
    if part.kind == "box":
        return f"{part.label}\n{part.size:,} operators"
    return part.label


def _about(value: Any) -> str:
    return f"{shape_text(value.shape)} {dtype_text(value.dtype)}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _plain(text: str) -> str:
    for character, code in (("&", "#amp;"), ('"', "#quot;"), ("<", "#lt;"), (">", "#gt;"), ("\n", "<br>")):
        text = text.replace(character, code)
    return text
