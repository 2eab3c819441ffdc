"""Dropout: shapes and refusals (statistics and gradients: tests/kernels/test_dropout.py)."""

from __future__ import annotations

from tests.table.core import error, op


def plain(s):
    yield s.sample("half", s.floats(3, 4), training=True)
    yield s.sample("p", s.floats(3, 4), 0.3, True)
    yield s.sample("evaluation", s.floats(3, 4), 0.3, False)
    yield s.sample("empty", s.floats(0, 4), training=True)
    yield s.sample("all", s.floats(3, 4), p=1.0, training=True)
    yield s.sample("none", s.floats(3, 4), p=0.0, training=True)
    yield s.sample("0d", s.floats(), training=True)


def of(*shapes):
    def samples(s):
        for shape in shapes:
            yield s.sample(f"{len(shape)}d", s.floats(*shape), 0.4, True)
            yield s.sample(f"{len(shape)}d evaluation", s.floats(*shape), 0.4, False)

    return samples


def errors(s):
    yield error("p above", ValueError, "between 0 and 1", s.floats(2, 3, 4), 1.5)
    yield error("p below", ValueError, "between 0 and 1", s.floats(2, 3, 4), -0.1)


for _name, _samples in {
    "dropout": plain,
    "alpha_dropout": plain,
    "dropout1d": of((3, 4), (2, 3, 4)),
    "dropout2d": of((2, 3, 4, 5)),
    "dropout3d": of((3, 4, 2, 2), (2, 3, 4, 2, 2)),
    "feature_alpha_dropout": of((2, 3), (2, 3, 4, 5)),
}.items():
    op(f"nn.functional.{_name}", _samples, errors=errors, compare="shape", order=1)
