"""Entries for minidl.ops.gathering and minidl.ops.scatter_reduction."""

import warnings

import torch

from tests.table.core import ALL, error, op

NO_BOOL = tuple(d for d in ALL if d != "bool")


def indexed(s, *, larger_source=False, distinct=False):
    """(name, input, dim, index, source): an index into ``input`` along ``dim``, not larger along the other axes."""
    cases = [("1-D", (5,), 0, (4,)), ("rows", (3, 4), 0, (2, 4)), ("longer", (3, 4), -1, (2, 6)), ("0-d", (), 0, ())]
    cases += [("0-d index", (3,), 0, ()), ("no places", (3, 4), 0, (0, 4)), ("one place", (2, 3, 4), 1, (1, 1, 1))]
    for _ in range(4):
        ndim = int(s.rng.integers(1, 4))
        shape = tuple(int(n) for n in s.rng.integers(1, 5, ndim))
        dim = int(s.rng.integers(-ndim, ndim))
        places = [int(s.rng.integers(1, n + 1)) for n in shape]
        places[dim] = int(s.rng.integers(1, 6))
        cases.append((f"{shape}, dim {dim}, index {tuple(places)}", shape, dim, tuple(places)))
    for name, shape, dim, places in cases:
        size = shape[dim] if shape else 1
        index = s.ints(*places, high=size)
        if distinct:  # each place at most once: a permutation along dim
            if places and places[dim] > size:
                places = (*places[: dim % len(places)], size, *places[dim % len(places) + 1 :])
            index = s.rng.random((*places[:dim], size, *places[dim:][1:]) if places else (1,)).argsort(dim)
            index = index[tuple(slice(n) for n in places)] if places else index.reshape(())
        extra = int(larger_source and bool(places))
        source = s.floats(*(n + extra for n in index.shape))
        yield name, s.sliced(*shape) if len(shape) > 1 else s.floats(*shape), dim, index, source


op(
    "gather",
    lambda s: (
        [s.sample(name, x, dim, index) for name, x, dim, index, _ in indexed(s)]
        + [
            s.sample("int32", s.floats(3, 2), 0, s.ints(2, 2, high=3, dtype="int32")),
            s.sample("sparse_grad", s.floats(3, 2), 0, s.ints(2, 2, high=3), sparse_grad=False),
            s.sample("empty of another ndim", s.floats(3, 2), 0, s.ints(0)),
        ]
    ),
    dtypes=ALL,
    linear=True,
    errors=lambda s: [
        error("ndim", RuntimeError, "same number of dimensions", s.floats(3, 4), 0, s.ints(2, high=2)),
        error("larger", RuntimeError, "no larger than self", s.floats(3, 4), 0, s.ints(1, 5, high=3)),
        error(
            "range",
            RuntimeError,
            "index 5 is out of bounds for dimension 0 with size 3",
            s.floats(3),
            0,
            s.ints(1) * 0 + 5,
        ),
        error("negative", RuntimeError, "index -1 is out of bounds", s.floats(3), 0, s.ints(1) * 0 - 1),
        error("type", RuntimeError, "Expected dtype int32 or int64", s.floats(3), 0, s.floats(1)),
        error("dim", IndexError, "Dimension out of range", s.floats(3), 1, s.ints(1, high=1)),
    ],
)
op(
    "take_along_dim",
    lambda s: [
        s.sample("flattened", s.floats(3, 4), s.ints(5, high=12)),
        s.sample("flattened matrix", s.floats(3, 4), s.ints(2, 3, high=12)),
        s.sample("sort", s.floats(3, 4), s.floats(3, 4).argsort(1), 1),
        s.sample("broadcast index", s.floats(3, 4), s.ints(1, 2, high=4), dim=1),
        s.sample("broadcast input", s.floats(1, 4), s.ints(3, 2, high=4), -1),
        s.sample("negative", s.sliced(3, 4), s.ints(2, 4, high=3) - 3, 0),
    ],
    dtypes=ALL,
    linear=True,
    errors=lambda s: [
        error("ndim", RuntimeError, "same number of dimensions", s.floats(3, 4), s.ints(2, high=2), 0),
        error("shapes", RuntimeError, "must match", s.floats(3, 4), s.ints(1, 2, high=2), 0),
        error("type", RuntimeError, "should be", s.floats(3), s.ints(1, high=3, dtype="int32"), 0),
    ],
)


