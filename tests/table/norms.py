"""Entries for minidl.ops.norms."""

import numpy as np

from tests.table.core import FLOATS, Samples, error, op
from tests.table.reductions import over_dims
from tests.table.run import DType

INF = float("inf")
ORDERS = (1, 2, 3, 2.5, 1.5, 0.5, -1, -2, INF, -INF)
LOOSE = {"float16": 2e-2, "bfloat16": 1e-1}


def away_from_0(s: Samples, *shape: int) -> np.ndarray:
    x = s.distinct(*shape, gap=0.2)
    return np.where(abs(x) < 0.05, 0.3, x) * s.floats(*shape, low=0.99, high=1.01)


def vectors(s: Samples, order: str):
    make = lambda *shape: away_from_0(s, *shape)
    yield s.sample("default", make(3, 4))
    for name, x, kwargs in over_dims(s, make):
        if name not in ("all", "expanded"):
            if isinstance(kwargs.get("dim"), list) and len(kwargs["dim"]) > 2:
                kwargs[order] = 2  # PyTorch's default, "fro", takes two dims
            yield s.sample(name, x, **kwargs)
    yield s.sample("expanded", s.expanded(make(3, 1), 3, 4), dim=1)
    for p in ORDERS:
        yield s.sample(f"{order} {p}", make(3, 4), **{order: p}, dim=1)
        yield s.sample(f"{order} {p} all", make(2, 3), p, keepdim=False)
    yield s.sample(f"{order} 0", make(3, 4), **{order: 0}, dim=1)
    yield s.sample("at 0", np.zeros((2, 3)), dim=1, order=1)
    yield s.sample("some 0", np.array([[0.0, 0.0], [0.0, 3.0]]), dim=1, order=1)
    for p in (1, 1.5, 3, INF):
        yield s.sample(f"at 0 {order} {p}", np.zeros((2, 3)), **{order: p}, dim=1, order=0)
        yield s.sample(
            f"some 0 {order} {p}", np.array([[0.0, 2.0, -1.0]]), **{order: p}, dim=1, order=0 if p == 1 else 1
        )
    yield s.sample("ties", np.array([[2.0, -2.0, 1.0]]), **{order: INF}, dim=1, order=0)
    yield s.sample("size 0", s.floats(0, 3), dim=0)
    yield s.sample("size 0 kept", s.floats(0, 3), dim=1)
    yield s.sample("dtype", s.floats(3).astype("float32"), dim=0, dtype=DType("float64"), order=0)


op(
    "linalg.vector_norm",
    lambda s: vectors(s, "ord"),
    dtypes=FLOATS,
    kinks="0 at the zero vector; largest elements of one size share the gradient",
    tolerance=LOOSE,
    errors=lambda s: [
        error("ints", RuntimeError, "floating point", s.ints(3)),
        error("nothing", RuntimeError, "identity", s.floats(0), INF),
        error("dim out of range", IndexError, "but got 2", s.floats(2, 3), 2, 2),
    ],
)

op(
    "norm",
    lambda s: [
        *vectors(s, "p"),
        s.sample("fro", s.floats(3, 4), "fro"),
        s.sample("fro dims", s.floats(2, 3, 4), "fro", (0, 2), True),
        s.sample("nuc", s.floats(3, 4), "nuc"),
        s.sample("nuc dims", s.floats(3, 2, 4), p="nuc", dim=(0, 2)),
    ],
    dtypes=FLOATS,
    kinks="0 at the zero vector; largest elements of one size share the gradient",
    dtype_samples=("default", "dim", "p 1", "p 3", "p inf", "p -inf", "fro", "size 0"),
    tolerance=LOOSE,
    errors=lambda s: [
        error("ints", RuntimeError, "floating point", s.ints(3)),
        error("p", RuntimeError, "'fro' and 'nuc'", s.floats(3, 3), "spam"),
        error("dim out of range", IndexError, "but got 2", s.floats(2, 3), 2, 2),
    ],
)


