"""A program's own graph, taken at one of its ``backward()`` calls, to be run again: on any backend, as often as wanted.

graph = minidl.inspect.program.graph_of("train.py")
graph.run().backward()                      # the same operators on copies of the same leaves
"""

from __future__ import annotations

import functools
import operator
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from minidl.autograd import on_backward, on_record, tape
from minidl.autograd.function import Context
from minidl.autograd.inplace import ViewScatter
from minidl.inspect.labels import label_of
from minidl.tensor import Tensor, wrap
from minidl.utils.scripts import run_script


class Made(NamedTuple):
    """An input that an operator of the graph made: its ``position``-th output."""

    operator: tape.Operator
    position: int


class Graph:
    """Operators in the order in which they ran, each with its inputs: what another made, a leaf or a constant (a copy, as
    it was then), or what is no tensor. ``roots`` are what was differentiated."""

    def __init__(self, steps: list[tuple[tape.Operator, list[Any]]], roots: list[Any]) -> None:
        self.steps, self.roots = steps, roots

    def __repr__(self) -> str:
        return f"<Graph: {len(self.steps):,} operators>"

    def run(self) -> Tensor:
        """The forward pass again, on a tape of its own: what was differentiated, or the sum of several.

        RuntimeError for an operator that has no forward rule of its own, such as a checkpointed segment.
        """
        values: dict[Any, Any] = {}
        for op, sources in self.steps:
            inputs = [values[source] if isinstance(source, Made) else source for source in sources]
            for x in inputs:
                if isinstance(x, Tensor) and x._edge is None:
                    x.grad = None  # of the run before
            outputs = _again(op, inputs)
            for position, y in enumerate(outputs if isinstance(outputs, tuple) else (outputs,)):
                values[op, position] = y
        ends = [values[root] if isinstance(root, Made) else root for root in self.roots]
        return ends[0] if len(ends) == 1 else functools.reduce(operator.add, [y.sum() for y in ends])


def _again(op: tape.Operator, inputs: list[Any]) -> Any:
    if isinstance(op, Context):
        return op.function.apply(*inputs)
    if isinstance(op, ViewScatter):  # a change in place of a view
        base = inputs[0].clone()
        op.region(base).copy_(inputs[1])
        return base
    if type(op).forward is tape.Operator.forward:
        raise RuntimeError(
            f"{label_of(op)} has no forward rule that can run again: race a function that computes the loss, or a file with "
            "build(), which returns one"
        )
    return tape.apply(op.again(), *inputs)


def graph_of(script: str | os.PathLike, arguments: Sequence[str] = (), call: int = 1) -> Graph:
    """Run a Python file as ``python script arguments`` would, up to its ``call``-th ``backward()``, and hand over the graph
    that this would have gone back through. The rest of the program does not run.

    Raises:
        FileNotFoundError: there is no such file.
        RuntimeError: it ended before.
        Exception, SystemExit: what ended it, if it was one.
    """
    with _Recorder(call) as recorder:
        try:
            ended = run_script(script, list(arguments))
        except _Reached:
            return recorder.graph()
    if ended is not None:
        raise ended
    times = {0: "never", 1: "once"}.get(recorder.calls, f"{recorder.calls} times")
    raise RuntimeError(f"{script} called backward() {times}, so there is no graph of call {call}")


class _Reached(BaseException):
    """The ``backward()`` that was waited for has been called; the program must not catch it."""


class _Recorder:
    """Notes the operators of a program, with their inputs, until its ``call``-th ``backward()``, which it does not run."""

    def __init__(self, call: int) -> None:
        if call < 1:
            raise ValueError(f"backward() calls are counted from 1, so there is no call {call}")
        self.call, self.calls = call, 0
        self._notes: dict[tape.Operator, list[Any]] = {}
        self._copies: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}  # by identity and version: it, and its copy
        self._roots: list[Any] = []

    def __enter__(self) -> _Recorder:
        self._handles = [on_record(self._note), on_backward(self._pass)]
        return self

    def __exit__(self, *exc: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _note(self, op: tape.Operator, inputs: tuple, outputs: tuple) -> None:
        self._notes[op] = [self._source(x, edge) for x, edge in zip(inputs, op.edges)]

    def _source(self, x: Any, edge: Any) -> Any:
        if edge is not None and edge[0] in self._notes:
            return Made(*edge)
        return self._copy(x) if isinstance(x, Tensor) else x

    def _copy(self, x: Tensor) -> Tensor:
        key = id(x), x._version
        if key not in self._copies:
            copy = wrap(x._data.copy()).requires_grad_(x.requires_grad)
            self._copies[key] = x, copy  # with x itself, so that its identity stays its own
        return self._copies[key][1]

    def _pass(self, **settings: Any) -> tape.Pass:
        self.calls += 1
        if self.calls < self.call:
            self._notes.clear()
            self._copies.clear()
            return tape.Pass(**settings)
        return _Stop(self._roots, **settings)

    def graph(self) -> Graph:
        """What led to the roots."""
        roots = [Made(*edge) if edge[0] in self._notes else edge[0] for edge in self._roots]
        wanted, stack = set(), [root.operator for root in roots if isinstance(root, Made)]
        while stack:
            op = stack.pop()
            if op not in wanted:
                wanted.add(op)
                stack += [source.operator for source in self._notes[op] if isinstance(source, Made)]
        return Graph([(op, sources) for op, sources in self._notes.items() if op in wanted], roots)


class _Stop(tape.Pass):
    """A pass that notes where it would begin, and ends the program."""

    def __init__(self, roots: list[Any], **settings: Any) -> None:
        super().__init__(**settings)
        self._roots = roots

    def run(self, edges: list, gradients: list) -> None:
        self._roots += edges
        raise _Reached
