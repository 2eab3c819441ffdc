"""Entries for minidl.ops.linear_algebra (factorisations, whose signs are free, are in tests/test_linear_algebra.py)."""

import numpy as np

from tests.table.core import Samples, error, op

FULL = ("float32", "float64")
LOOSE = {"float32": 1e-3}


def regular(s: Samples, *shape: int) -> np.ndarray:
    """Matrices far from singular."""
    return s.floats(*shape) * 0.5 + 2 * np.eye(shape[-1])


def square(s: Samples, make=regular):
    yield s.sample("3x3", make(s, 3, 3))
    yield s.sample("batch", make(s, 2, 4, 4))
    yield s.sample("two batches", make(s, 2, 3, 2, 2))
    yield s.sample("1x1", make(s, 1, 1))
    yield s.sample("transposed", make(s, 3, 3).T)
    yield s.sample("5x5", make(s, 5, 5))
    yield s.sample("batch size 0", make(s, 0, 3, 3))
    yield s.sample("expanded", s.expanded(make(s, 1, 3, 3), 2, 3, 3))


def not_square(s: Samples):
    return [
        error("not square", RuntimeError, "square", s.floats(2, 3)),
        error("1-d", RuntimeError, "at least 2 dimensions", s.floats(3)),
        error("ints", RuntimeError, "floating point", s.ints(3, 3)),
    ]


def of_rank(s: Samples, n: int, rank: int) -> np.ndarray:
    return s.floats(n, rank) @ s.floats(rank, n)


# PyTorch's gradient of det is 0 where det is 0; the true one is tested in tests/test_linear_algebra.py.
SINGULAR = {
    "rank 0": np.zeros((3, 3)),
    "rank 1": np.outer([1.0, 2.0, 3.0], [1.0, -1.0, 0.5]),
    "rank 2": np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]),
}


for _name in ("det", "linalg.det"):
    op(
        _name,
        lambda s: [
            *square(s),
            s.sample("any", s.floats(3, 3)),
            s.sample("0x0", s.floats(0, 0)),
            *(s.sample(name, x, order=0) for name, x in SINGULAR.items()),
        ],
        dtypes=FULL,
        dtype_samples=("3x3", "batch", "5x5"),
        tolerance=LOOSE,
        errors=not_square,
    )

for _name in ("slogdet", "linalg.slogdet"):
    op(
        _name,
        lambda s: [
            *square(s),
            s.sample("negative", np.diag([1.0, -2.0, 3.0])),
            s.sample("singular", np.zeros((2, 2)), order=0),
        ],
        dtypes=FULL,
        tolerance=LOOSE,
        errors=not_square,
    )

op(
    "logdet",
    lambda s: [
        *square(s),
        s.sample("negative", np.diag([1.0, -2.0, 3.0]), order=0),
        s.sample("singular", np.zeros((2, 2)), order=0),
    ],
    dtypes=FULL,
    tolerance=LOOSE,
    errors=not_square,
)

for _name in ("inverse", "linalg.inv"):
    op(
        _name,
        lambda s: [*square(s), s.sample("0x0", s.floats(0, 0))],
        dtypes=FULL,
        tolerance=LOOSE,
        errors=lambda s: [*not_square(s), error("singular", RuntimeError, "singular", np.ones((3, 3)))],
    )

op(
    "linalg.solve",
    lambda s: [
        s.sample("vector", regular(s, 3, 3), s.floats(3)),
        s.sample("matrix", regular(s, 3, 3), s.floats(3, 2)),
        s.sample("batch of vectors", regular(s, 2, 3, 3), s.floats(2, 3)),
        s.sample("batch of matrices", regular(s, 2, 3, 3), s.floats(2, 3, 4)),
        s.sample("one A", regular(s, 3, 3), s.floats(2, 3, 4)),
        s.sample("one B", regular(s, 2, 3, 3), s.floats(3, 4)),
        s.sample("one b", regular(s, 2, 3, 3), s.floats(3)),
        s.sample("batches broadcast", regular(s, 2, 1, 3, 3), s.floats(4, 3, 2)),
        s.sample("right", regular(s, 3, 3), s.floats(2, 3), left=False),
        s.sample("right batch", regular(s, 2, 3, 3), s.floats(2, 4, 3), left=False),
        s.sample("transposed", regular(s, 3, 3).T, s.floats(2, 3).T),
        s.sample("size 0", regular(s, 0, 3, 3), s.floats(0, 3, 2)),
        s.sample("no columns", regular(s, 3, 3), s.floats(3, 0)),
    ],
    dtypes=FULL,
    tolerance=LOOSE,
    errors=lambda s: [
        error("not square", RuntimeError, "square", s.floats(2, 3), s.floats(2)),
        error("singular", RuntimeError, "singular", np.ones((3, 3)), s.floats(3)),
        error("shapes", RuntimeError, "Incompatible shapes", regular(s, 3, 3), s.floats(4, 2)),
    ],
)

