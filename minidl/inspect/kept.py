"""What the tape keeps alive for backward: which memory, how large, and which operators hold it.

Memory is counted once, however many tensors look into it: an array that is saved by three operators, or a reshaped one,
is one storage with several holders.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minidl import dtypes
from minidl.autograd.tape import Operator
from minidl.inspect.trace import seen
from minidl.nn.module import Module
from minidl.tensor import Tensor

# Attributes of operators that belong to who watches, not to the rule.
_WATCHERS = frozenset({"seen", "called_at"})

Edge = tuple[Any, int]  # (operator, output), or (leaf, 0)


@dataclass(eq=False)
class Holder:
    """An operator that holds a storage: as which of its values ("input 0", "output 1", "its own gates"), with the user's
    line and the modules' path where the graph was traced. ``released``: backward lets go of it."""

    operator: Operator
    role: str
    released: bool
    line: str = ""
    scope: str = ""

    @property
    def name(self) -> str:
        return self.operator.name


@dataclass(eq=False)
class Storage:
    """A piece of memory that the tape keeps alive.

    ``kind``: "parameter" (a leaf that requires grad, or what was named as one), "buffer" (of a module), "activation" (computed
    on the tape), "constant" (given to an operator from outside the tape: the batch, targets, masks). ``shape`` and ``dtype``
    are of the largest view that is held.
    """

    nbytes: int
    shape: tuple[int, ...]
    dtype: str
    kind: str
    name: str = ""
    views: int = 0
    holders: list[Holder] = field(default_factory=list)
    made: Edge | None = None


def operators(tensors: Iterable[Tensor]) -> list[Operator]:
    """Every operator behind some tensors, in the order in which they ran."""
    stack = [tensor.grad_fn for tensor in tensors if tensor.grad_fn is not None]
    seen: set = set()
    while stack:
        operator = stack.pop()
        if operator not in seen:
            seen.add(operator)
            stack += [e[0] for e in operator.edges if e is not None and isinstance(e[0], Operator)]
    return sorted(seen, key=lambda operator: operator.seq)


def storages(
    ops: list[Operator], names: Module | Mapping[str, Tensor] | None = None, leaves: str = "parameter"
) -> list[Storage]:
    """What ``ops``, in forward order, keep alive. ``names``: a module, by which its parameters and buffers are told, or names
    of parameters; ``leaves``: the kind of other leaves that require grad."""
    found: dict[int, Storage] = {}
    known = _known(ops, names, leaves)
    for operator in ops:
        for position, edge in enumerate(operator.edges):
            if edge is not None and isinstance(edge[0], Tensor):
                leaf = _note(found, edge[0]._data, leaves, known)
                leaf.name = leaf.name or _users_name(operator, position)
        line, scope = line_of(operator), scope_of(operator)
        for role, array, edge, released in held(operator):
            storage = _note(found, array, "constant" if edge is None else "activation", known)
            if storage.kind == "constant" and not storage.name and role.startswith("input "):
                storage.name = _users_name(operator, int(role[6:]))
            if not any(h.operator is operator and h.role == role for h in storage.holders):
                storage.holders.append(Holder(operator, role, released, line, scope))
            if storage.kind != "activation" or storage.made is not None or edge is None:
                continue
            origin = source(edge)
            if isinstance(origin[0], Operator):  # no leaf that has been given other data since
                storage.made = origin
                storage.name = storage.name or f"the output of {origin[0].name}"
    return list(found.values())


def _known(ops: list[Operator], names: Module | Mapping[str, Tensor] | None, leaves: str) -> dict[int, tuple[str, str]]:
    """Kind and name of the memory that is not the tape's own, by the id of its owner."""
    known = {
        id(owner_of(edge[0]._data)): (leaves, "")
        for operator in ops
        for edge in operator.edges
        if edge is not None and isinstance(edge[0], Tensor)
    }
    if isinstance(names, Module):
        known.update((id(owner_of(b._data)), ("buffer", name)) for name, b in names.named_buffers())
    named = names.named_parameters() if isinstance(names, Module) else (names or {}).items()
    known.update((id(owner_of(p._data)), ("parameter", name)) for name, p in named)
    return known


