"""Parameters and buffers: tensors that a module owns."""

from __future__ import annotations

from typing import Any

from minidl.tensor import Tensor, raw


class Parameter(Tensor):
    """A tensor to be learned: assigned to a module's attribute, it is found by ``parameters()``.

    It shares the memory of ``data`` and requires grad unless told otherwise.
    """

    def __init__(self, data: Any = (), requires_grad: bool = True) -> None:
        if not isinstance(data, Tensor) and not hasattr(data, "dtype") and data != ():
            raise TypeError(f"Parameter takes a Tensor, not {type(data).__name__}; use minidl.tensor(...) first")
        super().__init__(data)
        self.requires_grad = requires_grad

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()

    def __deepcopy__(self, memo: dict) -> Parameter:
        copy = type(self)(self.detach().clone(), self.requires_grad)
        memo[id(self)] = copy
        return copy

    def __reduce__(self) -> tuple:
        return _rebuild, (raw(self), self.requires_grad)


def _rebuild(array: Any, requires_grad: bool) -> Parameter:
    from minidl.tensor import wrap

    return Parameter(wrap(array), requires_grad)


class Buffer(Tensor):
    """A tensor that belongs to a module's state without being learned, such as running statistics."""

    def __init__(self, data: Any = (), *, persistent: bool = True) -> None:
        super().__init__(data)
        self.__dict__["persistent"] = persistent
