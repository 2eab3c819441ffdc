"""Scaled dot-product attention, against PyTorch's."""

import numpy as np

from tests.table.core import error, op


def samples(s):
    q, k, v = s.floats(2, 3, 5, 4), s.floats(2, 3, 6, 4), s.floats(2, 3, 6, 7)
    yield s.sample("plain", q, k, v)
    yield s.sample("causal", q, s.floats(2, 3, 5, 4), s.floats(2, 3, 5, 4), is_causal=True)
    yield s.sample("causal, more keys", q, k, v, is_causal=True)
    yield s.sample("causal, fewer keys", k, q, s.floats(2, 3, 5, 3), is_causal=True)
    yield s.sample("scale", q, k, v, scale=0.3)
    yield s.sample("added mask", q, k, v, s.constant(s.floats(5, 6)))
    yield s.sample("added mask with a gradient", q, k, v, s.floats(2, 1, 5, 6))
    yield s.sample("boolean mask", q, k, v, s.rng.random((2, 1, 5, 6)) < 0.7)
    yield s.sample("boolean mask of keys", q, k, v, np.array([[True, False, True, True, True, False]]))
    yield s.sample("three dimensions", s.floats(3, 5, 4), s.floats(3, 6, 4), s.floats(3, 6, 2))
    yield s.sample("two dimensions", s.floats(5, 4), s.floats(6, 4), s.floats(6, 2))
    yield s.sample("five dimensions", s.floats(2, 1, 3, 5, 4), s.floats(2, 1, 3, 6, 4), s.floats(2, 1, 3, 6, 2))
    yield s.sample("grouped", s.floats(2, 6, 5, 4), s.floats(2, 2, 6, 4), s.floats(2, 2, 6, 4), enable_gqa=True)
    yield s.sample("heads broadcast", s.floats(2, 3, 5, 4), s.floats(2, 1, 6, 4), s.floats(1, 3, 6, 4))
    yield s.sample("heads of values alone", s.floats(2, 1, 5, 4), s.floats(1, 6, 4), s.floats(3, 6, 2))
    yield s.sample("keys and values of all", s.floats(2, 3, 5, 4), s.floats(6, 4), s.floats(6, 2))
    yield s.sample("queries of all", s.floats(5, 4), s.floats(2, 3, 6, 4), s.floats(2, 3, 6, 2))
    groups = [s.floats(2, 6, 5, 4), s.floats(2, 2, 6, 4), s.floats(1, 3, 6, 4)]
    yield s.sample("other groups of values", *groups, enable_gqa=True)
    yield s.sample("one query", s.floats(1, 2, 1, 4), s.floats(1, 2, 9, 4), s.floats(1, 2, 9, 4))
    yield s.sample("one of everything", s.floats(1, 1, 1, 1), s.floats(1, 1, 1, 1), s.floats(1, 1, 1, 1))
    yield s.sample("empty batch", s.floats(0, 2, 3, 4), s.floats(0, 2, 3, 4), s.floats(0, 2, 3, 4))
    yield s.sample("empty batch, masked", *(s.floats(0, 2, 3, 4) for _ in range(3)), s.rng.random((3, 3)) < 0.7)
    yield s.sample("no heads, masked", *(s.floats(2, 0, 3, 4) for _ in range(3)), s.constant(s.floats(3, 3)))
    yield s.sample("sliced", s.sliced(2, 2, 3, 4), s.sliced(2, 2, 5, 4), s.sliced(2, 2, 5, 4))
    for i in range(6):
        n, h, t, j, d, e = (int(x) for x in s.rng.integers(1, 6, 6))
        yield s.sample(
            f"random {i}", s.floats(n, h, t, d), s.floats(n, h, j, d), s.floats(n, h, j, e), is_causal=i % 2 == 0
        )


op(
    "nn.functional.scaled_dot_product_attention",
    samples,
    method=False,
    tolerance={"float16": 0.02, "bfloat16": 0.1, "float32": 1e-5},
    errors=lambda s: [
        error("size", RuntimeError, "last dimension", s.floats(1, 1, 2, 3), s.floats(1, 1, 2, 4), s.floats(1, 1, 2, 4)),
        error(
            "heads",
            RuntimeError,
            "heads cannot be broadcast",
            s.floats(1, 4, 2, 3),
            s.floats(1, 3, 2, 3),
            s.floats(1, 3, 2, 3),
        ),
        error(
            "groups",
            RuntimeError,
            "multiple",
            *(s.floats(1, h, 2, 3) for h in (4, 3, 3)),
            enable_gqa=True,
        ),
        error("vector", RuntimeError, "at least 2 dim", s.floats(3), s.floats(3), s.floats(3)),
        error(
            "types",
            RuntimeError,
            "same dtype",
            s.floats(1, 2, 3),
            s.floats(1, 2, 3).astype("float32"),
            s.floats(1, 2, 3),
        ),
        error("mask", RuntimeError, "broadcast", *(s.floats(1, 2, 3) for _ in range(3)), s.rng.random((3, 4)) < 0.5),
    ],
)
