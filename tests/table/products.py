"""Entries for minidl.ops.products."""

import numpy as np

from tests.table.core import FLOATS, INTS, Samples, error, op

NUMBERS = (*FLOATS, *INTS)
LOOSE = {"float16": 2e-2, "bfloat16": 2e-1}


def random_matmul(s: Samples):
    """Operands whose batch dimensions broadcast, some transposed in memory."""
    for i in range(12):
        m, k, n = (int(x) for x in s.rng.integers(1, 5, 3))
        batch = [int(x) for x in s.rng.integers(1, 4, s.rng.integers(0, 3))]
        shapes = []
        for _ in range(2):
            own = [1 if s.rng.random() < 0.3 else size for size in batch]
            shapes.append(own[int(s.rng.integers(0, len(own) + 1)) :] if s.rng.random() < 0.5 else own)
        a, b = s.floats(*shapes[0], m, k), s.floats(*shapes[1], n, k).swapaxes(-1, -2)
        if s.rng.random() < 0.2 and a.ndim == 2:
            a = a[0]
        if s.rng.random() < 0.2 and b.ndim == 2:
            b = b[:, 0]
        yield s.sample(f"random {i}", a, b)


op(
    "matmul",
    lambda s: [
        s.sample("2-d 2-d", s.floats(3, 4), s.floats(4, 5)),
        s.sample("1-d 1-d", s.floats(4), s.floats(4)),
        s.sample("2-d 1-d", s.floats(3, 4), s.floats(4)),
        s.sample("1-d 2-d", s.floats(4), s.floats(4, 5)),
        s.sample("3-d 2-d", s.floats(2, 3, 4), s.floats(4, 5)),
        s.sample("2-d 3-d", s.floats(3, 4), s.floats(2, 4, 5)),
        s.sample("3-d 1-d", s.floats(2, 3, 4), s.floats(4)),
        s.sample("1-d 3-d", s.floats(4), s.floats(2, 4, 5)),
        s.sample("batch", s.floats(2, 3, 4), s.floats(2, 4, 5)),
        s.sample("batch of 1", s.floats(1, 3, 4), s.floats(2, 4, 5)),
        s.sample("batches broadcast", s.floats(2, 1, 3, 4), s.floats(3, 4, 5)),
        s.sample("4-d 1-d", s.floats(2, 2, 3, 4), s.floats(4)),
        s.sample("transposed", s.floats(4, 3).T, s.floats(5, 4).T),
        s.sample("sliced", s.sliced(3, 4), s.sliced(4, 5)),
        s.sample("3-d transposed 2-d", s.floats(3, 2, 4).swapaxes(0, 1), s.floats(5, 4).T),
        s.sample("expanded", s.expanded(s.floats(3, 1), 3, 4), s.expanded(s.floats(1, 5), 4, 5)),
        s.sample("expanded batch", s.expanded(s.floats(1, 3, 4), 2, 3, 4), s.floats(2, 4, 5)),
        s.sample("size 0 inside", s.floats(3, 0), s.floats(0, 4)),
        s.sample("size 0 outside", s.floats(0, 4), s.floats(4, 3)),
        s.sample("size 0 batch", s.floats(0, 3, 4), s.floats(4, 3)),
        s.sample("size 0 batch inside", s.floats(2, 3, 0), s.floats(0, 3)),
        s.sample("size 0 1-d", s.floats(0), s.floats(0)),
        s.sample("size 1", s.floats(1, 1), s.floats(1, 1)),
        *random_matmul(s),
    ],
    dtypes=NUMBERS,
    linear=True,
    tolerance=LOOSE,
    errors=lambda s: [
        error(
            "inner sizes", RuntimeError, r"\[3, 4\] and \[3, 4\] cannot be multiplied", s.floats(3, 4), s.floats(3, 4)
        ),
        error("vector", RuntimeError, "cannot be multiplied", s.floats(3, 4), s.floats(3)),
        error("batches", RuntimeError, "must match.*dimension 0", s.floats(2, 3, 4), s.floats(3, 4, 5)),
        error("0-d", RuntimeError, "at least 1D", s.floats(), s.floats(3)),
        error("dtypes", RuntimeError, "same dtype", s.floats(3, 4), s.floats(4, 3).astype("float32")),
        error("not a tensor", TypeError, "must be Tensor", s.floats(3, 4), 3),
    ],
)

