"""Why an operator's result, or its gradient, is not a number: in words, with what would mend it.

Each rule gets the operator's inputs and its result as arrays (None where they are not known), the latter where it is not
finite, and returns ``(what happened, remedy)``, or None if it sees nothing that it knows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Words = tuple[str, str] | None
AWAY = "keep the argument away from 0: x.clamp(min=1e-8), or x + 1e-8"
SMALLER = (
    "make the values smaller: normalise the inputs, lower the learning rate, clip gradients "
    "(nn.utils.clip_grad_norm_); or compute in a wider type"
)


class At:
    """The inputs and outputs of an operator at the places where something is not finite."""

    def __init__(self, operator: Any, inputs: list[Any], result: Any, bad: np.ndarray) -> None:
        self.operator, self.inputs, self.result, self.bad = operator, inputs, result, bad

    def __getitem__(self, i: int) -> np.ndarray | None:
        """Input i at those places, for operators whose inputs are broadcast to the result's shape; None if not known."""
        if i >= len(self.inputs) or self.inputs[i] is None:
            return None
        try:
            return np.broadcast_to(self.inputs[i], self.bad.shape)[self.bad]
        except ValueError:
            return None

    def largest(self) -> str:
        """The largest sizes that went in."""
        sizes = [np.abs(x[np.isfinite(x)]).max(initial=0) for x in map(np.asarray, self.known())]
        return ", ".join(f"{size:.4g}" for size in sizes)

    def known(self) -> list[Any]:
        return [x for x in self.inputs if x is not None]


def times(mask: np.ndarray) -> str:
    n = int(mask.sum())
    return "once" if n == 1 else "twice" if n == 2 else f"{n:,} times"


# ------------------------------------------------------------------------------------------------------------- forward


def log(at: At) -> Words:
    x = at[0]
    if x is None:
        return None
    least = -1.0 if at.operator.name == "Log1p" else 0.0
    name, edge = at.operator.name.lower(), f"{least:.0f}"
    if (x < least).any():
        return (
            f"{name} of a negative number ({x.min():.4g}), {times(x < least)}",
            f"its argument must be above {edge}; {AWAY}",
        )
    if (x == least).any():
        return (
            f"{name} of {edge}, {times(x == least)}",
            f"{AWAY}; for probabilities, compute from the scores: log_softmax, cross_entropy, "
            "binary_cross_entropy_with_logits",
        )
    return None


def sqrt(at: At) -> Words:
    x = at[0]
    if x is None:
        return None
    name = "rsqrt" if at.operator.name == "Rsqrt" else "sqrt"
    if (x < 0).any():
        return f"{name} of a negative number ({x.min():.4g}), {times(x < 0)}", "x.clamp(min=0) before it"
    if (x == 0).any() and name == "rsqrt":
        return f"1/√0, {times(x == 0)}", "add a small number under the root: (x + 1e-8).rsqrt()"
    return None


def division(at: At) -> Words:
    a, b = (np.ones(1), at[0]) if at.operator.name == "Reciprocal" else (at[0], at[1])
    if b is None or a is None:
        return None
    a = np.broadcast_to(a, b.shape)
    both = (a == 0) & (b == 0)
    if both.any():
        return f"0/0, {times(both)}", "add a small number below: a / (b + 1e-8); or choose with where before dividing"
    if (b == 0).any():
        return f"division by 0, {times(b == 0)}", "add a small number below: a / (b + 1e-8), or b.clamp(min=1e-8)"
    return _overflow(at)


def exponential(at: At) -> Words:
    x = at[0]
    if x is None or at.result is None:
        return None
    most = float(np.finfo(at.result.dtype).max)
    base, root = ("2", np.log2(most)) if at.operator.name == "Exp2" else ("e", np.log(most))
    if (x > root).any():
        name = at.operator.name.lower()
        return (
            f"overflow of {name}: its largest input is {x.max():.4g}, and {base}^{root:.4g} is the largest that "
            f"{at.result.dtype} holds",
            "subtract the maximum first, as softmax, log_softmax and logsumexp do; or x.clamp(max=…)",
        )
    return None


def power(at: At) -> Words:
    a, b = at[0], at[1]
    if a is None or b is None:
        return None
    if ((a == 0) & (b < 0)).any():
        return f"0 to a negative power, {times((a == 0) & (b < 0))}", AWAY
    fraction = (a < 0) & (b != np.round(b))
    if fraction.any():
        return (
            f"a negative number ({a[fraction].min():.4g}) to a power that is no whole number",
            "x.abs() or x.clamp(min=0)",
        )
    return _overflow(at)


def domain(low: float, high: float) -> Callable[[At], Words]:
    def rule(at: At) -> Words:
        x = at[0]
        outside = None if x is None else (x < low) | (x > high)
        name = at.operator.name.lower()
        if x is None or outside is None:
            return None
        if outside.any():
            return (
                f"{name} of {x[outside][0]:.4g}, outside [{low:g}, {high:g}]",
                f"x.clamp({low:g}, {high:g}) before it",
            )
        return (
            f"{name} of {x[0]:.4g}, an end of [{low:g}, {high:g}]",
            f"x.clamp({low + 1e-6:g}, {high - 1e-6:g}) before it",
        )

    return rule


def softmax(at: At) -> Words:
    x = at.inputs[0]
    if x is not None and np.isneginf(x).any():
        return (
            "a row whose scores are all -∞: e^-∞ / Σ e^-∞ = 0/0",
            "let every row see at least one place: a padded query may look at itself, or use a large negative number such as "
            "-1e9 in the mask",
        )
    return None


