"""Where the time goes: operators by time, bytes and calls, forward and backward, with the line that called them.

    with minidl.profiler.profile() as prof:
        loss = criterion(model(x), y)
        loss.backward()
    print(prof.key_averages().table(sort_by="total"))
    prof.export_chrome_trace("trace.json")          # look at it in chrome://tracing or ui.perfetto.dev

PyTorch's names. It hangs on the tape's and the backends' hooks, which cost nothing while nobody profiles. On a GPU each
operator is waited for, so that its time is its own; what would overlap does not, then.

First calls load and compile what they run. What the first call of a kind took beyond the later ones (:func:`warm_ups`) is
told apart, as warm-up, and is not in the times of the operators.
"""

from __future__ import annotations

import importlib
import json
import os
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from minidl import backends, costs
from minidl.autograd import tape, watch
from minidl.callers import users_frame
from minidl.tensor import Tensor
from minidl.utils import scripts
from minidl.utils.files import atomic_write
from minidl_kernels.arrays import launches

SORTS = ("total", "self", "bytes", "calls", "name")
_active: profile | None = None


@dataclass
class Event:
    """One rule, kernel call or labelled block that ran. Seconds from the profile's beginning; bytes of all arrays that went
    in and came out."""

    name: str
    phase: str  # "forward", "backward", "kernel", "block"
    began: float
    seconds: float = 0.0
    inside: float = 0.0  # seconds of the rules that it called
    nbytes: int = 0
    flops: int = 0
    launches: int = 0  # of GPU kernels, by the doors of minidl_kernels
    shapes: tuple = ()
    line: str = ""
    implementation: str = ""
    thread: int = 0
    parent: Event | None = field(default=None, repr=False)


class profile:
    """Record what runs inside a ``with`` block, in all threads. RuntimeError inside another profile."""

    def __init__(self, record_shapes: bool = True) -> None:
        self.record_shapes = record_shapes
        self.events: list[Event] = []
        self.seconds = 0.0
        self._local = threading.local()
        self._cupy: Any = None
        self._watched: dict[int, _Watched] = {}

    def __enter__(self) -> profile:
        global _active
        if _active is not None:
            raise RuntimeError("a profile is running already: they cannot be nested")
        _active = self
        self._cupy = importlib.import_module("cupy") if backends.cuda_is_available() else None
        self._zero = time.perf_counter()
        self._handle = watch(self._operator)
        backends._observers.append(self._room)
        return self

    def __exit__(self, *exc: object) -> None:
        global _active
        _active = None
        self._handle.remove()
        backends._observers.remove(self._room)
        self.seconds += time.perf_counter() - self._zero

    # ------------------------------------------------------------------------------------------------------ the hooks

    @contextmanager
    def event(self, name: str, phase: str, arrays: Any = ()) -> Iterator[Event]:
        """Time a block as an event; events inside it know it as their parent."""
        parent = getattr(self._local, "top", None)
        event = Event(name, phase, 0.0, thread=threading.get_ident(), parent=parent)
        if self.record_shapes:
            event.shapes = tuple([tuple(a.shape) for a in arrays if hasattr(a, "shape")])
        self._local.top = event
        self._wait()
        before = launches[0]
        event.began = time.perf_counter() - self._zero
        try:
            yield event
            self._wait()
        finally:
            event.seconds = time.perf_counter() - self._zero - event.began
            event.launches = launches[0] - before
            self._local.top = parent
            if parent is not None and phase != "kernel":
                parent.inside += event.seconds
            self.events.append(event)

    def _wait(self) -> None:
        if self._cupy is not None:
            self._cupy.cuda.get_current_stream().synchronize()

    def _operator(self, operator: tape.Operator, phase: str, rule: Any, arrays: tuple) -> Any:
        if phase == "forward":
            operator.__dict__["called_at"] = users_line()
        with self.event(operator.name, phase, arrays) as event:
            event.line = operator.__dict__.get("called_at", "")
            result = rule(*arrays)
        event.nbytes = moved(operator, phase, arrays, result)
        if not event.flops and not operator.is_view:  # of what no room counts: an operation a value
            event.flops = max(largest(arrays), largest(result))
        if not event.implementation:
            event.implementation = array_code(arrays, result)
        return result

    def _room(self, room: str, module: Any) -> Any:
        if id(module) not in self._watched:
            self._watched[id(module)] = _Watched(self, room, module)
        return self._watched[id(module)]

    # -------------------------------------------------------------------------------------------------------- results

    def key_averages(self, by_line: bool = False) -> Averages:
        """The events of each name and phase taken together; with ``by_line``, of each calling line.

        Kernels that an operator called count as that operator's; those called by nobody, such as an optimiser's, stand by
        themselves. Warm-up is in no time but its own.
        """
        groups: dict[tuple, Average] = {}
        warm = warm_ups(self.events)
        within = dict.fromkeys(map(id, self.events), 0.0)  # of an event and of all that ran in it
        for event in self.events:
            above: Event | None = event
            while id(event) in warm and above is not None:
                within[id(above)] += warm[id(event)]
                above = above.parent
        for event in self.events:
            if event.phase == "kernel" and event.parent is not None and event.parent.phase != "block":
                continue
            key = (event.name, event.phase, event.line if by_line else "")
            average = groups.setdefault(key, Average(event.name, event.phase))
            average.add(event, warm.get(id(event), 0.0), within[id(event)])
        return Averages(list(groups.values()), self.seconds)

    def export_chrome_trace(self, path: str | os.PathLike) -> None:
        """Write the events in Chrome's trace format, with bytes, shapes and lines as arguments."""
        events = [
            {
                "name": e.name,
                "cat": e.phase,
                "ph": "X",
                "pid": os.getpid(),
                "tid": e.thread,
                "ts": e.began * 1e6,
                "dur": e.seconds * 1e6,
                "args": {"bytes": e.nbytes, "shapes": e.shapes, "line": e.line, "implementation": e.implementation},
            }
            for e in sorted(self.events, key=lambda e: e.began)
        ]
        with atomic_write(path, "w", encoding="utf-8") as file:
            json.dump({"traceEvents": events, "displayTimeUnit": "ms"}, file)


