"""The graph as lists: every value and operator once, in order, with the names the user knows."""

from __future__ import annotations

import numpy as np
import pytest

import minidl
from minidl import inspect, nn
from minidl.inspect.labels import formula_of, label_of


def test_a_small_graph():
    a = minidl.tensor(2.0, requires_grad=True)
    b = minidl.tensor(3.0, requires_grad=True)
    with inspect.trace():
        c = a * b
        loss = c + a
    nodes = inspect.read(loss)
    assert [op.label for op in nodes.ops] == ["mul", "add"]
    assert [v.name for v in nodes.values] == ["a", "b", "c", "loss"]
    assert [v.kind for v in nodes.values] == ["leaf", "leaf", "result", "result"]
    assert [op.inputs for op in nodes.ops] == [[0, 1], [2, 0]]
    assert nodes.roots == [3]
    assert [v.array.item() for v in nodes.values] == [2, 3, 6, 8]
    assert nodes.ops[0].formula == "y = a b;  ∂y/∂a = b, ∂y/∂b = a"
    assert nodes.find(a) is nodes.values[0]
    assert nodes.find("c") is nodes.values[2]


def test_without_a_trace_values_are_not_known_but_the_graph_is():
    a = minidl.tensor([2.0, 1.0], requires_grad=True)
    loss = (a * 3).exp().sum()
    nodes = inspect.read(loss)
    assert [op.label for op in nodes.ops] == ["mul", "exp", "sum"]
    assert nodes.ops[0].inputs == [0, None]
    assert nodes.ops[0].line is None
    assert not nodes.ops[0].traced
    assert nodes.values[0].array.tolist() == [2, 1]  # a leaf is at hand
    assert nodes.values[1].array is None
    assert nodes.values[1].name == "mul 1"
    assert nodes.values[3].array == loss.item()


def test_names_by_module_dict_trace_and_variable():
    model = nn.Linear(2, 1)
    loss = model(minidl.ones(1, 2)).sum()
    leaves = lambda nodes: [v.name for v in nodes.values if v.kind == "leaf"]
    assert leaves(inspect.read(loss)) == ["weight", "bias"]
    assert leaves(inspect.read(loss, nn.Sequential(model))) == ["0.weight", "0.bias"]
    assert leaves(inspect.read(loss, {"W": model.weight})) == ["W", "bias"]
    nameless = (minidl.ones(2, requires_grad=True) * minidl.ones(2, requires_grad=True)).sum()
    assert leaves(inspect.read(nameless)) == ["leaf 1", "leaf 2"]


def test_two_models_with_the_same_names_are_told_apart():
    encoder, decoder = nn.Linear(2, 2), nn.Linear(2, 2)
    with inspect.trace():
        loss = decoder(encoder(minidl.ones(1, 2))).sum()
    names = [v.name for v in inspect.read(loss).values if v.kind == "leaf"]
    assert names == ["weight", "bias", "decoder.weight", "decoder.bias"]


def test_several_outputs_and_several_roots():
    x = minidl.randn(4, requires_grad=True)
    with inspect.trace():
        first, second = x.split(2)
        a, b = first.sum(), second.prod()
    nodes = inspect.read([a, b])
    split = nodes.ops[0]
    assert split.label == "split"
    assert len(split.outputs) == 2
    assert [nodes.values[i].name for i in split.outputs] == ["first", "second"]
    assert [nodes.values[i].name for i in nodes.roots] == ["a", "b"]


def test_constants_are_found_once_in_a_trace():
    x = minidl.ones(2, requires_grad=True)
    mask = minidl.tensor([1.0, 0.0])
    with inspect.trace():
        y = (x * mask + mask) * 2.5 + 2.5
    nodes = inspect.read(y)
    constants = [(v.name, v.shape) for v in nodes.values if v.kind == "constant"]
    assert constants == [("mask", (2,)), ("2.5", ())]


def test_a_leaf_is_a_graph():
    x = minidl.tensor(1.0, requires_grad=True)
    nodes = inspect.read(x)
    assert not nodes.ops
    assert nodes.values[0].name == "x"


