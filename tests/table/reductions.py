"""Entries for minidl.ops.reductions."""

import numpy as np

from tests.table.core import ALL, Samples, error, op
from tests.table.run import DType


def over_dims(s: Samples, make=None):
    """Arguments (input, keyword arguments) that every reduction over ``dim`` and ``keepdim`` takes, some at random."""
    make = make or s.floats
    yield "all", make(3, 4), {}
    yield "dim", make(3, 4), {"dim": 1}
    yield "negative dim keepdim", make(2, 3, 4), {"dim": -2, "keepdim": True}
    yield "two dims", make(2, 3, 4), {"dim": (0, -1)}
    yield "dims keepdim", make(2, 3, 4), {"dim": [2, 0], "keepdim": True}
    yield "0-d", make(), {}
    yield "0-d dim", make(), {"dim": -1}
    yield "size 1", make(1, 3, 1), {"dim": (0, 2)}
    yield "transposed", make(4, 3).T, {"dim": 0}
    yield "expanded", s.expanded(make(3, 1), 3, 4), {"dim": 1}
    yield "sliced", make(6, 8)[::-2, ::2], {"dim": 0}
    for i in range(6):
        ndim = int(s.rng.integers(1, 5))
        x = make(*s.rng.integers(1, 5, ndim))
        x = x.transpose(s.rng.permutation(ndim))
        dims = [int(d) - ndim * int(s.rng.integers(2)) for d in s.rng.permutation(ndim)[: s.rng.integers(1, ndim + 1)]]
        yield f"random {i}", x, {"dim": dims, "keepdim": bool(s.rng.integers(2))}


def samples(s: Samples, make=None, skip=()):
    return [s.sample(name, x, **kwargs) for name, x, kwargs in over_dims(s, make) if name not in skip]


def empty(s: Samples, order=None):
    """Reductions of nothing, where they are defined."""
    return [
        s.sample("size 0 all", s.floats(0, 3), order=order),
        s.sample("size 0 reduced", s.floats(0, 3), dim=0, order=order),
        s.sample("size 0 kept", s.floats(0, 3), dim=1),
    ]


def wrong_dims(s: Samples):
    return [
        error("dim out of range", IndexError, r"range of \[-2, 1\], but got 2", s.floats(2, 3), dim=2),
        error("dim twice", RuntimeError, "multiple times", s.floats(2, 3), dim=(0, -2)),
    ]


def with_nans(x: np.ndarray) -> np.ndarray:
    x = np.array(x)
    x.reshape(-1)[::3] = np.nan
    return x


op(
    "sum",
    lambda s: [
        *samples(s),
        *empty(s),
        s.sample("dim ()", s.floats(2, 3), dim=()),
        s.sample("dtype", s.ints(2, 3), dim=0, dtype=DType("float64"), order=0),
        s.sample("dtype narrower", s.floats(2, 3), dtype=DType("float32"), order=0),
        s.sample("ints", s.ints(2, 3, dtype="uint8", high=255), order=0),
        s.sample("bools", s.bools(2, 3), 1, order=0),
    ],
    dtypes=ALL,
    linear=True,
    errors=wrong_dims,
    tolerance={"float16": 2e-2, "bfloat16": 1e-1},
)

op(
    "mean",
    lambda s: [
        *samples(s),
        *empty(s, order=0),
        s.sample("dim []", s.floats(2, 3), dim=[]),
        s.sample("dtype", s.ints(2, 3), dim=0, dtype=DType("float64"), order=0),
    ],
    linear=True,
    errors=lambda s: [
        *wrong_dims(s),
        error("ints", RuntimeError, "could not infer output dtype", s.ints(3)),
        error("dtype int", RuntimeError, "floating point", s.floats(3), dtype=DType("int64")),
    ],
)

op(
    "nansum",
    lambda s: [
        *samples(s),
        *empty(s),
        s.sample("nan", with_nans(s.floats(3, 4)), dim=0, order=1),
        s.sample("all nan", np.full((2, 3), np.nan), dim=1, keepdim=True, order=1),
        s.sample("dtype", s.floats(3), dtype=DType("float32"), order=0),
    ],
    dtypes=ALL,
    tolerance={"float16": 2e-2, "bfloat16": 1e-1},
)

op(
    "nanmean",
    lambda s: [
        *samples(s),
        s.sample("nan", with_nans(s.floats(3, 4)), dim=1, order=1),
        s.sample("all nan", np.full((2, 3), np.nan), dim=1, keepdim=True, order=0),
    ],
    errors=lambda s: [error("ints", RuntimeError, "dtype", s.ints(3))],
    tolerance={"float16": 2e-2, "bfloat16": 1e-1},
)


