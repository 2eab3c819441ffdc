"""Methods of a Tensor that are no operators: looking at it, turning it into Python's and NumPy's values, copying it."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from minidl import backends, dtypes
from minidl.autograd.layout import address_of, layout_of
from minidl.ops.common import as_tensor_or_array, normalize_dim
from minidl.ops.conversion import to
from minidl.tensor import Tensor, wrap

__all__ = [
    "can_cast",
    "conj",
    "from_dlpack",
    "get_device",
    "imag",
    "is_complex",
    "is_floating_point",
    "is_nonzero",
    "is_same_size",
    "is_signed",
    "is_tensor",
    "numel",
    "real",
    "result_type",
]

METHODS = [
    "__array__",
    "__array_wrap__",
    "__bool__",
    "__complex__",
    "__contains__",
    "__deepcopy__",
    "__delitem__",
    "__dlpack__",
    "__dlpack_device__",
    "__float__",
    "__format__",
    "__index__",
    "__int__",
    "__iter__",
    "__len__",
    "__pos__",
    "__reduce__",
    "__reversed__",
    "conj",
    "data",
    "data_ptr",
    "detach_",
    "dim",
    "element_size",
    "get_device",
    "is_complex",
    "is_contiguous",
    "is_cpu",
    "is_floating_point",
    "is_nonzero",
    "is_same_size",
    "is_signed",
    "item",
    "ndimension",
    "nelement",
    "numel",
    "numpy",
    "output_nr",
    "requires_grad_",
    "retains_grad",
    "size",
    "storage_offset",
    "stride",
    "tolist",
    "type",
]
INPLACE: list[str] = []
PROPERTIES = ["imag", "real"]


# ----------------------------------------------------------------------------------------------------- to Python, NumPy


def item(self: Tensor) -> Any:
    """The only value, as a Python number. RuntimeError unless there is exactly one."""
    array = self._data
    if array.size != 1:
        raise RuntimeError(
            f"a Tensor with {array.size} elements cannot be converted to Scalar (shape {self.shape}): reduce it, or "
            "take one element by its index"
        )
    return float(array.reshape(())[()]) if array.dtype.kind == "V" else array.item()


def tolist(self: Tensor) -> Any:
    """The values in nested lists; a number for a 0-d tensor."""
    array = to(self.detach(), "cpu")._data
    return (array.astype(np.float32) if array.dtype.kind == "V" else array).tolist()


def numpy(self: Tensor, *, force: bool = False) -> np.ndarray:
    """The values as a NumPy array that shares this tensor's memory.

    ``force`` detaches and copies from the GPU as needed. Without it, RuntimeError for a tensor that requires grad and
    TypeError for one on the GPU.
    """
    if force:
        return to(self.detach(), "cpu")._data
    if self.is_cuda:
        raise TypeError(
            f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host "
            "memory first."
        )
    if self.requires_grad:
        raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
    return self._data


def __array__(self: Tensor, dtype: Any = None, copy: bool | None = None) -> np.ndarray:  # noqa: N807
    """What ``numpy.asarray(tensor)`` gives: the tensor's own memory, as :meth:`numpy` does."""
    array = self.numpy()
    return array.astype(dtype or array.dtype, copy=bool(copy)) if copy or dtype is not None else array


def __array_wrap__(self: Tensor, array: Any, context: Any = None, return_scalar: bool = False) -> Tensor:  # noqa: N807
    """NumPy's functions of a tensor give tensors."""
    return wrap(array)


def __dlpack__(self: Tensor, **options: Any) -> Any:  # noqa: N807
    """The memory for another library, which asks for it with its ``from_dlpack``. RuntimeError if it requires grad."""
    if self.requires_grad:
        raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
    return self._data.__dlpack__(**options)


def __dlpack_device__(self: Tensor) -> tuple[int, int]:  # noqa: N807
    return self._data.__dlpack_device__()


def from_dlpack(ext_tensor: Any) -> Tensor:
    """A Tensor that shares the memory of another library's (anything with ``__dlpack__``), on the CPU or the GPU."""
    kind, _ = ext_tensor.__dlpack_device__()
    library = np if kind == 1 else backends.namespace_for(backends.device("cuda"))
    return wrap(library.from_dlpack(ext_tensor))


def __bool__(self: Tensor) -> bool:  # noqa: N807
    if self._data.size != 1:
        count = "no values" if self._data.size == 0 else "more than one value"
        raise RuntimeError(
            f"Boolean value of Tensor with {count} is ambiguous: use .any() or .all() (shape {self.shape})"
        )
    return bool(self._data.item()) if self._data.dtype.kind != "V" else bool(item(self))


def _number(self: Tensor) -> Any:
    """The only value. ValueError, as in PyTorch, unless there is exactly one."""
    if self._data.size != 1:
        raise ValueError(
            f"only one element tensors can be converted to Python scalars, and this one has shape {self.shape}: reduce "
            "it, or take one element by its index"
        )
    return item(self)


def __float__(self: Tensor) -> float:  # noqa: N807
    return float(_number(self))


