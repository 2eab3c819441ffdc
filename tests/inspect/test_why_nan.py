"""Where NaN begins: the operator, the words, the line and the remedy, for known causes; remedies are applied."""

from __future__ import annotations

import numpy as np
import pytest

import minidl
import minidl.nn.functional as F
from minidl import inspect, nn
from minidl.autograd import tape


@pytest.fixture(autouse=True)
def clean():
    yield
    assert not tape._around
    assert not tape._tracers
    assert not tape._checks


def leaf(*values, dtype=minidl.float32):
    return minidl.tensor(list(values), dtype=dtype, requires_grad=True)


INF = float("inf")

# name: (loss of x, x, the operator, words to be found)
FORWARD = {
    "log of 0": (lambda x: x.log().mean(), (1.0, 0.0, 0.0), "Log", "log of 0, twice"),
    "log of a negative": (lambda x: x.log().mean(), (1.0, -0.5), "Log", "negative number (-0.5)"),
    "log1p": (lambda x: x.log1p().sum(), (-1.0,), "Log1p", "log1p of -1"),
    "sqrt": (lambda x: x.sqrt().sum(), (-2.0, 1.0), "Sqrt", "negative number (-2)"),
    "rsqrt": (lambda x: x.rsqrt().sum(), (0.0,), "Rsqrt", "1/√0"),
    "0/0": (lambda x: (x / (x * 1)).sum(), (0.0, 1.0), "Div", "0/0, once"),
    "1/0": (lambda x: (1 / x).sum(), (0.0, 1.0), "Div", "division by 0"),
    "reciprocal": (lambda x: x.reciprocal().sum(), (0.0, 1.0), "Reciprocal", "division by 0"),
    "exp": (lambda x: (x * 2).exp().sum(), (1.0, 50.0), "Exp", "its largest input is 100"),
    "own softmax": (lambda x: (x.exp() / x.exp().sum()).sum(), (1.0, 200.0), "Exp", "overflow of exp"),
    "power of 0": (lambda x: (x**-1.0).sum(), (0.0, 1.0), "Pow", "0 to a negative power"),
    "power of a negative": (lambda x: (x**0.3).sum(), (-1.0,), "Pow", "no whole number"),
    "overflow": (lambda x: (x * x).sum(), (1e30, 1.0), "Mul", "overflow"),
    "square": (lambda x: x.square().sum(), (1e30, 1.0), "Square", "3.403e+38"),
    "division that overflows": (lambda x: (x / 1e-30).sum(), (1e30,), "Div", "overflow"),
    "power that overflows": (lambda x: (x**20.0).sum(), (1e10,), "Pow", "overflow"),
    "exp2": (lambda x: x.exp2().sum(), (200.0,), "Exp2", "2^128"),
    "acos": (lambda x: x.acos().sum(), (1.5,), "Acos", "outside [-1, 1]"),
    "logit": (lambda x: x.logit().sum(), (1.0,), "Logit", "an end of [0, 1]"),
    "softmax of nothing": (lambda x: (x - INF).softmax(0).sum(), (1.0, 2.0), "Softmax", "all -∞"),
    "mean of nothing": (lambda x: x[:0].mean(), (1.0,), "Mean", "the mean of no values"),
    "variance of one": (lambda x: x.var(), (1.0,), "Var", "single value"),
    "infinity that becomes nan": (lambda x: (x.log() * 0).sum(), (0.0, 1.0), "Log", "log of 0"),
    "the first of two": (lambda x: (x.log() + (x - 1).sqrt()).sum(), (0.0,), "Log", "log of 0"),
}


@pytest.mark.parametrize("name", FORWARD)
def test_forward(name):
    function, values, operator, words = FORWARD[name]
    x = leaf(*values)
    report = inspect.why_nan(lambda: function(x))
    assert report
    assert (report.phase, report.operator) == ("forward", operator)
    assert words in report.words
    assert report.remedy
    text = str(report)
    assert operator in text
    assert "test_why_nan.py" in text
    assert x.grad is None


# name: (loss of x, x, the operator, words)
BACKWARD = {
    "sqrt at 0": (lambda x: x.sqrt().sum(), (0.0, 4.0), "Sqrt", "at an input of 0, once"),
    "own norm at 0": (lambda x: x.square().sum().sqrt(), (0.0, 0.0), "Sqrt", "1/(2√0)"),
    "power below 1": (lambda x: (x**0.5).sum(), (0.0,), "Pow", "at an input of 0"),
    "where over sqrt": (lambda x: minidl.where(x > 0, x.sqrt(), 0.0).sum(), (0.0, 1.0), "Sqrt", "0 · ∞ = NaN"),
    "where over log": (lambda x: minidl.where(x > 0, x.log(), 0.0).sum(), (0.0, 1.0), "Log", "0 · ∞ = NaN"),
    "where over division": (lambda x: minidl.where(x > 0, 1 / x, 0.0).sum(), (0.0, 1.0), "Div", "0 · ∞ = NaN"),
    "where over exp": (lambda x: minidl.where(x < 50, x.exp(), 0.0).sum(), (100.0, 1.0), "Exp", "0 · ∞ = NaN"),
    "acos at 1": (lambda x: x.acos().sum(), (1.0,), "Acos", "at an input of 1"),
    "xlogy": (lambda x: minidl.xlogy(x, x).sum(), (0.0,), "Xlogy", "x/0"),
    "overflow": (lambda x: (x * 1e30 * 1e30).sum(), (1e-30,), "Mul", "largest gradient: 1e+30"),
}


