"""Entries for minidl.ops.diagonals."""

from tests.table.core import ALL, error, op

for name in ("tril", "triu"):
    op(
        name,
        lambda s: (
            [s.sample(f"diagonal {k}", s.floats(3, 4), k) for k in (-4, -1, 1, 5)]
            + [
                s.sample("batch", s.floats(2, 3, 3)),
                s.sample("by name", s.sliced(4, 2), diagonal=-1),
                s.sample("size 0", s.floats(0, 3)),
            ]
        ),
        dtypes=ALL,
        linear=True,
        inplace=True,
        errors=lambda s: [error("1-D", RuntimeError, "at least 2 dimensions", s.floats(3))],
    )
    op(
        f"{name}_indices",
        lambda s: (
            [s.sample(f"{m}, {n}, {k}", m, n, k) for m, n in ((3, 4), (4, 2), (0, 3), (1, 1)) for k in (-5, -1, 0, 2)]
            + [s.sample("no offset", 2, 3)]
        ),
        dtypes=("int64",),
        order=0,
        method=False,
        errors=lambda s: [error("negative", RuntimeError, "row must be non-negative", -3, 4)],
    )


def diagonals(s):
    yield s.sample("main", s.floats(3, 3))
    for k in (-3, -1, 1, 4):
        yield s.sample(f"offset {k}", s.floats(3, 4), k)
    yield s.sample("size 0", s.floats(0, 3))
    yield s.sample("sliced", s.sliced(3, 4), 1)
    for ndim in range(2, 5):
        a, b = (int(d) for d in s.rng.permutation(ndim)[:2])
        shape = tuple(int(n) for n in s.rng.integers(1, 4, ndim))
        yield s.sample(f"{shape}, dims {a} and {b - ndim}", s.sliced(*shape), 0, a, b - ndim)


op(
    "diagonal",
    diagonals,
    dtypes=ALL,
    linear=True,
    errors=lambda s: [
        error("one dim", RuntimeError, "cannot be identical", s.floats(3, 4), 0, 0, 0),
        error("range", IndexError, "Dimension out of range", s.floats(3, 4), 0, 0, 5),
        error("1-D", IndexError, "Dimension out of range", s.floats(3)),
    ],
)
op(
    "diag_embed",
    lambda s: [
        s.sample("vector", s.floats(3)),
        s.sample("offset", s.floats(2, 3), -1, 0, 2),
        s.sample("above", s.sliced(2, 3), 2, -1, 0),
        s.sample("size 0", s.floats(2, 0), 1),
        s.sample("by name", s.floats(2, 3), offset=1, dim1=0, dim2=1),
    ],
    dtypes=ALL,
    linear=True,
    errors=lambda s: [
        error("one dim", RuntimeError, "cannot be identical", s.floats(3, 4), 0, 0, 0),
        error("0-d", IndexError, "Dimension out of range", s.floats()),
    ],
)
op(
    "diag",
    lambda s: (
        [s.sample(f"matrix, {k}", s.floats(3, 4), k) for k in (-4, -1, 0, 2)]
        + [s.sample(f"vector, {k}", s.floats(3), k) for k in (-1, 0, 2)]
        + [s.sample("empty", s.floats(0))]
    ),
    dtypes=ALL,
    linear=True,
    errors=lambda s: [
        error("3-D", RuntimeError, "Supports 1D or 2D", s.floats(2, 2, 2)),
        error("0-d", RuntimeError, "Supports 1D or 2D", s.floats()),
    ],
)
op(
    "diagflat",
    lambda s: [s.sample("matrix", s.floats(2, 3), 1), s.sample("0-d", s.floats()), s.sample("vector", s.floats(3), -2)],
    dtypes=ALL,
    linear=True,
)
op(
    "trace",
    lambda s: [s.sample("wide", s.floats(3, 4)), s.sample("tall", s.sliced(4, 2)), s.sample("size 0", s.floats(0, 3))],
    dtypes=("float32", "float64", "uint8", "int32", "int64"),
    linear=True,
    errors=lambda s: [error("1-D", RuntimeError, "expected a matrix", s.floats(3))],
)