def broken_scatters(s):
    x, index = s.floats(3, 4), s.ints(2, 2, high=3)
    yield error("larger than src", RuntimeError, "no larger size than src", x, 0, index, s.floats(1, 2))
    yield error("larger than self", RuntimeError, "no larger than self", x, 0, s.ints(1, 5, high=3), s.floats(1, 5))
    yield error("range", RuntimeError, "index 7 is out of bounds for dimension 0", x, 0, index * 0 + 7, s.floats(2, 2))
    yield error("negative", RuntimeError, "index -1 is out of bounds", x, 0, index * 0 - 1, s.floats(2, 2))
    yield error("ndim", RuntimeError, "same number of dimensions", x, 0, s.ints(2, high=3), s.floats(2, 2))
    yield error("src ndim", RuntimeError, "same number of dimensions as src", x, 0, index, s.floats())
    yield error("dtype", RuntimeError, "same dtype", x, 0, index, s.ints(2, 2))
    yield error("dim", IndexError, "Dimension out of range", x, 2, index, s.floats(2, 2))


op(
    "scatter",
    lambda s: (
        [s.sample(name, x, dim, index, src) for name, x, dim, index, src in indexed(s, distinct=True)]
        + [
            s.sample(f"larger src, {name}", x, dim, index, s.constant(src))
            for name, x, dim, index, src in list(indexed(s, larger_source=True, distinct=True))[:3]
        ]
        + [s.sample(f"number, {name}", x, dim, index, 1.0) for name, x, dim, index, _ in indexed(s)]
        + [
            s.sample("value", s.floats(3, 4), 1, s.ints(3, 2, high=4), value=2),
            s.sample("int32", s.floats(3), 0, s.ints(1, high=3, dtype="int32"), s.floats(1)),
            s.sample("add", s.floats(3, 4), 0, s.ints(2, 3, high=3), 1.5, reduce="add", order=0),
            s.sample("multiply", s.floats(3, 4), 0, s.ints(2, 3, high=3), 2.0, reduce="multiply", order=0),
        ]
    ),
    dtypes=NO_BOOL,
    inplace=True,
    errors=lambda s: [
        *broken_scatters(s),
        error("reduce", RuntimeError, "either add or multiply", s.floats(3), 0, s.ints(1, high=3), 2.0, reduce="sum"),
    ],
)
op(
    "scatter_add",
    lambda s: (
        [s.sample(name, x, dim, index, src) for name, x, dim, index, src in indexed(s)]
        + [s.sample("transposed", s.floats(4, 3).T, 0, s.ints(4, 5, high=3).T[:, :4], s.floats(4, 5).T)]
    ),
    dtypes=ALL,
    inplace=True,
    errors=lambda s: list(broken_scatters(s)),
)


def reductions(s):
    for reduce in ("sum", "prod", "mean", "amax", "amin"):
        for include_self in (True, False):
            for name, x, dim, index, src in indexed(s):
                if not index.size or not index.ndim:
                    continue
                shuffled = s.distinct(*src.shape) + 0.013
                yield s.sample(
                    f"{reduce} {include_self} {name}", x, dim, index, shuffled, reduce, include_self=include_self
                )
    yield s.sample("larger src", s.floats(3, 4), 0, s.ints(2, 3, high=3), s.constant(s.floats(3, 4)), "sum")
    ties = s.ints(4, 2, low=1, high=3).astype("float64")
    for reduce in ("amax", "amin"):
        yield s.sample(f"{reduce} with ties", s.floats(2, 2) * 0 + 1, 0, s.ints(4, 2, high=2), ties, reduce, order=0)
    zeros = s.floats(5, 2) * (s.rng.random((5, 2)) < 0.6)
    yield s.sample("prod with zeros", s.floats(3, 2), 0, s.ints(5, 2, high=3), zeros, "prod")
    for i in range(4):
        shape = (3, *s.shape(1))
        index = s.ints(5, *shape[1:], high=3)
        few = s.floats(*index.shape) * (s.rng.random(index.shape) < 0.5)
        x = s.floats(*shape) * (s.rng.random(shape) < 0.7)
        yield s.sample(f"prod random {i}", x, 0, index, few, "prod", include_self=i % 2 == 0)


op(
    "scatter_reduce",
    reductions,
    dtypes=NO_BOOL,
    inplace=True,
    kinks="amax and amin: those that are equally extreme share the gradient",
    errors=lambda s: [
        error(
            "reduce", RuntimeError, "reduce argument must be", s.floats(3), 0, s.ints(1, high=3), s.floats(1), "median"
        ),
        error("missing", TypeError, "reduce", s.floats(3), 0, s.ints(1, high=3), s.floats(1)),
        error("dtype", RuntimeError, "same dtype", s.floats(3), 0, s.ints(1, high=3), s.ints(1), "sum"),
    ],
)


