"""Why shapes do not fit: the operands drawn with their dimensions aligned, the one that breaks the rule marked, and what
would mend it.

    try:
        y = x @ w
    except RuntimeError as error:
        print(minidl.inspect.why_shape(error))

    with minidl.inspect.why_shape():            # or: whatever fails inside is explained below its error
        y = model(x)
"""

from __future__ import annotations

from typing import Any

from minidl.inspect import layer_rules, product_rules
from minidl.inspect.shape_rules import explain
from minidl.inspect.shapes import ShapeReport, frames_of, inside, users_line

RULE_FILES = (layer_rules, product_rules)  # which add what they know to shape_rules.RULES


def why_shape(error: BaseException | None = None) -> Any:
    """Explain the exception of a shape error that any operator or layer of minidl raised.

    Args:
        error: the exception as it was caught: its traceback is where the operands are found. None gives a context manager,
            which adds the explanation to whatever shape error leaves its block (as a note, below the error's message).

    Returns:
        A :class:`ShapeReport`, which prints as a drawing (in colour by rich).

    Raises:
        TypeError: no exception.
        ValueError: one that did not come from minidl, or that has lost its traceback.
    """
    if error is None:
        return _Explaining()
    if not isinstance(error, BaseException):
        raise TypeError(f"why_shape() takes an exception, or nothing to explain those of a with block, not {error!r}")
    frames = list(frames_of(error))
    if not any(inside(frame) for frame, _ in frames):
        raise ValueError(
            f"why_shape: this {type(error).__name__} was not raised by minidl, or has lost its traceback: pass the exception "
            "as it was caught"
        )
    report = explain(error, [frame for frame, _ in frames])
    report.line = users_line(frames)
    report.layer = next(
        (note.removeprefix("in layer ") for note in getattr(error, "__notes__", []) if note.startswith("in layer ")), ""
    )
    return report


class _Explaining:
    """Adds the explanation of a shape error to the error."""

    def __init__(self) -> None:
        self.report: ShapeReport | None = None

    def __enter__(self) -> _Explaining:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if isinstance(error, (RuntimeError, ValueError, IndexError, AssertionError, TypeError)):
            try:
                self.report = why_shape(error)
            except ValueError:  # not one of minidl's
                return
            error.add_note(str(self.report))
