"""Entries for minidl.ops.sorting."""

import numpy as np

from tests.table.core import ALL, FLOATS, INTS, Samples, error, op

NANS = np.array([[1.0, np.nan, -2.0, np.inf, np.nan], [3.0, 1.0, -np.inf, 0.0, 2.0]])


def orders(s: Samples):
    return [
        s.sample("default", s.distinct(3, 4)),
        s.sample("dim", s.distinct(3, 4), 0),
        s.sample("negative descending", s.distinct(2, 3, 4), -2, True),
        s.sample("descending", s.distinct(3, 4), descending=True),
        s.sample("stable", s.ints(3, 20, high=4).astype(float), stable=True, dim=1, descending=False, order=0),
        s.sample("stable descending", s.ints(3, 20, high=4), stable=True, dim=1, descending=True),
        s.sample("nan", NANS, order=0),
        s.sample("nan descending", NANS, stable=True, dim=1, descending=True, order=0),
        s.sample("0-d", s.distinct()),
        s.sample("size 0", s.floats(3, 0)),
        s.sample("size 1", s.distinct(3, 1)),
        s.sample("transposed", s.distinct(4, 3).T),
        s.sample("expanded", s.expanded(s.distinct(1, 4), 3, 4)),
        s.sample("bools", s.bools(10), stable=True, dim=0, descending=False),
        *(
            s.sample(
                f"random {i}",
                s.distinct(*s.rng.integers(1, 6, 3)),
                int(s.rng.integers(-3, 3)),
                bool(s.rng.integers(2)),
            )
            for i in range(4)
        ),
    ]


def dim_range(s: Samples):
    return [error("dim out of range", IndexError, "but got 2", s.floats(2, 3), dim=2)]


# In the narrow types samples have equals, whose order PyTorch leaves open unless it is asked for a stable one.
STABLE = ("default", "stable", "stable descending", "0-d", "size 0", "size 1", "bools")
op("sort", orders, dtypes=ALL, dtype_samples=STABLE, errors=dim_range)
op("argsort", orders, dtypes=ALL, dtype_samples=STABLE, order=0, errors=dim_range)

op(
    "topk",
    lambda s: [
        s.sample("k", s.distinct(3, 6), 2),
        s.sample("k all", s.distinct(3, 4), 4),
        s.sample("k 0", s.distinct(3, 4), 0),
        s.sample("dim", s.distinct(5, 4), 3, 0),
        s.sample("smallest", s.distinct(3, 6), k=2, dim=-1, largest=False),
        s.sample("0-d", s.distinct(), 1),
        s.sample("transposed", s.distinct(4, 3).T, 2),
        s.sample("nan", np.array([1.0, np.nan, 3.0]), 2, order=0),
        s.sample("nan smallest", np.array([1.0, np.nan, 3.0]), 2, largest=False, order=0),
        *(
            s.sample(f"random {i}", s.distinct(*s.rng.integers(3, 7, 2)), int(s.rng.integers(1, 4)), i % 2)
            for i in range(4)
        ),
    ],
    dtypes=("float32", "float64"),
    errors=lambda s: [
        error("k too large", RuntimeError, "out of range", s.floats(3), 4),
        error("k negative", RuntimeError, "out of range", s.floats(3), -1),
        error("dim out of range", IndexError, "but got 2", s.floats(2, 3), 1, 2),
    ],
)

op(
    "kthvalue",
    lambda s: [
        s.sample("k", s.distinct(3, 6), 2),
        s.sample("dim keepdim", s.distinct(5, 4), 3, 0, True),
        s.sample("negative dim", s.distinct(2, 5, 4), k=5, dim=-2),
        s.sample("0-d", s.distinct(), 1),
        s.sample("nan", np.array([1.0, np.nan, 3.0]), 3, order=0),
        s.sample("size 0 beside", s.floats(0, 3), 1),
    ],
    dtypes=("float32", "float64"),
    errors=lambda s: [
        error("k too large", RuntimeError, "out of range", s.floats(3), 4),
        error("k 0", RuntimeError, "out of range", s.floats(3), 0),
        error("dim out of range", IndexError, "but got 2", s.floats(2, 3), 1, 2),
    ],
)

