"""The public hooks hear everything, change nothing unless they mean to, and come off again."""

from __future__ import annotations

import pytest

import minidl
from minidl import autograd
from minidl.autograd import tape, walk


def test_watch_goes_around_both_rules():
    heard = []

    def around(operator, phase, rule, arrays):
        result = rule(*arrays)
        heard.append((operator.name, phase, len(arrays)))
        return result

    x = minidl.tensor([1.0, 2.0], requires_grad=True)
    with autograd.watch(around):
        (x * x).sum().backward()
    assert heard == [("Mul", "forward", 2), ("Sum", "forward", 1), ("Sum", "backward", 1), ("Mul", "backward", 1)]
    assert x.grad.tolist() == [2, 4]
    assert not tape._around
    (x * x).sum()
    assert len(heard) == 4


def test_the_later_watcher_lies_outside():
    order = []

    def named(name):
        def around(operator, phase, rule, arrays):
            order.append(name)
            return rule(*arrays)

        return around

    with autograd.watch(named("first")), autograd.watch(named("second")):
        minidl.ones(1).exp()
    assert order == ["second", "first"]


def test_a_watcher_may_change_the_result():
    with autograd.watch(lambda operator, phase, rule, arrays: rule(*arrays) + 1):
        y = minidl.ones(2) * 3
    assert y.tolist() == [4, 4]


def test_on_record_hears_what_goes_on_the_tape():
    heard = []
    x = minidl.ones(2, requires_grad=True)
    with autograd.on_record(lambda operator, inputs, outputs: heard.append((operator, inputs, outputs))):
        y = x * 3
        _ = minidl.ones(2) * 3  # nothing is recorded
        with minidl.no_grad():
            _ = x * 3
    ((operator, inputs, outputs),) = heard
    assert operator is y.grad_fn
    assert inputs[0] is x
    assert inputs[1] == 3
    assert outputs[0] is y
    assert not tape._tracers


def test_a_tracer_does_not_disturb_another():
    with autograd.detect_anomaly(), autograd.on_record(lambda *_: None):
        y = minidl.ones(1, requires_grad=True).log()
    assert "test_watching.py" in y.grad_fn.trace


def test_on_rule_sees_what_comes_in_and_goes_out():
    heard = []
    s = minidl.ones(1, requires_grad=True)
    with autograd.on_rule(lambda operator, gradients, results: heard.append((operator.name, gradients, results))):
        (s * minidl.tensor([2.0, 5.0])).sum().backward()
    assert [name for name, _, _ in heard] == ["Sum", "Mul"]
    _, gradients, results = heard[1]
    assert gradients[0].tolist() == [1, 1]
    assert results[0].tolist() == [2, 5]  # before broadcasting is undone
    assert s.grad.tolist() == [7]
    assert not tape._checks


def test_what_on_rule_raises_ends_the_pass():
    def refuse(operator, gradients, results):
        raise ArithmeticError(operator.name)

    x = minidl.ones(1, requires_grad=True)
    with autograd.on_rule(refuse), pytest.raises(ArithmeticError, match="Exp"):
        x.exp().backward()
    assert x.grad is None


def test_on_backward_makes_the_pass():
    made = []

    class Loud(tape.Pass):
        def step(self, operator, gradients):
            made.append(operator.name)
            super().step(operator, gradients)

    x = minidl.ones(1, requires_grad=True)
    handle = autograd.on_backward(Loud)
    x.exp().backward()
    handle.remove()
    handle.remove()  # twice does no harm
    x.exp().backward()
    assert made == ["Exp"]
    assert not walk._makers
