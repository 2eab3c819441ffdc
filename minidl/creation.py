"""Making tensors: from data, or filled with constants and ranges."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from minidl import dtypes
from minidl.backends import namespace, namespace_for
from minidl.ops.common import numpy_dtype
from minidl.ops.conversion import to
from minidl.tensor import Tensor, wrap

__all__ = [
    "arange",
    "as_tensor",
    "asarray",
    "empty",
    "empty_like",
    "eye",
    "from_numpy",
    "full",
    "full_like",
    "linspace",
    "logspace",
    "ones",
    "ones_like",
    "scalar_tensor",
    "tensor",
    "zeros",
    "zeros_like",
]

METHODS = ["new_empty", "new_full", "new_ones", "new_tensor", "new_zeros"]
INPLACE: list[str] = []


# ------------------------------------------------------------------------------------------------------ what they share


def leaf(array: Any, requires_grad: bool) -> Tensor:
    """A new tensor around ``array``, at the start of the tape."""
    result = wrap(array)
    if requires_grad:
        result.requires_grad = True
    return result


def shape_of(name: str, sizes: tuple, size: Any = None) -> tuple[int, ...]:
    """The shape given as ``f(2, 3)``, ``f((2, 3))`` or ``f(size=(2, 3))``.

    TypeError for what is no tuple of ints, RuntimeError for a negative size.
    """
    if size is not None:
        sizes = (size,)
    elif not sizes:
        raise TypeError(f'{name}() missing 1 required positional arguments: "size"')
    if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
        sizes = tuple(sizes[0])
    try:
        shape = tuple([operator.index(n) for n in sizes])
    except TypeError:
        wrong = next(type(n).__name__ for n in sizes if not hasattr(n, "__index__"))
        raise TypeError(f"{name}(): argument 'size' must be tuple of ints, not {wrong}: {sizes}") from None
    if shape and min(shape) < 0:
        raise RuntimeError(f"{name}: Trying to create tensor with negative dimension {min(shape)}: {list(shape)}")
    return shape


def floating(dtype: Any) -> np.dtype:
    """The NumPy type of ``dtype``, the default floating type if that is None."""
    return numpy_dtype(dtype) or dtypes.get_default_dtype().numpy


def like(name: str, input: Any, dtype: Any, device: Any) -> tuple[Any, tuple[int, ...], np.dtype]:
    """Array library, shape and element type of a tensor like ``input``."""
    if not isinstance(input, Tensor):
        raise TypeError(f"{name}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    xp = namespace(input._data) if device is None else namespace_for(device)
    return xp, input.shape, numpy_dtype(dtype) or input._data.dtype


def number(value: Any) -> Any:
    """A number, out of a 0-d Tensor if need be."""
    return value._data.item() if isinstance(value, Tensor) else value


# ------------------------------------------------------------------------------------------------------------ from data


def tensor(
    data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False
) -> Tensor:
    """A new leaf with a copy of ``data``: a number, nested sequences of numbers, an array or a Tensor.

    Without ``dtype`` Python floats get the default type, ints int64, bools bool; arrays and tensors keep theirs.

    Raises:
        ValueError: sequences of different lengths side by side; an integer beyond 64 bits.
        TypeError, RuntimeError: data that are no numbers; RuntimeError also for values that ``dtype`` cannot hold.
    """
    if isinstance(data, Tensor):
        array, xp = data._data, namespace_for(data.device if device is None else device)
        return leaf(
            _converted(array, dtype).copy() if namespace(array) is xp else to(data, device, dtype)._data, requires_grad
        )
    array = _array(data, numpy_dtype(dtype))
    xp = namespace_for(device)
    return leaf(array if xp is np else xp.asarray(array), requires_grad)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """``data`` as a Tensor: itself (on the tape) or sharing its memory if it is a Tensor or an array of this type
    already, a copy otherwise."""
    if isinstance(data, Tensor):
        return to(data, device, dtype)
    if isinstance(data, np.ndarray):
        return to(from_numpy(data), device, dtype)
    if hasattr(data, "__cuda_array_interface__"):
        return to(wrap(data), device, dtype)
    return tensor(data, dtype=dtype, device=device)


def asarray(
    obj: Any, *, dtype: Any = None, device: Any = None, copy: bool | None = None, requires_grad: bool | None = None
) -> Tensor:
    """``obj`` as a Tensor.

    ``copy``: True always copies, False never (ValueError if it must), None where needed. ``requires_grad``: True and
    False make it so (False by detaching), None leaves it as it is.
    """
    result = as_tensor(obj, dtype, device)
    shared = isinstance(obj, Tensor) and result._data is obj._data
    shared = shared or (isinstance(obj, np.ndarray) and isinstance(result._data, np.ndarray) and _shares(result, obj))
    if copy is False and not shared:
        raise ValueError(f"asarray(): a Tensor of this {type(obj).__name__} needs a copy, and copy=False forbids it")
    if copy and shared:
        result = result.clone()
    if requires_grad is False and result.requires_grad:
        return result.detach()
    return result.detach().requires_grad_() if requires_grad and not result.requires_grad else result


def _shares(result: Tensor, array: np.ndarray) -> bool:
    return result._data is array or result._data.base is array


def from_numpy(ndarray: np.ndarray) -> Tensor:
    """A Tensor that shares the memory of a NumPy array.

    TypeError for what is no array or an element type that minidl lacks; ValueError for negative strides.
    """
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    _refuse_array(ndarray)
    return wrap(ndarray)


def _refuse_array(array: np.ndarray) -> None:
    """TypeError or ValueError for an array that no Tensor can hold."""
    dtypes.from_numpy_dtype(array.dtype)
    if any(s < 0 for s in array.strides) and array.size:
        raise ValueError(
            f"At least one stride in the given numpy array is negative ({array.strides}), and tensors with negative "
            "strides are not supported: use array.copy()"
        )
    if not array.dtype.isnative:
        raise ValueError(
            "given numpy array has byte order different from the native byte order: "
            "convert it first, with array.astype(array.dtype.newbyteorder('='))"
        )


def scalar_tensor(s: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A 0-d tensor of the default type (unless ``dtype`` says otherwise)."""
    return full((), s, dtype=floating(dtype), device=device, requires_grad=requires_grad)


