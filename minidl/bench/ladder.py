"""The ladder's race: every variant of a computation, from plain loops to the fused kernel, at sizes from small to large."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minidl import backends
from minidl.bench.timing import Timing, clock, in_turn
from minidl.utils.screen import print_wide
from minidl_kernels.arrays import namespace

TOLERANCE = 1e-4  # of the largest value, in float32: sums of thousands of products


@dataclass(frozen=True)
class Climb:
    """What a rung took at one size: forward and backward together, and the largest error of y and all gradients beside
    float64, as a part of the largest value."""

    rung: str
    size: tuple
    timing: Timing
    error: float


def rooms() -> list[str]:
    """The rooms that have a ladder."""
    return [room for room in backends.rooms() if importlib.util.find_spec(f"minidl_kernels.{room}.ladder")]


def ladder(room: str) -> Any:
    """A room's module ``ladder``. ValueError if it has none."""
    backends._check_room(room)
    if room not in rooms():
        raise ValueError(f"{room} has no ladder; these have: {', '.join(rooms())}")
    return importlib.import_module(f"minidl_kernels.{room}.ladder")


def runs_here(rung: Any) -> bool:
    """Whether a rung's backend is there, and not emulated: an emulation's time says nothing."""
    row = next(row for row in backends.table() if row.name == rung.backend)
    return row.state == "available"


def race(
    room: str, runs: int = 7, sizes: Sequence[int] | None = None, say: Callable[[str], Any] = lambda text: None
) -> list[Climb]:
    """Every rung at every size (or those with these numbers) that one would wait for, in turn.

    Raises:
        RuntimeError: a rung's answer is wrong.
    """
    steps = ladder(room)
    rungs = [rung for rung in steps.RUNGS if runs_here(rung)]
    found = []
    for number, size in enumerate(steps.SIZES):
        if sizes is not None and number not in sizes:
            continue
        wide = steps.arguments(size, np.random.default_rng(0))
        best = next(rung for rung in reversed(rungs) if rung.backend == "numpy")
        y = best.forward(*wide)
        g = np.random.default_rng(1).standard_normal(y.shape)
        expected = (y, *best.backward(g, *wide, y))
        works, clocks, errors = {}, {}, {}
        for rung in rungs:
            if rung.most is not None and steps.work(size) > rung.most:
                continue
            say(f"{room} {_shape(size)}: {rung.name}")
            works[rung.name], errors[rung.name] = _work(rung, wide, g, expected)
            clocks[rung.name] = clock("cuda" if rung.backend in ("cupy", "triton") else "cpu")
        timings = in_turn(works, clocks, runs=runs, budget=0.5, warm_up=1)
        found += [Climb(name, size, timings[name], errors[name]) for name in works]
    return found


def _work(rung: Any, wide: tuple, g: Any, expected: tuple) -> tuple[Callable[[], Any], float]:
    """What is timed, in float32, and its error; checked before it is timed."""
    xp = namespace(np.empty(0)) if rung.backend in ("numpy", "numba") else importlib.import_module("cupy")
    inputs, slope = [xp.asarray(a, np.float32) for a in wide], xp.asarray(g, np.float32)

    def work() -> tuple:
        y = rung.forward(*inputs)
        return (y, *rung.backward(slope, *inputs, y))

    error = max(_error(a, b) for a, b in zip(work(), expected))
    if not error < TOLERANCE:
        raise RuntimeError(f"rung {rung.name!r} is wrong by {error:.1e} of the largest value: it is not timed")
    return work, error


def _error(found: Any, expected: Any) -> float:
    found = found if isinstance(found, np.ndarray) else found.get()
    if found.shape != expected.shape:
        return float("inf")
    return float(np.abs(found - expected).max(initial=0) / max(np.abs(expected).max(initial=0), 1e-30))


# ------------------------------------------------------------------------------------------------------- on the screen


def show(room: str, found: Sequence[Climb], console: Any) -> None:
    """A table of times, each beside the size's best; then each rung in words, with where it wins and where it loses."""
    from rich.table import Table

    steps = ladder(room)
    sizes = list(dict.fromkeys(climb.size for climb in found))
    best = {size: min(c.timing.seconds for c in found if c.size == size) for size in sizes}
    at = {(c.rung, c.size): c.timing.seconds for c in found}
    table = Table("rung", title="Milliseconds, forward and backward (× the best)", title_justify="left")
    for size in sizes:
        table.add_column(_shape(size), justify="right", no_wrap=True)
    for rung in steps.RUNGS:
        row = [_cell(at.get((rung.name, size)), best[size]) for size in sizes]
        if any(row):
            table.add_row(rung.name, *row)
    print_wide(console, table, 30 + 20 * len(sizes))
    for rung in steps.RUNGS:
        console.print(f"{rung.name}: {rung.idea} {verdict(rung, sizes, at, best)}", markup=False)


def verdict(rung: Any, sizes: list[tuple], at: dict, best: dict) -> str:
    """Where a rung wins, and where it loses."""
    raced = [size for size in sizes if (rung.name, size) in at]
    if not raced:
        if not runs_here(rung):
            return f"Not timed: {rung.backend} is not here, or only emulated."
        return "Not timed: too slow at these sizes."
    ratios = {size: at[rung.name, size] / best[size] for size in raced}
    wins = [_shape(size) for size in raced if ratios[size] < 1.1]
    loses = max(raced, key=lambda size: ratios[size])
    said = [f"Among the best at {', '.join(wins)}." if wins else "Nowhere the best."]
    if ratios[loses] >= 1.5:
        said.append(f"Loses most at {_shape(loses)}: {ratios[loses]:.3g} times the best.")
    if len(raced) < len(sizes):
        said.append(f"Too slow from {_shape(next(size for size in sizes if size not in raced))} on.")
    return " ".join(said)


def _cell(seconds: float | None, best: float) -> str:
    return "" if seconds is None else f"{seconds * 1e3:.3g} ({seconds / best:.3g})"


def _shape(size: tuple) -> str:
    return "×".join(map(str, size))
