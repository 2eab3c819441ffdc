"""Predict, then reveal: questions about a step's gradients, to be answered before they are shown.

quiz = minidl.inspect.quiz(recording)
question = quiz.question                  # "Which shape has the gradient that goes to fc1.weight?"
print(quiz.answer("4 x 3"))               # right or wrong, and why; on to the next question
print(quiz.score)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minidl.inspect import explain
from minidl.inspect.recording import Recording
from minidl.inspect.steps import Local, Step

KINDS = ("shape", "sign", "value")
SIGNS = ("negative", "zero", "positive")
HINTS = {
    "shape": "a shape is written such as 4 x 3, or () for a single number",
    "sign": "a sign is negative, zero or positive (or -, 0, +)",
    "value": "a value is a number such as -0.25",
}
TOLERANCE = 0.02  # of a value: what rounding in one's head excuses


@dataclass(eq=False)
class Question:
    """A question about what a step passes to one of its inputs.

    ``kind``: "shape" (``answer`` is a list of sizes), "sign" (one of ``SIGNS``), "value" (a number, right within
    ``tolerance``). ``value`` is the id of the input; ``index`` the element that is meant, None for "shape".
    """

    step: int
    kind: str
    prompt: str
    answer: Any
    tolerance: float
    value: int
    index: list[int] | None
    reveal: str

    def grade(self, answer: Any) -> bool:
        """Whether ``answer`` is right. ValueError, with an example, for what cannot be understood."""
        if self.kind == "shape":
            return _as_shape(answer) == self.answer
        if self.kind == "sign":
            return _as_sign(answer) == self.answer
        return abs(_as_number(answer) - self.answer) <= self.tolerance

    def to_json(self) -> dict[str, Any]:
        """For the page."""
        names = ("kind", "prompt", "answer", "tolerance", "value", "index", "reveal")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Grade:
    """An answer's mark: ``right``, and what is right and why."""

    right: bool
    question: Question = field(repr=False)

    def __str__(self) -> str:
        return f"{'Right.' if self.right else 'Not so.'} {self.question.reveal}"


@dataclass
class Score:
    """How many answers were right, of how many; by kind too."""

    right: int = 0
    asked: int = 0
    by_kind: dict[str, list[int]] = field(default_factory=dict)  # kind → [right, asked]

    def add(self, kind: str, right: bool) -> None:
        """Count an answer."""
        self.right, self.asked = self.right + right, self.asked + 1
        marks = self.by_kind.setdefault(kind, [0, 0])
        marks[0], marks[1] = marks[0] + right, marks[1] + 1

    def __str__(self) -> str:
        if not self.asked:
            return "no question answered yet"
        kinds = ", ".join(f"{kind} {right} of {asked}" for kind, (right, asked) in self.by_kind.items())
        return f"{self.right} of {self.asked} right ({kinds})"


class Quiz:
    """One question a step, in the order of the recording; the kinds take turns.

    Args:
        recording: what is asked about.
        kinds: which kinds of question: "shape", "sign", "value".
    """

    def __init__(self, recording: Recording, kinds: Sequence[str] = KINDS) -> None:
        for kind in kinds:
            if kind not in KINDS:
                raise ValueError(f"a quiz asks for {', '.join(KINDS)}, not {kind!r}")
        if not kinds:
            raise ValueError(f"a quiz needs at least one kind of question: {', '.join(KINDS)}")
        self.recording = recording
        self.kinds = tuple(kinds)
        self.score = Score()
        self.questions = [q for q in map(self.of, recording) if q is not None]
        self._next = 0

    def of(self, step: Step) -> Question | None:
        """The question about a step; None if there is nothing to ask (it passes nothing on)."""
        possible = {q.kind: q for q in reversed(questions(step)) if q.kind in self.kinds}
        turns = [self.kinds[(step.index + i) % len(self.kinds)] for i in range(len(self.kinds))]
        return next((possible[kind] for kind in turns if kind in possible), None)

    @property
    def question(self) -> Question | None:
        """The question that is to be answered; None when all are."""
        return self.questions[self._next] if self._next < len(self.questions) else None

    def answer(self, answer: Any) -> Grade:
        """Grade an answer to :attr:`question`, count it, and go on to the next.

        Raises:
            ValueError: the answer cannot be understood (it does not count).
            RuntimeError: all questions are answered.
        """
        if self.question is None:
            raise RuntimeError(f"all questions are answered: {self.score}")
        grade = self.grade(self.question, answer)
        self._next += 1
        return grade

    def grade(self, question: Question, answer: Any) -> Grade:
        """Grade an answer to any question, and count it. ValueError if it cannot be understood."""
        right = question.grade(answer)
        self.score.add(question.kind, right)
        return Grade(right, question)

    def __repr__(self) -> str:
        return f"<Quiz: {len(self.questions)} questions, {self.score}>"


def quiz(recording: Recording, kinds: Sequence[str] = KINDS) -> Quiz:
    """Questions about a recording: predict each step's gradient, then see it.

    Args:
        recording: from :func:`minidl.inspect.backward`.
        kinds: which questions: "shape", "sign", "value".

    Raises:
        ValueError: an unknown kind, or none.
        TypeError: something else than a recording.
    """
    if not isinstance(recording, Recording):
        raise TypeError(
            f"a quiz is about a recording: minidl.inspect.quiz(minidl.inspect.backward(loss)); got {type(recording).__name__}"
        )
    return Quiz(recording, kinds)


# ------------------------------------------------------------------------------------------------------- what is asked


