"""What an optimiser keeps for each parameter."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from minidl import creation, dtypes
from minidl.inspect.calls import tensors_in
from minidl.tensor import Tensor


def small() -> Tensor:
    """A parameter with a gradient, to try an optimiser on, where the current backend computes."""
    parameter = creation.zeros(64, dtype=dtypes.float32).requires_grad_()
    parameter.grad = creation.ones_like(parameter)
    return parameter


def state_bytes(optimizer: Any, sizes: Iterable[int] | None = None) -> int:
    """Bytes that an optimiser keeps: of one that has stepped, what it has; of another, what it will have after its first step,
    found by a step of a copy on a small parameter. (L-BFGS's history grows beyond that.)

    ``sizes``: the bytes of the parameters; None for the optimiser's own, group by group.
    """
    if sizes is None and optimizer.state:
        return sum(value.nbytes for value in tensors_in(list(optimizer.state.values())))
    twin = copy.copy(optimizer)
    twin._before_step, twin._after_step, twin.state = [], [], defaultdict(dict)
    total = 0
    for group in optimizer.param_groups:
        tried = small()
        twin.param_groups = [{**group, "params": [tried]}]
        type(optimizer).step(twin, lambda: creation.zeros(()))
        values = list(tensors_in(twin.state[tried]))
        arrays = sum(value.shape == tried.shape for value in values)
        counters = sum(value.nbytes for value in values if value.shape != tried.shape)
        given = [p.nbytes for p in group["params"] if p.requires_grad] if sizes is None else sizes
        total += sum(arrays * n + counters for n in given)
    return total
