"""What each gradient rule does, in a sentence, with the shapes and counts of the step at hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from minidl.inspect.nodes import Value
    from minidl.inspect.steps import Step


def in_words(step: Step) -> list[str]:
    """Sentences on how the rule of this step turns what comes in into what goes out; none where there is none to say."""
    said = _SENTENCES.get(step.name)
    if said is None:
        return []
    return [said] if isinstance(said, str) else said(step)


def matrix(shape: Any) -> str:
    """ "[5 × 2]"."""
    return "[" + " × ".join(map(str, shape)) + "]"


def _input(step: Step, position: int) -> Value | None:
    id = step.op.inputs[position] if position < len(step.op.inputs) else None
    return None if id is None else step.nodes.values[id]


def _shape(step: Step, position: int) -> tuple[int, ...] | None:
    value = _input(step, position)
    return None if value is None else value.shape


def _wanted(step: Step, position: int) -> bool:
    return any(local.position == position for local in step.local)


def _output(step: Step) -> tuple[int, ...]:
    return step.nodes.values[step.op.outputs[0]].shape


# ------------------------------------------------------------------------------------------------------------- products


def _linear(step: Step) -> list[str]:
    weight, output, x = _shape(step, 1), _output(step), _shape(step, 0)
    if weight is None:
        return []
    rows = int(np.prod(output[:-1], dtype=int))
    lines = []
    if _wanted(step, 0):
        lines.append(f"∂x = g W: {matrix((rows, weight[0]))} · {matrix(weight)} → {matrix((rows, weight[1]))}")
    if _wanted(step, 1):
        lines.append(f"∂W = gᵀ x: {matrix((weight[0], rows))} · {matrix((rows, weight[1]))} → {matrix(weight)}")
    if _wanted(step, 2):
        lines.append(f"∂b = Σ g over {rows} rows: {matrix((rows, weight[0]))} → {matrix(weight[:1])}")
    if x is not None and len(x) > 2 and lines:
        lines.insert(0, f"The {rows} rows are all dimensions of x but the last: {' · '.join(map(str, x[:-1]))}.")
    return lines


def _matmul(step: Step) -> list[str]:
    a, b, y = _shape(step, 0), _shape(step, 1), _output(step)
    if a is None or b is None or min(len(a), len(b)) < 2:
        return []
    lines = []
    if _wanted(step, 0):
        lines.append(f"∂A = G Bᵀ: {matrix(y)} · {matrix((*b[:-2], b[-1], b[-2]))} → {matrix((*y[:-1], b[-2]))}")
    if _wanted(step, 1):
        lines.append(f"∂B = Aᵀ G: {matrix((*a[:-2], a[-1], a[-2]))} · {matrix(y)} → {matrix((*y[:-2], a[-1], y[-1]))}")
    return lines


# ------------------------------------------------------------------------------------------------------ sums, and gates


def _sum(step: Step) -> list[str]:
    x = _shape(step, 0)
    return [] if x is None else [f"Every element of a sum counts once, so g is spread over {matrix(x)} as it is."]


def _mean(step: Step) -> list[str]:
    x, y = _shape(step, 0), _output(step)
    if x is None or not np.prod(y):
        return []
    n = int(np.prod(x, dtype=int) // np.prod(y, dtype=int))
    return [f"Every element counts 1/{n} of a mean over {n}, so g/{n} is spread over {matrix(x)}."]


def _relu(step: Step) -> list[str]:
    x = _input(step, 0)
    text = "Where the input was positive, g passes; elsewhere it is stopped"
    if x is None or x.array is None:
        return [text + "."]
    stopped = int((x.array <= 0).sum())
    return [f"{text}: {stopped:,} of {x.array.size:,} elements stop it."]


def _squashed(steepest: float) -> Callable[[Step], list[str]]:
    def say(step: Step) -> list[str]:
        y = step.nodes.values[step.op.outputs[0]].array
        text = f"The slope is at most {steepest:g}, and near 0 where the curve is flat"
        if y is None or not y.size:
            return [text + "."]
        y = y.astype(np.float64)
        slope = 1 - y * y if steepest == 1 else y * (1 - y)
        flat = int((slope < 0.05 * steepest).sum())
        return [
            f"{text}: here it is {slope.mean():.3g} on average, and below {0.05 * steepest:g} at {flat:,} of {y.size:,}."
        ]

    return say


def _dropout(step: Step) -> list[str]:
    p = vars(step.op.operator)["p"]
    keep = f", scaled by 1/(1 - {p:g}) = {1 / (1 - p):.4g}" if p < 1 else ""
    return [f"What was dropped in forward is dropped here: the others pass{keep}."]


def _pieces(step: Step) -> list[str]:
    return [f"Each of the {len(step.op.inputs)} inputs gets the part of g that stands where it stood."]


_MOVES = "Nothing is computed: each element of g goes back to the place that its value came from."
_SENTENCES: dict[str, str | Callable[[Step], list[str]]] = {
    "Add": "A sum hands g on to both of its parts.",
    "Sub": "A difference hands g on to what stands before the minus, and -g to what stands after.",
    "Mul": "Each factor gets g times the other factor.",
    "Div": "The numerator a gets g/b; the denominator b gets -g y/b, y the quotient.",
    "Neg": "The sign is turned.",
    "Exp": "The slope of the exponential is its own value: large results make large gradients.",
    "Log": "The slope is 1/x: values near 0 make large gradients.",
    "Sqrt": "The slope is 1/(2√x): values near 0 make large gradients, and 0 an infinite one.",
    "Square": "The slope is 2x: the gradient grows with the value.",
    "Linear": _linear,
    "MatMul": _matmul,
    "Sum": _sum,
    "Mean": _mean,
    "Relu": _relu,
    "Tanh": _squashed(1.0),
    "Sigmoid": _squashed(0.25),
    "Softmax": "Raising one score lowers the shares of all others: from g its mean, weighted by y, is taken away.",
    "LogSoftmax": "From g its sum, shared out as the softmax, is taken away: what goes out sums to 0 along the dimension.",
    "CrossEntropy": "∂x = softmax(x) - target, weighted and averaged as the loss is: each row of it sums to 0.",
    "Dropout": _dropout,
    "Cat": _pieces,
    "Stack": _pieces,
    "Split": "The gradients of the parts are put together again.",
    "Unbind": "The gradients of the slices are stacked again.",
    "Reshape": _MOVES,
    "Permute": _MOVES,
    "Select": "What was not selected gets 0; each element of g goes back to the place that its value came from.",
    "Take": "Each element of g goes back to where its value was taken from; of an element taken twice, both add up.",
    "Expand": "A value that was repeated gets the sum of the gradients of its copies.",
    "Embedding": "Each row of the table gets the sum of g over the places that looked it up; other rows get 0.",
    "MaxPool": "Only the largest of each window gets a gradient.",
    "Extreme": "Only the largest (smallest) gets a gradient; equals share it.",
    "Pick": "Only what was picked gets a gradient.",
    "Where": "Each element of g goes to the side that was chosen there.",
    "Convolution": "∂x slides the turned kernel over g; ∂w is what each place of the kernel saw, weighted by g.",
    "LayerNorm": "Scaling and shifting a row changes nothing, so g loses its mean and its part along the normalised row.",
    "BatchNorm": "In training, each channel's g loses its mean and its part along the normalised values.",
    "Attention": "g goes to v by the attention weights, and through their softmax to q and k.",
    "LstmLayer": "The gradient is carried back through time: along the cells by the forget gates, along the states by W_hh.",
    "GruLayer": "The gradient is carried back through time: past each step by the update gate, and through W_hh.",
    "RnnLayer": "The gradient is carried back through time: at each step times the slope of the nonlinearity and W_hh.",
    "Clone": "A copy hands g on.",
    "Cast": "The gradient is turned back into the type of the input.",
}
