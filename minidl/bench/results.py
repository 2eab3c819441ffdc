"""Results of measurements as JSON: the machine, the versions and the date beside the numbers; and two of them compared."""

from __future__ import annotations

import importlib
import json
import math
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import minidl
from minidl import backends
from minidl.bench.ceilings import Ceilings
from minidl.utils.files import atomic_write

FORMAT = 1


@dataclass
class Row:
    """One way to do one thing: seconds (median and half the interquartile range), and what it had to do."""

    room: str
    operation: str
    size: str
    elements: int
    dtype: str
    backend: str
    implementation: str
    seconds: float
    spread: float
    runs: int
    flops: int
    nbytes: int
    bound: str = ""
    share: float = 0.0
    sentence: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        """What two runs have in common when they measured the same."""
        return self.room, self.operation, self.size, self.dtype, self.backend

    @property
    def intensity(self) -> float:
        """Operations a byte."""
        return self.flops / max(self.nbytes, 1)


@dataclass
class Results:
    """What one run measured, and where."""

    rows: list[Row]
    ceilings: dict[str, Ceilings] = field(default_factory=dict)
    machine: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    date: str = ""
    failures: list[str] = field(default_factory=list)


def here() -> dict[str, Any]:
    """This machine, the versions in use, and the time: ``Results(rows, ceilings, **here())``."""
    from minidl.doctor import processor

    machine = {
        "processor": processor()[0],
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "threads": str(minidl.get_num_threads()),
        "system": platform.platform(),
        "gpu": _gpu(),
    }
    versions = {"minidl": minidl.__version__, "python": platform.python_version(), "numpy": np.__version__}
    for name in ("numba", "cupy", "triton", "torch"):
        found = backends.version_of(name)
        if found:
            versions[name] = found
    if machine["gpu"]:
        runtime = importlib.import_module("cupy").cuda.runtime
        versions["cuda driver"], versions["cuda runtime"] = (
            str(runtime.driverGetVersion()),
            str(runtime.runtimeGetVersion()),
        )
    return {"machine": machine, "versions": versions, "date": datetime.now(UTC).isoformat(timespec="seconds")}


def _gpu() -> str:
    return minidl.cuda.get_device_name() if minidl.cuda.is_available() else ""


def save(results: Results, path: str | os.PathLike) -> None:
    """Write ``results`` as JSON, whole or not at all. FileNotFoundError if the folder is not there."""
    with atomic_write(path, "w", encoding="utf-8") as file:
        json.dump({"format": FORMAT, **asdict(results)}, file, indent=1)
        file.write("\n")


def load(path: str | os.PathLike) -> Results:
    """Read what :func:`save` wrote. ValueError, naming the file, if it is something else."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        if found.pop("format") != FORMAT:
            raise ValueError("another format")
        known = {f.name for f in fields(Row)}
        rows = [Row(**{k: v for k, v in row.items() if k in known}) for row in found.pop("rows")]
        ceilings = {name: Ceilings(**c) for name, c in found.pop("ceilings").items()}
        return Results(rows, ceilings, **found)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} holds no results of 'minidl bench --save': {error}") from None


@dataclass
class Pair:
    """The same measurement in two runs."""

    before: Row
    after: Row

    @property
    def ratio(self) -> float:
        """The later time over the earlier."""
        return self.after.seconds / self.before.seconds

    @property
    def certain(self) -> bool:
        """Whether the difference is larger than the spreads of both."""
        return abs(self.after.seconds - self.before.seconds) > 2 * (self.after.spread + self.before.spread)


def compare(before: Results, after: Results) -> list[Pair]:
    """What both runs measured, in the order of the later one. ValueError if that is nothing."""
    earlier = {row.key: row for row in before.rows}
    pairs = [Pair(earlier[row.key], row) for row in after.rows if row.key in earlier]
    if not pairs:
        raise ValueError("the two files have no measurement in common: the same kernels, sizes and backends are needed")
    return pairs


def geometric_mean(values: Sequence[float]) -> float:
    return math.exp(sum(math.log(v) for v in values) / len(values))


def differences(before: Results, after: Results) -> list[str]:
    """Where the machines or the versions differ, a sentence each: reasons to be careful."""
    found = []
    for what in ("machine", "versions"):
        a, b = getattr(before, what), getattr(after, what)
        found += [f"{k}: {a.get(k, '-')} and {b.get(k, '-')}" for k in sorted({*a, *b}) if a.get(k) != b.get(k)]
    return found


def show_comparison(before: Results, after: Results, console: Any) -> None:
    """Print both times of each measurement, and their ratio where it is more than chance."""
    from rich.table import Table

    table = Table(title=f"{before.date} and {after.date}", title_justify="left")
    for column in ("kernel", "size", "backend", "before, ms", "after, ms", "after / before"):
        table.add_column(column, justify="left" if column in ("kernel", "size", "backend") else "right")
    pairs = compare(before, after)
    for pair in pairs:
        row = pair.after
        ratio = f"{pair.ratio:.2f}" if pair.certain else f"({pair.ratio:.2f})"
        times = (f"{r.seconds * 1e3:.3g} ± {r.spread * 1e3:.1g}" for r in (pair.before, row))
        table.add_row(f"{row.room}, {row.operation}", row.size, row.backend, *times, ratio)
    console.print(table)
    console.print(f"Geometric mean {geometric_mean([p.ratio for p in pairs]):.2f}; in brackets what may be chance.")
    for sentence in differences(before, after):
        console.print(f"Not alike: {sentence}", markup=False)
