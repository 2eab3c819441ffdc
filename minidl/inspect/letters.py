"""What the letters of a formula stand for: the inputs and results at hand, settings, and the signs of mathematics."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from minidl.autograd.tape import Operator
from minidl.inspect.labels import documented
from minidl.inspect.settings import every_setting

if TYPE_CHECKING:
    from minidl.inspect.nodes import Op

# What means the same in every formula where nothing else is said of it.
_COMMON = {
    "e": "2.718…",
    "π": "3.14159…",
    "Σ": "sum",
    "Π": "product",
    "log": "natural logarithm",
    "ln": "natural logarithm",
    "σ": "sigmoid, σ(v) = 1/(1 + e^-v)",
    "Γ": "gamma function",
    "ψ": "digamma function, the slope of ln Γ",
    "sign": "-1 below 0, 1 above, 0 at 0",
    "G": "g, as matrices",
    "I": "identity matrix",
    "n": "how many there are",
    "i": "a place along the dimension",
    "j": "a place along the dimension",
    "k": "a place along the dimension",
    "diag": "a diagonal matrix of it",
    "sym": "the mean of a matrix and its transpose",
    "mask": "True where a value is put in",
    "index": "where x is read",
    "log₂": "logarithm to base 2",
    "log₁₀": "logarithm to base 10",
}
_NORM = {
    "μ": "mean",
    "σ": "standard deviation",
    "ε": "eps, {eps:.3g}",
}
_RECURRENT = {
    "t": "a time step",
    "h": "state",
    "c": "cell",
    "z": "update gate, in (0, 1)",
    "n": "proposed new content, in (-1, 1)",
    "i": "input gate, in (0, 1)",
    "f": "forget gate, in (0, 1)",
    "o": "output gate, in (0, 1)",
}
_DIAGONAL = {"dim1": "dimension {dim1}", "dim2": "dimension {dim2}", "offset": "{offset}, 0 being the main diagonal"}

# What each operator's own letters stand for, as text that its attributes are filled into. Of an input it is what is said
# of it beside its name.
_OWN: dict[str, dict[str, str]] = {
    "Accumulate": {"index": "where x is added"},
    "Add": {"α": "alpha, {alpha}"},
    "AsStrided": {
        "i": "a place in y",
        "o": "storage_offset, where x begins if none is given",
        "k": "a dimension",
        "s": "stride {strides}",
    },
    "Attention": {
        "q": "queries",
        "k": "keys",
        "v": "values",
        "s": "scale, {settings.scale:.4g}",
        "m": "mask: 0 where a query may look, -∞ where not, or attn_mask",
        "P": "the weights, each row of which sums to 1",
        "D": "what comes to the scores",
    },
    "BatchNorm": {**_NORM, "μ": "mean of the channel, over the batch or running", "w": "weight", "b": "bias"},
    "BinaryCrossEntropy": {"p": "predicted probability", "t": "target"},
    "CTC": {"p": "probability, summed over all ways to align them"},
    "Cholesky": {"Φ": "lower triangle with half the diagonal"},
    "Convolution": {"w": "weight", "b": "bias"},
    "CrossEntropy": {
        "x": "scores",
        "t": "target, the right class",
        "c": "a class",
        "C": "number of classes",
        "l": "loss if c were right",
        "w": "weight of a class, 1 if none is given",
        "s": "label_smoothing, {smoothing:g}",
        "reduced": "reduction={reduction!r}, over all targets that count",
    },
    "Det": {"cof": "matrix of cofactors"},
    "Diagonal": _DIAGONAL,
    "Dropout": {"m": "mask", "p": "probability to drop, {p:g}"},
    "Eigh": {"F": "0 on its diagonal", "λ": "eigenvalues", "V": "eigenvectors, in columns", "G": "gradient of λ, of V"},
    "Elu": {
        "α": "alpha, {alpha:.5g}",
        "λ": "a factor, {scale:.5g} (1 but in selu)",
        "k": "a rate, {rate:.4g} (1 but in celu)",
    },
    "Embedding": {"W": "table", "index": "rows that are looked up", "r": "a row"},
    "EmbeddingGradient": {"r": "a row", "index": "the row of the table"},
    "Erf": {"t": "variable of the integral"},
    "Extreme": {"k": "how many equal y"},
    "Hardtanh": {"a": "min_val, {low:g}", "b": "max_val, {high:g}"},
    "Hardshrink": {"λ": "lambd, {lambd:g}"},
    "Huber": {"t": "target", "δ": "threshold, {delta:g} (delta, beta)", "k": "1 in huber_loss, 1/δ in smooth_l1_loss"},
    "Im2Col": {"n": "a sample", "c": "a channel", "k": "a place in the window", "l": "a window"},
    "InputGradient": {"w": "weight"},
    "LayerNorm": {**_NORM, "μ": "mean of the row, {width} values", "w": "weight", "b": "bias"},
    "LeakyRelu": {"s": "negative_slope, {negative_slope:.4g}"},
    "Lerp": {"w": "weight"},
    "LogAddExp": {"log": "logarithm", "β": "e, or 2 in logaddexp2"},
    "LogSumExp": {"m": "max x"},
    "Logit": {"ε": "eps, {eps}"},
    "LstmLayer": _RECURRENT,
    "GruLayer": _RECURRENT,
    "RnnLayer": _RECURRENT | {"f": "{nonlinearity}"},
    "Mean": {"n": "{n}, the number of values"},
    "NanToNum": {"nan": "{settings[nan]}", "inf": "the largest number, or posinf, neginf"},
    "Pick": {"index": "where y was found"},
    "PRelu": {"w": "slope"},
    "Polygamma": {"n": "{n}, which slope of ψ"},
    "Put": {"index": "where values are put"},
    "QR": {"mir": "lower triangle, mirrored", "G": "gradient of Q, of R"},
    "RandomRelu": {"s": "slope"},
    "RmsNorm": {**_NORM, "w": "weight"},
    "Rotation": {"φ": "angle, by position and pair"},
    "RoundDecimals": {"d": "decimals, {decimals}"},
    "SVD": {"G": "gradient of S"},
    "SlogDet": {"s": "sign"},
    "Softplus": {"β": "beta, {beta:g}", "threshold": "{threshold:g}"},
    "Softshrink": {"λ": "lambd, {lambd:g}"},
    "SquaredError": {"t": "target"},
    "Std": {"n": "number of values", "c": "correction, {correction:g}", "x̄": "mean of x"},
    "Var": {"n": "number of values", "c": "correction, {correction:g}", "x̄": "mean of x"},
    "Sub": {"α": "alpha, {alpha}"},
    "Threshold": {"t": "threshold, {threshold:g}", "v": "value, {other:g}"},
    "VectorNorm": {"p": "order, {p:g}"},
    "WeightGradient": {"v": "gradient that was handed back"},
    "Where": {"c": "condition"},
    "_Beside": {"x": "the inputs", "i": "which of them"},
    "_Border": {"x": "each input"},
}

_RAISED = re.compile("[ᵃᵇᵈⁱʲᵐⁿᵖˣʸᵢⱼₖ]")  # letters above and below the line
_LEVEL = dict(zip("ᵃᵇᵈⁱʲᵐⁿᵖˣʸᵢⱼₖ", "abdijmnpxyijk"))
_TOKEN = re.compile(r"(?<!')(?:[Α-ϖ]|[A-Za-z]\u0304|log[₀-₉]+|[A-Za-z]+(?:_[a-z]{2,})?\d?)")


def where(op: Op, describe: Callable[[int | None], str], width: int = 90) -> list[str]:
    """Lines that say what the letters of an operator's formula stand for: "x: h [5 × 4];  W: fc.weight [2 × 4]"."""
    alike: dict[str, list[str]] = {}
    for letter, meaning in letters(op, describe).items():
        alike.setdefault(meaning, []).append(letter)
    lines: list[str] = []
    for meaning, named in alike.items():
        told = f"{', '.join(named)}: {meaning}"
        if lines and len(lines[-1]) + 3 + len(told) <= width:
            lines[-1] += f";  {told}"
        else:
            lines.append(told)
    return lines


