"""The backend race: one graph on every backend, forward and backward; which is faster, where, and what bounds it.

    def build():                                   # made anew on each backend, from the same seed
        layer = minidl.nn.Linear(256, 256)
        x = minidl.randn(64, 256)
        return lambda: minidl.softmax(layer(x), -1).square().mean()

    print(minidl.inspect.race(build))

The answer comes before the time: first every operator's result and gradients are compared with the same rule in float64
on the reference kernels, from the very same inputs. What differs too much is not timed.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minidl import backends, random
from minidl.autograd import tape, watch
from minidl.bench.ceilings import Ceilings, Verdict, judge
from minidl.bench.ceilings import measure as measure_ceilings
from minidl.bench.timing import PAUSE, Timing, summary, synchronize
from minidl.inspect import arguments
from minidl.profiler import profile
from minidl.tensor import Tensor
from minidl.utils.screen import print_wide

# The largest error, relative to the largest value of the result, that a type's precision excuses in a long sum.
EXCUSED = {"float64": 1e-9, "float32": 1e-3, "float16": 2e-2, "bfloat16": 1e-1}
MEANING = {
    "overhead": "overhead: most of the time goes into calling",
    "memory": "memory: bytes take the time",
    "arithmetic": "arithmetic: operations take the time",
    "neither": "neither: far below both ceilings; slow functions, waiting, or cores that idle",
}
HELP = {
    "overhead": "more work at a time (a larger batch), or fused with its neighbours",
    "memory": "fuse it with its neighbours, so that values are read once; or half precision",
    "arithmetic": "fewer operations, or lower precision on matrix units",
    "neither": "vectorised functions, more threads, fewer temporaries",
}


@dataclass
class Leg:
    """One operator's rule on one backend: seconds a run (median) of all its calls, and what it did in them."""

    operator: str
    phase: str
    backend: str
    implementation: str
    calls: int
    seconds: float
    launches: int
    transfers: int
    flops: int
    nbytes: int
    error: float | None
    verdict: Verdict | None = None

    @property
    def intensity(self) -> float:
        """Operations a byte."""
        return self.flops / max(self.nbytes, 1)

    @property
    def ran(self) -> str:
        """The backend, and what it fell back to."""
        used = self.implementation.partition(" ")[0]
        return self.backend if used == self.backend else f"{self.backend} → {used}"

    @property
    def advice(self) -> str:
        """What would help."""
        return "" if self.verdict is None else HELP[self.verdict.bound]


