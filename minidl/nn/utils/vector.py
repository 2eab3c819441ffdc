"""Parameters as one long vector, and back."""

from __future__ import annotations

import math
from collections.abc import Iterable

from minidl import ops
from minidl.autograd.grad_mode import no_grad
from minidl.tensor import Tensor


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All values in one vector, in the order of the parameters."""
    return ops.cat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Cut a vector into the parameters. TypeError if it is none, ValueError if it has another length."""
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected a Tensor, but got: {type(vec).__name__}")
    parameters = list(parameters)
    sizes = [math.prod(p.shape) for p in parameters]
    if vec.ndim != 1 or vec.shape[0] != sum(sizes):
        raise ValueError(f"the parameters have {sum(sizes)} values, the vector has shape {list(vec.shape)}")
    begin = 0
    with no_grad():
        for parameter, size in zip(parameters, sizes):
            parameter.data = vec.detach()[begin : begin + size].reshape(parameter.shape).clone()  # type: ignore[misc]
            begin += size
