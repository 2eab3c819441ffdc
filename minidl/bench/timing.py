"""How a time is taken: warm-up, candidates in turn, medians and spread; on a GPU with events and a cold L2 cache."""

from __future__ import annotations

import importlib
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from minidl import backends

# Seconds between two candidates' turns: idle threads of the last one spin for some milliseconds before they sleep.
PAUSE = 0.01
Work = Callable[[], Any]


@dataclass
class Timing:
    """Seconds of one piece of work: median, and half the distance between the quartiles, of ``runs`` measurements."""

    seconds: float
    spread: float
    runs: int


class Clock:
    """Seconds of work on the CPU. Short work is repeated inside one measurement, so that the clock's own cost is small."""

    def __init__(self, shortest: float = 2e-3) -> None:
        self.shortest = shortest

    def repeats(self, work: Work) -> int:
        """How often to repeat ``work`` inside one measurement."""
        return max(int(self.shortest / max(self.measure(work), 1e-7)), 1)

    def measure(self, work: Work, repeats: int = 1) -> float:
        began = time.perf_counter()
        for _ in range(repeats):
            work()
        return (time.perf_counter() - began) / repeats


class CudaClock(Clock):
    """Seconds of work on the GPU, between two events on the stream. The L2 cache is overwritten before each run, so that
    none finds its operands there by luck; and while that lasts, a tenth of a millisecond or so, Python gets ahead and has
    launched the work when its turn comes."""

    def __init__(self) -> None:
        super().__init__()
        self.cupy = importlib.import_module("cupy")
        device = self.cupy.cuda.Device()
        self.flush = self.cupy.empty(max(2 * device.attributes["L2CacheSize"], 256 << 20), self.cupy.int8)

    def repeats(self, work: Work) -> int:
        return 1

    def measure(self, work: Work, repeats: int = 1) -> float:
        begin, end = self.cupy.cuda.Event(), self.cupy.cuda.Event()
        total = 0.0
        for _ in range(repeats):
            self.flush.fill(0)
            begin.record()
            work()
            end.record()
            end.synchronize()
            total += self.cupy.cuda.get_elapsed_time(begin, end) * 1e-3
        return total / repeats


def clock(device: str) -> Clock:
    """The clock for a device: ``"cpu"`` or ``"cuda"``."""
    return CudaClock() if device == "cuda" else Clock()


def summary(times: Sequence[float]) -> Timing:
    if len(times) == 1:
        return Timing(times[0], 0.0, 1)
    low, middle, high = statistics.quantiles(times, n=4, method="inclusive")
    return Timing(middle, (high - low) / 2, len(times))


def in_turn(
    works: dict[str, Work], clocks: dict[str, Clock], runs: int = 15, budget: float = 1.0, warm_up: int = 2
) -> dict[str, Timing]:
    """Time several ways to do one thing, in turn, so that what disturbs the machine disturbs all of them.

    Up to ``runs`` rounds, fewer (but three) when they would take longer than ``budget`` seconds a candidate.
    """
    repeats = {}
    for name, work in works.items():
        for _ in range(warm_up):
            work()
        repeats[name] = clocks[name].repeats(work)
    kept: dict[str, list[float]] = {name: [] for name in works}
    began = time.perf_counter()
    for done in range(runs):
        if done >= 3 and time.perf_counter() - began > budget * len(works):
            break
        for name, work in works.items():
            time.sleep(PAUSE)
            kept[name].append(clocks[name].measure(work, repeats[name]))
    return {name: summary(times) for name, times in kept.items()}


def synchronize() -> None:
    """Wait for the GPU, if there is one."""
    if backends.cuda_is_available():
        importlib.import_module("cupy").cuda.runtime.deviceSynchronize()
