"""A step of a recording as a terminal shows it: the source, the words, and gradients as little heat maps."""

from __future__ import annotations

import linecache
from typing import Any

from rich.columns import Columns
from rich.console import Console, Group
from rich.padding import Padding
from rich.rule import Rule
from rich.syntax import Syntax
from rich.text import Text

from minidl.callers import Line
from minidl.inspect import digest, explain, heat
from minidl.inspect.recording import Recording
from minidl.inspect.steps import Gradient, Step

AROUND = 2  # lines of source before and after
ROWS, COLUMNS = 16, 24  # of a heat map: a character shows two rows
SHADES = "░▒▓█"  # by magnitude, where there are no colours
STYLES = {
    "in:": "cyan",
    "out:": "green",
    "rule:": "bold",
    "forward:": "dim",
    "called": "dim",
    "with": "dim",
    "not": "yellow",
}


def has_colours(console: Console) -> bool:
    """Whether colours are seen on a console: a terminal that has them, and nobody has set NO_COLOR."""
    return console.color_system is not None and not console.no_color


def picture(step: Step, colours: bool) -> Group:
    """All of a step: heading, source, explanation, heat maps."""
    first, *lines = explain.explain(step).splitlines()
    parts: list[Any] = [Rule(), Text(first, style="bold"), progress(step.recording, step.index)]
    if step.line is not None:
        parts.append(source(step.line))
    parts += [_styled(line) for line in lines]
    maps = heat_maps(step, colours)
    if maps is not None:
        parts += [maps, legend(colours)]
    return Group(*parts)


def progress(recording: Recording, index: int) -> Text:
    """Where the tape stands: a dot a step, a thicker one for the present; of many steps, every so-manieth."""
    width = min(len(recording), 60)
    place = index * width // max(len(recording), 1)
    return Text("·" * place + "●" + "·" * (width - place - 1), style="magenta")


def source(line: Line) -> Any:
    """The line that called the operator, and what stands around it."""
    lines = linecache.getlines(line.file)
    if not lines:
        return Text(str(line))
    start = max(line.number - AROUND, 1)
    code = "".join(lines[start - 1 : line.number + AROUND])
    return Syntax(
        code, "python", line_numbers=True, start_line=start, highlight_lines={line.number}, theme="ansi_dark",
        background_color="default",
    )  # fmt: skip


def _styled(line: str) -> Padding:
    """A line in colours; where it is too long, it goes on as far in as it began."""
    indent = len(line) - len(line.lstrip())
    text = Text(line[indent:])
    word = line.split(" ", 1)[0]
    if word in STYLES:
        text.stylize(STYLES[word])
    text.highlight_regex(r"NaN|infinite", "bold red")
    text.highlight_regex(r"∂[^ =:·⊙]+", "italic")
    return Padding(text, (0, 0, 0, indent), expand=False)


def heat_maps(step: Step, colours: bool) -> Columns | None:
    """A map of every gradient that is too large to be written out; None if there is none."""
    shown = [
        (explain.derivative(step, step.nodes.values[id]), gradient)
        for id, gradient in zip(step.op.outputs, step.incoming)
        if gradient is not None
    ]
    shown += [(explain.derivative(step, local.value), local.gradient) for local in step.local]
    maps = [_titled(name, gradient, colours) for name, gradient in shown if _size(gradient) > explain.FEW]
    return Columns(maps, padding=(1, 3)) if maps else None


def _size(gradient: Gradient) -> int:
    size = 1
    for n in gradient.shape:
        size *= n
    return size


def _titled(name: str, gradient: Gradient, colours: bool) -> Group:
    drawn = heat_map(gradient) if colours else shaded(gradient)
    return Group(Text(name, style="italic"), drawn)


def _grid(gradient: Gradient) -> list[list[float]]:
    source = gradient.array if gradient.array is not None else gradient.to_json()["grid"]
    return digest.grid(source, ROWS, COLUMNS)


def heat_map(gradient: Gradient) -> Text:
    """Violet below zero, white at zero, green above; each character is two rows of the grid."""
    colours = heat.pixels({"grid": digest.jsonable(_grid(gradient))}, "grad")
    text = Text()
    if colours is None:
        return text
    for row in range(0, len(colours), 2):
        for column in range(colours.shape[1]):
            style = f"rgb({','.join(map(str, colours[row, column]))})"
            if row + 1 < len(colours):
                style += f" on rgb({','.join(map(str, colours[row + 1, column]))})"
            text.append("▀", style=style)
        text.append("\n")
    text.rstrip()
    return text


def shaded(gradient: Gradient) -> Text:
    """The same where there are no colours: the darker a shade, the larger the magnitude, and a minus before it below zero;
    each number of the grid is two characters."""
    grid = [[float(x) for x in row] for row in _grid(gradient)]
    finite = [abs(x) for row in grid for x in row if abs(x) < float("inf")]
    most = max(finite, default=0.0) or 1.0
    rows = ("".join(_shade(x, most) for x in row) for row in grid)
    return Text("\n".join(rows))


def _shade(number: float, most: float) -> str:
    if not abs(number) < float("inf"):
        return " ?"
    if number == 0:
        return "  "
    darkness = min(int(abs(number) / most * len(SHADES)), len(SHADES) - 1)
    return ("-" if number < 0 else " ") + SHADES[darkness]


def legend(colours: bool) -> Text:
    """How to read the maps."""
    if not colours:
        return Text(
            f"{SHADES}: the darker the farther from 0; a minus before it: below 0; blank: 0; ?: NaN or infinite"
        )
    words = [
        ("violet", _rgb(-1.0)),
        " below 0, ",
        ("green", _rgb(1.0)),
        " above, white at 0; the deeper the farther from it; ",
    ]
    return Text.assemble(*words, "yellow: NaN or infinite", style="dim")


def _rgb(number: float) -> str:
    below, _, above = heat.SCALES["grad"]
    return f"rgb({','.join(map(str, below if number < 0 else above))})"
