"""Entries for minidl.ops.joining."""

from tests.table.core import ALL, error, op

JOIN = {"dtypes": ALL, "method": False}


def joins(s):
    yield s.sample("rows", [s.floats(2, 3), s.floats(1, 3)])
    yield s.sample("one", [s.floats(2, 3)], -1)
    yield s.sample("tuple", (s.floats(2), s.floats(3), s.floats(0)), dim=0)
    yield s.sample("size 0", [s.floats(0, 3), s.floats(2, 3)], 0)
    yield s.sample("empty vectors are skipped", [s.floats(0), s.floats(2, 3), s.floats(0)], 1)
    yield s.sample("empty vectors only", [s.floats(0), s.floats(0)], 0)
    yield s.sample("types", [s.floats(2, 3), s.ints(1, 3, dtype="int32"), s.bools(2, 3)])
    yield s.sample("type of an empty vector", [s.constant(s.floats(0).astype("float32")), s.floats(0), s.ints(2, 3)])
    x = s.floats(2, 3)
    yield s.sample("one tensor twice", [x, x], -2)
    for ndim in range(1, 4):
        shape = [int(n) for n in s.rng.integers(1, 4, ndim)]
        dim = int(s.rng.integers(-ndim, ndim))
        parts = []
        for _ in range(3):
            shape[dim] = int(s.rng.integers(0, 4))
            parts.append(s.sliced(*shape))
        yield s.sample(f"{ndim}-D along {dim}", parts, dim)


def broken_joins(s):
    yield error("not a list", TypeError, "must be tuple of Tensors, not Tensor", s.floats(2, 3))
    yield error("a number", TypeError, "element 1", [s.floats(2, 3), 5])
    yield error("none", ValueError, "non-empty list", [])
    yield error("0-d", RuntimeError, r"zero-dimensional tensor \(at position 0\)", [s.floats(), s.floats()])
    yield error("ndim", RuntimeError, "same number of dimensions: got 2 and 1", [s.floats(2, 3), s.floats(3)])
    yield error("sizes", RuntimeError, "Expected size 3 but got size 4", [s.floats(2, 3), s.floats(2, 4)])
    yield error("range", IndexError, "Dimension out of range", [s.floats(2, 3), s.floats(2, 3)], 2)


for name in ("cat", "concat", "concatenate"):
    op(name, joins, errors=broken_joins, **JOIN)


def stacks(s):
    for dim in range(-3, 3):
        yield s.sample(f"at {dim}", [s.floats(2, 3), s.sliced(2, 3)], dim)
    yield s.sample("0-d", [s.floats(), s.floats()])
    yield s.sample("size 0", [s.floats(0), s.floats(0), s.floats(0)])
    yield s.sample("types", [s.floats(2), s.ints(2), s.bools(2)])


op(
    "stack",
    stacks,
    errors=lambda s: [
        error("none", RuntimeError, "non-empty", []),
        error("shapes", RuntimeError, r"\[2, 3\] at entry 0 and \[3\] at entry 1", [s.floats(2, 3), s.floats(3)]),
        error("range", IndexError, r"range of \[-3, 2\]", [s.floats(2, 3)], 3),
    ],
    **JOIN,
)
for name in ("hstack", "vstack", "row_stack", "dstack", "column_stack"):
    op(
        name,
        lambda s: [
            s.sample("0-d", (s.floats(), s.floats())),
            s.sample("1-D", [s.floats(3), s.floats(3)]),
            s.sample("2-D", (s.floats(2, 3), s.floats(2, 3))),
            s.sample("3-D", (s.floats(2, 3, 2), s.sliced(2, 3, 2))),
            s.sample("types", (s.floats(2, 3), s.ints(2, 3))),
        ],
        errors=lambda s: [error("sizes", RuntimeError, "must match", (s.floats(2, 3), s.floats(4, 5)))],
        **JOIN,
    )

op(
    "block_diag",
    lambda s: [
        s.sample("matrices", s.floats(2, 3), s.floats(3, 1)),
        s.sample("vector and 0-d", s.floats(2, 2), s.floats(3), s.floats()),
        s.sample("size 0", s.floats(0, 2), s.floats(2, 1)),
        s.sample("types", s.floats(2, 3), s.ints(1, 1)),
        s.sample("none"),
    ],
    errors=lambda s: [error("3-D", RuntimeError, "Input 1 has 3 dimensions", s.floats(2, 2), s.floats(1, 1, 1))],
    **JOIN,
)


