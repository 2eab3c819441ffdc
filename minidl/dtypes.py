"""Element types, and PyTorch's rules for combining them.

A :class:`dtype` is a name for a NumPy element type that prints and compares as PyTorch's does. ``bfloat16`` is there
when the package ``ml_dtypes`` is installed.
"""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np


class dtype:
    """An element type: its ``name``, its NumPy counterpart ``numpy``, its size in bytes and its category.

    Categories are ordered bool < integer < floating: a higher category wins over a lower one whatever its width, and
    within a category the wider type wins (PyTorch, "Tensor attributes: type promotion").
    """

    __slots__ = ("category", "is_floating_point", "itemsize", "name", "numpy")

    BOOL, INTEGER, FLOATING = range(3)
    is_complex = False

    def __init__(self, name: str, numpy_type: Any, category: int) -> None:
        self.name = name
        self.numpy = np.dtype(numpy_type)
        self.category = category
        self.is_floating_point = category == dtype.FLOATING
        self.itemsize = self.numpy.itemsize

    @property
    def is_signed(self) -> bool:
        return self.name not in ("uint8", "bool")

    def __repr__(self) -> str:
        return f"minidl.{self.name}"

    def __reduce__(self):
        return named, (self.name,)


float16 = dtype("float16", np.float16, dtype.FLOATING)
float32 = dtype("float32", np.float32, dtype.FLOATING)
float64 = dtype("float64", np.float64, dtype.FLOATING)
uint8 = dtype("uint8", np.uint8, dtype.INTEGER)
int8 = dtype("int8", np.int8, dtype.INTEGER)
int16 = dtype("int16", np.int16, dtype.INTEGER)
int32 = dtype("int32", np.int32, dtype.INTEGER)
int64 = dtype("int64", np.int64, dtype.INTEGER)
bool_ = dtype("bool", np.bool_, dtype.BOOL)

_BY_NUMPY: dict[np.dtype, dtype] = {
    d.numpy: d for d in (float16, float32, float64, uint8, int8, int16, int32, int64, bool_)
}
_BY_PYTHON = {bool: bool_, int: int64, float: float64}
_default = float32


def bfloat16_or_none() -> dtype | None:
    """The type bfloat16, or None without ``ml_dtypes`` (imported on first need: few programs use it)."""
    for known in _BY_NUMPY.values():
        if known.name == "bfloat16":
            return known
    try:
        import ml_dtypes
    except ImportError:
        return None
    found = dtype("bfloat16", ml_dtypes.bfloat16, dtype.FLOATING)
    _BY_NUMPY[found.numpy] = found
    return found


def named(name: str) -> dtype:
    """The type of this name, such as "float16"."""
    if name == "bfloat16":
        bfloat16_or_none()
    return next(d for d in _BY_NUMPY.values() if d.name == name)


def from_numpy_dtype(numpy_dtype: np.dtype) -> dtype:
    """The minidl type of a NumPy element type. TypeError for one that minidl does not have (complex, object, …)."""
    found = _BY_NUMPY.get(numpy_dtype)
    if found is None and numpy_dtype.name == "bfloat16":
        found = bfloat16_or_none()
    if found is None and numpy_dtype.newbyteorder("=") in _BY_NUMPY:
        found = _BY_NUMPY[numpy_dtype.newbyteorder("=")]
    if found is None:
        names = ", ".join(d.name for d in _BY_NUMPY.values())
        raise TypeError(f"minidl has no element type for NumPy's {numpy_dtype}; convert to one of: {names}")
    return found


def as_dtype(value: Any) -> dtype:
    """``value`` (a minidl dtype, a Python type, a NumPy type) as a minidl dtype."""
    if isinstance(value, dtype):
        return value
    if isinstance(value, type) and value in _BY_PYTHON:
        return _BY_PYTHON[value]
    try:
        numpy_dtype = np.dtype(value)
    except TypeError:
        raise TypeError(f"dtype must be a minidl dtype such as minidl.float32, got {value!r}") from None
    return from_numpy_dtype(numpy_dtype)


def get_default_dtype() -> dtype:
    """The floating type of new tensors made from Python floats (float32 until changed)."""
    return _default


def set_default_dtype(d: dtype) -> None:
    """Make ``d`` the floating type of new tensors. TypeError unless it is floating."""
    global _default
    if not (isinstance(d, dtype) and d.is_floating_point):
        raise TypeError(f"only floating-point types are supported as the default type, got {d!r}")
    _default = d


def scalar_dtype(value: Any) -> dtype:
    """The type a Python number takes when it becomes a tensor of its own."""
    if isinstance(value, (bool, np.bool_)):
        return bool_
    if isinstance(value, numbers.Integral):
        return int64
    if isinstance(value, numbers.Real):
        return _default
    raise TypeError(f"expected a Tensor or a number, got {type(value).__name__}")


def promote_types(a: dtype, b: dtype) -> dtype:
    """The smallest type that holds both, by PyTorch's table (an integer beside a float takes the float's type)."""
    if a is b:
        return a
    if a.category != b.category:
        return a if a.category > b.category else b
    if "bfloat16" in (a.name, b.name):
        return float64 if float64 in (a, b) else float32
    return from_numpy_dtype(np.promote_types(a.numpy, b.numpy))


def result_dtype(dimensioned: list[dtype], zero_dim: list[dtype], scalars: list[dtype]) -> dtype:
    """PyTorch's result type: operands with dimensions decide; a 0-d tensor, then a Python number, only lifts the
    category."""
    result = None
    for group in (dimensioned, zero_dim, scalars):
        for d in group:
            if group is dimensioned:
                result = d if result is None else promote_types(result, d)
        if group is not dimensioned and group:
            joined = group[0]
            for d in group[1:]:
                joined = promote_types(joined, d)
            if result is None:
                result = joined
            elif joined.category > result.category:
                result = promote_types(result, joined)
    assert result is not None
    return result


def finfo(d: dtype | None = None):
    """Limits of a floating type (the default one): ``eps``, ``min``, ``max``, ``tiny``, ``bits``. TypeError for others."""
    d = _default if d is None else as_dtype(d)
    if not d.is_floating_point:
        raise TypeError(f"finfo() requires a floating point type, got {d}; use iinfo for integers")
    if d.name == "bfloat16":
        import ml_dtypes

        return ml_dtypes.finfo(d.numpy)
    return np.finfo(d.numpy)


def iinfo(d: dtype):
    """Limits of an integer type: ``min``, ``max``, ``bits``. TypeError for others."""
    d = as_dtype(d)
    if d.category != dtype.INTEGER:
        raise TypeError(f"iinfo() requires an integer type, got {d}; use finfo for floating types")
    return np.iinfo(d.numpy)
