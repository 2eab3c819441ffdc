"""Gradient flow, activations, filters and saliency, beside numbers made by hand, finite differences and PyTorch."""

from __future__ import annotations

import gc
import weakref
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pytest

import minidl
import minidl.nn.functional as F
from minidl import inspect, nn, optim
from minidl.autograd import tape
from minidl.nn import hooks


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")
    assert not tape._around


def norm(tensor):
    return float(np.linalg.norm(tensor.numpy(force=True).astype(float)))


def test_norms_and_updates_by_hand():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    x = minidl.randn(8, 3)
    expected = {name: ([], [], []) for name, _ in model.named_parameters()}
    with inspect.gradient_flow(model, optimizer) as flow:
        for _ in range(3):
            optimizer.zero_grad()
            model(x).square().mean().backward()
            for name, p in model.named_parameters():
                g, w = norm(p.grad), norm(p)
                for values, value in zip(expected[name], (g, w, 0.1 * g / w)):
                    values.append(value)
            optimizer.step()
    assert flow.steps == 3
    for name, (gradients, weights, ratios) in expected.items():
        np.testing.assert_allclose(flow.gradient_norms[name], gradients, rtol=1e-6)
        np.testing.assert_allclose(flow.weight_norms[name], weights, rtol=1e-6)
        np.testing.assert_allclose(flow.update_ratios[name], ratios, rtol=1e-3)
    assert len(flow.plot().axes) == 3  # nothing here can die
    ax = plt.figure().subplots()
    assert flow.plot(ax) is ax
    assert "3 steps" in repr(flow)


def test_recording_by_hand_knows_the_update_at_the_next_step():
    model = nn.Linear(2, 1)
    flow = inspect.gradient_flow(model)
    for _ in range(2):
        model(minidl.ones(1, 2)).sum().backward()
        flow.record()
        with minidl.no_grad():
            model.weight.mul_(1.5)
    flow.close()
    flow.close()
    np.testing.assert_allclose(flow.update_ratios["weight"], [0.5], rtol=1e-6)
    assert len(flow.gradient_norms["weight"]) == 2


@pytest.mark.parametrize(
    "make",
    [
        lambda p: optim.SGD(p, lr=0.1, momentum=0.9),
        lambda p: optim.Adam(p, lr=0.1),
        lambda p: optim.LBFGS(p, lr=0.1, max_iter=3),  # asks its closure several times a step
        lambda p: optim.LBFGS(p, line_search_fn="strong_wolfe"),
    ],
    ids=["SGD", "Adam", "LBFGS", "LBFGS, searching"],
)
@pytest.mark.parametrize("by_name", [False, True])
def test_steps_with_a_closure(make, by_name):
    """What is recorded is what the closure computed first; and nothing but the step changes, with the flow or without."""

    def trained(watched):
        minidl.manual_seed(0)
        model = nn.Linear(3, 2)
        optimizer = make(model.parameters())
        x = minidl.randn(8, 3)
        seen = []

        def closure():
            optimizer.zero_grad()
            loss = model(x).square().mean()
            loss.backward()
            seen.append((norm(model.weight.grad), model.weight.numpy(force=True).copy()))
            return loss

        flow = inspect.gradient_flow(model, optimizer) if watched else None
        firsts = []
        for _ in range(4):
            firsts.append(len(seen))
            optimizer.step(closure=closure) if by_name else optimizer.step(closure)
        return model, flow, [seen[i] for i in firsts]

    model, flow, first = trained(True)
    flow.close()
    np.testing.assert_array_equal(model.weight.numpy(force=True), trained(False)[0].weight.numpy(force=True))
    assert flow.steps == 4
    np.testing.assert_allclose(flow.gradient_norms["weight"], [g for g, _ in first], rtol=1e-6)
    weights = [w for _, w in first] + [model.weight.numpy(force=True)]
    moved = [np.linalg.norm(b - a) / np.linalg.norm(a) for a, b in pairwise(weights)]
    np.testing.assert_allclose(flow.update_ratios["weight"], moved, rtol=1e-3)


def test_a_step_that_was_recorded_by_hand_is_recorded_once():
    model = nn.Linear(2, 1)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    with inspect.gradient_flow(model, optimizer) as flow:
        for by_hand in (True, False, True):
            optimizer.zero_grad()
            model(minidl.ones(1, 2)).sum().backward()
            if by_hand:
                flow.record()
            optimizer.step()
    assert [len(series) for series in (flow.gradient_norms["weight"], flow.update_ratios["weight"])] == [3, 3]


