"""Entries for minidl.ops.composed, and what minidl.linalg adds to other modules' operators."""

import numpy as np

from tests.table.core import FLOATS, INTS, error, op
from tests.table.elementwise import pairs

SINGLE = ("float32", "float64")


def covariances(s):
    yield s.sample("matrix", s.floats(3, 5))
    yield s.sample("transposed", s.floats(5, 3).T, correction=0)
    yield s.sample("vector", s.floats(6))
    yield s.sample("one observation", s.floats(3, 1), correction=0)
    yield s.sample("frequencies", s.floats(3, 5), fweights=s.ints(5, low=1, high=4))
    yield s.sample("weights", s.floats(3, 5), aweights=s.constant(s.positive(5)))
    yield s.sample("both", s.floats(2, 4), correction=2, fweights=s.ints(4, low=1), aweights=s.constant(s.positive(4)))
    yield s.sample("weights, no correction", s.floats(2, 4), correction=0, aweights=s.constant(s.positive(4)))
    yield s.sample("ints", s.ints(3, 5))


op(
    "cov",
    covariances,
    dtypes=SINGLE,
    errors=lambda s: [
        error("3d", RuntimeError, "two or fewer", s.floats(2, 2, 2)),
        error("length", RuntimeError, "observations", s.floats(2, 3), fweights=s.ints(2)),
        error("floating frequencies", RuntimeError, "integral", s.floats(2, 3), fweights=s.floats(3)),
        error("integer weights", RuntimeError, "floating", s.floats(2, 3), aweights=s.ints(3)),
        error("negative", RuntimeError, "negative", s.floats(2, 3), aweights=-s.positive(3)),
    ],
)
op(
    "corrcoef",
    lambda s: [
        s.sample("matrix", s.floats(3, 5), order=1, kink=True),  # 1 on the diagonal, where it is clamped
        s.sample("vector", s.floats(6), order=0),
        s.sample("ints", s.ints(3, 5)),
    ],
    dtypes=SINGLE,
    errors=lambda s: [error("3d", RuntimeError, "two or fewer", s.floats(2, 2, 2))],
)


def distances(s):
    yield s.sample("matrices", s.floats(3, 4), s.floats(3, 4).T.reshape(3, 4))
    yield s.sample("broadcast", s.floats(3, 1), s.floats(4), 3)
    for p in (0.0, 1.0, 2.5, float("inf")):
        yield s.sample(f"p {p}", s.floats(3, 4), s.sliced(3, 4), p=p, order=2 if p else 0)


op("dist", distances, dtypes=SINGLE)


def integrands(s):
    yield s.sample("matrix", s.floats(3, 4))
    yield s.sample("first", s.floats(3, 4).T, dim=0)
    yield s.sample("dx", s.floats(2, 3, 4), dx=0.5, dim=1)
    yield s.sample("points", s.floats(3, 4), np.sort(s.floats(4)))
    yield s.sample("points of the first", s.floats(3, 4), np.sort(s.floats(3)), dim=0)
    yield s.sample("points of each", s.floats(2, 3, 4), s.floats(3, 4), dim=-1)
    yield s.sample("as many points", s.floats(3, 4), s.floats(3, 4), dim=0)
    yield s.sample("one point", s.floats(3, 1))
    yield s.sample("ints", s.ints(3, 4))


def integral_errors(s):
    yield error("points", RuntimeError, "one `x` value", s.floats(3, 4), s.floats(3))
    yield error("bools", RuntimeError, "bool", s.bools(3, 4))
    yield error("dim", IndexError, "out of range", s.floats(3, 4), dim=2)


for _name in ("trapezoid", "trapz", "cumulative_trapezoid"):
    op(_name, integrands, dtypes=SINGLE, method=False, errors=integral_errors)


def divisors(s):
    yield s.sample("broadcast", s.ints(3, 1, low=-12, high=13), s.ints(4, low=-12, high=13))
    yield s.sample("zeros", np.array([0, 0, 6]), np.array([0, 4, 0]))
    for dtype in ("int32", "int8", "uint8", "int16"):
        yield s.sample(dtype, s.ints(3, 4, dtype=dtype).T, s.ints(3, dtype=dtype))


for _name in ("gcd", "lcm"):
    op(
        _name,
        divisors,
        dtypes=(),
        order=0,
        inplace=True,
        errors=lambda s: [error("floats", RuntimeError, "not implemented", s.floats(3), s.floats(3))],
    )


def members(s):
    yield s.sample("matrix", s.ints(3, 4), s.ints(5))
    yield s.sample("inverted", s.ints(3, 4).T, s.ints(2, 2), invert=True)
    yield s.sample("number", s.ints(3, 4), 3)
    yield s.sample("number first", 3, s.ints(3, 4))
    yield s.sample("nothing", s.ints(3), s.ints(0))
    yield s.sample("unique", np.array([1, 5, 3]), np.array([3, 4]), assume_unique=True)
    yield s.sample("floats", np.array([1.0, np.nan, 0.5]), np.array([np.nan, 0.5]))
    yield s.sample("mixed", s.ints(4), np.array([1.0, 2.5]))


op("isin", members, dtypes=(), order=0, method=False)
op(
    "msort",
    lambda s: [
        s.sample("matrix", s.distinct(4, 3)),
        s.sample("3d", s.distinct(3, 2, 2).T),
        s.sample("0-d", s.floats()),
    ],
    dtypes=FLOATS + INTS,
)


op("linalg.vecdot", lambda s: [s.sample("first", s.floats(3, 4), s.floats(4), dim=-1), *pairs(s)][:4], dtypes=SINGLE)
op(
    "linalg.diagonal",
    lambda s: [
        s.sample("matrix", s.floats(3, 4)),
        s.sample("offset", s.floats(2, 3, 4), offset=-1),
        s.sample("dims", s.floats(2, 3, 4), dim1=0, dim2=-1),
    ],
    dtypes=SINGLE,
)
op(
    "unravel_index",
    lambda s: [
        s.sample("vector", s.ints(5, high=24), (2, 3, 4)),
        s.sample("matrix", s.ints(2, 3, high=6, dtype="int32"), (2, 3)),
        s.sample("0-d", s.ints(high=6), [3, 2]),
        s.sample("one size", s.ints(3, high=7), 7),
        s.sample("no size", s.ints(3, high=1), ()),
        s.sample("size 0", s.ints(0), (2, 3)),
    ],
    dtypes=(),
    order=0,
    method=False,
    errors=lambda s: [
        error("floats", TypeError, "integer dtype", s.floats(2), (2, 3)),
        error("negative", ValueError, "negative values", s.ints(2), (-2, 3)),
    ],
)
