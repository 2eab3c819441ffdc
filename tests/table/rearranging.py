"""Entries for minidl.ops.rearranging."""

from tests.table.core import ALL, error, op

LINEAR = {"dtypes": ALL, "linear": True}


def random_shape(s, ndim):
    return tuple(int(n) for n in s.rng.integers(0 if s.rng.random() < 0.1 else 1, 4, ndim))


def flips(s):
    yield s.sample("one", s.floats(3, 4), (0,))
    yield s.sample("none", s.floats(3, 4), ())
    yield s.sample("list", s.floats(3, 4), [1, 0])
    yield s.sample("0-d", s.floats(), (0,))
    for ndim in range(1, 5):
        k = int(s.rng.integers(1, ndim + 1))
        yield s.sample(
            f"{ndim}-D", s.sliced(*random_shape(s, ndim)), tuple(int(d) - ndim for d in s.rng.permutation(ndim)[:k])
        )


op(
    "flip",
    flips,
    errors=lambda s: [
        error("twice", RuntimeError, "multiple times", s.floats(3, 4), (0, 0)),
        error("range", IndexError, "Dimension out of range", s.floats(3, 4), (2,)),
    ],
    **LINEAR,
)
op(
    "fliplr",
    lambda s: [s.sample("2-D", s.floats(3, 4)), s.sample("3-D", s.sliced(2, 3, 2))],
    errors=lambda s: [error("1-D", RuntimeError, "must be >= 2-d", s.floats(3))],
    **LINEAR,
)
op(
    "flipud",
    lambda s: [s.sample("1-D", s.floats(3)), s.sample("3-D", s.sliced(2, 3, 2))],
    errors=lambda s: [error("0-d", RuntimeError, "must be >= 1-d", s.floats())],
    **LINEAR,
)


def rolls(s):
    yield s.sample("flattened", s.floats(3, 4), 2)
    yield s.sample("0-d", s.floats(), 1)
    yield s.sample("more than there are", s.floats(3, 4), -7, 1)
    yield s.sample("one dim twice", s.floats(3, 4), (1, 1), (0, -2))
    yield s.sample("size 0", s.floats(0, 4), 1, 0)
    yield s.sample("by name", s.sliced(3, 4), shifts=[1], dims=[0])
    for ndim in range(1, 4):
        yield s.sample(
            f"{ndim}-D",
            s.sliced(*random_shape(s, ndim)),
            tuple(int(k) for k in s.rng.integers(-5, 5, ndim)),
            tuple(int(d) for d in s.rng.permutation(ndim)),
        )


op(
    "roll",
    rolls,
    errors=lambda s: [
        error("count", RuntimeError, "must align. shifts: 2, dims:1", s.floats(3, 4), (1, 2), (0,)),
        error("no dims", RuntimeError, "must align", s.floats(3, 4), (1, 2)),
        error("0-d", IndexError, "no dimensions", s.floats(), 1, 0),
        error("range", IndexError, "Dimension out of range", s.floats(3, 4), 1, 2),
    ],
    **LINEAR,
)
op(
    "rot90",
    lambda s: (
        [s.sample(f"{k} times", s.floats(2, 3), k) for k in range(-2, 6)]
        + [
            s.sample("dims", s.floats(2, 3, 4), 1, [0, 2]),
            s.sample("negative dims", s.sliced(2, 3, 4), 3, (-1, 1)),
            s.sample("size 0", s.floats(0, 2)),
        ]
    ),
    errors=lambda s: [
        error("one dim", RuntimeError, "to be different", s.floats(3, 4), 1, [0, 0]),
        error("range", IndexError, "Dimension out of range", s.floats(3, 4), 1, [0, 2]),
        error("1-D", RuntimeError, "total dims >= 2", s.floats(3)),
        error("count", RuntimeError, "rotation dims == 2", s.floats(3, 4), 1, [0]),
    ],
    **LINEAR,
)


def repeats(s):
    yield s.sample("same ndim", s.floats(2, 3), (2, 1))
    yield s.sample("in front", s.floats(2, 3), (3, 2, 2))
    yield s.sample("0 times", s.floats(2, 3), (0, 2))
    yield s.sample("size 0", s.floats(0, 3), (2, 2))
    yield s.sample("0-d", s.floats(), (2, 3))
    yield s.sample("0-d, none", s.floats(), ())
    yield s.sample("expanded", s.expanded(s.floats(3, 1), 3, 2), (1, 2))


