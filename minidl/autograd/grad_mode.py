"""Whether operators are recorded: one switch a thread."""

from __future__ import annotations

import functools
import threading
from typing import Any


class _Mode(threading.local):
    enabled = True
    inference = False


mode = _mode = _Mode()


def is_grad_enabled() -> bool:
    return _mode.enabled


class set_grad_enabled:
    """Switch recording on or off: for good when called, for a block with ``with``, for a function as a decorator."""

    def __init__(self, mode: bool) -> None:
        self._previous = _mode.enabled
        self._enabled = _mode.enabled = bool(mode)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: object) -> None:
        _mode.enabled = self._previous

    def __call__(self, function: Any) -> Any:
        _mode.enabled = self._previous  # used as a decorator: only the function's own calls are switched
        return _decorate(function, lambda: set_grad_enabled(self._enabled))


class _Block:
    """A grad mode for a ``with`` block or a decorated function; may be entered again and nested."""

    _enabled: bool

    def __new__(cls, function: Any = None) -> Any:
        if function is not None:  # used as @no_grad without parentheses
            return _decorate(function, cls)
        return super().__new__(cls)

    def __init__(self) -> None:
        self._previous: list[bool] = []

    def __enter__(self) -> None:
        self._previous.append(_mode.enabled)
        _mode.enabled = self._enabled

    def __exit__(self, *exc: object) -> None:
        _mode.enabled = self._previous.pop()

    def __call__(self, function: Any) -> Any:
        return _decorate(function, type(self))


class no_grad(_Block):
    """Record nothing: for a block (``with minidl.no_grad():``) or a function (``@minidl.no_grad()``)."""

    _enabled = False


class enable_grad(_Block):
    """Record again inside a ``no_grad`` block."""

    _enabled = True


class inference_mode:
    """PyTorch's stricter ``no_grad``, for a block or a function; ``inference_mode(False)`` records inside one.

    minidl's ``no_grad`` keeps nothing already, so that this one is no faster, and what it makes may be used anywhere.
    """

    def __new__(cls, mode: Any = True) -> Any:
        if callable(mode):  # used as @inference_mode without parentheses
            return _decorate(mode, cls)
        return super().__new__(cls)

    def __init__(self, mode: bool = True) -> None:
        self.mode = bool(mode)
        self._previous: list[tuple[bool, bool]] = []

    def __enter__(self) -> None:
        self._previous.append((_mode.enabled, _mode.inference))
        _mode.enabled, _mode.inference = not self.mode, self.mode

    def __exit__(self, *exc: object) -> None:
        _mode.enabled, _mode.inference = self._previous.pop()

    def __call__(self, function: Any) -> Any:
        return _decorate(function, lambda: inference_mode(self.mode))


def is_inference_mode_enabled() -> bool:
    return _mode.inference


def _decorate(function: Any, block: Any) -> Any:
    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with block():
            return function(*args, **kwargs)

    return wrapped