op(
    "mm",
    lambda s: [
        s.sample("plain", s.floats(3, 4), s.floats(4, 5)),
        s.sample("transposed", s.floats(4, 3).T, s.floats(4, 5)),
        s.sample("size 0", s.floats(3, 0), s.floats(0, 5)),
    ],
    dtypes=NUMBERS,
    linear=True,
    tolerance=LOOSE,
    errors=lambda s: [
        error("1-d", RuntimeError, "must be a 2-D tensor", s.floats(3), s.floats(3, 4)),
        error("inner sizes", RuntimeError, "cannot be multiplied", s.floats(3, 4), s.floats(3, 4)),
    ],
)

op(
    "bmm",
    lambda s: [
        s.sample("plain", s.floats(2, 3, 4), s.floats(2, 4, 5)),
        s.sample("transposed", s.floats(2, 4, 3).swapaxes(1, 2), s.floats(2, 4, 5)),
        s.sample("size 0", s.floats(0, 3, 4), s.floats(0, 4, 5)),
    ],
    dtypes=NUMBERS,
    linear=True,
    tolerance=LOOSE,
    errors=lambda s: [
        error("2-d", RuntimeError, "must be a 3-D tensor", s.floats(3, 4), s.floats(2, 4, 5)),
        error("batch", RuntimeError, "same size", s.floats(1, 3, 4), s.floats(2, 4, 5)),
    ],
)

op(
    "mv",
    lambda s: [s.sample("plain", s.floats(3, 4), s.floats(4)), s.sample("size 0", s.floats(3, 0), s.floats(0))],
    dtypes=NUMBERS,
    linear=True,
    tolerance=LOOSE,
    errors=lambda s: [error("2-d", RuntimeError, "must be a 1-D tensor", s.floats(3, 4), s.floats(4, 1))],
)

for _name in ("dot", "vdot"):
    op(
        _name,
        lambda s: [s.sample("plain", s.floats(4), s.floats(4)), s.sample("size 0", s.floats(0), s.floats(0))],
        dtypes=NUMBERS,
        linear=True,
        tolerance=LOOSE,
        errors=lambda s: [
            error("2-d", RuntimeError, "must be a 1-D tensor", s.floats(3, 4), s.floats(4)),
            error("lengths", RuntimeError, "cannot be multiplied", s.floats(3), s.floats(4)),
        ],
    )

for _name in ("outer", "ger"):
    op(
        _name,
        lambda s: [
            s.sample("plain", s.floats(3), s.floats(4)),
            s.sample("size 0", s.floats(0), s.floats(4)),
            s.sample("types", s.floats(3), s.ints(4)),
        ],
        dtypes=NUMBERS,
        linear=True,
        errors=lambda s: [error("2-d", RuntimeError, "must be a 1-D tensor", s.floats(3, 4), s.floats(4))],
    )

op(
    "inner",
    lambda s: [
        s.sample("1-d", s.floats(4), s.floats(4)),
        s.sample("2-d", s.floats(3, 4), s.floats(5, 4)),
        s.sample("3-d 1-d", s.floats(2, 3, 4), s.floats(4)),
        s.sample("0-d", s.floats(), s.floats(3)),
        s.sample("size 0", s.floats(3, 0), s.floats(2, 0)),
    ],
    dtypes=NUMBERS,
    linear=True,
    tolerance=LOOSE,
    errors=lambda s: [error("sizes", RuntimeError, "cannot be multiplied", s.floats(3, 4), s.floats(4, 3))],
)


def combined(s: Samples, shape, *operands):
    """Calls of an operator β input + α product."""
    yield s.sample("plain", s.floats(*shape), *operands)
    yield s.sample("alpha beta", s.floats(*shape), *operands, beta=0.5, alpha=-2)
    yield s.sample("alpha 0", s.floats(*shape), *operands, alpha=0)
    yield s.sample("beta 0", s.constant(np.full(shape, np.nan)), *operands, beta=0)
    yield s.sample("last dim", s.floats(shape[-1]), *operands, alpha=3)
    yield s.sample("0-d", s.floats(), *operands)
    yield s.sample("size 1", s.floats(*(1,) * len(shape)), *operands, beta=2)


