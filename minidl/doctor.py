"""What this machine can do, measured, and what to change: ``minidl doctor``."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import minidl
from minidl import backends
from minidl.bench.ceilings import bandwidth, gemm_rate, measure
from minidl_kernels.installing import how_to_install
from minidl_kernels.threads import cores

VECTOR_UNITS = ("avx512f", "avx2", "avx", "sse4_2", "asimd", "sve")
# Packages that minidl can use, what for, and what to install.
OPTIONAL = {
    "threadpoolctl": ("finds the BLAS in use", "threadpoolctl"),
    "ml_dtypes": ("bfloat16", "ml_dtypes"),
    "scikit-learn": ("the Digits data", "minidl[data]"),
    "numba": ("the numba backend", "minidl[jit]"),
    "cupy": ("the cupy backend, CUDA devices", "minidl[gpu]"),
    "triton": ("the triton backend", "minidl[gpu]"),
    "torch": ("comparisons in tests and benchmarks", "torch==2.13.0"),
}


@dataclass
class Report:
    """What was found: ``machine`` and ``packages`` by name, and ``advice``, a sentence each."""

    machine: dict[str, str] = field(default_factory=dict)
    packages: dict[str, str] = field(default_factory=dict)
    advice: list[str] = field(default_factory=list)


def processor() -> tuple[str, list[str]]:
    """The processor's name and its vector units, as the system tells them."""
    name, flags = platform.processor() or platform.machine(), set()
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                name = value.strip()
            elif key.strip() in ("flags", "Features"):
                flags |= set(value.split())
    return name, [unit for unit in VECTOR_UNITS if unit in flags]


def blas() -> list[dict[str, Any]]:
    """The BLAS libraries loaded: ``internal_api``, ``version``, ``architecture``, ``num_threads``."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return []
    return [pool for pool in threadpool_info() if pool["user_api"] == "blas"]


def examine() -> Report:
    """Look at the machine, measure it, and say what to change."""
    report = Report()
    name, units = processor()
    libraries = blas()
    described = [f"{lib['internal_api']} {lib['version']}, {lib.get('architecture', '?')} kernels" for lib in libraries]
    report.machine = {
        "minidl": f"{minidl.__version__}, Python {platform.python_version()}, NumPy {np.__version__}",
        "system": platform.platform(),
        "processor": f"{name}, {cores()} cores for this process",
        "vector units": ", ".join(units) or "unknown",
        "BLAS": "; ".join(described) or "unknown (threadpoolctl is missing)",
        "BLAS threads": ", ".join(str(lib["num_threads"]) for lib in libraries) or "unknown",
        "memory bandwidth": f"{bandwidth() / 1e9:.1f} GB/s (a copy of 256 MB)",
        "GEMM": f"{gemm_rate() / 1e9:.0f} GFLOP/s (float32, 1024 x 1024 x 1024)",
        "CUDA device": _gpu() if backends.cuda_is_available() else backends.missing_cuda(),
    }
    for package, (purpose, wanted) in OPTIONAL.items():
        version = backends.version_of(package)
        report.packages[package] = (
            f"{version} - {purpose}" if version else f"missing - {purpose}: {how_to_install(wanted)}"
        )
    report.advice = advice(units, libraries)
    return report


def _gpu() -> str:
    """The GPU's name, and what it can do at best."""
    found = measure("cuda")
    return (
        f"{minidl.cuda.get_device_name()}, {found.bandwidth / 1e9:.0f} GB/s (a copy), {found.gemm / 1e12:.1f} TFLOP/s "
        "(float32 matrix product)"
    )


def advice(units: list[str], libraries: list[dict[str, Any]]) -> list[str]:
    """What to change, a sentence each; nothing if all is well."""
    found = []
    openblas = [lib for lib in libraries if lib["internal_api"] == "openblas"]
    if "avx512f" in units and any(lib.get("architecture") in ("Haswell", "Zen") for lib in openblas):
        found.append(
            "OpenBLAS runs its AVX2 kernels on a processor with AVX-512: set OPENBLAS_CORETYPE=SkylakeX before Python "
            "starts (minidl's own commands do it for themselves)."
        )
    if any(lib["num_threads"] < cores() for lib in libraries):
        found.append(
            f"BLAS uses fewer threads than the {cores()} cores there are: unset OPENBLAS_NUM_THREADS, OMP_NUM_THREADS."
        )
    if any(lib["num_threads"] > cores() for lib in libraries):
        found.append(f"BLAS uses more threads than the {cores()} cores there are: set OPENBLAS_NUM_THREADS={cores()}.")
    if sys.platform == "linux" and "MALLOC_TRIM_THRESHOLD_" not in os.environ:
        found.append(
            "Freed memory goes back to the system, and comes again page by page: for programs of yours, set "
            "MALLOC_TRIM_THRESHOLD_=4294967296 and MALLOC_MMAP_THRESHOLD_=33554432 before Python starts (minidl's own "
            "commands do it for themselves)."
        )
    return found


def main() -> None:
    """Print the report."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    with console.status("Measuring memory and matrix products…"):
        report = examine()
    for title, rows in (("This machine", report.machine), ("Optional packages", report.packages)):
        table = Table(title=title, show_header=False, title_justify="left")
        for name, value in rows.items():
            table.add_row(name, escape(value))  # square brackets are markup to rich
        console.print(table)
    console.print("What to change:" if report.advice else "Nothing to change: all is well.")
    for sentence in report.advice:
        console.print(f"  - {sentence}")
