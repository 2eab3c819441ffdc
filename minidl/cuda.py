"""The GPU, if there is one: PyTorch's ``cuda`` questions, answered through CuPy."""

from __future__ import annotations

from typing import Any

from minidl import backends
from minidl.absent import finder as _finder
from minidl.backends import OutOfMemoryError

__all__ = [
    "OutOfMemoryError",
    "current_device",
    "device_count",
    "get_device_name",
    "is_available",
    "manual_seed_all",
    "synchronize",
]

__getattr__ = _finder(__name__)


def is_available() -> bool:
    """Whether tensors can live on ``"cuda"``: CuPy is installed and finds a GPU."""
    return backends.cuda_is_available()


def device_count() -> int:
    """The number of GPUs; 0 where there is none."""
    return _runtime().getDeviceCount() if is_available() else 0


def current_device() -> int:
    """The number of the GPU in use. RuntimeError, with the remedy, if there is none."""
    return _runtime().getDevice()


def get_device_name(device: Any = None) -> str:
    """The name of a GPU, such as ``"NVIDIA H100"``. RuntimeError if there is none."""
    runtime = _runtime()
    index = backends.device(device).index if isinstance(device, (str, backends.device)) else device
    return runtime.getDeviceProperties(runtime.getDevice() if index is None else index)["name"].decode()


def synchronize(device: Any = None) -> None:
    """Wait until the GPU has done all that it was given. RuntimeError if there is none."""
    _runtime().deviceSynchronize()


def manual_seed_all(seed: int) -> None:
    """Nothing to do: all random numbers come from the generator that :func:`minidl.manual_seed` seeds."""


def _runtime() -> Any:
    return backends.namespace_for("cuda").cuda.runtime
