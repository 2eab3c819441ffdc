"""Gradient checkpointing: keep a segment's inputs instead of its insides, and compute it again in backward.

It trades one more forward of the segment for the memory of its intermediate values (Chen et al. 2016, "Training Deep
Nets with Sublinear Memory Cost").
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minidl import random
from minidl.autograd import tape
from minidl.autograd.grad_mode import enable_grad, mode
from minidl.autograd.tape import Operator, Pass, apply, record
from minidl.tensor import Tensor, wrap

__all__ = ["checkpoint", "checkpoint_sequential"]


class Segment(Operator):
    """y = function(args…): only the inputs are kept. Backward computes the function again and walks through it.

    The gradient also reaches what the function uses without being given it, such as a module's parameters: the inputs
    on the tape are those that the first forward was seen to depend on.
    """

    def __init__(self, function: Callable[..., Any], args: tuple, random_state: Any) -> None:
        self.function, self.args, self.random_state = function, args, random_state
        self.versions = [a._counter[0] if isinstance(a, Tensor) else 0 for a in args]

    def release(self) -> None:
        self.args = None

    def backward(self, *gradients: Any) -> tuple:
        create_graph = self._create_graph
        args = self._unchanged_args()
        if not create_graph:  # a tape of its own, which ends at the segment's inputs
            args = tuple(_detached(a) for a in args)
        with _random_state(self.random_state), enable_grad():
            given = tuple(apply(tape._Alias(), a) if _on_tape(a) else a for a in args)
            outputs = _tensors(self.function(*given))
        flowing = [(y.edge(), g) for y, g in zip(outputs, gradients) if y.requires_grad]
        inner = [x.edge() for x in given if _on_tape(x)]
        wanted = inner + list(self.edges[len(inner) :])
        walk = Pass(retain_graph=create_graph, create_graph=create_graph, wanted=wanted)
        walk.run([e for e, _ in flowing], [g for _, g in flowing])
        assert walk.wanted is not None
        return tuple(walk.wanted[e] for e in wanted)

    def _unchanged_args(self) -> tuple:
        if self.args is None:
            raise RuntimeError(
                "Trying to backward through the graph a second time: the inputs of a checkpointed segment were freed "
                "by the first backward. Pass retain_graph=True to the first one, or compute the loss again."
            )
        for position, (a, version) in enumerate(zip(self.args, self.versions)):
            if isinstance(a, Tensor) and a._counter[0] != version:
                raise RuntimeError(
                    "one of the variables needed for gradient computation has been modified by an inplace operation: "
                    f"argument {position} of checkpoint, needed at version {version}, is now at version {a._counter[0]}"
                )
        return self.args


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    preserve_rng_state: bool = True,
    **kwargs: Any,
) -> Any:
    """``function(*args, **kwargs)``, of which only the inputs are kept; its insides are computed again in backward.

    ``preserve_rng_state`` makes dropout draw the same numbers again. ``use_reentrant`` is accepted as in PyTorch and
    changes nothing: parameters that the function uses are found, and ``autograd.grad`` works.
    """

    def segment(*tensors: Any) -> Any:
        return function(*tensors, **kwargs)

    if not mode.enabled:
        return segment(*args)
    node = Segment(segment, args, random.get_rng_state() if preserve_rng_state else None)
    given = tuple(apply(tape._Alias(), a) if _on_tape(a) else a for a in args)
    boundary = next(tape._clock)
    with _keeping_nothing():
        result = segment(*given)
    outputs = _tensors(result)
    aliases = [x.edge() for x in given if _on_tape(x)]
    outside = [e for e in _edges_into(outputs, boundary) if e not in aliases]
    if not aliases and not outside:
        return result
    sources = [a for a in args if _on_tape(a)] + [tape.on_edge(None, e) for e in outside]
    node.needs, node._saved = [True] * len(sources), ()
    fresh = tuple(wrap(y._data) for y in outputs)
    record(node, sources, [None] * len(sources), fresh)
    return fresh if isinstance(result, (tuple, list)) else fresh[0]


def checkpoint_sequential(functions: Any, segments: int, input: Any, **kwargs: Any) -> Any:
    """Run a sequence of functions (or a ``Sequential``) in ``segments`` parts, all but the last checkpointed."""
    functions = list(functions.children()) if hasattr(functions, "children") else list(functions)
    if not 1 <= segments <= max(len(functions), 1):
        raise ValueError(f"segments must be between 1 and the {len(functions)} functions given, got {segments}")
    size = len(functions) // segments
    for i in range(segments - 1):
        input = checkpoint(_chain(functions[i * size : (i + 1) * size]), input, **kwargs)
    return _chain(functions[(segments - 1) * size :])(input)


def _chain(functions: list) -> Callable[[Any], Any]:
    def run(x: Any) -> Any:
        for function in functions:
            x = function(x)
        return x

    return run


def _on_tape(value: Any) -> bool:
    return isinstance(value, Tensor) and value.requires_grad


def _detached(value: Any) -> Any:
    return value.detach().requires_grad_(value.requires_grad) if isinstance(value, Tensor) else value


def _tensors(result: Any) -> tuple:
    return tuple(result) if isinstance(result, (tuple, list)) else (result,)


class _keeping_nothing:
    """Operators recorded inside the block save nothing: only their edges are wanted."""

    def __enter__(self) -> None:
        tape._tracers.append(self._forget)

    def __exit__(self, *exc: object) -> None:
        tape._tracers.remove(self._forget)

    @staticmethod
    def _forget(operator: Operator, inputs: Any, outputs: Any) -> None:
        operator.release()


class _random_state:
    """The default generator in a given state inside the block, and as it was after it."""

    def __init__(self, state: Any) -> None:
        self.state = state

    def __enter__(self) -> None:
        if self.state is not None:
            self.outside = random.get_rng_state()
            random.set_rng_state(self.state)

    def __exit__(self, *exc: object) -> None:
        if self.state is not None:
            random.set_rng_state(self.outside)


def _edges_into(outputs: tuple, boundary: int) -> list:
    """The edges by which what was recorded since ``boundary`` depends on what was there before, in a fixed order."""
    stack = [y.edge() for y in outputs if _on_tape(y)]
    seen: set = set()
    found = []
    while stack:
        edge = stack.pop()
        if edge is None or edge in seen:
            continue
        seen.add(edge)
        if isinstance(edge[0], Tensor) or edge[0].seq < boundary:
            found.append(edge)
        else:
            stack += edge[0].edges
    return found