def __complex__(self: Tensor) -> complex:  # noqa: N807
    return complex(_number(self))


def __int__(self: Tensor) -> int:  # noqa: N807
    return int(_number(self))


def __index__(self: Tensor) -> int:  # noqa: N807
    if self._data.size != 1 or self.dtype.category == dtypes.dtype.FLOATING:
        raise TypeError(
            "only integer tensors of a single element can be converted to an index, and this one is "
            f"{self.dtype} of shape {self.shape}"
        )
    return int(self._data.item())


def is_nonzero(input: Tensor) -> bool:
    """Whether the only value differs from 0. RuntimeError unless there is exactly one."""
    return bool(input)


def __len__(self: Tensor) -> int:  # noqa: N807
    if self.ndim == 0:
        raise TypeError("len() of a 0-d tensor")
    return self.shape[0]


def __iter__(self: Tensor) -> Iterator[Tensor]:  # noqa: N807
    if self.ndim == 0:
        raise TypeError("iteration over a 0-d tensor")
    return iter(self.unbind(0))


def __reversed__(self: Tensor) -> Tensor:  # noqa: N807
    return self.flip(0) if self.ndim else self


def __contains__(self: Tensor, element: Any) -> bool:  # noqa: N807
    if not isinstance(element, (Tensor, int, float, bool)):
        raise RuntimeError(
            f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a {type_name(element)}: use "
            "a Tensor or a number"
        )
    with np.errstate(all="ignore"):
        return bool((self._data == (element._data if isinstance(element, Tensor) else element)).any())


def type_name(value: Any) -> str:
    return value.__class__.__name__


def __format__(self: Tensor, spec: str) -> str:  # noqa: N807
    return format(item(self), spec) if self.ndim == 0 else object.__format__(self, spec)


def __delitem__(self: Tensor, index: Any) -> None:  # noqa: N807
    raise TypeError("Tensor does not support deleting items; select those that stay, as in x[mask]")


def __pos__(self: Tensor) -> Tensor:  # noqa: N807
    return self


# ------------------------------------------------------------------------------------------------------------ copying


def __deepcopy__(self: Tensor, memo: dict) -> Tensor:  # noqa: N807
    """A leaf of its own with the same values, gradient and attributes. RuntimeError for a tensor that was computed."""
    if id(self) in memo:
        return memo[id(self)]
    if not self.is_leaf:
        raise RuntimeError(
            "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol, and this one "
            f"was computed by {self.grad_fn.name}. Use .detach().clone() for its values."  # type: ignore[union-attr]
        )
    twin = _rebuild(self.__class__, self._data.copy(order="K"), self.requires_grad)
    memo[id(self)] = twin
    twin.__dict__.update(copy.deepcopy(self.__dict__, memo))
    if self.grad is not None:
        twin.grad = copy.deepcopy(self.grad, memo)
    return twin


def __reduce__(self: Tensor) -> tuple:  # noqa: N807
    """Pickled (to send it to a worker process): the values and whether they require grad; not the history."""
    return _rebuild, (self.__class__, self._data, self.requires_grad)


def _rebuild(kind: Any, array: Any, requires_grad: bool) -> Tensor:
    tensor = kind.__new__(kind)
    tensor._set(array, requires_grad)
    return tensor


def _get_data(self: Tensor) -> Tensor:
    """The same memory, outside the tape; changing it in place goes unnoticed by backward."""
    return wrap(self._data)


def _set_data(self: Tensor, value: Tensor) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"Variable data has to be a tensor, but got {type_name(value)}")
    if self.requires_grad and not value.dtype.is_floating_point:
        raise RuntimeError(
            f"data set to a tensor that requires gradients must be floating point, and this is {value.dtype}"
        )
    self._data = value._data


data = property(_get_data, _set_data)


def detach_(self: Tensor) -> Tensor:
    """Cut this tensor off what computed it: it becomes a leaf that requires no grad. RuntimeError for a view."""
    if self._view is not None:
        raise RuntimeError("Can't detach views in-place. Use detach() instead, which gives a tensor of its own.")
    self._edge, self._requires_grad = None, False
    return self


def requires_grad_(self: Tensor, requires_grad: bool = True) -> Tensor:
    """Switch recording of what is computed from this leaf on or off. Returns the tensor."""
    if not requires_grad or self.is_leaf:  # what was computed on the tape requires grad already
        self.requires_grad = requires_grad
    return self


# ------------------------------------------------------------------------------------------------------------- looking


def size(self: Tensor, dim: int | None = None) -> Any:
    """The shape, or the length of one dimension."""
    return self.shape if dim is None else self.shape[_a_dim(self, dim, "size")]


