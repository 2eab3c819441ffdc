"""A shape error as a drawing: the operands' dimensions in columns, those that break the rule marked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from minidl.callers import PACKAGE, is_users, line_of
from minidl.tensor import Tensor, raw


@dataclass
class Row:
    """An operand as a row of a drawing: its dimensions as ``cells`` by column; those in ``marked`` break the rule."""

    name: str
    cells: dict[int, str]
    marked: set[int] = field(default_factory=set)
    note: str = ""


@dataclass
class Remedy:
    """What would mend it, in words and as an expression that was tried and works; ``shape``, of what it then gives."""

    words: str
    code: str
    shape: tuple[int, ...] | None = None

    def __str__(self) -> str:
        gives = "" if self.shape is None else f"   → {list(self.shape)}"
        return f"{self.code}{gives}   ({self.words})"


@dataclass
class ShapeReport:
    """A shape error explained: the ``rule`` of the ``operator``, the ``rows`` of the drawing under ``columns`` (what the
    dimensions are called), the ``remedies`` that work, the user's ``line``. ``values`` has the operands by the names that the
    remedies use."""

    operator: str
    rule: str
    rows: list[Row]
    columns: list[str] = field(default_factory=list)
    remedies: list[Remedy] = field(default_factory=list)
    line: str = ""
    layer: str = ""
    values: dict[str, Any] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        return "\n".join("".join(text for text, _ in line) for line in self._lines())

    __repr__ = __str__

    def __rich__(self) -> Any:
        from rich.text import Text

        return Text("\n").join(Text.assemble(*line) for line in self._lines())

    def _lines(self) -> Iterator[list[tuple[str, str]]]:
        """The report as lines of (text, style)."""
        where = f" in layer {self.layer}" if self.layer else ""
        yield [(self.operator, "bold"), (f"{where}: {self.rule}", "")]
        if self.line:
            yield [(f"    {self.line}", "dim")]
        yield [("", "")]
        yield from self._drawing()
        if self.remedies:
            yield [("", "")]
            yield [("What would mend it (each was tried):", "bold")]
            for remedy in self.remedies:
                yield [("    ", ""), (str(remedy), "green")]

    def _drawing(self) -> Iterator[list[tuple[str, str]]]:
        names = max((len(row.name) for row in self.rows), default=0)
        count = max([len(self.columns), *(c + 1 for row in self.rows for c in row.cells)], default=0)
        widths = [
            max(
                [
                    len(self.columns[c]) if c < len(self.columns) else 0,
                    *(len(row.cells.get(c, "")) for row in self.rows),
                ]
            )
            + 2
            for c in range(count)
        ]
        if self.columns:
            header = "".join(label.center(width) for label, width in zip(self.columns, widths))
            yield [(f"    {'':{names}}  {header}".rstrip(), "dim")]
        for row in self.rows:
            line = [(f"    {row.name:{names}}  ", "")]
            for c, width in enumerate(widths):
                text = row.cells.get(c, "")
                marked = c in row.marked
                line.append(((f"[{text}]" if marked else text).center(width), "bold red" if marked else ""))
            yield [*line, (f"  {row.note}" if row.note else "", "dim")]
        marked = {c for row in self.rows for c in row.marked}
        if marked:
            under = "".join(("✗" if c in marked else "").center(width) for c, width in enumerate(widths))
            yield [(f"    {'':{names}}  {under}".rstrip(), "bold red")]


def frames_of(error: BaseException) -> Iterator[tuple[FrameType, int]]:
    """The frames of a traceback, outermost first, and the line that each was at."""
    traceback = error.__traceback__
    while traceback is not None:
        yield traceback.tb_frame, traceback.tb_lineno
        traceback = traceback.tb_next


def inside(frame: FrameType) -> bool:
    """Whether a frame runs minidl's code."""
    file = frame.f_code.co_filename
    return file.startswith(PACKAGE) and not file.startswith(os.path.join(PACKAGE, "inspect") + os.sep)


def users_line(frames: list[tuple[FrameType, int]]) -> str:
    """The innermost line of the user's program among those of a traceback."""
    outside = [(frame, number) for frame, number in frames if is_users(frame)]
    return str(line_of(*outside[-1])) if outside else ""


def users_name(value: Any, frames: list[FrameType], otherwise: str) -> str:
    """What the user calls a value: a variable in the innermost of the user's frames."""
    for frame in reversed([f for f in frames if is_users(f)]):
        for name, held in frame.f_locals.items():
            if (
                (held is value or (isinstance(held, Tensor) and held._data is raw(value)))
                and name.isidentifier()
                and not name.startswith("_")
            ):
                return name
    return otherwise


def shape_of(value: Any) -> list[int]:
    return list(value.shape)


def plain_row(name: str, value: Any, first: int = 0, marked: Any = (), note: str = "") -> Row:
    """An operand whose dimensions stand in the columns from ``first`` on; ``marked`` counts its dimensions."""
    shape = tuple(value.shape) if isinstance(value, Tensor) or hasattr(value, "shape") else tuple(value)
    cells = {first + i: str(n) for i, n in enumerate(shape)}
    if not shape:
        note = note or "(a single number)"
    return Row(name, cells, {first + i for i in marked}, note)
