"""What operators share: Python numbers beside tensors, type promotion, and axis numbers."""

from __future__ import annotations

import numbers
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from minidl import dtypes
from minidl.backends import namespace
from minidl.tensor import Tensor, raw, wrap


def promote(name: str, *operands: Any, floating: bool = False) -> list[Any]:
    """Operands of an elementwise operator in one element type, by PyTorch's rules.

    Tensors are converted (on the tape); Python numbers stay numbers where NumPy gives them the other operand's type,
    and become 0-d tensors otherwise. Arrays, which come from gradient rules, pass as they are. ``floating``: an operator
    whose result is always floating, such as division, lifts integers to the default type.
    """
    tensors = [x for x in operands if isinstance(x, Tensor)]
    if not tensors:
        return list(operands) if any(hasattr(x, "dtype") for x in operands) else _promote(name, operands, floating)
    first = tensors[0]._data.dtype
    if first.kind == "f" and all(
        x._data.dtype == first if isinstance(x, Tensor) else type(x) in (float, int, bool) for x in operands
    ):
        return list(operands)
    return _promote(name, operands, floating)


def _promote(name: str, operands: Sequence[Any], floating: bool) -> list[Any]:
    dimensioned: list[dtypes.dtype] = []
    zero_dim: list[dtypes.dtype] = []
    scalars: list[dtypes.dtype] = []
    for position, x in enumerate(operands):
        if isinstance(x, Tensor) or (hasattr(x, "dtype") and not _is_number(x)):
            found = x.dtype if isinstance(x, Tensor) else dtypes.from_numpy_dtype(x.dtype)
            (dimensioned if x.ndim else zero_dim).append(found)
        else:
            scalars.append(_number_dtype(name, position, x))
    common = dtypes.result_dtype(dimensioned, zero_dim, scalars)
    if floating and not common.is_floating_point:
        common = dtypes.get_default_dtype()
    return [convert(x, common) for x in operands]


def _is_number(x: Any) -> bool:
    """Whether ``x`` is a number, NumPy's included: beside a Tensor it does not decide the type."""
    return isinstance(x, (numbers.Real, np.bool_))


def _number_dtype(name: str, position: int, value: Any) -> dtypes.dtype:
    try:
        return dtypes.scalar_dtype(value)
    except TypeError:
        raise TypeError(
            f"{name}(): argument {position + 1} must be a Tensor or a number, not {type(value).__name__}"
        ) from None


def convert(x: Any, d: dtypes.dtype) -> Any:
    """``x`` as a Tensor of type ``d``, on the tape if it is a Tensor."""
    if isinstance(x, Tensor):
        return x if x._data.dtype == d.numpy else x.to(d)
    return wrap(namespace(x).asarray(x).astype(d.numpy))


def as_tensor_or_array(name: str, argument: str, x: Any) -> Any:
    """``x`` if it is a Tensor or an array (from a gradient rule); TypeError, naming the argument, otherwise."""
    if isinstance(x, Tensor) or (hasattr(x, "dtype") and hasattr(x, "ndim")):
        return x
    raise TypeError(f"{name}(): argument '{argument}' must be Tensor, not {type(x).__name__}")


def only_tensors(name: str, **operands: Any) -> None:
    """TypeError, naming the argument, for Python numbers given where PyTorch takes tensors only."""
    for argument, x in operands.items():
        if not isinstance(x, Tensor):
            as_tensor_or_array(name, argument, x)


def refuse_kinds(name: str, kinds: str, *operands: Any) -> None:
    """NotImplementedError (a RuntimeError) for a tensor of a type on which the operator makes no sense (``kinds`` as
    NumPy names them)."""
    for x in operands:
        array = raw(x)
        if hasattr(array, "dtype") and array.dtype.kind in kinds:
            what = dtypes.from_numpy_dtype(array.dtype).name
            raise NotImplementedError(f"{name}(): not implemented for {what}; convert first, for example with .float()")


def numpy_dtype(d: Any) -> Any:
    """The NumPy type of an optional ``dtype=`` argument."""
    return None if d is None else dtypes.as_dtype(d).numpy


def normalize_dim(dim: Any, ndim: int, name: str) -> int:
    """An axis number in ``range(ndim)``; negative ones count from the end. IndexError outside, as in PyTorch."""
    try:
        dim = operator.index(dim)
    except TypeError:
        raise TypeError(f"{name}(): dim must be an int, not {type(dim).__name__}") from None
    bound = max(ndim, 1)
    if not -bound <= dim < bound:
        raise IndexError(
            f"{name}(): Dimension out of range (expected to be in range of [{-bound}, {bound - 1}], but got {dim})"
        )
    return dim % bound


def normalize_dims(dim: Any, ndim: int, name: str) -> tuple[int, ...]:
    """Axis numbers from ``dim``: an int, a sequence of ints, or None for all. RuntimeError for one named twice."""
    if dim is None:
        return tuple(range(ndim))
    if not isinstance(dim, (tuple, list)):
        dim = (dim,)
    dims = tuple(normalize_dim(d, ndim, name) for d in dim)
    if len(set(dims)) != len(dims):
        raise RuntimeError(f"{name}(): a dim appears multiple times in the list of dims {tuple(dim)}")
    return dims if ndim else ()


def is_channels_last(x: Any) -> bool:
    """Whether (N, C, L), (N, C, H, W) or (N, C, D, H, W) lies dense in memory with the channels innermost."""
    return x.ndim in (3, 4, 5) and x.transpose(0, *range(2, x.ndim), 1).flags.c_contiguous


def row_major(x: Any) -> Any:
    """``x`` in row-major order, copied if need be, so that its result can be viewed as PyTorch's can; pictures with the
    channels innermost stay as they are, for the sake of speed."""
    return x if x.flags.c_contiguous or is_channels_last(x) else namespace(x).ascontiguousarray(x)


def element(value: Any, numpy_dtype: Any) -> Any:
    """A Python number as a NumPy scalar of a type; one too large for it wraps around."""
    return np.asarray(value).astype(numpy_dtype)[()]


def ints(sizes: tuple) -> tuple[int, ...]:
    """Sizes given as ``f(2, 3)`` or ``f((2, 3))``, as a tuple of ints."""
    if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
        sizes = tuple(sizes[0])
    return tuple(operator.index(n) for n in sizes)


def broadcast_shapes(name: str, *operands: Any) -> tuple[int, ...]:
    """The common shape of operands; RuntimeError that names the dimension that clashes, both sizes and both shapes."""
    shapes = [tuple(x.shape) for x in operands if hasattr(x, "shape")]
    ndim = max((len(s) for s in shapes), default=0)
    result: list[int] = []
    for axis in range(-ndim, 0):
        size = 1
        for shape in shapes:
            n = shape[axis] if -axis <= len(shape) else 1
            if n != 1 and size not in (1, n):
                raise RuntimeError(
                    f"{name}: The size of tensor a ({size}) must match the size of tensor b ({n}) at non-singleton "
                    f"dimension {ndim + axis}: shapes {' and '.join(str(list(s)) for s in shapes)} cannot be broadcast"
                )
            size = n if n != 1 else size
        result.append(size)
    return tuple(result)