def _array(data: Any, target: np.dtype | None) -> np.ndarray:
    """``data``, which is no Tensor, in a NumPy array of its own."""
    if hasattr(data, "dtype"):
        if isinstance(data, np.ndarray):
            _refuse_array(data)
        elif hasattr(data, "get"):  # a CuPy array
            data = data.get()
        return np.array(data, dtype=target or dtypes.from_numpy_dtype(data.dtype).numpy, order="C")
    kinds = _leaf_types(data)
    if any(issubclass(kind, Tensor) for kind in kinds):
        data = _without_tensors(data)
    try:
        array = np.array(data)
    except ValueError:
        _refuse_ragged(data)
        raise
    except OverflowError:
        raise ValueError("tensor(): Overflow when unpacking long long") from None
    _refuse_other_types(array, data, kinds)
    return _converted(array, target) if target is not None else array.astype(_common_type(kinds, array), copy=False)


def _common_type(kinds: set[type], array: np.ndarray) -> np.dtype:
    """What numbers of these types have in common: Python's count as the types that ``tensor`` gives them alone."""
    common = None
    for kind in kinds:
        if kind in (bool, int, float):
            found = dtypes.scalar_dtype(kind())
        elif issubclass(kind, np.generic):
            found = dtypes.from_numpy_dtype(np.dtype(kind))
        else:
            return array.dtype  # arrays and Tensors: NumPy has found it
        common = found if common is None else dtypes.promote_types(common, found)
    return (common or dtypes.get_default_dtype()).numpy


def _leaf_types(data: Any) -> set[type]:
    """The types of the numbers in nested sequences."""
    if not isinstance(data, (list, tuple)):
        return {type(data)} if not isinstance(data, range) else {int}
    kinds = set(map(type, data))
    if kinds.isdisjoint((list, tuple, range)):
        return kinds
    return set().union(*map(_leaf_types, data))