def questions(step: Step) -> list[Question]:
    """All that can be asked about a step, for every input that it passes a gradient to."""
    found: list[Question] = []
    for local in step.local:
        found.append(_shape(step, local))
        array = local.gradient.array
        if array is not None and array.size and np.isfinite(array.astype(np.float64)).all():
            index = _element(step, array)
            if _by_hand(step, local):
                found += [_sign(step, local, index, _numbers(step)), _value(step, local, index)]
            elif there := _there(step, local, index):
                found.append(_sign(step, local, index, there))
    return found


def _element(step: Step, array: np.ndarray) -> tuple[int, ...]:
    """Which element is asked for: any, but always the same in the same step."""
    flat = int(np.random.default_rng(step.index).integers(array.size))
    return tuple(int(i) for i in np.unravel_index(flat, array.shape))


def _by_hand(step: Step, local: Local) -> bool:
    """Whether a value can be worked out from what the prompt says: few numbers, all of them known."""
    gradients = [*step.incoming, local.gradient]
    values = [step.nodes.values[id] for id in step.op.inputs if id is not None]
    return all(g is not None and explain.numbers_of(g.array) is not None for g in gradients) and all(
        explain.numbers_of(value.array) is not None for value in values
    )


def _there(step: Step, local: Local, index: tuple[int, ...]) -> str:
    """The numbers that an element of the gradient is made of, where the operator works element by element; else nothing."""
    values = [step.nodes.values[id] for id in dict.fromkeys(step.op.inputs) if id is not None]
    known = [(value.name, value.array) for value in values] + [("g", g.array) for g in step.incoming if g is not None]
    whole = [(name, array) for name, array in known if array is not None and array.shape in ((), local.gradient.shape)]
    if (
        not isinstance(step.op.operator, explain.ELEMENTWISE)
        or len(whole) < len(known)
        or len(values) < len(step.op.inputs)
    ):
        return ""
    written = [f"{name} = {array[index] if array.shape else array[()]:.4g}" for name, array in whole]
    return f" There, {', '.join(written)}."


def _before(step: Step) -> str:
    """What is known when a question is asked: the operator, and what comes in."""
    shapes = ", ".join(explain.shape_of(g.shape) for g in step.incoming if g is not None)
    inputs = ", ".join(
        f"{step.nodes.values[id].name} {explain.shape_of(step.nodes.values[id].shape)}"
        for id in step.op.inputs
        if id is not None
    )
    return f"Back through {step.op.label} of {inputs}; the gradient of its result, g, is {shapes}."


def _target(local: Local, index: tuple[int, ...] = ()) -> str:
    element = f"element [{', '.join(map(str, index))}] of " if index else ""
    return f"{element}the gradient that goes to {local.value.name}"


def _shape(step: Step, local: Local) -> Question:
    shape = list(local.gradient.shape)
    summed = " Broadcasting is undone by summing." if local.was_broadcast else ""
    reveal = f"A gradient has the shape of what it belongs to: {explain.shape_of(local.gradient.shape)}.{summed}"
    prompt = f"{_before(step)} Which shape has {_target(local)}?"
    return Question(step.index, "shape", prompt, shape, 0.0, local.value.id, None, reveal)


def _sign(step: Step, local: Local, index: tuple[int, ...], known: str) -> Question:
    number = float(local.gradient.array[index])  # type: ignore[index]
    prompt = f"{_before(step)} Is {_target(local, index)} negative, zero or positive?{known}"
    answer = SIGNS[int(np.sign(number)) + 1]
    reveal = f"It is {number:.4g}, {answer}. {step.op.formula}."
    return Question(step.index, "sign", prompt, answer, 0.0, local.value.id, list(index), reveal)


def _value(step: Step, local: Local, index: tuple[int, ...]) -> Question:
    number = float(local.gradient.array[index])  # type: ignore[index]
    prompt = f"{_before(step)}{_numbers(step)} What is {_target(local, index)}?"
    reveal = f"It is {number:.4g}. {step.op.formula}."
    tolerance = max(TOLERANCE * abs(number), 1e-9)
    return Question(step.index, "value", prompt, number, tolerance, local.value.id, list(index), reveal)


def _numbers(step: Step) -> str:
    """The numbers that are known and few."""
    known = [
        (value.name, explain.numbers_of(value.array))
        for value in (step.nodes.values[id] for id in dict.fromkeys(step.op.inputs) if id is not None)
    ]
    known += [("g", explain.numbers_of(g.array)) for g in step.incoming if g is not None]
    written = [f"{name} = {text}" for name, text in known if text is not None and text != name]
    return " " + ", ".join(written) + "." if written else ""


# ---------------------------------------------------------------------------------------------------- what is answered


def _as_shape(answer: Any) -> list[int]:
    if isinstance(answer, str):
        text = answer.strip().lower()
        if text in ("()", "[]", "scalar", "a number", "number", "1 number"):
            return []
        if not re.fullmatch(r"[\[(]?\s*\d+(\s*[,x×*]\s*\d+|\s+\d+)*\s*,?\s*[\])]?", text):
            raise ValueError(f"{HINTS['shape']}; {answer!r} was not understood")
        return [int(n) for n in re.findall(r"\d+", text)]
    try:
        return [int(n) for n in answer]
    except TypeError:
        raise ValueError(f"a shape is a sequence of sizes, or text such as '4 x 3'; got {answer!r}") from None


def _as_sign(answer: Any) -> str:
    text = str(answer).strip().lower()
    for sign, symbol in zip(SIGNS, ("-", "0", "+")):
        if text == symbol or (text and sign.startswith(text)):
            return sign
    raise ValueError(f"{HINTS['sign']}; {answer!r} was not understood")


def _as_number(answer: Any) -> float:
    try:
        return float(answer.replace(",", ".") if isinstance(answer, str) else answer)
    except (TypeError, ValueError):
        raise ValueError(f"{HINTS['value']}; {answer!r} was not understood") from None
