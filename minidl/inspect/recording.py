"""The backward debugger: a backward pass, noted operator by operator, to be played forwards and backwards.

    with minidl.inspect.trace():
        loss = model(x).square().mean()
    for step in minidl.inspect.backward(loss):
        print(step.explain())

The pass that is noted is the engine's own: every ``.grad`` has the bits that ``loss.backward()`` would have given it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from minidl.autograd import on_backward, watch
from minidl.autograd import walk as _walk
from minidl.autograd.tape import Operator, Pass
from minidl.inspect import arguments
from minidl.inspect.nodes import Nodes, note_roots, read_edges
from minidl.inspect.steps import Added, Gradient, Local, Step
from minidl.inspect.trace import KEEP, Keeper
from minidl.nn.module import Module
from minidl.profiler import sizes
from minidl.tensor import Tensor, raw


class Recording(Sequence[Step]):
    """A backward pass, step by step; it plays as a tape does.

    ``steps`` in the order in which they ran; ``nodes`` the graph; ``gradients`` the finished gradient of each leaf, by
    the id of its value; ``before`` what stood in ``.grad`` already, to which that was added. ``complete`` is False if
    some arrays were let go of because ``keep`` bytes were kept already: their statistics remain.

        recording = minidl.inspect.backward(loss)
        recording.next()                      # forward; .back(), .to("fc1.weight"), .to(3), .current
        recording.first(nan=True)             # the first step with a NaN; or norm_above=10, or a function of the step
        recording.break_on(norm_above=10).run()
    """

    def __init__(self, nodes: Nodes, title: str = "backward") -> None:
        self.nodes = nodes
        self.title = title
        self.steps: list[Step] = []
        self.gradients: dict[int, Gradient] = {}
        self.before: dict[int, Gradient] = {}
        self.complete = True
        self._cursor = -1
        self._breaks: list[Callable[[Step], Any]] = []

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, index: Any) -> Any:
        return self.steps[index]

    def __repr__(self) -> str:
        kept = "" if self.complete else "; beyond the limit, statistics alone were kept"
        return f"<Recording of {self.title}: {len(self)} steps, {len(self.gradients)} gradients{kept}>"

    @cached_property
    def arrivals(self) -> dict[int, list[int]]:
        """For each value that gets a gradient, the steps that contribute to it, one entry a contribution."""
        found: dict[int, list[int]] = {}
        for step in self.steps:
            for added in step.added:
                found.setdefault(added.value.id, []).append(step.index)
        return found

    # ------------------------------------------------------------------------------------------------------- playing

    @property
    def current(self) -> Step | None:
        """The step where the tape stands; None before the first."""
        return self.steps[self._cursor] if self._cursor >= 0 else None

    def next(self) -> Step | None:
        """One step on; None at the end."""
        if self._cursor + 1 >= len(self.steps):
            return None
        self._cursor += 1
        return self.current

    def back(self) -> Step | None:
        """One step back; None at the beginning."""
        self._cursor = max(self._cursor - 1, -1)
        return self.current

    def to(self, target: int | str | Tensor) -> Step:
        """To a step by number; or to the one that completes the gradient of a parameter: a Tensor or a value's name.

        Raises:
            IndexError: no step has this number.
            KeyError: no value of the graph is this one, or it gets no gradient.
        """
        if isinstance(target, int):
            if not -len(self) <= target < len(self):
                raise IndexError(
                    f"the recording has {len(self)} steps, 0 to {len(self) - 1}; there is no step {target}"
                )
            self._cursor = target % len(self)
            return self.steps[self._cursor]
        value = self.nodes.find(target)
        reaching = [step for step in self.steps if any(added.value is value for added in step.added)]
        if not reaching:
            raise KeyError(f"no step adds to the gradient of {value.name!r}")
        self._cursor = reaching[-1].index
        return reaching[-1]

    def first(
        self,
        condition: Callable[[Step], Any] | None = None,
        *,
        norm_above: float | None = None,
        nan: bool = False,
    ) -> Step | None:
        """To the first step of all that fulfils a condition; None, and the tape stays where it is, if none does."""
        holds = _condition(condition, norm_above, nan)
        return self._seek(0, holds)

    def break_on(
        self,
        *,
        norm_above: float | None = None,
        nan: bool = False,
        condition: Callable[[Step], Any] | None = None,
    ) -> Recording:
        """Let :meth:`run` stop where a condition holds: a norm above a limit, a NaN, a function of the step."""
        self._breaks.append(_condition(condition, norm_above, nan))
        return self

    def clear_breaks(self) -> None:
        """Forget all conditions of :meth:`break_on`."""
        self._breaks.clear()

    def run(self) -> Step | None:
        """On to the next step where a condition of :meth:`break_on` holds; None, at the last step, if none does."""
        found = self._seek(self._cursor + 1, lambda step: any(holds(step) for holds in self._breaks))
        if found is None:
            self._cursor = len(self.steps) - 1
        return found

    def _seek(self, start: int, holds: Callable[[Step], Any]) -> Step | None:
        for step in self.steps[start:]:
            if holds(step):
                self._cursor = step.index
                return step
        return None

    def play(self, quiz: bool = False, console: Any = None, stream: Any = None) -> None:
        """Play it in the terminal, by keys (h tells them). ``quiz`` asks before each step; ``stream`` gives the commands, the
        standard input if None; ``console`` is one of rich's."""
        from minidl.inspect.terminal import play

        play(self, quiz, console, stream)

    # ------------------------------------------------------------------------------------------------------- writing

    def _repr_html_(self) -> str:
        from minidl.inspect.notebook import as_html

        return as_html(self)

    def to_json(self) -> dict[str, Any]:
        """The recording as a dict that ``json.dumps`` takes: what the page plays."""
        from minidl.inspect.page_data import as_dict

        return as_dict(self)


