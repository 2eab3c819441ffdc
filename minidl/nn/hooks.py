"""Hooks of modules: functions called around forward and backward. A module without any has none of this in its way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minidl.autograd.tape import Operator, apply
from minidl.autograd.walk import RemovableHandle
from minidl.tensor import Tensor


class Hook:
    """A user's function, and how it wants to be called."""

    def __init__(self, function: Callable, with_kwargs: bool = False, always_call: bool = False) -> None:
        self.function, self.with_kwargs, self.always_call = function, with_kwargs, always_call


def register(module: Any, kind: str, function: Callable, prepend: bool, **settings: bool) -> RemovableHandle:
    """Add a hook of a kind ("forward_pre", "forward", "backward_pre", "backward")."""
    kinds = ("forward_pre", "forward", "backward_pre", "backward")
    every: dict[str, list] = module._hooks or {name: [] for name in kinds}
    module.__dict__["_hooks"] = every
    hook: Any = Hook(function, **settings)
    registered = every[kind]
    registered.insert(0, hook) if prepend else registered.append(hook)
    return RemovableHandle(registered, hook)


def register_for_state(module: Any, kind: str, function: Callable) -> RemovableHandle:
    """Add a hook around ``state_dict`` or ``load_state_dict``."""
    registered = module._state_hooks.setdefault(kind, [])
    registered.append(function)
    return RemovableHandle(registered, function)


# Hooks of all modules, (kind, hook): in front of each module's own.
everywhere: list[tuple[str, Hook]] = []
_NONE: dict[str, list] = {"forward_pre": [], "forward": [], "backward_pre": [], "backward": []}


def register_module_forward_pre_hook(hook: Callable[[Any, tuple], Any]) -> RemovableHandle:
    """Call ``hook(module, args)`` before the forward of every module; what it returns takes the arguments' place."""
    return _register_everywhere("forward_pre", Hook(hook))


def register_module_forward_hook(
    hook: Callable[..., Any], *, with_kwargs: bool = False, always_call: bool = False
) -> RemovableHandle:
    """Call ``hook(module, args, output)`` (``hook(module, args, kwargs, output)`` with ``with_kwargs``) after the forward
    of every module; what it returns takes the output's place. ``always_call``: after an error in forward too."""
    return _register_everywhere("forward", Hook(hook, with_kwargs, always_call))


def _register_everywhere(kind: str, hook: Hook) -> RemovableHandle:
    everywhere.append((kind, hook))
    return RemovableHandle(everywhere, (kind, hook))  # type: ignore[arg-type]


def call(module: Any, args: tuple, kwargs: dict) -> Any:
    """``module.forward`` with its hooks around it."""
    hooks = module._hooks or _NONE
    after = [hook for kind, hook in everywhere if kind == "forward"] + hooks["forward"]
    done: list[Hook] = []
    output = None
    try:
        for hook in [hook for kind, hook in everywhere if kind == "forward_pre"] + hooks["forward_pre"]:
            args, kwargs = _before(module, hook, args, kwargs)
        watch = _Watch(module) if hooks["backward"] or hooks["backward_pre"] else None
        if watch is not None:
            args = watch.inputs(args)
        output = module.forward(*args, **kwargs)
        for hook in after:
            done.append(hook)
            output = _after(module, hook, args, kwargs, output)
        return output if watch is None else watch.outputs(output)
    except Exception:
        for hook in after:
            if hook.always_call and hook not in done:
                _after(module, hook, args, kwargs, output)
        raise


def _before(module: Any, hook: Hook, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    if hook.with_kwargs:
        result = hook.function(module, args, kwargs)
        if result is None:
            return args, kwargs
        if not (isinstance(result, tuple) and len(result) == 2):
            raise RuntimeError(
                f"forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got {result}"
            )
        return result
    result = hook.function(module, args)
    if result is None:
        return args, kwargs
    return (result if isinstance(result, tuple) else (result,)), kwargs


def _after(module: Any, hook: Hook, args: tuple, kwargs: dict, output: Any) -> Any:
    given = (module, args, kwargs, output) if hook.with_kwargs else (module, args, output)
    result = hook.function(*given)
    return output if result is None else result


class _Border(Operator):
    """y = x for each of several tensors, as one operator: all their gradients pass at once."""

    def __init__(self, report: Callable[[tuple], tuple]) -> None:
        self.report = report

    def forward(self, *arrays: Any) -> tuple:
        return tuple(array.view() for array in arrays)

    def backward(self, *gradients: Any) -> tuple:
        return self.report(gradients)


class _Watch:
    """Follows one call of a module, to hand its gradients to the backward hooks."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.count = 0
        self.grad_output: tuple = ()

    def inputs(self, args: tuple) -> tuple:
        """The arguments, behind a border where the gradients of the inputs come out."""
        self.count = len(args)
        tensors = [a for a in args if isinstance(a, Tensor) and a.requires_grad]
        if not tensors or not self.module._hooks["backward"]:
            self.positions = None if tensors else []
            return args
        passed = iter(apply(_Border(self._leave), *tensors))
        self.positions = [isinstance(a, Tensor) and a.requires_grad for a in args]
        return tuple(next(passed) if inside else a for a, inside in zip(args, self.positions))

    def outputs(self, output: Any) -> Any:
        """The output, behind a border where its gradients come in."""
        several = isinstance(output, (tuple, list))
        tensors = [y for y in (output if several else [output]) if isinstance(y, Tensor) and y.requires_grad]
        if not tensors:
            return output
        passed = iter(apply(_Border(self._enter), *tensors))
        if not several:
            return next(passed)
        return type(output)(next(passed) if isinstance(y, Tensor) and y.requires_grad else y for y in output)

    def _enter(self, gradients: tuple) -> tuple:
        grads = tuple(_tensor(g) for g in gradients)
        for hook in self.module._hooks["backward_pre"]:
            result = hook.function(self.module, grads)
            if result is not None:
                grads = result if isinstance(result, tuple) else (result,)
        self.grad_output = grads
        if self.positions == []:  # no input requires grad: the hooks hear of the outputs alone
            self._call_backward((None,) * self.count)
        return tuple(_like(g, old) for g, old in zip(grads, gradients))

    def _leave(self, gradients: tuple) -> tuple:
        inside = iter(gradients)
        grads = tuple(_tensor(next(inside)) if has else None for has in self.positions or ())
        changed = self._call_backward(grads)
        return tuple(_like(g, old) for g, old in zip([g for g in changed if g is not None], gradients))

    def _call_backward(self, grads: tuple) -> tuple:
        for hook in self.module._hooks["backward"]:
            result = hook.function(self.module, grads, self.grad_output)
            if result is not None:
                grads = result if isinstance(result, tuple) else (result,)
        return grads


def _tensor(gradient: Any) -> Any:
    from minidl.tensor import wrap

    return gradient if gradient is None or isinstance(gradient, Tensor) else wrap(gradient)


def _like(gradient: Any, old: Any) -> Any:
    """A gradient as the pass carries it: an array, or a Tensor under ``create_graph``."""
    return gradient if gradient is None or isinstance(old, Tensor) else gradient._data
