"""A recording as JSON: what a page needs to draw the graph and play the pass, and nothing of this program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minidl.inspect import digest
from minidl.inspect.quiz import questions

if TYPE_CHECKING:
    from minidl.inspect.nodes import Nodes, Op, Value
    from minidl.inspect.recording import Recording
    from minidl.inspect.steps import Gradient, Step


def as_dict(recording: Recording) -> dict[str, Any]:
    """Graph, steps with their questions, and finished gradients; nan and infinities are strings."""
    return {
        "version": 1,
        "title": recording.title,
        "loss": recording.nodes.roots[0],
        **graph_dict(recording.nodes),
        "steps": [_step(step) for step in recording.steps],
        "gradients": {str(id): gradient.to_json() for id, gradient in recording.gradients.items()},
    }


def graph_dict(nodes: Nodes) -> dict[str, Any]:
    """The values and the operators."""
    return {"values": [_value(value) for value in nodes.values], "ops": [_op(op) for op in nodes.ops]}


def _value(value: Value) -> dict[str, Any]:
    known = {"stats": None, "grid": None, "items": None} if value.array is None else digest.brief(value.array)
    return {
        "id": value.id,
        "name": value.name,
        "kind": value.kind,
        "shape": list(value.shape),
        "dtype": value.dtype,
        "requires_grad": value.requires_grad,
        **known,
    }


def _op(op: Op) -> dict[str, Any]:
    line = None if op.line is None else {"file": op.line.file, "number": op.line.number, "text": op.line.text}
    return {
        "id": op.id,
        "name": op.name,
        "label": op.label,
        "formula": op.formula,
        "settings": digest.jsonable(op.settings),
        "inputs": op.inputs,
        "outputs": op.outputs,
        "scope": list(op.scope),
        "line": line,
        "seconds": op.seconds,
        "nbytes": op.nbytes,
        "implementation": op.implementation,
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "index": step.index,
        "op": step.op.id,
        "incoming": [_maybe(gradient) for gradient in step.incoming],
        "local": [
            {"value": local.value.id, "rule_shape": list(local.rule_shape), **local.gradient.to_json()}
            for local in step.local
        ],
        "added": [
            {
                "value": added.value.id,
                "before": _maybe(added.before),
                "contribution": added.contribution.to_json(),
                "after": added.after.to_json(),
            }
            for added in step.added
        ],
        "seconds": step.seconds,
        "nbytes": step.nbytes,
        "explanation": step.explain(),
        "questions": [question.to_json() for question in questions(step)],
    }


def _maybe(gradient: Gradient | None) -> dict[str, Any] | None:
    return None if gradient is None else gradient.to_json()
