"""The tutorials: read as scripts, run, opened as notebooks, and their exercises checked.

A chapter is one file in percent format, ``tutorials/NN_title.py``. From it come the chapter as it is run and
shown, the learner's version (solutions taken out, hints folded) and the tests of its exercises. A chapter itself needs
:func:`choose` alone, which is why nothing else is imported here.
"""

from __future__ import annotations

import os
from typing import Any, TypeVar

T = TypeVar("T")


def choose(small: T, full: T) -> T:
    """``small``, or ``full`` where MINIDL_FULL=1 asks for a chapter's full settings.

    >>> epochs = choose(1, 10)
    """
    asked = os.environ.get("MINIDL_FULL", "")
    if asked not in ("", "0", "1"):
        raise ValueError(f"MINIDL_FULL is {asked!r}: write 1 for the full settings, 0 or nothing for the small ones")
    return full if asked == "1" else small


def check(chapter: str, answer: Any, name: str | None = None) -> None:
    """Put an answer to the checker of its exercise and print what it says: for a notebook's cell.

    Args:
        chapter: The chapter, "04" for example.
        answer: The function or class that was written.
        name: The exercise; ``answer.__name__`` if not given.
    """
    from minidl.tutor import judging, proving, shelf, words

    found = shelf.chapter(chapter)
    exercise = words.exercise_of(found, name or getattr(answer, "__name__", ""))
    verdict = judging.tried(proving.checker(found, exercise), answer, found, None, [])
    print("\n".join(words.verdict(exercise, verdict)))
