"""What a look inside is given, checked in one place and answered in words: TypeError for a thing of the wrong type,
RuntimeError for a tensor without a graph or with more than one number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from minidl.nn.module import Module
from minidl.optim.optimizer import Optimizer
from minidl.tensor import Tensor


def tensors(given: Any, caller: str) -> list[Tensor]:
    """One Tensor, or a list or tuple of some, as a list."""
    several = list(given) if isinstance(given, (list, tuple)) else [given]
    if not several:
        raise TypeError(f"{caller}: expected a Tensor, or several, and none was given")
    for tensor in several:
        if not isinstance(tensor, Tensor):
            raise TypeError(
                f"{caller}: expected a Tensor with a graph behind it, such as a loss, got {type(tensor).__name__}"
            )
    return several


def graphs(given: Any, caller: str) -> list[Tensor]:
    """As :func:`tensors`; each must require grad."""
    several = tensors(given, caller)
    for tensor in several:
        if not tensor.requires_grad:
            raise RuntimeError(
                f"{caller}: there is no graph behind this tensor (shape {list(tensor.shape)}): it was computed from nothing "
                "that requires grad, or inside minidl.no_grad(). Call .requires_grad_() on what you want gradients of, before "
                "computing."
            )
    return several


def number(given: Any, caller: str) -> Tensor:
    """A Tensor of one element with a graph."""
    (tensor, *more) = graphs(given, caller)
    if more or tensor._data.size != 1:
        what = f"{len(more) + 1} tensors were given" if more else f"this tensor has shape {list(tensor.shape)}"
        raise RuntimeError(
            f"{caller} is of a single number, and {what}: reduce it (loss.sum() or loss.mean()), or take one element"
        )
    return tensor


def module(given: Any, caller: str) -> Module:
    """A model."""
    if not isinstance(given, Module):
        raise TypeError(f"{caller}: a model must be an nn.Module, got {type(given).__name__}")
    return given


def names(given: Any, caller: str) -> Module | Mapping[str, Tensor] | None:
    """What tells leaves' names: a module, or a dict from names to Tensors."""
    if given is None or isinstance(given, Module):
        return given
    if not isinstance(given, Mapping):
        raise TypeError(f"{caller}: names must be a Module or a dict from names to Tensors, got {type(given).__name__}")
    for name, tensor in given.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise TypeError(
                f"{caller}: names must be a dict from names to Tensors, got {name!r}: {type(tensor).__name__}"
            )
    return given


def parameters(given: Any, caller: str) -> list[Tensor]:
    """The parameters of a module that require grad; or those that are given."""
    if isinstance(given, Module):
        return [p for p in given.parameters() if p.requires_grad]
    if isinstance(given, (Tensor, str, Mapping)) or not isinstance(given, Iterable):
        raise TypeError(f"{caller}: expected an nn.Module or a list of Tensors, got {type(given).__name__}")
    chosen = list(given)
    for parameter in chosen:
        if not isinstance(parameter, Tensor):
            raise TypeError(
                f"{caller}: expected an nn.Module or a list of Tensors, got one of {type(parameter).__name__}"
            )
    return chosen


def optimizer(given: Any, caller: str) -> Optimizer:
    """An optimiser."""
    if not isinstance(given, Optimizer):
        raise TypeError(f"{caller}: an optimizer must be one of minidl.optim, got {type(given).__name__}")
    return given


def function(given: Any, caller: str, what: str) -> Callable[..., Any]:
    """A function; a module is none, as it would have to be called with something."""
    if not callable(given) or isinstance(given, Module):
        raise TypeError(f"{caller}: expected {what}, got {type(given).__name__}")
    return given
