"""A step of the backward pass in words and mathematics."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minidl.inspect.recording import Step


def explain(step: Step) -> str:
    """The step as text."""
    return f"step {step.index}: {step.op.label}: {step.op.formula}"
