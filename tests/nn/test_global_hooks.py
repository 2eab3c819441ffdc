"""Hooks of all modules at once, beside PyTorch's."""

from __future__ import annotations

import pytest
import torch

import minidl
from minidl import nn
from minidl.nn import hooks
from minidl.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook


def order(library, register_pre, register_after, own):
    """In which order hooks run: global ones and a module's own."""
    heard = []
    model = library.nn.Sequential(library.nn.Linear(2, 2), library.nn.ReLU())
    if own:
        model[0].register_forward_pre_hook(lambda m, args: heard.append("own before"))
        model[0].register_forward_hook(lambda m, args, out: heard.append("own after"))
    handles = [
        register_pre(lambda m, args: heard.append(f"before {type(m).__name__}")),
        register_after(lambda m, args, out: heard.append(f"after {type(m).__name__}")),
    ]
    model(library.zeros(1, 2))
    for handle in handles:
        handle.remove()
    model(library.zeros(1, 2))
    return heard


@pytest.mark.parametrize("own", [False, True])
def test_order_is_pytorchs(own):
    theirs = torch.nn.modules.module
    assert order(minidl, register_module_forward_pre_hook, register_module_forward_hook, own) == order(
        torch, theirs.register_module_forward_pre_hook, theirs.register_module_forward_hook, own
    )
    assert not hooks.everywhere


def test_they_may_replace_arguments_and_outputs():
    layer = nn.Identity()
    with (
        register_module_forward_pre_hook(lambda m, args: args[0] + 1),
        register_module_forward_hook(lambda m, args, output: output * 10),
    ):
        assert layer(minidl.zeros(1)).tolist() == [10]
    assert layer(minidl.zeros(1)).tolist() == [0]


def test_keyword_arguments_are_handed_on():
    heard = []

    class Plus(nn.Module):
        def forward(self, x, by=0):
            return x + by

    with register_module_forward_hook(lambda m, args, kwargs, out: heard.append(kwargs), with_kwargs=True):
        Plus()(minidl.zeros(1), by=2)
    assert heard == [{"by": 2}]


@pytest.mark.parametrize("always", [False, True])
def test_after_an_error(always):
    heard = []

    class Broken(nn.Module):
        def forward(self, x):
            raise ValueError("broken")

    with (
        register_module_forward_hook(lambda m, args, out: heard.append(out), always_call=always),
        pytest.raises(ValueError, match="broken"),
    ):
        Broken()(minidl.zeros(1))
    assert heard == ([None] if always else [])
