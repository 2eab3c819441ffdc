"""Measurements as pictures: the roofline, with a point for every backend, and time against size."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minidl.bench.ceilings import DATASHEET, Ceilings
from minidl.bench.results import Results, Row
from minidl.utils.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = {"numpy": "#4c72b0", "numba": "#dd8452", "cupy": "#55a868", "triton": "#8172b3", "torch": "#c44e52"}
MARKERS = "osD^vPX*<>"


def draw(results: Results, folder: str | os.PathLike) -> list[Path]:
    """A roofline for each device and a picture of times for each room, as PNG files in ``folder`` (made if need be)."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for device, ceilings in results.ceilings.items():
        rows = [row for row in results.rows if _device(row, results) == device]
        if rows:
            made.append(_write(roofline(rows, ceilings, _where(results, device)), folder / f"roofline-{device}.png"))
    for room in dict.fromkeys(row.room for row in results.rows):
        rows = [row for row in results.rows if row.room == room]
        made.append(_write(times(rows), folder / f"times-{room}.png"))
    return made


def draw_race(race: Any, path: str | os.PathLike) -> Path:
    """The race's operators under the ceilings of its first device, as a PNG file."""
    device, ceilings = next(iter(race.ceilings.items()))
    rows = [
        Row(
            *(f"{leg.operator}, {leg.phase}", leg.phase, "", 0, "", leg.backend, leg.implementation),
            *(leg.seconds, 0.0, 0, leg.flops, leg.nbytes),
        )
        for leg in race.legs
        if leg.verdict is not None and leg.flops
    ]
    return _write(roofline(rows, ceilings, device), Path(path))


def _device(row: Row, results: Results) -> str:
    if row.backend in ("numpy", "numba") or "cuda" not in results.ceilings:
        return "cpu"
    return "cuda"


def _where(results: Results, device: str) -> str:
    return results.machine.get("gpu" if device == "cuda" else "processor", "") or device


def roofline(rows: list[Row], ceilings: Ceilings, where: str = "") -> Figure:
    """Operations a second against operations a byte, under the measured ceilings."""
    figure, axes = _empty((9, 6))
    intensities = [max(row.intensity, 1e-3) for row in rows]
    span = np.geomspace(min([*intensities, ceilings.ridge]) / 3, max([*intensities, ceilings.ridge]) * 3, 200)
    axes.plot(span, np.minimum(span * ceilings.bandwidth, ceilings.gemm) / 1e9, color="black", label="measured here")
    for name, (bandwidth, peak) in DATASHEET.items():
        if name in where:
            axes.plot(span, np.minimum(span * bandwidth, peak) / 1e9, color="0.8", label=f"{name}'s datasheet, float32")
    rooms = list(dict.fromkeys(row.room for row in rows))
    for row, intensity in zip(rows, intensities):
        axes.plot(
            intensity,
            max(row.flops, 1) / row.seconds / 1e9,
            MARKERS[rooms.index(row.room) % len(MARKERS)],
            color=COLOURS.get(row.backend, "grey"),
            alpha=0.7,
        )
    for i, room in enumerate(rooms):
        axes.plot([], [], MARKERS[i % len(MARKERS)], color="grey", label=room)
    for backend in dict.fromkeys(row.backend for row in rows):
        axes.plot([], [], "s", color=COLOURS.get(backend, "grey"), label=backend)
    axes.set(xscale="log", yscale="log", xlabel="FLOP / byte", ylabel="GFLOP/s", title=f"Roofline: {where}")
    axes.legend(fontsize=7, ncols=2, loc="lower right")
    return figure


def times(rows: list[Row]) -> Figure:
    """Time against size, a line a backend, a panel an operation."""
    operations = list(dict.fromkeys(row.operation for row in rows))
    figure, _ = _empty((5 * len(operations), 4.2), bare=True)
    for i, operation in enumerate(operations):
        axes = figure.add_subplot(1, len(operations), i + 1)
        for backend in dict.fromkeys(row.backend for row in rows):
            mine = sorted(
                (row for row in rows if row.operation == operation and row.backend == backend),
                key=lambda row: row.elements,
            )
            axes.errorbar(
                [row.elements for row in mine],
                [row.seconds * 1e3 for row in mine],
                yerr=[row.spread * 1e3 for row in mine],
                marker="o",
                color=COLOURS.get(backend, "grey"),
                label=backend,
            )
        axes.set(xscale="log", yscale="log", xlabel="size (product of the numbers)", ylabel="ms")
        axes.set_title(f"{rows[0].room}: {operation}")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    return figure


def _empty(size: tuple[float, float], bare: bool = False) -> tuple[Figure, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, None if bare else figure.add_subplot()


def _write(figure: Figure, path: Path) -> Path:
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=120)
    return path
