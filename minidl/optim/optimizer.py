"""What all optimisers share: groups of parameters, their state, and saving both.

An optimiser is its initial state and one update rule:

    class Plain(Optimizer):
        \"\"\"x ← x - lr · g\"\"\"

        def __init__(self, params, lr=1e-3):
            super().__init__(params, {"lr": lr})

        def update(self, x, g, state, group):
            x -= group["lr"] * g
"""

from __future__ import annotations

import copy
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import wraps
from itertools import chain
from typing import Any

import numpy as np

from minidl import dtypes
from minidl.autograd.grad_mode import enable_grad
from minidl.autograd.walk import RemovableHandle
from minidl.backends import namespace
from minidl.tensor import Tensor, wrap


class _Required:
    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()


def _hooked(step: Callable) -> Callable:
    """``step`` between the hooks of an optimiser; a step that calls its base class's is still one."""

    @wraps(step)
    def between(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        if self._stepping:
            return step(self, *args, **kwargs)
        given: Any = ((self, *args), kwargs)
        for hook in list(self._before_step):
            changed = hook(self, *given)
            if changed is None:
                continue
            if not isinstance(changed, tuple) or len(changed) != 2:
                raise RuntimeError(
                    f"a hook before step must return None or a tuple (args, kwargs), but got {changed!r}"
                )
            given = changed
        self._stepping = True
        try:
            result = step(*given[0], **given[1])
        finally:
            self._stepping = False
        self._steps += 1
        for hook in list(self._after_step):
            hook(self, *given)
        return result

    return between


class Optimizer:
    """Base of all optimisers: subclasses give :meth:`update`, and :meth:`start` if they keep a state. One that updates all
    parameters at once, or looks at the loss in several places, gives :meth:`step` instead.

    Args:
        params: Tensors, ``(name, Tensor)`` pairs, or groups: dicts with ``"params"`` and settings of their own.
        defaults: the settings of groups that do not give them.

    Attributes:
        param_groups: a dict a group: ``"params"`` and settings; changing a setting changes the next step.
        state: a dict for each parameter that has been updated.

    Raises:
        TypeError: ``params`` is a Tensor, a set, or holds something else than Tensors.
        ValueError: no parameters at all; one that is no leaf; one in two groups.
    """

    decoupled = False  # weight decay does not enter the gradient, whatever the group says
    _stepping = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "step" in vars(cls):
            cls.step = _hooked(cls.step)

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, but got a Tensor; "
                "put it in a list: [tensor]"
            )
        self.defaults = defaults
        self.state: defaultdict[Any, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        self._before_step: list[Callable] = []
        self._after_step: list[Callable] = []
        self._steps = 0
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    # --------------------------------------------------------------------------------------- what a subclass is made of

    def start(self, x: Any, group: dict[str, Any]) -> dict[str, Any]:
        """The state before the first update of ``x``, as arrays (or None where there is nothing yet)."""
        return {}

    def update(self, x: Any, g: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Change the array ``x`` and those in ``state`` in place, given the gradient ``g``.

        ``g`` is the gradient to descend along: negated where the group has ``maximize``, and with ``weight_decay`` · x added
        where it has that, unless it has ``decoupled_weight_decay`` or the class is ``decoupled``: that is the rule's own
        affair. Do not change ``g``: it may be ``.grad`` itself. ``state["step"]``, where :meth:`start` gives one, has been
        counted already: 1 at the first update.
        """
        raise NotImplementedError(f"{type(self).__name__} has no update rule")

    # ------------------------------------------------------------------------------------------------------------ using

    @_hooked
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient.

        ``closure`` computes the loss and its gradients again; it is called first, and its result returned.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        with np.errstate(all="ignore"):
            for group in self.param_groups:
                self._step_group([p for p in group["params"] if p._grad is not None], group)
        return loss

    def _step_group(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        """Update those parameters of a group that have a gradient; where there is a kernel for it, this calls it."""
        for parameter in parameters:
            self._step_one(parameter, group)

    def _step_one(self, parameter: Tensor, group: dict[str, Any]) -> None:
        x = parameter._data
        state = self.state[parameter]
        if not state:
            state.update(begin(self.start(x, group)))
        if "step" in state:
            state["step"]._data += 1
        arrays = {name: value._data if isinstance(value, Tensor) else value for name, value in state.items()}
        g = self._gradient(parameter, group)
        if x.dtype.itemsize < 4:
            self._update_in_float32(x, g, arrays, group)
        else:
            self.update(x, g, arrays, group)
        parameter._counter[0] += 1

    def _gradient(self, parameter: Tensor, group: dict[str, Any]) -> Any:
        """The gradient to descend along: negated to ``maximize``, with the weight decay's λ x added."""
        g = parameter.grad._data
        if group.get("maximize"):
            g = -g
        decay = group.get("weight_decay", 0)
        if decay and not (self.decoupled or group.get("decoupled_weight_decay")):
            g = g + decay * parameter._data
        return g

    def _update_in_float32(self, x: Any, g: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Half-precision parameters: the rule computes in float32, and the results are rounded."""
        wide = {name: value.astype("float32") if value.dtype == x.dtype else value for name, value in state.items()}
        wide_x = x.astype("float32")
        self.update(wide_x, g.astype("float32"), wide, group)
        x[...] = wide_x
        for name, value in state.items():
            if value is not wide[name]:
                value[...] = wide[name]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients; ``set_to_none=False`` fills them with zeros instead."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if set_to_none:
                    parameter.grad = None
                elif parameter.grad is not None:
                    parameter.grad = wrap(namespace(parameter._data).zeros_like(parameter.grad._data))

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with settings of their own, for example a layer that is to be fine-tuned from now on."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group).__name__}")
        group = dict(param_group)
        params, names = _parameters(group["params"])
        group["params"] = params
        if names:
            group["param_names"] = names
        if self.param_groups and bool(names) != ("param_names" in self.param_groups[0]):
            raise ValueError("all optimizer param groups should be with/without names")
        for name, default in self.defaults.items():
            if default is required and name not in group:
                raise ValueError(f"parameter group didn't specify a value of required optimization parameter {name}")
            group.setdefault(name, default)
        known = {id(p) for other in self.param_groups for p in other["params"]}
        if any(id(p) in known for p in params):
            raise ValueError("some parameters appear in more than one parameter group")
        self.param_groups.append(group)

    # ----------------------------------------------------------------------------------------------------------- saving

    def state_dict(self) -> dict[str, Any]:
        """``{"state": {number: state}, "param_groups": [settings]}`` in PyTorch's layout: parameters stand as numbers,
        counted through all groups."""
        number: dict[int, int] = {}
        for parameter in chain.from_iterable(group["params"] for group in self.param_groups):
            number.setdefault(id(parameter), len(number))
        groups = [
            {**{k: v for k, v in group.items() if k != "params"}, "params": [number[id(p)] for p in group["params"]]}
            for group in self.param_groups
        ]
        return {"state": {number.get(id(p), p): state for p, state in self.state.items()}, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave; values are copied, in the types of the parameters.

        ValueError where groups differ in number or length.
        """
        saved = copy.deepcopy(state_dict["param_groups"])
        ours, theirs = ([len(g["params"]) for g in groups] for groups in (self.param_groups, saved))
        if len(ours) != len(theirs):
            raise ValueError(
                f"loaded state dict has a different number of parameter groups: {len(theirs)}, and this optimizer has "
                f"{len(ours)}"
            )
        if ours != theirs:
            raise ValueError(
                "loaded state dict contains a parameter group that doesn't match the size of optimizer's group: sizes "
                f"{theirs}, and this optimizer has {ours}"
            )
        parameters = {
            number: parameter
            for group, loaded in zip(self.param_groups, saved)
            for number, parameter in zip(loaded["params"], group["params"])
        }
        self.state = defaultdict(dict)
        for number, state in state_dict["state"].items():
            parameter = parameters.get(number)
            self.state[number if parameter is None else parameter] = _loaded(state, parameter)
        for group, loaded in zip(self.param_groups, saved):
            names = {"param_names": group["param_names"]} if "param_names" in group else {}
            parameters_here = group["params"]
            group.clear()
            group.update({**self._defaults_for(loaded), **names, **loaded, "params": parameters_here})

    def _defaults_for(self, loaded: dict[str, Any]) -> dict[str, Any]:
        """Settings that a dict saved by another version may lack."""
        return {name: value for name, value in self.defaults.items() if name not in loaded and value is not required}

    def register_step_pre_hook(self, hook: Callable) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` before every step, with what ``step`` was called with, the optimiser itself
        first. A hook may return ``(args, kwargs)``, to be used instead."""
        self._before_step.append(hook)
        return RemovableHandle(self._before_step, hook)

    def register_step_post_hook(self, hook: Callable) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` after every step."""
        self._after_step.append(hook)
        return RemovableHandle(self._after_step, hook)

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines += [""] * (i > 0) + [f"Parameter Group {i}"]
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join([*lines, ")"])


# ---------------------------------------------------------------------------------------------- what update rules share


def begin(state: dict[str, Any]) -> dict[str, Any]:
    """A first state as it is kept: Tensors."""
    return {name: None if value is None else wrap(value) for name, value in state.items()}


def counter(value: float = 0.0) -> np.ndarray:
    """A number that changes with the steps, as PyTorch keeps it: 0-d, float32 unless the default type is wider."""
    wide = dtypes.get_default_dtype() is dtypes.float64
    return np.array(value, np.float64 if wide else np.float32)


def mean_towards(mean: Any, value: Any, beta: float) -> None:
    """``mean`` ← β ``mean`` + (1 - β) ``value``, in place."""
    mean += (1 - beta) * (value - mean)


def mean_square_towards(mean: Any, value: Any, beta: float) -> None:
    """``mean ← β mean + (1 - β) value²``, in place."""
    mean *= beta
    mean += (1 - beta) * (value * value)


def scalar(value: Any) -> float:
    """A setting that may be given as a one-element Tensor, as a number."""
    return float(value._data.item()) if isinstance(value, Tensor) else value


def check(name: str, value: Any) -> None:
    """ValueError for a setting that is negative (or no number)."""
    if isinstance(value, Tensor) and value._data.size != 1:
        raise ValueError(f"Tensor {name} must be 1-element, but has shape {value.shape}")
    if not scalar(value) >= 0.0:
        raise ValueError(f"Invalid {name}: {scalar(value)}")


def check_betas(betas: Any) -> None:
    """ValueError for a decay rate outside [0, 1)."""
    for index, beta in enumerate(betas):
        if not 0.0 <= scalar(beta) < 1.0:
            raise ValueError(f"Invalid beta parameter at index {index}: {scalar(beta)}")


def _parameters(params: Any) -> tuple[list[Tensor], list[str]]:
    """The Tensors, and their names if they came with names. TypeError or ValueError for what cannot be optimised."""
    if isinstance(params, Tensor):
        params = [params]
    elif isinstance(params, (set, frozenset)):
        raise TypeError(
            "optimizer parameters need to be organized in ordered collections, but the ordering of tensors in sets "
            "will change between runs. Please use a list instead."
        )
    items = list(params)
    named = [isinstance(item, tuple) for item in items]
    if any(named) and not all(named):
        raise ValueError("all optimizer params should be with/without names. Some param names are missing")
    names = [item[0] for item in items] if any(named) else []
    tensors = [item[1] for item in items] if any(named) else items
    for position, tensor in enumerate(tensors):
        if not isinstance(tensor, Tensor):
            raise TypeError(
                f"optimizer can only optimize Tensors, but one of the params (number {position}) is "
                f"{type(tensor).__name__}"
            )
        operator = tensor.grad_fn
        if operator is not None:
            raise ValueError(
                f"can't optimize a non-leaf Tensor: parameter {position}, shape {tensor.shape}, was computed by "
                f"{operator.name}; use .detach().requires_grad_() to make it a leaf"
            )
    if len({id(t) for t in tensors}) != len(tensors):
        warnings.warn("optimizer contains a parameter group with duplicate parameters", stacklevel=4)
    return tensors, names


_COUNTERS = ("step", "mu_product", "eta", "mu")  # made by counter(); they are not rounded to the parameter's type


def _loaded(value: Any, parameter: Tensor | None, key: str = "") -> Any:
    """A copy of a saved value; a Tensor in the type and place of its parameter (counters as they are)."""
    if isinstance(value, dict):
        return {k: _loaded(v, parameter, k) for k, v in value.items()}
    if isinstance(value, Tensor):
        if parameter is not None and key not in _COUNTERS and parameter.dtype.is_floating_point:
            value = value.to(parameter.device, parameter.dtype)
        return wrap(value._data.copy())
    if isinstance(value, Iterable) and not isinstance(value, str):
        return type(value)(_loaded(v, parameter) for v in value)  # type: ignore[call-arg]
    return copy.deepcopy(value)
