"""Every optimiser with its options, over several steps and groups, against PyTorch in float64."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

import minidl
from minidl import optim
from minidl.tensor import wrap

CASES = {
    "SGD": [
        {},
        {"lr": 0.1},
        {"lr": 0.1, "momentum": 0.9},
        {"lr": 0.1, "momentum": 0.9, "dampening": 0.3},
        {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
        {"lr": 0.1, "weight_decay": 0.1, "maximize": True},
    ],
    "Adam": [
        {},
        {"lr": 0.1, "betas": (0.5, 0.7), "eps": 1e-3},
        {"weight_decay": 0.1},
        {"amsgrad": True, "weight_decay": 0.1, "maximize": True},
        {"decoupled_weight_decay": True, "weight_decay": 0.1, "lr": 0.05},
    ],
    "AdamW": [{}, {"lr": 0.1, "weight_decay": 0.3, "amsgrad": True}, {"maximize": True, "betas": (0.0, 0.0)}],
    "RMSprop": [
        {},
        {"centered": True},
        {"momentum": 0.9, "alpha": 0.5},
        {"centered": True, "momentum": 0.9, "weight_decay": 0.1, "maximize": True},
    ],
    "Adagrad": [{}, {"lr_decay": 0.1, "initial_accumulator_value": 0.3, "weight_decay": 0.1}, {"maximize": True}],
    "Adadelta": [{}, {"rho": 0.5, "eps": 1e-3, "lr": 0.5, "weight_decay": 0.1}, {"maximize": True}],
    "ASGD": [{}, {"lr": 0.1, "lambd": 0.3, "alpha": 0.5, "t0": 3, "weight_decay": 0.1}, {"maximize": True, "t0": 1}],
    "Rprop": [{}, {"lr": 0.1, "etas": (0.3, 2.0), "step_sizes": (0.05, 0.3)}, {"maximize": True}],
    "Adafactor": [
        {},
        {"lr": 0.5, "beta2_decay": -0.5, "eps": (1e-3, 0.1), "d": 2.0, "weight_decay": 0.1},
        {"maximize": True},
    ],
    "Adamax": [{}, {"betas": (0.5, 0.6), "weight_decay": 0.1, "maximize": True}],
    "NAdam": [
        {},
        {"momentum_decay": 0.1, "weight_decay": 0.1},
        {"decoupled_weight_decay": True, "weight_decay": 0.1, "maximize": True},
    ],
    "RAdam": [
        {},
        {"betas": (0.5, 0.6), "weight_decay": 0.1},
        {"decoupled_weight_decay": True, "weight_decay": 0.1, "maximize": True},
    ],
}
EACH = [(name, settings) for name, cases in CASES.items() for settings in cases]
each = pytest.mark.parametrize(("name", "settings"), EACH, ids=[f"{n}-{'-'.join(s) or 'default'}" for n, s in EACH])
each_name = pytest.mark.parametrize("name", CASES)

SHAPES = [(), (1,), (3, 4), (2, 3, 2), (0, 3)]


def shapes_of(name):
    """PyTorch's Adafactor divides by the number of elements."""
    return [shape for shape in SHAPES if name != "Adafactor" or 0 not in shape]


class Twins:
    """The same parameters in minidl and in PyTorch, and gradients for both."""

    def __init__(self, shapes=SHAPES, seed=0):
        self.rng = np.random.default_rng(seed)
        values = [self.rng.standard_normal(shape) for shape in shapes]
        self.ours = [minidl.tensor(v, requires_grad=True) for v in values]
        self.theirs = [torch.tensor(v, requires_grad=True) for v in values]

    def new_gradients(self, skip=()):
        for i, (a, b) in enumerate(zip(self.ours, self.theirs)):
            g = self.rng.standard_normal(a.shape)
            a.grad, b.grad = (None, None) if i in skip else (minidl.tensor(g), torch.tensor(g))

    def compare(self, tolerance=1e-12):
        for a, b in zip(self.ours, self.theirs):
            np.testing.assert_allclose(a._data, b.detach().numpy(), rtol=tolerance, atol=tolerance)


def both(name, twins, settings):
    return getattr(optim, name)(twins.ours, **settings), getattr(torch.optim, name)(twins.theirs, **settings)


def run(twins, ours, theirs, steps, skip=(), tolerance=1e-12):
    for _ in range(steps):
        twins.new_gradients(skip)
        ours.step()
        theirs.step()
        twins.compare(tolerance)