def mean(at: At) -> Words:
    x = at.inputs[0]
    if x is not None and not x.size:
        return "the mean of no values: 0/0", "look for an empty batch, or an empty slice, before it"
    return _overflow(at)


def variance(at: At) -> Words:
    if getattr(at.operator, "freedom", 1) <= 0:
        return "the variance of a single value with correction 1: 0/0", "correction=0, or more than one value"
    return _overflow(at)


def _overflow(at: At) -> Words:
    """Finite values in, and a result beyond the type's end."""
    if at.result is None or at.result.dtype.kind != "f" or not np.isinf(at.result).any():
        return None
    most = float(np.finfo(at.result.dtype).max)
    return (
        f"overflow: the result is beyond {most:.4g}, the largest that {at.result.dtype} holds (largest values going in: "
        f"{at.largest()})",
        SMALLER,
    )


FORWARD: dict[str, Callable[[At], Words]] = {
    **dict.fromkeys(("Log", "Log2", "Log10", "Log1p"), log),
    **dict.fromkeys(("Sqrt", "Rsqrt"), sqrt),
    **dict.fromkeys(("Div", "Reciprocal"), division),
    **dict.fromkeys(("Exp", "Exp2", "Expm1", "Sinh", "Cosh"), exponential),
    **dict.fromkeys(("Softmax", "LogSoftmax", "LogSumExp"), softmax),
    **dict.fromkeys(("Acos", "Asin", "Atanh", "Erfinv"), domain(-1, 1)),
    **dict.fromkeys(("Var", "Std"), variance),
    "Logit": domain(0, 1),
    "Pow": power,
    "Mean": mean,
}


def forward(operator: Any, inputs: list[Any], result: Any) -> tuple[str, str]:
    """Why a result is not finite although (but for softmax's) every input is."""
    at = At(operator, inputs, result, ~np.isfinite(result))
    undefined = (
        f"NaN from finite values (largest going in: {at.largest()}): an overflow on the way, or inputs for which the function "
        "is not defined"
    )
    return FORWARD.get(operator.name, _overflow)(at) or _overflow(at) or (undefined, SMALLER)


# ------------------------------------------------------------------------------------------------------------ backward

Places = Callable[[np.ndarray], np.ndarray]


def _at(value: float) -> Places:
    return lambda x: x == value


def _overflows(x: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        return np.isinf(np.exp(x))


# Where a rule's local slope is infinite: of which input, where, the slope, and how to keep away from there.
_ROOT = "add a small number under the root: (x + 1e-8).sqrt()"
_ENDS = "x.clamp(-1 + 1e-6, 1 - 1e-6)"
SINGULAR: dict[str, tuple[int, Places, str, str]] = {
    "Sqrt": (0, _at(0), "1/(2√0)", _ROOT),
    "Rsqrt": (0, _at(0), "-1/(2·0^1.5)", _ROOT),
    "Log": (0, _at(0), "1/0", AWAY),
    "Log2": (0, _at(0), "1/0", AWAY),
    "Log10": (0, _at(0), "1/0", AWAY),
    "Log1p": (0, _at(-1), "1/0", "keep the argument above -1"),
    "Reciprocal": (0, _at(0), "-1/0²", AWAY),
    "Div": (1, _at(0), "1/0", "add a small number below: a / (b + 1e-8)"),
    "Pow": (0, _at(0), "b·0^(b-1) with b < 1", AWAY),
    "Xlogy": (1, _at(0), "x/0", AWAY),
    "Acos": (0, lambda x: abs(x) == 1, "-1/√(1 - 1)", _ENDS),
    "Asin": (0, lambda x: abs(x) == 1, "1/√(1 - 1)", _ENDS),
    "Atanh": (0, lambda x: abs(x) == 1, "1/(1 - 1)", _ENDS),
    "Logit": (0, lambda x: (x == 0) | (x == 1), "1/(x (1 - x))", "logit(x, eps=1e-6)"),
    "Exp": (0, _overflows, "e^x", "x.clamp(max=80) before it"),
}


def backward(operator: Any, inputs: list[Any], gradient: Any, result: Any) -> tuple[str, str]:
    """Why a gradient rule gave what is not finite, although the gradient that came in is."""
    bad = ~np.isfinite(result)
    at = At(operator, inputs, result, bad)
    position, places, slope, remedy = SINGULAR.get(operator.name, (0, _nowhere, "", ""))
    x = at[position]
    where = np.zeros(0, bool) if x is None else places(x)
    if x is None or not where.any():
        return (
            f"the local slope, or its product with the gradient, is not finite (largest values going in: {at.largest()}; "
            f"largest gradient: {np.abs(gradient).max(initial=0):.4g})",
            SMALLER,
        )
    words = f"the slope of {operator.name.lower()} is {slope} = ∞ at an input of {x[where][0]:.4g}, {times(where)}"
    try:
        arriving = np.broadcast_to(gradient, bad.shape)[bad]
    except ValueError:
        return words, remedy
    if (arriving[where] == 0).any():
        return (
            f"{words}. The gradient that arrives there is 0 (where, or a mask, chose something else), and 0 · ∞ = NaN",
            "choose before computing, not after: where(ok, f(where(ok, x, 1.0)), 0.0) instead of where(ok, f(x), 0.0); or "
            + remedy,
        )
    return words, remedy


def _nowhere(x: np.ndarray) -> np.ndarray:
    return np.zeros(x.shape, bool)
