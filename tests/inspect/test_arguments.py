"""Whatever a look inside is given wrongly, it says so in words; and it leaves nothing hanging in the engine."""

from __future__ import annotations

import numpy as np
import pytest

import minidl
from minidl import inspect, nn, optim
from minidl.autograd import tape, walk
from minidl.nn import hooks

MODEL = nn.Linear(2, 2)
X = minidl.ones(1, 2)
W = minidl.ones(2, requires_grad=True)


def loss():
    return (W * W).sum()


def freed():
    found = loss()
    found.backward()
    return found


# Of each entry point: how it is called with one argument in question. Where several have the same, each stands for itself.
LOSSES = {
    "backward": lambda x: inspect.backward(x),
    "export": lambda x: inspect.export(x, "nowhere/page.html"),
    "graph": lambda x: inspect.graph(x),
    "hessian_spectrum": lambda x: inspect.hessian_spectrum(x, [W]),
    "hessian_vector_product": lambda x: inspect.hessian_vector_product(x, [W], [W]),
    "ledger": lambda x: inspect.ledger(x),
    "provenance": lambda x: inspect.provenance(x, W, 0),
    "read": lambda x: inspect.read(x),
    "why_nan": lambda x: inspect.why_nan(x),
}
OF_ONE_NUMBER = ["backward", "export", "hessian_spectrum", "hessian_vector_product", "provenance"]
OF_WHAT_IS_KEPT = [*OF_ONE_NUMBER, "ledger", "why_nan"]
MODELS = {
    "activations": lambda x: inspect.activations(x, X),
    "attention_maps": lambda x: inspect.attention_maps(x, X),
    "filters": lambda x: inspect.filters(x),
    "gates": lambda x: inspect.gates(x, X),
    "gradient_flow": lambda x: inspect.gradient_flow(x),
    "loss_surface": lambda x: inspect.loss_surface(x, lambda model: 0.0),
    "memory": lambda x: inspect.memory(x, X),
    "saliency": lambda x: inspect.saliency(x, X),
    "summary": lambda x: inspect.summary(x, X),
}
NAMES = {
    "backward": lambda x: inspect.backward(loss(), names=x),
    "export": lambda x: inspect.export(loss(), "nowhere/page.html", names=x),
    "graph": lambda x: inspect.graph(loss(), x),
    "ledger": lambda x: inspect.ledger(loss(), x),
    "provenance": lambda x: inspect.provenance(loss(), W, 0, names=x),
    "read": lambda x: inspect.read(loss(), x),
    "why_nan": lambda x: inspect.why_nan(loss(), x),
}
OTHERS = {
    "backward, gradient": lambda x: inspect.backward(W * W, x),
    "export, path": lambda x: inspect.export(loss(), x),
    "filters, path": lambda x: inspect.filters(MODEL, x),
    "gradient_flow, optimizer": lambda x: inspect.gradient_flow(MODEL, x),
    "graph, path": lambda x: inspect.graph(loss()).save(x),
    "hessian_spectrum, params": lambda x: inspect.hessian_spectrum(loss(), x),
    "hessian_vector_product, params": lambda x: inspect.hessian_vector_product(loss(), x, [W]),
    "hessian_vector_product, vector": lambda x: inspect.hessian_vector_product(loss(), [W], x),
    "ledger, optimizer": lambda x: inspect.ledger(loss(), optimizer=x),
    "loss_surface, directions": lambda x: inspect.loss_surface(MODEL, lambda model: 0.0, x),
    "loss_surface, loss_fn": lambda x: inspect.loss_surface(MODEL, x),
    "measure": lambda x: inspect.measure(x),
    "provenance, index": lambda x: inspect.provenance(loss(), W, x),
    "provenance, tensor": lambda x: inspect.provenance(loss(), x, 0),
    "quiz": lambda x: inspect.quiz(x),
    "race": lambda x: inspect.race(x),
    "saliency, input": lambda x: inspect.saliency(MODEL, x),
    "saliency, target": lambda x: inspect.saliency(MODEL, X, x),
    "trace, keep": lambda x: inspect.trace(x),
    "why_shape": lambda x: inspect.why_shape(x),
}
WRONG = {
    "a number": 3.5,
    "None": None,
    "a list": [1.5],
    "an empty list": [],
    "a text's bytes": b"loss",
    "an array": np.ones(3),
    "an optimizer": optim.SGD([minidl.ones(1, requires_grad=True)], lr=0.1),
    "a module": nn.ReLU(),
}
# What is right after all, or wrong in another way than by its type.
RIGHT = {
    ("backward, gradient", "an empty list"),
    ("export, path", "a text's bytes"),
    ("filters, path", "None"),
    ("gradient_flow, optimizer", "None"),
    ("gradient_flow, optimizer", "an optimizer"),
    ("hessian_spectrum, params", "an empty list"),
    ("hessian_spectrum, params", "a module"),
    ("hessian_vector_product, params", "an empty list"),
    ("hessian_vector_product, params", "a module"),
    ("hessian_vector_product, vector", "an empty list"),
    ("hessian_vector_product, vector", "a module"),
    ("ledger, optimizer", "None"),
    ("ledger, optimizer", "an optimizer"),
    ("loss_surface, directions", "a list"),
    ("loss_surface, directions", "an empty list"),
    ("provenance, index", "an empty list"),
    ("saliency, target", "None"),
    ("saliency, target", "an empty list"),
    ("trace, keep", "a number"),
    ("why_shape", "None"),
    ("backward, gradient", "None"),
}


