"""Saving and loading: tensors, and nested containers of them, in one safetensors file. Never pickle.

A file holds the tensors by name. What :func:`save` wrote also holds the structure around them, as JSON in the file's
metadata: a Tensor stands there as ``{"tensor": name}``, a dict as ``{"dict": [[key, value], …]}``, a list or tuple as
``{"list": […]}`` or ``{"tuple": […]}``, and numbers, strings, bools and None as themselves. A file without that
structure, from :func:`save_file` or from elsewhere, is a plain dict of tensors.

Reading such a file runs none of its content. Files are written whole or not at all.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minidl import dtypes
from minidl.tensor import Tensor, wrap
from minidl.utils.files import atomic_write
from minidl_kernels.installing import how_to_install

__all__ = ["load", "load_file", "load_metadata", "save", "save_file"]

_STRUCTURE = "minidl.structure"

# The format's names of element types; those that minidl has.
_TYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}


def save(obj: Any, path: str | os.PathLike) -> None:
    """Write ``obj`` to ``path``: Tensors, numbers, strings, bools, None, in dicts, lists and tuples, nested at will.

    A Tensor that stands in several places is stored once, and is one Tensor again after loading.

    Raises:
        TypeError: something else is in it; the message says where.
        ValueError: a container contains itself.
        OSError: the file cannot be written; an older file at ``path`` is then still whole.
    """
    writer = _Writer()
    structure = writer.structure(obj, ())
    _write(path, writer.arrays, {_STRUCTURE: json.dumps(structure)})


def load(path: str | os.PathLike) -> Any:
    """What :func:`save` wrote to ``path``; of any other safetensors file, the dict of its tensors.

    Raises:
        FileNotFoundError: there is no such file.
        RuntimeError: it is no safetensors file, or is damaged; the message says what is wrong.
    """
    arrays, metadata = _read(path)
    tensors = {name: wrap(array) for name, array in arrays.items()}
    if _STRUCTURE not in metadata:
        return tensors
    try:
        return _rebuild(json.loads(metadata[_STRUCTURE]), tensors)
    except (LookupError, TypeError, ValueError, RecursionError) as error:
        raise RuntimeError(f"{path} is damaged: its structure cannot be read ({error!r})") from None


def save_file(tensors: Mapping[str, Any], path: str | os.PathLike, metadata: dict[str, str] | None = None) -> None:
    """Write a dict of Tensors (or arrays) by name, such as a state dict, for any program that reads safetensors.

    TypeError for what is no Tensor; ``metadata`` is text by name.
    """
    if not isinstance(tensors, Mapping):
        raise TypeError(f"save_file takes a dict of Tensors by name, not {type(tensors).__name__}; save() takes others")
    arrays = {}
    for name, value in tensors.items():
        if not isinstance(name, str):
            raise TypeError(f"save_file: names must be strings, but got {name!r}")
        if not isinstance(value, (Tensor, np.ndarray)):
            raise TypeError(f"save_file: {name!r} must be a Tensor, but is {type(value).__name__}; save() takes others")
        arrays[name] = _array(value)
    _write(path, arrays, metadata)


def load_file(path: str | os.PathLike) -> dict[str, Tensor]:
    """The tensors of a safetensors file by name. Errors as :func:`load`."""
    return {name: wrap(array) for name, array in _read(path)[0].items()}


def load_metadata(path: str | os.PathLike) -> dict[str, str]:
    """The text by name that :func:`save_file` was given beside the tensors. Errors as :func:`load`."""
    return _read(path)[1]


# ---------------------------------------------------------------------------------------------------------- structure


class _Writer:
    """Takes a nested object apart into its structure and its ``arrays`` by name."""

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}
        self._names: dict[int, str] = {}  # by the Tensor's identity: one that stands twice is stored once
        self._open: set[int] = set()  # the containers we are inside of

    def structure(self, value: Any, where: tuple[str, ...]) -> Any:
        if value is None or isinstance(value, (bool, str, int, float)):
            return value
        if isinstance(value, np.generic):
            return value.item()
        if isinstance(value, (Tensor, np.ndarray)):
            return self._tensor(value, where)
        if not isinstance(value, (Mapping, list, tuple)):
            raise TypeError(
                f"save: {_place(where)} is of type {type(value).__name__}; only Tensors, numbers, strings, bools and "
                "None in dicts, lists and tuples can be saved. Save a module's or an optimizer's state_dict() instead."
            )
        if id(value) in self._open:
            raise ValueError(f"save: {_place(where)} contains itself")
        self._open.add(id(value))
        try:
            return self._container(value, where)
        finally:
            self._open.remove(id(value))

    def _container(self, value: Any, where: tuple[str, ...]) -> dict[str, Any]:
        if isinstance(value, Mapping):
            for key in value:
                if not (key is None or isinstance(key, (bool, str, int, float))):
                    raise TypeError(
                        f"save: a key of {_place(where)} is of type {type(key).__name__}; keys must be strings or "
                        "numbers"
                    )
            return {"dict": [[key, self.structure(item, (*where, str(key)))] for key, item in value.items()]}
        items = [self.structure(item, (*where, str(i))) for i, item in enumerate(value)]
        return {"list" if isinstance(value, list) else "tuple": items}

    def _tensor(self, value: Any, where: tuple[str, ...]) -> dict[str, Any]:
        name = self._names.get(id(value))
        if name is None:
            name = self._names[id(value)] = next(n for n in _candidates(".".join(where)) if n not in self.arrays)
            self.arrays[name] = _array(value)
        leaf = isinstance(value, Tensor) and value.is_leaf and value.requires_grad
        return {"tensor": name, "requires_grad": True} if leaf else {"tensor": name}


def _candidates(path: str) -> Iterator[str]:
    """Names for a tensor, the plain one first: ``{"a.b": …}`` and ``{"a": {"b": …}}`` may meet in one file."""
    if path not in ("", "__metadata__"):
        yield path
    number = 1
    while True:
        number += 1
        yield f"{path or 'tensor'}#{number}"


def _place(where: tuple[str, ...]) -> str:
    return f"the value at {'.'.join(where)!r}" if where else "the object"


def _rebuild(structure: Any, tensors: dict[str, Tensor]) -> Any:
    """The object that a structure describes; LookupError or ValueError if it is none that :class:`_Writer` makes."""
    if not isinstance(structure, dict):
        if isinstance(structure, list):
            raise ValueError("a bare list")
        return structure
    if "tensor" in structure:
        tensor = tensors[structure["tensor"]]
        return tensor.requires_grad_() if structure.get("requires_grad") is True else tensor
    ((kind, items),) = structure.items()
    if kind == "dict":
        return {key: _rebuild(value, tensors) for key, value in items}
    if kind == "list":
        return [_rebuild(value, tensors) for value in items]
    if kind == "tuple":
        return tuple(_rebuild(value, tensors) for value in items)
    raise ValueError(f"unknown kind {kind!r}")


# -------------------------------------------------------------------------------------------------------------- files


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError:
        raise ImportError(f"saving and loading need the package safetensors: {how_to_install('safetensors')}") from None
    return safetensors


def _array(value: Any) -> np.ndarray:
    """The values as the format keeps them: on the CPU, in row-major order, in one of minidl's types."""
    array = value._data if isinstance(value, Tensor) else value
    array = array.get() if hasattr(array, "get") else array
    return np.ascontiguousarray(array, dtype=dtypes.from_numpy_dtype(array.dtype).numpy).reshape(array.shape)


