"""Every kernel of every backend, timed in turn, beside this machine's measured ceilings and, if wanted, PyTorch.

    minidl bench softmax layer_norm --against torch --save results.json --plots folder

Each answer is compared with the reference's before it is timed. Backends that are only emulated here are left out, for
their times say nothing, unless they are asked for by name.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from minidl import backends
from minidl.bench import cases as known
from minidl.bench import ceilings as limits
from minidl.bench import timing
from minidl.bench.results import Results, Row, here
from minidl.utils.screen import print_wide
from minidl_kernels.installing import how_to_install

TOLERANCE = {"float64": 1e-6, "float32": 1e-3, "float16": 2e-2, "bfloat16": 1e-1}


def worth_timing() -> list[str]:
    """The backends whose times mean something on this machine."""
    return [row.name for row in backends.table() if row.state == "available"]


def run(
    rooms: Sequence[str] = (),
    names: Sequence[str] = (),
    against: str | None = None,
    dtype: str = "float32",
    runs: int = 15,
    sizes: str | None = None,
    say: Any = lambda text: None,
    keep_going: bool = False,
) -> Results:
    """Measure ``rooms`` (all) on the backends ``names`` (those that are not emulated).

    ``against`` may be "torch"; ``sizes`` one of "tiny", "cpu", "cuda" instead of what suits each backend; ``say`` is told
    what is being measured. With ``keep_going`` a kernel that fails is noted in ``failures``, and the others are measured.

    Raises:
        ValueError: an unknown room, backend or library, or kernels whose answers differ.
        ImportError: PyTorch, or what a backend needs, is missing; says how to get it.
    """
    rooms = list(rooms) or known.rooms()
    names = list(names) or worth_timing()
    for room in rooms:
        if room not in known.rooms():
            raise ValueError(f"nothing to measure in {room!r}; there are {', '.join(known.rooms())}")
    for name in names:
        backends._check_backend(name)
        backends.require(name)
        backends.announce(name)
    devices = list(dict.fromkeys(backends.device_type(name) for name in names))
    torch = _torch(against)
    say("the machine's ceilings: a copy and a matrix product")
    found = Results([], {d: limits.measure(d, dtype if d == "cuda" else "float32") for d in devices}, **here())
    plan = _plan(rooms, names, devices, sizes)
    for number, (room, size, mine, device) in enumerate(plan, 1):
        say(f"{room} {' × '.join(map(str, size))} on {device}, {number} of {len(plan)}")
        try:
            found.rows += measure(room, size, mine, device, found.ceilings[device], torch, dtype, runs)
        except Exception as error:
            if not keep_going:
                raise
            found.failures.append(f"{room}, {size}, {dtype}: {type(error).__name__}: {error}")
    return found


def _plan(rooms: Sequence[str], names: Sequence[str], devices: Sequence[str], sizes: str | None) -> list[tuple]:
    """Room, size, backends and device of everything to measure; emulated backends apart, at a tiny size."""
    found = []
    for device in devices:
        for emulated in (False, True):
            mine = [n for n in names if backends.device_type(n) == device and backends.emulated(n) == emulated]
            kind = sizes or ("tiny" if emulated else device)
            found += [(room, size, mine, device) for room in rooms for size in known.SIZES[room][kind] if mine]
    return found


def measure(
    room: str,
    size: tuple[int, ...],
    names: Sequence[str],
    device: str,
    ceilings: limits.Ceilings,
    torch: Any = None,
    dtype: str = "float32",
    runs: int = 15,
) -> list[Row]:
    """Time the operations of one room at one size on some backends of one device, the reference first."""
    arrays = known.Arrays(importlib.import_module("cupy") if device == "cuda" else np, dtype)
    ours, rows = timing.clock(device), []
    if device == "cuda":
        _check_small(room, names, arrays)
    peer = known.Peer(torch, device) if torch is not None and _peer_has(torch, device) else None
    for case in known.build(room, size, arrays):
        works, implementations = {}, {}
        for name, module, ran in _modules(room, names):
            works[name], implementations[name] = case.ours(module), ran
        if peer is not None and case.theirs is not None:
            works["torch"], implementations["torch"] = case.theirs(peer), "torch"
        reference = {"the reference": case.ours(backends._find(room, "numpy"))} if device == "cpu" else {}
        _check_answers(case, {**reference, **works})
        timings = timing.in_turn(works, dict.fromkeys(works, ours), runs)
        for name, taken in timings.items():
            verdict = limits.judge(ceilings, taken.seconds, case.flops, case.nbytes)
            if implementations[name] in ("cupy", "triton") and backends.emulated(implementations[name]):
                verdict = limits.Verdict("emulation", verdict.share, "emulated: the time says nothing about the kernel")
            rows.append(
                Row(
                    *(case.room, case.operation, case.size, case.elements, case.dtype, name, implementations[name]),
                    *(taken.seconds, taken.spread, taken.runs, case.flops, case.nbytes),
                    *(verdict.bound, verdict.share, verdict.sentence),
                )
            )
    return rows


def _modules(room: str, names: Sequence[str]) -> list[tuple[str, Any, str]]:
    """Backend, module and what it is, once for each file that would run."""
    found: dict[str, tuple[str, Any, str]] = {}
    for name in names:
        with backends.use_backend(name):
            ran = backends.implementation(room)
            found.setdefault(ran.partition(" ")[0], (name, backends.kernel(room), ran))
    return list(found.values())


def _check_small(room: str, names: Sequence[str], arrays: known.Arrays) -> None:
    """The answers at the smallest size against the reference on the CPU, which at the large ones would take minutes."""
    size = known.SIZES[room]["tiny"][0]
    dtype = arrays.dtype.name
    for case, exact in zip(
        known.build(room, size, known.Arrays(arrays.xp, dtype)), known.build(room, size, known.Arrays(np, dtype))
    ):
        works = {name: case.ours(module) for name, module, _ in _modules(room, names)}
        _check_answers(case, {"the reference": exact.ours(backends._find(room, "numpy")), **works})


def _check_answers(case: known.Case, works: dict[str, Any]) -> None:
    """ValueError if two give different answers: there would be nothing to compare."""
    answers = {name: _flat(work()) for name, work in works.items() if case.room != "dropout" or name != "torch"}
    (first, expected), *others = [(name, answer) for name, answer in answers.items() if answer is not None]
    scale = max(float(np.abs(expected).max(initial=0)), 1e-6)
    for name, answer in others:
        error = float(np.abs(answer - expected).max(initial=0)) / scale if answer.shape == expected.shape else np.inf
        if not error <= TOLERANCE[case.dtype]:
            raise ValueError(
                f"{case.room}, {case.operation}, {case.size}: {name} and {first} differ by {error:.2g} of the largest "
                "value: there is nothing to compare"
            )


def _flat(answer: Any) -> np.ndarray | None:
    """The first million numbers of the main result, those that are finite; None if there is no result."""
    if isinstance(answer, (tuple, list)):
        answer = answer[0]
    if answer is None:
        return None
    first = answer.reshape(-1)[: 1 << 20]
    if hasattr(first, "detach"):
        first = first.detach().float().cpu().numpy()
    host = first if isinstance(first, np.ndarray) else first.get()
    values = host.astype(np.float64)
    return values[np.isfinite(values)]


def _torch(against: str | None) -> Any:
    if against is None:
        return None
    if against != "torch":
        raise ValueError(f"minidl can be compared with 'torch', not with {against!r}")
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        raise ImportError(f"PyTorch is not installed; to compare with it: {how_to_install('torch==2.13.0')}") from None
    from minidl.threads import get_num_threads

    torch.set_num_threads(get_num_threads())
    return torch


def _peer_has(torch: Any, device: str) -> bool:
    return device == "cpu" or torch.cuda.is_available()


# ------------------------------------------------------------------------------------------------------- on the screen


def show(results: Results, console: Any) -> None:
    """Print the tables: for each room a row an operation, size and backend."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    for name, c in results.ceilings.items():
        console.print(
            f"{name}: a copy moves {c.bandwidth / 1e9:.1f} GB/s, a matrix product computes {c.gemm / 1e9:.0f} GFLOP/s; "
            f"memory is the limit below {c.ridge:.1f} FLOP/byte"
        )
    for room in dict.fromkeys(row.room for row in results.rows):
        table = Table(title=room, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for column in ("operation", "size", "ran"):
            table.add_column(column, no_wrap=True)
        for column in ("time", "", "GFLOP/s", "GB/s"):
            table.add_column(column, justify="right", no_wrap=True)
        table.add_column("bound", no_wrap=True)
        mine = [row for row in results.rows if row.room == room]
        for row in mine:
            times = (duration(row.seconds), f"±{row.spread / row.seconds:.0%}")
            rates = (f"{row.flops / row.seconds / 1e9:.3g}", f"{row.nbytes / row.seconds / 1e9:.3g}")
            table.add_row(row.operation, row.size, _ran(row), *times, *rates, f"{row.bound}, {row.share:.0%}")
        print_wide(console, table, 96)
        for row in (row for row in mine if row.size == mine[-1].size):
            console.print(f"  {row.operation}, {row.size}, {_ran(row)}: {row.sentence}", soft_wrap=True)
    if any(row.backend == "torch" for row in results.rows):
        for backend, mean, count in ratios(results):
            console.print(f"{backend} takes {mean:.2f} × PyTorch's time (geometric mean of {count} cases)")


def _ran(row: Row) -> str:
    """The backend, and what it fell back to."""
    used = row.implementation.partition(" ")[0]
    return row.backend if used == row.backend else f"{row.backend} → {used}"


def ratios(results: Results, peer: str = "torch") -> list[tuple[str, float, int]]:
    """For each backend the geometric mean of its times over the peer's, and of how many."""
    from minidl.bench.results import geometric_mean

    theirs = {row.key[:4]: row.seconds for row in results.rows if row.backend == peer}
    found = []
    for backend in dict.fromkeys(row.backend for row in results.rows if row.backend != peer):
        mine = [
            row.seconds / theirs[row.key[:4]]
            for row in results.rows
            if row.backend == backend and row.key[:4] in theirs
        ]
        if mine:
            found.append((backend, geometric_mean(mine), len(mine)))
    return found


def duration(seconds: float) -> str:
    """Seconds with a unit that suits."""
    for unit, scale in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * scale >= 1:
            return f"{seconds * scale:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"
