"""Operands on two devices are refused at the operator's door, by name. Nothing is checked before a GPU is first used."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from minidl import backends
from minidl.autograd import tape


def one_device(operator: tape.Operator, phase: str, rule: Any, arrays: tuple) -> Any:
    """``rule(*arrays)``, all on one device. As in PyTorch, a single number may come from the CPU.

    RuntimeError, naming the arguments and their devices, if they are on several.
    """
    if phase == "backward" or operator.name == "Move":
        return rule(*arrays)
    places = {
        i: backends.device_of(a) for i, a in enumerate(arrays) if isinstance(a, np.ndarray) or hasattr(a, "device")
    }
    if len(set(places.values())) > 1:
        arrays = _with_numbers_moved(arrays, places)
        left = {i: backends.device_of(arrays[i]) for i in places}
        if len(set(left.values())) > 1:
            raise RuntimeError(_complaint(operator, arrays, left))
    return rule(*arrays)


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
    if one_device not in tape._around:
        tape._around.append(one_device)


backends._on_cuda.append(watch)