def whole(s: Samples, shape, *operands):
    """The same of integers, which take whole factors."""
    for dtype in ("int64", "int32"):
        ints = [s.ints(*sizes, low=-4, high=5, dtype=dtype) for sizes in (shape, *operands)]
        yield s.sample(f"{dtype}, broken factors", *ints, beta=1.7, alpha=-2.6)


op(
    "addmm",
    lambda s: [
        *combined(s, (3, 5), s.floats(3, 4), s.floats(4, 5)),
        s.sample("size 0", s.floats(3, 5), s.floats(3, 0), s.floats(0, 5)),
        *whole(s, (3, 5), (3, 4), (4, 5)),
    ],
    dtypes=FLOATS,
    tolerance=LOOSE,
    inplace=True,
    errors=lambda s: [
        error("input", RuntimeError, "not expandable", s.floats(4), s.floats(3, 4), s.floats(4, 5)),
        error("inner sizes", RuntimeError, "cannot be multiplied", s.floats(5), s.floats(3, 4), s.floats(3, 5)),
    ],
)
op(
    "addmv",
    lambda s: combined(s, (3,), s.floats(3, 4), s.floats(4)),
    dtypes=FLOATS,
    tolerance=LOOSE,
    inplace=True,
    errors=lambda s: [error("input", RuntimeError, "not expandable", s.floats(4), s.floats(3, 4), s.floats(4))],
)
op(
    "addr",
    lambda s: combined(s, (3, 4), s.floats(3), s.floats(4)),
    dtypes=FLOATS,
    tolerance=LOOSE,
    inplace=True,
    errors=lambda s: [
        error("input", RuntimeError, "not expandable", s.floats(3), s.floats(3), s.floats(4)),
        error("ints", RuntimeError, "must not be a floating point", s.ints(2, 3), s.ints(2), s.ints(3), beta=2.0),
    ],
)
op(
    "baddbmm",
    lambda s: [
        *combined(s, (2, 3, 5), s.floats(2, 3, 4), s.floats(2, 4, 5)),
        *whole(s, (2, 3, 5), (2, 3, 4), (2, 4, 5)),
    ],
    dtypes=FLOATS,
    tolerance=LOOSE,
    inplace=True,
    errors=lambda s: [
        error("input", RuntimeError, "not expandable", s.floats(4), s.floats(2, 3, 4), s.floats(2, 4, 5))
    ],
)
op(
    "addbmm",
    lambda s: [*combined(s, (3, 5), s.floats(2, 3, 4), s.floats(2, 4, 5)), *whole(s, (3, 5), (2, 3, 4), (2, 4, 5))],
    dtypes=FLOATS,
    tolerance=LOOSE,
    errors=lambda s: [
        error("input", RuntimeError, "not expandable", s.floats(4), s.floats(2, 3, 4), s.floats(2, 4, 5))
    ],
)

op(
    "tensordot",
    lambda s: [
        s.sample("default", s.floats(2, 3, 4), s.floats(3, 4, 5)),
        s.sample("one", s.floats(2, 3), s.floats(3, 4), 1),
        s.sample("none", s.floats(2, 3), s.floats(4), dims=0),
        s.sample("lists", s.floats(2, 3, 4), s.floats(4, 5, 2), dims=([0, 2], [2, 0])),
        s.sample("negative", s.floats(2, 3, 4), s.floats(4, 5, 2), dims=([-1], [-3])),
        s.sample("all", s.floats(2, 3), s.floats(2, 3), dims=2),
        s.sample("size 0", s.floats(2, 0), s.floats(0, 4), dims=1),
        s.sample("size 1 stretched", s.floats(2, 1, 3), s.floats(4, 3, 5), dims=([1, 2], [0, 1])),
        s.sample("size 1 of the other", s.floats(2, 4), s.floats(1, 3), dims=1),
    ],
    dtypes=FLOATS,
    method=False,
    linear=True,
    tolerance=LOOSE,
    errors=lambda s: [
        error("sizes", RuntimeError, "contracted dimensions need to match", s.floats(2, 3), s.floats(2, 3), 1),
        error("lengths", RuntimeError, "same length", s.floats(2, 3), s.floats(2, 3), ([0], [0, 1])),
        error("negative", RuntimeError, "dims >= 0", s.floats(2, 3), s.floats(2, 3), -1),
    ],
)

