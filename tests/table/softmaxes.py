"""Softmax and its relatives."""

from __future__ import annotations

import numpy as np

from tests.table.core import error, op
from tests.table.run import DType


def samples(s):
    yield s.sample("last", s.floats(3, 4), -1)
    yield s.sample("first", s.floats(3, 4), 0)
    yield s.sample("middle", s.floats(2, 5, 3), dim=1)
    yield s.sample("transposed", s.floats(3, 4).T, dim=1)
    yield s.sample("sliced", s.sliced(3, 4), dim=-2)
    yield s.sample("expanded", s.expanded(s.floats(3, 1), 3, 4), dim=1)
    yield s.sample("0d", s.floats(), dim=0)
    yield s.sample("empty rows", s.floats(0, 3), dim=1)
    yield s.sample("empty dim", s.floats(3, 0), dim=1)
    yield s.sample("size 1", s.floats(3, 1), dim=1)
    yield s.sample("dtype", s.constant(s.floats(3, 4)), dim=1, dtype=DType("float32"), order=0)
    yield s.sample("large", s.floats(3, 4) * 1e4, dim=1, order=1)
    yield s.sample("masked", np.where(s.bools(3, 4) & (np.arange(4) > 0), -np.inf, s.floats(3, 4)), dim=1, order=0)
    yield s.sample("all masked", np.full((2, 3), -np.inf), dim=1, order=0)
    for i in range(4):
        shape = tuple(s.rng.integers(1, 5, s.rng.integers(1, 5)))
        yield s.sample(f"random {i}", s.floats(*shape), int(s.rng.integers(-len(shape), len(shape))))


def errors(s):
    yield error("dim", IndexError, "Dimension out of range", s.floats(2, 3), 2)
    yield error("negative dim", IndexError, "Dimension out of range", s.floats(2, 3), -3)
    yield error("ints", RuntimeError, "not implemented", s.ints(2, 3), 1)


def functional_samples(s):
    for shape in ((), (4,), (2, 3), (2, 3, 4), (2, 3, 2, 2)):
        yield s.sample(f"no dim {len(shape)}d", s.floats(*shape))
    yield s.sample("dim", s.floats(3, 4), dim=-1)
    yield s.sample("ints with dtype", s.ints(3, 4), dim=0, dtype=DType("float64"))


def quietly(name):
    """PyTorch's function, given the dimension that it would choose with a warning."""
    import torch

    function = getattr(torch.nn.functional, name)

    def call(input, dim=None, **kwargs):
        return function(input, dim=(0 if input.ndim in (0, 1, 3) else 1) if dim is None else dim, **kwargs)

    return call


for _name in ("softmax", "log_softmax"):
    op(_name, samples, errors=errors)
for _name in ("softmax", "log_softmax", "softmin"):
    op(f"nn.functional.{_name}", functional_samples, torch=quietly(_name))

op(
    "nn.functional.gumbel_softmax",
    lambda s: [
        s.sample("plain", s.floats(3, 4)),
        s.sample("dim", s.floats(3, 4), tau=0.5, dim=0),
        s.sample("hard", s.floats(3, 4), hard=True),
    ],
    compare="shape",
    order=1,
)