def refused(call, argument, error):
    """What it says, having left nothing hanging and no gradient behind."""
    W.grad = None
    before = [list(found) for found in (tape._around, tape._tracers, tape._checks, walk._makers)]
    with pytest.raises(error) as caught:
        call(argument)
    assert [tape._around, tape._tracers, tape._checks, walk._makers] == before
    assert not hooks.everywhere
    assert W.grad is None
    said = str(caught.value)
    assert "object has no attribute" not in said
    assert "not iterable" not in said
    assert "not callable" not in said
    return said


def told(argument):
    """The name of the type that is wrong: of a list, of what is in it."""
    wrong = argument[0] if isinstance(argument, list) and argument else argument
    return type(wrong).__name__


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("wrong", WRONG)
def test_no_tensor(name, wrong):
    said = refused(LOSSES[name], WRONG[wrong], TypeError)
    assert any(word in said for word in (told(WRONG[wrong]), type(WRONG[wrong]).__name__, "none was given"))


@pytest.mark.parametrize("name", LOSSES)
def test_no_graph(name):
    assert "requires grad" in refused(LOSSES[name], minidl.tensor(1.0), RuntimeError).replace(
        "require grad", "requires grad"
    )
    with minidl.no_grad():
        refused(LOSSES[name], loss(), RuntimeError)


@pytest.mark.parametrize("name", OF_ONE_NUMBER)
def test_no_single_number(name):
    said = refused(LOSSES[name], W * W, RuntimeError)
    assert "2" in said
    assert "loss.sum()" in said


@pytest.mark.parametrize("name", OF_WHAT_IS_KEPT)
def test_a_graph_that_backward_has_freed(name):
    said = refused(LOSSES[name], freed(), RuntimeError)
    assert "retain_graph=True" in said


@pytest.mark.parametrize("name", sorted(set(LOSSES) - set(OF_WHAT_IS_KEPT)))
def test_the_shape_of_a_freed_graph_is_still_there(name):
    assert LOSSES[name](freed())


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("wrong", [wrong for wrong in WRONG if wrong != "a module"])
def test_no_model(name, wrong):
    said = refused(MODELS[name], WRONG[wrong], TypeError)
    assert type(WRONG[wrong]).__name__ in said or "no input" in said  # summary(tensor) is something else
    assert name in said


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("wrong", [3.5, [W], "w", {"w": 3.5}, {3: W}], ids=repr)
def test_no_names(name, wrong):
    assert "names must be" in refused(NAMES[name], wrong, TypeError)


@pytest.mark.parametrize(
    ("name", "wrong"), [(name, wrong) for name in OTHERS for wrong in WRONG if (name, wrong) not in RIGHT]
)
def test_other_arguments(name, wrong):
    refused(OTHERS[name], WRONG[wrong], TypeError)