def zeros_in(s: Samples, *shape: int, every: int = 3) -> np.ndarray:
    x = s.floats(*shape)
    x.reshape(-1)[::every] = 0
    return x


op(
    "prod",
    lambda s: [
        s.sample("all", s.floats(3, 4)),
        s.sample("dim", s.floats(3, 4), 1),
        s.sample("dim negative keepdim", s.floats(2, 3, 4), -2, True),
        s.sample("0-d", s.floats()),
        s.sample("0-d dim", s.floats(), dim=0),
        s.sample("one zero", np.array([2.0, 0.0, 3.0, -1.5])),
        s.sample("two zeros", np.array([2.0, 0.0, 3.0, 0.0])),
        s.sample("three zeros", np.array([0.0, 0.0, 3.0, 0.0])),
        s.sample("zeros in lines", zeros_in(s, 3, 4), 1),
        s.sample("zeros along the other dim", zeros_in(s, 4, 3, every=5), 0),
        s.sample("size 0", s.floats(0, 3)),
        s.sample("size 0 reduced", s.floats(0, 3), 0),
        s.sample("size 0 kept", s.floats(0, 3), 1),
        s.sample("size 1", s.floats(3, 1), 1),
        s.sample("transposed", s.floats(4, 3).T, 0),
        s.sample("expanded", s.expanded(s.floats(3, 1), 3, 4), 1),
        s.sample("sliced", s.sliced(3, 4), 0),
        s.sample("dtype", s.ints(4, low=1), dtype=DType("float64")),
        s.sample("ints", s.ints(4, low=1, dtype="int8")),
        s.sample("bools", s.bools(4)),
    ],
    dtypes=ALL,
    errors=lambda s: [error("dim out of range", IndexError, "but got 2", s.floats(2, 3), 2)],
)

op(
    "logsumexp",
    lambda s: [
        *samples(s, skip=("all", "0-d")),
        s.sample("large", s.floats(3, 4) * 1e4, 1, order=1),
        s.sample("very negative", s.floats(3, 4) - 1e4, 1),
        s.sample("-inf among numbers", np.array([[0.5, -np.inf, 1.0]]), 1, order=1),
        s.sample("inf", np.array([[0.5, np.inf, 1.0], [np.inf, -np.inf, 0.0]]), 1, order=0),
        s.sample("-inf only", np.full((2, 3), -np.inf), 1, order=0),
        s.sample("size 0 reduced", s.floats(0, 3), 0, order=0),
        s.sample("size 0 kept", s.floats(0, 3), 1),
        s.sample("ints", s.ints(3, 4), 1),
    ],
    errors=lambda s: [error("dim out of range", IndexError, "but got 2", s.floats(2, 3), 2)],
)


def truths(s: Samples):
    return [
        s.sample("all", s.bools(3, 4)),
        s.sample("dim", s.bools(3, 4), dim=1),
        s.sample("dim keepdim", s.bools(2, 3, 4), dim=-2, keepdim=True),
        s.sample("two dims", s.bools(2, 3, 4), dim=(0, 2)),
        s.sample("0-d", s.bools()),
        s.sample("floats", zeros_in(s, 3, 4), dim=0),
        s.sample("nan is true", np.array([0.0, np.nan])),
        s.sample("uint8", s.ints(3, 4, high=2, dtype="uint8"), dim=1),
        s.sample("ints", s.ints(3, 4, high=2), dim=1),
        s.sample("size 0 all", s.bools(0, 3)),
        s.sample("size 0 reduced", s.bools(0, 3), dim=0),
        s.sample("size 0 kept", s.bools(0, 3), dim=1),
    ]


for _name in ("all", "any"):
    op(
        _name,
        truths,
        dtypes=ALL,
        order=0,
        errors=lambda s: [error("dim out of range", IndexError, "but got 2", s.bools(2, 3), dim=2)],
    )

op(
    "count_nonzero",
    lambda s: [
        s.sample("all", zeros_in(s, 3, 4)),
        s.sample("dim", zeros_in(s, 3, 4), 1),
        s.sample("dims", zeros_in(s, 2, 3, 4), (0, -1)),
        s.sample("0-d", s.floats()),
        s.sample("nan", np.array([0.0, np.nan])),
        s.sample("size 0", s.floats(0, 3), 0),
        s.sample("bools", s.bools(3, 4), 0),
    ],
    dtypes=ALL,
    order=0,
    errors=lambda s: [error("dim out of range", IndexError, "but got 2", s.floats(2, 3), 2)],
)