op(
    "linalg.solve_triangular",
    lambda s: [
        s.sample("upper", regular(s, 3, 3), s.floats(3, 2), upper=True),
        s.sample("lower", regular(s, 3, 3), s.floats(3, 2), upper=False),
        s.sample("unit upper", regular(s, 3, 3), s.floats(3, 2), upper=True, unitriangular=True),
        s.sample("unit lower", regular(s, 3, 3), s.floats(3, 2), upper=False, unitriangular=True),
        s.sample("right upper", regular(s, 3, 3), s.floats(2, 3), upper=True, left=False),
        s.sample("right lower", regular(s, 3, 3), s.floats(2, 3), upper=False, left=False),
        s.sample("batch", regular(s, 2, 3, 3), s.floats(2, 3, 2), upper=True),
        s.sample("batches broadcast", regular(s, 2, 1, 3, 3), s.floats(4, 3, 2), upper=False),
        s.sample("transposed", regular(s, 3, 3).T, s.floats(3, 2), upper=True),
    ],
    dtypes=FULL,
    tolerance=LOOSE,
    errors=lambda s: [
        error("not square", RuntimeError, "square", s.floats(2, 3), s.floats(2, 2), upper=True),
        error("shapes", RuntimeError, "Incompatible shapes", regular(s, 3, 3), s.floats(4, 2), upper=True),
    ],
)

op(
    "linalg.pinv",
    lambda s: [
        s.sample("square", regular(s, 3, 3)),
        s.sample("tall", s.floats(5, 3)),
        s.sample("wide", s.floats(3, 5)),
        s.sample("batch", s.floats(2, 4, 3)),
        s.sample("rtol", s.floats(4, 3), rtol=1e-3),
        s.sample("atol", s.floats(4, 3), atol=1e-3),
        s.sample("rank 2", of_rank(s, 4, 2), order=0),
        s.sample("hermitian", np.diag([1.0, 2.0, -3.0]), hermitian=True, order=0),
    ],
    dtypes=FULL,
    dtype_samples=("square", "tall", "wide", "batch"),
    tolerance=LOOSE,
)

op(
    "linalg.matrix_rank",
    lambda s: [
        s.sample("full", regular(s, 3, 3)),
        s.sample("rank 2", of_rank(s, 4, 2)),
        s.sample("batch", np.stack([of_rank(s, 4, r) for r in (1, 2, 3)])),
        s.sample("wide", s.floats(2, 5)),
        s.sample("zeros", np.zeros((3, 3))),
        s.sample("atol", np.diag([1.0, 0.5, 0.1]), atol=0.2),
        s.sample("rtol", np.diag([2.0, 0.5, 0.1]), rtol=0.2),
        s.sample("both", np.diag([2.0, 0.5, 0.1]), atol=0.05, rtol=0.1),
        s.sample("size 0", s.floats(2, 0, 3)),
    ],
    dtypes=FULL,
    dtype_samples=("full", "wide", "zeros"),
    order=0,
)

for _name in ("matrix_power", "linalg.matrix_power"):
    op(
        _name,
        lambda s: [
            *(s.sample(f"n {n}", regular(s, 3, 3) * 0.5, n) for n in (2, 3, 5, 1, -1, -3)),
            s.sample("n 0", regular(s, 3, 3), 0, order=1),
            s.sample("batch", regular(s, 2, 3, 3), 3),
        ],
        dtypes=FULL,
        tolerance=LOOSE,
        errors=lambda s: [error("not square", RuntimeError, "square", s.floats(2, 3), 2)],
    )


op(
    "linalg.lstsq",
    lambda s: [
        s.sample("tall", s.floats(5, 3), s.floats(5, 2), order=0),
        s.sample("square", regular(s, 3, 3), s.floats(3, 2), order=0),
        s.sample("batch", s.floats(2, 5, 3), s.floats(2, 5, 2), order=0),
        s.sample("gelsd", s.floats(5, 3), s.floats(5, 2), driver="gelsd", order=0),
        s.sample("gels", s.floats(5, 3), s.floats(5, 2), driver="gels", order=0),
        s.sample("wide", s.floats(3, 5), s.floats(3, 2), order=0),
    ],
    dtypes=FULL,
    tolerance=LOOSE,
    errors=lambda s: [error("driver", RuntimeError, "driver", s.floats(5, 3), s.floats(5, 2), driver="x")],
)
op(
    "linalg.svdvals",
    lambda s: [
        s.sample("tall", s.floats(5, 3)),
        s.sample("wide", s.floats(3, 5)),
        s.sample("batch", s.floats(2, 3, 3)),
    ],
    dtypes=FULL,
    tolerance=LOOSE,
    errors=lambda s: [error("1-d", RuntimeError, "at least 2 dimensions", s.floats(3))],
)


def positive_definite(s, *shape):
    root = s.floats(*shape)
    return root @ root.swapaxes(-1, -2) + 3 * np.eye(shape[-1])


# Values only: the factor is defined for symmetric matrices, which finite differences would leave. Its derivatives are
# checked in tests/test_linear_algebra.py.
op(
    "linalg.cholesky",
    lambda s: [
        s.sample("lower", positive_definite(s, 3, 3), order=0),
        s.sample("upper", positive_definite(s, 4, 4), upper=True, order=0),
        s.sample("batches", positive_definite(s, 2, 3, 3), order=0),
        s.sample("one", positive_definite(s, 1, 1), order=0),
        s.sample("empty", s.floats(0, 3, 3), order=0),
    ],
    dtypes=("float32", "float64"),
    tolerance={"float32": 1e-4},
    errors=lambda s: [error("not square", RuntimeError, "square", s.floats(2, 3))],
)
