"""Sizes 0 and 1 in every look inside: no warning, no error but in words, and the pictures are drawn."""

from __future__ import annotations

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest

import minidl
from minidl import inspect, nn, optim

pytestmark = [pytest.mark.filterwarnings("error"), pytest.mark.filterwarnings("ignore:Initializing zero-element")]


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def shown(found):
    """Printed, drawn on a figure of its own and on given axes; returned."""
    assert str(found)
    found.plot()
    found.plot(plt.figure().subplots())
    return found


SIZES = [(0, 3), (3, 0), (0, 0), (1, 1)]
EVERY = list(itertools.product(SIZES, (0, 1, 2)))


@pytest.mark.parametrize(("features", "n"), EVERY)
def test_layers(features, n):
    model, x = nn.Linear(*features), minidl.randn(n, features[0])
    assert shown(inspect.activations(model, x))[""].shape == (n, features[1])
    assert shown(inspect.memory(model, x)).parameters == model.weight.nbytes + model.bias.nbytes
    assert str(inspect.summary(model, x))
    with inspect.gradient_flow(model, optim.SGD(model.parameters(), lr=0.1)) as flow:
        shown(flow)
        model(x).sum().backward()
        flow.record()
    shown(flow)
    if model.weight.nbytes:
        for directions in (1, 2):
            for scale in (1.0, float("nan")):
                shown(inspect.loss_surface(model, lambda m, s=scale: m(x).sum() * s, directions, steps=3))


@pytest.mark.parametrize(("features", "n"), EVERY)
def test_graphs(features, n, tmp_path):
    model, x = nn.Linear(*features), minidl.randn(n, features[0])
    with inspect.trace():
        loss = model(x).square().sum()
    book = shown(inspect.ledger(loss, names=model))
    assert str(book.checkpointing())
    assert not inspect.why_nan(loss)
    if model.weight.nbytes:
        assert shown(inspect.provenance(loss, model.weight, (0, 0))).relative_error < 1e-3
        shown(inspect.hessian_spectrum(loss, model, iterations=3, samples=1))
    recording = inspect.backward(loss, names=model)
    assert all(step.explain() for step in recording)
    for picture in (inspect.graph(loss), inspect.graph(recording)):
        for ending in ("svg", "png", "dot", "mmd", "json"):
            assert picture.save(tmp_path / f"graph.{ending}").stat().st_size
    assert inspect.export(recording, tmp_path / "page.html").stat().st_size
    assert inspect.quiz(recording)
    np.testing.assert_array_equal(model.weight.grad.shape, model.weight.shape)


def empty(shape):
    layer = nn.Linear(1, 1)
    layer.weight = nn.Parameter(minidl.zeros(shape))
    return layer


@pytest.mark.parametrize(
    "shape", [*SIZES, (1, 1, 1, 1), (2, 1, 1), (1, 1, 1, 1, 1), (2, 0, 3, 3), (0, 3, 2, 2), (2, 3, 0, 2)]
)
def test_filters(shape):
    found = shown(inspect.filters(empty(shape)))
    assert found.weights.shape == shape
    found.plot(most=0)
    assert f"of {shape[0]} filters" in found.plot().get_title()


@pytest.mark.parametrize("shape", [(), (0,), (1,), (0, 3), (3, 0), (1, 1)])
@pytest.mark.parametrize("value", [0.0, 1.5, float("nan"), float("inf"), True])
def test_summaries_of_tensors(shape, value):
    found = shown(inspect.summary(minidl.full(shape, value)))
    assert found.size == np.prod(shape, dtype=int)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.parametrize(("steps", "batch", "features"), [(1, 1, 1), (3, 1, 2), (1, 2, 1)])
def test_gates(kind, steps, batch, features):
    found = shown(inspect.gates(getattr(nn, kind)(features, 1), minidl.randn(steps, batch, features)))
    assert found[0]["hidden"].shape == (steps, batch, 1)


@pytest.mark.parametrize("need_weights", [True, False])
def test_attention(need_weights):
    layer = nn.MultiheadAttention(2, 1, batch_first=True)
    for n, t in [(1, 1), (2, 1), (1, 0)]:
        x = minidl.randn(n, t, 2)
        found = inspect.attention_maps(layer, {"query": x, "key": x, "value": x, "need_weights": need_weights})
        assert shown(found)[0].weights.shape == (n, 1, t, t)


def test_there_is_nothing_to_draw_of_an_empty_batch():
    x = minidl.randn(0, 3, 2)
    maps = inspect.attention_maps(nn.MultiheadAttention(2, 1, batch_first=True), (x, x, x))
    gates = inspect.gates(nn.LSTM(2, 1, batch_first=True), x)
    saliency = inspect.saliency(nn.Linear(2, 2), minidl.randn(0, 2))
    for found, what in [(maps, "sequence"), (gates, "sequence"), (saliency, "sample")]:
        assert str(found)
        with pytest.raises(IndexError, match=f"there is no {what} 0: there are none"):
            found.plot()
    with pytest.raises(ValueError, match=r"gives no scores, \[2, 0\]"):
        inspect.saliency(nn.Linear(3, 0), minidl.randn(2, 3))
    with pytest.raises(IndexError, match="no layer 1: there is one"):
        gates.plot(layer=1)
    with pytest.raises(IndexError, match="no attention 1: there is one"):
        maps.plot(which=1)
    shown(inspect.saliency(nn.Linear(0, 2), minidl.randn(1, 0)))
