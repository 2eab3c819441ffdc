"""A backward pass as one page, to play in a browser: ``inspect.export(loss, "trace.html")``.

The page needs nothing but itself: no server, no network. Style and scripts are the files of ``page/``, put in one after
the other; the recording stands in it as JSON.
"""

from __future__ import annotations

import html
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minidl.inspect import theme
from minidl.inspect.boxes import picture
from minidl.inspect.embed import as_script, file, picture_data
from minidl.inspect.graph import LIMIT
from minidl.inspect.recording import Recording, backward
from minidl.inspect.scene import role_of
from minidl.inspect.theme import KINDS, kind_of
from minidl.nn.module import Module
from minidl.tensor import Tensor
from minidl.utils.files import atomic_write

SCRIPTS = ("heat", "data", "place", "routes", "draw", "player", "view", "panel", "quiz", "norms", "main")
DARK = (
    "--paper: #14191f; --ground: #0e1217; --ink: #e6ebf1; --soft: #9aa6b4; --line: #2c343e; --faint: #3d4753; "
    "--accent: #ff8a50; --done: #8a4a2b; --good: #6fce8b; --bad: #ff7b76; --main: #e6ebf1; --on-main: #14191f; "
    "--code: #1d242c; color-scheme: dark;"
)


def export(
    recording: Any,
    path: str | os.PathLike,
    names: Module | Mapping[str, Tensor] | None = None,
    fold: int | None = None,
    limit: int | None = LIMIT,
    title: str | None = None,
) -> Path:
    """Write a page that plays a backward pass; returns its path.

    Args:
        recording: what ``inspect.backward`` returned; or a loss, whose backward pass is then run here, so that gradients
            are added to ``.grad``.
        path: of the page, usually ending in ``.html``. It is written whole or not at all.
        names, fold, limit: as for :func:`minidl.inspect.graph`; which boxes are open at first.
        title: of the page.

    Raises:
        TypeError: neither a recording nor a tensor.
        RuntimeError: as ``loss.backward()``.
    """
    path = Path(path)
    if not isinstance(recording, Recording):
        if not isinstance(recording, Tensor):
            raise TypeError(
                f"export: expected a Recording (from inspect.backward) or a loss, got {type(recording).__name__}"
            )
        recording = backward(recording, names=names)
    elif names is not None:
        raise ValueError("export: a recording has its names already; give `names` to inspect.backward")
    page = page_of(recording, fold, limit, title)
    with atomic_write(path) as out:
        out.write(page.encode())
    return path


def page_of(recording: Recording, fold: int | None = None, limit: int | None = LIMIT, title: str | None = None) -> str:
    """The page's text."""
    data = compact(recording.to_json())
    for op, told in zip(recording.nodes.ops, data["ops"]):
        told["kind"] = kind_of(op.operator)
    drawn = picture(recording.nodes, fold, limit)
    data["picture"] = picture_data(drawn, recording.nodes, range(len(recording.nodes.values)))
    roles = {role_of(part, recording.nodes) for part in drawn.root.walk() if part.kind != "box"}
    names = {**{kind: KINDS[kind][0] for kind in KINDS}, "parameter": "gets a gradient", "constant": "gets none"}
    data["legend"] = [[role, name] for role, name in names.items() if role in roles]
    parts = {
        "title": html.escape(title or f"minidl: backward from {data['title']}"),
        "untraced": _untraced(recording.nodes.untraced),
        "style": file("style.css").replace("{{dark}}", DARK) + _colours(),
        "data": as_script(data),
        "scripts": "\n".join(f"<script>\n{file(f'{name}.js')}</script>" for name in SCRIPTS),
    }
    pieces = file("index.html").split("{{")
    return pieces[0] + "".join(parts[name] + rest for name, _, rest in (piece.partition("}}") for piece in pieces[1:]))


def _untraced(lines: list[str]) -> str:
    """What the page says at its top about what it does not know."""
    if not lines:
        return ""
    words, *code = (html.escape(line) for line in lines)
    return '<div id="untraced"><p>' + words + "</p><pre>" + "\n".join(code) + "</pre></div>"


def compact(recorded: dict[str, Any]) -> dict[str, Any]:
    """A recording's dict with every figure (statistics, grid, items of one array) once, in a table, and named by its number
    elsewhere: a gradient that goes out of one step is what comes into another. Numbers have six digits."""
    figures: list[Any] = []
    known: dict[str, int] = {}
    met: dict[int, int] = {}  # by the grid itself: a gradient gives the same one wherever it stands

    def number_of(figure: dict[str, Any]) -> int:
        if id(figure["grid"]) not in met:
            shown = _rounded(figure)
            number = met[id(figure["grid"])] = known.setdefault(json.dumps(shown), len(figures))
            if number == len(figures):
                figures.append(shown)
        return met[id(figure["grid"])]

    def walk(thing: Any) -> Any:
        if isinstance(thing, list):
            return [walk(x) for x in thing]
        if not isinstance(thing, dict):
            return thing
        if "grid" not in thing:
            return {name: walk(x) for name, x in thing.items()}
        figure = {name: thing[name] for name in ("shape", "stats", "grid", "items")}
        rest = {name: x for name, x in thing.items() if name not in ("stats", "grid", "items")}
        number = None if thing["stats"] is None else number_of(figure)
        return number if set(rest) == {"shape"} else {**rest, "figure": number}

    made = walk(recorded)
    return {**made, "figures": figures}


def _rounded(thing: Any) -> Any:
    if isinstance(thing, float):
        return float(f"{thing:.6g}")
    if isinstance(thing, list):
        return [
            float(f"{x:.6g}") if type(x) is float else _rounded(x) for x in thing
        ]  # most of all are numbers in lists
    return {name: _rounded(x) for name, x in thing.items()} if isinstance(thing, dict) else thing


def _colours() -> str:
    """The graph's colours for light and dark, chosen by the reader or by the system; and the same as keys of the legend."""
    light, dark = _rules(False), _rules(True)
    return "\n".join(
        [
            f"text {{ font-family: {theme.MONO} }}",
            ".shape { stroke-width: 1.2 } .k-wire > path.shape:not(.head) { fill: none; stroke-width: 1.4 }",
            ".k-wire > .head { stroke: none }",
            *light,
            "@media (prefers-color-scheme: dark) {",
            *(":root:not([data-theme=light]) " + rule for rule in dark),
            "}",
            *(":root[data-theme=dark] " + rule for rule in dark),
        ]
    )


def _rules(dark: bool) -> list[str]:
    rules = [f".minidl-graph {rule.strip()}" for rule in theme.css(dark=dark).splitlines()]
    for role in [*KINDS, "parameter", "constant"]:
        fill, line, text = theme.colours(role, dark)
        rules.append(f".key-{role} {{ --key-fill: {fill}; --key-line: {line} }}")
        rules.append(f'.op-name[data-kind="{role}"] {{ background: {fill}; border-color: {line}; color: {text} }}')
    return rules
