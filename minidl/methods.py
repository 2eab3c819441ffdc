"""What makes operators methods: ``x.exp()``, ``x.add_(y)``, ``x + y``, ``x[i]``."""

from __future__ import annotations

from typing import Any

from minidl import absent, creation, printing, sampling, surface
from minidl.autograd import walk
from minidl.autograd.inplace import in_place, look_anew
from minidl.ops import (
    activation,
    casting,
    comparison,
    composed,
    conversion,
    diagonals,
    einstein,
    elementwise,
    extremes,
    gamma,
    gathering,
    indexing,
    joining,
    linear_algebra,
    matrix_functions,
    norms,
    products,
    rearranging,
    reductions,
    rounding,
    scan,
    scatter_reduction,
    shape,
    sorting,
    statistics,
    strided,
    transcendental,
)
from minidl.tensor import Tensor

MODULES: list[Any] = [
    creation,
    printing,
    sampling,
    casting,
    surface,
    activation,
    comparison,
    composed,
    conversion,
    diagonals,
    einstein,
    elementwise,
    extremes,
    gamma,
    gathering,
    indexing,
    joining,
    linear_algebra,
    matrix_functions,
    norms,
    products,
    rearranging,
    reductions,
    rounding,
    scan,
    scatter_reduction,
    shape,
    sorting,
    statistics,
    strided,
    transcendental,
]


def _in_place_method(name: str, function: Any) -> Any:
    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return in_place(name, function, self, *args, **kwargs)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"``{function.__name__}``, written into this tensor's memory. Returns the tensor."
    return method


def _in_place_view_method(name: str, function: Any) -> Any:
    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return look_anew(name, function, self, *args, **kwargs)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"``{function.__name__}``, of this tensor itself. Returns the tensor."
    return method


for _module in MODULES:
    for _name in _module.METHODS:
        setattr(Tensor, _name, getattr(_module, _name))
    for _name in _module.INPLACE:
        setattr(Tensor, _name + "_", _in_place_method(_name + "_", getattr(_module, _name)))
    for _name in getattr(_module, "INPLACE_VIEWS", ()):
        setattr(Tensor, _name + "_", _in_place_view_method(_name + "_", getattr(_module, _name)))
    for _name in getattr(_module, "PROPERTIES", ()):
        setattr(Tensor, _name, property(getattr(_module, _name)))

Tensor.__getitem__ = indexing.getitem  # type: ignore[method-assign]
Tensor.__setitem__ = indexing.setitem  # type: ignore[method-assign]

# ------------------------------------------------------------------------------------- what only PyTorch's tensors have

for _name in absent.names_of("minidl.Tensor"):
    if not hasattr(Tensor, _name):
        setattr(Tensor, _name, absent.Absent(_name))


def _names(self: Tensor) -> list[str]:
    mine, common = vars(self), vars(Tensor)
    return [n for n in object.__dir__(self) if n in mine or not isinstance(common.get(n), absent.Absent)]


Tensor.__dir__ = _names  # type: ignore[method-assign]

# -------------------------------------------------------------------------------------------------- Python's operators


def _operator(function: Any, swapped: bool = False) -> Any:
    def method(self: Tensor, other: Any) -> Any:
        if not _is_operand(other):
            return NotImplemented
        return function(other, self) if swapped else function(self, other)

    return method


def _is_operand(value: Any) -> bool:
    return isinstance(value, (Tensor, int, float, bool)) or hasattr(value, "dtype")


_OPERATORS = {
    "add": "add",
    "sub": "sub",
    "mul": "mul",
    "truediv": "div",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "pow": "pow",
    "matmul": "matmul",
    "and": "bitwise_and",
    "or": "bitwise_or",
    "xor": "bitwise_xor",
    "lshift": "bitwise_left_shift",
    "rshift": "bitwise_right_shift",
}
_COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")

for _symbol, _name in _OPERATORS.items():
    _function = next((getattr(m, _name) for m in MODULES if hasattr(m, _name)), None)
    if _function is None:
        continue
    setattr(Tensor, f"__{_symbol}__", _operator(_function))
    setattr(Tensor, f"__r{_symbol}__", _operator(_function, swapped=True))
    if hasattr(Tensor, _name + "_"):
        setattr(Tensor, f"__i{_symbol}__", getattr(Tensor, _name + "_"))
for _name in _COMPARISONS:
    _function = next((getattr(m, _name) for m in MODULES if hasattr(m, _name)), None)
    if _function is not None:
        setattr(Tensor, f"__{_name}__", _operator(_function))
Tensor.__neg__ = elementwise.neg  # type: ignore[method-assign]
Tensor.__pos__ = elementwise.positive  # type: ignore[attr-defined]
Tensor.__abs__ = rounding.abs  # type: ignore[attr-defined]
Tensor.__invert__ = comparison.invert  # type: ignore[method-assign]
Tensor.__hash__ = object.__hash__  # type: ignore[method-assign]

# ------------------------------------------------------------------------------------------------------------ the tape


def _backward(
    self: Tensor,
    gradient: Tensor | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Add to ``.grad`` of every leaf the gradient of this tensor; see :func:`minidl.autograd.backward`."""
    walk.backward(self, gradient, retain_graph, create_graph, inputs)


Tensor.backward = _backward  # type: ignore[attr-defined]
Tensor.register_hook = walk.register_hook  # type: ignore[attr-defined]
Tensor.retain_grad = walk.retain_grad  # type: ignore[attr-defined]
Tensor.register_post_accumulate_grad_hook = (  # type: ignore[attr-defined]
    walk.register_post_accumulate_grad_hook
)