def matrices(s: Samples):
    yield s.sample("default", s.floats(3, 4))
    yield s.sample("fro keepdim", s.floats(2, 3, 4), "fro", (-2, -1), True)
    for order in ("nuc", 2, -2, 1, -1, INF, -INF):
        yield s.sample(f"ord {order}", away_from_0(s, 3, 4), order)
        yield s.sample(f"ord {order} dims", away_from_0(s, 3, 2, 4), ord=order, dim=(2, 0))
        yield s.sample(f"ord {order} keepdim", away_from_0(s, 2, 3, 3), ord=order, dim=(-1, -2), keepdim=True)


op(
    "linalg.matrix_norm",
    matrices,
    dtypes=("float32", "float64"),
    errors=lambda s: [
        error("ord", RuntimeError, "not supported", s.floats(3, 3), 3),
        error("ord name", RuntimeError, "not supported", s.floats(3, 3), "spam"),
        error("1-d", RuntimeError, "at least 2 dimensions", s.floats(3)),
        error("dims equal", RuntimeError, "different", s.floats(3, 3), "fro", (0, 0)),
        error("ints", RuntimeError, "floating point", s.ints(3, 3)),
    ],
)

op(
    "linalg.norm",
    lambda s: [
        s.sample("default", s.floats(2, 3, 4)),
        s.sample("default keepdim", s.floats(2, 3), keepdim=True),
        s.sample("default dim", s.floats(2, 3, 4), dim=1),
        s.sample("default dims", s.floats(2, 3, 4), dim=(0, 2)),
        s.sample("vector", away_from_0(s, 4), 3),
        s.sample("vector inf", away_from_0(s, 4), INF),
        s.sample("vectors", away_from_0(s, 3, 4), 1, 1),
        s.sample("vectors in a tuple", away_from_0(s, 3, 4), -INF, (1,), True),
        s.sample("matrix", s.floats(3, 4), "fro"),
        s.sample("matrix 1", away_from_0(s, 3, 4), 1),
        s.sample("matrix nuc", s.floats(3, 4), "nuc"),
        s.sample("matrices", away_from_0(s, 2, 3, 4), 2, (1, 2)),
        s.sample("matrices inf", away_from_0(s, 2, 3, 4), INF, (0, -1), True),
        s.sample("dtype", s.floats(3).astype("float32"), dtype=DType("float64"), order=0),
    ],
    dtypes=("float32", "float64"),
    errors=lambda s: [
        error("3-d", RuntimeError, "1D or 2D", s.floats(2, 3, 4), 2),
        error("three dims", RuntimeError, "length 1 or 2", s.floats(2, 3, 4), 2, (0, 1, 2)),
        error("ints", RuntimeError, "floating point", s.ints(3)),
    ],
)

op(
    "cdist",
    lambda s: [
        s.sample("default", s.floats(3, 4), s.floats(5, 4)),
        *(s.sample(f"p {p}", s.floats(3, 4), s.floats(5, 4), p) for p in (1.0, 1.5, 3.0, INF)),
        s.sample("p 0", s.floats(3, 4), s.floats(5, 4), 0.0),
        s.sample("batch", s.floats(2, 3, 4), s.floats(2, 5, 4)),
        s.sample("batch broadcast", s.floats(2, 1, 3, 4), s.floats(3, 5, 4)),
        s.sample("compute_mode", s.floats(3, 4), s.floats(5, 4), compute_mode="donot_use_mm_for_euclid_dist"),
        s.sample("equal points", np.ones((2, 3)), np.ones((1, 3)), order=0),
        s.sample("size 0", s.floats(0, 4), s.floats(5, 4)),
        s.sample("no coordinates", s.floats(3, 0), s.floats(5, 0), order=0),
        s.sample("transposed", s.floats(4, 3).T, s.floats(4, 5).T),
    ],
    dtypes=("float32", "float64"),
    method=False,
    kinks="0 where two points are equal",
    errors=lambda s: [
        error("columns", RuntimeError, "same number of columns", s.floats(3, 4), s.floats(5, 3)),
        error("1-d", RuntimeError, "at least 2D", s.floats(3), s.floats(5, 3)),
        error("p", RuntimeError, "non-negative", s.floats(3, 4), s.floats(5, 4), -1.0),
    ],
)
