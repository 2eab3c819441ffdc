"""Averaged models, SWALR and update_bn against PyTorch in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import minidl
from minidl import nn, optim
from minidl.optim import swa_utils

THEIRS = torch.optim.swa_utils


def networks():
    """The same network twice, with batch norm."""
    minidl.manual_seed(0)
    ours = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2)).double()
    theirs = torch.nn.Sequential(
        torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.ReLU(), torch.nn.Linear(4, 2)
    ).double()
    theirs.load_state_dict({name: torch.tensor(t.numpy()) for name, t in ours.state_dict().items()})
    return ours, theirs


def batches(n, seed=0):
    return np.random.default_rng(seed).standard_normal((n, 8, 3))


def train(ours, theirs, steps, update=lambda: None, seed=0):
    optimizers = optim.SGD(ours.parameters(), lr=0.1), torch.optim.SGD(theirs.parameters(), lr=0.1)
    for x in batches(steps, seed):
        for library, model, optimizer in zip((minidl, torch), (ours, theirs), optimizers):
            optimizer.zero_grad()
            model(library.tensor(x)).square().sum().backward()
            optimizer.step()
        update()


def compare(ours, theirs, tolerance=1e-11):
    expected = theirs.state_dict()
    assert list(ours.state_dict()) == list(expected)
    for name, tensor in ours.state_dict().items():
        np.testing.assert_allclose(tensor.numpy(), expected[name].numpy(), rtol=tolerance, atol=tolerance, err_msg=name)


SETTINGS = [
    lambda s: {},
    lambda s: {"use_buffers": True},
    lambda s: {"avg_fn": s.get_ema_avg_fn(0.7)},
    lambda s: {"avg_fn": s.get_swa_avg_fn(), "use_buffers": True},
    lambda s: {"multi_avg_fn": s.get_ema_multi_avg_fn(0.7)},
    lambda s: {"multi_avg_fn": s.get_swa_multi_avg_fn()},
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_averages_and_batch_norms_statistics(settings):
    ours, theirs = networks()
    mean, expected = (
        utils.AveragedModel(model, **settings(utils)) for utils, model in ((swa_utils, ours), (THEIRS, theirs))
    )

    def update():
        mean.update_parameters(ours)
        expected.update_parameters(theirs)

    train(ours, theirs, 5, update)
    tolerance = 1e-6 if "multi_avg_fn" in settings(swa_utils) else 1e-11  # PyTorch divides by the number in float32
    compare(mean, expected, tolerance)
    assert int(mean.n_averaged) == 5
    x = batches(4, seed=1)
    mean.eval()
    expected.eval()
    swa_utils.update_bn([minidl.tensor(b) for b in x], mean)
    THEIRS.update_bn([torch.tensor(b) for b in x], expected)
    compare(mean, expected, tolerance)
    assert not mean.training
    assert mean.module[1].momentum == 0.1
    np.testing.assert_allclose(
        mean(minidl.tensor(x[0])).numpy(force=True), expected(torch.tensor(x[0])).detach().numpy(), rtol=1e-5
    )


def test_ema_of_counters():
    """Buffers of whole numbers are averaged and rounded towards 0, as PyTorch does it."""
    ours, theirs = networks()
    mean, expected = (
        utils.AveragedModel(model, multi_avg_fn=utils.get_ema_multi_avg_fn(0.5), use_buffers=True)
        for utils, model in ((swa_utils, ours), (THEIRS, theirs))
    )
    for _ in range(3):
        train(ours, theirs, 3)
        mean.update_parameters(ours)
        expected.update_parameters(theirs)
    compare(mean, expected)


def test_the_average_is_a_model_of_its_own():
    model, _ = networks()
    mean = swa_utils.AveragedModel(model)
    before = mean.module[0].weight.numpy(force=True).copy()
    with minidl.no_grad():
        model[0].weight.add_(1)
    np.testing.assert_array_equal(mean.module[0].weight.numpy(force=True), before)
    assert all(p.requires_grad for p in mean.parameters())


def test_update_bn_of_lists_and_of_nothing():
    ours, theirs = networks()
    x = batches(3)
    swa_utils.update_bn([(minidl.tensor(b), 0) for b in x], ours)
    THEIRS.update_bn([(torch.tensor(b), 0) for b in x], theirs)
    compare(ours, theirs)
    swa_utils.update_bn([], nn.Linear(2, 2))  # no batch norm: the loader is not touched


@pytest.mark.parametrize(
    "settings",
    [
        {"swa_lr": 0.05},
        {"swa_lr": [0.05, 2.0], "anneal_epochs": 4, "anneal_strategy": "linear"},
        {"swa_lr": 0.3, "anneal_epochs": 0},
        {"swa_lr": 0.3, "anneal_epochs": 1},
        {"swa_lr": 0.0, "anneal_epochs": 3},
    ],
)
@pytest.mark.parametrize("other", [False, True])
def test_swalr(settings, other):
    """Alone, and beside another schedule that changes the rates first."""
    rates = []
    for library, utils in ((minidl, swa_utils), (torch, THEIRS)):
        x, y = (library.ones(2, requires_grad=True) for _ in range(2))
        optimizer = library.optim.SGD([{"params": [x]}, {"params": [y], "lr": 0.5}], lr=0.1)
        more = library.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
        schedule = utils.SWALR(optimizer, **settings)
        found = []
        for _ in range(13):
            optimizer.step()
            if other:
                more.step()
            schedule.step()
            found.append([group["lr"] for group in optimizer.param_groups])
        rates.append((found, [group["swa_lr"] for group in optimizer.param_groups], schedule.get_last_lr()))
    np.testing.assert_allclose(rates[0][0], rates[1][0], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(rates[0][2], rates[1][2], rtol=1e-12, atol=1e-15)
    assert rates[0][1] == rates[1][1]


def test_swalr_goes_on_from_its_state():
    def make():
        optimizer = optim.SGD([minidl.ones(2, requires_grad=True)], lr=0.1)
        return optimizer, swa_utils.SWALR(optimizer, 0.05, anneal_epochs=6)

    optimizer, schedule = make()
    for _ in range(3):
        optimizer.step()
        schedule.step()
    again, later = make()
    again.load_state_dict(optimizer.state_dict())
    later.load_state_dict(schedule.state_dict())
    for _ in range(3):
        for one in (optimizer, schedule, again, later):
            one.step()
    assert later.get_last_lr() == schedule.get_last_lr()


def test_wrong_settings():
    model = nn.Linear(2, 2)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(AssertionError, match="Only one of avg_fn and multi_avg_fn"):
        swa_utils.AveragedModel(model, avg_fn=max, multi_avg_fn=max)
    for decay in (-0.1, 1.1):
        with pytest.raises(ValueError, match="decay"):
            swa_utils.get_ema_avg_fn(decay)
        with pytest.raises(ValueError, match="decay"):
            swa_utils.get_ema_multi_avg_fn(decay)
    with pytest.raises(ValueError, match="anneal_strategy"):
        swa_utils.SWALR(optimizer, 0.1, anneal_strategy="steps")
    with pytest.raises(ValueError, match="anneal_epochs"):
        swa_utils.SWALR(optimizer, 0.1, anneal_epochs=-1)
    with pytest.raises(ValueError, match="swa_lr"):
        swa_utils.SWALR(optimizer, [0.1, 0.2])
    with pytest.raises(ValueError, match="shorter"):
        swa_utils.AveragedModel(model).update_parameters(nn.Linear(2, 2, bias=False))
