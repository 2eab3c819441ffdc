"""Which arrays, and which code runs on them.

Two notions, kept apart. The *device* is where an array lives, and its type says so: a NumPy array is on ``"cpu"``, a
CuPy array on ``"cuda"``. The *kernel set* is which file of a kernel's room runs on it. A *backend* names a pair of
both, so that one word swaps: ``minidl.use_backend("numba")``.

A backend that has no file for an operator falls back along its chain to one that has.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from contextvars import ContextVar
from types import ModuleType
from typing import Any

import numpy as np

# A backend, and whom it asks when a room has no file of its own for it.
CHAINS: dict[str, tuple[str, ...]] = {
    "numpy": ("numpy",),
    "numba": ("numba", "numpy"),
    "cupy": ("cupy", "numpy"),
    "triton": ("triton", "cupy", "numpy"),
}


class device:
    """A place where arrays live: ``type`` (``"cpu"`` or ``"cuda"``) and ``index``."""

    __slots__ = ("index", "type")

    def __init__(self, type: Any, index: int | None = None) -> None:
        if isinstance(type, device):
            type, index = type.type, type.index
        if not isinstance(type, str):
            raise TypeError(f"device() takes a name such as 'cpu' or 'cuda:0', got {type!r}")
        name, _, number = type.partition(":")
        if name not in ("cpu", "cuda") or (number and not number.isdigit()):
            raise RuntimeError(f"device must be 'cpu', 'cuda' or 'cuda:N', got {type!r}")
        self.type = name
        self.index = int(number) if number else index

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            other = device(other)
        return isinstance(other, device) and (self.type, self.index or 0) == (other.type, other.index or 0)

    def __hash__(self) -> int:
        return hash((self.type, self.index or 0))

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        return f"device(type='{self.type}'" + (f", index={self.index})" if self.index is not None else ")")


CPU = device("cpu")


def namespace(array: Any) -> Any:
    """The array library that ``array`` belongs to: what to call instead of a fixed ``np``."""
    if isinstance(array, (np.ndarray, np.generic)):
        return np
    module = type(array).__module__.partition(".")[0]
    return importlib.import_module(module) if module == "cupy" else np


def device_of(array: Any) -> device:
    return CPU if isinstance(array, np.ndarray) else device("cuda", array.device.id)


def namespace_for(where: device | str | None) -> Any:
    """The array library for a device; RuntimeError, with the remedy, where this machine has no such device."""
    if where is None or device(where).type == "cpu":
        return np
    if not cuda_is_available():
        raise RuntimeError(
            f"device {str(where)!r} was asked for, but {missing_cuda()}. "
            "Use device='cpu', or guard with minidl.cuda.is_available()."
        )
    return importlib.import_module("cupy")


def missing_cuda() -> str:
    if importlib.util.find_spec("cupy") is None:
        return "CuPy is not installed (pip install 'minidl[gpu]')"
    return "CuPy finds no CUDA GPU or no CUDA driver on this machine"


def cuda_is_available() -> bool:
    """Whether tensors can live on ``"cuda"``: CuPy is installed and finds a GPU."""
    if importlib.util.find_spec("cupy") is None:
        return False
    try:
        return importlib.import_module("cupy").cuda.runtime.getDeviceCount() > 0
    except Exception:  # the CUDA runtime raises its own type when there is no driver
        return False


# ---------------------------------------------------------------------------------------------------- kernel selection


class _Choice:
    """A backend, the operators that are overridden by name, and the kernel modules already found for it."""

    __slots__ = ("backend", "found", "overrides")

    def __init__(self, backend: str, overrides: dict[str, str]) -> None:
        self.backend = backend
        self.overrides = overrides
        self.found: dict[str, ModuleType] = {}


def _check_backend(name: str) -> str:
    if name not in CHAINS:
        raise ValueError(f"unknown backend {name!r}; choose one of {', '.join(CHAINS)}")
    return name


_start = _Choice(_check_backend(os.environ.get("MINIDL_BACKEND", "numpy")), {})
_current: ContextVar[_Choice] = ContextVar("minidl_backend", default=_start)


def kernel(room: str) -> ModuleType:
    """The module that runs operator ``room`` under the current backend: ``minidl_kernels.<room>.with_<backend>``."""
    choice = _current.get()
    try:
        return choice.found[room]
    except KeyError:
        module = choice.found[room] = _find(room, choice.overrides.get(room, choice.backend))
        return module


def _find(room: str, backend: str) -> ModuleType:
    for name in CHAINS[backend]:
        path = f"minidl_kernels.{room}.with_{name}"
        if importlib.util.find_spec(path) is not None:
            return importlib.import_module(path)
    raise LookupError(f"no kernel for operator {room!r}: minidl_kernels/{room}/with_numpy.py is missing")


class use_backend:
    """Choose the kernels: for good when called, or for a block when used with ``with``.

    ``use_backend("numba", softmax="numpy")`` overrides single operators by name. ValueError for an unknown backend.
    """

    def __init__(self, name: str, **overrides: str) -> None:
        for backend in (name, *overrides.values()):
            _check_backend(backend)
        self._token = _current.set(_Choice(name, overrides))

    def __enter__(self) -> use_backend:
        return self

    def __exit__(self, *exc: object) -> None:
        _current.reset(self._token)


def get_backend() -> str:
    """The name of the current backend."""
    return _current.get().backend
