"""Entries for minidl.ops.extremes."""

import numpy as np

from tests.table.core import ALL, FLOATS, Samples, error, op
from tests.table.reductions import samples

TIES = "equal extremes share the gradient evenly"


def tied(s: Samples, *shape: int) -> np.ndarray:
    return s.ints(*shape, high=3).astype(float)


def one_dim(s: Samples):
    return [
        s.sample("dim", s.distinct(3, 4), dim=1),
        s.sample("dim negative keepdim", s.distinct(2, 3, 4), dim=-2, keepdim=True),
        s.sample("first dim", s.distinct(4, 3), dim=0),
        s.sample("0-d", s.distinct(), dim=0),
        s.sample("size 1", s.distinct(3, 1), dim=1),
        s.sample("size 0 kept", s.floats(0, 3), dim=1),
        s.sample("transposed", s.distinct(4, 3).T, dim=0),
        s.sample("expanded", s.expanded(s.distinct(1, 4), 3, 4), dim=1),
        s.sample("ties", tied(s, 4, 5), dim=1, order=0),
        s.sample("nan", np.array([[1.0, np.nan, 2.0, np.nan], [1.0, 3.0, 2.0, 0.0]]), dim=1, order=0),
        *(
            s.sample(f"random {i}", s.distinct(*s.rng.integers(1, 5, 3)), dim=int(s.rng.integers(-3, 3)))
            for i in range(4)
        ),
    ]


def empty_dim(s: Samples):
    return [
        error("dim out of range", IndexError, "but got 2", s.floats(2, 3), dim=2),
        error("nothing along dim", IndexError, "non-zero size", s.floats(0, 3), dim=0),
    ]


for _name in ("amax", "amin"):
    op(
        _name,
        lambda s: [
            *samples(s, make=s.distinct, skip=("expanded",)),
            s.sample("ties", tied(s, 3, 4), dim=1, order=0),
            s.sample("size 0 kept", s.floats(0, 3), dim=1),
            s.sample("nan", np.array([[1.0, np.nan], [1.0, 2.0]]), dim=1, order=0),
        ],
        dtypes=ALL,
        kinks=TIES,
        errors=lambda s: [*empty_dim(s), error("dim twice", RuntimeError, "multiple", s.floats(2, 3), dim=(0, 0))],
    )

op(
    "aminmax",
    lambda s: [
        s.sample("all", s.distinct(3, 4)),
        s.sample("dim", s.distinct(3, 4), dim=1),
        s.sample("keepdim", s.distinct(3, 4), dim=-2, keepdim=True),
        s.sample("0-d", s.distinct()),
    ],
    dtypes=ALL,
    kinks=TIES,
)

for _name in ("max", "min"):
    op(
        _name,
        lambda s: [
            s.sample("all", s.distinct(3, 4)),
            s.sample("all 0-d", s.distinct()),
            s.sample("all nan", np.array([1.0, np.nan, 2.0]), order=0),
            *one_dim(s),
            s.sample("dim positional", s.distinct(3, 4), 0, True),
            s.sample("two tensors", s.floats(3, 1), s.floats(4)),
            s.sample("other", s.floats(3, 4), other=s.floats(3, 4)),
        ],
        dtypes=ALL,
        kinks="max() shares between equals; max(dim) gives all to the index it returns",
        errors=lambda s: [*empty_dim(s), error("nothing", RuntimeError, r"numel\(\) == 0", s.floats(0))],
    )

for _name in ("argmax", "argmin"):
    op(
        _name,
        lambda s: [
            s.sample("all", s.distinct(3, 4)),
            s.sample("all keepdim", s.distinct(3, 4), keepdim=True),
            s.sample("all 0-d", s.distinct()),
            s.sample("all transposed", s.distinct(3, 4).T),
            *one_dim(s),
        ],
        dtypes=(*FLOATS, "int64", "uint8", "int8"),
        order=0,
        errors=lambda s: [*empty_dim(s), error("nothing", IndexError, "numel", s.floats(0))],
    )
