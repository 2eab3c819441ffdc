"""Anomaly detection names the operator and the user's line."""

from __future__ import annotations

import pytest

import minidl
from minidl.autograd import detect_anomaly, is_anomaly_enabled, set_detect_anomaly


def test_the_operator_and_the_line_of_the_first_nan_gradient_are_named():
    x = minidl.tensor([0.0, 1.0], requires_grad=True)

    def program():
        y = x.sqrt()  # the derivative at 0 is infinite
        (y * 0.0).sum().backward()

    with pytest.raises(RuntimeError, match="Sqrt") as error, detect_anomaly():
        program()
    message = str(error.value)
    assert "Sqrt" in message
    assert "y = x.sqrt()  # the derivative at 0 is infinite" in message
    assert "test_anomaly.py" in message
    assert "1 of 2 elements" in message


def test_an_infinite_gradient_is_found_as_well():
    x = minidl.tensor([0.0], requires_grad=True)
    with pytest.raises(RuntimeError, match=r"(?s)Log.*infinite.*x\.log\(\)"), detect_anomaly():
        x.log().sum().backward()


def test_finite_gradients_pass_and_the_switch_is_off_afterwards():
    x = minidl.tensor([1.0], requires_grad=True)
    with detect_anomaly():
        assert is_anomaly_enabled()
        x.log().sum().backward()
    assert not is_anomaly_enabled()
    y = minidl.tensor([0.0], requires_grad=True)
    y.log().sum().backward()
    assert y.grad.isinf().all()


def test_the_switch_form():
    with set_detect_anomaly(True):
        assert is_anomaly_enabled()
        with set_detect_anomaly(False):
            assert not is_anomaly_enabled()
        assert is_anomaly_enabled()
    set_detect_anomaly(True)
    set_detect_anomaly(False)
    assert not is_anomaly_enabled()


def test_without_check_nan_only_lines_are_noted():
    x = minidl.tensor([0.0], requires_grad=True)
    with detect_anomaly(check_nan=False):
        y = x.log()
        y.sum().backward()
    assert "y = x.log()" in y.grad_fn.trace
