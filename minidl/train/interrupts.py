"""Ctrl-C at a moment when nothing is half done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Interrupted(KeyboardInterrupt):
    """Training was stopped by Ctrl-C, after its state was saved. The message says where it stopped."""


@contextmanager
def hold_interrupts() -> Iterator[Callable[[], bool]]:
    """A block in which the first Ctrl-C is only noted, and the second interrupts as usual.

    Gives a function that says whether one was noted. Python delivers signals to its main thread alone; elsewhere
    nothing is held.
    """
    noted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield noted.is_set
        return

    def note(number: int, frame: Any) -> None:
        if noted.is_set():
            raise KeyboardInterrupt
        noted.set()

    previous = signal.signal(signal.SIGINT, note)
    try:
        yield noted.is_set
    finally:
        signal.signal(signal.SIGINT, previous if previous is not None else signal.SIG_DFL)