op(
    "Tensor.repeat",
    repeats,
    errors=lambda s: [
        error("too few", RuntimeError, "can not be smaller", s.floats(3, 4), (2,)),
        error("negative", RuntimeError, "negative dimension", s.floats(3, 4), (-1, 2)),
    ],
    **LINEAR,
)
op("tile", lambda s: [*repeats(s), s.sample("fewer", s.floats(2, 3), (2,))], **LINEAR)


def interleaves(s):
    yield s.sample("flattened", s.floats(2, 3), 2)
    yield s.sample("dim", s.floats(2, 3), 3, 1)
    yield s.sample("0 times", s.floats(2, 3), 0, dim=0)
    yield s.sample("counts", s.floats(3, 2), s.ints(3, high=4), 0)
    yield s.sample("int32 counts", s.sliced(2, 3), s.ints(3, high=4, dtype="int32"), -1)
    yield s.sample("counts of all", s.floats(2, 2), s.ints(4, high=4))
    yield s.sample("one count", s.floats(3, 2), s.ints(1, low=2, high=4), 0)
    yield s.sample("0-d count", s.floats(3, 2), s.ints(low=2, high=4), 0)
    yield s.sample("0-d", s.floats(), 3)
    yield s.sample("size 0", s.floats(0, 2), 3, 0)
    yield s.sample("output_size", s.floats(3, 2), 2, 0, output_size=6)


op(
    "repeat_interleave",
    interleaves,
    errors=lambda s: [
        error("count", RuntimeError, "same size as input along dim", s.floats(3, 2), s.ints(2), 0),
        error("negative", RuntimeError, "negative", s.floats(3, 2), -1, 0),
        error("negative counts", RuntimeError, "negative", s.floats(3, 2), s.ints(3, low=-3, high=-1), 0),
        error("output_size", RuntimeError, "expected 6 but got 7", s.floats(3, 2), 2, 0, output_size=7),
        error("float", TypeError, "repeats", s.floats(3, 2), 0.5, 0),
        error("float counts", NotImplementedError, "int32 or int64", s.floats(3, 2), s.floats(3), 0),
    ],
    **LINEAR,
)
op(
    "meshgrid",
    lambda s: (
        [
            s.sample(f"{indexing} {n}", *(s.floats(k) for k in (3, 2, 4)[:n]), indexing=indexing)
            for indexing in ("ij", "xy")
            for n in (1, 2, 3)
        ]
        + [
            s.sample("0-d", s.floats(3), s.floats(), indexing="xy"),
            s.sample("size 0", s.floats(3), s.floats(0), indexing="ij"),
            s.sample("list", [s.floats(2), s.floats(3)], indexing="ij"),
        ]
    ),
    dtypes=ALL,
    method=False,
    errors=lambda s: [
        error("2-D", RuntimeError, "Expected 0D or 1D", s.floats(2, 2), s.floats(3), indexing="ij"),
        error("types", RuntimeError, "same dtype", s.floats(3), s.ints(3), indexing="ij"),
        error("indexing", RuntimeError, "received: ab", s.floats(3), s.floats(3), indexing="ab"),
    ],
)
op(
    "cartesian_prod",
    lambda s: [
        s.sample("one", s.floats(3)),
        s.sample("two", s.floats(3), s.floats(2)),
        s.sample("three", s.floats(2), s.floats(0), s.floats(2)),
    ],
    dtypes=ALL,
    method=False,
    errors=lambda s: [error("2-D", RuntimeError, "Expect a 1D vector", s.floats(2, 2), s.floats(2))],
)
op(
    "combinations",
    lambda s: [
        s.sample("pairs", s.floats(4)),
        s.sample("triples", s.floats(4), 3, True),
        s.sample("single", s.floats(3), r=1),
        s.sample("none", s.floats(3), 0),
        s.sample("too many", s.floats(2), 3),
    ],
    dtypes=ALL,
    method=False,
    errors=lambda s: [
        error("2-D", RuntimeError, "Expect a 1D vector", s.floats(2, 2)),
        error("negative", RuntimeError, "non-negative", s.floats(2), -1),
    ],
)