def _without_tensors(data: Any) -> Any:
    """Nested sequences with their Tensors as arrays. ValueError for one with several elements, as in PyTorch."""
    if isinstance(data, (list, tuple)):
        return [_without_tensors(item) for item in data]
    if isinstance(data, Tensor):
        if data._data.size != 1:
            raise ValueError(
                f"only one element tensors can be converted to Python scalars, and one here has shape {data.shape}; "
                "use minidl.stack to join tensors"
            )
        return to(data, "cpu")._data.reshape(())
    return data


def _refuse_ragged(data: Any, path: str = "") -> None:
    """ValueError that says which two neighbours in nested sequences differ in length."""
    if not isinstance(data, (list, tuple)):
        return
    lengths = [len(item) if isinstance(item, (list, tuple, range, np.ndarray)) else None for item in data]
    for position, length in enumerate(lengths):
        if length != lengths[0]:
            first, here = (f"a sequence of {n}" if n is not None else "no sequence" for n in (lengths[0], length))
            expected = f"expected sequence of length {lengths[0]}" if lengths[0] is not None else "expected a number"
            raise (TypeError if None in (length, lengths[0]) else ValueError)(
                f"tensor(): {expected} at dim {path.count('[') + 1} (got "
                f"{length if length is not None else 'a number'}): data{path}[0] is {first}, data{path}[{position}] "
                f"is {here}; every row needs the same length"
            )
    for position, item in enumerate(data):
        _refuse_ragged(item, f"{path}[{position}]")


def _refuse_other_types(array: np.ndarray, data: Any, kinds: set[type]) -> None:
    names = ", ".join(sorted(kind.__name__ for kind in kinds))
    if array.dtype.kind in "US":
        if isinstance(data, (str, bytes)):
            raise TypeError(f"tensor(): invalid data type {names!r}")
        raise ValueError(f"tensor(): too many dimensions {names!r}: the data hold text, not numbers")
    if array.dtype.kind == "u" and array.dtype.itemsize == 8 and kinds <= {int, bool}:
        raise ValueError("tensor(): Overflow when unpacking long long: an integer does not fit in 64 bits")
    if array.dtype == object:
        if kinds <= {int, bool, float}:
            raise ValueError("tensor(): Overflow when unpacking long long: an integer does not fit in 64 bits")
        raise RuntimeError(f"tensor(): Could not infer dtype of {names}")
    dtypes.from_numpy_dtype(array.dtype)


def _converted(array: Any, target: Any) -> Any:
    """``array`` in the type ``target`` (None: its own). RuntimeError where a value has no place in an integer type."""
    target = numpy_dtype(target)
    if target is None or target == array.dtype:
        return array
    if target.kind in "iu" and array.size and array.dtype.kind in "iuf":
        limits = np.iinfo(target)
        low = -limits.max if limits.min == 0 else limits.min  # PyTorch lets -1 be 255
        if not (array.min() >= low and array.max() <= limits.max):
            raise RuntimeError(f"value cannot be converted to type {target.name} without overflow")
    with np.errstate(all="ignore"):
        return array.astype(target)


# ------------------------------------------------------------------------------------------------------------ constants


