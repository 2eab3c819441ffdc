"""A recording in a notebook: the page that plays it, inside the cell; of a very long one, its steps as a table."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minidl.inspect.recording import Recording
    from minidl.inspect.steps import Step

PLAYED = 400  # steps, at most, that a cell plays; the page of a longer recording is too large for a notebook's file
SHOWN = 200  # rows of the table
HEIGHT = 640  # pixels


def as_html(recording: Recording) -> str:
    """What a notebook shows of a recording."""
    return player(recording) if len(recording) <= PLAYED else table(recording)


def player(recording: Recording) -> str:
    """The whole page, in a frame of its own."""
    from minidl.inspect.export import page_of

    page = html.escape(page_of(recording))
    return f'<iframe srcdoc="{page}" width="100%" height="{HEIGHT}" style="border: 1px solid #ccc"></iframe>'


def table(recording: Recording) -> str:
    """The first steps, a row each."""
    rows = "\n".join(_row(step) for step in recording[:SHOWN])
    more = ""
    if len(recording) > SHOWN:
        more = (
            f"<p>{len(recording) - SHOWN:,} further steps; <code>minidl.inspect.export(recording, 'trace.html')</code> writes "
            "a page that plays them all.</p>"
        )
    head = "".join(f"<th>{name}</th>" for name in ("step", "operator", "line", "norm", "passes gradients to"))
    return f"<p>{html.escape(repr(recording)[1:-1])}</p>\n<table>\n<tr>{head}</tr>\n{rows}\n</table>\n{more}"


def _row(step: Step) -> str:
    line = "" if step.line is None else f"{step.line}"
    names = ", ".join(local.value.name for local in step.local)
    cells = (str(step.index + 1), step.op.label, line, f"{step.norm:.4g}", names)
    return "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"
