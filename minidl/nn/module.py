"""Module: what every layer and network is made of. It owns parameters, buffers and other modules, each under a name."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from collections.abc import Callable, Iterator, Mapping
from itertools import chain, pairwise
from typing import Any

import numpy as np

from minidl import dtypes
from minidl.autograd.grad_mode import no_grad
from minidl.autograd.walk import RemovableHandle
from minidl.backends import device as Device
from minidl.nn import hooks
from minidl.nn.parameter import Buffer, Parameter
from minidl.tensor import Tensor, wrap

IncompatibleKeys = namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])


def _no_forward(self: Module, *input: Any) -> None:
    raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')


class Module:
    """Base of layers and networks.

    A subclass builds its parts in ``__init__`` (after ``super().__init__()``) and computes in ``forward``::

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.fc = nn.Linear(4, 2)

            def forward(self, x):
                return self.fc(x)

    Attributes that are a :class:`Parameter`, a :class:`Buffer` or a Module are registered under their name.

    Attributes
    ----------
    training    True in training, False in evaluation: dropout and batch normalisation behave differently
    """

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _state_hooks: dict[str, list[Callable]]
    forward: Callable[..., Any] = _no_forward

    def __init__(self) -> None:
        own = self.__dict__
        own["training"] = True
        own["_parameters"], own["_buffers"], own["_modules"] = {}, {}, {}
        own["_non_persistent"] = set()
        own["_hooks"] = None  # what is called around forward and backward; None costs nothing
        own["_state_hooks"] = {}  # what is called around state_dict and load_state_dict

    # ------------------------------------------------------------------------------------------------- calling

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            if self._hooks is None and not hooks.everywhere:
                return self.forward(*args, **kwargs)
            return hooks.call(self, args, kwargs)
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            if not hasattr(error, "layers"):
                self._refuse_arrays(args, error)
            self._say_where(error)
            raise

    def _refuse_arrays(self, args: tuple, error: Exception) -> None:
        """A layer of minidl's that failed and was given a NumPy array failed because of that."""
        places = [i for i, value in enumerate(args, 1) if isinstance(value, np.ndarray)]
        if places and type(self).__module__.startswith("minidl.nn"):
            refused = TypeError(
                f"{type(self).__name__}: argument {places[0]} must be Tensor, not numpy.ndarray: minidl.from_numpy makes one "
                "of it, and minidl.tensor a copy"
            )
            self._say_where(refused)
            raise refused from error

    def _say_where(self, error: Exception) -> None:
        """Put this layer in front of the error's path, so that in the end it names the way from the network down."""
        where = error.__dict__.setdefault("layers", [])
        where.append(self)
        if len(where) == 1:
            error.__dict__["layer"] = self
        path = _path(where)
        notes = getattr(error, "__notes__", [])
        notes[:] = [note for note in notes if not note.startswith(_NOTE)]
        error.add_note(f"{_NOTE}{path}: {_short(error.__dict__['layer'])}")

    # ---------------------------------------------------------------------------------------------- attributes

    def __setattr__(self, name: str, value: Any) -> None:
        own = self.__dict__
        if isinstance(value, (Parameter, Module, Buffer)):
            if "_parameters" not in own:
                what = "parameters" if isinstance(value, Parameter) else "modules"
                raise AttributeError(
                    f"cannot assign {what} before Module.__init__() call: let {type(self).__name__}.__init__ begin "
                    "with super().__init__()"
                )
            if isinstance(value, Parameter):
                self._forget(name, keep=self._parameters)
                self._parameters[name] = value
            elif isinstance(value, Module):
                self._forget(name, keep=self._modules)
                self._modules[name] = value
            else:
                self._forget(name, keep=self._buffers)
                self.register_buffer(name, value, value.__dict__.get("persistent", True))
            return
        for kind, registered in (
            ("parameter", own.get("_parameters", ())),
            ("child module", own.get("_modules", ())),
            ("buffer", own.get("_buffers", ())),
        ):
            if name in registered:
                if value is not None and not (kind == "buffer" and isinstance(value, Tensor)):
                    wanted = {"parameter": "minidl.nn.Parameter", "child module": "minidl.nn.Module"}.get(
                        kind, "Tensor"
                    )
                    raise TypeError(
                        f"cannot assign '{type(value).__name__}' as {kind} '{name}' ({wanted} or None expected)"
                    )
                registered[name] = value
                return
        object.__setattr__(self, name, value)

    def _forget(self, name: str, keep: dict | None = None) -> None:
        """Remove an attribute, but from ``keep``, where a new value takes its place in the order."""
        self.__dict__.pop(name, None)
        for registered in (self._parameters, self._buffers, self._modules):
            if registered is not keep:
                registered.pop(name, None)
        self._non_persistent.discard(name)

    def __getattr__(self, name: str) -> Any:
        own = self.__dict__
        for kind in ("_parameters", "_buffers", "_modules"):
            if kind in own and name in own[kind]:
                return own[kind][name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __delattr__(self, name: str) -> None:
        if any(name in registered for registered in (self._parameters, self._buffers, self._modules)):
            self._forget(name)
        else:
            object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        names = [*super().__dir__(), *self._parameters, *self._buffers, *self._modules]
        return sorted(name for name in set(names) if not name[:1].isdigit())

    def _check_name(self, kind: str, name: Any) -> None:
        if "_parameters" not in self.__dict__:
            raise AttributeError(f"cannot assign {kind} before Module.__init__() call")
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {type(name).__name__}")
        if "." in name:
            raise KeyError(f'{kind} name can\'t contain ".", got {name!r}')
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')

    def _check_free(self, name: str, registered: Mapping) -> None:
        if hasattr(self, name) and name not in registered:
            raise KeyError(f"attribute '{name}' already exists")

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter, or None to say that there is none under this name."""
        self._check_name("parameter", name)
        self._check_free(name, self._parameters)
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign '{type(param).__name__}' object to parameter '{name}' "
                "(minidl.nn.Parameter or None required)"
            )
        if param is not None and param.grad_fn is not None:
            raise ValueError(
                f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must be created explicitly."
            )
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor to the state; it goes into the state dict if ``persistent``."""
        self._check_name("buffer", name)
        self._check_free(name, self._buffers)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{type(tensor).__name__}' object to buffer '{name}' (Tensor or None required)"
            )
        self._buffers[name] = tensor
        (self._non_persistent.discard if persistent else self._non_persistent.add)(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a child under a name."""
        self._check_name("module", name)
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{type(module).__name__} is not a Module subclass")
        self._check_free(name, self._modules)
        self._modules[name] = module

    register_module = add_module

    # ------------------------------------------------------------------------------------------ walking the tree

    def named_modules(
        self, memo: set | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module and everything below it, each with its dotted path; a shared one once."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self) -> Iterator[Module]:
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        seen = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        return (module for _, module in self.named_children())

    def _named(self, kind: str, prefix: str, recurse: bool, remove_duplicate: bool) -> Iterator[tuple[str, Any]]:
        seen: set = set()
        modules = (
            self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else iter([(prefix, self)])
        )
        for path, module in modules:
            for name, value in module.__dict__[kind].items():
                if value is None or id(value) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(value))
                yield (f"{path}.{name}" if path else name), value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """The parameters with their dotted names."""
        return self._named("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        return (value for _, value in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """The buffers with their dotted names."""
        return self._named("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        return (value for _, value in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """The module at a dotted path. AttributeError names the part that is missing."""
        module = self
        for name in target.split(".") if target else []:
            found = module._modules.get(name)
            if found is None:
                raise AttributeError(f"{type(module).__name__} has no attribute `{name}` (looking for {target!r})")
            module = found
        return module

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put a module at a dotted path; ``strict``: only in the place of another. AttributeError if the path is missing."""
        path, _, name = target.rpartition(".")
        if not name:
            raise ValueError("Cannot set the submodule without a target name!")
        if not isinstance(module, Module):
            raise ValueError(f"module is {type(module).__name__}, which is not a Module")
        parent = self.get_submodule(path)
        if name not in parent._modules and (strict or hasattr(parent, name)):
            raise AttributeError(f"{type(parent).__name__} has no module `{name}` to replace (at {target!r})")
        setattr(parent, name, module)

    def get_parameter(self, target: str) -> Parameter:
        path, _, name = target.rpartition(".")
        found = self.get_submodule(path)._parameters.get(name)
        if found is None:
            raise AttributeError(f"{type(self.get_submodule(path)).__name__} has no parameter `{name}`")
        return found

    def get_buffer(self, target: str) -> Tensor:
        path, _, name = target.rpartition(".")
        found = self.get_submodule(path)._buffers.get(name)
        if found is None:
            raise AttributeError(f"{type(self.get_submodule(path)).__name__} has no buffer `{name}`")
        return found

    # ------------------------------------------------------------------------------------------------ state dict

    def state_dict(self, *, destination: Any = None, prefix: str = "", keep_vars: bool = False) -> dict[str, Any]:
        """Every parameter and persistent buffer by its dotted name; detached unless ``keep_vars``. Modules that have a
        :meth:`get_extra_state` add it as ``_extra_state``."""
        destination = OrderedDict() if destination is None else destination
        for hook in self._state_hooks.get("state_dict_pre", ()):
            hook(self, prefix, keep_vars)
        for name, value in self._own_state():
            destination[prefix + name] = value.detach() if isinstance(value, Tensor) and not keep_vars else value
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        for hook in self._state_hooks.get("state_dict_post", ()):
            hook(self, destination, prefix, {})
        return destination

    def _own_state(self) -> Iterator[tuple[str, Any]]:
        """What of the state is this module's own."""
        for name, value in chain(self._parameters.items(), self._buffers.items()):
            if value is not None and name not in self._non_persistent:
                yield name, value
        if type(self).get_extra_state is not Module.get_extra_state:
            yield _EXTRA, self.get_extra_state()

    def get_extra_state(self) -> Any:
        """What else belongs into the state dict: for subclasses to define, with :meth:`set_extra_state`."""
        raise RuntimeError(f"{type(self).__name__} has no extra state: define get_extra_state and set_extra_state")

    def set_extra_state(self, state: Any) -> None:
        """Take back what :meth:`get_extra_state` gave."""
        raise RuntimeError(f"{type(self).__name__} was given an extra state to load: define set_extra_state")

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Copy values (Tensors or arrays) into parameters and buffers of the same names.

        Nothing is changed if anything is wrong. ``strict=False`` lets names be missing or superfluous; shapes must agree
        all the same. ``assign`` takes the given tensors themselves instead of copying their values.

        Returns:
            (missing_keys, unexpected_keys).

        Raises:
            RuntimeError: one error that lists all that is missing, superfluous, or of another shape.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict).__name__}.")
        modules = [(f"{path}." if path else "", m) for path, m in self.named_modules(remove_duplicate=False)]
        keys, problems = IncompatibleKeys([], []), []
        state_dict = OrderedDict(state_dict)
        for prefix, module in modules:
            for hook in module._state_hooks.get("load_state_dict_pre", ()):
                hook(module, state_dict, prefix, {}, strict, *keys, problems)
        own = {prefix + name: value for prefix, module in modules for name, value in module._own_state()}
        keys.missing_keys.extend(name for name in own if name not in state_dict)
        keys.unexpected_keys.extend(name for name in state_dict if name not in own)
        extra = {prefix + _EXTRA: module for prefix, module in modules}
        given = {
            name: _as_tensor(name, state_dict[name], problems)
            for name in own
            if name in state_dict and name not in extra
        }
        problems += [_mismatch(name, value, own[name]) for name, value in given.items() if _differs(value, own[name])]
        after = [(m, hook) for _, m in reversed(modules) for hook in m._state_hooks.get("load_state_dict_post", ())]
        self._refuse(problems, keys if strict and not after else None)
        for name, value in given.items():
            if assign:
                self._assign(name, value, own[name])
            else:
                with no_grad():
                    own[name].copy_(value)
        for name, module in extra.items():
            if name in own and name in state_dict:
                module.set_extra_state(state_dict[name])
        for module, hook in after:
            hook(module, keys)
        self._refuse([], keys if strict else None)
        return keys

    def _refuse(self, problems: list[str], keys: Any) -> None:
        """Raise one error for all ``problems`` and for ``keys`` that are missing or superfluous."""
        kinds = () if keys is None else (("Missing", keys.missing_keys), ("Unexpected", keys.unexpected_keys))
        lists = [f"{kind} key(s) in state_dict: {', '.join(map(_quoted, names))}. " for kind, names in kinds if names]
        if lists or problems:
            everything = "\n\t".join([*lists, *problems])
            raise RuntimeError(f"Error(s) in loading state_dict for {type(self).__name__}:\n\t{everything}")

    def _assign(self, name: str, value: Tensor, old: Tensor) -> None:
        path, _, leaf = name.rpartition(".")
        module = self.get_submodule(path)
        if leaf in module._parameters:
            module._parameters[leaf] = value if isinstance(value, Parameter) else Parameter(value, old.requires_grad)
        else:
            module._buffers[leaf] = value

    # ------------------------------------------------------------------------------------------- modes and types

    def train(self, mode: bool = True) -> Module:
        """Switch to training (or evaluation), here and below."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self) -> Module:
        """Switch to evaluation."""
        return self.train(False)

    def apply(self, fn: Callable[[Module], None]) -> Module:
        """Call ``fn`` on every module below, then on this one."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def _apply(self, function: Callable[[Tensor], Tensor]) -> Module:
        """Replace the values of parameters, gradients and buffers by ``function`` of them."""
        for module in self.modules():
            for value in module._parameters.values():
                if value is not None:
                    with no_grad():
                        value.data = function(value.detach())  # type: ignore[attr-defined]
                        if value.grad is not None:
                            gradient, value.grad = value.grad, None
                            value.grad = function(gradient.detach())
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    module._buffers[name] = function(buffer)
        return self

    def to(self, *args: Any, **kwargs: Any) -> Module:
        """Move to a device and/or convert to a floating type: ``to("cuda")``, ``to(minidl.float64)``, ``to(tensor)``."""
        where, dtype = kwargs.pop("device", None), kwargs.pop("dtype", None)
        kwargs.pop("non_blocking", None)
        for argument in args:
            if isinstance(argument, Tensor):
                where, dtype = argument.device, argument.dtype
            elif isinstance(argument, (str, Device)):
                where = argument
            elif isinstance(argument, bool) or argument is None:
                continue
            else:
                dtype = dtypes.as_dtype(argument)
        if kwargs:
            raise TypeError(f"to() got unexpected arguments {', '.join(kwargs)}")
        if dtype is not None and not dtypes.as_dtype(dtype).is_floating_point:
            raise TypeError(f"nn.Module.to only accepts floating point dtypes, but got desired dtype={dtype}")

        def convert(value: Tensor) -> Tensor:
            value = value if where is None else value.to(where)
            return value.to(dtype) if dtype is not None and value.dtype.is_floating_point else value

        return self._apply(convert)

    def float(self) -> Module:
        return self.to(dtypes.float32)

    def double(self) -> Module:
        return self.to(dtypes.float64)

    def half(self) -> Module:
        return self.to(dtypes.float16)

    def bfloat16(self) -> Module:
        return self.to(dtypes.as_dtype("bfloat16"))

    def type(self, dst_type: Any) -> Module:
        return self._apply(lambda value: value.to(dst_type))

    def cpu(self) -> Module:
        return self.to("cpu")

    def cuda(self, device: Any = "cuda") -> Module:
        return self.to(device)

    def requires_grad_(self, requires_grad: bool = True) -> Module:
        """Switch recording on or off for all parameters."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or set them to 0."""
        for parameter in self.parameters():
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                parameter.grad = parameter.grad.detach().zero_()

    # ----------------------------------------------------------------------------------------------------- hooks

    def register_forward_pre_hook(
        self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args)`` before forward; what it returns takes the arguments' place."""
        return hooks.register(self, "forward_pre", hook, prepend, with_kwargs=with_kwargs)

    def register_forward_hook(
        self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args, output)`` after forward; what it returns takes the output's place."""
        return hooks.register(self, "forward", hook, prepend, with_kwargs=with_kwargs, always_call=always_call)

    def register_state_dict_pre_hook(self, hook: Callable) -> RemovableHandle:
        """Call ``hook(module, prefix, keep_vars)`` before the module's state is collected."""
        return hooks.register_for_state(self, "state_dict_pre", hook)

    def register_state_dict_post_hook(self, hook: Callable) -> RemovableHandle:
        """Call ``hook(module, state_dict, prefix, local_metadata)`` when it is; the hook may change ``state_dict``."""
        return hooks.register_for_state(self, "state_dict_post", hook)

    def register_load_state_dict_pre_hook(self, hook: Callable) -> RemovableHandle:
        """Call ``hook(module, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)``
        before a state is loaded. The hook may rename keys of ``state_dict``, a copy, and add to the lists."""
        return hooks.register_for_state(self, "load_state_dict_pre", hook)

    def register_load_state_dict_post_hook(self, hook: Callable) -> RemovableHandle:
        """Call ``hook(module, incompatible_keys)`` when it is loaded. What the hook takes out of the lists of missing and
        unexpected keys is forgiven; where there is such a hook, these are judged after loading."""
        return hooks.register_for_state(self, "load_state_dict_post", hook)

    def register_full_backward_pre_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """Call ``hook(module, grad_output)`` when the gradients of the outputs are there; may replace them."""
        return hooks.register(self, "backward_pre", hook, prepend)

    def register_full_backward_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """Call ``hook(module, grad_input, grad_output)`` when the gradients of the inputs are there; may replace them."""
        return hooks.register(self, "backward", hook, prepend)

    # ------------------------------------------------------------------------------------------------------ text

    def _get_name(self) -> str:
        return self.__class__.__name__

    def extra_repr(self) -> str:
        """What stands in the brackets: the settings of the layer."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        children = [f"({name}): " + _indent(repr(module)) for name, module in self._modules.items()]
        if len(lines) == 1 and not children:
            return f"{self._get_name()}({extra})"
        if not lines and not children:
            return f"{self._get_name()}()"
        return f"{self._get_name()}(\n  " + "\n  ".join(lines + children) + "\n)"


_EXTRA = "_extra_state"
_NOTE = "in layer "


def _path(layers: list[Module]) -> str:
    """The dotted path from the outermost of ``layers`` (innermost first) to the innermost."""
    names = []
    for inner, outer in pairwise(layers):
        names.append(next((name for name, module in outer.named_modules() if module is inner and name), "?"))
    return ".".join(reversed(names)) or type(layers[0]).__name__


def _short(module: Module) -> str:
    return f"{module._get_name()}({module.extra_repr()})" if not module._modules else module._get_name()


def _indent(text: str) -> str:
    return text.replace("\n", "\n  ")


def _as_tensor(name: str, value: Any, problems: list[str]) -> Any:
    if isinstance(value, Tensor):
        return value
    if isinstance(value, np.ndarray) or hasattr(value, "__array__"):
        return wrap(np.asarray(value))
    problems.append(f'While copying the parameter named "{name}", expected a Tensor but got {type(value).__name__}.')
    return None


def _quoted(name: str) -> str:
    return f'"{name}"'


def _differs(value: Any, own: Tensor) -> bool:
    return value is not None and tuple(value.shape) != tuple(own.shape)


def _mismatch(name: str, value: Tensor, own: Tensor) -> str:
    there, here = list(value.shape), list(own.shape)
    clash = [str(i) for i, (a, b) in enumerate(zip(there, here)) if a != b]
    where = f" (they differ in dim {', '.join(clash)})" if len(there) == len(here) else " (they differ in rank)"
    return (
        f"size mismatch for {name}: copying a param with shape {there} from checkpoint, the shape in current model is "
        f"{here}{where}."
    )
