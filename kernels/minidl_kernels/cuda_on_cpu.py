"""Compiles a CUDA C source for the CPU with g++, and calls its kernels: see ``cuda/on_cpu.h``."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from minidl_kernels.cuda_c import HEADERS, CudaSource

_OPTIONS = ("-std=c++17", "-O2", "-ffp-contract=off", "-shared", "-fPIC", "-w", f"-I{HEADERS}")
_CTYPES = {"int": ctypes.c_int, "unsigned": ctypes.c_uint, "float": ctypes.c_float, "double": ctypes.c_double}
_CTYPES |= {"bool": ctypes.c_bool, "long long": ctypes.c_longlong, "unsigned long long": ctypes.c_ulonglong}
_ERRORS = {
    1: "some threads had ended when the others came to __syncthreads(): every thread of a block must reach it",
    2: "the threads of a block wait for each other for ever: some are at __syncthreads() while others wait in their warp",
}
_one_at_a_time = threading.Lock()  # a library's fibers and shared memory exist once


class Library:
    """A compiled source."""

    def __init__(self, source: CudaSource) -> None:
        self.parameters = source.parameters
        self.library = ctypes.CDLL(str(_build(source)))

    def function(self, name: str) -> Callable[[Any, Any, Any, int], None]:
        types = [ctypes.c_void_p if "*" in p else _CTYPES[p.rpartition(" ")[0]] for p in self.parameters[name]]
        entry = getattr(self.library, f"on_cpu_{name}")

        def call(grid: Any, block: Any, values: Any, shared: int) -> None:
            sizes = (ctypes.c_uint * 6)(*(*grid, 1, 1)[:3], *(*block, 1, 1)[:3])
            passed = (t(v.ctypes.data if isinstance(v, np.ndarray) else v.item()) for t, v in zip(types, values))
            with _one_at_a_time:
                error = entry(sizes, ctypes.c_size_t(shared), *passed)
            if error:
                raise RuntimeError(f"{name}: {_ERRORS[2 if error & 2 else 1]}")

        return call


@functools.cache
def load(source: CudaSource) -> Library:
    return Library(source)


def _build(source: CudaSource) -> Path:
    """The shared library of a source; compiled if it or a header is new."""
    text = _with_entries(source)
    headers = "".join((HEADERS / name).read_text(encoding="utf-8") for name in ("on_cpu.h", "common.cuh"))
    key = hashlib.sha256((text + headers + repr(_OPTIONS)).encode()).hexdigest()[:24]
    target = _cache() / f"{source.path.stem}-{key}.so"
    if not target.exists():
        compiler = shutil.which("g++") or shutil.which("c++")
        if compiler is None:
            raise RuntimeError(
                "without a GPU, CUDA C kernels are compiled for the CPU by g++, which is not installed: on Debian or Ubuntu "
                "apt install g++; or choose another backend, with minidl.use_backend('numpy')"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            file, made = Path(folder, "kernels.cpp"), Path(folder, "kernels.so")
            file.write_text(text, encoding="utf-8")
            run = subprocess.run([compiler, *_OPTIONS, str(file), "-o", str(made)], capture_output=True, text=True)
            if run.returncode:
                raise RuntimeError(f"{source.path.name} does not compile:\n{run.stderr}")
            os.replace(made, target)
    return target


def _with_entries(source: CudaSource) -> str:
    """The source, and for each kernel a C function that launches it."""
    lines = ['#include "on_cpu.h"', f'#line 1 "{source.path.name}"', source.text, '#line 1 "entries"']
    for name, parameters in source.parameters.items():
        declared = "".join(f", {p}" for p in parameters)
        names = ", ".join(re.findall(r"(\w+)$", p)[0] for p in parameters)
        lines.append(
            f'extern "C" int on_cpu_{name}(const unsigned* s, size_t shared{declared}) {{ on_cpu::launch('
            f"dim3(s[0], s[1], s[2]), dim3(s[3], s[4], s[5]), shared, [&] {{ {name}({names}); }}); return on_cpu::error; }}"
        )
    return "\n".join(lines)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "minidl" / "cuda_on_cpu"
