"""The one door to CUDA C: kernels of a ``.cu`` file on CuPy arrays, or, without a GPU, the same source on the CPU.

    source = CudaSource(__file__, "softmax.cu")
    source.launch("softmax_forward", (rows,), (256,), x, y, rows, n)

A kernel is ``extern "C" __global__ void name(…)`` with pointers and plain numbers; numbers are converted to the types
that it declares. ``common.cuh`` has what kernels share. On a GPU CuPy compiles the source with NVRTC on first use and
keeps it; without one g++ does, with ``on_cpu.h`` (see there), and a launch takes tens of nanoseconds a thread and barrier.

Kernels compute in float32. Half precision is widened at the door and rounded once; float64 stays with the reference.
"""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from minidl_kernels.arrays import launches, namespace

HEADERS = Path(__file__).parent / "cuda"
_KERNEL = re.compile(r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\([^)]*\)\s*)?(\w+)\s*\(([^)]*)\)')
_TYPES = {"int": np.int32, "unsigned": np.uint32, "float": np.float32, "double": np.float64, "bool": np.bool_}
_TYPES |= {"long long": np.int64, "unsigned long long": np.uint64}


class CudaSource:
    """The kernels of one file, which stands beside the Python file ``beside``."""

    def __init__(self, beside: str, name: str) -> None:
        self.path = Path(beside).parent / name

    @functools.cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @functools.cached_property
    def parameters(self) -> dict[str, list[str]]:
        """The declared parameters of each kernel: ``"const float* x"``."""
        found = _KERNEL.findall(re.sub(r"//[^\n]*", "", self.text))
        clean = lambda p: re.sub(r"\s+", " ", re.sub(r"\b(const|__restrict__)\b", "", p)).strip()
        return {name: [clean(p) for p in declared.split(",") if p.strip()] for name, declared in found}

    def launch(
        self, name: str, grid: tuple[int, ...], block: tuple[int, ...], *arguments: Any, shared: int = 0
    ) -> None:
        """Run kernel ``name`` on a ``grid`` of ``block``s with ``shared`` bytes of dynamic shared memory.

        Arrays are C-contiguous and of the declared type; nothing happens for an empty grid.

        Raises:
            TypeError: arguments that are not those declared.
        """
        declared = self.parameters[name]
        if len(declared) != len(arguments):
            raise TypeError(f"{name}() takes {len(declared)} arguments ({', '.join(declared)}), got {len(arguments)}")
        if 0 in grid:
            return
        launches[0] += 1
        values = tuple(_checked(name, d, a) for d, a in zip(declared, arguments))
        on_cpu = all(isinstance(v, (np.ndarray, np.generic)) for v in values)
        self._function(name, on_cpu)(grid, block, values, shared)

    @functools.cache  # noqa: B019  (sources live as long as their modules)
    def _function(self, name: str, on_cpu: bool) -> Callable[[Any, Any, Any, int], None]:
        if on_cpu:
            return importlib.import_module("minidl_kernels.cuda_on_cpu").load(self).function(name)
        module = importlib.import_module("cupy").RawModule(code=self.text, options=("--std=c++17", f"-I{HEADERS}"))
        kernel = module.get_function(name)
        return lambda grid, block, values, shared: kernel(grid, block, values, shared_mem=shared)


def threads(n: int, most: int = 256) -> int:
    """How many threads share a row of ``n`` values: whole warps, with about four values a thread."""
    return min(max(32, 1 << (n.bit_length() - 2 if n > 3 else 0)), most)


class float32:
    """An array as a kernel takes it: C-contiguous float32; from half precision, widened."""

    def __new__(cls, array: Any) -> Any:
        return namespace(array).ascontiguousarray(array, np.float32).reshape(array.shape)  # a number stays 0-d

    @staticmethod
    def takes(*arrays: Any) -> bool:
        """Whether the kernels are meant for all of ``arrays`` (or None): floating, of at most 32 bits."""
        return all(a is None or (a.dtype.kind in "fV" and a.dtype.itemsize <= 4) for a in arrays)

    @staticmethod
    def empty(like: Any, shape: Any = None) -> Any:
        return namespace(like).empty(like.shape if shape is None else shape, np.float32)


def _checked(name: str, declared: str, value: Any) -> Any:
    """A number in its declared type; an array as it is, if it fits."""
    if "*" not in declared:
        return _TYPES[declared.rpartition(" ")[0]](value)
    if value is None:
        return np.uint64(0)  # a null pointer
    kind = declared.partition("*")[0].strip()
    wanted = {"signed char": np.int8, "unsigned char": np.uint8, "short": np.int16}.get(kind) or _TYPES[kind]
    if value.dtype != wanted or not value.flags.c_contiguous:
        raise TypeError(
            f"{name}(): {declared} takes a C-contiguous array of {np.dtype(wanted).name}, got {value.dtype} with shape "
            f"{value.shape} and strides {value.strides}"
        )
    return value
