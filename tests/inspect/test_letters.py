"""Every operator's explanation says what its letters stand for, and tells settings as the user gave them."""

from __future__ import annotations

import inspect as signatures
import re
from functools import cache

import numpy as np
import pytest

import minidl
from minidl import inspect, linalg, nn
from minidl.autograd import Operator
from minidl.inspect.letters import letters, tokens
from minidl.nn import functional as F
from minidl.utils.checkpoint import checkpoint
from tests.table import TABLE
from tests.table.run import minidl_arguments, outputs_of, resolve

# Operators that no gradient comes back through, bases of others, and what needs another device.
WITHOUT_STEPS = {
    *("Activation", "Context", "CountNonzero", "Elementwise", "Heaviside", "IsClose", "Isin", "Move", "OfInput"),
    *("OfOutput", "Question", "Real", "Reduction", "Scan", "Test", "_NotTwice"),
}


def floats(*shape):
    return minidl.tensor(np.random.default_rng(0).uniform(0.2, 0.8, shape)).requires_grad_()


def twice(function, *inputs):
    """A gradient, to be differentiated again: through the rules of ``function``."""
    y = function(*inputs)
    # a slope that depends on the result: then linear operators, too, are met again
    return minidl.autograd.grad((y * y).sum(), inputs, create_graph=True)


def in_place():
    x, y = floats(3, 2) * 1, floats(3, 2) * 1
    x[0].mul_(2)
    y[:] = floats(3, 2)
    return x, y, (floats(3) * 1).lt_(0.5)


def in_a_batch(x):
    y = x.square()
    return minidl.autograd.grad(y, x, minidl.ones(2, 3, dtype=y.dtype), is_grads_batched=True, create_graph=True)


def by_strides(x):
    y = x * 1
    y.as_strided((2, 2), (1, 1)).mul_(2)
    return y


def through_a_hook():
    layer = nn.Linear(2, 2)
    layer.register_full_backward_hook(lambda module, grad_input, grad_output: None)
    return (layer(minidl.ones(1, 2, requires_grad=True)),)


def random_numbers():
    return minidl.bernoulli(floats(3)), minidl.poisson(floats(3))


# What the table has not, and adjoints, which are met in gradients of gradients.
OTHERS = [
    lambda: nn.RNN(3, 2)(floats(4, 1, 3).float()),
    lambda: nn.GRU(3, 2)(floats(4, 1, 3).float()),
    lambda: nn.LSTM(3, 2)(floats(4, 1, 3).float())[0],
    lambda: F.ctc_loss(
        floats(5, 1, 3).log_softmax(-1), minidl.tensor([[1, 2]]), minidl.tensor([5]), minidl.tensor([2])
    ),
    lambda: linalg.qr(floats(3, 2)),
    lambda: linalg.eigh(floats(2, 2)),
    lambda: F.rotary_embedding(floats(3, 4)),
    in_place,
    lambda: (checkpoint(minidl.square, floats(3), use_reentrant=False),),
    through_a_hook,
    random_numbers,
    lambda: twice(lambda x: x[1:], floats(3)),
    lambda: twice(lambda x: x[[0, 0]], floats(3)),
    lambda: twice(lambda x: x.max(0).values, floats(3, 2)),
    lambda: twice(lambda x: minidl.cummax(x, 0).values, floats(3, 2)),
    lambda: twice(lambda x: x.unfold(0, 2, 1), floats(3)),
    lambda: twice(lambda x: F.avg_pool1d(x, 2), floats(1, 1, 4)),
    lambda: twice(lambda w: F.embedding(minidl.tensor([0, 1, 0]), w), floats(2, 3)),
    lambda: twice(F.conv1d, floats(1, 1, 4), floats(1, 1, 2)),
    lambda: twice(F.gelu, floats(3)),
    lambda: twice(by_strides, floats(4)),
    lambda: in_a_batch(floats(3)),
]


@cache
def steps():
    """Steps back through every operator: of each operator and set of settings one, with what the caller had given."""
    found = {}

    def note(outputs, function=None, given=None):
        outputs = [y for y in outputs_of(outputs) if getattr(y, "requires_grad", False)]
        if outputs:
            for step in inspect.backward(outputs, [minidl.ones_like(y) for y in outputs]):
                called = given if function is not None and step.op.label == function.__name__ else None
                found.setdefault(
                    (step.name, step.op.traced, str(step.op.settings), called is None), (step, function, called)
                )

    for op in (op for op in TABLE.values() if op.order):
        function = resolve(minidl, op.name)
        for sample in op.all_samples():
            if "singular" in sample.name:  # whose gradient does not exist
                continue
            args, kwargs, _ = minidl_arguments(sample, grad=True)
            with inspect.trace():
                outputs = function(*args, **kwargs)
            note(outputs, function, (args, kwargs))
    for make in OTHERS:
        with inspect.trace():
            outputs = make()
        note(outputs)
    return list(found.values())


def test_every_operator_is_met():
    def every(base=Operator):
        for kind in base.__subclasses__():
            if kind.__module__.startswith("minidl."):
                yield kind.__name__
            yield from every(kind)

    met = {step.name for step, _, _ in steps()}
    missing = sorted({name for name in every() if name not in WITHOUT_STEPS} - met)
    assert not missing, f"neither the table nor OTHERS goes back through {', '.join(missing)}"


