"""Which arrays, and which code runs on them.

Two notions, kept apart. The *device* is where an array lives, and its type says so: a NumPy array is on ``"cpu"``, a
CuPy array on ``"cuda"``. The *kernel set* is which file of a kernel's room runs on it. A *backend* names a pair of
both, so that one word swaps: ``minidl.use_backend("numba")``.

A backend that has no file for an operator falls back along its chain to one that has.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from minidl_kernels.arrays import gpu_is_available
from minidl_kernels.installing import how_to_install

# A backend, and whom it asks when a room has no file of its own for it.
CHAINS: dict[str, tuple[str, ...]] = {
    "numpy": ("numpy",),
    "numba": ("numba", "numpy"),
    "cupy": ("cupy", "numpy"),
    "triton": ("triton", "cupy", "numpy"),
}


class OutOfMemoryError(RuntimeError):
    """A GPU's memory is full."""


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
            raise RuntimeError(f"device must be 'cpu', 'cuda' or 'cuda:N', got {type!r}{_device_meant(name.lower())}")
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
_GPU_WORDS = ("cuda", "gpu", "nvidia", "nvrtc", "cublas", "cudnn")
_OTHER_GPUS = ("mps", "metal", "rocm", "hip", "xpu", "opencl", "vulkan", "tpu", "xla")


def _device_meant(name: str) -> str:
    """What somebody meant who named a device that there is not."""
    if name in CHAINS:
        return f": {name!r} is a backend, minidl.use_backend({name!r})"
    if name in _GPU_WORDS:
        return " (did you mean 'cuda'?)"
    return ": of GPUs minidl knows NVIDIA's alone" if name in _OTHER_GPUS else ""