def _write(path: str | os.PathLike, arrays: dict[str, np.ndarray], metadata: dict[str, str] | None) -> None:
    content = _safetensors().numpy.save(arrays, metadata)
    with atomic_write(path) as file:
        file.write(content)


def _read(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays, and the metadata, of a safetensors file whose header the library has found right."""
    library = _safetensors()
    if not Path(path).exists():
        raise FileNotFoundError(f"there is no file {path}")
    if Path(path).is_dir():
        raise RuntimeError(f"{path} is a folder, not a safetensors file")
    content = Path(path).read_bytes()
    try:
        entries = dict(library.deserialize(content))
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        arrays = {name: _decode(entries[name], name) for name in header if name in entries}  # in the file's order
    except (library.SafetensorError, ValueError, OverflowError, RecursionError) as error:
        raise RuntimeError(
            f"{path} is not a safetensors file, or is damaged or cut short ({len(content):,} bytes): {error}"
        ) from None
    return arrays, header.get("__metadata__") or {}


def _decode(entry: dict[str, Any], name: str) -> np.ndarray:
    kind = _TYPES.get(entry["dtype"])
    found = (
        dtypes.bfloat16_or_none()
        if kind == "bfloat16"
        else kind and getattr(dtypes, "bool_" if kind == "bool" else kind)
    )
    if not found:
        hint = f" without the package ml_dtypes ({how_to_install('ml_dtypes')})" if kind else ""
        raise ValueError(f"tensor {name!r} has type {entry['dtype']}, which minidl does not have{hint}")
    return np.frombuffer(entry["data"], found.numpy).reshape(entry["shape"]).copy()