@each
def test_steps_match_pytorch(name, settings):
    twins = Twins(shapes_of(name))
    ours, theirs = both(name, twins, settings)
    run(twins, ours, theirs, 12)


@each_name
def test_parameters_without_a_gradient_wait(name):
    twins = Twins(shapes_of(name))
    ours, theirs = both(name, twins, {})
    run(twins, ours, theirs, 2, skip=(1, 2))
    run(twins, ours, theirs, 3)
    run(twins, ours, theirs, 2, skip=(0,))


@each_name
def test_groups_have_their_own_settings(name):
    twins = Twins(shapes_of(name))
    settings = {"lr": 0.3} if name == "Rprop" else {"lr": 0.3, "weight_decay": 0.2}

    def groups(params):
        return [{"params": params[:2]}, {"params": params[2:], **settings}]

    ours = getattr(optim, name)(groups(twins.ours), lr=0.01)
    theirs = getattr(torch.optim, name)(groups(twins.theirs), lr=0.01)
    run(twins, ours, theirs, 3)
    for optimizer in (ours, theirs):
        optimizer.param_groups[0]["lr"] = 0.5
    run(twins, ours, theirs, 3)
    more = Twins([(3,)], seed=1)
    ours.add_param_group({"params": more.ours, "lr": 0.2})
    theirs.add_param_group({"params": more.theirs, "lr": 0.2})
    more.new_gradients()
    run(twins, ours, theirs, 3)
    more.compare()


def as_torch(value):
    """A state dict of ours as one of PyTorch's."""
    if isinstance(value, minidl.Tensor):
        return torch.from_numpy(np.array(value._data))
    if isinstance(value, dict):
        return {k: as_torch(v) for k, v in value.items()}
    return [as_torch(v) for v in value] if isinstance(value, list) else value


def as_minidl(value):
    if isinstance(value, torch.Tensor):
        return wrap(value.numpy().copy())
    if isinstance(value, dict):
        return {k: as_minidl(v) for k, v in value.items()}
    return [as_minidl(v) for v in value] if isinstance(value, list) else value


@each
def test_state_dict_has_pytorchs_layout_and_goes_both_ways(name, settings):
    twins = Twins(shapes_of(name))
    ours, theirs = both(name, twins, settings)
    run(twins, ours, theirs, 3)
    mine, its = ours.state_dict(), theirs.state_dict()
    assert mine["param_groups"] == its["param_groups"]
    assert list(mine["state"]) == list(its["state"])
    for number, state in mine["state"].items():
        assert list(state) == list(its["state"][number])
        for key, value in state.items():
            expected = its["state"][number][key]
            assert str(value.dtype).rpartition(".")[2] == str(expected.dtype).rpartition(".")[2], key
            np.testing.assert_allclose(value._data, expected.numpy(), rtol=1e-12, atol=1e-12)
    fresh_ours, fresh_theirs = both(name, twins, {})
    fresh_ours.load_state_dict(as_minidl(its))
    fresh_theirs.load_state_dict(as_torch(mine))
    assert fresh_ours.param_groups[0].keys() == ours.param_groups[0].keys()
    run(twins, fresh_ours, fresh_theirs, 3, tolerance=1e-8)  # PyTorch casts float32 counters to float64 here


@each_name
def test_a_loaded_state_goes_on_to_the_same_bits(name):
    twins, other = Twins(shapes_of(name)), Twins(shapes_of(name))
    ours = getattr(optim, name)(twins.ours)
    for _ in range(3):
        twins.new_gradients()
        ours.step()
    saved = copy.deepcopy(ours.state_dict())
    for a, b in zip(twins.ours, other.ours):
        b._data[...] = a._data
    resumed = getattr(optim, name)(other.ours, lr=123.0)
    resumed.load_state_dict(saved)
    assert resumed.param_groups[0]["lr"] == ours.param_groups[0]["lr"]
    for _ in range(3):
        twins.new_gradients()
        for a, b in zip(twins.ours, other.ours):
            b.grad = a.grad.clone()
        ours.step()
        resumed.step()
    for a, b in zip(twins.ours, other.ours):
        np.testing.assert_array_equal(a._data, b._data)
    saved_sums = [float(s._data.sum()) for state in saved["state"].values() for s in state.values()]
    again = [float(s._data.sum()) for state in copy.deepcopy(saved)["state"].values() for s in state.values()]
    assert saved_sums == again, "the loaded state must be a copy"


