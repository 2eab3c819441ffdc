"""Tensors of a module that are computed from others, each time they are asked for.

A parametrised ``layer.weight`` is ``parametrization(original)``; what is trained is ``original``::

    class Symmetric(nn.Module):
        def forward(self, x):
            return x.triu() + x.triu(1).mT

    register_parametrization(layer, "weight", Symmetric())

State dicts have PyTorch's names: ``parametrizations.weight.original``, or ``original0``, ``original1``, … where a
parametrization computes from several.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from minidl.absent import finder as _finder
from minidl.autograd.grad_mode import no_grad
from minidl.nn.containers import ModuleDict, ModuleList
from minidl.nn.module import Module
from minidl.nn.parameter import Parameter
from minidl.tensor import Tensor

__all__ = [
    "ParametrizationList",
    "cached",
    "is_parametrized",
    "register_parametrization",
    "remove_parametrizations",
    "type_before_parametrizations",
]

_cache: dict[tuple[int, str], Any] = {}
_depth = 0


@contextmanager
def cached() -> Iterator[None]:
    """A block in which every parametrised tensor is computed once, at its first use. Change no originals inside."""
    global _depth
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1
        if not _depth:
            _cache.clear()


class ParametrizationList(ModuleList):
    """What a tensor goes through, and what it is computed from: called without arguments, it gives the tensor.

    Args:
        modules: one or more; the first may compute from several tensors, if its ``right_inverse`` gives several.
        original: the tensor as it was; the originals are chosen so that it stays that, where the modules have a
            ``right_inverse`` (there ``module(*module.right_inverse(tensor))`` gives the tensor).
        unsafe: the modules may change shape and type.

    Raises:
        ValueError: no modules; originals or results of another shape or type, unless ``unsafe``.
    """

    def __init__(self, modules: Sequence[Module], original: Tensor, unsafe: bool = False) -> None:
        if not len(modules):
            raise ValueError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        found = self._originals_of(original)
        self.is_tensor = isinstance(found, Tensor)
        originals = {"original": found} if self.is_tensor else {f"original{i}": t for i, t in enumerate(found)}
        self.ntensors = len(originals)
        if self.is_tensor and not unsafe and (found.dtype, found.shape) != (original.dtype, original.shape):
            raise ValueError(
                "the right_inverse of a parametrization that computes from one tensor may not change it, but "
                f"{_kind(original)} became {_kind(found)}; register it with unsafe=True if that is meant"
            )
        for name, tensor in originals.items():
            self._keep(name, original, tensor)
        if not unsafe:
            self._check(self(), original)

    @property
    def originals(self) -> list[Tensor]:
        """The tensors that are trained."""
        return [self.original] if self.is_tensor else [getattr(self, f"original{i}") for i in range(self.ntensors)]

    def forward(self) -> Any:
        first, *others = self
        x = first(*self.originals)
        for parametrization in others:
            x = parametrization(x)
        return x

    @no_grad()
    def right_inverse(self, value: Tensor) -> None:
        """Change the originals so that the parametrised tensor becomes ``value``."""
        found = self._originals_of(value)
        found = [found] if isinstance(found, Tensor) else list(found)
        if len(found) != self.ntensors:
            raise ValueError(f"right_inverse gave {len(found)} tensors, but there are {self.ntensors} originals")
        for original, tensor in zip(self.originals, found):
            if original.shape != tensor.shape:
                raise ValueError(
                    f"while assigning to a parametrised tensor: right_inverse gave shape {list(tensor.shape)}, but the "
                    f"original's is {list(original.shape)}"
                )
            original.copy_(tensor)

    @no_grad()
    def _originals_of(self, value: Any) -> Any:
        for parametrization in reversed(list(self)):
            if hasattr(parametrization, "right_inverse"):
                value = parametrization.right_inverse(value)
        return value

    def _keep(self, name: str, like: Tensor, value: Tensor) -> None:
        """Register an original as what the tensor was: a parameter or a buffer."""
        value = value.detach()
        if not isinstance(like, Parameter):
            self.register_buffer(name, value)
        elif like.shape == value.shape and name == "original":
            with no_grad():
                like.copy_(value)
            self.register_parameter(name, like)  # the same one, which an optimiser may know already
        else:
            self.register_parameter(name, Parameter(value, like.requires_grad))

    def _check(self, made: Any, wanted: Tensor) -> None:
        if not isinstance(made, Tensor):
            raise ValueError(f"a parametrization must return a tensor, but got {type(made).__name__}")
        if (made.dtype, made.shape) != (wanted.dtype, wanted.shape):
            raise ValueError(
                f"a parametrization may not change a tensor's type or shape, but {_kind(wanted)} became {_kind(made)}; "
                "register it with unsafe=True if that is meant"
            )


def _kind(tensor: Tensor) -> str:
    return f"{tensor.dtype} {list(tensor.shape)}"


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Let ``module.tensor_name`` be computed by ``parametrization``, after those that it has already; returns ``module``.

    Assigning to the name sets the originals, where all parametrizations have a ``right_inverse``.

    Args:
        tensor_name: of a parameter or buffer.
        parametrization: a tensor to a tensor; the first one of a name may take several tensors, if it has a
            ``right_inverse`` that gives as many.
        unsafe: it may change shape and type.

    Raises:
        ValueError: there is no such tensor; another shape or type, unless ``unsafe``.
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        chain = module.parametrizations[tensor_name]
        if not unsafe:
            before = getattr(module, tensor_name)
            chain._check(parametrization(before), before)
        chain.append(parametrization)
        chain.unsafe |= unsafe
        return module
    if tensor_name not in module._parameters and tensor_name not in module._buffers:
        raise ValueError(
            f"Module '{type(module).__name__}' does not have a parameter, a buffer, or a parametrized element with name "
            f"'{tensor_name}'"
        )
    chain = ParametrizationList([parametrization], getattr(module, tensor_name), unsafe)
    chain.train(module.training)
    delattr(module, tensor_name)
    if not is_parametrized(module):
        module.parametrizations = ModuleDict()
    plain = type_before_parametrizations(module)
    module.parametrizations[tensor_name] = chain
    module.__class__ = _parametrized(plain, (*module.parametrizations,))
    return module


@cache
def _parametrized(plain: type, names: tuple[str, ...]) -> type:
    """The class of modules whose tensors of these names are computed. Copies of a module share it, and none changes it."""
    return type(
        f"Parametrized{plain.__name__}", (plain,), {"_plain": plain, **{name: _computed(name) for name in names}}
    )


def _computed(name: str) -> property:
    """The attribute ``name`` of a parametrised module."""

    def read(self: Module) -> Any:
        if not _depth:
            return self.parametrizations[name]()
        key = (id(self), name)
        if key not in _cache:
            _cache[key] = self.parametrizations[name]()
        return _cache[key]

    def assign(self: Module, value: Tensor) -> None:
        self.parametrizations[name].right_inverse(value)

    return property(read, assign)


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether the module has a parametrised tensor, or this one."""
    chains = module._modules.get("parametrizations")
    if not isinstance(chains, ModuleDict):
        return False
    return tensor_name in chains if tensor_name is not None else len(chains) > 0


