"""A step's length that fulfils the strong Wolfe conditions.

Along a direction d from x, with f(t) the loss at x + t d and f' its slope there, t is long enough, and not too long, if

    f(t) ≤ f(0) + c₁ t f'(0)    and    |f'(t)| ≤ c₂ |f'(0)|.

Source: J. Nocedal & S. Wright, "Numerical Optimization" (2006), algorithms 3.5 and 3.6, and M. Schmidt's minFunc (2005), whose
safeguards these are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

C1, C2 = 1e-4, 0.9


class Point(NamedTuple):
    """What was found at t: the loss, its gradient, and its slope along the direction."""

    t: float
    loss: float
    gradient: Any
    slope: float


def strong_wolfe(
    look: Callable[[float], Point], t: float, start: Point, size: float, most: int = 25, least: float = 1e-9
) -> Point:
    """The point that fulfils the conditions, or the best that was found.

    Args:
        look: what is at t.
        t: where to look first.
        start: the point at 0, whose slope is negative.
        size: the largest element of the direction.
        most: how often to look further.
        least: the change of an element that is worth a look.
    """
    looks, bracket = _bracket(look, t, start, most)
    if len(bracket) == 1:
        return bracket[0]
    low, high = sorted(bracket, key=lambda p: p.loss)
    stalled = False
    while looks < most and abs(high.t - low.t) * size >= least:
        near, far = sorted((low.t, high.t))
        t = minimum_of_cubic(low, high, near, far)
        margin = 0.1 * (far - near)
        if min(far - t, t - near) < margin:  # too near an end: once that is let pass
            if stalled or t >= far or t <= near:
                t = far - margin if abs(t - far) < abs(t - near) else near + margin
                stalled = False
            else:
                stalled = True
        else:
            stalled = False
        new = look(t)
        looks += 1
        if not _is_low(new, start) or new.loss >= low.loss:
            low, high = sorted((low, new), key=lambda p: p.loss)
        elif _is_flat(new, start):
            return new
        else:
            low, high = new, low if new.slope * (high.t - low.t) >= 0 else high
    return low


def _bracket(look: Callable[[float], Point], t: float, start: Point, most: int) -> tuple[int, list[Point]]:
    """How often it was looked further, and two points between which a good one lies; or one, if it is good."""
    before, new = start, look(t)
    for looks in range(most):
        if not _is_low(new, start) or (looks > 1 and new.loss >= before.loss):
            return looks, [before, new]
        if _is_flat(new, start):
            return looks, [new]
        if new.slope >= 0:
            return looks, [before, new]
        t = minimum_of_cubic(before, new, new.t + 0.01 * (new.t - before.t), 10 * new.t)
        before, new = new, look(t)
    return most, [start, new]


def _is_low(new: Point, start: Point) -> bool:
    return new.loss <= start.loss + C1 * new.t * start.slope


def _is_flat(new: Point, start: Point) -> bool:
    return abs(new.slope) <= -C2 * start.slope


def minimum_of_cubic(a: Point, b: Point, near: float, far: float) -> float:
    """Where the cubic through two points, with their slopes, has its minimum, kept within [near, far]; their middle if it
    has none."""
    if a.t > b.t:
        a, b = b, a
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if not square >= 0:
        return (near + far) / 2
    d2 = math.sqrt(square)
    return min(max(b.t - (b.t - a.t) * ((b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2)), near), far)
