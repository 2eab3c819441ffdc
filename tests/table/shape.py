"""Entries for minidl.ops.shape."""

import torch

from tests.table.core import ALL, error, op

VIEW = {"dtypes": ALL, "linear": True}


def shape_of(s, ndim, low=0, high=4):
    """A random shape, now and then with a size of 0 or 1."""
    return tuple(int(n) for n in s.rng.integers(low, high, ndim))


def reshapes(s):
    yield s.sample("2-D", s.floats(3, 4), (2, 6))
    yield s.sample("as arguments", s.floats(3, 4), (4, 3))
    yield s.sample("-1", s.floats(3, 4), (2, -1))
    yield s.sample("size 0", s.floats(0, 4), (2, 0, 3))
    yield s.sample("size 0 and -1", s.floats(0, 4), (-1, 4))
    yield s.sample("0-d", s.floats(), (1, 1))
    yield s.sample("to 0-d", s.floats(1, 1), ())


def broken_reshapes(s):
    yield error("size", RuntimeError, r"shape '\[5\]' is invalid for input of size 12", s.floats(3, 4), (5,))
    yield error("two -1", RuntimeError, "only one dimension can be inferred", s.floats(3, 4), (-1, -1))
    yield error("negative", RuntimeError, "invalid shape dimension", s.floats(3, 4), (-2, 6))
    yield error("-1 beside 0", RuntimeError, "is invalid|ambiguous", s.floats(0, 4), (-1, 0))
    yield error("no sizes", TypeError, "missing 1 required", s.floats(0, 4))


op(
    "reshape",
    lambda s: [
        *reshapes(s),
        s.sample("transposed", s.floats(3, 4).T, (6, 2)),
        s.sample("sliced", s.sliced(2, 6), (3, 4)),
    ],
    errors=broken_reshapes,
    **VIEW,
)
op("Tensor.view", reshapes, errors=broken_reshapes, **VIEW)
op("Tensor.reshape", lambda s: [s.sample("as arguments", s.floats(3, 4), 2, 3, 2)], **VIEW)
op("Tensor.reshape_as", lambda s: [s.sample("other", s.floats(3, 4), s.ints(2, 6))], **VIEW)
op("Tensor.view_as", lambda s: [s.sample("other", s.floats(3, 4), s.ints(2, 6))], **VIEW)
op(
    "ravel",
    lambda s: [s.sample("2-D", s.floats(3, 4)), s.sample("transposed", s.floats(3, 4).T), s.sample("0-d", s.floats())],
    **VIEW,
)


def permutes(s):
    for ndim in range(5):
        order = [int(d) - int(s.rng.integers(2)) * ndim for d in s.rng.permutation(ndim)]
        yield s.sample(f"{ndim}-D", s.sliced(*shape_of(s, ndim)), tuple(order))


op(
    "permute",
    permutes,
    errors=lambda s: [
        error("too few", RuntimeError, "number of dimensions", s.floats(2, 3), (0,)),
        error("twice", RuntimeError, "multiple times|duplicate", s.floats(2, 3), (0, 0)),
        error("range", IndexError, r"range of \[-2, 1\]", s.floats(2, 3), (0, 2)),
    ],
    **VIEW,
)


def pairs_of_dims(s):
    for ndim in range(1, 5):
        a, b = (int(d) for d in s.rng.integers(-ndim, ndim, 2))
        yield s.sample(f"{ndim}-D, {a} and {b}", s.sliced(*shape_of(s, ndim)), a, b)
    yield s.sample("0-d", s.floats(), 0, -1)


for name in ("transpose", "swapaxes", "swapdims"):
    op(
        name,
        pairs_of_dims,
        inplace=True,
        errors=lambda s: [error("range", IndexError, r"Dimension out of range.*got 2", s.floats(2, 3), 0, 2)],
        **VIEW,
    )

op(
    "t",
    lambda s: [s.sample("2-D", s.floats(3, 4)), s.sample("1-D", s.floats(3)), s.sample("0-d", s.floats())],
    inplace=True,
    errors=lambda s: [error("3-D", RuntimeError, "expects a tensor with <= 2 dimensions", s.floats(2, 3, 4))],
    **VIEW,
)
op(
    "adjoint",
    lambda s: [s.sample("2-D", s.floats(3, 4)), s.sample("batch", s.floats(2, 3, 4))],
    errors=lambda s: [error("1-D", RuntimeError, "only supported on matrices", s.floats(2))],
    **VIEW,
)


