"""What can go wrong on a GPU, told at the operator's door: operands on two devices, and memory that is full.

Nothing is checked before a GPU is first used.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

import numpy as np

from minidl import backends
from minidl.autograd import tape


def guard(operator: tape.Operator, phase: str, rule: Any, arrays: tuple) -> Any:
    """``rule(*arrays)``, all on one device. As in PyTorch, a single number may come from the CPU.

    Raises:
        RuntimeError: the operands are on several devices; names them.
        OutOfMemoryError: the GPU's memory is full; says what would help.
    """
    if phase == "forward" and operator.name != "Move":
        arrays = _on_one_device(operator, arrays)
    try:
        return rule(*arrays)
    except Exception as error:
        if type(error).__name__ != "OutOfMemoryError" or isinstance(error, backends.OutOfMemoryError):
            raise
        raise backends.OutOfMemoryError(
            f"CUDA out of memory in {operator.name}, {phase}: {error}. Make the batch smaller, compute without gradients "
            "under minidl.no_grad(), keep fewer values with minidl.utils.checkpoint, use float16, or let go of tensors (del)."
        ) from error


def _on_one_device(operator: tape.Operator, arrays: tuple) -> tuple:
    if {_kind(type(a)) for a in arrays} >= {"cpu", "cuda"}:
        arrays = _with_numbers_moved(arrays, _places(arrays))
        places = _places(arrays)
        if len(set(places.values())) > 1:
            raise RuntimeError(_complaint(operator, arrays, places))
    return arrays


@functools.cache
def _kind(cls: type) -> str:
    """Where arrays of a type are; empty for what is no array. Asked at every call, so by type."""
    if cls.__module__.partition(".")[0] == "cupy":
        return "cuda"
    return "cpu" if issubclass(cls, np.ndarray) else ""


def _places(arrays: tuple) -> dict[int, backends.device]:
    """The device of each argument that is an array."""
    found = {i: a for i, a in enumerate(arrays) if isinstance(a, np.ndarray) or backends.namespace(a) is not np}
    return {i: backends.device_of(a) for i, a in found.items()}


def _with_numbers_moved(arrays: tuple, places: dict[int, backends.device]) -> tuple:
    target = next(d for d in places.values() if d.type == "cuda")
    xp = backends.namespace_for(target)
    return tuple([xp.asarray(a) if isinstance(a, np.ndarray) and not a.ndim else a for a in arrays])


def _complaint(operator: tape.Operator, arrays: tuple, places: dict[int, backends.device]) -> str:
    names = list(inspect.signature(operator.forward).parameters)
    described = [
        f"{names[i] if i < len(names) else f'argument {i}'} {tuple(arrays[i].shape)} on {place}"
        for i, place in places.items()
    ]
    return (
        "Expected all tensors to be on the same device, but found at least two devices, "
        f"{' and '.join(sorted({str(p) for p in places.values()}))}: {operator.name} got {', '.join(described)}. "
        "Move one of them with .to(device); a whole model with module.to(device)."
    )


def watch() -> None:
    """From now on every operator checks its operands."""
    if guard not in tape._around:
        tape._around.append(guard)


backends._on_cuda.append(watch)
