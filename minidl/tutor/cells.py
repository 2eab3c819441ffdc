"""Cells, and the two kinds of file that hold them: Python in percent format, and Jupyter's notebooks.

In a percent file a line ``# %%`` begins a cell of code and ``# %% [markdown]`` one of text, whose lines are comments; tags
follow as ``tags=["exercise", "name"]``. Editors and jupytext read the same format.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROLES = ("exercise", "hint", "wrong", "check")
_MARKER = re.compile(r"^# ?%%(?!%)(.*)$", re.MULTILINE)
_TAGS = re.compile(r"""\btags["']?\s*[=:]\s*(\[[^\]]*\])""")
_HEADER = re.compile(r"\A# ---\n(?:#.*\n)*?# ---\n")  # jupytext's, above the first cell
_KERNEL = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


class ChapterError(ValueError):
    """A chapter, or the learner's version of one, that is not in the tutorials' format."""


@dataclass(frozen=True)
class Cell:
    """One cell: its text, its tags, and the line of the file where a code cell's text begins (0 where it is unknown)."""

    kind: str  # "code" or "markdown"
    source: str
    tags: tuple[str, ...] = ()
    line: int = 0

    @property
    def role(self) -> str:
        """``setup``, ``exercise``, ``hint``, ``wrong``, ``check``, or "" for the chapter's own text and code."""
        return next((tag for tag in self.tags if tag in (*ROLES, "setup")), "")

    @property
    def exercise(self) -> str:
        """The name of the exercise it belongs to, or ""."""
        return next((t for t in self.tags if t not in ROLES and t.isidentifier()), "") if self.role in ROLES else ""


def cells_of(path: Path) -> list[Cell]:
    """The cells of a percent file or a notebook; :exc:`ChapterError` where it is neither."""
    notebook = path.suffix == ".ipynb"
    try:
        text = path.read_text(encoding="utf-8")
        return from_notebook(text) if notebook else from_percent(text)
    except (ValueError, SyntaxError, LookupError, TypeError) as error:
        kind = "notebook" if notebook else "percent file"
        raise ChapterError(f"{path} cannot be read as a {kind}: {error}") from error


# -------------------------------------------------------------------------------------------------------- percent files


def from_percent(text: str) -> list[Cell]:
    """The cells of a percent file; what stands above its first marker is code."""
    marks = list(_MARKER.finditer(text))
    head = _HEADER.match(text)
    start = head.end() if head else 0
    end = marks[0].start() if marks else len(text)
    cells = [_cell("", text, start, end)] if text[start:end].strip() else []
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    return cells + [_cell(mark[1], text, mark.end() + 1, end) for mark, end in zip(marks, ends)]


def _cell(marker: str, text: str, start: int, end: int) -> Cell:
    """The cell between two places of the text, without the empty lines around it."""
    found = _TAGS.search(marker)
    tags = tuple(ast.literal_eval(found[1])) if found else ()
    source = text[start:end]
    start += len(source) - len(source.lstrip("\n"))
    source = source.strip("\n")
    if re.search(r"\[(markdown|md)\]", marker):
        return Cell("markdown", "\n".join(re.sub(r"^# ?", "", line) for line in source.split("\n")), tags)
    return Cell("code", source, tags, text.count("\n", 0, start) + 1)


def to_percent(cells: Iterable[Cell]) -> str:
    """A percent file with these cells."""
    return "\n".join(_percent(cell) for cell in cells)


def _percent(cell: Cell) -> str:
    marker = "# %%" + (" [markdown]" if cell.kind == "markdown" else "")
    marker += f" tags={json.dumps(cell.tags)}" if cell.tags else ""
    source = cell.source
    if cell.kind == "markdown":
        source = "\n".join(f"# {line}".rstrip() for line in source.split("\n"))
    return f"{marker}\n{source}\n"


# ------------------------------------------------------------------------------------------------------------ notebooks


def from_notebook(text: str) -> list[Cell]:
    """The code and the text of a notebook, given as JSON."""
    return [
        Cell(cell["cell_type"], "".join(cell["source"]), tuple(cell.get("metadata", {}).get("tags", ())))
        for cell in json.loads(text)["cells"]
        if cell["cell_type"] in ("code", "markdown")
    ]


def to_notebook(cells: Iterable[Cell], metadata: dict[str, Any] = _KERNEL) -> str:
    """A notebook with these cells, as JSON: the same text for the same cells."""
    made = []
    for number, cell in enumerate(cells):
        code = {"execution_count": None, "outputs": []} if cell.kind == "code" else {}
        about = {"tags": list(cell.tags)} if cell.tags else {}
        same = {"cell_type": cell.kind, "id": f"cell-{number}", "metadata": about}
        made.append({**same, **code, "source": cell.source.splitlines(keepends=True)})
    whole = {"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"
