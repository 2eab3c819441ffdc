"""Linear and bilinear maps."""

from __future__ import annotations

from tests.table.core import error, op


def linear_samples(s):
    yield s.sample("matrix", s.floats(5, 3), s.floats(4, 3), s.floats(4))
    yield s.sample("no bias", s.floats(5, 3), s.floats(4, 3))
    yield s.sample("vector", s.floats(3), s.floats(4, 3), s.floats(4))
    yield s.sample("3d", s.floats(2, 5, 3), s.floats(4, 3), s.floats(4))
    yield s.sample("4d no bias", s.floats(2, 2, 2, 3), s.floats(4, 3))
    yield s.sample("transposed", s.floats(3, 5).T, s.floats(3, 4).T, s.floats(4))
    yield s.sample("sliced", s.sliced(5, 3), s.sliced(4, 3), s.sliced(4))
    yield s.sample("expanded", s.expanded(s.floats(3), 5, 3), s.floats(4, 3), s.expanded(s.floats(1), 4))
    yield s.sample("permuted 3d", s.floats(3, 5, 2).transpose(2, 1, 0), s.floats(4, 3), bias=s.floats(4))
    yield s.sample("empty batch", s.floats(0, 3), s.floats(4, 3), s.floats(4))
    yield s.sample("no features", s.floats(2, 0), s.floats(4, 0), s.floats(4))
    yield s.sample("no outputs", s.floats(2, 3), s.floats(0, 3), s.floats(0))
    yield s.sample("weight vector", s.floats(5, 3), s.floats(3))
    yield s.sample("expanded weight", s.floats(3, 4), s.expanded(s.floats(5, 1), 5, 4), s.floats(5))
    yield s.sample("sliced batches", s.sliced(2, 3, 4), s.sliced(5, 4), s.sliced(5))
    yield s.sample("one", s.floats(1, 1), s.floats(1, 1), s.floats(1))


def linear_errors(s):
    yield error("features", RuntimeError, "share their last dimension", s.floats(5, 3), s.floats(4, 2))
    yield error("bias", RuntimeError, "4", s.floats(5, 3), s.floats(4, 3), s.floats(3))
    yield error("types", RuntimeError, "same dtype", s.floats(5, 3), s.floats(4, 3).astype("float32"))


op(
    "nn.functional.linear",
    linear_samples,
    tolerance={"float16": 1e-2, "bfloat16": 8e-2},
    errors=linear_errors,
)


def bilinear_samples(s):
    yield s.sample("matrix", s.floats(5, 3), s.floats(5, 2), s.floats(4, 3, 2), s.floats(4))
    yield s.sample("no bias", s.floats(5, 3), s.floats(5, 2), s.floats(4, 3, 2))
    yield s.sample("3d", s.floats(2, 5, 3), s.floats(2, 5, 2), s.floats(4, 3, 2), s.floats(4))
    yield s.sample("transposed", s.floats(3, 5).T, s.floats(2, 5).T, s.floats(2, 3, 4).T, s.floats(4))
    yield s.sample("sliced", s.sliced(3, 4), s.sliced(3, 2), s.sliced(5, 4, 2))
    yield s.sample("one", s.floats(2, 3, 4), s.floats(2, 3, 2), s.floats(1, 4, 2), s.floats(1))
    yield s.sample("no rows", s.floats(0, 4), s.floats(0, 2), s.floats(5, 4, 2))


op(
    "nn.functional.bilinear",
    bilinear_samples,
    tolerance={"float16": 2e-2, "bfloat16": 1e-1},
    errors=lambda s: [
        error("features", RuntimeError, "in1", s.floats(5, 2), s.floats(5, 2), s.floats(4, 3, 2)),
        error("bias", RuntimeError, "bias", s.floats(5, 3), s.floats(5, 2), s.floats(4, 3, 2), s.floats(3)),
        error("batch", RuntimeError, "batch", s.floats(4, 3), s.floats(5, 2), s.floats(4, 3, 2)),
    ],
)
