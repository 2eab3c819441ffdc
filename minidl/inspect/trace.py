"""What the forward pass did, noted as it runs: values, the user's line, the module, time, bytes, and which kernel ran.

    with minidl.inspect.trace():
        loss = model(x).square().mean()
    minidl.inspect.backward(loss)           # knows every value, line and module

Each operator on the tape gets a note, ``operator.__dict__["seen"]``. Values are copied, so that later changes in place
do not falsify them; beyond ``keep`` bytes only their shapes are noted.
"""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from minidl import backends, dtypes
from minidl.autograd import on_record, watch
from minidl.callers import Line, line_of, users_frame, users_frames
from minidl.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from minidl.tensor import Tensor

KEEP = 256_000_000


@dataclass(eq=False)
class Note:
    """A value as an operator saw it: ``array`` is a copy in NumPy's memory, None where too much was kept already. One
    note serves all who saw the same tensor at the same version."""

    shape: tuple[int, ...]
    dtype: str
    device: str
    array: np.ndarray | None = None


@dataclass(eq=False)
class Seen:
    """What a trace noted of one operator. ``inputs`` has a Note for each tensor, numbers and None as they were given;
    ``names`` what the user calls the inputs, where that could be found; ``scope`` the modules, outermost first."""

    seq: int
    inputs: tuple[Any, ...]
    outputs: tuple[Note, ...]
    names: tuple[str | None, ...]
    line: Line | None
    scope: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    seconds: float | None = None
    nbytes: int = 0
    implementation: str = ""


def seen(operator: Any) -> Seen | None:
    """The note on an operator; None if it was recorded outside a trace."""
    note = operator.__dict__.get("seen")
    return note if note is not None and note.seq == operator.seq else None


class Keeper:
    """Copies arrays into NumPy's memory, up to ``limit`` bytes of copies that are still alive: ``used``."""

    def __init__(self, limit: float) -> None:
        self.limit, self.used, self.full = limit, 0, False

    def copy(self, array: Any) -> np.ndarray | None:
        """A copy of ``array``; None, and ``full`` from then on, where it would pass the limit."""
        if self.used + array.nbytes > self.limit:
            self.full = True
            return None
        copy = np.array(array) if isinstance(array, (np.ndarray, np.generic)) else array.get()
        self.used += copy.nbytes
        weakref.finalize(copy, self._let_go, copy.nbytes).atexit = False
        return copy

    def _let_go(self, nbytes: int) -> None:
        self.used -= nbytes


