"""Who called: the frames of the user's program, told from minidl's own."""

from __future__ import annotations

import contextlib
import functools
import linecache
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType

PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep
# Python's own files that stand between a user's ``with`` block or decorator and what it calls.
_BETWEEN = {contextlib.contextmanager.__code__.co_filename, functools.update_wrapper.__code__.co_filename}


@dataclass(frozen=True)
class Line:
    """A line of the user's program."""

    file: str
    number: int
    text: str

    def __str__(self) -> str:
        return f"{os.path.basename(self.file)}:{self.number}: {self.text}"


def is_users(frame: FrameType) -> bool:
    """Whether a frame runs the user's program: neither minidl's code nor what stands between."""
    file = frame.f_code.co_filename
    return not file.startswith(PACKAGE) and file not in _BETWEEN


def users_frames() -> Iterator[FrameType]:
    """The frames of the user's program, innermost first."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if is_users(frame):
            yield frame
        frame = frame.f_back


def stacklevel() -> int:
    """For ``warnings.warn`` in the function that calls this: the level at which the user's line is named."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and not is_users(frame):
        level, frame = level + 1, frame.f_back
    return level


def users_frame() -> FrameType | None:
    """The innermost frame of the user's program; None where there is none, as in a thread of minidl's own."""
    return next(users_frames(), None)


def line_of(frame: FrameType, number: int | None = None) -> Line:
    """The line at which a frame stands; or, of an error's traceback, stood."""
    file = frame.f_code.co_filename
    at: int = (frame.f_lineno if number is None else number) or 0  # code without lines has None
    return Line(file, at, linecache.getline(file, at).strip())
