"""What an optimiser keeps for each parameter."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from minidl import creation, dtypes
from minidl.tensor import Tensor


def small() -> Tensor:
    """A parameter with a gradient, to try an optimiser on, where the current backend computes."""
    parameter = creation.zeros(64, dtype=dtypes.float32).requires_grad_()
    parameter.grad = creation.ones_like(parameter)
    return parameter


def state_bytes(optimizer: Any, sizes: Iterable[int] | None = None) -> int:
    """Bytes that an optimiser keeps once it has stepped, found by a step of a copy on a small parameter.

    ``sizes``: the bytes of the parameters; None for the optimiser's own, group by group.
    """
    twin = copy.copy(optimizer)
    twin._before_step, twin._after_step, twin.state = [], [], defaultdict(dict)
    total = 0
    for group in optimizer.param_groups:
        tried = small()
        twin.param_groups = [{**group, "params": [tried]}]
        type(optimizer).step(twin)
        values = [value for value in twin.state[tried].values() if isinstance(value, Tensor)]
        arrays = sum(value.shape == tried.shape for value in values)
        counters = sum(value.nbytes for value in values if value.shape != tried.shape)
        given = [p.nbytes for p in group["params"] if p.requires_grad] if sizes is None else sizes
        total += sum(arrays * n + counters for n in given)
    return total
