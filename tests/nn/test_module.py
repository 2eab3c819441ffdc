"""nn.Module itself: registration, walking, state, modes, hooks, text, errors; beside PyTorch where it can be."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch

import minidl
from minidl import nn


def build(lib_nn, tensor):
    class Net(lib_nn.Module):
        def __init__(self):
            super().__init__()
            self.body = lib_nn.Sequential(lib_nn.Linear(4, 3), lib_nn.ReLU())
            self.head = lib_nn.Linear(3, 2, bias=False)
            self.scale = lib_nn.Parameter(tensor([1.0, 2.0]))
            self.register_buffer("steps", tensor([0.0]))
            self.register_buffer("scratch", tensor([0.0]), persistent=False)
            self.register_parameter("missing", None)
            self.extra = lib_nn.ModuleDict({"a": lib_nn.Tanh(), "b": lib_nn.ModuleList([lib_nn.ReLU(), lib_nn.ReLU()])})

        def forward(self, x):
            return self.head(self.body(x)) * self.scale

    return Net()


@pytest.fixture
def net():
    minidl.manual_seed(0)
    return build(nn, minidl.tensor)


@pytest.fixture
def theirs():
    return build(torch.nn, torch.tensor)


def test_names_order_and_text_are_pytorchs(net, theirs):
    assert [n for n, _ in net.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    assert [n for n, _ in net.named_buffers()] == [n for n, _ in theirs.named_buffers()]
    assert [n for n, _ in net.named_modules()] == [n for n, _ in theirs.named_modules()]
    assert [n for n, _ in net.named_children()] == [n for n, _ in theirs.named_children()]
    assert list(net.state_dict()) == list(theirs.state_dict())
    assert repr(net) == repr(theirs)
    assert [n for n, _ in net.named_parameters(prefix="p", recurse=False)] == ["p.scale"]


def test_shared_parameters_are_listed_once_and_saved_under_each_name():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(2, 2), nn.Linear(2, 2)
            self.b.weight = self.a.weight

    tied = Tied()
    assert [n for n, _ in tied.named_parameters()] == ["a.weight", "a.bias", "b.bias"]
    assert len(list(tied.named_parameters(remove_duplicate=False))) == 4
    assert "b.weight" in tied.state_dict()


def test_getting_by_path(net):
    assert net.get_submodule("body.0") is net.body[0]
    assert net.get_submodule("") is net
    assert net.get_parameter("body.0.weight") is net.body[0].weight
    assert net.get_buffer("steps") is net.steps
    for call in (net.get_submodule, net.get_parameter, net.get_buffer):
        with pytest.raises(AttributeError, match="nothing"):
            call("body.nothing")


def test_attributes_are_guarded(net):
    class Early(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(1, 1)

    with pytest.raises(AttributeError, match=r"before Module.__init__\(\) call"):
        Early()
    with pytest.raises(TypeError, match=r"cannot assign 'Tensor' as parameter 'scale'"):
        net.scale = minidl.ones(2)
    with pytest.raises(TypeError, match="child module 'head'"):
        net.head = 3
    with pytest.raises(TypeError, match="buffer 'steps'"):
        net.steps = "none"
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'nothing'"):
        _ = net.nothing
    net.scale = None
    assert "scale" not in dict(net.named_parameters())
    del net.head
    assert not hasattr(net, "head")
    net.plain = 3
    net.plain = nn.Linear(1, 1)
    assert "plain" in dict(net.named_children())
    assert {"plain", "steps", "body"} <= set(dir(net))


def test_registration_is_checked(net):
    for call, arguments, kind, message in (
        (net.register_parameter, ("a.b", None), KeyError, "contain"),
        (net.register_parameter, ("", None), KeyError, "empty"),
        (net.register_parameter, (3, None), TypeError, "string"),
        (net.register_parameter, ("forward", None), KeyError, "already exists"),
        (net.register_parameter, ("p", minidl.ones(1)), TypeError, "Parameter or None"),
        (net.register_buffer, ("b", 3), TypeError, "Tensor or None"),
        (net.add_module, ("m", 3), TypeError, "not a Module subclass"),
    ):
        with pytest.raises(kind, match=message):
            call(*arguments)


def test_load_state_dict_lists_everything_that_is_wrong_and_changes_nothing(net, theirs):
    before = {k: v.clone() for k, v in net.state_dict().items()}
    state = dict(net.state_dict())
    state["head.weight"] = minidl.ones(5, 3)
    state["stranger"] = minidl.ones(1)
    state["body.0.bias"] = minidl.full((3,), 7.0)
    del state["scale"]
    with pytest.raises(RuntimeError) as error:
        net.load_state_dict(state)
    message = str(error.value)
    for part in (
        "Net",
        'Unexpected key(s) in state_dict: "stranger"',
        'Missing key(s) in state_dict: "scale"',
        "[5, 3]",
        "[2, 3]",
        "dim 0",
    ):
        assert part in message
    for key, value in net.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[key].numpy())
    del state["head.weight"]
    result = net.load_state_dict(state, strict=False)
    assert result.missing_keys == ["scale", "head.weight"]
    assert result.unexpected_keys == ["stranger"]
    assert net.body[0].bias.tolist() == [7.0] * 3
    with pytest.raises(TypeError, match="dict-like"):
        net.load_state_dict([1])
    with pytest.raises(RuntimeError, match="expected a Tensor but got int"):
        net.load_state_dict({"scale": 3}, strict=False)


def test_load_with_assign_takes_the_tensors_themselves(net):
    weight = minidl.ones(2, 3)
    net.load_state_dict({"head.weight": weight}, strict=False, assign=True)
    weight.fill_(5.0)
    assert net.head.weight[0, 0].item() == 5.0
    assert isinstance(net.head.weight, nn.Parameter)


def test_modes_types_and_apply(net):
    assert net.training
    net.eval()
    assert not net.body[0].training
    net.train()
    with pytest.raises(ValueError, match="boolean"):
        net.train("yes")
    net(minidl.ones(1, 4)).sum().backward()
    first = net.scale
    net.double()
    assert net.scale is first, "the optimiser's parameters stay the same objects"
    assert {p.dtype for p in net.parameters()} == {minidl.float64}
    assert net.scale.grad.dtype is minidl.float64
    assert net.steps.dtype is minidl.float64
    assert {p.dtype for p in net.to(minidl.float16).parameters()} == {minidl.float16}
    assert {p.dtype for p in net.to(minidl.ones(1)).parameters()} == {minidl.float32}
    assert next(net.to("cpu", dtype=minidl.float64).parameters()).dtype is minidl.float64
    with pytest.raises(TypeError, match="floating point"):
        net.to(minidl.int64)
    seen = []
    net.apply(lambda module: seen.append(type(module).__name__))
    assert seen[-1] == "Net"
    net.requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters())


def test_zero_grad(net):
    net.float()(minidl.ones(1, 4)).sum().backward()
    net.zero_grad(set_to_none=False)
    assert net.scale.grad.tolist() == [0.0, 0.0]
    net.zero_grad()
    assert net.scale.grad is None


def test_copies_and_pickles_are_independent(net):
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net.body))):
        first = next(twin.parameters())
        assert isinstance(first, nn.Parameter)
        assert first.requires_grad
        with minidl.no_grad():
            first.zero_()
        assert net.body[0].weight.abs().sum().item() > 0


# ------------------------------------------------------------------------------------------------------------- hooks


def record_hooks(lib, layer, x):
    """What the hooks of a layer see, in either library."""
    seen = []
    layer.register_forward_pre_hook(lambda m, args: seen.append(("pre", args[0].tolist())) or (args[0] * 2,))
    layer.register_forward_hook(lambda m, args, y: seen.append(("post", args[0].tolist(), y.tolist())) or y + 1)
    layer.register_forward_hook(lambda m, args, kwargs, y: seen.append(("kwargs", kwargs)), with_kwargs=True)
    layer.register_full_backward_pre_hook(lambda m, g: seen.append(("grad pre", g[0].tolist())) or (g[0] * 3,))
    layer.register_full_backward_hook(
        lambda m, gi, go: seen.append(("grad", gi[0].tolist(), go[0].tolist())) or (gi[0] * 10,)
    )
    y = layer(x)
    y.sum().backward()
    return seen, y.tolist(), x.grad.tolist(), [p.grad.tolist() for p in layer.parameters()]


def test_hooks_see_and_change_what_pytorchs_do():
    def layer(lib):
        made = lib.nn.Linear(2, 2).double()
        with lib.no_grad():
            made.weight.copy_(lib.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=lib.float64))
            made.bias.zero_()
        return made

    x = minidl.tensor([[1.0, -1.0]], dtype=minidl.float64, requires_grad=True)
    t = torch.tensor([[1.0, -1.0]], dtype=torch.float64, requires_grad=True)
    assert record_hooks(minidl, layer(minidl), x) == record_hooks(torch, layer(torch), t)


def test_hooks_are_removed_ordered_and_always_called():
    layer, calls = nn.Linear(2, 2), []
    first = layer.register_forward_hook(lambda *a: calls.append("first"))
    layer.register_forward_hook(lambda *a: calls.append("prepended"), prepend=True)
    layer(minidl.ones(1, 2))
    assert calls == ["prepended", "first"]
    first.remove()
    layer(minidl.ones(1, 2))
    assert calls[2:] == ["prepended"]
    layer.register_forward_hook(lambda *a: calls.append("always"), always_call=True)
    with pytest.raises(RuntimeError, match="linear"):
        layer(minidl.ones(1, 3))
    assert calls[-1] == "always"


def test_a_backward_hook_of_a_layer_whose_input_needs_no_gradient():
    layer, seen = nn.Linear(2, 1), []
    layer.register_full_backward_hook(lambda m, gi, go: seen.append((gi, go[0].tolist())))
    layer(minidl.ones(1, 2)).sum().backward()
    assert seen == [((None,), [[1.0]])]


# ------------------------------------------------------------------------------------------------------------ errors


def test_an_error_names_the_layers_path(net):
    with pytest.raises(RuntimeError, match="linear") as error:
        net(minidl.ones(1, 5))
    assert error.value.__notes__ == ["in layer body.0: Linear(in_features=4, out_features=3, bias=True)"]


# -------------------------------------------------------------------------------------------------------- containers


def test_sequential_is_a_list():
    layers = [nn.Linear(2, 2), nn.ReLU(), nn.Tanh()]
    s = nn.Sequential(*layers)
    assert len(s) == 3
    assert s[-1] is layers[2]
    assert isinstance(s[:2], nn.Sequential)
    assert list(s[1:]._modules) == ["1", "2"]
    s.append(nn.ELU()).insert(0, nn.Flatten()).extend([nn.SiLU()])
    assert [type(m).__name__ for m in s] == ["Flatten", "Linear", "ReLU", "Tanh", "ELU", "SiLU"]
    assert isinstance(s.pop(0), nn.Flatten)
    del s[1:3]
    assert list(s._modules) == ["0", "1", "2"]
    s[0] = nn.Identity()
    s += [nn.ReLU()]
    assert len(s + nn.Sequential(nn.Tanh())) == 5
    named = nn.Sequential({"a": nn.Linear(2, 2), "b": nn.ReLU()})
    assert list(named._modules) == ["a", "b"]
    with pytest.raises(IndexError, match="out of range"):
        s[9]
    with pytest.raises(ValueError, match="Sequential class"):
        s + [1]  # noqa: RUF005


def test_lists_and_dicts():
    m = nn.ModuleList([nn.Linear(1, 1), nn.Linear(1, 1)])
    t = torch.nn.ModuleList([torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)])
    assert repr(m) == repr(t)
    assert m[0] in m
    assert len(m + [nn.ReLU()]) == 3  # noqa: RUF005
    d = nn.ModuleDict([("a", nn.ReLU())])
    d.update({"b": nn.Tanh()})
    assert list(d.keys()) == ["a", "b"]
    assert isinstance(d.pop("a"), nn.ReLU)
    assert "b" in d
    p = nn.ParameterList([minidl.ones(2), nn.Parameter(minidl.zeros(1))])
    assert [n for n, _ in p.named_parameters()] == ["0", "1"]
    p[0] = minidl.zeros(3)
    assert p[0].shape == (3,)
    q = nn.ParameterDict({"w": minidl.ones(2)})
    assert q["w"].requires_grad
    assert "w" in q
    del q["w"]
    assert len(q) == 0


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(3, 2), (2, 3)),
        (nn.Conv2d(1, 1, 1), (1, 1, 2, 2)),
        (nn.LSTM(3, 2), (2, 3)),
        (nn.Sequential(nn.Flatten(), nn.Linear(3, 2)), (2, 3)),
    ],
)
def test_a_numpy_array_is_refused_by_that_name(layer, shape):
    array = np.ones(shape, np.float32)
    with pytest.raises(TypeError, match=r"argument 1 must be Tensor, not numpy.ndarray: minidl.from_numpy makes one"):
        layer(array)
    layer(minidl.from_numpy(array))
    with pytest.raises((RuntimeError, ValueError)):  # other mistakes keep their own words
        layer(minidl.ones(7, 7, 7, 7, 7, 7))
