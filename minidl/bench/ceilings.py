"""What this machine can do at best, measured: bytes a second of a copy, operations a second of a matrix product.

The two ceilings of the roofline model (Williams, Waterman & Patterson 2009, "Roofline: an insightful visual performance
model for multicore architectures"): work of F operations on B bytes takes at least max(B / bandwidth, F / gemm) seconds.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from minidl.bench import timing
from minidl_kernels.threads import in_parallel, slices


@dataclass
class Ceilings:
    """Bytes a second, operations a second, and seconds of one call that does next to nothing, on a device."""

    device: str
    bandwidth: float
    gemm: float
    call: float

    @property
    def ridge(self) -> float:
        """The intensity, in operations a byte, from which on arithmetic is the limit and not memory."""
        return self.gemm / self.bandwidth

    def least(self, flops: float, nbytes: float) -> float:
        """The least seconds that work can take."""
        return max(nbytes / self.bandwidth, flops / self.gemm)

    def limit(self, flops: float, nbytes: float) -> str:
        """Which ceiling is the lower: "memory" or "arithmetic"."""
        return "memory" if nbytes / self.bandwidth >= flops / self.gemm else "arithmetic"


@dataclass
class Verdict:
    """What bounds a piece of work: "overhead", "memory", "arithmetic" or "neither"; the share of the lower ceiling that it
    reaches; and a sentence."""

    bound: str
    share: float
    sentence: str


# Datasheet peaks, (bytes a second, dense float32 operations a second), for a faint line in plots: NVIDIA's H100, H200
# and A100 datasheets, SXM form.
DATASHEET = {"H100": (3.35e12, 67e12), "H200": (4.8e12, 67e12), "A100": (2.04e12, 19.5e12)}


NEAR = 0.35  # the share of a ceiling from which on it is called the bound


def judge(ceilings: Ceilings, seconds: float, flops: float, nbytes: float, calls: int = 1) -> Verdict:
    """What bounds work that took ``seconds`` in ``calls`` calls."""
    limit = ceilings.limit(flops, nbytes)
    share = ceilings.least(flops, nbytes) / seconds
    intensity = f"{flops / max(nbytes, 1):.3g} FLOP/byte"
    at = f"at {share:.0%} of this machine's {'bandwidth' if limit == 'memory' else 'matrix product'}"
    if share < 0.5 and seconds < 50 * ceilings.call * max(calls, 1):
        return Verdict("overhead", share, f"overhead: {seconds * 1e6:.0f} µs is mostly the cost of calling")
    if share < NEAR:
        return Verdict("neither", share, f"neither: {intensity}, {at}: slow functions, temporaries or idle cores")
    if limit == "memory":
        return Verdict("memory", share, f"bytes: {intensity}, {at}" + (" (caches help)" if share > 1.05 else ""))
    return Verdict("arithmetic", share, f"arithmetic: {intensity}, {at}")


def measure(device: str = "cpu", dtype: Any = "float32") -> Ceilings:
    """Measure the ceilings of ``"cpu"`` or ``"cuda"``, the matrix product in ``dtype``; a second or so."""
    if device == "cuda":
        return _cuda(dtype)
    return Ceilings("cpu", bandwidth(), gemm_rate(), _call())


def _best(work: timing.Work, clock: timing.Clock, runs: int = 7) -> float:
    """The least seconds of several runs: a ceiling is what can be reached."""
    work()
    repeats = clock.repeats(work)
    return min(clock.measure(work, repeats) for _ in range(runs))


def bandwidth(megabytes: int = 256) -> float:
    """Bytes a second that a copy of an array larger than the caches moves (read and written), on all threads."""
    source = np.ones(megabytes << 17)
    target = np.empty_like(source)
    parts = slices(len(source))
    copy = lambda: in_parallel(lambda part: np.copyto(target[part], source[part]), parts)
    return 2 * source.nbytes / _best(copy, timing.Clock(0))


def gemm_rate(n: int = 1024) -> float:
    """Operations a second of a float32 matrix product n × n × n."""
    a = np.ones((n, n), np.float32)
    out = np.empty_like(a)
    return 2 * n**3 / _best(lambda: np.matmul(a, a, out=out), timing.Clock())


def _call() -> float:
    one = np.zeros(1, np.float32)
    return _best(lambda: np.add(one, one, out=one), timing.Clock())


def _cuda(dtype: Any, n: int = 8192) -> Ceilings:
    cupy = importlib.import_module("cupy")
    clock = timing.CudaClock()
    source = cupy.ones(1 << 28, cupy.float32)
    target = cupy.empty_like(source)
    copied = 2 * source.nbytes / _best(lambda: cupy.copyto(target, source), clock)
    a = cupy.ones((n, n), dtype)
    rate = 2 * n**3 / _best(lambda: cupy.matmul(a, a), clock)
    one = cupy.zeros(1, cupy.float32)
    return Ceilings("cuda", copied, rate, _best(lambda: cupy.add(one, one, out=one), clock, 25))