@dataclass
class Race:
    """What the race found. ``legs`` has each rule of each backend that was timed; ``times`` of a run, by backend; ``errors``
    the largest error of each that was checked; ``answers`` the results; ``emulated`` the backends that were only checked."""

    legs: list[Leg] = field(default_factory=list)
    times: dict[str, Timing] = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)
    answers: dict[str, float] = field(default_factory=dict)
    emulated: list[str] = field(default_factory=list)
    ceilings: dict[str, Ceilings] = field(default_factory=dict)

    @property
    def seconds(self) -> dict[str, float]:
        """Of a run, the median, by backend."""
        return {name: timing.seconds for name, timing in self.times.items()}

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(width=170, highlight=False)
        with console.capture() as captured:
            self.show(console)
        return captured.get()

    def show(self, console: Any) -> None:
        """Print both tables."""
        console.print(self._summary())
        if self.legs:
            print_wide(console, self._operators(), 140)
            if any("→" in leg.ran for leg in self.legs):
                console.print("a → b: backend a has no kernel of its own for the operator, and b's ran.")
            console.print(
                "The share is of this machine's lower ceiling, a copy's bandwidth or a matrix product's rate:"
            )
            for name, c in self.ceilings.items():
                console.print(f"  {name}: {c.bandwidth / 1e9:.1f} GB/s, {c.gemm / 1e9:.0f} GFLOP/s")
            for bound in dict.fromkeys(leg.verdict.bound for leg in self.legs if leg.verdict):
                console.print(f"Bound by {MEANING[bound]}; what would help: {HELP[bound]}.")
        for name in self.emulated:
            if name not in self.seconds:
                console.print(
                    f"{name} is emulated here: its answers were checked and its times, which say nothing, not taken"
                )

    def _summary(self) -> Any:
        from rich.table import Table

        table = Table("backend", title="The race, forward and backward", title_justify="left")
        for column in ("time a run", "against the first", "result", "largest error"):
            table.add_column(column, justify="right")
        first = next(iter(self.seconds.values()), None)
        for name, error in self.errors.items():
            timing = self.times.get(name)
            times = ("checked only", "")
            if timing is not None and first:
                times = f"{timing.seconds * 1e3:.4g} ± {timing.spread * 1e3:.2g} ms", f"{timing.seconds / first:.2f}"
            table.add_row(name, *times, f"{self.answers[name]:.7g}", f"{error:.1e}")
        return table

    @staticmethod
    def _row(leg: Leg) -> dict[str, str]:
        return {
            "operator": leg.operator,
            "phase": leg.phase,
            "ran": leg.ran,
            "calls": str(leg.calls),
            "µs": f"{leg.seconds * 1e6:.3g}",
            "launches": str(leg.launches or ""),
            "moves": str(leg.transfers or ""),
            "MFLOP": f"{leg.flops / 1e6:.3g}",
            "MB": f"{leg.nbytes / 1e6:.3g}",
            "FLOP/byte": f"{leg.intensity:.2g}",
            "error": "-" if leg.error is None else f"{leg.error:.0e}",
            "bound by": "" if leg.verdict is None else f"{leg.verdict.bound}, {leg.verdict.share:.0%}",
        }

    def _operators(self) -> Any:
        from rich.box import SIMPLE_HEAD
        from rich.table import Table

        table = Table(title="Operators, all their calls in a run together", title_justify="left", box=SIMPLE_HEAD)
        table.padding = (0, 1, 0, 0)
        rows = [self._row(leg) for leg in self.legs]
        names = [name for name in rows[0] if any(row[name] for row in rows)]  # launches and moves: on a GPU alone
        for name in names:
            words = name in ("operator", "phase", "ran", "bound by")
            table.add_column(name, justify="left" if words else "right", no_wrap=True)
        for row in rows:
            table.add_row(*(row[name] for name in names))
        return table


def race(
    fn: Callable[[], Any],
    names: Sequence[str] | None = None,
    runs: int = 5,
    emulated: bool = False,
    seed: int = 0,
    say: Callable[[str], Any] = lambda text: None,
) -> Race:
    """Run one graph on several backends, forward and backward, and compare.

    ``fn`` returns a Tensor (what is not a number is summed), or returns a function that does, and is then called once on
    each backend: tensors that it makes are the backend's own. ``names``: the backends, those that this machine can run if
    None; emulated ones are checked and, with ``emulated=True``, timed. ``say`` is told what happens.

    Raises:
        RuntimeError: a backend's answer is wrong; it names the operator.
        TypeError: ``fn`` is no function, or returns neither.
    """
    arguments.function(fn, "race", "a function that returns a Tensor, or a function that does")
    if names is None:
        names = [row.name for row in backends.table() if row.state != "missing"]
    found = Race(emulated=[name for name in names if backends.emulated(name)])
    steps: dict[str, Callable[[], float]] = {}
    checks: dict[str, _Check] = {}
    for name in names:
        say(f"checking {name}" + (" (emulated: with large tensors this takes long)" if name in found.emulated else ""))
        with backends.use_backend(name):
            random.manual_seed(seed)
            steps[name] = _step(fn, seed)
            with _Check() as checks[name]:
                found.answers[name] = steps[name]()
        found.errors[name] = max(checks[name].errors.values(), default=0.0)
    _agree(found.answers)
    timed = [name for name in names if emulated or name not in found.emulated]
    for device in dict.fromkeys(backends.device_type(name) for name in timed):
        found.ceilings[device] = measure_ceilings(device)
    recorded: dict[str, list[profile]] = {name: [] for name in timed}
    clean: dict[str, list[float]] = {name: [] for name in timed}
    for number in range(runs):
        say(f"racing {', '.join(timed)}: run {number + 1} of {runs}")
        turn = number % max(len(timed), 1)
        for name in timed[turn:] + timed[:turn]:  # in turn, so that what disturbs the machine disturbs all
            time.sleep(PAUSE)
            with backends.use_backend(name):
                steps[name]()  # not timed: it pushes what the one before left out of the caches
                clean[name].append(_seconds(steps[name]))
                with profile(record_shapes=False) as prof:
                    steps[name]()
            recorded[name].append(prof)
    for name in timed:
        found.times[name] = summary(clean[name])
        found.legs += _legs(name, recorded[name], checks[name], found.ceilings[backends.device_type(name)])
    order = {key: i for i, key in enumerate(dict.fromkeys((leg.operator, leg.phase) for leg in found.legs))}
    found.legs.sort(key=lambda leg: (order[leg.operator, leg.phase], timed.index(leg.backend)))
    return found