@pytest.mark.slow
def test_a_hundred_thousand_operators():
    x = minidl.tensor(1.0, requires_grad=True)
    y = x
    for _ in range(100_000):
        y = y + 1
    nodes = inspect.read(y)
    assert len(nodes.ops) == 100_000
    assert nodes.values[-1].name == "y"


def test_settings_have_pytorchs_names_and_are_told_where_they_differ_from_the_default():
    x = minidl.randn(3, 4, requires_grad=True)
    nodes = inspect.read(x[1:, None, 2].sum(0, keepdim=True))
    assert nodes.ops[0].settings["index"] == "[1:, None, 2, ...]"
    assert nodes.ops[1].settings == {"dim": 0, "keepdim": True}
    assert inspect.read(x.sum()).ops[0].settings == {}
    scores, target = minidl.randn(2, 4, requires_grad=True), minidl.tensor([0, 1])
    assert inspect.read(nn.functional.cross_entropy(scores, target)).ops[0].settings == {}
    smoothed = nn.functional.cross_entropy(scores, target, reduction="sum", label_smoothing=0.1)
    assert inspect.read(smoothed).ops[0].settings == {"label_smoothing": 0.1, "reduction": "sum"}
    image = minidl.randn(1, 2, 8, 8)
    conv = nn.Conv2d(2, 2, 3, padding=1, stride=(2, 1))
    assert inspect.read(conv(image)).ops[0].settings == {"stride": (2, 1), "padding": 1}
    assert inspect.read(nn.Conv2d(2, 2, 3)(image)).ops[0].settings == {}
    padded = nn.functional.pad(image.requires_grad_(), (1, 2, 0, 3))
    assert inspect.read(padded).ops[0].settings == {"pad": (1, 2, 0, 3)}


@pytest.mark.parametrize(
    ("made", "label"),
    [
        (lambda x: minidl.nn.functional.log_softmax(x, -1), "log_softmax"),
        (lambda x: x @ x, "matmul"),
        (lambda x: nn.functional.layer_norm(x, (2,)), "layer_norm"),
        (lambda x: nn.functional.cross_entropy(x, minidl.tensor([0, 1])), "cross_entropy"),
        (lambda x: nn.LSTM(2, 2)(x)[0].grad_fn, "lstm"),
    ],
)
def test_labels_and_formulas(made, label):
    found = made(minidl.randn(2, 2, requires_grad=True))
    operator = found if isinstance(found, minidl.autograd.Operator) else found.grad_fn
    if label == "lstm":  # its last operator takes the batch dimension away again
        operator = next(
            op.operator for op in inspect.read(nn.LSTM(2, 2)(minidl.randn(1, 2))[0]).ops if op.label == "lstm"
        )
    assert label_of(operator) == label
    formula = formula_of(operator)
    assert "=" in formula
    for leftover in ("minidl_kernels", "``", ":class:"):
        assert leftover not in formula


def test_wrong_use():
    with pytest.raises(TypeError, match="got int"):
        inspect.read([1])
    with pytest.raises(RuntimeError, match=r"no graph behind this tensor \(shape \[2\]\).*requires_grad_"):
        inspect.read(minidl.ones(2))
    x = minidl.ones(2, requires_grad=True)
    with pytest.raises(TypeError, match="names must be a Module or a dict"):
        inspect.read(x * 2, names=["x"])
    nodes = inspect.read(x * 2)
    with pytest.raises(KeyError, match="its leaves are x"):
        nodes.find("w")
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    nodes = inspect.read(model(minidl.ones(1, 2)).sum(), model)
    with pytest.raises(KeyError, match=r"'weight'; did you mean 0.weight or 1.weight\?"):
        nodes.find("weight")
    with pytest.raises(KeyError, match=r"'0.bia'; did you mean 0.bias"):
        nodes.find("0.bia")
    with pytest.raises(KeyError, match="takes no part"):
        nodes.find(minidl.ones(1))


def test_bfloat16_and_empty_values_are_read():
    x = minidl.zeros(0, 3, dtype=minidl.bfloat16, requires_grad=True)
    with inspect.trace():
        y = (x * 2).sum()
    nodes = inspect.read(y)
    assert nodes.values[0].dtype == "bfloat16"
    assert nodes.values[0].shape == (0, 3)
    assert np.asarray(nodes.values[0].array).size == 0
