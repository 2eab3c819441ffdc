"""Entries for minidl.ops.indexing: the functions. ``x[...]`` itself is in tests/test_indexing.py."""

from tests.table.core import ALL, error, op

op(
    "select",
    lambda s: [
        s.sample("row", s.floats(3, 4), 0, 1),
        s.sample("negative", s.floats(3, 4), -1, -4),
        s.sample("to 0-d", s.floats(3), 0, 2),
        s.sample("sliced", s.sliced(2, 3, 2), 1, 2),
    ],
    dtypes=ALL,
    linear=True,
    errors=lambda s: [
        error(
            "index",
            IndexError,
            r"index 5 out of range for tensor of size \[3, 4\] at dimension 0",
            s.floats(3, 4),
            0,
            5,
        ),
        error("range", IndexError, "Dimension out of range", s.floats(3, 4), 2, 0),
        error("0-d", IndexError, "cannot be applied to a 0-dim", s.floats(), 0, 0),
    ],
)
op(
    "narrow",
    lambda s: [
        s.sample("rows", s.floats(3, 4), 0, 1, 2),
        s.sample("negative", s.floats(3, 4), -1, -3, 2),
        s.sample("nothing", s.floats(3, 4), 0, 3, 0),
        s.sample("tensor start", s.floats(3, 4), 1, s.ints(high=2), 2),
    ],
    dtypes=ALL,
    linear=True,
    errors=lambda s: [
        error("length", RuntimeError, "exceeds dimension size", s.floats(3, 4), 0, 1, 5),
        error("start", IndexError, "start out of range", s.floats(3, 4), 0, 4, 0),
        error("negative", RuntimeError, "must be non-negative", s.floats(3, 4), 0, 1, -1),
        error("0-d", RuntimeError, "0-dim", s.floats(), 0, 0, 0),
    ],
)


def masks(s):
    """Pairs of shapes, of a tensor and of a mask, that broadcast."""
    return [
        ("same", s.floats(3, 4), s.bools(3, 4)),
        ("mask broadcast", s.floats(3, 4), s.bools(4)),
        ("both broadcast", s.floats(3, 1), s.bools(2, 1, 4)),
        ("0-d mask", s.floats(3), s.bools()),
        ("0-d", s.floats(), s.bools()),
        ("size 0", s.floats(0, 3), s.bools(1, 3)),
        ("sliced", s.sliced(3, 4), s.bools(4, 3).T),
        ("expanded", s.expanded(s.floats(3, 1), 3, 4), s.bools(3, 4)),
    ]


op(
    "masked_fill",
    lambda s: (
        [s.sample(name, x, mask, 1.5) for name, x, mask in masks(s)]
        + [
            s.sample("tensor value", s.floats(3, 4), s.bools(3, 4), s.floats()),
            s.sample("infinite", s.floats(3, 4), s.bools(3, 4), value=3),
        ]
    ),
    dtypes=ALL,
    inplace=True,
    errors=lambda s: [
        error("types", RuntimeError, "boolean masks", s.floats(3), s.ints(3), 0.0),
        error("value", RuntimeError, "0-dimensional value", s.floats(3), s.bools(3), s.floats(1)),
        error("shapes", RuntimeError, "must match", s.floats(3), s.bools(4), 0.0),
    ],
)
op(
    "masked_select",
    lambda s: [s.sample(name, x, mask) for name, x, mask in masks(s)],
    dtypes=ALL,
    linear=True,
    errors=lambda s: [
        error("types", RuntimeError, "[Bb]oolean masks", s.floats(3), s.ints(3)),
        error("shapes", RuntimeError, "must match", s.floats(3), s.bools(4)),
    ],
)
op(
    "masked_scatter",
    lambda s: [s.sample(name, x, mask, s.floats(2, 20)) for name, x, mask in masks(s)],
    dtypes=ALL,
    inplace=True,
    errors=lambda s: [
        error("few", RuntimeError, "Number of elements of source", s.floats(3), s.bools(3) | True, s.floats(2)),
        error("types", RuntimeError, "[Bb]oolean|same dtype", s.floats(3), s.ints(3), s.floats(3)),
        error("dtypes", RuntimeError, "same dtypes", s.floats(3), s.bools(3), s.ints(3)),
    ],
)