class trace:
    """Note what operators do inside a ``with`` block.

    Args:
        keep: how many bytes of values are kept at a time: those of graphs that are still there. TypeError for what is no
            number.
    """

    def __init__(self, keep: int = KEEP) -> None:
        if not isinstance(keep, (int, float)):
            raise TypeError(f"trace: keep must be a number of bytes, got {type(keep).__name__}")
        self.keeper = Keeper(keep)
        self.modules = _Modules()
        self._notes: dict[int, tuple[weakref.ref, int, Note]] = {}  # of arrays that are alive, by id
        self._names: dict[int, tuple[weakref.ref, str | None]] = {}
        self._ran = threading.local()  # the operator whose rule ran last, its seconds and implementation
        self._implementations: dict[str, str] = {}
        self._handles: list[Any] = []

    def __enter__(self) -> trace:
        if self._handles:
            raise RuntimeError(
                "this trace is open already; a block inside it takes a trace of its own: inspect.trace()"
            )
        self._handles = [watch(self._rule), on_record(self._record), *self.modules.follow()]
        backends._observers.append(self._room)
        return self

    def __exit__(self, *exc: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []
        backends._observers.remove(self._room)
        self._notes.clear()
        self._names.clear()

    # ------------------------------------------------------------------------------------------------------ the hooks

    def _rule(self, operator: Any, phase: str, rule: Any, arrays: tuple) -> Any:
        if phase != "forward":
            return rule(*arrays)
        ran = self._ran
        ran.implementation = ""
        began = time.perf_counter()
        result = rule(*arrays)
        ran.seconds, ran.operator = time.perf_counter() - began, operator
        return result

    def _room(self, room: str, module: Any) -> Any:
        if room not in self._implementations:
            self._implementations[room] = backends.implementation(room)
        self._ran.implementation = self._implementations[room]
        return module

    def _record(self, operator: Any, inputs: Any, outputs: tuple[Tensor, ...]) -> None:
        ran = self._ran
        timed = getattr(ran, "operator", None) is operator
        ran.operator = None
        notes = tuple([self._note(x) for x in inputs])
        made = tuple([self._note(y) for y in outputs])
        frame = users_frame()
        scope, classes = self.modules.scope()
        operator.__dict__["seen"] = Seen(
            operator.seq, notes, made, tuple([self._name(x) for x in inputs]),
            None if frame is None else line_of(frame), scope, classes,
            seconds=ran.seconds if timed else None,
            nbytes=sum(x._data.nbytes for x in (*inputs, *outputs) if isinstance(x, Tensor) and x._data is not None),
            implementation=(ran.implementation if timed else "") or "array code",
        )  # fmt: skip

    def _note(self, value: Any) -> Any:
        """The note on a tensor; a number as it is, None for anything else."""
        if isinstance(value, Tensor):
            array, version = value._data, value._counter[0]
            if array is None:
                return None
        elif hasattr(value, "strides"):
            array, version = value, -1
        else:
            return value if isinstance(value, (int, float)) else None
        known = self._notes.get(id(array))
        if known is not None and known[0]() is array and known[1] == version:
            return known[2]
        device = str(backends.device_of(np.asarray(array) if isinstance(array, np.generic) else array))
        note = Note(tuple(array.shape), dtypes.from_numpy_dtype(array.dtype).name, device, self.keeper.copy(array))
        with contextlib.suppress(TypeError):  # a NumPy scalar, which nothing can refer to weakly
            self._notes[id(array)] = weakref.ref(array, partial(self._forget, id(array))), version, note
        return note

    def _forget(self, key: int, gone: weakref.ref) -> None:
        """Let go of the note on an array that is no more, unless another has taken its place."""
        known = self._notes.get(key)
        if known is not None and known[0] is gone:
            del self._notes[key]

    def _name(self, value: Any) -> str | None:
        """What the user calls a leaf or a constant."""
        if not isinstance(value, Tensor) or value._edge is not None:
            return None
        name = self.modules.names.get(id(value))
        if name is not None:
            return name
        known = self._names.get(id(value))
        if known is None or known[0]() is not value:
            known = self._names[id(value)] = weakref.ref(value), _variable(value)
        return known[1]


class _Modules:
    """Which modules are being called, and what they and their parameters are called."""

    def __init__(self) -> None:
        self.names: dict[int, str] = {}  # of parameters and buffers, by id; they live as long as their modules, below
        self._local = threading.local()
        self._paths: dict[tuple[int, int], str] = {}
        self._alive: list[Any] = []

    def follow(self) -> list[Any]:
        return [
            register_module_forward_pre_hook(self._enter),
            register_module_forward_hook(self._leave, always_call=True),
        ]

    def scope(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The names and the classes of the modules that are being called, outermost first."""
        stack = getattr(self._local, "stack", ())
        return tuple([name for name, _ in stack]), tuple([type(module).__name__ for _, module in stack])

    def _enter(self, module: Any, args: Any) -> None:
        if not hasattr(self._local, "stack"):
            self._local.stack = []
        stack = self._local.stack
        parent = stack[-1][1] if stack else None
        key = (id(parent), id(module))
        if key not in self._paths:
            self._alive.append(module)
            self._paths[key] = self._path(parent, module)
            if parent is None:
                self._name_parameters(module, self._paths[key])
        stack.append((self._paths[key], module))

    def _leave(self, module: Any, args: Any, output: Any) -> None:
        self._local.stack.pop()

    @staticmethod
    def _path(parent: Any, module: Any) -> str:
        if parent is None:
            return _variable(module) or type(module).__name__
        return next((path for path, m in parent.named_modules() if m is module and path), type(module).__name__)

    def _name_parameters(self, module: Any, prefix: str) -> None:
        taken = set(self.names.values())
        for name, value in (*module.named_parameters(), *module.named_buffers()):
            self.names.setdefault(id(value), f"{prefix}.{name}" if name in taken else name)


def _variable(value: Any) -> str | None:
    """The name of a variable of the user's that holds ``value``."""
    for frame in users_frames():
        for name, held in frame.f_locals.items():
            if held is value and not name.startswith("_") and name != "self":
                return name
    return None