@pytest.mark.parametrize("name", BACKWARD)
def test_backward(name):
    function, values, operator, words = BACKWARD[name]
    x = leaf(*values)
    report = inspect.why_nan(lambda: function(x))
    assert (report.phase, report.operator) == ("backward", operator)
    assert words in report.words
    assert report.path == ["x"]
    assert "It spoils: x" in str(report)
    assert x.grad is None
    loss = function(x)  # without a trace: what was saved is enough to say where
    assert inspect.why_nan(loss).operator == operator
    loss.backward()  # the graph is still there
    assert not np.isfinite(x.grad.numpy()).all()


def test_remedies_that_it_names():
    x = leaf(0.0, 4.0)
    for mended in (
        lambda: (x + 1e-8).sqrt().sum(),
        lambda: x.clamp(min=1e-8).log().sum(),
        lambda: minidl.where(x > 0, minidl.where(x > 0, x, 1.0).sqrt(), 0.0).sum(),
        lambda: (1 / (x + 1e-8)).sum(),
        lambda: (x * 1000).softmax(0).max(),
        lambda: x.logit(eps=1e-6).sum(),
    ):
        report = inspect.why_nan(mended)
        assert not report
        assert "Nothing is wrong" in str(report)


def test_inside_a_model():
    class Head(nn.Module):
        def forward(self, x):
            return (x - x.max() - 200).exp().log().sum()

    model = nn.Sequential(nn.Linear(3, 4), Head())
    x = minidl.randn(2, 3)
    report = inspect.why_nan(lambda: model(x), names=model)
    assert report.operator == "Log"
    assert report.layer.endswith("model.1") or report.layer.endswith("1")
    assert ".exp().log().sum()" in report.line
    assert report.path[0].startswith("log")
    assert report.path[-1].startswith("sum")


def test_a_mask_does_no_harm():
    x = leaf(0.0, 1.0, 2.0)
    hidden = minidl.tensor([False, True, False])

    def loss():
        weights = x.masked_fill(hidden, -INF).softmax(0)
        return (weights * x).sum() + (x - x).log().sum() * 0

    assert inspect.why_nan(loss).operator == "Log"


def test_values_that_were_wrong_from_the_beginning():
    data, w = minidl.tensor([1.0, float("nan")]), leaf(1.0, 1.0)
    report = inspect.why_nan(lambda: (data * w).sum())
    assert (report.operator, report.value, report.count, report.size) == ("", "data", 1, 2)
    assert "clean the data" in report.remedy
    assert "It begins with data" in str(report)
    bad = leaf(1.0, INF)
    report = inspect.why_nan(lambda: (bad * 2).sum())
    assert report.value == "bad"
    assert "gradient_flow" in report.remedy
    report = inspect.why_nan(lambda: (w * INF).sum())
    assert "the program itself put inf in" in report.words


def test_half_precision_overflows_at_65504():
    x = leaf(300.0, 300.0, dtype=minidl.float16)
    report = inspect.why_nan(lambda: (x * x).sum())
    assert "float16" in report.words
    assert "6.55e+04" in report.words


def test_a_traced_loss_and_what_was_not_kept():
    x = leaf(0.0, 1.0)
    with inspect.trace():
        loss = x.log().sum()
    assert inspect.why_nan(loss).operator == "Log"
    y = x.exp()
    report = inspect.why_nan(lambda: (y - 1).log().sum(), keep=12)
    assert "a larger keep" in report.words


def test_several_elements_and_no_gradient():
    x = leaf(0.0, 1.0)
    assert inspect.why_nan(lambda: x.sqrt()).phase == "backward"
    assert inspect.why_nan(lambda: x.log()).operator == "Log"
    assert not inspect.why_nan(lambda: x.exp())


def test_wrong_use():
    x = leaf(0.0)
    with pytest.raises(RuntimeError, match=r"inspect\.trace\(\)"):
        inspect.why_nan(x.log().sum())
    with pytest.raises(TypeError, match="expected a Tensor or a function"):
        inspect.why_nan(3)
    with pytest.raises(TypeError, match="must give a Tensor"):
        inspect.why_nan(lambda: 3)
    with pytest.raises(RuntimeError, match="no graph"):
        inspect.why_nan(minidl.tensor([float("nan")]))
    with pytest.raises(RuntimeError, match="linear"):
        inspect.why_nan(lambda: F.linear(x, minidl.zeros(2, 3)))
