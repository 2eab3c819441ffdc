"""The one door to Triton: kernels on NumPy arrays in Triton's interpreter, or on CuPy arrays on a GPU; without PyTorch.

    from minidl_kernels.triton_runtime import launch     # before Triton: this sets it up

    import triton
    import triton.language as tl

    @triton.jit
    def double_kernel(x, y, n, BLOCK: tl.constexpr): ...

    launch(double_kernel, (triton.cdiv(n, 1024),), x, y, n, BLOCK=1024, num_warps=4)

Three ways to run, chosen when this module is imported, for Triton decides then and for good:

- on a GPU, compiled, on CuPy's current stream;
- without one, interpreted: each program in turn, in NumPy (about half a millisecond a program);
- under ``MINIDL_COMPILE_ONLY=sm_90``, compiled for that processor and never run: :mod:`minidl_kernels.compile_check`.
  For it a ``with_triton.py`` has a function ``compile_cases(array)`` that yields calls without arguments, which between
  them launch every kernel in every configuration that it ships; ``array(shape, dtype)`` makes their arrays.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from typing import Any

import numpy as np

from minidl_kernels.arrays import gpu_is_available, launches
from minidl_kernels.installing import how_to_install

TARGET = os.environ.get("MINIDL_COMPILE_ONLY", "")
EMULATED = not TARGET and not gpu_is_available()

if importlib.util.find_spec("triton") is None:
    raise ModuleNotFoundError(
        f"the triton backend needs Triton (Linux): {how_to_install('minidl[gpu]')}", name="triton"
    )

if EMULATED:
    if os.environ.get("TRITON_INTERPRET") != "1":
        # Somebody, PyTorch's optimisers for one, may have imported Triton to compile: they keep theirs, this is another.
        # Its C++ part has no such modes, and could not be imported twice.
        for name in [n for n in sys.modules if n.split(".")[0] == "triton" and not n.startswith("triton._C")]:
            del sys.modules[name]
    asked, os.environ["TRITON_INTERPRET"] = os.environ.get("TRITON_INTERPRET"), "1"

import triton  # noqa: E402
from triton import knobs  # noqa: E402
from triton.runtime.jit import mangle_type  # noqa: E402

if (
    "torch" not in sys.modules
):  # Triton looks for it once, at its first launch: it need not spend a second on finding it
    sys.modules["torch"] = None  # type: ignore[assignment]
    mangle_type(1)
    del sys.modules["torch"]

if EMULATED:
    from minidl_kernels import triton_interpreter

    knobs.runtime.interpret = True  # from here on in Triton's own setting, not in the user's environment
    if asked is None:
        del os.environ["TRITON_INTERPRET"]
    triton_interpreter.mend()
elif TARGET:
    from minidl_kernels import triton_driver

    triton_driver.compile_only(int(TARGET.removeprefix("sm_")))
else:
    from minidl_kernels import triton_driver

    triton_driver.run_on_cupy()

compiled: list[tuple[str, dict[str, Any], Any]] = []  # under TARGET: kernel, settings, what the compiler made


class Pointer:
    """An array as Triton takes it: its address and type. The interpreter asks for the rest, and gets the array itself."""

    __slots__ = ("array", "dtype")

    def __init__(self, array: Any) -> None:
        self.array, self.dtype = array, array.dtype

    def data_ptr(self) -> int:
        return self.array.ctypes.data if isinstance(self.array, np.ndarray) else self.array.data.ptr

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    def size(self) -> tuple[int, ...]:
        return self.array.shape

    def stride(self) -> tuple[int, ...]:
        return tuple(step // self.array.itemsize for step in self.array.strides)

    def storage_offset(self) -> int:
        return 0

    def cpu(self) -> Pointer:
        return self

    untyped_storage = cpu

    def new_empty(self, *_: Any, **__: Any) -> Pointer:
        return self

    set_ = copy_ = new_empty


def _argument(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    return Pointer(value) if hasattr(value, "strides") else value


def launch(kernel: Any, grid: Any, *arguments: Any, **settings: Any) -> None:
    """``kernel[grid](*arguments, **settings)``: arrays (NumPy's or CuPy's), numbers and None; nothing for an empty grid.

    ``settings`` are the kernel's constants and ``num_warps``, ``num_stages``; ``grid`` may be a function of them (and of
    those that an autotuned kernel adds).
    """
    pointers = [_argument(a) for a in arguments]
    if TARGET:
        results = kernel.warmup(*pointers, grid=grid, **settings)
        name = getattr(kernel, "fn", kernel).__name__
        tuned = isinstance(results, list)
        compiled.extend((name, _constants(r) if tuned else settings, r) for r in (results if tuned else [results]))
    elif callable(grid) or 0 not in grid:
        launches[0] += 1
        kernel[grid](*pointers, **settings)


def _constants(result: Any) -> dict[str, Any]:
    """What a compiled kernel was compiled for: its constants (in capitals) and settings."""
    names = result.src.fn.arg_names
    found = {names[place[0]]: value for place, value in result.src.constants.items()}
    made = result.metadata
    return {k: v for k, v in found.items() if k.isupper()} | {
        "num_warps": made.num_warps,
        "num_stages": made.num_stages,
    }


def autotune(configs: list[Any], key: list[str], **settings: Any) -> Any:
    """``@triton.autotune``: the fastest of ``configs`` for each value of ``key``; interpreted, the first of them."""
    return triton.autotune(configs=configs[:1] if EMULATED else configs, key=key, **settings)


def architecture() -> int:
    """The processor's generation: 80 for A100, 90 for H100; 80 when interpreted."""
    driver: Any = triton.runtime.driver.active if not EMULATED else None
    return 80 if EMULATED else driver.get_current_target().arch


def next_power_of_2(n: int) -> int:
    """The smallest power of two that is not below ``n``: what ``tl.arange`` can span."""
    return 1 << max(n - 1, 0).bit_length()


def warps(block: int) -> int:
    """How many warps share ``block`` values that a program holds: about eight a thread, one warp to 16."""
    return min(max(next_power_of_2(block) // 256, 1), 16)