def flattens(s):
    yield s.sample("all", s.floats(2, 3, 4))
    yield s.sample("0-d", s.floats())
    yield s.sample("by name", s.floats(2, 3, 4), start_dim=1, end_dim=-1)
    for ndim in range(1, 5):
        a, b = sorted(int(d) for d in s.rng.integers(0, ndim, 2))
        yield s.sample(f"{ndim}-D, {a} to {b}", s.sliced(*shape_of(s, ndim)), a, b - ndim)


op(
    "flatten",
    flattens,
    errors=lambda s: [
        error("order", RuntimeError, "start_dim .* cannot come after end_dim", s.floats(2, 3), 1, 0),
        error("range", IndexError, "Dimension out of range", s.floats(2, 3), 0, 2),
    ],
    **VIEW,
)
op(
    "unflatten",
    lambda s: [
        s.sample("last", s.floats(2, 6), 1, (2, 3)),
        s.sample("negative dim, -1", s.floats(6, 2), -2, (3, -1)),
        s.sample("list", s.floats(6), 0, [1, 6, 1]),
        s.sample("sliced", s.sliced(6, 2), 0, (2, 3)),
    ],
    errors=lambda s: [
        error("product", RuntimeError, "don't multiply up to the size of dim 1", s.floats(2, 6), 1, (4, 2)),
        error("no sizes", RuntimeError, "must be non-empty", s.floats(2, 6), 1, ()),
        error("range", IndexError, "Dimension out of range", s.floats(2, 6), 2, (6,)),
    ],
    **VIEW,
)


def squeezes(s):
    yield s.sample("all", s.floats(1, 3, 1))
    yield s.sample("one", s.floats(1, 3, 1), 0)
    yield s.sample("not 1", s.floats(1, 3, 1), 1)
    yield s.sample("tuple", s.floats(1, 3, 1, 1), (0, -1, 1))
    yield s.sample("none of them", s.floats(1, 3), ())
    yield s.sample("0-d", s.floats(), 0)
    yield s.sample("sliced", s.sliced(1, 3, 1), -1)


op(
    "squeeze",
    squeezes,
    inplace=True,
    errors=lambda s: [
        error("range", IndexError, "Dimension out of range", s.floats(1, 3), 2),
        error("twice", RuntimeError, "multiple times", s.floats(1, 3), (0, 0)),
    ],
    **VIEW,
)
op(
    "unsqueeze",
    lambda s: [s.sample(f"at {d}", s.sliced(3, 2), d) for d in range(-3, 3)] + [s.sample("0-d", s.floats(), 0)],
    inplace=True,
    errors=lambda s: [error("range", IndexError, r"range of \[-3, 2\]", s.floats(1, 3), 3)],
    **VIEW,
)


def moves(s):
    yield s.sample("one", s.floats(2, 3, 4), 0, -1)
    yield s.sample("0-d", s.floats(), 0, -1)
    yield s.sample("none", s.floats(2, 3), (), ())
    for ndim in range(2, 6):
        k = int(s.rng.integers(1, ndim + 1))
        source, destination = (tuple(int(d) for d in s.rng.permutation(ndim)[:k]) for _ in range(2))
        yield s.sample(f"{source} to {destination}", s.sliced(*shape_of(s, ndim)), source, destination)


for name in ("movedim", "moveaxis"):
    op(
        name,
        moves,
        errors=lambda s: [
            error("count", RuntimeError, "same number of dims", s.floats(2, 3), (0, 1), (1,)),
            error("twice", RuntimeError, "repeated dim in `source`", s.floats(2, 3), (0, 0), (1, 0)),
            error("twice there", RuntimeError, "repeated dim in `destination`", s.floats(2, 3), (0, 1), (1, -1)),
            error("range", IndexError, "Dimension out of range", s.floats(2, 3), 0, 5),
        ],
        **VIEW,
    )


def expands(s):
    yield s.sample("rows", s.floats(1, 3), (4, 3))
    yield s.sample("new in front", s.floats(3), (2, 4, 3))
    yield s.sample("-1", s.floats(3, 1), (2, -1, 4))
    yield s.sample("as it is", s.floats(3, 2), (3, 2))
    yield s.sample("to size 0", s.floats(1, 2), (0, 2))
    yield s.sample("size 0", s.floats(0, 1), (2, 0, 3))
    yield s.sample("0-d", s.floats(), (2, 3))
    yield s.sample("0-d to 0-d", s.floats(), ())
    yield s.sample("transposed", s.floats(1, 3).T, (3, 4))