def selections(s):
    yield s.sample("rows", s.floats(3, 4), 0, s.ints(5, high=3))
    yield s.sample("columns", s.sliced(3, 4), -1, s.ints(2, high=4))
    yield s.sample("int32", s.floats(3, 4), 1, s.ints(2, high=4, dtype="int32"))
    yield s.sample("0-d index", s.floats(3, 4), 0, s.ints(high=3))
    yield s.sample("0-d", s.floats(), 0, s.ints(1, high=1))
    yield s.sample("none", s.floats(3, 4), 0, s.ints(0))
    yield s.sample("size 0", s.floats(3, 0), 0, s.ints(2, high=3))
    yield s.sample("middle", s.floats(2, 3, 2), 1, s.ints(4, high=3))


op(
    "index_select",
    selections,
    dtypes=ALL,
    linear=True,
    errors=lambda s: [
        error("range", IndexError, "out of (bounds|range)", s.floats(3), 0, s.ints(1) * 0 + 5),
        error("negative", IndexError, "out of (bounds|range)", s.floats(3), 0, s.ints(1) * 0 - 1),
        error("matrix", IndexError, "supposed to be a vector", s.floats(3), 0, s.ints(1, 1, high=3)),
        error("type", RuntimeError, "Expected dtype", s.floats(3), 0, s.floats(1)),
        error("two of one", RuntimeError, "only have 1|only 1 value|can have only 1", s.floats(), 0, s.ints(2, high=1)),
        error("dim", IndexError, "Dimension out of range", s.floats(3), 1, s.ints(1, high=1)),
    ],
)


def slices(s, *, distinct):
    """(name, input, dim, index, source): whole slices to be written."""
    for name, shape, dim, n in (
        ("rows", (3, 4), 0, 2),
        ("columns", (3, 4), -1, 3),
        ("middle", (2, 3, 2), 1, 3),
        ("vector", (4,), 0, 3),
        ("none", (3, 4), 0, 0),
        ("size 0", (3, 0), 0, 2),
    ):
        index = s.rng.permutation(shape[dim])[:n] if distinct else s.ints(n, high=shape[dim])
        source = list(shape)
        source[dim] = n
        yield name, s.sliced(*shape), dim, index, s.floats(*source)
    yield "0-d", s.floats(), 0, s.ints(1, high=1), s.floats()
    yield "0-d index", s.floats(3), 0, s.ints(high=3), s.floats(1)