def splits(s):
    yield s.sample("even", s.floats(4, 3), 2)
    yield s.sample("rest", s.floats(5, 3), 2)
    yield s.sample("larger", s.floats(2, 3), 5, 1)
    yield s.sample("list", s.floats(2, 6), [1, 0, 3, 2], -1)
    yield s.sample("size 0", s.floats(0, 2), 3)
    yield s.sample("size 0 of 0", s.floats(0, 2), 0)
    yield s.sample("sliced", s.sliced(3, 4), 3, dim=1)


op(
    "split",
    splits,
    dtypes=ALL,
    errors=lambda s: [
        error("0", RuntimeError, "can only be 0 if dimension size is 0", s.floats(3), 0),
        error("negative", RuntimeError, "non-negative", s.floats(3), -1),
        error("sum", RuntimeError, "sum exactly to 3", s.floats(3), [1, 1]),
        error("range", IndexError, "Dimension out of range", s.floats(3), 1, 1),
        error("0-d", RuntimeError, "at least a 1-dimensional", s.floats(), 1),
    ],
)
op(
    "split_with_sizes",
    lambda s: [s.sample("list", s.floats(2, 6), [1, 0, 3, 2], -1)],
    dtypes=ALL,
    errors=lambda s: [error("negative", RuntimeError, "non-negative", s.floats(3), [4, -1])],
)
for name, argument in (("unsafe_split", 2), ("unsafe_chunk", 2)):
    op(name, lambda s, argument=argument: [s.sample("parts", s.floats(5, 3), argument, 1)], dtypes=ALL)
op(
    "chunk",
    lambda s: [s.sample(f"{n} in {k}", s.floats(2, n), k, -1) for n in (0, 1, 5, 6) for k in (1, 2, 4, 7)],
    dtypes=ALL,
    errors=lambda s: [
        error("0", RuntimeError, "greater than 0", s.floats(3), 0),
        error("range", IndexError, "Dimension out of range", s.floats(3), 1, 1),
    ],
)


def tensor_splits(s):
    yield s.sample("sections", s.floats(2, 7), 3, 1)
    yield s.sample("more than there are", s.floats(3, 2), 5)
    yield s.sample("indices", s.floats(6, 2), (1, 4), dim=0)
    yield s.sample("indices out of order", s.floats(6), (4, 1, 9, -2))
    yield s.sample("tensor of indices", s.floats(6), s.ints(3, high=6))
    yield s.sample("by name", s.floats(6), indices=(2,))
    yield s.sample("sections by name", s.floats(6), sections=4)


op(
    "tensor_split",
    tensor_splits,
    dtypes=ALL,
    errors=lambda s: [
        error("0", RuntimeError, "number of sections must be larger than 0", s.floats(3), 0),
        error("0-d", RuntimeError, "at least", s.floats(), 1),
    ],
)
for name, shape in (("hsplit", (2, 4)), ("vsplit", (4, 2)), ("dsplit", (1, 2, 4))):
    op(
        name,
        lambda s, shape=shape: (
            [
                s.sample("sections", s.floats(*shape), 2),
                s.sample("indices", s.floats(*shape), (1, 3)),
                s.sample("more dimensions", s.floats(4, 4, 4), 4),
            ]
            + ([s.sample("vector", s.floats(4), 2)] if len(shape) == 2 and shape[0] == 2 else [])
        ),
        dtypes=ALL,
        errors=lambda s, shape=shape: [
            error("divisible", RuntimeError, "not divisible by the split_size 3", s.floats(*shape), 3),
            error("dimensions", RuntimeError, "requires a tensor with at least", s.floats(), 1),
        ],
    )
op(
    "unbind",
    lambda s: [
        s.sample("rows", s.floats(3, 2)),
        s.sample("negative dim", s.sliced(2, 3, 2), -1),
        s.sample("to 0-d", s.floats(3), 0),
        s.sample("size 0", s.floats(2, 0), 0),
    ],
    dtypes=ALL,
    errors=lambda s: [
        error("0-d", IndexError, "no dimensions", s.floats()),
        error("range", IndexError, "Dimension out of range", s.floats(3), 1),
    ],
)