def _condition(condition: Any, norm_above: float | None, nan: bool) -> Callable[[Step], Any]:
    if condition is None and norm_above is None and not nan:
        raise ValueError("a condition is needed: norm_above=, nan=True, or a function of the step")
    return lambda step: (
        (nan and step.has_nan)
        or (norm_above is not None and not step.norm <= norm_above)
        or (condition is not None and condition(step))
    )


# ------------------------------------------------------------------------------------------------------------ recording


def backward(
    loss: Tensor | Sequence[Tensor],
    gradient: Any = None,
    names: Module | Mapping[str, Tensor] | None = None,
    keep: int = KEEP,
    retain_graph: bool | None = None,
) -> Recording:
    """Run the backward pass of ``loss``, as ``loss.backward(gradient)`` would, and note every step of it.

    Args:
        loss: what to differentiate; if it is no scalar, ``gradient`` gives its gradient.
        names: what values are called: a module with named parameters, or a dict from names to tensors.
        keep: how many bytes of gradients are copied in all; beyond, statistics alone are kept.
        retain_graph: as for ``backward``.

    Raises:
        RuntimeError, TypeError: as ``loss.backward()``.
    """
    roots = arguments.tensors(loss, "backward")
    made: list[Recording] = []
    with recorded_backward(made.append, names, keep):
        _walk.backward(loss, gradient, retain_graph)
    note_roots(made[0].nodes, roots)
    return made[0]


def recorded_backward(
    found: Callable[[Recording], Any], names: Module | Mapping[str, Tensor] | None = None, keep: int = KEEP
) -> Any:
    """Note every ``backward()`` that is called until the handle is removed; ``found`` gets each recording when the pass
    has run."""
    arguments.names(names, "backward")
    return on_backward(lambda **settings: RecordedPass(found, names, keep, **settings))


class RecordedPass(Pass):
    """The engine's pass, which notes what it does."""

    def __init__(self, found: Any, names: Any, keep: int, **settings: Any) -> None:
        super().__init__(**settings)
        self._found, self._names, self._keeper = found, names, Keeper(keep)
        self._step: Step | None = None
        self._operator: Operator | None = None
        self._arrived: dict[Any, Gradient] = {}  # the sums so far, by edge
        self._given: Gradient | None = None  # what fit made last

    def run(self, edges: list, gradients: list) -> None:
        nodes = read_edges(edges, self._names)
        self.recording = Recording(nodes, ", ".join(nodes.values[root].name for root in nodes.roots))
        self._ops = {op.operator: op for op in nodes.ops}
        for value in nodes.values:
            if value.tensor is not None and value.array is raw(value.tensor):
                value.array = self._keeper.copy(value.array)  # the optimiser will change it
            if value.tensor is not None and value.tensor._grad is not None:
                self.recording.before[value.id] = Gradient(value.tensor._grad, self._keeper)
        with watch(self._rule):
            super().run(edges, gradients)
        self.recording.complete = not self._keeper.full
        self._found(self.recording)

    def step(self, operator: Operator, gradients: list) -> None:
        self._operator = operator
        recording = self.recording
        self._step = Step(len(recording), self._ops[operator], recording)
        self._step.incoming = [None if g is None else self._incoming(operator, i, g) for i, g in enumerate(gradients)]
        began = time.perf_counter()
        super().step(operator, gradients)
        self._step.seconds = self._step.seconds or time.perf_counter() - began
        recording.steps.append(self._step)
        self._step = None

    def _incoming(self, operator: Operator, position: int, gradient: Any) -> Gradient:
        """The note on a sum that is complete, which was made when the last contribution came, or by the hooks."""
        known = self._arrived.get((operator, position))
        return self._note(gradient) if known is None else known

    def _rule(self, operator: Operator, phase: str, rule: Any, arrays: tuple) -> Any:
        step = self._step
        if operator is not self._operator or phase != "backward" or step is None:
            return rule(*arrays)
        began = time.perf_counter()
        result = rule(*arrays)
        step.seconds, step.nbytes = time.perf_counter() - began, sizes(arrays) + sizes(result)
        return result

    def fit(self, operator: Operator, position: int, gradient: Any, edge: Any) -> Any:
        fitted = super().fit(operator, position, gradient, edge)
        if self._step is not None:
            self._given = self._note(fitted)
            value = self.recording.nodes.values[self.recording.nodes.edges[edge]]
            self._step.local.append(Local(position, value, self._given, tuple(gradient.shape)))
        return fitted

    def accumulate(self, edge: Any, gradient: Any) -> None:
        super().accumulate(edge, gradient)
        if self._step is None:  # where the pass starts
            self._arrived[edge] = self._note(self.table[edge[0]][edge[1]])
            return
        given = self._given
        assert given is not None
        before = self._arrived.get(edge)
        after = self._arrived[edge] = given if before is None else self._note(self.table[edge[0]][edge[1]])
        self._step.added.append(Added(self._step.local[-1].value, before, given, after))

    def call_hooks(self, source: Any, hooks: dict[int, list], gradients: list) -> None:
        super().call_hooks(source, hooks, gradients)
        for position in hooks:  # which may have changed what arrived
            if gradients[position] is not None:
                self._arrived[source, position] = self._note(gradients[position])

    def reach_leaves(self) -> None:
        ids = {leaf: self.recording.nodes.edges[leaf, 0] for leaf in self.table}
        super().reach_leaves()
        for leaf, id in ids.items():
            self.recording.gradients[id] = self._arrived[leaf, 0]

    def _note(self, gradient: Any) -> Gradient:
        return Gradient(gradient, self._keeper)
