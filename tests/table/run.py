"""How a sample becomes calls of minidl and of PyTorch, and how their results are compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import ml_dtypes
import numpy as np
import torch

import minidl
from minidl.tensor import Tensor, wrap
from tests.table.core import Constant, Op, Sample

NUMPY_TYPES = {"bfloat16": np.dtype(ml_dtypes.bfloat16)}
# Relative and absolute error allowed for values: a few units in the last place, for sums of a few dozen terms.
TOLERANCE = {"float64": 1e-6, "float32": 2e-5, "float16": 6e-3, "bfloat16": 5e-2}


def resolve(root: Any, name: str) -> Callable:
    """The function ``name`` (dotted) of minidl or torch; a property as the function that computes it."""
    for part in name.split("."):
        root = getattr(root, part)
    return root.fget if isinstance(root, property) else root


def numpy_type(dtype: str) -> np.dtype:
    return NUMPY_TYPES.get(dtype) or np.dtype(dtype)


def map_arrays(value: Any, function: Callable[[np.ndarray, bool], Any]) -> Any:
    """``value`` with each array replaced by ``function(array, differentiable)``, inside lists, tuples and dicts too."""
    if isinstance(value, Constant):
        return function(value.array, False)
    if isinstance(value, (np.ndarray, np.generic)):
        return function(np.asarray(value), np.asarray(value).dtype.kind == "f")
    if isinstance(value, (list, tuple)):
        return type(value)(map_arrays(v, function) for v in value)
    if isinstance(value, dict):
        return {k: map_arrays(v, function) for k, v in value.items()}
    return value


def cast(array: np.ndarray, dtype: str | None) -> np.ndarray:
    """A floating sample in another type (integers are scaled so that they are not all 0 or 1); others as they are."""
    if dtype is None or array.dtype.kind != "f" or array.dtype == numpy_type(dtype):
        return array
    if dtype == "bool":
        return array > 0
    target = numpy_type(dtype)
    if target.kind in "iu":
        array = np.nan_to_num(array * 3).clip(-99, 99)
        return (abs(array) if target.kind == "u" else array).astype(target)
    return array.astype(target)


def minidl_arguments(sample: Sample, dtype: str | None = None, grad: bool = False) -> tuple[list, dict, list[Tensor]]:
    """Arguments for minidl, and those among them that require grad."""
    leaves: list[Tensor] = []

    def convert(array: np.ndarray, differentiable: bool) -> Tensor:
        tensor = wrap(cast(array, dtype))
        if grad and differentiable:
            tensor.requires_grad_()
            leaves.append(tensor)
        return tensor

    args, kwargs = map_arrays(list(sample.args), convert), map_arrays(sample.kwargs, convert)
    return map_dtypes(args, minidl), map_dtypes(kwargs, minidl), leaves


def torch_arguments(sample: Sample, dtype: str | None = None, grad: bool = False) -> tuple[list, dict, list]:
    """Arguments for PyTorch, and those among them that require grad."""
    leaves: list[torch.Tensor] = []

    def convert(array: np.ndarray, differentiable: bool) -> torch.Tensor:
        tensor = to_torch(cast(array, dtype))
        if grad and differentiable:
            tensor.requires_grad_()
            leaves.append(tensor)
        return tensor

    args, kwargs = map_arrays(list(sample.args), convert), map_arrays(sample.kwargs, convert)
    return map_dtypes(args, torch), map_dtypes(kwargs, torch), leaves


class DType(str):
    """An element type among a sample's arguments, by name."""


def map_dtypes(value: Any, library: Any) -> Any:
    if isinstance(value, DType):
        return getattr(library, value)
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return type(value)(map_dtypes(v, library) for v in value)
    if isinstance(value, dict):
        return {k: map_dtypes(v, library) for k, v in value.items()}
    return value


def to_torch(array: np.ndarray) -> torch.Tensor:
    array = np.array(array, order="C")
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.astype(np.float32)).to(torch.bfloat16)
    return torch.from_numpy(array)


def to_numpy(value: Any) -> np.ndarray:
    """The values of a minidl or PyTorch tensor, bfloat16 as float32."""
    if isinstance(value, torch.Tensor):
        value = value.detach()
        return (value.float() if value.dtype is torch.bfloat16 else value).numpy(force=True)
    array = value._data
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def outputs_of(result: Any) -> Iterator[Any]:
    """The tensors in a result, in order; numbers and other plain values too."""
    if isinstance(result, (list, tuple)) and not isinstance(result, torch.Size):
        for item in result:
            yield from outputs_of(item)
    else:
        yield result


def is_tensor(value: Any) -> bool:
    return isinstance(value, (Tensor, torch.Tensor))


def dtype_name(value: Any) -> str:
    return str(value.dtype).rpartition(".")[2]


def call_torch(op: Op, args: list, kwargs: dict) -> Any:
    return (op.torch or resolve(torch, op.name))(*args, **kwargs)


def assert_same(op: Op, ours: Any, theirs: Any, tolerance: float, what: str = "") -> None:
    """Results of both libraries agree: number, shape, type and values."""
    ours, theirs = list(outputs_of(ours)), list(outputs_of(theirs))
    assert len(ours) == len(theirs), f"{what}: {len(ours)} results, PyTorch gives {len(theirs)}"
    for position, (y, expected) in enumerate(zip(ours, theirs)):
        where = f"{what} result {position}"
        if not is_tensor(expected):
            plain = tuple(expected) if isinstance(expected, torch.Size) else expected
            assert y == plain or str(y).rpartition(".")[2] == str(plain).rpartition(".")[2], (
                f"{where}: {y!r} != {plain!r}"
            )
            continue
        assert is_tensor(y), f"{where}: {type(y).__name__} instead of a Tensor"
        assert y.shape == tuple(expected.shape), f"{where}: shape {y.shape}, PyTorch {tuple(expected.shape)}"
        assert dtype_name(y) == dtype_name(expected), f"{where}: dtype {y.dtype}, PyTorch {expected.dtype}"
        if op.compare == "values":
            np.testing.assert_allclose(
                to_numpy(y), to_numpy(expected), rtol=tolerance, atol=tolerance, equal_nan=True, err_msg=where
            )