def test_a_step_without_gradients_is_let_pass():
    model = nn.Linear(2, 1)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    with inspect.gradient_flow(model, optimizer) as flow:
        optimizer.step()
    assert flow.steps == 0


def test_forwards_that_nobody_steps_after_are_let_go():
    model = nn.Sequential(nn.Linear(2, 4), nn.ReLU())
    with inspect.gradient_flow(model):
        alive = [weakref.ref(model(minidl.ones(3, 2)).grad_fn) for _ in range(3)]
        gc.collect()
        assert [ref() for ref in alive] == [None] * 3


def test_an_empty_batch_says_nothing_of_any_unit():
    model = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Sigmoid())
    with inspect.gradient_flow(model) as flow:
        model(minidl.zeros(0, 2)).sum().backward()
        flow.record()
        with minidl.no_grad():
            model[0].bias.fill_(5.0)
        model(minidl.zeros(1, 2)).sum().backward()
        flow.record()
    assert flow.dead["1"][-1] == 0
    np.testing.assert_array_equal(np.isnan(flow.dead["1"]), [True, False])


def test_dead_units():
    model = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1))
    with minidl.no_grad():
        model[0].weight.zero_()
        model[0].bias.copy_(minidl.tensor([-1.0, 1.0, -1.0, 2.0]))
    optimizer = optim.SGD(model.parameters(), lr=0.0)
    with inspect.gradient_flow(model, optimizer) as flow:
        model(minidl.randn(5, 2)).sum().backward()
        optimizer.step()
        model[0].bias.data = minidl.tensor([-1.0, 1.0, 1.0, 2.0])
        model(minidl.randn(5, 2)).sum().backward()
        optimizer.step()
    np.testing.assert_allclose(flow.dead["1"], [0.5, 0.25])
    assert "25% of the units dead" in repr(flow)


def test_a_unit_is_dead_only_if_silent_in_every_forward_and_everywhere():
    model = nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(2 * 3 * 3, 1))
    x = minidl.full((4, 2, 3, 3), -1.0)
    x[0, 1, 2, 2] = 1.0  # channel 1 speaks once
    flow = inspect.gradient_flow(model)
    model(x).sum().backward()
    flow.record()
    model(-x).sum().backward()  # channel 0 speaks, and so does channel 1
    model(x).sum().backward()
    flow.record()
    flow.close()
    np.testing.assert_allclose(flow.dead["0"], [0.5, 0.0])


def test_saturation_of_modules_and_functions():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(1, 1)

        def forward(self, x):
            return minidl.sigmoid(x) + self.fc(x)

    model = Net()
    with inspect.gradient_flow(model, end=0.1) as flow:
        x = minidl.tensor([[-9.0], [0.0], [1.0], [9.0]])
        model(x).sum().backward()
        flow.record()
    np.testing.assert_allclose(flow.saturated[""], [0.5])


def test_flow_wrong_use():
    with pytest.raises(TypeError, match=r"nn\.Module"):
        inspect.gradient_flow(3)
    with pytest.raises(TypeError, match=r"minidl\.optim, got int"):
        inspect.gradient_flow(nn.Linear(1, 1), 3)
    with pytest.raises(ValueError, match="steps none of the parameters of this Linear"):
        inspect.gradient_flow(nn.Linear(1, 1), optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0))
    assert not tape._around
    with pytest.raises(ValueError, match="between 0 and"):
        inspect.gradient_flow(nn.Linear(1, 1), end=0.7)
    with inspect.gradient_flow(nn.Linear(1, 1)) as flow:
        with pytest.raises(RuntimeError, match="no parameter has a gradient"):
            flow.record()
        with pytest.raises(AttributeError, match="norms"):
            flow.norms  # noqa: B018


def test_an_error_in_forward_does_not_lead_astray():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    with inspect.gradient_flow(model) as flow:
        with pytest.raises(RuntimeError):
            model(minidl.zeros(1, 3))
        model(minidl.ones(1, 2)).sum().backward()
        flow.record()
    assert list(flow.dead) == ["1"]


# ---------------------------------------------------------------------------------------------------------- activations


