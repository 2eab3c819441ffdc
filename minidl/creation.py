"""Making tensors: from data, or filled with constants and ranges."""

from __future__ import annotations

from typing import Any

from minidl import dtypes
from minidl.backends import namespace_for
from minidl.ops.common import numpy_dtype
from minidl.tensor import Tensor, wrap

__all__ = ["tensor", "zeros"]


def tensor(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A new leaf with a copy of ``data`` (numbers, nested sequences, an array or a Tensor)."""
    xp = namespace_for(device)
    if isinstance(data, Tensor):
        data = data._data
    array = xp.array(data, dtype=numpy_dtype(dtype))
    if dtype is None and not hasattr(data, "dtype") and array.dtype.kind == "f":
        array = array.astype(dtypes.get_default_dtype().numpy)
    result = wrap(array)
    result.requires_grad = requires_grad
    return result


def zeros(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros of shape ``size``."""
    size = size[0] if len(size) == 1 and isinstance(size[0], (tuple, list)) else size
    result = wrap(namespace_for(device).zeros(size, numpy_dtype(dtype) or dtypes.get_default_dtype().numpy))
    result.requires_grad = requires_grad
    return result
