"""What a page needs to draw a graph again when a box is opened: the picture as plain data, and the page's own files."""

from __future__ import annotations

import json
from collections.abc import Container
from pathlib import Path
from typing import Any

from minidl.inspect.frame import card
from minidl.inspect.parts import Part, Picture
from minidl.inspect.scene import role_of, tip_of

FOLDER = Path(__file__).parent / "page"


def file(name: str) -> str:
    """The text of one of the page's files."""
    return (FOLDER / name).read_text(encoding="utf-8")


def picture_data(picture: Picture, nodes: Any, shown: Container[int | None]) -> dict[str, Any]:
    """The tree of parts, every one with its looks, every box with its order; ``wires`` has the value of each wire."""
    return {"root": _part(picture.root, picture, nodes, shown), "wires": picture.wires, "remarks": picture.remarks}


def _part(part: Part, picture: Picture, nodes: Any, shown: Container[int | None]) -> dict[str, Any]:
    looks = card(part, picture, nodes, shown)
    made: dict[str, Any] = {
        "key": part.key,
        "kind": part.kind,
        "label": part.label,
        "ref": part.ref,
        "ins": part.ins,
        "outs": part.outs,
        "role": role_of(part, nodes),
        "tip": tip_of(part, nodes),
        "card": {
            "title": looks.title,
            "subtitle": looks.subtitle,
            "width": looks.width,
            "height": looks.height,
            "figures": looks.figures,
            "labels": looks.labels,
            "ports": looks.ports,
            "kind": looks.kind,
            "heading": looks.heading,
            "pile": looks.pile,
        },
    }
    if part.kind == "box":
        sheet = part.sheet
        count = len(part.parts) + len(sheet.entries) + len(sheet.exits) + sum(map(len, sheet.bends.values()))
        made["open"] = part.open
        made["parts"] = [_part(inner, picture, nodes, shown) for inner in part.parts]
        made["sheet"] = {
            "layers": sheet.layers,
            "entries": sheet.entries,
            "exits": sheet.exits,
            "bends": sheet.bends,
            "count": count,
            "links": [
                {"wire": k.wire, "above": k.above, "below": k.below, "up": k.up, "down": k.down} for k in sheet.links
            ],
        }
    return made


def as_script(data: Any) -> str:
    """Data as JSON that can stand between script tags, in HTML and in SVG: no "<" in it, no "]]>", no odd line ends."""
    told = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        told = told.replace(character, f"\\u{ord(character):04x}")
    return told
