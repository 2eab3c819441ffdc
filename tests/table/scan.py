"""Entries for minidl.ops.scan."""

import numpy as np

from tests.table.core import ALL, FLOATS, Samples, error, op
from tests.table.run import DType


def along(s: Samples, make=None):
    make = make or s.floats
    return [
        s.sample("dim", make(3, 4), 1),
        s.sample("first dim", make(3, 4), dim=0),
        s.sample("negative", make(2, 3, 4), -2),
        s.sample("0-d", make(), 0),
        s.sample("size 1", make(3, 1), 1),
        s.sample("size 0 along", make(3, 0), 1),
        s.sample("size 0 beside", make(0, 3), 1),
        s.sample("transposed", make(4, 3).T, 1),
        s.sample("sliced", make(6, 8)[::-2, ::2], 1),
        *(s.sample(f"random {i}", make(*s.rng.integers(1, 6, 3)), int(s.rng.integers(-3, 3))) for i in range(4)),
    ]


def wrong(s: Samples):
    return [error("dim out of range", IndexError, "but got 2", s.floats(2, 3), 2)]


op(
    "cumsum",
    lambda s: [
        *along(s),
        s.sample("expanded", s.expanded(s.floats(3, 1), 3, 4), 1),
        s.sample("dtype", s.ints(3), 0, dtype=DType("float64"), order=0),
        s.sample("ints", s.ints(4, dtype="int8", high=100), 0),
    ],
    dtypes=ALL,
    linear=False,
    inplace=True,
    errors=wrong,
    tolerance={"float16": 2e-2, "bfloat16": 1e-1},
)

op(
    "cumprod",
    lambda s: [
        *along(s),
        s.sample("expanded", s.expanded(s.floats(3, 1), 3, 4), 1),
        s.sample("one zero", np.array([2.0, 0.5, 0.0, 3.0, -1.0]), 0),
        s.sample("zero first", np.array([0.0, 0.5, 2.0]), 0),
        s.sample("zero last", np.array([0.5, 2.0, 0.0]), 0),
        s.sample("two zeros", np.array([2.0, 0.0, 3.0, 0.0, -1.0]), 0),
        s.sample("zeros next to each other", np.array([2.0, 0.0, 0.0, -1.0]), 0),
        s.sample("zeros in some lines", np.array([[2.0, 0.0, 3.0], [1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]), 1),
        s.sample("zeros in columns", np.array([[2.0, 0.0, 3.0], [1.0, 2.0, 3.0], [0.0, 0.0, 1.0]]), 0),
        s.sample("dtype", s.ints(3), 0, dtype=DType("float64"), order=0),
        s.sample("ints", s.ints(4, dtype="int8"), 0),
    ],
    dtypes=ALL,
    inplace=True,
    errors=wrong,
)

op(
    "logcumsumexp",
    lambda s: [
        *along(s),
        s.sample("large", s.floats(3, 4) * 1e4, 1, order=1),
        s.sample("-inf first", np.array([-np.inf, 0.5, 1.0]), 0, order=0),
        s.sample("-inf later", np.array([0.5, -np.inf, 1.0]), 0, order=1),
        s.sample("inf", np.array([0.5, np.inf, 1.0]), 0, order=0),
    ],
    dtypes=FLOATS,
    errors=wrong,
)

for _name in ("cummax", "cummin"):
    op(
        _name,
        lambda s: [
            *along(s, s.distinct),
            s.sample("ties", s.ints(4, 6, high=3).astype(float), 1, order=0),
            s.sample("nan", np.array([1.0, np.nan, 3.0, np.nan, 0.0]), 0, order=0),
            s.sample("inf", np.array([-np.inf, np.inf, 3.0, np.inf, -np.inf]), 0, order=0),
        ],
        dtypes=ALL,
        dtype_samples=("dim", "negative", "0-d", "size 0 along", "random 0", "random 1", "ties", "nan"),
        kinks="the gradient goes to the last of equal extremes",
        errors=wrong,
    )

op(
    "diff",
    lambda s: [
        s.sample("default", s.floats(3, 4)),
        s.sample("n", s.floats(3, 6), 3),
        s.sample("n 0", s.floats(3, 6), 0),
        s.sample("n 0, prepend", s.floats(3, 6), 0, -1, s.floats(3, 1)),
        s.sample("n beyond", s.floats(3, 2), 4),
        s.sample("dim", s.floats(3, 4), dim=0),
        s.sample("prepend", s.floats(3, 4), prepend=s.floats(3, 2)),
        s.sample("prepend append", s.floats(3, 4), 2, 0, s.floats(1, 4), s.floats(2, 4)),
        s.sample("size 0", s.floats(3, 0)),
        s.sample("size 1", s.floats(3, 1)),
        s.sample("transposed", s.floats(4, 3).T),
        s.sample("bools", s.bools(5)),
        s.sample("ints", s.ints(5)),
    ],
    dtypes=ALL,
    errors=lambda s: [
        error("0-d", RuntimeError, "at least one-dim", s.floats()),
        error("n negative", RuntimeError, "non-negative", s.floats(3), -1),
        error("dim out of range", IndexError, "but got 2", s.floats(2, 3), 1, 2),
    ],
)
