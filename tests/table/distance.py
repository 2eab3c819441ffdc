"""Distances and similarities."""

from __future__ import annotations

import numpy as np
import torch

from tests.table.core import error, op

op(
    "nn.functional.cosine_similarity",
    lambda s: [
        s.sample("rows", s.floats(3, 4), s.floats(3, 4)),
        s.sample("columns", s.floats(3, 4), s.floats(3, 4), dim=0),
        s.sample("negative dim", s.floats(2, 3, 4), s.floats(2, 3, 4), -1),
        s.sample("broadcast", s.floats(3, 1, 4), s.floats(5, 4), dim=-1),
        s.sample("broadcast along dim", s.floats(3, 4), s.floats(3, 1)),
        s.sample("vectors", s.floats(4), s.floats(4), dim=0),
        s.sample("eps", s.floats(3, 4) * 1e-3, s.floats(3, 4), eps=0.1, order=0),
        s.sample("zero vector", np.zeros((2, 4)), s.floats(2, 4), order=0),
        s.sample("transposed", s.floats(4, 3).T, s.sliced(3, 4)),
        s.sample("empty", s.floats(0, 4), s.floats(0, 4)),
        s.sample("zero dimensions", s.floats(), s.floats(), dim=0, order=0),
        s.sample("types", s.floats(3, 4), s.floats(3, 4).astype("float32"), order=0),
    ],
    kinks="the zero vector",
    errors=lambda s: [
        error("shapes", RuntimeError, r"dimension 1", s.floats(4, 3), s.floats(4, 2)),
        error("dim", IndexError, "out of range", s.floats(4, 3), s.floats(4, 3), dim=2),
        error("integers", RuntimeError, "floating point", s.ints(4, 3), s.ints(4, 3)),
        error("a list", TypeError, "x2", s.floats(3), [1.0, 2.0, 3.0]),
    ],
)

op(
    "nn.functional.pairwise_distance",
    lambda s: [
        *(
            s.sample(f"p {p} keepdim {k}", s.floats(3, 4), s.floats(3, 4), p, 1e-6, k)
            for p in (2.0, 1.0, 3.0, 0.5, float("inf"))
            for k in (False, True)
        ),
        s.sample("p 0", s.floats(3, 4), s.floats(3, 4), 0.0, order=1),
        s.sample("minus infinity", s.floats(3, 4), s.floats(3, 4), -float("inf")),
        s.sample("eps", s.floats(3, 4), s.floats(3, 4), eps=0.5),
        s.sample("broadcast", s.floats(4), s.floats(3, 4)),
        s.sample("vectors", s.floats(4), s.floats(4)),
        s.sample("three dimensions", s.floats(2, 3, 4), s.floats(3, 4)),
        s.sample("same point", np.ones((2, 3)), np.ones((2, 3)), order=0),
        s.sample("empty", s.floats(0, 4), s.floats(0, 4)),
    ],
    kinks="points that coincide",
    errors=lambda s: [
        error("shapes", RuntimeError, "dimension 1", s.floats(4, 3), s.floats(4, 2)),
        error("a list", TypeError, "x2", s.floats(3), [1.0, 2.0, 3.0]),
    ],
)

op(
    "nn.functional.pdist",
    lambda s: [
        *(s.sample(f"p {p}", s.floats(5, 3), p) for p in (2.0, 1.0, 3.0, float("inf"))),
        s.sample("p 0", s.floats(5, 3), 0.0, order=0),
        s.sample("no rows", s.floats(0, 3), order=0),
        s.sample("one row", s.floats(1, 3), order=0),
        s.sample("no columns", s.floats(3, 0), order=0),
        s.sample("transposed", s.floats(3, 5).T),
    ],
    torch=torch.pdist,
    kinks="points that coincide",
    errors=lambda s: [
        error("vector", RuntimeError, "only supports 2D", s.floats(3)),
        error("three dimensions", RuntimeError, "only supports 2D", s.floats(3, 2, 2)),
        error("negative p", RuntimeError, "non-negative p", s.floats(3, 2), p=-1),
        error("integers", RuntimeError, "floating-point", s.ints(3, 2)),
    ],
)