@each_name
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_element_types(name, dtype):
    rng = np.random.default_rng(0)
    value, gradients = rng.standard_normal((4, 5)), rng.standard_normal((3, 4, 5))
    ours = minidl.tensor(value).to(getattr(minidl, dtype)).requires_grad_()
    reference = torch.tensor(ours.float().detach().numpy().copy(), requires_grad=True)
    optimizer, expected = getattr(optim, name)([ours], lr=0.01), getattr(torch.optim, name)([reference], lr=0.01)
    for g in gradients:
        ours.grad = minidl.tensor(g).to(ours.dtype)
        reference.grad = torch.tensor(ours.grad.float().numpy().copy())
        optimizer.step()
        expected.step()
    assert ours.dtype is getattr(minidl, dtype)
    tolerance = {"float32": 1e-6, "float16": 1e-2, "bfloat16": 8e-2}[dtype]
    np.testing.assert_allclose(ours.float().detach().numpy(), reference.detach().numpy(), atol=tolerance)


@each_name
def test_large_and_oddly_laid_out_parameters(name):
    """Long enough for several pieces and threads; transposed; with gaps; and the gradient laid out otherwise."""
    rng = np.random.default_rng(0)
    layouts = {
        "long": rng.standard_normal(300_001),
        "transposed": rng.standard_normal((300, 400)).T,
        "gaps": rng.standard_normal((300, 800))[:, ::2],
        "long gaps": rng.standard_normal(400_000)[::2],
    }
    for layout, value in layouts.items():
        ours = wrap(value).requires_grad_()
        theirs = torch.tensor(np.ascontiguousarray(value), requires_grad=True)
        a, b = getattr(optim, name)([ours]), getattr(torch.optim, name)([theirs])
        for _ in range(2):
            g = rng.standard_normal(value.shape)
            ours.grad, theirs.grad = wrap(g), torch.from_numpy(g)
            a.step()
            b.step()
        np.testing.assert_allclose(ours._data, theirs.detach().numpy(), rtol=1e-12, atol=1e-12, err_msg=layout)
        assert ours._data is value or np.shares_memory(ours._data, value), "changed in place"


@each_name
def test_a_step_is_a_change_in_place(name):
    x = minidl.ones(3, requires_grad=True)
    y = (x * x).sum()
    x.grad = minidl.ones(3)
    getattr(optim, name)([x]).step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


@each_name
def test_minimises_a_quadratic(name):
    x = minidl.tensor([3.0, -2.0], requires_grad=True)
    rates = {"SGD": 0.1, "Adadelta": 30.0, "Adagrad": 1.0}
    optimizer = getattr(optim, name)([x], lr=rates.get(name, 0.1))

    def closure():
        optimizer.zero_grad()
        loss = ((x - 1) * (x - 1)).sum()
        loss.backward()
        return loss

    first = optimizer.step(closure).item()
    for _ in range(300):
        last = optimizer.step(closure).item()
    assert first == 13.0
    assert last < 1e-2


def test_a_closure_is_recorded_even_inside_no_grad():
    x = minidl.ones(1, requires_grad=True)
    optimizer = optim.SGD([x], lr=0.5)

    def closure():
        (x * 2).sum().backward()
        return "result"

    with minidl.no_grad():
        assert optimizer.step(closure) == "result"
    assert x.item() == 0.0


def test_zero_grad():
    x = minidl.ones(2, requires_grad=True)
    optimizer = optim.SGD([x], lr=0.5)
    x.grad = minidl.ones(2)
    kept = x.grad
    optimizer.zero_grad(set_to_none=False)
    assert x.grad.tolist() == [0, 0]
    assert kept.tolist() == [1, 1] or x.grad is kept
    optimizer.zero_grad()
    assert x.grad is None


def test_step_hooks():
    seen = []
    x = minidl.ones(1, requires_grad=True)
    optimizer = optim.SGD([x], lr=0.5)
    before = optimizer.register_step_pre_hook(lambda o, args, kwargs: seen.append("before"))
    optimizer.register_step_post_hook(lambda o, args, kwargs: seen.append("after"))
    optimizer.step()
    before.remove()
    optimizer.step()
    assert seen == ["before", "after", "after"]


