"""From a list of samples to a batch of Tensors."""

from __future__ import annotations

import copy
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np

import minidl
from minidl.tensor import Tensor, wrap


def default_collate(batch: Sequence) -> Any:
    """Samples of one structure, stacked along a new first axis.

    Tensors and arrays of shape (...) become a Tensor (N, ...), ints an int64 and floats a float64 Tensor (N,); dicts,
    tuples, named tuples and lists are collated entry by entry (a tuple comes back as a list); strings stay a list.
    RuntimeError if shapes or lengths differ, TypeError for a type that has no rule.
    """
    first = batch[0]
    if isinstance(first, Tensor):
        return _stack(batch)
    if isinstance(first, (np.ndarray, np.generic)) and first.dtype.kind in "biufV":
        return _stack([wrap(np.asarray(x)) for x in batch])
    if isinstance(first, float):
        return minidl.tensor(list(batch), dtype=minidl.float64, device="cpu")
    if isinstance(first, int):
        return minidl.tensor(list(batch), device="cpu")
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, Mapping):
        return _rebuilt(first, {key: default_collate([sample[key] for sample in batch]) for key in first})
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*(default_collate(column) for column in zip(*batch)))
    if isinstance(first, Sequence):
        if any(len(sample) != len(first) for sample in batch):
            raise RuntimeError(
                "each element in list of batch should be of equal size, "
                f"but the lengths are {sorted({len(sample) for sample in batch})}"
            )
        columns = [default_collate(column) for column in zip(*batch)]
        return columns if isinstance(first, tuple) else _rebuilt(first, columns)
    raise TypeError(
        "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; "
        f"found {type(first)}. Give the DataLoader a collate_fn that can join them"
    )


def default_convert(data: Any) -> Any:
    """Arrays inside a sample as Tensors, without a batch axis; all else as it is."""
    if isinstance(data, (Tensor, str, bytes)):
        return data
    if isinstance(data, (np.ndarray, np.generic)) and data.dtype.kind in "biufV":
        return wrap(np.asarray(data))
    if isinstance(data, Mapping):
        return _rebuilt(data, {key: default_convert(value) for key, value in data.items()})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(default_convert(value) for value in data))
    if isinstance(data, Sequence):
        values = [default_convert(value) for value in data]
        return values if isinstance(data, tuple) else _rebuilt(data, values)
    return data


def _stack(tensors: Sequence[Tensor]) -> Tensor:
    shapes = {tuple(x.shape) for x in tensors}
    if len(shapes) > 1:
        raise RuntimeError(
            f"stack expects each tensor to be equal size, but a batch has samples of shapes {sorted(shapes)}; "
            "crop or pad them in the data set's transform, or give the DataLoader a collate_fn"
        )
    return minidl.stack(list(tensors))


def _rebuilt(like: Any, values: Any) -> Any:
    """``values`` in a container like ``like``, or as they are where there can be none."""
    try:
        if isinstance(like, MutableMapping):  # a copy keeps what else there is, such as a default
            container = copy.copy(like)
            container.update(values)
            return container
        return type(like)(values)
    except TypeError:
        return values
