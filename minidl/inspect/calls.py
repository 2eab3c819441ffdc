"""One forward of a model, followed from module to module: who was called with what, and which operators ran inside."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from minidl import backends, costs, random
from minidl.autograd import Operator, on_record, watch
from minidl.nn.module import Module
from minidl.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from minidl.nn.utils.rnn import PackedSequence
from minidl.profiler import largest
from minidl.tensor import Tensor


@dataclass(eq=False)
class Call:
    """One call of a module: its dotted ``path`` ("" for the model), how deep it lies, what it gave, the operators recorded and
    the operations computed directly inside it (not in modules below)."""

    path: str
    module: Module
    depth: int
    parent: Call | None
    output: Any = None
    operators: list[Any] = field(default_factory=list)
    flops: int = 0
    backward_flops: int = 0

    @property
    def name(self) -> str:
        """The class of the module."""
        return type(self.module).__name__


class Followed:
    """Watches the calls of a model's modules inside a ``with`` block; ``calls`` has them in the order in which they began.

    ``keep`` says whether calls stay, with their outputs and operators; ``count`` whether operations are counted, which puts a
    counter in front of every kernel. ``rule(call, operator, arrays, result)`` is called after every forward rule with the
    innermost call, on the tape or off it.
    """

    def __init__(
        self, model: Module, keep: bool = True, count: bool = False, rule: Callable[..., None] | None = None
    ) -> None:
        self.model, self.keep, self.count, self.rule = model, keep, count, rule
        self.calls: list[Call] = []
        self._open: list[Call] = []
        self._handles: list[Any] = []
        self._counted: int | None = None  # operations of kernels inside the rule that runs
        self._where: dict[Any, Call] = {}

    def __enter__(self) -> Followed:
        self._paths = {module: path for path, module in self.model.named_modules()}
        self._handles.append(register_module_forward_pre_hook(self._begin))
        self._handles.append(register_module_forward_hook(self._end, always_call=True))
        if self.keep:
            self._handles.append(on_record(self._recorded))
        if self.rule is not None:
            self._handles.append(watch(self._seen))
        if self.count:
            self._handles.append(watch(self._rule))
            backends._observers.append(self._room)
        return self

    def __exit__(self, *exc: object) -> None:
        for handle in self._handles:
            handle.remove()
        if self.count:
            backends._observers.remove(self._room)

    def _begin(self, module: Module, args: tuple) -> None:
        if module in self._paths:
            parent = self._open[-1] if self._open else None
            call = Call(self._paths[module], module, len(self._open), parent)
            self._open.append(call)
            if self.keep:
                self.calls.append(call)

    def _end(self, module: Module, args: tuple, output: Any) -> None:
        if module in self._paths:
            call = self._open.pop()
            if self.keep:
                call.output = output

    def _recorded(self, operator: Operator, *_: Any) -> Any:
        if self._open:
            self._open[-1].operators.append(operator)
            self._where[operator] = self._open[-1]

    def where(self, operator: Operator) -> Call | None:
        """The innermost call inside which an operator was recorded."""
        return self._where.get(operator)

    def _seen(self, operator: Operator, phase: str, rule: Any, arrays: tuple) -> Any:
        result = rule(*arrays)
        if phase == "forward" and self._open and self.rule is not None:
            self.rule(self._open[-1], operator, arrays, result)
        return result

    # --------------------------------------------------------------------------------------------- counting operations

    def _rule(self, operator: Operator, phase: str, rule: Any, arrays: tuple) -> Any:
        outside, self._counted = self._counted, None
        result = rule(*arrays)
        counted, self._counted = self._counted, outside
        if counted is None:  # of what no kernel counts: an operation a value, as in the profiler
            counted = 0 if operator.is_view else max(largest(arrays), largest(result))
        if phase == "backward":
            if operator in self._where:
                self._where[operator].backward_flops += counted
        elif self._open:
            self._open[-1].flops += counted
        return result

    def _room(self, room: str, module: Any) -> Any:
        return _Counting(self, room, module)


class _Counting:
    """A room's module, whose calls are counted."""

    def __init__(self, owner: Followed, room: str, module: Any) -> None:
        self._owner, self._name, self._module = owner, room, module

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._module, name)
        if not callable(function):
            return function

        def run(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            self._owner._counted = (self._owner._counted or 0) + costs.flops(self._name, name, args, result, kwargs)
            return result

        return run


def call(model: Module, input: Any) -> Any:
    """``model(input)``; a tuple stands for several arguments, a dict for arguments by name. A named tuple, such as a packed
    sequence, is one argument."""
    if isinstance(input, dict):
        return model(**input)
    return model(*input) if type(input) is tuple else model(input)


@contextmanager
def without_trace(model: Module) -> Iterator[None]:
    """What runs forward inside leaves the model as it was: its buffers (running statistics), the random numbers to come."""
    state = random.get_rng_state()
    buffers = [(m, n, b, b._data.copy()) for m in model.modules() for n, b in m._buffers.items() if b is not None]
    try:
        yield
    finally:
        random.set_rng_state(state)
        for module, name, buffer, values in buffers:
            buffer._data[...] = values
            module._buffers[name] = buffer


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The Tensors in nested tuples, lists and dicts; of a packed sequence its data."""
    if isinstance(value, PackedSequence):
        yield value.data
    elif isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from tensors_in(part)
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from tensors_in(part)


def first_tensor(value: Any) -> Tensor | None:
    """The first Tensor in nested tuples, lists and dicts, if there is one."""
    return next(tensors_in(value), None)