def test_a_formula_begins_with_what_is_computed():
    for step, _, _ in steps():
        result = r"[^\W\d]\w*(\[[^]]*\])?"
        assert re.match(rf"{result}(, {result})* = ", step.op.formula), f"{step.name}: {step.op.formula}"


def test_each_letter_is_explained():
    for step, _, _ in steps():
        lines = step.explain().splitlines()
        told = letters(step.op, lambda id: "a value")
        known = {
            "g",
            *told,
            *re.findall(r"with (\w+?)(?:_\w)? = ", step.op.formula),
            *re.findall(r", (\w) ", step.op.formula),
        }
        for token in tokens(step.op.formula):
            article = token == "a" and re.search(r"\ba [a-z]{2,}", step.op.formula)
            if len(token) == 1 and not article:
                assert token in known, f"{step.name}: {token} is not explained in {step.op.formula!r}"
            kept = step.op.operator.__dict__.get(token)
            if isinstance(kept, (int, float, tuple, str)) and not isinstance(kept, bool):
                assert token in told, f"{step.name}: {token} is not explained in {step.op.formula!r}"
        for letter in told:
            assert any(re.search(rf"^     .* {re.escape(letter)}(, \S+)*: ", line) for line in lines), step.explain()


def test_names_and_shapes_stand_beside_the_letters():
    for step, _, _ in steps():
        text = step.explain()
        for id in step.op.outputs:
            value = step.nodes.values[id]
            assert f"{value.name} [" in text
        named = list(signatures.signature(type(step.op.operator).forward).parameters)[1:]
        if named[0] in ("arrays", "blocks", "args", "gradients"):  # any number
            continue
        told = letters(step.op, str)
        for id in (id for id in step.op.inputs if id is not None):
            assert any(meaning.split(", ")[-1] == str(id) for meaning in told.values()), f"{step.name}: {told}"


def test_settings_are_pytorchs_and_are_told_where_the_user_gave_them():
    parameters = {name for op in TABLE.values() for name in signatures.signature(resolve(minidl, op.name)).parameters}
    for function in (nn.RNN, F.rotary_embedding, linalg.qr, linalg.eigh, linalg.svd):
        parameters |= set(signatures.signature(function).parameters)
    parameters |= {"index"}  # of x[index]
    for step, function, given in steps():
        told = step.op.settings
        assert told.keys() <= parameters, f"{step.name} tells {told.keys() - parameters}"
        line = next((line for line in step.explain().splitlines() if line.startswith("with ")), None)
        assert line == ("with " + ", ".join(f"{name}={value}" for name, value in told.items()) if told else None)
        if given is not None:
            signature = signatures.signature(function)
            bound = set(signature.bind(*given[0], **given[1]).arguments)
            bound |= {"correction"} if "unbiased" in bound or any(x is False for x in given[0]) else set()
            bound |= (
                {"dims", "repeats"} if bound & {"axes", "order", "sizes"} else set()
            )  # as they are called one by one
            for name in told:
                parameter = signature.parameters.get(name)
                if parameter is not None and parameter.default is not parameter.empty:
                    assert name in bound, f"{step.name} tells {name}={told[name]}, which nobody gave"


def test_no_internal_class_is_named():
    kinds = {step.name for step, _, _ in steps()}
    for step, _, _ in steps():
        assert not kinds & set(re.findall(r"\w+", step.op.formula)) - {"Where"}, step.op.formula


@pytest.mark.parametrize("traced", [True, False])
def test_cross_entropy_in_words(traced):
    logits, target = minidl.randn(3, 4, requires_grad=True), minidl.tensor([0, 2, 3])
    if traced:
        with inspect.trace():
            loss = F.cross_entropy(logits, target)
    else:
        loss = F.cross_entropy(logits, target)
    text = inspect.backward(loss)[0].explain()
    for words in (
        *("x: scores, logits [3 × 4]", "y: loss [a number]", "t: target, the right class"),
        *("y = log Σ eˣ - x_t", "reduced: reduction='mean'", "e: 2.718…", "Σ: sum", "c: a class"),
    ):
        assert words in text
    smoothed = inspect.backward(F.cross_entropy(logits, target, label_smoothing=0.1))[0].explain()
    assert "y = (1 - s) w_t l_t + s/C Σ_c w_c l_c" in smoothed
    assert "s: label_smoothing, 0.1" in smoothed
    for internal in ("weight=None", "smoothing=0.0", "kept", "total"):
        assert internal not in text


def test_a_users_own_operator_keeps_its_letters():
    class Scale(Operator):
        """y = s x;  ∂y/∂x = s."""

        def __init__(self, factor):
            self.factor = factor

        def forward(self, x):
            return x * self.factor

        def backward(self, g):
            return g * self.factor

    x = minidl.ones(2, requires_grad=True)
    with inspect.trace():
        loss = minidl.autograd.apply(Scale(3.0), x).sum()
    text = inspect.backward(loss)[1].explain()
    assert "with factor=3.0" in text
    assert "y: scale 1 [2];  x: x [2]" in text
