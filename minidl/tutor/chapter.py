"""A chapter read from its percent file: cells, and the exercises that their tags make of them.

A cell's first tag says what it is: ``setup`` (imports and helpers that exercises need), or one of ``exercise``, ``hint``,
``wrong`` and ``check``, each followed by the name of the exercise. Cells without these tags are the chapter's text and code.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from minidl.tutor.cells import ROLES, Cell, ChapterError, cells_of

_SOLUTION = re.compile(r"^([ \t]*)# --- solution *\n(.*?)^[ \t]*# --- end *$", re.MULTILINE | re.DOTALL)


@dataclass
class Exercise:
    """What the learner writes under ``name``: the task, its solution, the hints, wrong answers and the checker."""

    name: str
    text: list[Cell] = field(default_factory=list)
    code: list[Cell] = field(default_factory=list)
    hints: list[Cell] = field(default_factory=list)
    wrong: list[Cell] = field(default_factory=list)
    check: list[Cell] = field(default_factory=list)

    @property
    def title(self) -> str:
        """The heading of the task, such as "Exercise 1: strides by hand"."""
        return next((c.source.lstrip("# ").split("\n")[0].strip() for c in self.text), self.name)

    @property
    def wrong_names(self) -> list[str]:
        """The wrong answers: every function and class at the top of its ``wrong`` cells."""
        return [node.name for cell in self.wrong for node in top_definitions(cell.source)]


@dataclass(frozen=True)
class Chapter:
    """A chapter: where its file is, its cells in order, and what is read out of them."""

    path: Path
    cells: tuple[Cell, ...]

    @property
    def name(self) -> str:
        """The file's name without its ending, "04_convolution"."""
        return self.path.stem

    @property
    def number(self) -> str:
        """The two digits that its name begins with."""
        return self.name[:2]

    @property
    def title(self) -> str:
        """The first heading without its number: "Convolution"."""
        found = next(
            (
                m
                for c in self.cells
                if c.kind == "markdown" and (m := re.search(r"^# +(?:\d+\. *)?(.+)$", c.source, re.M))
            ),
            None,
        )
        return found[1].strip() if found else self.name

    @property
    def question(self) -> str:
        """The paragraph that follows the words "The question"."""
        text = "\n\n".join(c.source for c in self.cells if c.kind == "markdown")
        found = re.search(r"(?:#+ *|\*\*)The question[.:]?(?:\*\*)?[.:]?\s*(.+?)(?:\n\s*\n|\Z)", text, re.S)
        return " ".join(found[1].split()) if found else ""

    @property
    def setup(self) -> list[Cell]:
        """The cells that exercises need before their own."""
        return [c for c in self.cells if c.role == "setup"]

    @property
    def exercises(self) -> dict[str, Exercise]:
        """The exercises by name, in order."""
        found: dict[str, Exercise] = {}
        for cell in self.cells:
            if not cell.exercise:
                if cell.role in ROLES:
                    raise ChapterError(f"{self.name}: a cell tagged {list(cell.tags)} names no exercise")
                continue
            exercise = found.setdefault(cell.exercise, Exercise(cell.exercise))
            part = {"hint": exercise.hints, "wrong": exercise.wrong, "check": exercise.check}.get(cell.role)
            if part is None:
                part = exercise.text if cell.kind == "markdown" else exercise.code
            part.append(cell)
        return found


@lru_cache(maxsize=64)
def _read(path: Path, stamp: int, size: int) -> Chapter:
    return Chapter(path, tuple(cells_of(path)))


def read(path: str | Path) -> Chapter:
    """The chapter in a percent file or a notebook; :exc:`ChapterError` where it cannot be read as one."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no chapter at {path}")
    stat = path.stat()
    return _read(path, stat.st_mtime_ns, stat.st_size)


def top_definitions(source: str) -> list[ast.FunctionDef | ast.ClassDef]:
    """The functions and classes at the top of a cell."""
    return [node for node in ast.parse(source).body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]


def without_solution(source: str, name: str) -> str:
    """An exercise's code with what stands between ``# --- solution`` and ``# --- end`` replaced by an error to be replaced."""
    return _SOLUTION.sub(lambda m: f'{m[1]}raise NotImplementedError("{name}: write your code here")', source)


def solution_only(source: str) -> str:
    """An exercise's code with the markers around the solution taken out."""
    return re.sub(r"^[ \t]*# --- (solution|end) *\n?", "", source, flags=re.MULTILINE).rstrip("\n")
