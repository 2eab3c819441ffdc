"""Affine maps."""

from __future__ import annotations

from tests.table.core import error, op

op(
    "nn.functional.linear",
    lambda s: [
        s.sample("matrix", s.floats(3, 4), s.floats(5, 4)),
        s.sample("bias", s.floats(3, 4), s.floats(5, 4), s.floats(5)),
        s.sample("batches", s.floats(2, 3, 4), s.floats(5, 4), s.floats(5)),
        s.sample("vector", s.floats(4), s.floats(5, 4), s.floats(5)),
        s.sample("one output", s.floats(3, 4), s.floats(4)),
        s.sample("one feature", s.floats(3, 1), s.floats(1, 1), s.floats(1)),
        s.sample("no rows", s.floats(0, 4), s.floats(5, 4), s.floats(5)),
        s.sample("no features", s.floats(3, 0), s.floats(5, 0), s.floats(5)),
        s.sample("transposed", s.floats(4, 3).T, s.floats(4, 5).T, s.sliced(5)),
        s.sample("expanded", s.expanded(s.floats(4), 3, 4), s.expanded(s.floats(5, 1), 5, 4), s.floats(5)),
        s.sample("sliced batches", s.sliced(2, 3, 4), s.sliced(5, 4), s.sliced(5)),
    ],
    tolerance={"float16": 1e-2, "bfloat16": 8e-2},
    errors=lambda s: [
        error("features", RuntimeError, r"input \[3, 4\] and weight \[5, 3\]", s.floats(3, 4), s.floats(5, 3)),
        error("types", RuntimeError, "same dtype", s.floats(3, 4), s.constant(s.floats(5, 4).astype("float32"))),
        error("bias", RuntimeError, ".", s.floats(3, 4), s.floats(5, 4), s.floats(4)),
    ],
)
op(
    "nn.functional.bilinear",
    lambda s: [
        s.sample("matrix", s.floats(3, 4), s.floats(3, 2), s.floats(5, 4, 2)),
        s.sample("bias", s.floats(3, 4), s.floats(3, 2), s.floats(5, 4, 2), s.floats(5)),
        s.sample("batches", s.floats(2, 3, 4), s.floats(2, 3, 2), s.floats(1, 4, 2), s.floats(1)),
        s.sample("sliced", s.sliced(3, 4), s.sliced(3, 2), s.sliced(5, 4, 2)),
        s.sample("no rows", s.floats(0, 4), s.floats(0, 2), s.floats(5, 4, 2)),
    ],
    tolerance={"float16": 2e-2, "bfloat16": 1e-1},
    errors=lambda s: [
        error("batch", RuntimeError, "batch dimensions", s.floats(3, 4), s.floats(2, 2), s.floats(5, 4, 2)),
        error("weight", RuntimeError, "must be", s.floats(3, 4), s.floats(3, 2), s.floats(5, 2, 4)),
    ],
)
