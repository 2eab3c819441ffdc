"""The tape: what an operator is, how one is recorded, and how backward walks back over the record.

An :class:`Operator` instance is one application of an operator, and at once its node on the tape. ``forward`` computes
on arrays. ``backward`` is the gradient rule: the engine calls it with arrays, for speed, and with Tensors when the
gradient itself shall be differentiated (``create_graph=True``); written in Python's operators and in minidl's own
functions, which take both, one rule serves all orders.

    class Exp(Operator):
        \"\"\"y = eˣ;  ∂y/∂x = y.\"\"\"

        def forward(self, x):
            return self.save(namespace(x).exp(x))

        def backward(self, g):
            return g * self.saved

    def exp(input):
        return apply(Exp(), input)
"""

from __future__ import annotations

import sys
from functools import partial
from heapq import heappop, heappush
from itertools import count
from typing import Any

import numpy as np

from minidl.autograd.grad_mode import mode, set_grad_enabled
from minidl.backends import namespace
from minidl.tensor import Tensor, View, wrap

_clock = count()

# What is called, if anything, when an operator is recorded: tracer(operator, inputs, outputs).
_tracers: list[Any] = []

# What goes around every rule, if anything: called as around(operator, "forward" or "backward", rule, arrays), it returns
# rule(*arrays). Profilers and guards hang here.
_around: list[Any] = []


class Kept:
    """An attribute that ``forward`` leaves for the rule beside what it saves, and backward frees with it: ``which = Kept()``.

    It stands in the class alone; an operator's own value hides it, so it is met only where there is none any more.
    """

    def __set_name__(self, owner: Any, name: str) -> None:
        owner._kept = (*owner._kept, name)

    def __get__(self, operator: Any, owner: Any) -> Any:
        if operator is None:
            return self
        raise operator.freed("values kept")


