"""Containers and the state of modules, used as a program uses them: what each step leaves is PyTorch's."""

from __future__ import annotations

import warnings
from collections import OrderedDict

import pytest
import torch

import minidl


def text(value):
    """What a step gave, in a form in which both libraries can be compared."""
    if isinstance(value, (torch.Tensor, minidl.Tensor)):
        return value.tolist()
    if isinstance(value, (torch.nn.Module, minidl.nn.Module)):
        return repr(value), [(name, type(m).__name__) for name, m in value.named_children()]
    if isinstance(value, dict):
        return {name: text(v) for name, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [text(v) for v in value]
    return value


def outcomes(program, library):
    """The text of all that ``program`` yields, and the type of the error that ended it."""
    seen = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            seen.extend(map(text, program(library)))
        except Exception as error:
            seen.append(type(error))
    return seen


def replaced(lib):
    nn = lib.nn
    net = nn.Sequential(nn.ReLU(), nn.Tanh(), nn.Sigmoid())
    net[0] = nn.Identity()
    yield net
    net[-2] = nn.GELU()
    yield net
    yield net.pop(0)
    yield net
    layers = nn.ModuleList([nn.ReLU(), nn.Tanh()])
    layers[0] = nn.ELU()
    yield layers
    layers += [nn.ReLU()]
    yield layers


def replaced_head(lib):
    class Net(lib.nn.Module):
        def __init__(self):
            super().__init__()
            self.head, self.body = lib.nn.Linear(2, 3), lib.nn.Linear(3, 2)
            self.register_buffer("seen", lib.zeros(1))
            self.register_buffer("other", lib.zeros(1))
            self.scale, self.shift = lib.nn.Parameter(lib.ones(1)), lib.nn.Parameter(lib.ones(2))

    net = Net()
    net.head = lib.nn.Linear(2, 5)
    net.scale = lib.nn.Parameter(lib.ones(4))
    net.seen = lib.nn.Buffer(lib.ones(2))
    yield [(name, list(v.shape)) for name, v in net.state_dict().items()]
    net.shift = None
    net.shift = lib.nn.Parameter(lib.ones(3))
    yield list(net.state_dict())


def repeated(lib):
    nn = lib.nn
    pair = nn.Sequential(nn.ReLU(), nn.Tanh())
    yield pair * 2
    yield 2 * pair
    pair *= 2
    yield pair
    pair += nn.Sequential(nn.ELU())
    yield pair
    named = nn.Sequential(OrderedDict([("a", nn.ReLU()), ("b", nn.Tanh()), ("c", nn.ELU())]))
    yield named[::2]
    del named[1]
    yield named
    pair.insert(5, nn.GELU())
    pair.insert(-1, nn.SELU())
    yield len(pair)


def parameters_by_name(lib):
    def parameter(n):
        return lib.nn.Parameter(lib.ones(n))

    d = lib.nn.ParameterDict({"a": parameter(2), "b": parameter(3)})
    yield d.get("a"), d.get("z"), d.get("z", 5)
    yield d.setdefault("c", parameter(1)), list(d)
    d |= {"e": parameter(2)}
    yield d.state_dict(), list(reversed(d))
    yield sorted((d | {"q": parameter(1)}).keys()), sorted(d.keys()), len(d.copy())
    yield d.pop("a"), d.popitem()
    d.clear()
    yield len(d)
    values = lib.nn.ParameterList([parameter(1)])
    values += [parameter(2)]
    yield list(values.state_dict())


def hooks_of_states(lib):
    inner = lib.nn.Linear(1, 1)
    net = lib.nn.Sequential(inner)
    for p in net.parameters():
        p.data.fill_(0.5)
    log = []
    handles = [
        net.register_state_dict_pre_hook(lambda m, prefix, keep: log.append(("pre", prefix, keep))),
        inner.register_state_dict_post_hook(lambda m, state, prefix, meta: log.append((list(state), prefix))),
        net.register_state_dict_post_hook(lambda m, state, prefix, meta: state.update(added=1)),
    ]
    state = net.state_dict(keep_vars=True)
    yield state, log
    for handle in handles:
        handle.remove()
    yield net.state_dict()

    def rename(module, state, prefix, metadata, strict, missing, unexpected, errors):
        log.append((prefix, strict, missing, unexpected, errors))
        for name in ("weight", "bias"):
            state[prefix + name] = state.pop(f"{prefix}old_{name}")

    inner.register_load_state_dict_pre_hook(rename)
    old = {"0.old_weight": lib.ones(1, 1), "0.old_bias": lib.ones(1)}
    yield net.load_state_dict(old), net.state_dict(), sorted(old)


def forgiven_keys(lib):
    net = lib.nn.Linear(1, 1)
    net.register_load_state_dict_post_hook(lambda m, keys: keys.missing_keys.clear())
    yield net.load_state_dict({"weight": lib.ones(1, 1)})
    yield net.weight
    net.load_state_dict({"weight": lib.ones(1, 1), "more": lib.ones(1)})


def extra_state(lib):
    class Counting(lib.nn.Module):
        def __init__(self):
            super().__init__()
            self.calls = 0

        def get_extra_state(self):
            return {"calls": self.calls}

        def set_extra_state(self, state):
            self.calls = state["calls"]

    first, second = lib.nn.Sequential(Counting()), lib.nn.Sequential(Counting())
    first[0].calls = 5
    yield first.state_dict(), second.load_state_dict(first.state_dict()), second[0].calls
    yield second.load_state_dict({}, strict=False)
    yield lib.nn.Sequential(lib.nn.ReLU()).load_state_dict(first.state_dict(), strict=False)
    second.load_state_dict({})


def put_at_a_path(lib):
    net = lib.nn.Sequential(lib.nn.Sequential(lib.nn.ReLU()), lib.nn.Linear(1, 1))
    net.set_submodule("0.0", lib.nn.Tanh())
    net.set_submodule("0.more", lib.nn.ELU())
    yield net
    net.set_submodule("0.nothing", lib.nn.ReLU(), strict=True)


def a_backward_hook_of_keywords(lib):
    layer = lib.nn.Linear(1, 1)
    seen = []
    layer.register_full_backward_hook(lambda m, grad_input, grad_output: seen.append((grad_input, grad_output)))
    layer(input=lib.ones(2, 1)).sum().backward()
    layer(lib.ones(2, 1)).sum().backward()
    yield seen


PROGRAMS = [
    replaced,
    replaced_head,
    repeated,
    parameters_by_name,
    hooks_of_states,
    forgiven_keys,
    extra_state,
    put_at_a_path,
    a_backward_hook_of_keywords,
]
REFUSED = {
    "out of range": lambda lib: [lib.nn.Sequential(lib.nn.ReLU()).insert(7, lib.nn.ReLU())],
    "no times": lambda lib: [lib.nn.Sequential(lib.nn.ReLU()) * 0],
    "half a time": lambda lib: [lib.nn.Sequential(lib.nn.ReLU()) * 1.5],
    "adding another": lambda lib: [lib.nn.Sequential(lib.nn.ReLU()) + 3],
    "no forward": lambda lib: [lib.nn.ModuleList()(lib.ones(1))],
    "no path": lambda lib: [lib.nn.Sequential().set_submodule("", lib.nn.ReLU())],
    "no module": lambda lib: [lib.nn.Sequential().set_submodule("a", 3)],
    "no extra state": lambda lib: [lib.nn.ReLU().get_extra_state()],
    "sizes": lambda lib: [lib.nn.Unflatten(1, (2, "a"))],
    "no sequences": lambda lib: [lib.nn.utils.rnn.pack_padded_sequence(lib.ones(2, 1, 3), [], enforce_sorted=False)],
}


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_a_program_does_what_it_does_in_pytorch(program):
    assert outcomes(program, minidl) == outcomes(program, torch)


@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED)
def test_refusals_are_pytorchs(call):
    ours, theirs = outcomes(call, minidl), outcomes(call, torch)
    assert ours == theirs
    assert issubclass(ours[0], Exception)


def test_a_parameter_is_made_of_a_tensor():
    for wrong in (3, 2.5, [1.0], None, "a"):
        with pytest.raises(TypeError, match="takes a Tensor"):
            minidl.nn.Parameter(wrong)