def _backend_meant(name: str) -> str:
    """What somebody meant who named a backend that there is not."""
    if name.partition(":")[0] in _GPU_WORDS:
        return ". On a GPU it is 'cupy' (CUDA C) or 'triton'; one tensor goes there with device='cuda'"
    if name in ("cpu", "blas", "openblas", "mkl", "c", "cython"):
        return ". On the CPU it is 'numpy', or 'numba' (compiled loops)"
    if name in ("jit", "llvm", "compile", "inductor", "native"):
        return ". Compiled loops are 'numba'"
    if name in _OTHER_GPUS:
        return ". Of GPUs minidl knows NVIDIA's alone: 'cupy' or 'triton'"
    near = difflib.get_close_matches(name, CHAINS, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def namespace(array: Any) -> Any:
    """The array library that ``array`` belongs to: what to call instead of a fixed ``np``."""
    if isinstance(array, (np.ndarray, np.generic)):
        return np
    module = type(array).__module__.partition(".")[0]
    return importlib.import_module(module) if module == "cupy" else np


def device_of(array: Any) -> device:
    return CPU if isinstance(array, np.ndarray) else device("cuda", array.device.id)


def namespace_for(where: device | str | None) -> Any:
    """The array library for a device; for None that of the current backend.

    RuntimeError, with the remedy, where this machine has no such device.
    """
    kind = device_type() if where is None else device(where).type
    if kind == "cpu":
        return np
    if not cuda_is_available():
        raise RuntimeError(
            f"device {str(where)!r} was asked for, but {missing_cuda()}. "
            "Use device='cpu', or guard with minidl.cuda.is_available()."
        )
    cupy = importlib.import_module("cupy")
    index = None if where is None else device(where).index
    if index is not None and index != cupy.cuda.runtime.getDevice():
        raise RuntimeError(
            f"device 'cuda:{index}' was asked for; this machine has {cupy.cuda.runtime.getDeviceCount()} GPUs, and minidl "
            f"computes on the current one, 'cuda:{cupy.cuda.runtime.getDevice()}'. Choose another with "
            f"CUDA_VISIBLE_DEVICES={index} before Python starts, or inside cupy.cuda.Device({index})."
        )
    while _on_cuda:  # the first array on a GPU: from now on devices can be mixed up
        _on_cuda.pop()()
    return cupy


_on_cuda: list[Callable[[], None]] = []  # called once, when the first array is made on a GPU


def missing_cuda(hint: bool = True) -> str:
    """Why there is no CUDA device here."""
    if importlib.util.find_spec("cupy") is None:
        return "CuPy is not installed" + (f" ({how_to_install('minidl[gpu]')})" if hint else "")
    return "CuPy finds no CUDA GPU or no CUDA driver on this machine"


def cuda_is_available() -> bool:
    """Whether tensors can live on ``"cuda"``: CuPy is installed and finds a GPU."""
    return gpu_is_available()


# ---------------------------------------------------------------------------------------------------- kernel selection


class _Choice:
    """A backend, the operators that are overridden by name, and the kernel modules already found for it."""

    __slots__ = ("backend", "found", "overrides")

    def __init__(self, backend: str, overrides: dict[str, str]) -> None:
        self.backend = backend
        self.overrides = overrides
        self.found: dict[str, Any] = {}


_default: _Choice  # for good; MINIDL_BACKEND's to begin with
_current: ContextVar[_Choice | None] = ContextVar("minidl_backend", default=None)  # inside a ``with use_backend``

# Each is called as observer(room, module) for every look-up while somebody watches; it returns what stands in for the module.
_observers: list[Callable[[str, Any], Any]] = []


def kernel(room: str) -> Any:
    """The module that runs operator ``room`` under the current backend: ``minidl_kernels.<room>.with_<backend>``."""
    choice = _current.get() or _default
    try:
        module = choice.found[room]
    except KeyError:
        module = choice.found[room] = _select(room, choice.overrides.get(room, choice.backend))
    for observer in _observers:
        module = observer(room, module)
    return module


def rooms() -> list[str]:
    """The operators that have kernels of their own, by name."""
    return list(_rooms())


@functools.cache
def _rooms() -> tuple[str, ...]:
    places = importlib.import_module("minidl_kernels").__path__
    return tuple(sorted({file.parent.name for place in places for file in Path(place).glob("*/with_numpy.py")}))


def files(room: str) -> list[str]:
    """The backends that have a file of their own in ``room``. ValueError if there is no such room."""
    _check_room(room)
    return [name for name in CHAINS if importlib.util.find_spec(f"minidl_kernels.{room}.with_{name}") is not None]


def implementation(room: str) -> str:
    """What runs operator ``room`` under the current backend: ``"triton"``, or ``"numpy (no triton file)"``."""
    choice = _current.get() or _default
    asked = choice.overrides.get(room, choice.backend)
    found = _resolve(_check_room(room), asked)
    if found == asked:
        return found
    reasons = [
        f"no {n} file" if n not in files(room) else missing(n) for n in CHAINS[asked][: CHAINS[asked].index(found)]
    ]
    return f"{found} ({', '.join(dict.fromkeys(reasons))})"


def _resolve(room: str, backend: str) -> str:
    """The first backend of the chain that has a file for the room and that this machine can run."""
    has = files(room)
    return next(n for n in CHAINS[backend] if n in has and (n in (backend, "numpy") or not missing(n)))


def _find(room: str, backend: str) -> ModuleType:
    return importlib.import_module(f"minidl_kernels.{room}.with_{_resolve(room, backend)}")


def _select(room: str, backend: str) -> Any:
    """The module; on a machine with a GPU one that looks where the arrays are."""
    announce(backend)
    module = _find(room, backend)
    if backend != "numpy" and cuda_is_available():
        return _ByDevice(room, backend, module)
    return module


class _ByDevice:
    """A room's kernels for arrays of either device: the backend's for its own, and the reference, which takes both,
    for the other's."""

    def __init__(self, room: str, backend: str, module: ModuleType) -> None:
        self._device = device_type(backend)
        self._mine, self._reference = module, _find(room, "numpy")
        self.__name__ = module.__name__

    def __getattr__(self, name: str) -> Any:
        mine = getattr(self._mine, name)
        reference = getattr(self._reference, name, mine)
        if not callable(mine):
            return mine

        def run(*args: Any, **kwargs: Any) -> Any:
            first = next((a for a in _arrays(args)), None)
            same = first is None or device_of(first).type == self._device
            return (mine if same else reference)(*args, **kwargs)

        setattr(self, name, run)
        return run


def _arrays(values: Any) -> Iterator[Any]:
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from _arrays(value)
        elif hasattr(value, "strides"):
            yield value


class use_backend:
    """Choose the kernels: for good when called, or for a block when used with ``with``.

    ``use_backend("numba", softmax="numpy")`` overrides single operators by name; ``minidl.backends.rooms()`` lists
    them. On a machine with a GPU "cupy" and "triton" also make new tensors there; without one they are emulated, which is
    said once.

    Raises:
        ValueError: an unknown backend or operator.
        ModuleNotFoundError, RuntimeError: this machine lacks what the backend needs; says how to get it.
    """

    def __init__(self, name: str, **overrides: str) -> None:
        global _default
        for backend in (name, *overrides.values()):
            _check_backend(backend)
        for room in overrides:
            _check_room(room)
        for backend in dict.fromkeys((name, *overrides.values())):
            require(backend)
            announce(backend)
        self._choice = _Choice(name, overrides)
        self._before = _default
        self._token = None
        if _current.get() is None:
            _default = self._choice
        else:  # inside a block: until it ends
            self._token = _current.set(self._choice)

    def __enter__(self) -> use_backend:
        global _default
        if _default is self._choice:
            _default = self._before
        if self._token is None:
            self._token = _current.set(self._choice)
        return self

    def __exit__(self, *exc: object) -> None:
        assert self._token is not None
        _current.reset(self._token)


def get_backend() -> str:
    """The name of the current backend."""
    return (_current.get() or _default).backend


def device_type(backend: str | None = None) -> str:
    """Where a backend's arrays are, here: ``"cuda"`` for "cupy" and "triton" where there is a GPU, else ``"cpu"``."""
    name = get_backend() if backend is None else backend
    return "cuda" if name in ("cupy", "triton") and cuda_is_available() else "cpu"


def _check_backend(name: str) -> str:
    if name not in CHAINS:
        meant = _backend_meant(str(name).lower())
        raise ValueError(f"unknown backend {name!r}; choose one of {', '.join(CHAINS)}{meant}")
    return name


def _check_room(room: str) -> str:
    if room not in _rooms():
        close = difflib.get_close_matches(room, _rooms(), n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise ValueError(f"no operator {room!r} has kernels of its own{hint}; there are {', '.join(_rooms())}")
    return room


# -------------------------------------------------------------------------------------------- what this machine can run


@dataclass(frozen=True)
class Status:
    """One backend on this machine: ``state`` is "available", "emulated" (``how`` says by what) or "missing"; ``remedy`` is a
    command."""

    name: str
    state: str
    version: str
    device: str
    missing: str = ""
    remedy: str = ""
    how: str = ""


_PACKAGES: dict[str, tuple[str, ...]] = {"numpy": ("numpy",), "numba": ("numba",), "triton": ("triton",)}
_PACKAGES["cupy"] = ("cupy", "cupy-cuda12x", "cupy-cuda13x", "cupy-cuda11x")
_EMULATIONS = {
    "triton": "Triton's interpreter runs its kernels, about half a millisecond a program",
    "cupy": "its CUDA C runs on the CPU, thread by thread, about 50 nanoseconds a thread and barrier",
}
_announced: set[str] = set()


def version_of(package: str) -> str | None:
    """The version of an installed package (a backend's name or a distribution's); None if it is not installed."""
    from importlib import metadata  # slow to import, seldom wanted

    for name in _PACKAGES.get(package, (package,)):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


def missing(backend: str) -> str:
    """What this machine lacks to run ``backend``, emulated if need be; empty if nothing."""
    return _lack(_check_backend(backend))[0]


def _lack(backend: str) -> tuple[str, str]:
    """What is missing, and the command that mends it."""
    if backend in ("numba", "triton") and importlib.util.find_spec(backend) is None:
        extra = "jit" if backend == "numba" else "gpu"
        what = "Numba is not installed" if backend == "numba" else "Triton is not installed (it exists for Linux)"
        return what, how_to_install(f"minidl[{extra}]")
    if backend == "cupy" and not cuda_is_available():
        if not sys.platform.startswith("linux") or os.uname().machine != "x86_64":
            what = f"{missing_cuda()}, and its CUDA C can be emulated on Linux with an x86-64 processor only"
            return what, how_to_install("minidl[gpu]")
        if shutil.which("g++") is None and shutil.which("c++") is None:
            return f"{missing_cuda()}, and without a GPU the C++ compiler g++ is needed", "apt install g++"
    return "", ""


def emulated(backend: str) -> bool:
    """Whether ``backend`` is made for a GPU and there is none here."""
    return backend in _EMULATIONS and not cuda_is_available()


def require(backend: str) -> None:
    """Nothing if this machine can run ``backend``, emulated if need be.

    Raises:
        ModuleNotFoundError: its package is not installed.
        RuntimeError: something else is missing.
    """
    lack, remedy = _lack(_check_backend(backend))
    if lack:
        error = ModuleNotFoundError if " pip install " in remedy else RuntimeError
        raise error(f"the {backend} backend cannot run here: {lack}. Mend it with: {remedy}")


def announce(backend: str) -> None:
    """Say, once, on the standard error stream, that ``backend`` is emulated, if it is."""
    if emulated(backend) and backend not in _announced:
        _announced.add(backend)
        print(
            f"minidl: {missing_cuda()}, so the {backend} backend is emulated: {_EMULATIONS[backend]}. The answers are "
            "right, but it is thousands of times slower than a GPU and far slower than 'numpy': keep tensors small.",
            file=sys.stderr,
        )


def table() -> list[Status]:
    """Every backend: whether this machine can run it, which version, where, and what is missing."""
    found = []
    for name in CHAINS:
        lack, remedy = _lack(name)
        version = version_of(name) or "-"
        if lack:
            found.append(Status(name, "missing", version, "-", lack, remedy))
        elif emulated(name):
            lack = f"to run on a GPU: {missing_cuda(hint=False)}"
            found.append(
                Status(name, "emulated", version, "cpu", lack, how_to_install("minidl[gpu]"), _EMULATIONS[name])
            )
        else:
            found.append(Status(name, "available", version, _device_name(device_type(name))))
    return found


def _device_name(kind: str) -> str:
    if kind == "cpu":
        return "cpu"
    runtime = importlib.import_module("cupy").cuda.runtime
    return f"cuda ({runtime.getDeviceProperties(runtime.getDevice())['name'].decode()})"


def _begin() -> _Choice:
    """What to start with: the backend that MINIDL_BACKEND names. An emulated one says so when it is first needed."""
    name = os.environ.get("MINIDL_BACKEND", "").strip() or "numpy"
    try:
        require(name)
    except (ValueError, ImportError, RuntimeError) as error:
        error.add_note("The environment variable MINIDL_BACKEND asks for it.")
        raise
    return _Choice(name, {})


_default = _begin()