def warm_ups(events: list[Event]) -> dict[int, float]:
    """The seconds that first calls spent on loading and compiling, by the identity of the event.

    Events are of one kind if they have the same name, phase, bytes and operations. A first call that took more than twice
    the median of the later ones was a warm-up, by the difference; of what ran once nothing can be told.
    """
    kinds: dict[tuple, list[Event]] = {}
    for event in sorted(events, key=lambda event: event.began):
        kernel_within = event.phase == "kernel" and event.parent is not None and event.parent.phase != "block"
        if event.phase != "block" and not kernel_within:  # whose time is its operator's
            kinds.setdefault((event.name, event.phase, event.nbytes, event.flops), []).append(event)
    found = {}
    for first, *later in kinds.values():
        usual = statistics.median(event.seconds - event.inside for event in later) if later else float("inf")
        beyond = first.seconds - first.inside - usual
        if beyond > usual:
            found[id(first)] = beyond
    return found


class _Watched:
    """A room's module whose functions are timed."""

    def __init__(self, owner: profile, room: str, module: Any) -> None:
        self._owner, self._room, self._module = owner, room, module
        self._implementation = backends.implementation(room)

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._module, name)
        if not callable(function):
            return function

        def run(*args: Any, **kwargs: Any) -> Any:
            with self._owner.event(f"{self._room}.{name}", "kernel", args) as event:
                result = function(*args, **kwargs)
            event.nbytes, event.implementation = sizes(args) + sizes(result), self._implementation
            event.flops = costs.flops(self._room, name, args, result, kwargs)
            event.line = "" if event.parent is not None else users_line()
            if event.parent is not None:
                event.parent.implementation = event.implementation
                event.parent.flops += event.flops
            return result

        return run


@contextmanager
def record_function(name: str) -> Iterator[None]:
    """Label a block in the running profile; nothing without one."""
    if _active is None:
        yield
        return
    with _active.event(name, "block") as event:
        event.line = users_line()
        yield


def users_line() -> str:
    """File and line of the innermost call outside minidl; "" where there is none."""
    frame = users_frame()
    return "" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"


def sizes(values: Any) -> int:
    """Bytes of the arrays in ``values``, each counted once."""
    return sum(array.nbytes for array in {id(array): array for array in _arrays(values)}.values())


def moved(operator: tape.Operator, phase: str, arrays: tuple, result: Any) -> int:
    """Bytes that a rule reads and writes: what it is given and what it makes and, of a gradient rule, what was kept for it.
    A view moves none."""
    if operator.is_view:
        return 0
    kept = [getattr(operator, "_saved", None), *(operator.__dict__.get(name) for name in operator._kept)]
    return sizes([arrays, result, *(kept if phase == "backward" else ())])


def largest(values: Any) -> int:
    """The number of values in the largest array in ``values``."""
    return max((array.size for array in _arrays(values)), default=0)


def array_code(*values: Any) -> str:
    """Which array library computed, where no kernel did."""
    return next((backends.namespace(a).__name__ for a in _arrays(values)), "numpy") + " (array code)"