def stepped(library):
    """What the hooks of an optimiser are given, and what its step does with what they give back."""
    seen = []
    x = library.ones(1, requires_grad=True)

    class Mine(library.optim.Optimizer):
        def step(self, closure=None, *, scale=1.0):
            seen.append(("step", scale, closure and closure()))

    optimizer = Mine([x], {"lr": 0.5})

    def note(given, args, kwargs):
        assert given is optimizer
        seen.append((len(args), args[0] is optimizer, sorted(kwargs)))

    optimizer.register_step_pre_hook(note)
    optimizer.step()
    optimizer.step(None)
    optimizer.step(closure=None, scale=2.0)
    optimizer.register_step_pre_hook(lambda o, args, kwargs: (args, {"scale": 3.0}))
    optimizer.register_step_post_hook(note)
    optimizer.step(lambda: 7.0)
    optimizer.register_step_pre_hook(lambda o, args, kwargs: 5)
    with pytest.raises(RuntimeError, match="tuple"):
        optimizer.step()
    return seen


def test_step_hooks_beside_pytorch():
    assert stepped(minidl) == stepped(torch)


def test_a_step_that_calls_its_base_classs_is_one_step():
    class Noted(optim.SGD):
        def step(self, closure=None):
            return super().step(closure)

    seen = []
    optimizer = Noted([minidl.ones(1, requires_grad=True)], lr=0.5)
    optimizer.register_step_pre_hook(lambda *_: seen.append("before"))
    optimizer.register_step_post_hook(lambda *_: seen.append("after"))
    assert optimizer.step(lambda: 7) == 7
    assert seen == ["before", "after"]


def test_a_tensor_as_learning_rate():
    twins = Twins([(3,)])
    ours = optim.SGD(twins.ours, lr=minidl.tensor(0.1))
    theirs = torch.optim.SGD(twins.theirs, lr=torch.tensor(0.1))
    twins.new_gradients()
    ours.step()
    theirs.step()
    twins.compare(1e-7)


def test_named_parameters():
    a, b = minidl.ones(1, requires_grad=True), minidl.ones(1, requires_grad=True)
    optimizer = optim.SGD([("first", a), ("second", b)], lr=0.1)
    assert optimizer.param_groups[0]["param_names"] == ["first", "second"]
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["first", "second"]
    with pytest.raises(ValueError, match="with/without names"):
        optim.SGD([("first", a), b])
    with pytest.raises(ValueError, match="with/without names"):
        optimizer.add_param_group({"params": [minidl.ones(1, requires_grad=True)]})


def test_repr_is_pytorchs():
    twins = Twins([(2,)])
    for name in CASES:
        ours, theirs = both(name, twins, {})
        assert repr(ours) == repr(theirs)
        more = Twins([(1,)])
        ours.add_param_group({"params": more.ours})
        theirs.add_param_group({"params": more.theirs})
        assert repr(ours) == repr(theirs)


def test_a_rule_of_ones_own():
    class SignDescent(optim.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr})

        def start(self, x, group):
            return {"steps_so_far": np.zeros(())}

        def update(self, x, g, state, group):
            state["steps_so_far"] += 1
            x -= group["lr"] * np.sign(g)

    x = minidl.tensor([1.0, -1.0], requires_grad=True)
    optimizer = SignDescent([x], 0.25)
    for _ in range(2):
        x.grad = minidl.tensor([5.0, -3.0])
        optimizer.step()
    assert x.tolist() == [0.5, -0.5]
    assert optimizer.state[x]["steps_so_far"].item() == 2


# ------------------------------------------------------------------------------------------------------- wrong calls

