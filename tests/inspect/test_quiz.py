"""Questions have one right answer, which agrees with the gradient that autograd computes."""

from __future__ import annotations

import json

import numpy as np
import pytest

import minidl
from minidl import inspect, nn
from minidl.inspect.quiz import KINDS, questions


@pytest.fixture
def recording():
    minidl.manual_seed(0)
    a = minidl.tensor([[2.0, -1.0]], requires_grad=True)
    b = minidl.tensor([[3.0], [5.0]], requires_grad=True)
    with inspect.trace():
        c = a * b
        d = c.relu()
        loss = d.sum()
    return inspect.backward(loss)


def test_every_answer_is_right(recording):
    for step in recording:
        for question in questions(step):
            gradient = next(l.gradient.array for l in step.local if l.value.id == question.value)
            if question.kind == "shape":
                assert question.answer == list(gradient.shape)
            elif question.kind == "sign":
                assert (
                    question.answer
                    == ("negative", "zero", "positive")[int(np.sign(gradient[tuple(question.index)])) + 1]
                )
            else:
                assert question.answer == gradient[tuple(question.index)]
            assert question.grade(question.answer)


def test_all_kinds_are_asked_where_numbers_are_few(recording):
    for step in recording:
        assert {q.kind for q in questions(step)} == set(KINDS)
    mul = questions(recording[2])
    assert [q.answer for q in mul if q.kind == "shape"] == [[1, 2], [2, 1]]
    (first, *_) = [q for q in mul if q.kind == "value"]
    assert first.answer in ([8.0, 0.0])  # ∂loss/∂a = [3 + 5, 0]: relu blocks the second column
    assert "a = [[2, -1]], b = [[3], [5]], g = [[1, 0], [1, 0]]" in first.prompt


def test_of_large_tensors_a_sign_is_asked_only_where_the_numbers_that_make_it_are_told():
    model = nn.Linear(30, 40)
    with inspect.trace():
        loss = (model(minidl.randn(5, 30)) * minidl.randn(5, 40)).tanh().sum()
    recording = inspect.backward(loss)
    assert {q.kind for q in questions(recording[-1])} == {"shape"}  # a sum of forty products
    (sign,) = [q for q in questions(recording[1]) if q.kind == "sign"]
    g, x = recording[1].incoming[0].array, recording.nodes.values[sign.value].array
    place = tuple(sign.index)
    assert f"There, mul 1 = {x[place]:.4g}, g = {g[place]:.4g}." in sign.prompt
    assert sign.answer == "positive"  # 1 - tanh²


def test_nothing_is_asked_about_nan():
    x = minidl.tensor([0.0], requires_grad=True)
    loss = (x.sqrt() * 0).sum()
    step = inspect.backward(loss)[2]
    assert {q.kind for q in questions(step)} == {"shape"}


def test_playing(recording):
    quiz = inspect.quiz(recording)
    assert [q.kind for q in quiz.questions] == ["shape", "sign", "value"]
    assert quiz.question.step == 0
    grade = quiz.answer("2 x 2")
    assert grade.right
    assert str(grade).startswith("Right. A gradient has the shape")
    with pytest.raises(ValueError, match="was not understood"):
        quiz.answer("perhaps")
    assert quiz.score.asked == 1
    truth = quiz.question.answer
    grade = quiz.answer("negative" if truth != "negative" else "positive")
    assert not grade.right
    assert str(grade).startswith("Not so.")
    assert quiz.answer(quiz.question.answer * 1.01).right
    assert quiz.question is None
    assert str(quiz.score) == "2 of 3 right (shape 1 of 1, sign 0 of 1, value 1 of 1)"
    with pytest.raises(RuntimeError, match="all questions are answered: 2 of 3"):
        quiz.answer(1)


def test_chosen_kinds_alone(recording):
    assert {q.kind for q in inspect.quiz(recording, ["sign"]).questions} == {"sign"}
    with pytest.raises(ValueError, match="not 'colour'"):
        inspect.quiz(recording, ["colour"])
    with pytest.raises(ValueError, match="at least one"):
        inspect.quiz(recording, [])
    with pytest.raises(TypeError, match="got list"):
        inspect.quiz([])


@pytest.mark.parametrize("text", ["4 3", "4x3", "4 × 3", "(4, 3)", "[4,3]", "(4,3,)", " 4 * 3 ", (4, 3), [4, 3]])
def test_ways_to_write_a_shape(recording, text):
    question = questions(recording[0])[0]
    question.answer = [4, 3]
    assert question.grade(text)
    assert not question.grade("3 4")


def test_ways_to_write_other_answers(recording):
    shape, sign, value = questions(recording[0])
    shape.answer = []
    for text in ("()", "scalar", "a number", ()):
        assert shape.grade(text)
    sign.answer = "negative"
    for text in ("-", "neg", "negative", "Negative "):
        assert sign.grade(text)
    for text in ("+", "0", "zero", "p"):
        assert not sign.grade(text)
    value.answer, value.tolerance = -0.25, 0.005
    for text in ("-0.25", "-,25", -0.25, "-0.2525"):
        assert value.grade(text)
    assert not value.grade("-0.26")
    for question, text in ((shape, "x"), (shape, 3), (sign, "maybe"), (sign, ""), (value, "three"), (value, None)):
        with pytest.raises(ValueError, match=r"got|understood"):
            question.grade(text)


def test_the_page_gets_them(recording):
    made = json.loads(json.dumps(recording.to_json()))
    asked = made["steps"][2]["questions"]
    assert {q["kind"] for q in asked} == set(KINDS)
    assert set(asked[0]) == {"kind", "prompt", "answer", "tolerance", "value", "index", "reveal"}
    assert asked[0]["answer"] == [1, 2]