def _arrays(values: Any) -> Iterator[Any]:
    if isinstance(values, Tensor):
        yield values._data
    elif isinstance(values, (tuple, list)):
        for value in values:
            yield from _arrays(value)
    elif hasattr(values, "nbytes") and hasattr(values, "shape"):
        yield values


# -------------------------------------------------------------------------------------------------------------- tables


@dataclass
class Average:
    """The events of one kind: seconds with and without what they called, bytes, calls, and where most time was spent;
    ``warm_up`` is what the first calls took beyond the others, which is in neither of the times."""

    name: str
    phase: str
    calls: int = 0
    total: float = 0.0
    own: float = 0.0
    warm_up: float = 0.0
    nbytes: int = 0
    flops: int = 0
    implementations: dict[str, int] = field(default_factory=dict)
    lines: dict[str, float] = field(default_factory=dict)

    def add(self, event: Event, warm_up: float = 0.0, within: float = 0.0) -> None:
        """Count an event, whose warm-up is told, and that of all that ran in it."""
        self.calls += 1
        self.total += event.seconds - within
        self.own += event.seconds - event.inside - warm_up
        self.warm_up += warm_up
        self.nbytes += event.nbytes
        self.flops += event.flops
        if event.implementation:
            self.implementations[event.implementation] = self.implementations.get(event.implementation, 0) + 1
        self.lines[event.line] = self.lines.get(event.line, 0.0) + event.seconds

    @property
    def line(self) -> str:
        """Where most of its time was asked for."""
        return max(self.lines, key=lambda line: self.lines[line], default="")


class Averages(list):
    """Rows of a profile; ``table()`` shows them."""

    def __init__(self, rows: list[Average], seconds: float) -> None:
        super().__init__(rows)
        self.seconds = seconds

    def sorted(self, sort_by: str = "total") -> list[Average]:
        """The rows, largest first ("name": in order). ValueError for an unknown order."""
        if sort_by not in SORTS:
            raise ValueError(f"a profile is sorted by one of {', '.join(SORTS)}, not by {sort_by!r}")
        if sort_by == "name":
            return sorted(self, key=lambda row: (row.name, row.phase))
        return sorted(self, key=lambda row: -getattr(row, {"bytes": "nbytes", "self": "own"}.get(sort_by, sort_by)))

    def table(self, sort_by: str = "total", row_limit: int = 30, width: int = 160) -> str:
        """The rows as text."""
        from rich.console import Console

        console = Console(width=width, highlight=False)
        with console.capture() as captured:
            console.print(self.rich_table(sort_by, row_limit))
        return captured.get()

    def rich_table(self, sort_by: str = "total", row_limit: int = 30) -> Any:
        """The rows as a table of rich's."""
        from rich.box import SIMPLE_HEAD
        from rich.markup import escape
        from rich.table import Table

        work = sum(row.own for row in self if row.phase != "block")
        warm = sum(row.warm_up for row in self)
        share = f"{work / self.seconds:.0%} of it in operators" if self.seconds else "nothing ran"
        if warm:
            share += (
                f", {warm / self.seconds:.0%} in warm-up (first calls load and compile), which is not in their times"
            )
        if any(row.calls == 1 and row.own > work / 10 for row in self):
            share += "; of what ran once, warm-up cannot be told apart"
        title = f"{self.seconds * 1e3:.4g} ms, {share}"
        table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for column in ("operator", "phase"):
            table.add_column(column, no_wrap=True)
        for column in ("calls", "total ms", "self ms", "self %", "warm-up ms", "MB", "GB/s"):
            table.add_column(column, justify="right", no_wrap=True)
        table.add_column("ran")
        table.add_column("called at (most time)", overflow="fold")
        for row in self.sorted(sort_by)[:row_limit]:
            rate = row.nbytes / row.total / 1e9 if row.total else 0
            numbers = (f"{row.total * 1e3:.3g}", f"{row.own * 1e3:.3g}", f"{row.own / max(work, 1e-12):.0%}")
            numbers += (f"{row.warm_up * 1e3:.3g}" if row.warm_up else "",)
            ran = ", ".join(row.implementations)
            inside = row.line.startswith(os.getcwd() + os.sep)
            where = os.path.relpath(row.line) if inside else os.path.basename(row.line)
            table.add_row(
                *(row.name, row.phase, str(row.calls), *numbers, f"{row.nbytes / 1e6:.3g}", f"{rate:.3g}"),
                *(escape(ran), escape(where)),
            )
        return table


def run_script(path: str | os.PathLike, arguments: list[str]) -> tuple[profile, BaseException | None]:
    """Run a Python file as ``python path arguments`` would, and profile it: what was recorded, and the exception that
    ended it, if one did. FileNotFoundError if there is no such file."""
    with profile() as prof:
        ended = scripts.run_script(path, arguments)
    return prof, ended