WRONG = [
    ("SGD", {"lr": -1}, "Invalid learning rate: -1"),
    ("SGD", {"momentum": -0.5}, "Invalid momentum value: -0.5"),
    ("SGD", {"weight_decay": -0.5}, "Invalid weight_decay value: -0.5"),
    ("SGD", {"nesterov": True}, "Nesterov momentum requires a momentum and zero dampening"),
    ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "Nesterov momentum requires"),
    ("Adam", {"lr": -1}, "Invalid learning rate: -1"),
    ("Adam", {"eps": -1}, "Invalid epsilon value: -1"),
    ("Adam", {"betas": (1.0, 0.9)}, "Invalid beta parameter at index 0: 1.0"),
    ("Adam", {"betas": (0.9, -0.1)}, "Invalid beta parameter at index 1: -0.1"),
    ("Adam", {"weight_decay": -1}, "Invalid weight_decay value: -1"),
    ("AdamW", {"lr": -1}, "Invalid learning rate: -1"),
    ("AdamW", {"betas": (0.9, 1.0)}, "Invalid beta parameter at index 1: 1.0"),
    ("RMSprop", {"lr": -1}, "Invalid learning rate: -1"),
    ("RMSprop", {"eps": -1}, "Invalid epsilon value: -1"),
    ("RMSprop", {"momentum": -1}, "Invalid momentum value: -1"),
    ("RMSprop", {"weight_decay": -1}, "Invalid weight_decay value: -1"),
    ("RMSprop", {"alpha": -1}, "Invalid alpha value: -1"),
    ("Adagrad", {"lr": -1}, "Invalid learning rate: -1"),
    ("Adagrad", {"lr_decay": -1}, "Invalid lr_decay value: -1"),
    ("Adagrad", {"weight_decay": -1}, "Invalid weight_decay value: -1"),
    ("Adagrad", {"initial_accumulator_value": -1}, "Invalid initial_accumulator_value value: -1"),
    ("Adagrad", {"eps": -1}, "Invalid epsilon value: -1"),
    ("Adadelta", {"lr": -1}, "Invalid learning rate: -1"),
    ("Adadelta", {"rho": 1.5}, "Invalid rho value: 1.5"),
    ("Adadelta", {"eps": -1}, "Invalid epsilon value: -1"),
    ("Adadelta", {"weight_decay": -1}, "Invalid weight_decay value: -1"),
    ("Adamax", {"lr": -1}, "Invalid learning rate: -1"),
    ("Adamax", {"eps": -1}, "Invalid epsilon value: -1"),
    ("Adamax", {"betas": (1.0, 0.9)}, "Invalid beta parameter at index 0: 1.0"),
    ("Adamax", {"weight_decay": -1}, "Invalid weight_decay value: -1"),
    ("NAdam", {"lr": -1}, "Invalid learning rate: -1"),
    ("NAdam", {"momentum_decay": -1}, "Invalid momentum_decay value: -1"),
    ("NAdam", {"betas": (0.9, 1.0)}, "Invalid beta parameter at index 1: 1.0"),
    ("RAdam", {"lr": -1}, "Invalid learning rate: -1"),
    ("RAdam", {"weight_decay": -1}, "Invalid weight_decay value: -1"),
    ("RAdam", {"betas": (-0.1, 0.9)}, "Invalid beta parameter at index 0: -0.1"),
]


@pytest.mark.parametrize(("name", "settings", "message"), WRONG)
def test_settings_out_of_range(name, settings, message):
    twins = Twins([(2,)])
    with pytest.raises(ValueError, match="(?i)" + message):
        getattr(torch.optim, name)(twins.theirs, **settings)
    with pytest.raises(ValueError, match=message):
        getattr(optim, name)(twins.ours, **settings)


def test_wrong_parameters():
    x, t = minidl.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    for library, leaf in ((minidl, x), (torch, t)):
        SGD = library.optim.SGD
        for params, error, message in [
            ([], ValueError, "empty parameter list"),
            (leaf, TypeError, "should be an iterable of Tensors or dicts"),
            ([1.0], TypeError, "can only optimize Tensors"),
            ([leaf * 2], ValueError, "can't optimize a non-leaf Tensor"),
            ([{"params": [leaf]}, {"params": [leaf]}], ValueError, "more than one parameter group"),
            ([{"params": {leaf}}], TypeError, "ordered collections"),
        ]:
            with pytest.raises(error, match=message):
                SGD(params, lr=0.1)
        with pytest.raises(TypeError, match="must be a dict"):
            SGD([leaf], lr=0.1).add_param_group([leaf])
        with pytest.warns(UserWarning, match="duplicate parameters"):
            SGD([leaf, leaf], lr=0.1)


def test_a_required_setting():
    class Needs(optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {"lr": optim.optimizer.required})

    with pytest.raises(ValueError, match="didn't specify a value of required optimization parameter lr"):
        Needs([minidl.ones(1, requires_grad=True)])


def test_a_state_dict_of_another_optimizer():
    twins = Twins([(2,), (3,)])
    saved = optim.SGD(twins.ours, lr=0.1).state_dict()
    with pytest.raises(ValueError, match="different number of parameter groups: 1, and this optimizer has 2"):
        optim.SGD([{"params": [twins.ours[0]]}, {"params": [twins.ours[1]]}], lr=0.1).load_state_dict(saved)
    with pytest.raises(ValueError, match="doesn't match the size of optimizer's group"):
        optim.SGD(twins.ours[:1], lr=0.1).load_state_dict(saved)
