"""Every schedule: PyTorch's numbers over hundreds of steps, resumed, in groups, and wrong calls."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch

import minidl
from minidl.optim import lr_scheduler as ours_module

THEIRS = torch.optim.lr_scheduler


def decay(epoch):
    return 0.97**epoch


def shrink(epoch):
    return 0.99 if epoch % 3 else 1.01


class Rule:
    """A callable object, whose attributes are part of the state."""

    def __init__(self, rate):
        self.rate = rate

    def __call__(self, epoch):
        return self.rate**epoch


CASES = {
    "LambdaLR": [{"lr_lambda": decay}, {"lr_lambda": [decay, shrink]}, {"lr_lambda": Rule(0.9)}],
    "MultiplicativeLR": [{"lr_lambda": shrink}, {"lr_lambda": [shrink, Rule(0.999)]}],
    "StepLR": [{"step_size": 7}, {"step_size": 1, "gamma": 0.99}],
    "MultiStepLR": [{"milestones": [3, 10, 10, 50]}, {"milestones": [1, 200], "gamma": 0.5}, {"milestones": []}],
    "ConstantLR": [{}, {"factor": 0.5, "total_iters": 20}, {"factor": 1.0, "total_iters": 0}],
    "LinearLR": [
        {},
        {"start_factor": 0.01, "end_factor": 0.5, "total_iters": 50},
        {"start_factor": 1, "end_factor": 0},
    ],
    "ExponentialLR": [{"gamma": 0.98}],
    "PolynomialLR": [{}, {"total_iters": 100, "power": 2.0}],
    "CosineAnnealingLR": [{"T_max": 10}, {"T_max": 33, "eta_min": 0.01}, {"T_max": 1}],
    "CosineAnnealingWarmRestarts": [{"T_0": 10}, {"T_0": 7, "T_mult": 2, "eta_min": 0.01}, {"T_0": 1, "T_mult": 3}],
    "CyclicLR": [
        {"base_lr": 0.01, "max_lr": 0.5, "step_size_up": 10},
        {"base_lr": [0.01, 0.02], "max_lr": [0.5, 0.9], "step_size_up": 7, "step_size_down": 3, "mode": "triangular2"},
        {
            "base_lr": 0.01,
            "max_lr": 0.5,
            "step_size_up": 9,
            "mode": "exp_range",
            "gamma": 0.99,
            "cycle_momentum": False,
        },
        {"base_lr": 0.01, "max_lr": 0.5, "step_size_up": 9, "scale_fn": Rule(0.99), "scale_mode": "iterations"},
        {
            "base_lr": 0.1,
            "max_lr": 0.5,
            "step_size_up": 9,
            "scale_fn": decay,
            "base_momentum": 0.1,
            "max_momentum": 0.6,
        },
    ],
    "OneCycleLR": [
        {"max_lr": 0.5, "total_steps": 300},
        {"max_lr": [0.5, 1.0], "epochs": 30, "steps_per_epoch": 10, "anneal_strategy": "linear"},
        {"max_lr": 0.5, "total_steps": 301, "three_phase": True, "div_factor": 10.0, "final_div_factor": 100.0},
        {"max_lr": 0.5, "total_steps": 300, "cycle_momentum": False, "pct_start": 0.5},
        {"max_lr": 0.5, "total_steps": 300, "base_momentum": 0.2, "max_momentum": [0.8, 0.9]},
    ],
}
EACH = [(name, settings) for name, cases in CASES.items() for settings in cases]
each = pytest.mark.parametrize(("name", "settings"), EACH, ids=[f"{n}-{i}" for i, (n, _) in enumerate(EACH)])
STEPS = 300


def optimizer_of(library, kind="SGD", lrs=(0.5, 0.2), **settings):
    groups = [{"params": [library.ones(2, requires_grad=True)], "lr": lr} for lr in lrs]
    if kind == "SGD":
        settings.setdefault("momentum", 0.9)
    return getattr(library.optim, kind)(groups, lr=0.1, **settings)


def settings_of(optimizer):
    """What a schedule changes in each group."""
    return [(g["lr"], g.get("momentum"), g.get("betas")) for g in optimizer.param_groups]


def pair(name, settings, kind="SGD"):
    a, b = optimizer_of(minidl, kind), optimizer_of(torch, kind)
    return (
        a,
        getattr(ours_module, name)(a, **copy.deepcopy(settings)),
        b,
        getattr(THEIRS, name)(b, **copy.deepcopy(settings)),
    )


def go(a, ours, b, theirs, steps=STEPS):
    for step in range(steps):
        a.step()
        b.step()
        ours.step()
        theirs.step()
        assert settings_of(a) == settings_of(b), f"after step {step}"
        assert ours.get_last_lr() == theirs.get_last_lr()
        assert ours.last_epoch == theirs.last_epoch


@each
@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_numbers_are_pytorchs(name, settings, kind):
    a, ours, b, theirs = pair(name, settings, kind)
    assert settings_of(a) == settings_of(b), "at the beginning"
    assert ours.get_last_lr() == theirs.get_last_lr()
    go(a, ours, b, theirs)


@each
def test_resuming_gives_the_same_numbers(name, settings):
    a, ours, b, theirs = pair(name, settings)
    go(a, ours, b, theirs, 57)
    saved_optimizer, saved = copy.deepcopy(a.state_dict()), copy.deepcopy(ours.state_dict())
    assert "optimizer" not in saved
    fresh = optimizer_of(minidl, lrs=(0.7, 0.7))
    resumed = getattr(ours_module, name)(fresh, **copy.deepcopy(settings))
    fresh.load_state_dict(saved_optimizer)
    resumed.load_state_dict(saved)
    go(fresh, resumed, b, theirs, 100)


@each
def test_pytorchs_state_can_be_loaded(name, settings):
    _, _, b, theirs = pair(name, settings)
    for _ in range(23):
        b.step()
        theirs.step()
    fresh = optimizer_of(minidl)
    resumed = getattr(ours_module, name)(fresh, **copy.deepcopy(settings))
    for group, its in zip(fresh.param_groups, b.param_groups):
        group.update({k: v for k, v in its.items() if k != "params"})
    resumed.load_state_dict(copy.deepcopy(theirs.state_dict()))
    go(fresh, resumed, b, theirs, 50)


@each
def test_resuming_through_last_epoch(name, settings):
    """A new schedule over an optimiser that was scheduled before, ``last_epoch`` steps on."""
    a, ours, b, theirs = pair(name, settings)
    go(a, ours, b, theirs, 10)
    ours = getattr(ours_module, name)(a, last_epoch=9, **copy.deepcopy(settings))
    theirs = getattr(THEIRS, name)(b, last_epoch=9, **copy.deepcopy(settings))
    assert settings_of(a) == settings_of(b)
    go(a, ours, b, theirs, 30)


JUMPING = [
    "StepLR",
    "MultiStepLR",
    "ConstantLR",
    "LinearLR",
    "ExponentialLR",
    "PolynomialLR",
    "CosineAnnealingLR",
    "LambdaLR",
]


@pytest.mark.parametrize("name", JUMPING)
@pytest.mark.filterwarnings("ignore:The epoch parameter")
def test_jumping_to_an_epoch(name):
    for settings in CASES[name]:
        if settings.get("total_iters") == 0:
            continue
        a, ours, b, theirs = pair(name, settings)
        a.step()
        b.step()
        for epoch in (3, 40, 2, 0, 17):
            ours.step(epoch)
            theirs.step(epoch)
            assert settings_of(a) == settings_of(b), (settings, epoch)


@pytest.mark.parametrize("settings", CASES["CosineAnnealingWarmRestarts"])
def test_warm_restarts_at_fractions_of_epochs(settings):
    a, ours, b, theirs = pair("CosineAnnealingWarmRestarts", settings)
    a.step()
    b.step()
    for epoch in (0, 0.5, 3.25, 10.5, 80.75, 2.0):
        ours.step(epoch)
        theirs.step(epoch)
        assert settings_of(a) == settings_of(b), epoch
    with pytest.raises(ValueError, match="Expected non-negative epoch, but got -1"):
        ours.step(-1)


# --------------------------------------------------------------------------------------------------------- combinations

PARTS = {
    "warm-up then cosine": lambda m, o: (
        [m.LinearLR(o, start_factor=0.1, total_iters=10), m.CosineAnnealingLR(o, T_max=100, eta_min=1e-3)],
        [10],
    ),
    "three": lambda m, o: (
        [m.ConstantLR(o, factor=0.1, total_iters=5), m.ExponentialLR(o, gamma=0.9), m.StepLR(o, step_size=20)],
        [5, 40],
    ),
    "without a closed form": lambda m, o: (
        [m.ExponentialLR(o, gamma=0.9), m.MultiplicativeLR(o, shrink), m.CosineAnnealingWarmRestarts(o, T_0=7)],
        [20, 60],
    ),
    "one": lambda m, o: ([m.StepLR(o, step_size=20)], []),
    "milestone 0": lambda m, o: ([m.ExponentialLR(o, gamma=0.5), m.StepLR(o, step_size=20)], [0]),
}


def sequential(module, optimizer, which):
    schedulers, milestones = PARTS[which](module, optimizer)
    return module.SequentialLR(optimizer, schedulers, milestones)


def chained(module, optimizer, which):
    return module.ChainedScheduler(PARTS[which](module, optimizer)[0])


def nested(module, optimizer, which):
    inner = sequential(module, optimizer, which)
    return module.SequentialLR(optimizer, [inner, module.ExponentialLR(optimizer, gamma=0.9)], [70])


@pytest.mark.parametrize("which", PARTS)
@pytest.mark.parametrize("combine", [sequential, chained, nested])
@pytest.mark.filterwarnings("ignore:The epoch parameter")
@pytest.mark.filterwarnings("ignore:.*lr_scheduler.step")  # nested ones begin with a step, in both
def test_combined_schedules(combine, which):
    a, b = optimizer_of(minidl), optimizer_of(torch)
    ours, theirs = combine(ours_module, a, which), combine(THEIRS, b, which)
    assert settings_of(a) == settings_of(b), "at the beginning"
    assert ours.get_last_lr() == theirs.get_last_lr()

    def steps(n, a, ours):
        for step in range(n):
            a.step()
            b.step()
            ours.step()
            theirs.step()
            assert settings_of(a) == settings_of(b), step
            assert ours.get_last_lr() == theirs.get_last_lr()

    steps(33, a, ours)
    fresh = optimizer_of(minidl, lrs=(3.0, 3.0))
    resumed = combine(ours_module, fresh, which)
    fresh.load_state_dict(copy.deepcopy(a.state_dict()))
    resumed.load_state_dict(copy.deepcopy(ours.state_dict()))
    steps(150, fresh, resumed)


# -------------------------------------------------------------------------------------------------------------- plateau

PLATEAU = [
    {},
    {"patience": 2, "factor": 0.5},
    {"mode": "max", "patience": 1, "cooldown": 3},
    {"threshold_mode": "abs", "threshold": 0.05, "patience": 0},
    {"mode": "max", "threshold_mode": "abs", "threshold": 0.05, "patience": 3, "min_lr": [0.1, 0.01]},
    {"patience": 0, "min_lr": 0.001, "eps": 0.01},
]


@pytest.mark.parametrize("settings", PLATEAU)
def test_reduce_on_plateau(settings):
    a, ours, b, theirs = pair("ReduceLROnPlateau", settings)
    generator = torch.Generator().manual_seed(0)
    figures = torch.rand(200, generator=generator).cumsum(0).div(torch.arange(1, 201)).tolist()
    for i, figure in enumerate(figures):
        a.step()
        ours.step(figure)
        theirs.step(figure)
        assert settings_of(a) == settings_of(b), i
        assert ours.get_last_lr() == theirs.get_last_lr()
        assert (ours.best, ours.num_bad_epochs, ours.in_cooldown) == (
            theirs.best,
            theirs.num_bad_epochs,
            theirs.in_cooldown,
        )
        if i == 100:
            state, groups = copy.deepcopy(ours.state_dict()), copy.deepcopy(a.state_dict())
            a = optimizer_of(minidl)
            ours = ours_module.ReduceLROnPlateau(a)
            a.load_state_dict(groups)
            ours.load_state_dict(state)


def test_plateau_takes_a_tensor_and_notices_new_groups():
    optimizer = optimizer_of(minidl)
    scheduler = ours_module.ReduceLROnPlateau(optimizer, patience=0)
    scheduler.step(minidl.tensor(1.0))
    optimizer.add_param_group({"params": [minidl.ones(1, requires_grad=True)], "lr": 1.0})
    scheduler.step(minidl.tensor(2.0))
    assert scheduler.get_last_lr() == [0.05, 0.020000000000000004, 0.1]
    with_list = ours_module.ReduceLROnPlateau(optimizer, patience=0, min_lr=[0.0, 0.0, 0.0])
    optimizer.add_param_group({"params": [minidl.ones(1, requires_grad=True)], "lr": 1.0})
    with_list.step(1.0)
    with pytest.raises(RuntimeError, match=r"param groups in the `optimizer` \(4\) differs"):
        with_list.step(2.0)


# --------------------------------------------------------------------------------------------------------------- others


def test_a_schedule_of_ones_own():
    class Halve(ours_module.LRScheduler):
        def next_lr(self, lr, base_lr):
            return lr if self.last_epoch == 0 else lr / 2

    class PyTorchStyle(ours_module.LRScheduler):
        def get_lr(self):
            return [base / (1 + self.last_epoch) for base in self.base_lrs]

    a, b = optimizer_of(minidl), optimizer_of(minidl)
    one, two = Halve(a), PyTorchStyle(b)
    a.step()
    b.step()
    one.step()
    two.step()
    assert [lr for lr, *_ in settings_of(a)] == [lr for lr, *_ in settings_of(b)] == [0.25, 0.1]


def test_a_tensor_learning_rate_is_changed_in_place():
    lr = minidl.tensor(0.5)
    optimizer = minidl.optim.SGD([minidl.ones(1, requires_grad=True)], lr=lr)
    scheduler = ours_module.ExponentialLR(optimizer, gamma=0.5)
    optimizer.step()
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] is lr
    assert lr.item() == 0.25


def test_stepping_before_the_optimizer_warns():
    for module, library in ((ours_module, minidl), (THEIRS, torch)):
        optimizer = optimizer_of(library)
        scheduler = module.StepLR(optimizer, 3)
        with pytest.warns(UserWarning, match=r"optimizer\.step\(\)"):
            scheduler.step()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            scheduler.step()


WRONG = [
    ("StepLR", ("not an optimizer", 3), {}, TypeError, "str is not an Optimizer"),
    ("LambdaLR", None, {"lr_lambda": [decay]}, ValueError, "Expected 2 lr_lambdas, but got 1"),
    ("MultiplicativeLR", None, {"lr_lambda": 3}, TypeError, "lr_lambda should be a function, but got int"),
    ("MultiplicativeLR", None, {"lr_lambda": [decay] * 3}, ValueError, "Expected 2 lr_lambdas, but got 3"),
    ("ConstantLR", None, {"factor": 1.5}, ValueError, "expected to be between 0 and 1"),
    ("LinearLR", None, {"start_factor": 0}, ValueError, "Starting multiplicative factor"),
    ("LinearLR", None, {"end_factor": 1.5}, ValueError, "Ending multiplicative factor"),
    ("CosineAnnealingWarmRestarts", None, {"T_0": 0}, ValueError, "Expected positive integer T_0, but got 0"),
    ("CosineAnnealingWarmRestarts", None, {"T_0": 3, "T_mult": 0.5}, ValueError, "Expected integer T_mult >= 1"),
    ("CosineAnnealingWarmRestarts", None, {"T_0": 3, "eta_min": "a"}, ValueError, "Expected float or int eta_min"),
    ("CyclicLR", None, {"base_lr": [1.0], "max_lr": 2.0}, ValueError, "base_lr must have the same length"),
    (
        "CyclicLR",
        None,
        {"base_lr": 1.0, "max_lr": 2.0, "mode": "up"},
        ValueError,
        "mode is invalid and scale_fn is None",
    ),
    ("OneCycleLR", None, {"max_lr": 1.0}, ValueError, "either total_steps OR"),
    ("OneCycleLR", None, {"max_lr": 1.0, "total_steps": -1}, ValueError, "positive integer total_steps, but got -1"),
    (
        "OneCycleLR",
        None,
        {"max_lr": 1.0, "epochs": 1, "steps_per_epoch": 0},
        ValueError,
        "integer steps_per_epoch",
    ),
    ("OneCycleLR", None, {"max_lr": 1.0, "epochs": 0, "steps_per_epoch": 2}, ValueError, "positive integer epochs"),
    ("OneCycleLR", None, {"max_lr": 1.0, "total_steps": 9, "pct_start": 2.0}, ValueError, "between 0 and 1 pct_start"),
    ("OneCycleLR", None, {"max_lr": 1.0, "total_steps": 9, "anneal_strategy": "x"}, ValueError, "must be one of"),
    ("OneCycleLR", None, {"max_lr": [1.0], "total_steps": 9}, ValueError, "max_lr must have the same length"),
    ("ReduceLROnPlateau", None, {"factor": 1.0}, ValueError, "Factor should be < 1.0"),
    ("ReduceLROnPlateau", None, {"mode": "x"}, ValueError, "mode x is unknown"),
    ("ReduceLROnPlateau", None, {"threshold_mode": "x"}, ValueError, "threshold mode x is unknown"),
    ("ReduceLROnPlateau", None, {"min_lr": [1.0]}, ValueError, "expected 2 min_lrs, got 1"),
    ("ReduceLROnPlateau", ("none",), {}, TypeError, "str is not an Optimizer"),
    ("ExponentialLR", None, {"gamma": 0.9, "last_epoch": 3}, KeyError, "'initial_lr' is not specified"),
]


@pytest.mark.parametrize(("name", "args", "settings", "error", "message"), WRONG)
def test_wrong_calls(name, args, settings, error, message):
    for module, library in ((THEIRS, torch), (ours_module, minidl)):
        positional = args if args is not None else (optimizer_of(library),)
        with pytest.raises(error, match=message):
            getattr(module, name)(*positional, **settings)


def test_wrong_combinations():
    for module, library in ((THEIRS, torch), (ours_module, minidl)):
        optimizer, other = optimizer_of(library), optimizer_of(library)
        plateau, step = module.ReduceLROnPlateau(optimizer), module.StepLR(optimizer, 3)
        stranger = module.StepLR(other, 3)
        for schedulers, milestones, error, message in [
            ([], [], ValueError, "expects at least one scheduler"),
            ([step, plateau], [3], ValueError, "does not support `ReduceLROnPlateau`"),
            ([step, stranger], [3], ValueError, "expects all schedulers to belong to the same optimizer"),
            ([step, step], [], ValueError, "number of schedulers"),
            ([step, "x"], [3], TypeError, "should have `optimizer`"),
        ]:
            with pytest.raises(error, match=message):
                module.SequentialLR(optimizer, schedulers, milestones)
            if "number of" not in message:
                with pytest.raises(error, match=message):
                    module.ChainedScheduler(schedulers)


def test_one_cycle_has_an_end():
    optimizer = optimizer_of(minidl)
    scheduler = ours_module.OneCycleLR(optimizer, 1.0, total_steps=3)
    optimizer.step()
    for _ in range(3):
        scheduler.step()
    with pytest.raises(ValueError, match=r"Tried to step 4 times\. The specified number of total steps is 3"):
        scheduler.step()


def test_cycling_the_momentum_needs_one():
    for name, settings in (
        ("OneCycleLR", {"max_lr": 1.0, "total_steps": 3}),
        ("CyclicLR", {"base_lr": 0.1, "max_lr": 1.0}),
    ):
        for module, library in ((THEIRS, torch), (ours_module, minidl)):
            with pytest.raises(ValueError, match="optimizer must support momentum or beta1"):
                getattr(module, name)(optimizer_of(library, "Adagrad"), **settings)