class Operator:
    """One application of an operator: a node of the tape.

    A subclass gives ``forward(*arrays)`` and ``backward(g)`` (``backward(*gs)`` with several outputs), which returns
    one gradient for each input, or a bare one if there is a single input; None where there is nothing to pass on.
    Settings (``dim``, ``stride``, …) go to ``__init__`` and stay as attributes.

    Class attributes
    ----------------
    broadcasts   inputs were broadcast against each other: the engine sums each gradient to its input's shape
    is_view      the output shares the input's memory
    materialize  outputs without a gradient get zeros in ``backward`` (otherwise None)
    composite    for fused operators, whose rule knows arrays only: a method that writes the same function of the inputs
                 in other operators; it is differentiated instead when ``create_graph=True``

    While ``forward`` runs, ``needs[i]`` says whether input i takes part in a gradient (empty when nothing is recorded).
    """

    __slots__ = (
        "__dict__",
        "__weakref__",
        "_create_graph",
        "_inputs",
        "_origins",
        "_saved",
        "edges",
        "hooks",
        "needs",
        "outputs",
        "seq",
        "trace",
    )

    # Declared here because slots say no types.
    _saved: Any
    _inputs: Any
    _origins: Any
    edges: Any
    outputs: Any
    hooks: Any
    needs: Any

    broadcasts = False
    is_view = False
    materialize = True
    composite: Any = None
    _kept: tuple[str, ...] = ()  # names of attributes that are Kept

    def forward(self, *arrays: Any) -> Any:
        raise NotImplementedError(f"{self.name} has no forward")

    def backward(self, *gradients: Any) -> Any:
        raise RuntimeError(f"derivative for {self.name} is not implemented")

    @property
    def name(self) -> str:
        return type(self).__name__

    @property
    def next_functions(self) -> tuple:
        """``(operator, output)`` each input came from: ``(tensor, 0)`` for a leaf, ``(None, 0)`` for a constant."""
        return tuple((None, 0) if e is None else e for e in self.edges)

    def __repr__(self) -> str:
        return f"<{self.name}>"

    def again(self) -> Operator:
        """The same operator with the same settings, not yet applied."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        return twin

    # ------------------------------------------------------------------------------------- what forward leaves behind

    def save(self, *arrays: Any) -> Any:
        """Keep arrays for ``backward``; returns the first, so that ``return self.save(y)`` saves an output."""
        if self.needs:
            self._saved = arrays
        return arrays[0]

    @property
    def saved(self) -> Any:
        """What was saved (the bare value if it was one): arrays, or Tensors on the tape under ``create_graph``.

        RuntimeError if it was freed by an earlier backward, or changed in place since it was saved.
        """
        if self._saved is None:
            raise self.freed("values saved")
        values = self._unpack(self._saved, self._origins)
        return values[0] if len(values) == 1 else values

    def saved_inputs(self) -> list:
        """The inputs of a fused operator, as Tensors on the tape (constants as they were given)."""
        if self._inputs is None:
            raise self.freed("inputs kept")
        return list(self._unpack(*self._inputs))

    def freed(self, what: str) -> RuntimeError:
        """The error of whoever asks for what backward has freed."""
        return RuntimeError(
            f"Trying to backward through the graph a second time: the {what} by {self.name} were freed by the first "
            "backward. Pass retain_graph=True to the first one, or compute the loss again."
        )

    def _unpack(self, arrays: Any, origins: Any) -> Any:
        for origin in origins:
            if origin is not None and origin[1][0] != origin[2]:
                position, counter, version = origin
                which = f"input {position}" if position >= 0 else f"output {-1 - position}"
                raise RuntimeError(
                    "one of the variables needed for gradient computation has been modified by an inplace operation: "
                    f"{which} of {self.name}, needed at version {version}, is now at version {counter[0]}. "
                    "Change a copy instead: x.clone() before an in-place method, or x = x + y for x += y."
                )
        if not self._create_graph:
            return arrays
        return tuple([self._on_tape(a, o) for a, o in zip(arrays, origins)])

    def _on_tape(self, array: Any, origin: Any) -> Any:
        if origin is None:
            return wrap(array) if hasattr(array, "dtype") else array
        edge = self.edges[origin[0]] if origin[0] >= 0 else (self, -1 - origin[0])
        return on_edge(array, edge)

    def release(self) -> None:
        """Forget what was saved: backward has passed."""
        if self._saved != ():
            self._saved = None
        self._inputs = None
        for name in self._kept:
            self.__dict__.pop(name, None)


def on_edge(array: Any, edge: Any) -> Tensor:
    """``array`` as a Tensor whose gradient goes to ``edge``; a constant if that is None."""
    tensor = wrap(array)
    if edge is not None:
        tensor._edge, tensor._requires_grad = edge, True
    return tensor


# ----------------------------------------------------------------------------------------------------------- recording


def apply(operator: Operator, *inputs: Any) -> Any:
    """Run ``operator`` on ``inputs`` (Tensors, arrays, numbers or None), and record it if a gradient may be wanted.

    Given no Tensor at all, it computes on the arrays and returns arrays: so gradient rules run at full speed.
    """
    arrays = []
    needs = []
    any_tensor = False
    for x in inputs:
        if isinstance(x, Tensor):
            any_tensor = True
            if x._view is not None:
                x.edge()
            arrays.append(x._data)
            needs.append(x._requires_grad)
        else:
            arrays.append(x)
            needs.append(False)
    operator.needs = ()
    if not any_tensor:
        return operator.forward(*arrays)
    recording = mode.enabled and True in needs
    if recording:
        operator.needs = needs
        operator._saved = ()
    forward = partial(_surrounded, operator, "forward", operator.forward) if _around else operator.forward
    if operator.is_view:
        result = forward(*arrays)
    else:
        with np.errstate(all="ignore"):  # inf and nan are results, as in PyTorch, not warnings
            result = forward(*arrays)
    if type(result) is not tuple:
        out = wrap(result)
        if recording:
            record(operator, inputs, arrays, (out,), (result,))
        if operator.is_view:
            _look_into(inputs[0], out, operator)
        return out
    outputs = tuple([wrap(array) for array in result])
    if recording:
        record(operator, inputs, arrays, outputs, result)
    if operator.is_view:
        for out in outputs:
            _look_into(inputs[0], out, None)
    return outputs


def _surrounded(operator: Operator, phase: str, rule: Any, *arrays: Any) -> Any:
    for around in _around:
        rule = partial(_call, around, operator, phase, rule)
    return rule(*arrays)


def _call(around: Any, operator: Operator, phase: str, rule: Any, *arrays: Any) -> Any:
    return around(operator, phase, rule, arrays)


def record(operator: Operator, inputs: Any, arrays: list, outputs: tuple[Tensor, ...], results: tuple = ()) -> None:
    """Put ``operator`` on the tape: edges to where its inputs came from, and from its outputs to it.

    ``results`` are the outputs as ``forward`` returned them: NumPy scalars, where they have no dimensions.
    """
    operator.seq = next(_clock)
    operator.hooks = operator.trace = None
    operator._create_graph = False
    operator.edges = [(x._edge or (x, 0)) if need else None for x, need in zip(inputs, operator.needs)]
    operator.outputs = [(y._data.shape, y._data.dtype) for y in outputs]
    results = results or tuple([y._data for y in outputs])
    operator._origins = [_origin(a, inputs, arrays, outputs, results) for a in operator._saved]
    operator._inputs = None
    if operator.composite is not None:
        operator._inputs = (arrays, [_origin(a, inputs, arrays, (), ()) for a in arrays])
    for position, y in enumerate(outputs):
        if y._data.dtype.kind not in "iub":
            y._requires_grad = True
            y._edge = (operator, position)
    for tracer in _tracers:
        tracer(operator, inputs, outputs)


def _origin(array: Any, inputs: Any, arrays: list, outputs: tuple[Tensor, ...], results: tuple) -> tuple | None:
    """Where a saved array came from: (position of the input, or -1 - position of the output; its change counter; the
    counter's present value), or None for one that only the operator knows."""
    for position, known in enumerate(arrays):
        if known is array:
            counter = getattr(inputs[position], "_counter", None)
            return None if counter is None else (position, counter, counter[0])
    for position, result in enumerate(results):
        if result is array:
            counter = outputs[position]._counter
            return -1 - position, counter, counter[0]
    return None


def _look_into(parent: Any, view: Tensor, operator: Operator | None) -> None:
    """Note that ``view`` shares the memory of ``parent``, if it does (``reshape`` may have copied)."""
    mine, its = view._data, parent._data
    if mine is its or owner_of(mine) is owner_of(its):
        view._counter = parent._counter
        if not mode.enabled:
            view._view = View(parent, operator, "was made under no_grad")
        elif operator is None:
            view._view = View(parent, None, "is one of several outputs of one operator (unbind, split, chunk)")
        else:
            view._view = View(parent, operator)


def owner_of(array: Any) -> Any:
    """What owns the memory that ``array`` looks into."""
    while (base := getattr(array, "base", None)) is not None:
        array = base
    return array


# ------------------------------------------------------------------------------------------------------------ backward


def sum_to(gradient: Any, shape: tuple[int, ...]) -> Any:
    """Undo broadcasting: sum ``gradient`` (array or Tensor) over the axes along which ``shape`` was stretched."""
    if isinstance(gradient, Tensor):
        return gradient.sum_to_size(shape)
    extra = gradient.ndim - len(shape)
    if extra:
        gradient = gradient.sum(axis=tuple(range(extra)))
    stretched = tuple([i for i, n in enumerate(shape) if n == 1 and gradient.shape[i] != 1])
    return gradient.sum(axis=stretched, keepdims=True) if stretched else gradient


def expandable(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    """Whether broadcasting can have made shape ``to`` of ``shape``."""
    return len(shape) <= len(to) and all(n in (1, m) for n, m in zip(reversed(shape), reversed(to)))


class Pass:
    """One walk back over the tape.

    Gradients of inner values live in ``table`` (operator or leaf → one gradient an output) while the walk lasts, never
    on the operators; leaves are written at the very end, so that an error on the way leaves every ``.grad`` as it was.
    Operators are taken from a heap, youngest first: creation order is a topological order, needs no recursion, and
    makes the order of all sums the same every time.
    """

    def __init__(self, *, retain_graph: bool, create_graph: bool, wanted: list | None = None) -> None:
        self.retain_graph = retain_graph
        self.create_graph = create_graph
        self.wanted = None if wanted is None else dict.fromkeys(wanted)
        self.table: dict[Any, list] = {}
        self.heap: list = []
        self.owned: set = set()  # edges whose gradient is a sum made here, which may be added to in place

    def run(self, edges: list, gradients: list) -> None:
        """Walk from ``edges``, whose gradients (arrays, or Tensors with ``create_graph``) are given, to the leaves."""
        on_the_way = None if self.wanted is None else _towards(edges, self.wanted)
        for edge, gradient in zip(edges, gradients):
            self.accumulate(edge, gradient)
        with set_grad_enabled(self.create_graph), np.errstate(all="ignore"):
            while self.heap:
                operator = heappop(self.heap)[1]
                gradients = self.table.pop(operator)
                if operator.hooks is not None:
                    self.call_hooks(operator, operator.hooks, gradients)
                if self.wanted is not None:
                    for position, gradient in enumerate(gradients):
                        if (operator, position) in self.wanted:
                            self.wanted[operator, position] = gradient
                if on_the_way is None or operator in on_the_way:
                    self.step(operator, gradients)
            self.reach_leaves()

    def call_hooks(self, source: Any, hooks: dict[int, list], gradients: list) -> None:
        """Call the hooks of each value of ``source``, an operator or a leaf, with its gradient, a Tensor; what a hook returns
        takes the gradient's place."""
        for position, functions in hooks.items():
            if gradients[position] is None:
                continue
            for function in list(functions):
                gradient = gradients[position]
                changed = function(gradient if isinstance(gradient, Tensor) else wrap(gradient))
                if changed is not None:
                    gradients[position] = changed if self.create_graph else changed._data

    def step(self, operator: Operator, gradients: list) -> None:
        """Apply one gradient rule and pass its results on."""
        if len(gradients) > 1 and operator.materialize:
            gradients = [self.zeros(operator, i, gradients) if g is None else g for i, g in enumerate(gradients)]
        operator._create_graph = self.create_graph
        try:
            if self.create_graph and operator.composite is not None:
                results = _differentiate_composite(operator, gradients)
            elif _around:
                results = _surrounded(operator, "backward", operator.backward, *gradients)
            else:
                results = operator.backward(*gradients)
        finally:
            operator._create_graph = False
        if type(results) is not tuple:
            results = (results,)
        if len(results) != len(operator.edges):
            raise RuntimeError(
                f"the gradient rule of {operator.name} returned {len(results)} gradients for "
                f"{len(operator.edges)} inputs"
            )
        if _checks:
            for check in _checks:
                check(operator, gradients, results)
        if not self.retain_graph:
            operator.release()
        for position, edge in enumerate(operator.edges):
            if edge is not None and results[position] is not None:
                self.accumulate(edge, self.fit(operator, position, results[position], edge))

    def fit(self, operator: Operator, position: int, gradient: Any, edge: Any) -> Any:
        """``gradient`` in the shape and type of the value it belongs to."""
        source, output = edge
        if isinstance(source, Tensor):
            shape, numpy_dtype = source._data.shape, source._data.dtype
        else:
            shape, numpy_dtype = source.outputs[output]
        if gradient.shape != shape:
            if not operator.broadcasts or not expandable(shape, gradient.shape):
                raise RuntimeError(
                    f"the gradient rule of {operator.name} returned a gradient of shape {tuple(gradient.shape)} for "
                    f"input {position}, whose shape is {shape}"
                )
            gradient = sum_to(gradient, shape)
        found = gradient._data.dtype if isinstance(gradient, Tensor) else gradient.dtype
        if found != numpy_dtype:
            gradient = gradient.to(numpy_dtype) if isinstance(gradient, Tensor) else gradient.astype(numpy_dtype)
        return gradient

    def accumulate(self, edge: Any, gradient: Any) -> None:
        """Add ``gradient`` to what has already arrived at ``edge``."""
        source, output = edge
        arrived = self.table.get(source)
        if arrived is None:
            if isinstance(source, Tensor):
                arrived = self.table[source] = [None]
            else:
                arrived = self.table[source] = [None] * len(source.outputs)
                heappush(self.heap, (-source.seq, source))
        before = arrived[output]
        if before is None:
            arrived[output] = gradient
        elif edge in self.owned:
            before += gradient
        else:
            total = arrived[output] = before + gradient
            if type(total) is type(gradient) and not isinstance(total, (Tensor, np.generic)):
                self.owned.add(edge)

    def zeros(self, operator: Operator, position: int, gradients: list) -> Any:
        shape, numpy_dtype = operator.outputs[position]
        like = next(g for g in gradients if g is not None)
        zeros = namespace(like._data if isinstance(like, Tensor) else like).zeros(shape, numpy_dtype)
        return wrap(zeros) if self.create_graph else zeros

    def reach_leaves(self) -> None:
        """Hand the finished gradients to the leaves (or to who asked for them)."""
        arrived, self.table = self.table, {}
        for leaf, gradients in arrived.items():
            if leaf._hooks:
                self.call_hooks(leaf, {0: leaf._hooks}, gradients)
        if self.wanted is not None:
            for leaf, gradients in arrived.items():
                if (leaf, 0) in self.wanted:
                    self.wanted[leaf, 0] = gradients[0]
            return
        while arrived:
            leaf, gradients = arrived.popitem()
            if leaf._requires_grad:  # it may have been switched off since
                add_to_grad(leaf, gradients.pop(), self.create_graph)


def _probe(gradient: Any) -> int:
    """How many references an array has inside ``add_to_grad`` when nobody else holds it: called as that is, with a value
    that has no name, because Python versions differ in what the caller's frame keeps of it."""
    return _count(gradient)


def _count(array: Any) -> int:
    return sys.getrefcount(array)


def add_to_grad(leaf: Tensor, gradient: Any, create_graph: bool) -> None:
    """``leaf.grad += gradient``. A gradient that something else holds, or that is a view, is copied first: two leaves
    must not share one. It lies in memory as the leaf does, for optimisers go through both side by side; row by row, if
    the leaf has gaps or meets itself there."""
    if leaf.grad is not None:
        if create_graph:
            leaf.grad = leaf.grad + gradient
        else:
            leaf.grad._data += gradient
            leaf.grad._counter[0] += 1
    elif create_graph:
        leaf.grad = gradient.clone()
    elif gradient.strides != leaf._data.strides:
        outermost_first = np.argsort(leaf._data.strides)[::-1].tolist()
        order = "K" if leaf._data.transpose(outermost_first).flags.c_contiguous else "C"
        leaf.grad = wrap(namespace(gradient).empty_like(leaf._data, dtype=gradient.dtype, order=order))
        leaf.grad._data[...] = gradient
    else:
        shared = isinstance(gradient, np.generic) or gradient.base is not None or _count(gradient) > _UNSHARED
        leaf.grad = wrap(gradient.copy(order="K") if shared else gradient)
    for function in getattr(leaf, "_after_grad", ()):
        function(leaf)


_UNSHARED = _probe(np.zeros(1))

# Called as check(operator, gradients, results) after every gradient rule.
_checks: list[Any] = []


def _towards(edges: list, wanted: dict) -> set:
    """The operators on some way from ``edges`` to a wanted value: all that a partial backward has to visit."""
    seen = set()
    stack = [e[0] for e in edges if not isinstance(e[0], Tensor)]
    while stack:
        operator = stack.pop()
        if operator not in seen:
            seen.add(operator)
            stack += [e[0] for e in operator.edges if e is not None and not isinstance(e[0], Tensor)]
    useful: set = set()
    for operator in sorted(seen, key=lambda node: node.seq):
        if any(e is not None and (e in wanted or e[0] in useful) for e in operator.edges):
            useful.add(operator)
    return useful


class _Alias(Operator):
    """y = x, as a value of its own on the tape."""

    def forward(self, x: Any) -> Any:
        return x.view()

    def backward(self, g: Any) -> Any:
        return g


def _differentiate_composite(operator: Operator, gradients: list) -> tuple:
    """The gradients of a fused operator as Tensors on the tape: those of the composite it stands for."""
    inputs = operator.saved_inputs()
    # Two inputs may be one tensor: an alias each keeps their gradients apart.
    inputs = [apply(_Alias(), x) if e is not None else x for x, e in zip(inputs, operator.edges)]
    outputs = operator.composite(*inputs)
    outputs = outputs if type(outputs) is tuple else (outputs,)
    flowing = [(y._edge, g) for y, g in zip(outputs, gradients) if y._edge is not None and g is not None]
    wanted = [x._edge for x, e in zip(inputs, operator.edges) if e is not None]
    inner = Pass(retain_graph=True, create_graph=True, wanted=wanted)
    inner.run([e for e, _ in flowing], [g for _, g in flowing])
    assert inner.wanted is not None
    return tuple([None if e is None else inner.wanted[x._edge] for x, e in zip(inputs, operator.edges)])
