"""A step of the backward pass in words and mathematics, with its own names, shapes and, where they are few, numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from minidl.inspect.letters import where
from minidl.inspect.nodes import NOT_TRACED
from minidl.inspect.numbers import size_of
from minidl.inspect.words import in_words
from minidl.nn.functional.activation import Activation
from minidl.ops.elementwise import Elementwise
from minidl.ops.rounding import Abs, Relu
from minidl.ops.transcendental import OfInput, OfOutput, Rsqrt, Sigmoid

if TYPE_CHECKING:
    from minidl.inspect.steps import Added, Gradient, Local, Step

FEW = 12  # numbers that are written out
ELEMENTWISE = (Elementwise, OfInput, OfOutput, Activation, Relu, Sigmoid, Abs, Rsqrt)


def explain(step: Step) -> str:
    """The whole step: what ran, what comes in, what the rule makes of it, and where that is added."""
    parts = [heading(step), *_forward(step), "", *_incoming(step), *_rule(step), "", *_outgoing(step), *_cost(step)]
    return "\n".join(parts)


def heading(step: Step) -> str:
    """One line: the number, the operator, where it was called."""
    op = step.op
    inputs = ", ".join(_shaped(step, id) for id in op.inputs if id is not None or not op.traced)
    outputs = ", ".join(_shaped(step, id) for id in op.outputs)
    return f"Step {step.index + 1} of {len(step.recording)}: back through {op.label}, {inputs} → {outputs}"


def derivative(step: Step, value: Any) -> str:
    """The symbol of a gradient: "∂loss/∂h"."""
    roots = [step.nodes.values[root] for root in step.nodes.roots]
    loss = roots[0].name if len(roots) == 1 else "L"
    return f"∂{_symbol(loss)}/∂{_symbol(value.name)}"


def _symbol(name: str) -> str:
    return f"({name})" if " " in name else name


def _shaped(step: Step, id: int | None) -> str:
    if id is None:
        return "none given" if step.op.traced else "something that needs no gradient"
    value = step.nodes.values[id]
    return value.name if value.kind == "constant" and value.shape == () else f"{value.name} {shape_of(value.shape)}"


def shape_of(shape: tuple[int, ...]) -> str:
    """ "5 × 4"; "a number" for no dimensions."""
    return "[" + " × ".join(map(str, shape)) + "]" if shape else "[a number]"


def numbers_of(array: Any) -> str | None:
    """The values of a small array on one line; None of a large one."""
    if array is None or array.size > FEW:
        return None
    return _written(np.asarray(array).tolist())


def _written(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_written(v) for v in value) + "]"
    return f"{value + 0.0:.4g}" if isinstance(value, float) else str(value)  # no negative zero


# ---------------------------------------------------------------------------------------------------------- paragraphs


def _forward(step: Step) -> list[str]:
    op = step.op
    lines = []
    if op.scope:
        modules = zip(op.scope, op.classes or op.scope)
        lines.append("in " + " › ".join(name if name == kind else f"{name} ({kind})" for name, kind in modules))
    lines.append(f"called at {op.line}" if op.line is not None else NOT_TRACED)
    if op.settings:
        lines.append("with " + ", ".join(f"{name}={value}" for name, value in op.settings.items()))
    known = [step.nodes.values[id] for id in dict.fromkeys([*op.inputs, *op.outputs]) if id is not None]
    written = [
        f"{value.name} = {text}"
        for value in known
        if (text := numbers_of(value.array)) is not None and not (value.kind == "constant" and text == value.name)
    ]
    return lines + (["forward: " + ", ".join(written)] if written else [])


def _incoming(step: Step) -> list[str]:
    lines = []
    for id, gradient in zip(step.op.outputs, step.incoming):
        value = step.nodes.values[id]
        name = derivative(step, value)
        letter = "g" if len(step.incoming) == 1 else f"g[{step.op.outputs.index(id)}]"
        if gradient is None:
            lines.append(f"in:  {letter} = {name}: nothing came, so it counts as 0")
        else:
            start = " (where the pass starts)" if id in step.nodes.roots else ""
            lines.append(f"in:  {letter} = {name}{start}: {described(gradient)}")
    return lines


def _rule(step: Step) -> list[str]:
    lines = [f"rule: {step.op.formula}"] if step.op.formula else []
    told = where(step.op, lambda id: _shaped(step, id))
    return lines + [f"      {sentence}" for sentence in (*told, *in_words(step))]


def _outgoing(step: Step) -> list[str]:
    lines = []
    for local, added in zip(step.local, step.added):
        lines += [f"out: {_equation(step, local)}", *_broadcast(local), *_origin_of_nan(step, local), _sum(step, added)]
    reached = {local.position for local in step.local}
    for position, id in enumerate(step.op.inputs):
        if position in reached:
            continue
        value = None if id is None else step.nodes.values[id]
        if value is not None and value.kind == "constant":
            lines.append(f"      {value.name} is a constant: nothing is passed to it")
        elif value is not None and value.requires_grad:
            lines.append(f"      the rule passes nothing to {value.name}")
    return lines


def _equation(step: Step, local: Local) -> str:
    """The gradient of one input; of few numbers, where each depends on one alone, as a product with the local derivative."""
    name = derivative(step, local.value)
    slope = _slope(step, local)
    if slope is None:
        return f"{name}: {described(local.gradient)}"
    g, out = step.incoming[0], local.gradient
    assert g is not None
    output = step.nodes.values[step.op.outputs[0]]
    factor = f"∂{_symbol(output.name)}/∂{_symbol(local.value.name)}"
    times = "⊙" if out.shape else "·"
    return f"{name} = g {times} {factor} = {numbers_of(g.array)} {times} {numbers_of(slope)} = {numbers_of(out.array)}"


def _slope(step: Step, local: Local) -> np.ndarray | None:
    """The local derivative of each element; None unless each result depends on one element, and few numbers tell it."""
    g, out = step.incoming[0], local.gradient
    if len(step.incoming) > 1 or g is None or g.array is None or out.array is None or g.shape != out.shape:
        return None
    alone = isinstance(step.op.operator, ELEMENTWISE) or g.array.size == 1
    if not alone or not 0 < g.array.size <= FEW or not np.isfinite(g.array).all() or not g.array.all():
        return None
    return out.array / g.array


def _broadcast(local: Local) -> list[str]:
    if not local.was_broadcast:
        return []
    before, after = local.rule_shape, local.gradient.shape
    extra = len(before) - len(after)
    summed = [*range(extra), *(extra + i for i, n in enumerate(after) if n == 1 and before[extra + i] != 1)]
    which = "dimension " + str(summed[0]) if len(summed) == 1 else "dimensions " + ", ".join(map(str, summed))
    return [
        f"      broadcasting had stretched {local.value.name} from {shape_of(after)} to {shape_of(before)}, so the gradient "
        f"is summed over {which}"
    ]


def _origin_of_nan(step: Step, local: Local) -> list[str]:
    if local.gradient.has_nan and not any(g is not None and g.has_nan for g in step.incoming):
        return ["      here the first NaN arises: none came in"]
    return []


def _sum(step: Step, added: Added) -> str:
    """How the contribution meets what is there already, and whether the gradient is complete."""
    value = added.value
    uses = step.recording.arrivals[value.id]
    arrived = sum(1 for other in uses if other <= step.index)
    if sum(1 for other in uses if other == step.index) > 1:  # one operator uses it twice
        mine = [a for a in step.added if a.value is value]
        arrived -= len(mine) - 1 - mine.index(added)
    place = f"of {value.name}"
    if len(uses) == 1:
        text = "the only contribution to the gradient " + place
    elif added.before is None:
        text = f"the first of {len(uses)} contributions to the gradient {place}"
    else:
        numbers = [numbers_of(g.array) for g in (added.before, added.contribution, added.after)]
        written = f": {numbers[0]} + {numbers[1]} = {numbers[2]}" if None not in numbers else ""
        text = f"contribution {arrived} of {len(uses)} is added to what has come to {value.name}{written}"
        text += "" if written else f"; the sum has norm {added.after.norm:.4g}"
    if arrived == len(uses) and value.kind == "leaf":
        already = step.recording.before.get(value.id)
        stood = "" if already is None else f", where an earlier gradient of norm {already.norm:.4g} stands"
        text += f"; it is complete, and is added to {value.name}.grad{stood}"
    return f"      {text}"


def _cost(step: Step) -> list[str]:
    ran = f"; forward ran on {step.op.implementation}" if step.op.implementation else ""
    return ["", f"{step.seconds * 1e6:.3g} µs, {size_of(step.nbytes)} read and written{ran}"]


def described(gradient: Gradient) -> str:
    """A gradient in a few words, or its numbers if they are few."""
    written = numbers_of(gradient.array)
    if written is not None:
        return f"{shape_of(gradient.shape)} {written}" if gradient.shape else written
    stats = gradient.stats
    text = f"{shape_of(gradient.shape)}"
    if stats["min"] is not None:
        text += f", norm {stats['norm']:.4g}, from {stats['min']:.4g} to {stats['max']:.4g}"
    odd = [f"{stats[key]:,} {word}" for key, word in (("nan", "NaN"), ("inf", "infinite")) if stats[key]]
    return text + (", " + ", ".join(odd) if odd else "")
