"""Where the first NaN or infinity arose, on the way forward or back, what led there, and what would mend it.

print(minidl.inspect.why_nan(lambda: criterion(model(x), y)))

with minidl.inspect.trace():
    loss = criterion(model(x), y)
print(minidl.inspect.why_nan(loss))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minidl import creation, random
from minidl.autograd import on_rule
from minidl.autograd.walk import grad
from minidl.inspect import arguments, nan_words
from minidl.inspect.nodes import Nodes, Op, read
from minidl.inspect.numbers import on_host
from minidl.inspect.trace import trace
from minidl.nn.module import Module
from minidl.tensor import Tensor, raw

# Of these a NaN is their own doing if only infinities went in: a row of nothing but -∞.
_OWN = ("Softmax", "LogSoftmax", "LogSumExp")


@dataclass
class NanReport:
    """What :func:`why_nan` found.

    ``phase``: "forward", "backward" (the loss is finite, and a gradient is not), or None: nothing is wrong. ``operator``:
    whose result, or gradient rule's result, was the first that is not finite; "" where a value was so from the beginning,
    then ``value`` names it. ``count`` of ``size`` elements are NaN or infinite. ``words``, ``remedy``; ``line`` and ``layer``;
    ``path``, from there to the loss (backward: to the leaves whose gradients are spoilt).
    """

    phase: str | None
    words: str
    remedy: str = ""
    operator: str = ""
    value: str = ""
    count: int = 0
    size: int = 0
    line: str = ""
    layer: str = ""
    path: list[str] = field(default_factory=list)
    op: Op | None = field(default=None, repr=False)

    def __str__(self) -> str:
        if self.phase is None:
            return self.words
        where = f"the gradient rule of {self.operator}" if self.phase == "backward" else self.operator
        head = f"It begins in {where}" if self.operator else f"It begins with {self.value}"
        lines = [head + (f", in layer {self.layer}" if self.layer else "") + ":"]
        if self.line:
            lines.append(f"    {self.line}")
        lines.append(f"    {self.count:,} of {self.size:,} values are not finite: {self.words}")
        lines.append(f"What would mend it: {self.remedy}")
        if self.path:
            lines.append(("On to the loss: " if self.phase == "forward" else "It spoils: ") + self._path())
        return "\n".join(lines)

    __repr__ = __str__

    def _path(self) -> str:
        shown = (
            self.path if len(self.path) <= 8 else [*self.path[:4], f"… {len(self.path) - 7} more …", *self.path[-3:]]
        )
        return (" → " if self.phase == "forward" else ", ").join(shown)

    def __bool__(self) -> bool:
        """Whether something is wrong."""
        return self.phase is not None


def why_nan(
    loss: Tensor | Callable[[], Tensor], names: Module | Mapping[str, Tensor] | None = None, keep: int = 1_000_000_000
) -> NanReport:
    """Find the first operator that made a NaN or an infinity which reaches the loss; if the loss is finite, the first
    gradient rule that did, on the way back.

    Args:
        loss: a Tensor computed inside ``inspect.trace()``, or a function that computes it, which is run inside one here. Of a
            Tensor without a trace only gradients can be examined.
        names: a module, or names of leaves.
        keep: the bytes of values that a function's run may keep.

    A function is run once, as in training: statistics that its batch norms keep take part. An infinity that does no harm,
    such as a mask's -∞ before softmax, is passed over. No ``.grad`` is touched, random numbers are afterwards as before, and
    the graph is kept.

    Raises:
        TypeError: neither a Tensor nor a function that gives one.
        RuntimeError: a loss that is not finite, and was computed outside a trace; no graph, or one that was freed.
    """
    if not isinstance(loss, Tensor):
        arguments.function(loss, "why_nan", "a Tensor or a function that computes one")
        with trace(keep), random.fork_rng():
            loss = loss()
        if not isinstance(loss, Tensor):
            raise TypeError(f"why_nan: the function must give a Tensor, got {type(loss).__name__}")
    nodes = read(arguments.graphs(loss, "why_nan"), names)
    if not np.isfinite(on_host(loss._data)).all():
        return _forward(nodes)
    return _backward(loss, nodes)


# ------------------------------------------------------------------------------------------------------------- forward


def _forward(nodes: Nodes) -> NanReport:
    if not any(op.traced for op in nodes.ops):
        raise RuntimeError(
            "why_nan: the loss is not finite, and its values were not noted: compute it inside inspect.trace(), or pass the "
            "function that computes it: why_nan(lambda: criterion(model(x), y))"
        )
    bad = {value.id: value for value in nodes.values if value.array is not None and not _finite(value.array)}
    maker = {output: op for op in nodes.ops for output in op.outputs}
    reader: dict[int, int] = {}  # a value that is not finite → the one made from it, on the way to the loss
    stack, origins = [root for root in nodes.roots if root in bad], []
    seen = set(stack)
    while stack:
        value = stack.pop()
        op = maker.get(value)
        before = [] if op is None else [i for i in dict.fromkeys(op.inputs) if i is not None and i in bad]
        if op is not None and op.name in _OWN and _nan(bad[value].array) and all(_below(bad[i].array) for i in before):
            before = []
        if not before:
            origins.append((op.id if op is not None else -1, value))
        for i in before:
            if i not in seen:
                seen.add(i)
                reader[i] = value
                stack.append(i)
    _, first = min(origins)
    return _report_forward(nodes, first, maker, reader)


def _report_forward(nodes: Nodes, first: int, maker: dict[int, Op], reader: dict[int, int]) -> NanReport:
    path, at = [_told(nodes, first, maker)], first
    while at in reader:
        at = reader[at]
        path.append(_told(nodes, at, maker))
    value, op = nodes.values[first], maker.get(first)
    array: Any = value.array
    report = NanReport("forward", "", count=int((~np.isfinite(array)).sum()), size=array.size, path=path, op=op)
    if op is None:
        report.value = value.name
        if not value.shape and value.name in ("inf", "-inf", "nan"):
            report.words = f"the program itself put {value.name} in"
            report.remedy = "a large finite number instead; or see that what it stands for is never used"
            return report
        report.words = f"{value.name} (shape {list(value.shape)}) held {_kinds(array)} before anything was computed"
        report.remedy = (
            "an update made it so: look at the steps before with inspect.gradient_flow, lower the learning rate, clip "
            "gradients"
            if value.kind == "leaf"
            else "clean the data: minidl.isfinite(x).all() finds it; a division by a standard deviation of 0 is the usual "
            "cause"
        )
        return report
    report.operator = op.name
    report.line, report.layer = str(op.line or ""), ".".join(op.scope)
    inputs = [None if i is None else nodes.values[i].array for i in op.inputs]
    report.words, report.remedy = nan_words.forward(op.operator, inputs, array)
    if any(i is not None and nodes.values[i].array is None for i in op.inputs):
        report.words += " (not all that went in was kept: pass a larger keep to be sure that it begins here)"
    return report


def _told(nodes: Nodes, value: int, maker: dict[int, Op]) -> str:
    op = maker.get(value)
    name = nodes.values[value].name if op is None else op.label
    return f"{name} ({_kinds(nodes.values[value].array)})"


def _kinds(array: Any) -> str:
    nan, infinite = int(np.isnan(array).sum()), int(np.isinf(array).sum())
    return " and ".join(f"{n:,} {what}" for n, what in ((nan, "NaN"), (infinite, "infinite")) if n)


def _finite(array: Any) -> bool:
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def _below(array: Any) -> bool:
    """Whether all that is not finite is -∞."""
    return bool(np.isneginf(array[~np.isfinite(array)]).all())


def _nan(array: Any) -> bool:
    return bool(np.isnan(array).any())


# ------------------------------------------------------------------------------------------------------------ backward


def _backward(loss: Tensor, nodes: Nodes) -> NanReport:
    leaves = [value for value in nodes.values if value.kind == "leaf" and value.tensor is not None]
    noted: list[tuple[Any, list, tuple]] = []

    def check(operator: Any, gradients: list, results: tuple) -> None:
        if noted or not all(g is None or _finite(on_host(raw(g))) for g in gradients):
            return
        wanted = [r for r, edge in zip(results, operator.edges) if edge is not None and r is not None]
        if not all(_finite(on_host(raw(r))) for r in wanted):
            noted.append((operator, gradients, results))

    with on_rule(check):
        found = grad(
            loss,
            [value.tensor for value in leaves if value.tensor is not None],
            creation.ones_like(loss),
            retain_graph=True,
            allow_unused=True,
        )
    spoilt = [v.name for v, g in zip(leaves, found) if g is not None and not _finite(on_host(g._data))]
    if not noted:
        return NanReport(None, "Nothing is wrong: the loss and all gradients are finite.")
    operator, gradients, results = noted[0]
    op = next(op for op in nodes.ops if op.operator is operator)
    position, result = next(
        (i, on_host(raw(r)))
        for i, (r, edge) in enumerate(zip(results, operator.edges))
        if edge is not None and r is not None and not _finite(on_host(raw(r)))
    )
    gradient = next(on_host(raw(g)) for g in gradients if g is not None)
    words, remedy = nan_words.backward(operator, _values(op, nodes), gradient, result)
    count = int((~np.isfinite(result)).sum())
    report = NanReport("backward", words, remedy, operator.name, "", count, result.size, path=spoilt, op=op)
    report.value = f"the gradient of its input {position}"
    report.line, report.layer = str(op.line or ""), ".".join(op.scope)
    return report


def _values(op: Op, nodes: Nodes) -> list[Any]:
    """An operator's inputs: from the trace, else what it saved of them."""
    values = [None if i is None else nodes.values[i].array for i in op.inputs]
    operator = op.operator
    for array, origin in zip(operator._saved or (), operator._origins):
        if origin is not None and origin[0] >= 0 and values[origin[0]] is None and hasattr(array, "dtype"):
            values[origin[0]] = on_host(array)
    for edge, i in zip(operator.edges, range(len(values))):
        if values[i] is None and edge is not None and isinstance(edge[0], Tensor):
            values[i] = on_host(edge[0]._data)
    return values
