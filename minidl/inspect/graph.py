"""The computation graph as a picture.

    minidl.inspect.graph(loss)                     # in a notebook, shows itself
    minidl.inspect.graph(loss).save("graph.png")   # or .svg, .dot, .mmd, .json

What was computed inside ``inspect.trace()`` also shows its values, and its modules as boxes; a recording of the backward
pass (``inspect.backward``) shows the gradients too.
"""

from __future__ import annotations

import json
import os
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

from minidl.inspect import arguments, dot
from minidl.inspect.boxes import picture
from minidl.inspect.digest import brief, jsonable
from minidl.inspect.embed import as_script, file, picture_data
from minidl.inspect.frame import value_of
from minidl.inspect.heat import Figure
from minidl.inspect.nodes import Nodes, read
from minidl.inspect.page_data import graph_dict
from minidl.inspect.parts import Picture
from minidl.inspect.recording import Recording
from minidl.inspect.scene import MARGIN, Scene, scene
from minidl.inspect.svg import to_png, to_svg
from minidl.nn.module import Module
from minidl.tensor import Tensor
from minidl.utils.files import atomic_write

LIMIT = 120  # parts, as many as one page shows readably


class Graph:
    """A drawn graph. ``nodes`` holds operators and values, ``picture`` the boxes that they are drawn in."""

    def __init__(
        self,
        nodes: Nodes,
        gradients: Mapping[int, Figure] | None = None,
        *,
        fold: int | None = None,
        limit: int | None = LIMIT,
        title: str | None = None,
        values: bool | None = None,
    ) -> None:
        self.nodes = nodes
        self.title = title or f"the graph of {_named(nodes)}"
        self.picture: Picture = picture(nodes, fold, limit)
        self._gradients = dict(gradients or {})
        every = range(len(nodes.values))
        known = {v for v in every if nodes.values[v].array is not None or v in self._gradients}
        self._shown: Container[int | None] = known if values is None else every if values else ()

    def to_svg(self, interactive: bool = True) -> str:
        """The picture as SVG. In a browser boxes open and close at a click, unless ``interactive`` is False or there are more
        than 5,000 operators, whose data would make the file too large."""
        values = self._values()
        drawn = self._scene(values)
        interactive = interactive and len(self.nodes.ops) <= 5000
        if not interactive or all(part.kind != "box" for part in self.picture.root.parts):
            return to_svg(drawn)
        data = {
            "picture": picture_data(self.picture, self.nodes, self._shown),
            "values": jsonable(values),
            "gradients": jsonable(self._gradients),
            "ops": [op.outputs[0] for op in self.nodes.ops],
            "top": drawn.top,
            "margin": MARGIN,
            "least": drawn.least,
        }
        scripts = [file(name) for name in ("heat.js", "place.js", "routes.js", "draw.js", "svg_boxes.js")]
        return to_svg(drawn, "\n".join(["(() => {", f"const DATA = {as_script(data)};", *scripts, "})();"]))

    def _values(self) -> dict[int, Figure]:
        parts = {value_of(part, self.nodes) for part in self.picture.root.walk()}
        arrays = {v: self.nodes.values[v].array for v in parts if v is not None and v in self._shown}
        return {v: brief(array) for v, array in arrays.items() if array is not None}

    def _scene(self, values: dict[int, Figure]) -> Scene:
        gradients = {v: figure for v, figure in self._gradients.items() if v in self._shown}
        return scene(self.picture, self.nodes, values, gradients, self.title, self._shown)

    def to_png(self, scale: float = 2.0) -> bytes:
        """The picture as the bytes of a PNG file, ``scale`` pixels to one of SVG's."""
        return to_png(self._scene(self._values()), scale)

    def to_dot(self) -> str:
        """The graph in the language of Graphviz, modules as clusters."""
        return dot.to_dot(self.picture, self.nodes)

    def to_mermaid(self) -> str:
        """The graph as a Mermaid flowchart, modules as subgraphs."""
        return dot.to_mermaid(self.picture, self.nodes)

    def to_json(self) -> dict[str, Any]:
        """Values and operators as plain data, in the form of a recording's (without steps)."""
        about = {"version": 1, "title": self.title, "loss": self.nodes.roots[0]}
        return {**about, **graph_dict(self.nodes)}

    def save(self, path: str | os.PathLike, **settings: Any) -> Path:
        """Write the picture to a file: by its ending, .svg, .png, .dot (or .gv), .mmd (Mermaid), .json.

        ValueError for another ending. ``settings`` go to :meth:`to_svg` or :meth:`to_png`.
        """
        path = Path(path)
        writers = {
            ".svg": self.to_svg,
            ".png": self.to_png,
            ".dot": self.to_dot,
            ".gv": self.to_dot,
            ".mmd": self.to_mermaid,
            ".json": lambda: json.dumps(self.to_json(), ensure_ascii=False, allow_nan=False),
        }
        if path.suffix.lower() not in writers:
            raise ValueError(f"graph.save: {path.name!r} must end in one of {', '.join(writers)}")
        content = writers[path.suffix.lower()](**settings)
        with atomic_write(path) as file:
            file.write(content if isinstance(content, bytes) else content.encode())
        return path

    def _repr_svg_(self) -> str:
        return self.to_svg(interactive=False)

    def __repr__(self) -> str:
        shown = sum(not part.open for part in _visible(self.picture.root))
        return f"<{self.title}: {len(self.nodes.ops):,} operators, drawn as {shown:,} parts; .save('graph.svg')>"


