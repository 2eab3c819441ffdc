"""An exercise put to its checker, and the proof that the checker tells right from wrong.

The checker lives in a namespace of its own, made of the chapter's ``setup`` cells and the ``check`` cell. It never sees the
solution, and what the learner writes cannot change it.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minidl.tutor.cells import Cell, ChapterError
from minidl.tutor.chapter import Chapter, Exercise, without_solution


@dataclass(frozen=True)
class Proof:
    """One line of a proof: what was put to the checker, whether it should pass, and the error it met (None if it passed)."""

    what: str
    should_pass: bool
    error: BaseException | None

    @property
    def holds(self) -> bool:
        """Right answers pass; wrong ones are refused for what they do, not for a name that the cells forgot to define."""
        if self.should_pass:
            return self.error is None
        return self.error is not None and not isinstance(self.error, (NameError, ImportError, SyntaxError))

    def __str__(self) -> str:
        said = "was accepted" if self.error is None else f"met {type(self.error).__name__}: {self.error}"
        return f"{self.what} should be {'accepted' if self.should_pass else 'refused'}, and {said}"


def run_cells(cells: Iterable[Cell], path: Path | str, names: dict[str, Any] | None = None) -> dict[str, Any]:
    """Run code cells one after the other in one namespace; a traceback shows the file's own lines.

    Returns the namespace: ``names`` if given, which is added to.
    """
    if names is None:
        names = {"__name__": "minidl_exercise", "__file__": str(path)}
    for cell in cells:
        if cell.kind == "code":
            padding = "\n" * max(cell.line - 1, 0)
            exec(compile(padding + cell.source, str(path), "exec", dont_inherit=True), names)
    return names


def checker(chapter: Chapter, exercise: Exercise) -> Callable[[Any], None]:
    """The function ``check_NAME`` of an exercise, in a namespace that holds the setup cells and itself."""
    names = run_cells([*chapter.setup, *exercise.check], chapter.path)
    found: Callable[[Any], None] | None = names.get(f"check_{exercise.name}")
    if found is None:
        raise ChapterError(
            f"{chapter.name}: the check cell of {exercise.name} defines no check_{exercise.name}(answer)"
        )
    return found


def answer(setup: Iterable[Cell], code: Iterable[Cell], name: str, path: Path | str) -> Any:
    """The object called ``name`` that setup cells and an exercise's cells define."""
    names = run_cells([*setup, *code], path)
    if name not in names:
        raise ChapterError(f"{path}: the cell of the exercise {name} does not define {name}")
    return names[name]


def bare(exercise: Exercise) -> list[Cell]:
    """The exercise's code as the learner finds it."""
    return [Cell(c.kind, without_solution(c.source, exercise.name), c.tags, c.line) for c in exercise.code]


def attempt(check: Callable[[Any], None], candidate: Any, seed: int = 0) -> BaseException | None:
    """What the checker says to a candidate: None if it is accepted, else the error. minidl's random state is set first."""
    import numpy as np

    import minidl

    minidl.manual_seed(seed)
    np.random.seed(seed)
    try:
        check(candidate)
    except Exception as error:
        return error
    return None


def prove(chapter: Chapter, exercise: Exercise) -> list[Proof]:
    """The solution twice, each wrong answer, and the learner's bare version, all put to the exercise's checker."""
    check = checker(chapter, exercise)
    solution = run_cells([*chapter.setup, *exercise.code], chapter.path)
    proofs = [
        Proof(f"the solution (seed {seed})", True, attempt(check, solution[exercise.name], seed)) for seed in (0, 1)
    ]
    wrong = run_cells(exercise.wrong, chapter.path, solution)
    proofs += [Proof(name, False, attempt(check, wrong[name])) for name in exercise.wrong_names]
    unwritten = answer(chapter.setup, bare(exercise), exercise.name, chapter.path)
    return [*proofs, Proof("the learner's bare version", False, attempt(check, unwritten))]


def minidl_names(cells: Iterable[Cell], aliases: dict[str, str] | None = None) -> set[str]:
    """Every dotted name of minidl's that cells use, such as ``minidl.nn.functional.conv2d``, and all that it begins with.

    ``aliases`` (name → what it stands for) is filled by the imports met on the way: hand on one dictionary to read a
    chapter in parts.
    """
    aliases = {} if aliases is None else aliases
    found: set[str] = set()
    for cell in cells:
        if cell.kind != "code":
            continue
        tree = ast.parse(cell.source)
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    aliases[alias.asname or alias.name.split(".")[0]] = (
                        alias.name if alias.asname else alias.name.split(".")[0]
                    )
                    found.add(alias.name)
            elif isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    aliases[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                    found.add(f"{node.module}.{alias.name}")
        for node in ast.walk(tree):
            dotted = _dotted(node)
            if dotted:
                first, *rest = dotted.split(".")
                if first in aliases:
                    found.add(".".join([aliases[first], *rest]))
    return {
        ".".join(parts[:n])
        for name in found
        for parts in [name.split(".")]
        for n in range(1, len(parts) + 1)
        if parts[0] == "minidl"
    }


def _dotted(node: ast.AST) -> str:
    """``a.b.c`` of an attribute or a name; "" of anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = _dotted(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return ""


def taught(chapters: Iterable[Chapter]) -> set[str]:
    """The dotted names of minidl's that stand in these chapters outside their checkers and wrong answers."""
    found: set[str] = set()
    for chapter in chapters:
        found |= minidl_names(c for c in chapter.cells if c.role not in ("check", "wrong"))
    return found