def _note(found: dict[int, Storage], array: Any, kind: str, known: dict[int, tuple[str, str]]) -> Storage:
    owner = owner_of(array)
    kind, name = known.get(id(owner), (kind, ""))
    storage = found.get(id(owner))
    if storage is None:
        storage = found[id(owner)] = Storage(_nbytes(owner), tuple(array.shape), _dtype(array), kind, name)
    elif kind == "activation":  # rather than a constant, which is what nothing else is known of
        storage.kind = kind
    if array is not owner:
        storage.views += 1
    if array.size > np.prod(storage.shape):
        storage.shape, storage.dtype = tuple(array.shape), _dtype(array)
    return storage


def held(operator: Operator) -> Iterator[tuple[str, Any, Edge | None, bool]]:
    """The arrays that an operator holds: ``(role, array, the edge whose value it is, whether backward releases it)``.

    The edge is None for a constant, ``(operator, -1)`` for what the operator made for itself.
    """
    for saved, origins in [
        (operator._saved or (), operator._origins),
        *([operator._inputs] if operator._inputs else []),
    ]:
        for array, origin in zip(saved, origins):
            if not is_array(array):
                continue
            if origin is None:
                position = _input_of(operator, array)
                yield (
                    ("its own", array, (operator, -1), True)
                    if position is None
                    else (
                        f"input {position}",
                        array,
                        operator.edges[position],
                        True,
                    )
                )
            elif origin[0] >= 0:
                yield f"input {origin[0]}", array, operator.edges[origin[0]], True
            else:
                yield f"output {-1 - origin[0]}", array, (operator, -1 - origin[0]), True
    for name, value in operator.__dict__.items():
        if name not in _WATCHERS:
            for array in arrays_in(value):
                yield f"its own {name}", array, (operator, -1), False


def _input_of(operator: Operator, array: Any) -> int | None:
    """The constant input that was given as a bare array, which the tape has no origin for."""
    if operator._inputs:
        for position, known in enumerate(operator._inputs[0]):
            if known is array:
                return position
    return None


def arrays_in(value: Any) -> Iterator[Any]:
    """The arrays inside an operator's attribute."""
    if is_array(value):
        yield value
    elif isinstance(value, Tensor):
        yield value._data
    elif isinstance(value, dict):
        yield from arrays_in(tuple(value.values()))
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from arrays_in(part)
    elif isinstance(value, Operator):
        yield from arrays_in(value.__dict__)


def is_array(value: Any) -> bool:
    """Whether a value is an array with memory of its own (a number of NumPy's is none)."""
    return hasattr(value, "nbytes") and hasattr(value, "strides") and not isinstance(value, np.generic)


def owner_of(array: Any) -> Any:
    """The outermost array that ``array`` looks into."""
    while is_array(getattr(array, "base", None)):
        array = array.base
    return array


def source(edge: Edge) -> Edge:
    """The edge whose value's memory an edge's value looks into: views are followed back to what they are views of."""
    operator, position = edge
    while isinstance(operator, Operator) and operator.is_view and operator.edges[0] is not None:
        operator, position = operator.edges[0]
    return operator, position


def _nbytes(owner: Any) -> int:
    """Bytes of memory; of an array spread over nothing (stride 0), those that are there."""
    spread = [n for n, stride in zip(owner.shape, owner.strides) if stride or n == 0]
    return int(np.prod(spread, dtype=np.int64)) * owner.itemsize


def _dtype(array: Any) -> str:
    return dtypes.from_numpy_dtype(array.dtype).name


def _users_name(operator: Operator, position: int) -> str:
    """What the user calls an input of a traced operator; "" if that is not known."""
    note = seen(operator)
    return "" if note is None else note.names[position] or ""


def line_of(operator: Operator) -> str:
    """The user's line that called a traced operator: "file.py:12"; "" without a trace."""
    note = seen(operator)
    return "" if note is None or note.line is None else f"{os.path.basename(note.line.file)}:{note.line.number}"


def scope_of(operator: Operator) -> str:
    """The dotted path of the module inside which a traced operator ran; "" without one."""
    note = seen(operator)
    return "" if note is None else ".".join(note.scope)


def total(found: Iterable[Storage], kind: str | None = None) -> int:
    """Bytes of some storages, of one kind or of all."""
    return sum(storage.nbytes for storage in found if kind is None or storage.kind == kind)
