"""The command line: ``minidl train mnist``, ``minidl doctor``, ``minidl bench``, ``minidl kernels`` and more.

A module a group of commands; each puts its commands into the groups of :mod:`minidl.cli.common` when it is imported.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from minidl.cli import bench, kernels, machine, programs, train_pictures  # noqa: F401  (for their commands)
from minidl.cli.common import app

_SKYLAKE = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}


def faster_environment(environment: Any, cpuinfo: str) -> dict[str, str] | None:
    """The environment with OpenBLAS told to use its AVX-512 kernels, where the processor has them and nobody chose.

    OpenBLAS takes processors that it does not know for older ones; None if there is nothing to change.
    """
    flags = next((line.split(":", 1)[1].split() for line in cpuinfo.splitlines() if line.startswith("flags")), [])
    if "OPENBLAS_CORETYPE" in environment or not set(flags) >= _SKYLAKE:
        return None
    return {**environment, "OPENBLAS_CORETYPE": "SkylakeX"}


def main() -> None:
    """The ``minidl`` command. OpenBLAS chooses its kernels when NumPy is imported, so the choice needs a new start."""
    try:
        cpuinfo = Path("/proc/cpuinfo").read_text()
    except OSError:
        cpuinfo = ""
    environment = faster_environment(os.environ, cpuinfo)
    if environment is not None:
        os.execve(sys.executable, [sys.executable, "-m", "minidl", *sys.argv[1:]], environment)
    app(prog_name="minidl")