def remove_parametrizations(module: Module, tensor_name: str, leave_parametrized: bool = True) -> Module:
    """Let a tensor be an ordinary one again; returns ``module``.

    Args:
        leave_parametrized: with the value that it is computed to; or with the original, where there is one alone.

    Raises:
        ValueError: the tensor is not parametrised, or has several originals and ``leave_parametrized`` is False.
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {type(module).__name__} does not have a parametrization on {tensor_name}")
    chain = module.parametrizations[tensor_name]
    if not leave_parametrized and not chain.is_tensor:
        raise ValueError(
            "Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is parametrized in terms of a "
            "sequence of tensors."
        )
    originals = chain.originals
    tensor = originals[0] if chain.is_tensor else None
    with no_grad():
        value = (getattr(module, tensor_name) if leave_parametrized else originals[0]).detach()
        if tensor is not None and tensor.shape == value.shape and tensor.dtype == value.dtype:
            tensor.copy_(value)
        else:
            trained = isinstance(originals[0], Parameter)
            tensor = Parameter(value, any(t.requires_grad for t in originals)) if trained else value
    plain = type_before_parametrizations(module)
    del module.parametrizations[tensor_name]
    names = (*module.parametrizations,)
    module.__class__ = _parametrized(plain, names) if names else plain
    if not names:
        delattr(module, "parametrizations")
    if isinstance(tensor, Parameter):
        module.register_parameter(tensor_name, tensor)
    else:
        module.register_buffer(tensor_name, tensor)
    return module


def type_before_parametrizations(module: Module) -> type:
    """The module's class without its parametrizations."""
    return getattr(type(module), "_plain", type(module))


__getattr__ = _finder(__name__)