op(
    "unique",
    lambda s: [
        s.sample("values", s.ints(3, 6, high=5)),
        s.sample("inverse", s.ints(3, 6, high=5), return_inverse=True),
        s.sample("counts", s.ints(3, 6, high=5), return_counts=True),
        s.sample("both", s.ints(3, 6, high=5), True, True, True),
        s.sample("dim", s.ints(8, 2, high=2), dim=0),
        s.sample("dim both", s.ints(2, 8, high=2), True, True, True, 1),
        s.sample("dim negative", s.ints(2, 8, 1, high=2), return_inverse=True, dim=-2),
        s.sample("0-d", s.ints(), return_inverse=True, return_counts=True),
        s.sample("size 0", s.ints(0), return_inverse=True, return_counts=True),
        s.sample("floats", s.ints(9, high=4) * 0.5, return_counts=True),
        s.sample("nan", np.array([1.0, np.nan, 1.0, np.nan]), return_inverse=True, return_counts=True),
        s.sample("bools", s.bools(5), return_inverse=True),
    ],
    dtypes=ALL,
    order=0,
    dtype_samples=("values", "both", "floats", "bools"),
    errors=lambda s: [error("dim out of range", IndexError, "but got 2", s.ints(2, 3), dim=2)],
)

op(
    "unique_consecutive",
    lambda s: [
        s.sample("values", s.ints(30, high=3)),
        s.sample("both", s.ints(3, 10, high=2), True, True),
        s.sample("counts", s.ints(20, high=2), return_counts=True),
        s.sample("dim", s.ints(12, 2, high=2), True, True, 0),
        s.sample("dim negative", s.ints(2, 12, high=2), return_inverse=True, dim=-1),
        s.sample("0-d", s.ints(), return_inverse=True, return_counts=True),
        s.sample("size 0", s.ints(0), return_inverse=True, return_counts=True),
        s.sample("floats", s.ints(9, high=2) * 0.5, return_counts=True),
    ],
    dtypes=ALL,
    order=0,
    dtype_samples=("values", "both", "floats"),
    errors=lambda s: [error("dim out of range", IndexError, "but got 2", s.ints(2, 3), dim=2)],
)

EDGES = np.array([-1.0, 0.0, 0.5, 0.5, 2.0])
QUERIES = np.array([[-2.0, -1.0, 0.25], [0.5, 2.0, 3.0]])

op(
    "searchsorted",
    lambda s: [
        s.sample("left", EDGES, QUERIES),
        s.sample("right", EDGES, QUERIES, right=True),
        s.sample("side right", EDGES, QUERIES, side="right"),
        s.sample("side left", EDGES, QUERIES, side="left", out_int32=True),
        s.sample("number", EDGES, 0.5),
        s.sample("0-d", EDGES, np.array(0.5)),
        s.sample("rows", np.sort(s.floats(2, 3, 6), -1), s.floats(2, 3, 4)),
        s.sample("rows right", np.sort(s.ints(2, 6), -1), s.ints(2, 4), right=True),
        s.sample("sorter", np.array([3.0, 1.0, 2.0]), np.array([1.5, 3.5]), sorter=np.array([1, 2, 0])),
        s.sample("nan", EDGES, np.array([np.nan])),
        s.sample("size 0", EDGES, s.floats(0)),
    ],
    dtypes=("float32", "float64", "int64", "int32", "uint8"),
    order=0,
    method=False,
    errors=lambda s: [
        error("shapes", RuntimeError, "must match", s.floats(2, 3), s.floats(3, 3)),
        error("side", RuntimeError, "left.*right", EDGES, QUERIES, side="middle"),
        error("opposites", RuntimeError, "opposites", EDGES, QUERIES, side="left", right=True),
    ],
)

op(
    "bucketize",
    lambda s: [
        s.sample("left", QUERIES, EDGES),
        s.sample("right", QUERIES, EDGES, right=True),
        s.sample("int32", QUERIES, EDGES, out_int32=True),
        s.sample("number", 0.5, EDGES),
    ],
    dtypes=(*FLOATS, *INTS),
    order=0,
    method=False,
    errors=lambda s: [error("boundaries 2-d", RuntimeError, "1 dimension", QUERIES, QUERIES)],
)
