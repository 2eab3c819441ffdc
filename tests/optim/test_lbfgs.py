"""L-BFGS, step by step against PyTorch in float64."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

import minidl
from minidl import optim
from tests.optim.test_optimizers import as_minidl, as_torch

SETTINGS = [
    {},
    {"lr": 0.3},
    {"max_iter": 1},
    {"max_iter": 4, "history_size": 2},
    {"max_eval": 3},
    {"tolerance_grad": 1e-1},
    {"tolerance_change": 1e-2},
    {"line_search_fn": "strong_wolfe"},
    {"line_search_fn": "strong_wolfe", "lr": 0.01, "history_size": 3},
    {"line_search_fn": "strong_wolfe", "lr": 30.0, "max_iter": 5, "max_eval": 40},
]


def valley(x, y):
    """Rosenbrock's function of x (N) from a bent valley, and a quadratic of y (2, 2)."""
    return ((x[1:] - x[:-1] ** 2) ** 2 * 100 + (1 - x[:-1]) ** 2).sum() + (y * y).sum() * 0.5


def wavy(x, y):
    """With slopes up and down on the way, so that a line search has to come back."""
    return (x * x * 0.1 + (x * 3).cos()).sum() + (y**4).sum() + (x.sum() * y.sum()).sin()


class Problem:
    """A function of two parameters in one of the libraries, its optimiser, and what it has met."""

    def __init__(self, library, function, settings):
        rng = np.random.default_rng(1)
        self.x = [library.tensor(rng.uniform(-1, 1, shape), requires_grad=True) for shape in ((4,), (2, 2))]
        self.function = function
        self.optimizer = library.optim.LBFGS(self.x, **settings)
        self.losses = []

    def closure(self):
        self.optimizer.zero_grad()
        loss = self.function(*self.x)
        loss.backward()
        self.losses.append(float(loss.detach()))
        return loss

    def step(self):
        return float(self.optimizer.step(self.closure).detach())


@pytest.mark.parametrize("function", [valley, wavy])
@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: "-".join(map(str, s.items())) or "default")
def test_steps_match_pytorch(function, settings):
    if function is valley and settings in ({}, {"max_eval": 3}, {"max_iter": 4, "history_size": 2}):
        settings = {**settings, "lr": 0.05}  # a full step leaves the valley for good
    ours, theirs = Problem(minidl, function, settings), Problem(torch, function, settings)
    for _ in range(4):
        assert ours.step() == pytest.approx(theirs.step(), rel=1e-6)
        np.testing.assert_allclose(ours.losses, theirs.losses, rtol=1e-6, atol=1e-9)
        for a, b in zip(ours.x, theirs.x):
            np.testing.assert_allclose(a._data, b.detach().numpy(), rtol=1e-6, atol=1e-8)


def test_it_finds_the_end_of_the_valley():
    problem = Problem(minidl, valley, {"line_search_fn": "strong_wolfe", "max_iter": 100})
    problem.step()
    np.testing.assert_allclose(problem.x[0]._data, 1, atol=1e-4)
    assert len(problem.losses) < 100


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
def test_the_state_goes_both_ways(search):
    settings = {"lr": 0.05, "max_iter": 3, "line_search_fn": search}
    ours, theirs = Problem(minidl, wavy, settings), Problem(torch, wavy, settings)
    ours.step(), theirs.step()
    mine, its = copy.deepcopy(ours.optimizer.state_dict()), copy.deepcopy(theirs.optimizer.state_dict())
    assert mine["param_groups"] == its["param_groups"]
    assert {k for k in its["state"][0] if k != "al"} == set(mine["state"][0])
    fresh_ours, fresh_theirs = Problem(minidl, wavy, settings), Problem(torch, wavy, settings)
    for fresh, old in ((fresh_ours, ours), (fresh_theirs, theirs)):
        for a, b in zip(fresh.x, old.x):
            a.data = b.detach().clone()
    fresh_ours.optimizer.load_state_dict(as_minidl(its))
    fresh_theirs.optimizer.load_state_dict(as_torch(mine))
    for problem in (ours, theirs, fresh_ours, fresh_theirs):
        problem.step()
    for other in (theirs, fresh_ours, fresh_theirs):
        for a, b in zip(ours.x, other.x):
            np.testing.assert_allclose(a._data, np.asarray(b.detach()), rtol=1e-6, atol=1e-9)


def test_parameters_without_a_gradient_stay():
    x, y = minidl.ones(2, requires_grad=True), minidl.ones(3, requires_grad=True)
    optimizer = optim.LBFGS([x, y])

    def closure():
        optimizer.zero_grad()
        loss = (x * x).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    np.testing.assert_allclose(x._data, 0, atol=1e-6)
    assert y.tolist() == [1, 1, 1]


def test_wrong_use():
    x = minidl.ones(2, requires_grad=True)
    with pytest.raises(ValueError, match="parameter groups"):
        optim.LBFGS([{"params": [x]}, {"params": [minidl.ones(1, requires_grad=True)]}])
    with pytest.raises(ValueError, match="learning rate"):
        optim.LBFGS([x], lr=-1)
    with pytest.raises(RuntimeError, match="needs a closure"):
        optim.LBFGS([x]).step()
    with pytest.raises(RuntimeError, match="strong_wolfe"):
        optim.LBFGS([x], line_search_fn="armijo").step(lambda: x.sum())