def graph(
    loss: Any,
    names: Module | Mapping[str, Tensor] | None = None,
    fold: int | None = None,
    limit: int | None = LIMIT,
    title: str | None = None,
    values: bool | None = None,
) -> Graph:
    """The graph behind a tensor (or several), drawn from what went in, at the top, to the loss, at the bottom.

    Args:
        loss: a Tensor, or a sequence of them, or a Recording, whose gradients are then shown.
        names: what leaves are called: a dict from names to Tensors, or a module with named parameters.
        fold: how many levels of modules are open; None opens as many as ``limit`` allows.
        limit: the most parts that are drawn. Beyond it boxes stay closed, repeated stretches are folded, and long ones cut;
            the picture says so. None draws everything.
        title: above the picture.
        values: show values and gradients in the operators and leaves; by default where they are known, which outside a trace
            is of leaves and of the loss, and the picture says so.

    Raises:
        TypeError: something else than tensors or a recording.
        RuntimeError: a tensor with no graph behind it.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"graph: limit must be at least 1 or None, got {limit}")
    if fold is not None and fold < 0:
        raise ValueError(f"graph: fold must be 0 or more, or None, got {fold}")
    if isinstance(loss, Recording):
        if names is not None:
            raise ValueError("graph: a recording has its names already; give `names` to inspect.backward")
        return Graph(loss.nodes, gradients_of(loss), fold=fold, limit=limit, title=title, values=values)
    return Graph(read(arguments.graphs(loss, "graph"), names), fold=fold, limit=limit, title=title, values=values)


def gradients_of(recording: Recording) -> dict[int, Figure]:
    """The gradient of every value that got one, by id."""
    found = {value: gradient.to_json() for value, gradient in recording.gradients.items()}
    for step in recording.steps:
        for value, gradient in zip(step.op.outputs, step.incoming):
            if gradient is not None:
                found[value] = gradient.to_json()
    return found


def _visible(part: Any) -> Any:
    yield part
    if part.open:
        for inner in part.parts:
            yield from _visible(inner)


def _named(nodes: Nodes) -> str:
    name = nodes.values[nodes.roots[0]].name
    return name if name.isidentifier() else "a loss" if not nodes.values[nodes.roots[0]].shape else "an output"