def broken_expands(s):
    yield error("too few", RuntimeError, "must be greater or equal to the number of dimensions", s.floats(3, 4), (4,))
    yield error(
        "clash",
        RuntimeError,
        r"must match the existing size \(4\) at non-singleton dimension 1",
        s.floats(3, 4),
        (3, 5),
    )
    yield error("-1 in front", RuntimeError, "isn't allowed in a leading", s.floats(3, 4), (-1, 3, 4))


op("Tensor.expand", expands, errors=broken_expands, **VIEW)
op("broadcast_to", lambda s: expands(s), errors=lambda s: list(broken_expands(s))[:2], **VIEW)
op("Tensor.expand_as", lambda s: [s.sample("other", s.floats(3, 1), s.ints(2, 3, 4))], **VIEW)
op(
    "broadcast_tensors",
    lambda s: [
        s.sample("two", s.floats(3, 1), s.floats(4)),
        s.sample("three", s.floats(), s.floats(2, 1, 1), s.floats(3, 1)),
        s.sample("size 0", s.floats(0, 1), s.floats(1, 2)),
    ],
    dtypes=ALL,
    method=False,
    errors=lambda s: [error("clash", RuntimeError, "must match", s.floats(2), s.floats(3))],
)
op(
    "broadcast_shapes",
    lambda s: [
        s.sample("two", (1, 2), (3, 1)),
        s.sample("ints", 2, (3, 1)),
        s.sample("none"),
        s.sample("0", (0, 1), (1, 4)),
    ],
    dtypes=(),
    order=0,
    method=False,
    torch=lambda *shapes: tuple(torch.broadcast_shapes(*shapes)),
    errors=lambda s: [
        error("clash", RuntimeError, "cannot be broadcast", (2,), (3,)),
        error("negative", ValueError, "negative", (-1,)),
    ],
)

for least in (1, 2, 3):
    op(
        f"atleast_{least}d",
        lambda s: (
            [s.sample(f"{n}-D", s.floats(*range(2, 2 + n))) for n in range(5)]
            + [s.sample("several", s.floats(), s.floats(2, 3)), s.sample("list", [s.floats(3), s.floats()])]
        ),
        dtypes=ALL,
        method=False,
    )


def unfolds(s):
    yield s.sample("overlapping", s.floats(5), 0, 3, 1)
    yield s.sample("apart", s.floats(2, 7), 1, 2, 3)
    yield s.sample("size 0", s.floats(2, 3), 0, 0, 1)
    yield s.sample("0-d", s.floats(), 0, 1, 1)
    yield s.sample("0-d, size 0", s.floats(), 0, 0, 1)
    for ndim in range(1, 4):
        shape = shape_of(s, ndim, 1, 6)
        dim = int(s.rng.integers(-ndim, ndim))
        size, step = int(s.rng.integers(0, shape[dim] + 1)), int(s.rng.integers(1, 4))
        yield s.sample(f"{shape}, dim {dim}, size {size}, step {step}", s.sliced(*shape), dim, size, step)


op(
    "Tensor.unfold",
    unfolds,
    errors=lambda s: [
        error(
            "size", RuntimeError, "maximum size for tensor at dimension 0 is 3 but size is 5", s.floats(3, 4), 0, 5, 1
        ),
        error("step", RuntimeError, "step is 0 but must be > 0", s.floats(3, 4), 0, 1, 0),
        error("negative", RuntimeError, "size is -1", s.floats(3, 4), 0, -1, 1),
        error("range", IndexError, "Dimension out of range", s.floats(3, 4), 2, 1, 1),
    ],
    **VIEW,
)

op(
    "Tensor.T",
    lambda s: [
        s.sample("matrix", s.floats(3, 4)),
        s.sample("empty", s.floats(0, 2)),
        s.sample("sliced", s.sliced(2, 3)),
    ],
    torch=lambda x: x.T,
    dtypes=ALL,
    linear=True,
    method=False,
)
op(
    "Tensor.mT",
    lambda s: [
        s.sample("matrix", s.floats(3, 4)),
        s.sample("batches", s.floats(2, 3, 4)),
        s.sample("empty", s.floats(2, 0, 4)),
        s.sample("transposed", s.floats(4, 3, 2).T),
    ],
    torch=lambda x: x.mT,
    dtypes=ALL,
    linear=True,
    method=False,
    errors=lambda s: [error("vector", RuntimeError, "mT", s.floats(3))],
)
