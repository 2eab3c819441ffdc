"""Embeddings, bags of them, and one-hot vectors."""

from __future__ import annotations

import numpy as np

from tests.table.core import error, op


def embedding_samples(s):
    # Where rows get no gradient, or a mean of it, it is not the derivative: see tests/kernels/test_embedding.py.
    yield s.sample("vector", s.ints(7, high=5), s.floats(5, 3))
    yield s.sample("matrix", s.ints(2, 4, high=5), s.floats(5, 3))
    yield s.sample("0d", s.ints(high=5), s.floats(5, 3))
    yield s.sample("int32", s.ints(2, 4, high=5, dtype="int32"), s.floats(5, 3))
    yield s.sample("empty", s.ints(0, high=5), s.floats(5, 3))
    yield s.sample("transposed", s.ints(4, 2, high=5).T, s.floats(3, 5).T)
    yield s.sample("padding", s.ints(9, high=4), s.floats(4, 3), 1, order=0)
    yield s.sample("negative padding", s.ints(9, high=4), s.floats(4, 3), padding_idx=-1, order=0)
    yield s.sample("by frequency", s.ints(9, high=4), s.floats(4, 3), scale_grad_by_freq=True, order=0)
    yield s.sample("both", s.ints(3, 4, high=4), s.floats(4, 3), 2, scale_grad_by_freq=True, order=0)


def embedding_errors(s):
    yield error("above", IndexError, "index 5.*5 rows", np.array([1, 5]), s.floats(5, 3))
    yield error("below", IndexError, "index -1.*5 rows", np.array([1, -1]), s.floats(5, 3))
    yield error("floats", RuntimeError, "int64", s.floats(3), s.floats(5, 3))
    yield error("padding", AssertionError, "within num_embeddings", s.ints(3, high=5), s.floats(5, 3), 5)


op("nn.functional.embedding", embedding_samples, errors=embedding_errors)


def bag_samples(s):
    offsets = np.array([0, 3, 3, 7])
    for mode in ("sum", "mean", "max"):
        yield s.sample(f"{mode} matrix", s.ints(3, 4, high=5), s.floats(5, 2), mode=mode)
        yield s.sample(f"{mode} offsets", s.ints(9, high=5), s.floats(5, 2), offsets, mode=mode)
        yield s.sample(f"{mode} last", s.ints(7, high=5), s.floats(5, 2), offsets, mode=mode, include_last_offset=True)
        yield s.sample(f"{mode} padding", s.ints(9, high=3), s.floats(3, 2), offsets, mode=mode, padding_idx=-2)
    yield s.sample("factors", s.ints(3, 4, high=5), s.floats(5, 2), mode="sum", per_sample_weights=s.floats(3, 4))
    yield s.sample("by frequency", s.ints(9, high=5), s.floats(5, 2), offsets, scale_grad_by_freq=True, order=0)
    yield s.sample("int32", s.ints(5, high=5, dtype="int32"), s.floats(5, 2), np.array([0, 2], "int32"), mode="sum")
    for i in range(6):
        rows, dim, places = (int(n) for n in s.rng.integers(1, 6, 3))
        offsets = np.sort(np.append(0, s.rng.integers(0, places, s.rng.integers(0, 4))))
        for mode in ("sum", "mean", "max"):
            factors = {"per_sample_weights": s.floats(places)} if mode == "sum" and i % 2 else {}
            if mode != "max" and i > 2:
                factors["padding_idx"] = int(s.rng.integers(-rows, rows))
            index = s.ints(places, high=rows)
            yield s.sample(f"{mode} random {i}", index, s.floats(rows, dim), offsets, mode=mode, **factors)


def bag_errors(s):
    yield error("offsets missing", ValueError, "1D", s.ints(4), s.floats(10, 2))
    yield error("offsets not wanted", ValueError, "None", s.ints(2, 4), s.floats(10, 2), np.array([0]))
    yield error("mode", ValueError, "mode has to be", s.ints(2, 4), s.floats(10, 2), mode="min")
    yield error("factors", NotImplementedError, "sum", s.ints(2, 4), s.floats(10, 2), per_sample_weights=s.floats(2, 4))
    yield error("first offset", RuntimeError, "has to be 0", s.ints(4), s.floats(10, 2), np.array([1, 2]))


op("nn.functional.embedding_bag", bag_samples, errors=bag_errors)

op(
    "nn.functional.one_hot",
    lambda s: [
        s.sample("inferred", s.ints(3, 4, high=5)),
        s.sample("given", s.ints(3, high=4), 6),
        s.sample("0d", np.array(2), num_classes=4),
        s.sample("empty", s.ints(0, 2), 3),
    ],
    order=0,
    dtypes=("float64",),
    errors=lambda s: [
        error("negative", RuntimeError, "non-negative", np.array([0, -1])),
        error("too large", RuntimeError, "smaller than num_classes", np.array([0, 3]), 3),
        error("empty", RuntimeError, "infer", s.ints(0)),
        error("type", RuntimeError, "int64", s.ints(3, dtype="int32")),
    ],
)