def zeros(*sizes: Any, size: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros of the shape given as ``zeros(2, 3)`` or ``zeros((2, 3))``."""
    shape = shape_of("zeros", sizes, size)
    return leaf(namespace_for(device).zeros(shape, floating(dtype)), requires_grad)


def ones(*sizes: Any, size: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones of the shape given as ``ones(2, 3)`` or ``ones((2, 3))``."""
    shape = shape_of("ones", sizes, size)
    return leaf(namespace_for(device).ones(shape, floating(dtype)), requires_grad)


def empty(*sizes: Any, size: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Memory of the given shape, holding whatever it held before."""
    shape = shape_of("empty", sizes, size)
    return leaf(namespace_for(device).empty(shape, floating(dtype)), requires_grad)


def full(size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """``fill_value`` everywhere; its type decides the type of the tensor unless ``dtype`` does."""
    if not isinstance(size, (tuple, list)):
        raise TypeError(f"full(): argument 'size' (position 1) must be tuple of ints, not {type(size).__name__}")
    shape = shape_of("full", (), size)
    target = numpy_dtype(dtype)
    if target is None:
        target = (fill_value.dtype if isinstance(fill_value, Tensor) else dtypes.scalar_dtype(fill_value)).numpy
    value = number(fill_value)
    if isinstance(value, float) and target.kind not in "iub":
        with np.errstate(all="ignore"):
            if math.isfinite(value) and not np.isfinite(np.asarray(value).astype(target)):
                raise RuntimeError(f"full: value {value} cannot be converted to type {target.name} without overflow")
    return leaf(_filled(namespace_for(device), shape, value, target), requires_grad)


def _filled(xp: Any, shape: tuple[int, ...], value: Any, target: np.dtype) -> Any:
    return xp.full(shape, _converted(np.asarray(value), target)[()], dtype=target)


def zeros_like(input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros in the shape and type of ``input``."""
    xp, shape, target = like("zeros_like", input, dtype, device)
    return leaf(_ordered(xp.zeros, input, shape, target), requires_grad)


def ones_like(input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones in the shape and type of ``input``."""
    xp, shape, target = like("ones_like", input, dtype, device)
    return leaf(_ordered(xp.ones, input, shape, target), requires_grad)


def empty_like(input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Memory in the shape and type of ``input``, holding whatever it held before."""
    xp, shape, target = like("empty_like", input, dtype, device)
    return leaf(_ordered(xp.empty, input, shape, target), requires_grad)


def full_like(
    input: Tensor, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """``fill_value`` everywhere, in the shape and type of ``input``."""
    result = empty_like(input, dtype=dtype, device=device)
    result._data[...] = _converted(np.asarray(number(fill_value)), result._data.dtype)[()]
    return leaf(result._data, requires_grad)


def _ordered(make: Any, input: Tensor, shape: tuple[int, ...], target: np.dtype) -> Any:
    """``make(shape)`` with the axes in memory in the order of those of ``input``, as PyTorch keeps them."""
    if input._data.flags.c_contiguous:
        return make(shape, target)
    order = sorted(range(len(shape)), key=lambda axis: -abs(input._data.strides[axis]))
    array = make([shape[axis] for axis in order], target)
    return array.transpose(np.argsort(order))


def new_zeros(
    self: Tensor, *sizes: Any, size: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Zeros of another shape, in this tensor's type and on its device."""
    return zeros(*sizes, size=size, **_as_self(self, dtype, device), requires_grad=requires_grad)


def new_ones(
    self: Tensor, *sizes: Any, size: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Ones of another shape, in this tensor's type and on its device."""
    return ones(*sizes, size=size, **_as_self(self, dtype, device), requires_grad=requires_grad)


def new_empty(
    self: Tensor, *sizes: Any, size: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Memory of another shape, in this tensor's type and on its device."""
    return empty(*sizes, size=size, **_as_self(self, dtype, device), requires_grad=requires_grad)


def new_full(
    self: Tensor, size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """``fill_value`` in another shape, in this tensor's type and on its device."""
    return full(size, fill_value, **_as_self(self, dtype, device), requires_grad=requires_grad)


def new_tensor(
    self: Tensor, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A copy of ``data``, in this tensor's type and on its device."""
    where = _as_self(self, dtype, device)
    return tensor(data, dtype=where["dtype"], device=where["device"], requires_grad=requires_grad)


def _as_self(self: Tensor, dtype: Any, device: Any) -> dict[str, Any]:
    return {"dtype": self.dtype if dtype is None else dtype, "device": self.device if device is None else device}


# --------------------------------------------------------------------------------------------------------------- ranges


def arange(*bounds: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False, **named: Any) -> Tensor:
    """``arange(end)``, ``arange(start, end)``, ``arange(start, end, step)``: start, start + step, … below (above, with
    a negative step) ``end``. int64 if all are ints, the default type otherwise.

    RuntimeError for a step of 0, one that leads away from ``end``, or bounds that are not finite.
    """
    start, end, step = (number(b) for b in _bounds(bounds, named))
    if not (math.isfinite(start) and math.isfinite(end)):
        raise RuntimeError(f"arange: unsupported range: {start} -> {end}")
    if step == 0:
        raise RuntimeError("arange: step must be nonzero")
    if (end - start) * step < 0:
        raise RuntimeError(
            f"arange: upper bound and lower bound inconsistent with step sign: from {start} to {end} in steps of {step}"
        )
    target = numpy_dtype(dtype)
    if target is None:
        whole = all(isinstance(b, (int, np.integer)) for b in (start, end, step))
        target = np.dtype(np.int64) if whole else dtypes.get_default_dtype().numpy
    if target == np.int64:
        start, end, step = int(start), int(end), int(step)
        if step == 0:
            raise ValueError("arange: step must be nonzero: it is less than 1, and the type is an integer's")
        values = np.arange(start, end, step)
    else:
        count = max(math.ceil((end - start) / step), 0)
        if target.kind in "iu":  # PyTorch counts the steps first, and only then makes whole numbers of them
            start, step = int(start), int(step)
        values = start + step * np.arange(count, dtype=np.int64 if target.kind in "iu" else np.float64)
    return leaf(namespace_for(device).asarray(values.astype(target)), requires_grad)


def _bounds(bounds: tuple, named: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Start, end and step, however they were given."""
    names = ("end",) if len(bounds) == 1 and "end" not in named else ("start", "end", "step")
    given = dict(zip(names, bounds))
    both = given | named
    if len(bounds) > 3 or given.keys() & named.keys() or both.keys() - {"start", "end", "step"} or "end" not in both:
        raise TypeError(f"arange() takes end, (start, end) or (start, end, step), but got {bounds} and {named}")
    return both.get("start", 0), both["end"], both.get("step", 1)


def linspace(
    start: Any, end: Any, steps: int, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """``steps`` values at equal distances from ``start`` to ``end``, both included."""
    found = floating(dtype)
    values = _evenly("linspace", *_ends(start, end, found), steps)
    return leaf(namespace_for(device).asarray(values.astype(found)), requires_grad)


def logspace(
    start: Any,
    end: Any,
    steps: int,
    base: float = 10.0,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``base`` to the powers ``linspace(start, end, steps)``."""
    found = floating(dtype)
    values = np.power(float(base), _evenly("logspace", *_ends(start, end, found), steps))
    return leaf(namespace_for(device).asarray(values.astype(found)), requires_grad)


def _ends(start: Any, end: Any, numpy_dtype: Any) -> tuple[Any, Any]:
    """Both ends as numbers: whole ones, if integers are asked for."""
    for name, end_tensor in (("start", start), ("end", end)):
        if isinstance(end_tensor, Tensor) and end_tensor.ndim:
            raise RuntimeError(
                f"linspace and logspace only support 0-dimensional start and end tensors, but got {name} of shape "
                f"{tuple(end_tensor.shape)}"
            )
    ends = number(start), number(end)
    return (int(ends[0]), int(ends[1])) if np.dtype(numpy_dtype).kind in "iu" else ends


def _evenly(name: str, start: float, end: float, steps: int) -> np.ndarray:
    """From both ends towards the middle, so that both are met exactly and the values are symmetrical."""
    steps = operator.index(number(steps))
    if steps < 0:
        raise RuntimeError(f"{name}: number of steps must be non-negative, got {steps}")
    if steps == 1:
        return np.array([start], np.float64)
    step = (end - start) / (steps - 1) if steps else 0.0
    i = np.arange(steps)
    return np.where(i < steps // 2, start + step * i, end - step * (steps - 1 - i))


def eye(n: int, m: int | None = None, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """The identity matrix of ``n`` rows and ``m`` (= ``n``) columns."""
    for name, value in (("n", n), ("m", m)):
        if value is not None and operator.index(value) < 0:
            raise RuntimeError(f"eye: {name} must be greater or equal to 0, got {value}")
    return leaf(namespace_for(device).eye(n, m, dtype=floating(dtype)), requires_grad)