op(
    "index_add",
    lambda s: (
        [s.sample(*case) for case in slices(s, distinct=False)]
        + [
            s.sample("alpha", s.floats(3, 4), 0, s.ints(5, high=3), s.floats(5, 4), alpha=2),
            s.sample("int32", s.floats(3, 4), 0, s.ints(5, high=3, dtype="int32"), s.floats(5, 4)),
            s.sample("transposed", s.floats(5, 7).T, 0, s.ints(20, high=7), s.floats(5, 20).T),
            s.sample("many", s.floats(7, 5), 0, s.ints(200, high=7), s.floats(200, 5)),
            s.sample("long rows", s.floats(4, 130), 0, s.ints(9, high=4), s.floats(9, 130)),
            s.sample("long rows, no places", s.floats(4, 130), 0, s.ints(0), s.floats(0, 130)),
        ]
    ),
    dtypes=NO_BOOL,
    inplace=True,
    tolerance={"bfloat16": 0.3, "float16": 0.03},
    errors=lambda s: [
        error("count", RuntimeError, "Number of indices", s.floats(3, 4), 0, s.ints(2, high=3), s.floats(3, 4)),
        error(
            "shape", RuntimeError, "must match self tensor shape", s.floats(3, 4), 0, s.ints(2, high=3), s.floats(2, 3)
        ),
        error("range", RuntimeError, "out of bounds", s.floats(3, 2), 0, s.ints(1) * 0 + 5, s.floats(1, 2)),
        error("matrix", IndexError, "supposed to be a vector", s.floats(3), 0, s.ints(1, 1, high=3), s.floats(1)),
        error("dtype", RuntimeError, "same", s.floats(3), 0, s.ints(1, high=3), s.ints(1)),
    ],
)
op(
    "index_copy",
    lambda s: [s.sample(*case) for case in slices(s, distinct=True)],
    dtypes=ALL,
    inplace=True,
    errors=lambda s: [
        error("count", IndexError, "Number of indices", s.floats(3, 4), 0, s.ints(2, high=3), s.floats(3, 4)),
        error("range", IndexError, "out of bounds", s.floats(3), 0, s.ints(1) * 0 + 5, s.floats(1)),
        error("dtype", RuntimeError, "same dtype", s.floats(3), 0, s.ints(1, high=3), s.ints(1)),
        error("ndim", IndexError, "dimensionality must match", s.floats(3, 4), 0, s.ints(high=3), s.floats(4)),
        error("slices", RuntimeError, "same slice shapes", s.floats(3, 4), 0, s.ints(1, high=3), s.floats()),
        error("type", RuntimeError, "int64|long", s.floats(3), 0, s.ints(1, high=3, dtype="int32"), s.floats(1)),
    ],
)
op(
    "index_fill",
    lambda s: (
        [s.sample(name, x, dim, index, 1.5) for name, x, dim, index, _ in slices(s, distinct=False)]
        + [
            s.sample("tensor value", s.floats(3, 4), 0, s.ints(2, high=3), s.floats()),
            s.sample("negative", s.floats(3, 4), 1, s.ints(2, high=3) - 3, 0),
            s.sample("named twice", s.floats(3, 4), 0, s.ints(4, high=1), s.floats()),
        ]
    ),
    dtypes=NO_BOOL,
    inplace=True,
    errors=lambda s: [
        error("range", IndexError, "out of bounds", s.floats(3), 0, s.ints(1) * 0 + 5, 1.0),
        error("value", RuntimeError, "0-dimensional value", s.floats(3), 0, s.ints(1, high=3), s.floats(1)),
        error("type", IndexError, "int64", s.floats(3), 0, s.ints(1, high=3, dtype="int32"), 1.0),
    ],
)
op(
    "take",
    lambda s: [
        s.sample("matrix", s.floats(3, 4), s.ints(2, 3, high=12)),
        s.sample("negative", s.sliced(3, 4), s.ints(5, high=12) - 12),
        s.sample("0-d index", s.floats(3), s.ints(high=3)),
        s.sample("0-d", s.floats(), s.ints(2, high=1)),
        s.sample("none of none", s.floats(0), s.ints(0)),
    ],
    dtypes=ALL,
    linear=True,
    errors=lambda s: [
        error("range", IndexError, "out of (bounds|range)", s.floats(3), s.ints(1) * 0 + 5),
        error("empty", IndexError, "empty tensor", s.floats(0), s.ints(1)),
        error("type", RuntimeError, "int64|long", s.floats(3), s.ints(1, high=3, dtype="int32")),
    ],
)
op(
    "Tensor.put",
    lambda s: [
        s.sample("once", s.floats(3, 4), s.rng.permutation(12)[:4], s.floats(4)),
        s.sample("accumulate, transposed", s.floats(4, 3).T, s.ints(2, 3, high=12), s.floats(6), accumulate=True),
        s.sample("accumulate", s.sliced(3, 4), s.ints(2, 3, high=12), s.floats(6), accumulate=True),
        s.sample("negative", s.floats(3, 4), s.rng.permutation(12)[:4].reshape(2, 2) - 12, s.floats(2, 2), False),
        s.sample("none", s.floats(3), s.ints(0), s.floats(0)),
    ],
    dtypes=NO_BOOL,
    inplace=True,
    errors=lambda s: [
        error("count", IndexError, "same number of elements", s.floats(3), s.ints(2, high=3), s.floats(1)),
        error("range", IndexError, "out of (bounds|range)", s.floats(3), s.ints(1) * 0 + 90, s.floats(1)),
        error("dtype", RuntimeError, "same dtype", s.floats(3), s.ints(1, high=3), s.ints(1)),
    ],
)


def index_reduce(*args, **kwargs):
    """PyTorch's, which warns that it is new."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.index_reduce(*args, **kwargs)


op(
    "index_reduce",
    lambda s: [
        s.sample(
            f"{reduce} {include_self} {name}",
            x,
            dim,
            index,
            s.distinct(*src.shape) + 0.013,
            reduce,
            include_self=include_self,
        )
        for reduce in ("prod", "mean", "amax", "amin")
        for include_self in (True, False)
        for name, x, dim, index, src in list(slices(s, distinct=False))[:4]
    ],
    dtypes=("float32", "float64"),
    order=1,
    torch=index_reduce,
    errors=lambda s: [
        error("reduce", RuntimeError, "Expected reduce", s.floats(3), 0, s.ints(1, high=3), s.floats(1), "sum")
    ],
)
