"""What is said about an exercise: the verdict in sentences, the next step, and names that are not there."""

from __future__ import annotations

import difflib

from minidl.tutor.chapter import Chapter, Exercise
from minidl.tutor.judging import Verdict

_OPENING = {
    "right": "right.",
    "wrong": "not right yet.",
    "error": "your code met an error.",
    "syntax": "Python cannot read your code yet.",
    "unwritten": "not written yet.",
    "missing": "not found.",
    "endless": "does not end.",
}


def exercise_of(chapter: Chapter, name: str) -> Exercise:
    """The exercise of this name; a ValueError that lists the names if there is none."""
    found = chapter.exercises
    if name in found:
        return found[name]
    near = difflib.get_close_matches(name, found, n=1)
    hint = f"; did you mean {near[0]}?" if near else "."
    raise ValueError(f"chapter {chapter.number} has no exercise {name!r}{hint} It has {', '.join(found)}.")


def verdict(exercise: Exercise, found: Verdict) -> list[str]:
    """The lines that tell the learner what is right and what is not, and where to look."""
    lines = [f"{exercise.name}: {_OPENING[found.kind]}"]
    if found.kind != "unwritten":
        lines += _indented(found.words)
    if found.where:
        lines += _indented(f"at {found.where}")
    if found.called:
        first, *values = found.called.splitlines()
        lines += _indented(f"The checker was at: {first}")
        lines += [f"      {value}" for value in values]
    if found.printed:
        lines += ["  It printed:", *(f"      {line}" for line in found.printed.splitlines()[:20])]
    return lines


def _indented(text: str) -> list[str]:
    return [f"  {line}" for line in text.splitlines()]
