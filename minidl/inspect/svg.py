"""A scene as an SVG file, and as a PNG by way of Matplotlib."""

from __future__ import annotations

import base64
from itertools import pairwise
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from minidl.inspect import theme
from minidl.inspect.heat import png
from minidl.inspect.routes import Point
from minidl.inspect.scene import Box, Group, Path, Pixels, Scene

STYLE = f"""
text {{ font-family: {theme.MONO} }}
.shape {{ stroke-width: 1.2 }}
.k-folded, .frame {{ cursor: pointer }}
.k-wire > path.shape:not(.head) {{ fill: none; stroke-width: 1.4 }}
.k-wire > .head {{ stroke: none }}
"""


def to_svg(scene: Scene, script: str = "") -> str:
    """The SVG document; ``script``, if any, is what opens its boxes."""
    width, height = f"{scene.width:.1f}", f"{scene.height:.1f}"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="minidl-graph" role="img" aria-label="computation graph" '
            f'width="{width}" height="{height}" viewBox="0 0 {width} {height}">',
            f"<style>{STYLE}{theme.css('.minidl-graph')}</style>",
            f'<g class="k-paper"><rect class="shape" width="{width}" height="{height}"/></g>',
            *(_group(group) for group in scene.header),
            '<g class="graph-body">',
            *(_group(group) for group in scene.groups),
            "</g>",
            f"<script><![CDATA[\n{script.replace(']]>', ']] >')}\n]]></script>" if script else "",
            "</svg>",
        ]
    )


def _group(group: Group) -> str:
    inside = "".join(_shape(shape) for shape in group.shapes)
    tip = f"<title>{escape(group.tip)}</title>" if group.tip else ""
    key = f" data-key={quoteattr(group.key)}" if group.key else ""
    return f'<g class="k-{group.role}"{key}>{tip}{inside}</g>'


def _shape(shape: Any) -> str:
    if isinstance(shape, Box):
        dashes = ' stroke-dasharray="4 3"' if shape.dashed else ""
        return (
            f'<rect class="shape" x="{shape.x:.1f}" y="{shape.y:.1f}" width="{shape.width:.1f}" '
            f'height="{shape.height:.1f}" rx="{shape.radius:.1f}"{dashes}/>'
        )
    if isinstance(shape, Path):
        return f'<path class="shape{" head" * shape.closed}" d="{path_data(shape.points, shape.closed)}"/>'
    if isinstance(shape, Pixels):
        scale = max(1, round(72 / max(shape.rows.shape[:2])))
        data = base64.b64encode(png(shape.rows, scale)).decode()
        return (
            f'<image x="{shape.x:.1f}" y="{shape.y:.1f}" width="{shape.width:.1f}" height="{shape.height:.1f}" '
            f'preserveAspectRatio="none" href="data:image/png;base64,{data}"/>'
        )
    weight = ' font-weight="600"' if shape.bold else ""
    text = (
        f'<text x="{shape.x:.1f}" y="{shape.y:.1f}" font-size="{shape.size:g}" '
        f'text-anchor="{shape.anchor}"{weight}>{escape(shape.text)}</text>'
    )
    return f'<g class="k-{shape.role}">{text}</g>' if shape.role else text


def path_data(points: list[Point], closed: bool = False) -> str:
    """Points as SVG's path commands."""
    told = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for (x0, y0), (x, y) in pairwise(points):
        if closed or abs(x - x0) < 0.05:
            if (x, y) != (x0, y0):
                told.append(f"L{x:.1f} {y:.1f}")
        else:
            middle = (y0 + y) / 2
            told.append(f"C{x0:.1f} {middle:.1f} {x:.1f} {middle:.1f} {x:.1f} {y:.1f}")
    return "".join(told) + ("Z" if closed else "")


# ----------------------------------------------------------------------------------------------------------------- PNG


LARGEST = 12_000  # pixels a side


def to_png(scene: Scene, scale: float = 2.0) -> bytes:
    """The scene as a PNG, ``scale`` pixels to one of SVG's (fewer for what would be larger than 12,000 a side)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    scale = min(scale, LARGEST / max(scene.width, scene.height))
    dpi = 72 * scale
    figure = Figure(figsize=(scene.width / 72, scene.height / 72), dpi=dpi, facecolor=theme.colours("paper")[0])
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, scene.width), ylim=(scene.height, 0))
    axes.axis("off")
    groups = [*scene.header, *scene.groups]
    for order, group in enumerate(groups):
        for shape in group.shapes:
            if not isinstance(shape, Pixels):
                _paint(axes, shape, group.role, order)
    canvas.draw()
    painted = np.array(canvas.buffer_rgba())[..., :3]
    for group in groups:
        for shape in group.shapes:
            if isinstance(shape, Pixels):
                _paste(painted, shape, scale)
    return png(painted, level=6)


def _paste(painted: np.ndarray, shape: Pixels, scale: float) -> None:
    """Put a small picture's pixels, as blocks, where they belong."""
    left, top = round(shape.x * scale), round(shape.y * scale)
    height, width = (max(round(side * scale), 1) for side in (shape.height, shape.width))
    rows, columns = (np.arange(n) * m // n for n, m in zip((height, width), shape.rows.shape))
    painted[top : top + height, left : left + width] = shape.rows[np.ix_(rows, columns)]


def _paint(axes: Any, shape: Any, role: str, order: int) -> None:
    from matplotlib.patches import FancyBboxPatch, PathPatch

    fill, line, _ = theme.colours(role)
    if isinstance(shape, Box):
        rounding = f"round,pad=0,rounding_size={min(shape.radius, shape.height / 2, shape.width / 2)}"
        axes.add_patch(
            FancyBboxPatch(
                (shape.x, shape.y),
                shape.width,
                shape.height,
                boxstyle=rounding,
                facecolor=fill,
                edgecolor=line,
                linewidth=shape.thick,
                linestyle=(0, (4, 3)) if shape.dashed else "-",
                zorder=order,
            )
        )
    elif isinstance(shape, Path):
        patch = PathPatch(
            _matplotlib_path(shape),
            facecolor=line if shape.closed else "none",
            edgecolor="none" if shape.closed else line,
            linewidth=1.4,
            capstyle="round",
            zorder=order,
        )
        axes.add_patch(patch)
    else:
        axes.text(
            shape.x,
            shape.y,
            shape.text.replace("$", r"\$"),
            fontsize=shape.size,
            family="DejaVu Sans Mono",
            color=theme.colours(shape.role or role)[2],
            ha={"start": "left", "middle": "center", "end": "right"}[shape.anchor],
            va="baseline",
            weight="bold" if shape.bold else "normal",
            zorder=order,
        )


def _matplotlib_path(shape: Path) -> Any:
    from matplotlib.path import Path as Curve

    vertices, codes = [shape.points[0]], [Curve.MOVETO]
    for (x0, y0), (x, y) in pairwise(shape.points):
        if shape.closed or abs(x - x0) < 0.05:
            vertices.append((x, y))
            codes.append(Curve.LINETO)
        else:
            middle = (y0 + y) / 2
            vertices += [(x0, middle), (x, middle), (x, y)]
            codes += [Curve.CURVE4] * 3
    if shape.closed:
        vertices.append(shape.points[0])
        codes.append(Curve.CLOSEPOLY)
    return Curve(vertices, codes)
