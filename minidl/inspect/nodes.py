"""The graph behind a loss as plain lists: values, and the operators between them. Pictures and recordings read it.

nodes = minidl.inspect.read(loss)
for op in nodes.ops:                              # in the order in which they ran
    print(op.label, [nodes.values[i].name for i in op.inputs if i is not None])
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minidl import backends, dtypes
from minidl.autograd.tape import Operator
from minidl.callers import Line, users_frames
from minidl.inspect import arguments
from minidl.inspect.labels import formula_of, label_of
from minidl.inspect.settings import settings_of
from minidl.inspect.trace import Note, Seen, seen
from minidl.nn.module import Module
from minidl.tensor import Tensor

NAMES = 8  # as many as an error tells
NOT_TRACED = "not traced: compute the loss inside inspect.trace()"


@dataclass(eq=False)
class Value:
    """A tensor of the graph. ``kind``: "leaf" (requires grad, computed by nothing), "constant" (takes no part in a
    gradient; known in a trace only), "result". ``array``: its values, None where they are not known. ``tensor``: the
    leaf itself."""

    id: int
    name: str
    kind: str
    shape: tuple[int, ...]
    dtype: str
    device: str
    requires_grad: bool
    array: np.ndarray | None = field(default=None, repr=False)
    tensor: Tensor | None = field(default=None, repr=False)


@dataclass(eq=False)
class Op:
    """An operator of the graph. ``inputs`` and ``outputs`` are ids of values; an input is None where nothing is known of
    it (a constant outside a trace) or nothing was given."""

    id: int
    operator: Operator = field(repr=False)
    name: str
    label: str
    formula: str
    settings: dict[str, Any]
    inputs: list[int | None]
    outputs: list[int]
    scope: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    line: Line | None = None
    seconds: float | None = None
    nbytes: int | None = None
    implementation: str = ""

    @property
    def traced(self) -> bool:
        return seen(self.operator) is not None


@dataclass(eq=False, repr=False)
class Nodes:
    """The graph: ``values`` and ``ops`` by id, ops in forward order; ``roots`` are the ids of what was differentiated."""

    values: list[Value]
    ops: list[Op]
    roots: list[int]
    edges: dict[Any, int] = field(default_factory=dict)  # (operator or leaf, output) → id of the value

    def __repr__(self) -> str:
        return f"<Nodes: {len(self.ops):,} operators, {len(self.values):,} values>"

    @property
    def untraced(self) -> list[str]:
        """What is not known as it was computed outside a trace, and the two lines to write; empty if nothing was."""
        missing = sum(not op.traced for op in self.ops)
        if not missing:
            return []
        which = "" if missing == len(self.ops) else f" of {missing:,} of the {len(self.ops):,} operators"
        name = self.values[self.roots[0]].name
        name = name if name.isidentifier() else "loss"
        return [
            f"Values, lines and modules{which} are not known: a trace notes them. Write:",
            "with minidl.inspect.trace():",
            f"    {name} = …",
        ]

    def find(self, what: Any) -> Value:
        """The value of a Tensor, or with a name. KeyError, with what there is, if there is none; TypeError for what is
        neither."""
        if not isinstance(what, (Tensor, str)):
            raise TypeError(f"a value is found by its Tensor or its name, not by {type(what).__name__}")
        if isinstance(what, Tensor):
            found = self.edges.get(what.edge() or (what, 0))
            if found is not None:
                return self.values[found]
            raise KeyError(f"this tensor (shape {list(what.shape)}) takes no part in the graph")
        for value in self.values:
            if value.name == what:
                return value
        raise KeyError(f"no value of the graph is called {what!r}{self._instead(what)}")

    def _instead(self, name: str) -> str:
        """Names that there are, those like ``name`` first."""
        leaves = [value.name for value in self.values if value.kind == "leaf"]
        like = [leaf for leaf in leaves if leaf.endswith(f".{name}")]
        like = like or difflib.get_close_matches(name, [value.name for value in self.values], n=3)
        if like:
            return f"; did you mean {' or '.join(like[:3])}?"
        more = f", … ({len(leaves)} in all)" if len(leaves) > NAMES else ""
        return f"; its leaves are {', '.join(leaves[:NAMES]) or 'none'}{more}"


def read(tensors: Tensor | Sequence[Tensor], names: Module | Mapping[str, Tensor] | None = None) -> Nodes:
    """The graph behind one or several tensors.

    ``names``: what values are called, as a dict or as a module with named parameters. Without, names are looked for in
    the trace and in the variables of the calling program.

    Raises:
        TypeError: something else than tensors.
        RuntimeError: a tensor that nothing requiring a gradient went into.
    """
    given = arguments.graphs(tensors, "read")
    nodes = read_edges([t.edge() or (t, 0) for t in given], names)
    note_roots(nodes, given)
    return nodes


def note_roots(nodes: Nodes, tensors: Sequence[Tensor]) -> None:
    """The values of what was differentiated, which are known without a trace too."""
    for tensor, root in zip(tensors, nodes.roots):
        value = nodes.values[root]
        if value.array is None:
            value.array, value.device = _host(tensor._data), str(backends.device_of(tensor._data))


def read_edges(edges: list, names: Module | Mapping[str, Tensor] | None = None) -> Nodes:
    """The graph behind edges of the tape, as a backward pass is given them."""
    reader = _Reader(_known_names(names))
    for operator in _operators(edges):
        reader.read(operator)
    roots = [reader.value_of(edge) for edge in edges]
    return Nodes(reader.values, reader.ops, roots, reader.ids)


def _operators(edges: list) -> list[Operator]:
    """Every operator behind some edges, oldest first."""
    found: set[Operator] = set()
    stack = [edge[0] for edge in edges]
    while stack:
        operator = stack.pop()
        if isinstance(operator, Operator) and operator not in found:
            found.add(operator)
            stack += [edge[0] for edge in operator.edges if edge is not None]
    return sorted(found, key=lambda operator: operator.seq)


class _Reader:
    """Builds the lists, operator by operator."""

    def __init__(self, names: dict[Any, str]) -> None:
        self.values: list[Value] = []
        self.ops: list[Op] = []
        self.ids: dict[Any, int] = {}
        self._constants: dict[Any, int] = {}
        self._names = names
        self._counts: dict[str, int] = {}

    def read(self, operator: Operator) -> None:
        note = seen(operator)
        label = label_of(operator)
        inputs = [self._input(operator, i, note) for i in range(len(operator.edges))]
        number = self._count(label)
        outputs = [self._output(operator, i, f"{label} {number}", note) for i in range(len(operator.outputs))]
        op = Op(
            len(self.ops), operator, operator.name, label, formula_of(operator), settings_of(operator), inputs, outputs
        )
        if note is not None:
            op.scope, op.classes, op.line = note.scope, note.classes, note.line
            op.seconds, op.nbytes, op.implementation = note.seconds, note.nbytes, note.implementation
        self.ops.append(op)

    def value_of(self, edge: Any, name: str | None = None, note: Any = None) -> int:
        """The id of the value at an edge: a leaf is added when it is first met."""
        if edge not in self.ids:
            leaf = edge[0]
            array = note.array if isinstance(note, Note) and note.array is not None else _host(leaf._data)
            name = self._names.get(edge) or name or f"leaf {self._count('leaf')}"
            self.ids[edge] = self._add(name, "leaf", leaf._data, True, array, leaf)
        return self.ids[edge]

    def _input(self, operator: Operator, position: int, note: Seen | None) -> int | None:
        edge = operator.edges[position]
        given = None if note is None else note.inputs[position]
        name = None if note is None else note.names[position]
        if edge is not None:
            return self.value_of(edge, name, given)
        if given is None:
            return None
        key = given if isinstance(given, Note) else (type(given), repr(given))
        if key not in self._constants:
            if isinstance(given, Note):
                name = name or f"constant {self._count('constant')}"
                self._constants[key] = self._add(name, "constant", given, False, given.array)
            else:
                array = np.asarray(given)
                self._constants[key] = self._add(f"{given:.6g}", "constant", array, False, array)
        return self._constants[key]

    def _output(self, operator: Operator, position: int, name: str, note: Seen | None) -> int:
        shape, dtype = operator.outputs[position]
        if len(operator.outputs) > 1:
            name = f"{name}[{position}]"
        made = None if note is None or position >= len(note.outputs) else note.outputs[position]
        name = self._names.get((operator, position), name)
        value = Value(len(self.values), name, "result", tuple(shape), _dtype(dtype), "", dtype.kind not in "iub")
        if made is not None:
            value.array, value.device = made.array, made.device
        self.values.append(value)
        self.ids[operator, position] = value.id
        return value.id

    def _add(self, name: str, kind: str, like: Any, requires_grad: bool, array: Any, tensor: Any = None) -> int:
        """Add a value that looks as ``like``, an array or a note of one, does."""
        noted = isinstance(like, Note)
        dtype = like.dtype if noted else _dtype(like.dtype)
        device = like.device if noted else str(backends.device_of(like))
        value = Value(len(self.values), name, kind, tuple(like.shape), dtype, device, requires_grad, array, tensor)
        self.values.append(value)
        return value.id

    def _count(self, what: str) -> int:
        self._counts[what] = self._counts.get(what, 0) + 1
        return self._counts[what]


def _dtype(numpy_dtype: Any) -> str:
    return dtypes.from_numpy_dtype(numpy_dtype).name


def _host(array: Any) -> np.ndarray:
    return array if isinstance(array, np.ndarray) else array.get()


# ------------------------------------------------------------------------------------------------------------- names


# Characters that no file of XML or UTF-8 may hold.
_UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def _known_names(given: Module | Mapping[str, Tensor] | None) -> dict[Any, str]:
    """Names of values by their edges: those that were given, else those of the program's variables."""
    given = arguments.names(given, "a graph")
    found: dict[Any, str] = {}
    if isinstance(given, Mapping):
        for name, tensor in given.items():
            _name(found, name, tensor)
    elif given is not None:
        _name_parameters(found, "", given)
    for frame in users_frames():
        for name, held in list(frame.f_locals.items()):
            if isinstance(held, Tensor) and not name.startswith("_"):
                _name(found, name, held)
        for name, held in list(frame.f_locals.items()):
            if isinstance(held, Module) and not name.startswith("_"):
                _name_parameters(found, name, held)
    return found


def _name(found: dict[Any, str], name: str, tensor: Tensor) -> None:
    if tensor._requires_grad:
        found.setdefault(tensor._edge or (tensor, 0), _UNSEEN.sub("\N{REPLACEMENT CHARACTER}", name))


def _name_parameters(found: dict[Any, str], prefix: str, module: Module) -> None:
    taken = set(found.values())
    for name, parameter in module.named_parameters():
        _name(found, f"{prefix}.{name}" if name in taken and prefix else name, parameter)
