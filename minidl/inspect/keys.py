"""Reading commands: single keys from a terminal, lines from anywhere else."""

from __future__ import annotations

import contextlib
import io
import os
import select
import sys
from collections.abc import Iterator
from typing import Any, TextIO

# What a key means at once. Every other key begins a command that is typed to its end.
KEYS = {"\r": "n", "\n": "n", " ": "n", "\x1b[C": "n", "\x1b[D": "b", "\x1b[B": "n", "\x1b[A": "b", "\x04": "q"}
AT_ONCE = frozenset("nbcqh?")


class Lines:
    """Commands that come as lines, from a file or a pipe."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stdin

    def command(self) -> str | None:
        """The next command; None at the end of the input."""
        line = self.stream.readline()
        return line.strip() if line else None

    def line(self) -> str | None:
        """A line that is no command, such as an answer; None at the end of the input."""
        return Lines.command(self)


class Keys(Lines):
    """Commands typed in a terminal: n, b, c, q, h, the arrows, space and return act at once; others end with return."""

    def command(self) -> str | None:
        key = self._key()
        if key in KEYS or key in AT_ONCE:
            command = KEYS.get(key, key)
            sys.stdout.write(f"{command}\n")  # as if it had been typed, and return
            sys.stdout.flush()
            return command
        if not key.isprintable() or key == "":
            return "h"
        sys.stdout.write(key)  # what was typed so far; the rest may be corrected as usual
        sys.stdout.flush()
        rest = self.line()
        return None if rest is None else (key + rest).strip()

    def line(self) -> str | None:
        typed = ""
        while not typed.endswith("\n"):
            key = _read(self.stream)
            if key in ("", "\x04"):  # the end of the input, or the key that means it, typed ahead
                return None
            typed += key
        return typed[:-1]

    def _key(self) -> str:
        with _one_by_one(self.stream):
            key = _read(self.stream)
            if key == "\x1b" and _waiting(self.stream):
                key += _read(self.stream)
                if key == "\x1b[":
                    key += _read(self.stream)
        return key or "\x04"


def reader(stream: TextIO | None = None) -> Lines:
    """What reads commands from ``stream`` (the standard input): keys if it is a terminal that can give them."""
    given: TextIO = stream or sys.stdin or io.StringIO()  # a closed standard input is one that has come to its end
    if given.isatty() and _can_read_keys():
        return Keys(given)
    return Lines(given)


def _can_read_keys() -> bool:
    try:
        import termios  # noqa: F401  (there is none on Windows)
    except ImportError:
        return False
    return True


@contextlib.contextmanager
def _one_by_one(stream: Any) -> Iterator[None]:
    """Let a terminal hand over each key as it is pressed, unseen."""
    import termios
    import tty

    number = stream.fileno()
    before = termios.tcgetattr(number)
    try:
        tty.setcbreak(number, termios.TCSADRAIN)  # what was typed ahead stays
        yield
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)


def _read(stream: Any) -> str:
    """One character, past Python's buffer, which would swallow those that follow."""
    first = os.read(stream.fileno(), 1)
    more = 3 if first >= b"\xf0" else 2 if first >= b"\xe0" else 1 if first >= b"\xc0" else 0
    return (first + (os.read(stream.fileno(), more) if more else b"")).decode(errors="replace")


def _waiting(stream: Any) -> bool:
    return bool(select.select([stream.fileno()], [], [], 0.05)[0])