op(
    "kron",
    lambda s: [
        s.sample("2-d", s.floats(2, 3), s.floats(3, 2)),
        s.sample("1-d", s.floats(2), s.floats(3)),
        s.sample("1-d 3-d", s.floats(2), s.floats(2, 1, 3)),
        s.sample("0-d", s.floats(), s.floats(2, 2)),
        s.sample("size 0", s.floats(0, 2), s.floats(2, 2)),
        s.sample("transposed", s.floats(3, 2).T, s.floats(3, 2).T),
        s.sample("types", s.floats(2), s.ints(3)),
    ],
    dtypes=NUMBERS,
    linear=True,
)


def first_dim_of_3(input, other, dim=None):
    """torch.cross without ``dim`` warns that its default will change; say what it takes."""
    import torch

    if dim is None:
        dim = list(input.shape).index(3)
    return torch.cross(input, other, dim)


op(
    "cross",
    lambda s: [
        s.sample("default dim", s.floats(2, 3, 3), s.floats(2, 3, 3)),
        s.sample("dim", s.floats(2, 3), s.floats(2, 3), 1),
        s.sample("negative dim", s.floats(3, 2), s.floats(3, 2), dim=-2),
        s.sample("broadcast", s.floats(1, 3), s.floats(4, 3), dim=1),
        s.sample("size 0", s.floats(0, 3), s.floats(0, 3), dim=1),
    ],
    torch=first_dim_of_3,
    dtypes=NUMBERS,
    linear=True,
    errors=lambda s: [
        error("length", RuntimeError, "must have length 3", s.floats(2, 4), s.floats(2, 4), 1),
        error("dim out of range", IndexError, "but got 2", s.floats(2, 3), s.floats(2, 3), 2),
    ],
)
op(
    "linalg.cross",
    lambda s: [
        s.sample("default dim", s.floats(2, 3), s.floats(2, 3)),
        s.sample("dim", s.floats(3, 2), s.floats(3, 2), dim=0),
        s.sample("broadcast", s.floats(2, 1, 3), s.floats(1, 4, 3)),
    ],
    dtypes=NUMBERS,
    linear=True,
    errors=lambda s: [
        error("length", RuntimeError, "must have length 3", s.floats(2, 4), s.floats(2, 4)),
        error("dims", RuntimeError, "same number of dimensions", s.floats(3), s.floats(2, 3)),
    ],
)

op(
    "linalg.multi_dot",
    lambda s: [
        s.sample("two", [s.floats(2, 3), s.floats(3, 4)]),
        s.sample("four", [s.floats(2, 5), s.floats(5, 3), s.floats(3, 6), s.floats(6, 2)]),
        s.sample("vectors", [s.floats(5), s.floats(5, 3), s.floats(3)]),
        s.sample("vector first", [s.floats(5), s.floats(5, 3), s.floats(3, 2)]),
        s.sample("vector last", [s.floats(2, 5), s.floats(5, 3), s.floats(3)]),
        s.sample("two vectors", [s.floats(5), s.floats(5)]),
    ],
    tolerance={"float16": 1e-1, "bfloat16": 5e-1},
    errors=lambda s: [
        error("one", RuntimeError, "at least 2", [s.floats(2, 3)]),
        error("sizes", RuntimeError, "cannot be multiplied", [s.floats(2, 3), s.floats(2, 3), s.floats(3, 2)]),
        error("3-d", RuntimeError, "must be 2D", [s.floats(2, 3, 1), s.floats(1, 3)]),
    ],
)


def multi_dot(*matrices):
    import torch

    return torch.linalg.multi_dot(matrices)


op(
    "chain_matmul",
    lambda s: [s.sample("three", s.floats(2, 5), s.floats(5, 3), s.floats(3, 6))],
    torch=multi_dot,
    method=False,
    tolerance=LOOSE,
    errors=lambda s: [error("3-d", RuntimeError, "2-D", s.floats(2, 3, 4), s.floats(4, 3), s.floats(3, 3))],
)