def _step(fn: Callable[[], Any], seed: int) -> Callable[[], float]:
    """One run of the graph, forward and backward; it returns the result as a number."""
    made = fn()
    work = fn if isinstance(made, Tensor) else made
    if not callable(work):
        raise TypeError(
            f"race() takes a function that returns a Tensor, or a function that does; it got {type(made).__name__}"
        )

    def step() -> float:
        random.manual_seed(seed)  # dropout drops the same values every time
        y = work()
        if not isinstance(y, Tensor):
            raise TypeError(f"the graph to race must return a Tensor, not {type(y).__name__}")
        y = y.sum() if y.ndim else y
        if y.requires_grad:
            y.backward()
        return float(y.item())

    return step


def _seconds(step: Callable[[], float]) -> float:
    began = time.perf_counter()
    step()
    synchronize()
    return time.perf_counter() - began


def _agree(answers: dict[str, float]) -> None:
    """RuntimeError unless all backends came to the same number."""
    (first, expected), *others = answers.items()
    for name, answer in others:
        if not np.isclose(answer, expected, rtol=1e-2, atol=1e-4, equal_nan=True):
            raise RuntimeError(
                f"{name} comes to {answer}, {first} to {expected}: there is nothing to race. If the graph draws random "
                "tensors, let fn return a function and draw them outside it, or build() in a file."
            )


def _legs(name: str, recorded: list[profile], check: _Check, ceilings: Ceilings) -> list[Leg]:
    runs = []
    for prof in recorded:
        rules: dict[tuple[str, str], list] = {}
        for event in prof.events:
            if event.phase in ("forward", "backward"):
                rules.setdefault((event.name, event.phase), []).append(event)
        runs.append(rules)
    legs = []
    for key, events in runs[-1].items():
        seconds = statistics.median(sum(e.seconds - e.inside for e in rules.get(key, ())) for rules in runs)
        flops, nbytes = sum(e.flops for e in events), sum(e.nbytes for e in events)
        launches, calls = sum(e.launches for e in events), len(events)
        verdict = judge(ceilings, seconds, flops, nbytes, max(calls, launches)) if seconds > 0 and nbytes else None
        operator, phase = key
        ran, moves = _main([e.implementation for e in events]), calls if operator == "Move" else 0
        error = check.errors.get(key)
        legs.append(Leg(operator, phase, name, ran, calls, seconds, launches, moves, flops, nbytes, error, verdict))
    return legs


def _main(values: list[str]) -> str:
    return max(set(values), key=values.count)


# ------------------------------------------------------------------------------------------------------- the answers


