"""Triton's connection to the machine, without PyTorch: on CuPy's current device and stream, or compiling for no GPU at all.

Triton asks its *driver* for the current device, its capability and the current stream; the one it comes with asks PyTorch.
"""

from __future__ import annotations

import importlib
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia.driver import CudaDriver, CudaLauncher, CudaUtils

_MAJOR, _MINOR = 75, 76  # cudaDevAttrComputeCapabilityMajor, cudaDevAttrComputeCapabilityMinor


def run_on_cupy() -> None:
    """From now on Triton launches on CuPy's current device and stream, and its scratch memory comes from CuPy's pool."""
    cupy = importlib.import_module("cupy")
    pointer = importlib.import_module("minidl_kernels.triton_runtime").Pointer
    triton.runtime.driver.set_active(_cupy_driver(cupy))
    triton.set_allocator(lambda size, alignment, stream: pointer(cupy.empty(size, cupy.int8)))


def compile_only(capability: int) -> None:
    """From now on ``kernel.warmup`` compiles for ``capability`` (80, 90), and nothing can be run."""
    triton.runtime.driver.set_active(_CompileOnly(capability))


def _cupy_driver(cupy: Any) -> CudaDriver:
    runtime = cupy.cuda.runtime

    class Event:
        def __init__(self, enable_timing: bool = True, **_: Any) -> None:
            self.event = cupy.cuda.Event(disable_timing=not enable_timing)

        def record(self, stream: Any = None) -> None:
            self.event.record(stream)

        def synchronize(self) -> None:
            self.event.synchronize()

        def elapsed_time(self, end: Event) -> float:
            return cupy.cuda.get_elapsed_time(self.event, end.event)

    interface = type(
        "DeviceInterface",
        (),
        {
            "Event": Event,
            "synchronize": staticmethod(lambda *_: runtime.deviceSynchronize()),
            "current_device": staticmethod(runtime.getDevice),
        },
    )

    class CupyDriver(CudaDriver):
        def __init__(self) -> None:  # without the base class's, which imports PyTorch
            runtime.free(0)  # makes the device's context current before Triton looks for one
            self.utils, self.launcher_cls = CudaUtils(), CudaLauncher
            self.get_current_device = runtime.getDevice
            self.set_current_device = runtime.setDevice
            self.get_current_stream = lambda device=None: cupy.cuda.get_current_stream().ptr
            self.get_device_capability = lambda device=0: tuple(
                runtime.deviceGetAttribute(attribute, device) for attribute in (_MAJOR, _MINOR)
            )

        @staticmethod
        def is_active() -> bool:
            return True

        def get_device_interface(self) -> Any:
            return interface

        def get_empty_cache_for_benchmark(self) -> Any:
            return cupy.empty(1 << 26, cupy.int32)  # 256 MB, more than any second-level cache

        def clear_cache(self, cache: Any) -> None:
            cache.fill(0)

    return CupyDriver()


class _CompileOnly(CudaDriver):
    def __init__(self, capability: int) -> None:
        self.get_current_device = lambda: capability  # Triton's caches are by device: one for each processor
        self.get_current_stream = lambda device=None: 0
        self.set_current_device = lambda device: None
        self.capability = capability

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", self.capability, 32)

    @staticmethod
    def is_active() -> bool:
        return True
