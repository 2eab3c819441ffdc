"""``minidl`` and ``python -m minidl``: the environment that makes NumPy faster, then the command line."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

_SKYLAKE = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
# glibc hands freed memory back to the system, which clears it page by page when it is next asked for: a third of a
# training step's time, where arrays of some megabytes come and go. Kept, it is there at once.
_KEEP_MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(1 << 32), "MALLOC_MMAP_THRESHOLD_": str(1 << 25)}
_COMPUTE_NOTHING = ("--help", "--version", "backends", "check")  # by a command's first word; `check` in another process


def faster_environment(environment: Any, cpuinfo: str, platform: str = sys.platform) -> dict[str, str] | None:
    """The environment with what makes NumPy faster, where nobody chose otherwise; None if there is nothing to change.

    OpenBLAS takes processors that it does not know for older ones: it is told to use its AVX-512 kernels, if there are any.
    And memory that was freed is kept.
    """
    flags = next((line.split(":", 1)[1].split() for line in cpuinfo.splitlines() if line.startswith("flags")), [])
    more = {}
    if "OPENBLAS_CORETYPE" not in environment and set(flags) >= _SKYLAKE:
        more["OPENBLAS_CORETYPE"] = "SkylakeX"
    if platform == "linux" and not any(name.startswith("MALLOC_") for name in environment):
        more |= _KEEP_MEMORY
    return {**environment, **more} if more else None


def computes(words: list[str]) -> bool:
    """Whether a command's words ask for what NumPy's speed matters to."""
    return bool(words) and words[0] not in _COMPUTE_NOTHING and "--help" not in words and words != ["tutorials"]


def main() -> None:
    """The ``minidl`` command. What is chosen when a program starts, or when it imports NumPy, needs a new start."""
    words = sys.argv[1:]
    if computes(words):
        try:
            cpuinfo = Path("/proc/cpuinfo").read_text()
        except OSError:
            cpuinfo = ""
        environment = faster_environment(os.environ, cpuinfo)
        if environment is not None:
            os.execve(sys.executable, [sys.executable, "-m", "minidl", *words], environment)
    from minidl.cli.common import app

    app(prog_name="minidl")


if __name__ == "__main__":
    main()