def letters(op: Op, describe: Callable[[int | None], str]) -> dict[str, str]:
    """What each letter of the formula stands for, in the order in which they appear; ``g``, the gradient that comes in, is
    not among them. ``describe`` tells of a value of the graph, by its id."""
    own, values = _OWN.get(op.name, {}), _values(op)
    found: dict[str, str] = {}
    for token in tokens(op.formula):
        told = [own[token].format_map(_attributes(op.operator))] if token in own else []
        if token in values:
            id = values[token]
            told.append("none given" if id == _ABSENT else describe(id))
        if not told and (meaning := _otherwise(op, token)):
            told = [meaning]
        if told:
            found.setdefault(token, ", ".join(told))
    return found


def tokens(formula: str) -> list[str]:
    """The letters and words of a formula, in order: "y", "x", "W", "b"."""
    return _TOKEN.findall(_RAISED.sub(lambda raised: f" {_LEVEL[raised[0]]} ", formula))


def _values(op: Op) -> dict[str, int | None]:
    """The ids of the values that a formula speaks of, by its letters. Inputs are called as ``forward`` calls them (A: a,
    W: weight), results as what stands to the left of the first equals sign."""
    inputs = dict(zip_longest(_arguments(documented(op.operator)), op.inputs, fillvalue=_ABSENT))
    found = {}
    for token in tokens(op.formula):
        small = token.lower()
        name = next((name for name in (token, small, _INITIALS.get(small)) if name in inputs), None)
        if name is not None:
            found[token] = inputs[name]
    results = op.formula.partition(" = ")[0].split(", ")
    results = results if len(results) == len(op.outputs) else results[:1]
    return found | {token: id for part, id in zip(results, op.outputs) for token in tokens(part)[:1]}


_ABSENT = -1  # the id of an argument that was left out
_INITIALS = {"w": "weight", "b": "bias"}


@functools.cache
def _arguments(kind: type) -> list[str]:
    """What ``forward`` calls the inputs; nothing of those that it takes in any number."""
    named = list(inspect.signature(kind.forward).parameters.values())[1:]
    return [p.name for p in named if p.kind is p.POSITIONAL_OR_KEYWORD]


def _attributes(operator: Operator) -> dict[str, Any]:
    return {name: "none" if value is None else value for name, value in operator.__dict__.items()}


def _otherwise(op: Op, token: str) -> str:
    """The meaning of what is neither the operator's own nor a value: a setting, or a sign."""
    settings = every_setting(op.operator)
    if token in settings or token in _COMMON:
        return str(settings.get(token, _COMMON.get(token)))
    kept = op.operator.__dict__.get(token)
    return str(kept) if len(token) > 1 and isinstance(kept, (int, float, str, tuple)) else ""