class _Check:
    """While it lasts, every rule is followed by the same rule in float64 on the reference kernels, from the same inputs.

    ``errors`` has for each operator and phase the largest difference, relative to the largest value of the result.
    """

    def __init__(self) -> None:
        self.errors: dict[tuple[str, str], float] = {}
        self.busy = False

    def __enter__(self) -> _Check:
        self._handle = watch(self._compare)
        return self

    def __exit__(self, *exc: object) -> None:
        self._handle.remove()

    def _compare(self, operator: tape.Operator, phase: str, rule: Any, arrays: tuple) -> Any:
        if self.busy:
            return rule(*arrays)
        with self._alone():
            exact = _exactly(operator, phase, arrays)  # before the rule, which may change what it was given
        result = rule(*arrays)
        if exact is not None:
            with self._alone():
                self._note(operator, phase, result, exact)
        return result

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        self.busy = True
        try:
            yield
        finally:
            self.busy = False

    def _note(self, operator: tape.Operator, phase: str, result: Any, exact: Any) -> None:
        pairs = zip(_tuple(result), _tuple(exact))
        if phase == "backward":  # gradients that nobody wants may be anything
            pairs = [pair for pair, edge in zip(pairs, operator.edges) if edge is not None]
        for mine, right in pairs:
            if mine is None or right is None or getattr(mine, "dtype", np.dtype(int)).kind not in "fV":
                continue
            error = difference(mine, right)
            key = (operator.name, phase)
            self.errors[key] = max(self.errors.get(key, 0.0), error)
            if not error <= EXCUSED[mine.dtype.name]:
                raise RuntimeError(
                    f"the {backends.get_backend()} backend's answer is wrong: {operator.name}, {phase}, is off by {error:.2g} "
                    f"of its largest value from the float64 reference (at most {EXCUSED[mine.dtype.name]:g} in "
                    f"{mine.dtype.name}); result of shape {tuple(mine.shape)}"
                )


def _exactly(operator: tape.Operator, phase: str, arrays: tuple) -> Any:
    """The rule's result in float64; None where the operator cannot say (it was not applied under the check)."""
    wide = tuple([_wide(a) for a in arrays])
    with backends.use_backend("numpy"), np.errstate(all="ignore"):
        if phase == "backward":
            twin = operator.__dict__.get("_twin")
            return None if twin is None else twin.backward(*wide)
        twin = operator.again()
        twin.needs = list(operator.needs)
        twin._saved, twin._origins, twin._create_graph, twin._inputs = (), (), False, None
        exact = twin.forward(*wide)
    operator.__dict__["_twin"] = twin
    return tuple([_copied(y) for y in exact]) if isinstance(exact, tuple) else _copied(exact)


def _copied(value: Any) -> Any:
    """A copy, for what looks into memory that the rule is about to change."""
    return value.copy() if isinstance(value, np.ndarray) else value


def _wide(value: Any) -> Any:
    """An array on the host, floating values in float64."""
    if not hasattr(value, "dtype"):
        return value
    host = value if isinstance(value, (np.ndarray, np.generic)) else value.get()
    return host.astype(np.float64) if host.dtype.kind in "fV" else host.copy()


def difference(mine: Any, right: Any) -> float:
    """The largest difference relative to the largest value; 0 where both are the same infinity or nan, infinite where the
    shapes differ."""
    a, b = np.asarray(_wide(mine), np.float64), np.asarray(right, np.float64)
    if a.shape != b.shape:
        try:
            a, b = np.broadcast_arrays(a, b)
        except ValueError:
            return np.inf
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    finite = np.isfinite(b)
    if (~same & ~(finite & np.isfinite(a))).any():
        return np.inf
    scale = np.abs(b[finite]).max(initial=0.0)
    gap = np.abs(a[~same] - b[~same]).max(initial=0.0)
    return float(gap / scale) if scale else float(gap)


def _tuple(value: Any) -> tuple:
    return value if isinstance(value, tuple) else (value,)