def test_activations():
    tanh = nn.Tanh()
    model = nn.Sequential(nn.Linear(3, 3), tanh, nn.BatchNorm1d(3), tanh)
    x = minidl.randn(5, 3)
    before = model[2].running_mean.numpy().copy()
    found = inspect.activations(model, x)
    np.testing.assert_array_equal(model[2].running_mean.numpy(), before)
    assert list(found.values) == ["0", "1", "2", "1#2", ""]
    np.testing.assert_allclose(found["1"], np.tanh(model[0](x).numpy(force=True)), rtol=1e-6)
    np.testing.assert_array_equal(found["1#2"], found[""])
    assert found.summaries()["1"].shape == (5, 3)
    with pytest.raises(KeyError, match="those that did"):
        found["9"]
    assert len(found) == 5
    assert "Tanh (5, 3)" in repr(found)
    assert found.plot().get_yticklabels()[0].get_text().startswith("(model)")
    assert not hooks.everywhere


def test_activations_of_several_outputs():
    found = inspect.activations(nn.LSTM(2, 3), minidl.zeros(4, 1, 2))
    assert found[""].shape == (4, 1, 3)


# --------------------------------------------------------------------------------------------------------------- filters


def test_filters():
    model = nn.Sequential(nn.Linear(2, 2), nn.Conv2d(3, 5, 4), nn.Conv2d(5, 7, 3))
    found = inspect.filters(model)
    assert (found.path, found.weights.shape) == ("1", (5, 3, 4, 4))
    np.testing.assert_array_equal(found.weights, model[1].weight.numpy(force=True))
    image = found.plot().images[0].get_array()
    assert image.shape[2] == 3
    assert inspect.filters(model, "2").plot(most=4).get_title() == "2: 4 of 7 filters"
    linear = inspect.filters(nn.Linear(6, 4))
    linear.plot()
    linear.plot(shape=(2, 3))
    with pytest.raises(ValueError, match="pictures of shape"):
        linear.plot(shape=(2, 2))
    for layer in (nn.Conv1d(2, 3, 5), nn.Conv3d(1, 2, 3)):
        inspect.filters(layer).plot()
    with pytest.raises(ValueError, match="no weight"):
        inspect.filters(nn.ReLU())
    with pytest.raises(AttributeError):
        inspect.filters(model, "nowhere")


# -------------------------------------------------------------------------------------------------------------- saliency


def test_saliency_is_the_finite_difference():
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(3 * 4, 5)).double()
    x = minidl.randn(2, 2, 4, 4).double()
    found = inspect.saliency(model, x, minidl.tensor([1, 3]))
    assert all(p.grad is None for p in model.parameters())
    assert found.map.shape == (2, 4, 4)
    np.testing.assert_array_equal(found.map, np.abs(found.gradient).max(1))
    values = x.numpy()
    for n, c, i, j in [(0, 0, 0, 0), (1, 1, 2, 3), (0, 1, 3, 1)]:
        sides = []
        for step in (1e-6, -1e-6):
            moved = values.copy()
            moved[n, c, i, j] += step
            sides.append(model(minidl.tensor(moved)).numpy(force=True)[n, (1, 3)[n]])
        assert found.gradient[n, c, i, j] == pytest.approx((sides[0] - sides[1]) / 2e-6, rel=1e-5)
    assert len(found.plot().axes) == 2
    ax = plt.figure().subplots()
    assert found.plot(ax, sample=1) is ax


def test_saliency_of_the_best_class():
    model = nn.Linear(3, 4)
    x = minidl.randn(5, 3)
    found = inspect.saliency(model, x)
    best = model(x).numpy(force=True).argmax(1)
    np.testing.assert_array_equal(found.target, best)
    np.testing.assert_allclose(found.gradient, model.weight.numpy(force=True)[best], rtol=1e-6)
    found.plot()


def test_saliency_wrong_use():
    model = nn.Linear(3, 4)
    with pytest.raises(TypeError, match="floating"):
        inspect.saliency(model, minidl.zeros(2, 3, dtype=minidl.int64))
    with pytest.raises(ValueError, match="outside 0"):
        inspect.saliency(model, minidl.zeros(2, 3), 4)
    with pytest.raises(ValueError, match="scores"):
        inspect.saliency(nn.Flatten(0), minidl.zeros(2, 3))
    assert F.relu(minidl.zeros(1)).item() == 0
