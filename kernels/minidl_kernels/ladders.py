"""A ladder: one computation in numbered variants, each a single step from the last, from plain loops to the fused kernel.

A room that has one keeps it in ``ladder.py``: the variants as functions to be read in order, and

    RUNGS                 the variants
    SIZES                 sizes to race them at, from small to large
    arguments(size, rng)  what forward is called with
    work(size)            how many multiplications with an addition (or values, where there are none) forward takes

No rung is the best everywhere: see where each wins and loses with ``minidl kernels ladder ROOM``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

LANGUAGES = {"numba": "numba", "CUDA C": "cupy", "Triton": "triton"}


@dataclass(frozen=True)
class Rung:
    """One variant.

    Attributes
    ----------
    name      its number and what it is; the last word is the language, where it is not Python and NumPy
    idea      what changed against the rung before, and what that saves or costs
    forward   forward(*inputs) → y
    backward  backward(g, *inputs, y) → the gradients of all inputs; what was not kept is computed again
    most      the largest ``work`` that one would wait for; None: any
    """

    name: str
    idea: str
    forward: Callable[..., Any]
    backward: Callable[..., tuple]
    most: int | None = None

    @property
    def backend(self) -> str:
        """Which backend it needs."""
        return next((backend for word, backend in LANGUAGES.items() if self.name.endswith(word)), "numpy")