def puts(s):
    yield s.sample("rows", s.floats(3, 4), (s.ints(2, high=3),), s.floats(4), True)
    yield s.sample("row once", s.floats(3, 4), (s.rng.permutation(3)[:2],), s.floats(2, 4))
    yield s.sample("elements", s.floats(3, 4), (s.ints(5, high=3), s.ints(5, high=4)), s.floats(5), accumulate=True)
    yield s.sample("broadcast indices", s.floats(3, 4), [s.ints(2, 1, high=3), s.ints(3, high=4)], s.floats(2, 1), True)
    yield s.sample("mask", s.floats(3, 4), (s.bools(3, 4),), s.floats(1))
    yield s.sample("mask of rows", s.floats(3, 4), (s.bools(3),), s.floats(), True)
    yield s.sample("negative", s.floats(3, 4), (s.rng.permutation(3)[:2] - 3,), s.floats())
    yield s.sample("0-d index", s.floats(3, 4), (s.ints(high=3),), s.floats(4))
    yield s.sample("no places", s.floats(3, 4), (s.ints(0),), s.floats(4), True)
    yield s.sample("size 0", s.floats(3, 0), (s.ints(2, high=3),), s.floats(1), True)
    yield s.sample("transposed", s.floats(4, 3).T, (s.ints(5, high=3),), s.floats(4), True)
    yield s.sample("sliced", s.sliced(3, 4), (s.ints(2, high=3), s.ints(2, high=4)), s.floats(1), True)
    for _ in range(4):
        k = int(s.rng.integers(1, 4))
        indices = tuple(s.ints(*(1 if s.rng.random() < 0.3 else n for n in (2, 3)), high=3) for _ in range(k))
        yield s.sample(f"{k} of 3, random {_}", s.floats(3, 3, 3), indices, s.floats(*(3,) * (3 - k)), True)


op(
    "index_put",
    puts,
    dtypes=ALL,
    inplace=True,
    errors=lambda s: [
        error("types", RuntimeError, "dtypes match", s.floats(3), (s.ints(1, high=3),), s.ints(1)),
        error("many", IndexError, "too many indices", s.floats(3), (s.ints(1, high=3),) * 2, s.floats(1)),
        error("shapes", RuntimeError, "shape mismatch: value tensor", s.floats(3), (s.ints(2, high=3),), s.floats(3)),
        error(
            "indices",
            IndexError,
            "shape mismatch: indexing tensors",
            s.floats(3, 3),
            (s.ints(2, high=3), s.ints(3, high=3)),
            s.floats(1),
        ),
        error(
            "range",
            IndexError,
            "index 7 is out of bounds for dimension 0 with size 3",
            s.floats(3),
            (s.ints(1) * 0 + 7,),
            s.floats(1),
        ),
        error("tensor", TypeError, "must be tuple of Tensors", s.floats(3), s.ints(1, high=3), s.floats(1)),
        error("values", TypeError, "must be Tensor, not float", s.floats(3), (s.ints(1, high=3),), 1.0),
        error("float", IndexError, "must be long, int, byte or bool", s.floats(3), (s.floats(1),), s.floats(1)),
    ],
)
for name in ("nonzero", "argwhere"):
    op(
        name,
        lambda s, name=name: (
            [
                s.sample("2-D", s.ints(3, 4, high=2)),
                s.sample("floats", s.floats(3) * s.bools(3)),
                s.sample("bools", s.bools(2, 3, 2)),
                s.sample("0-d", s.ints(low=1)),
                s.sample("0-d zero", s.ints(low=0, high=1)),
                s.sample("size 0", s.floats(2, 0)),
            ]
            + (
                [
                    s.sample("tuple", s.ints(3, 4, high=2), as_tuple=True),
                    s.sample("0-d tuple", s.ints(low=1), as_tuple=True),
                ]
                if name == "nonzero"
                else []
            )
        ),
        dtypes=ALL,
        order=0,
    )