def stride(self: Tensor, dim: int | None = None) -> Any:
    """How many elements lie between neighbours along each dimension, or along one."""
    if self._data.size:
        strides = tuple(s // self._data.itemsize for s in self._data.strides)
    else:  # NumPy knows none; PyTorch's are those of row-major order with 1 for each 0
        strides = tuple(math.prod(max(n, 1) for n in self.shape[axis + 1 :]) for axis in range(self.ndim))
    return strides if dim is None else strides[_a_dim(self, dim, "stride")]


def _a_dim(self: Tensor, dim: int, name: str) -> int:
    if self.ndim == 0:
        raise IndexError(f"{name}(): Dimension specified as {dim} but tensor has no dimensions")
    return normalize_dim(dim, self.ndim, name)


def dim(self: Tensor) -> int:
    """The number of dimensions."""
    return self._data.ndim


ndimension = dim


def numel(input: Tensor) -> int:
    """The number of elements."""
    return math.prod(as_tensor_or_array("numel", "input", input).shape)


nelement = numel


def element_size(self: Tensor) -> int:
    """Bytes an element."""
    return self._data.itemsize


def data_ptr(self: Tensor) -> int:
    """The address of the first element."""
    return address_of(self._data)


def storage_offset(self: Tensor) -> int:
    """How many elements into its memory the tensor begins."""
    return layout_of(self._data)[0]


def is_contiguous(self: Tensor, *, memory_format: Any = None) -> bool:
    """Whether the elements lie in memory in row-major order, without gaps."""
    return self._data.flags.c_contiguous


def is_same_size(self: Tensor, other: Tensor) -> bool:
    """Whether the shapes are equal."""
    return self.shape == other.shape


def is_tensor(obj: Any) -> bool:
    """Whether ``obj`` is a Tensor."""
    return isinstance(obj, Tensor)


def is_floating_point(input: Tensor) -> bool:
    """Whether the element type is floating."""
    return as_tensor_or_array("is_floating_point", "input", input).dtype.is_floating_point


def conj(input: Tensor) -> Tensor:
    """The complex conjugate: of real numbers, ``input`` itself."""
    return as_tensor_or_array("conj", "input", input)


def real(input: Tensor) -> Tensor:
    """The real part: of real numbers, ``input`` itself."""
    return as_tensor_or_array("real", "input", input)


def imag(input: Tensor) -> Tensor:
    """RuntimeError: minidl has no complex types, and PyTorch gives no imaginary part of real ones."""
    raise RuntimeError(f"imag is not implemented for tensors with non-complex dtypes, and this one is {input.dtype}.")


def is_complex(input: Tensor) -> bool:
    """False: minidl has no complex types."""
    return as_tensor_or_array("is_complex", "input", input).dtype.is_complex


def result_type(tensor1: Any, tensor2: Any) -> dtypes.dtype:
    """The type of an arithmetic operation of two tensors, or of a tensor and a number."""
    dimensioned, zero_dim, scalars = [], [], []
    for value in (tensor1, tensor2):
        if isinstance(value, Tensor):
            (dimensioned if value.ndim else zero_dim).append(value.dtype)
        else:
            scalars.append(dtypes.scalar_dtype(value))
    return dtypes.result_dtype(dimensioned, zero_dim, scalars)


def can_cast(from_: dtypes.dtype, to: dtypes.dtype) -> bool:
    """Whether values of one type may be converted to the other in place: not from floating to whole, nor to bool."""
    return from_.category <= to.category


def is_signed(self: Tensor) -> bool:
    """Whether the element type has negative values."""
    return self.dtype.is_signed


def get_device(self: Tensor) -> int:
    """The number of the GPU; -1 for the CPU."""
    return (self.device.index or 0) if self.is_cuda else -1


is_cpu = property(lambda self: not self.is_cuda, doc="Whether the tensor is on the CPU.")
retains_grad = property(
    lambda self: not self.is_leaf and bool(self.__dict__.get("_retains_grad")),
    doc="Whether an inner tensor keeps its gradient.",
)
output_nr = property(
    lambda self: 0 if self.edge() is None else self.edge()[1],
    doc="Which output of its ``grad_fn`` the tensor is.",
)


# PyTorch's old names of element types.
_TYPE_NAMES = {
    "float16": "HalfTensor",
    "bfloat16": "BFloat16Tensor",
    "float32": "FloatTensor",
    "float64": "DoubleTensor",
    "uint8": "ByteTensor",
    "int8": "CharTensor",
    "int16": "ShortTensor",
    "int32": "IntTensor",
    "int64": "LongTensor",
    "bool": "BoolTensor",
}


def type(self: Tensor, dtype: Any = None, non_blocking: bool = False) -> Any:
    """The name of the tensor's type, such as ``"minidl.FloatTensor"``; with ``dtype`` (or such a name), the tensor in
    that type."""
    place = "minidl.cuda." if self.is_cuda else "minidl."
    if dtype is None:
        return place + _TYPE_NAMES[self.dtype.name]
    if isinstance(dtype, str):
        name = dtype.rpartition(".")[2]
        found = next((d for d, old in _TYPE_NAMES.items() if old == name), None)
        if found is None:
            raise ValueError(f"invalid type: {dtype!r}; the types are {', '.join(_TYPE_NAMES.values())}")
        dtype = dtypes.named(found)
    return to(self, dtype)
