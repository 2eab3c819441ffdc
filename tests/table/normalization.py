"""Normalisation: over all argument forms, layouts, and sizes 0 and 1."""

from __future__ import annotations

import numpy as np
import torch

from tests.table.core import FLOATS, error, op

F = torch.nn.functional


def channels_last(array):
    """The same values with channels innermost in memory."""
    order = (0, *range(2, array.ndim), 1)
    return np.ascontiguousarray(array.transpose(order)).transpose(0, array.ndim - 1, *range(1, array.ndim - 1))


def fresh_statistics(function):
    """PyTorch's function on copies of the running statistics: both libraries start from the same ones."""
    return lambda x, mean, var, *args, **kw: function(
        x, None if mean is None else mean.clone(), None if var is None else var.clone(), *args, **kw
    )


def batch_norm_samples(s):
    c = s.constant
    yield s.sample("train", s.floats(4, 3), None, None, training=True)
    yield s.sample(
        "train affine", s.floats(4, 3, 5), None, None, s.floats(3), s.floats(3), training=True, momentum=0.3, eps=1e-3
    )
    yield s.sample("train 2d", s.floats(2, 3, 4, 5), None, None, s.floats(3), s.floats(3), True, 0.1, 1e-5)
    yield s.sample(
        "train channels last", channels_last(s.floats(2, 3, 4, 5)), None, None, s.floats(3), s.floats(3), training=True
    )
    yield s.sample("train no batch", s.constant(s.floats(0, 3, 4)), None, None, s.floats(3), training=True)
    yield s.sample("train weight only", s.floats(2, 3, 4), None, None, weight=s.floats(3), training=True)
    yield s.sample("train bias only", s.floats(2, 3, 4), None, None, bias=s.floats(3), training=True)
    yield s.sample("train 3d transposed", s.floats(5, 2, 3, 2, 2).T, None, None, training=True)
    yield s.sample("train sliced", s.sliced(3, 4, 2), None, None, s.sliced(4), s.sliced(4), training=True)
    yield s.sample("train expanded", s.expanded(s.floats(3, 1, 2), 3, 4, 2), None, None, training=True)
    yield s.sample("eval", s.floats(4, 3), c(s.floats(3)), c(s.positive(3)))
    yield s.sample("eval affine", s.floats(2, 3, 4), c(s.floats(3)), c(s.positive(3)), s.floats(3), s.floats(3))
    yield s.sample(
        "eval channels last",
        channels_last(s.floats(2, 3, 4, 5)),
        c(s.floats(3)),
        c(s.positive(3)),
        s.floats(3),
        s.floats(3),
        False,
    )
    yield s.sample("eval empty batch", s.floats(0, 3, 2), c(s.floats(3)), c(s.positive(3)), s.floats(3), s.floats(3))
    yield s.sample("one channel", s.floats(4, 1, 2), None, None, s.floats(1), s.floats(1), training=True)
    yield s.sample("large mean", s.floats(8, 2) + 1e6, None, None, training=True, order=0)


op(
    "nn.functional.batch_norm",
    batch_norm_samples,
    torch=fresh_statistics(F.batch_norm),
    dtypes=FLOATS,
    tolerance={"float32": 1e-4, "float16": 1e-2, "bfloat16": 8e-2},
    dtype_samples=("train", "train 2d", "train channels last", "eval", "eval affine"),
    errors=lambda s: [
        error("eps", ValueError, "eps must be positive", s.floats(4, 3), None, None, training=True, eps=0.0),
        error(
            "negative eps",
            ValueError,
            "eps must be non-negative",
            s.floats(4, 3),
            s.floats(3),
            s.positive(3),
            eps=-1.0,
        ),
        error(
            "one value a channel",
            ValueError,
            "more than 1 value per channel",
            s.floats(1, 3),
            None,
            None,
            training=True,
        ),
        error(
            "running_mean size",
            RuntimeError,
            r"running_mean should contain 3 elements.*not 4",
            s.floats(2, 3),
            s.constant(s.floats(4)),
            s.constant(s.positive(3)),
        ),
        error(
            "weight size",
            RuntimeError,
            r"weight should contain 3 elements.*dim 1.*not 2",
            s.floats(2, 3),
            None,
            None,
            s.floats(2),
            training=True,
        ),
        error("no statistics", RuntimeError, "running_mean must be defined", s.floats(2, 3), None, None),
    ],
)

op(
    "nn.functional.instance_norm",
    lambda s: [
        s.sample("plain", s.floats(2, 3, 4)),
        s.sample("affine", s.floats(2, 3, 4, 2), weight=s.floats(3), bias=s.floats(3), eps=1e-3),
        s.sample("channels last", channels_last(s.floats(2, 3, 4, 2)), weight=s.floats(3), bias=s.floats(3)),
        s.sample(
            "given",
            s.floats(2, 3, 4),
            s.constant(s.floats(3)),
            s.constant(s.positive(3)),
            s.floats(3),
            s.floats(3),
            use_input_stats=False,
        ),
        s.sample("five dims", s.floats(1, 2, 2, 3, 2)),
        s.sample(
            "given, no positions",
            s.floats(2, 3),
            s.constant(s.floats(3)),
            s.constant(s.positive(3)),
            use_input_stats=False,
        ),
        s.sample("transposed", s.floats(4, 3, 2).T),
    ],
    tolerance={"float32": 1e-4, "float16": 1e-2, "bfloat16": 8e-2},
    dtype_samples=("plain", "five dims"),
    errors=lambda s: [error("one position", ValueError, "more than 1 spatial element", s.floats(2, 3, 1))],
)

op(
    "nn.functional.layer_norm",
    lambda s: [
        s.sample("vector", s.floats(3, 5), (5,)),
        s.sample("affine", s.floats(2, 3, 5), (5,), s.floats(5), s.floats(5), 1e-3),
        s.sample("two dims", s.floats(4, 3, 5), [3, 5], s.floats(3, 5), s.floats(3, 5)),
        s.sample("weight only", s.floats(3, 5), (5,), weight=s.floats(5)),
        s.sample("bias only", s.floats(3, 5), (5,), bias=s.floats(5)),
        s.sample("everything", s.floats(3, 5), (3, 5)),
        s.sample("one value", s.floats(3, 1), (1,), s.floats(1), s.floats(1)),
        s.sample("no rows", s.floats(0, 5), (5,), s.floats(5), s.floats(5)),
        s.sample("transposed", s.floats(5, 3).T, (5,), s.sliced(5), s.sliced(5)),
        s.sample("expanded", s.expanded(s.floats(5), 3, 5), (5,), s.floats(5), s.floats(5)),
        s.sample("many rows", s.floats(70, 2, 3), (2, 3), s.floats(2, 3), s.floats(2, 3)),
    ],
    tolerance={"float32": 1e-4, "float16": 1e-2, "bfloat16": 8e-2},
    dtype_samples=("vector", "affine", "two dims"),
    errors=lambda s: [
        error("shape", RuntimeError, r"normalized_shape=\[4\].*\[\*, 4\].*\[3, 5\]", s.floats(3, 5), (4,)),
        error("weight", RuntimeError, r"weight of shape \[4\]", s.floats(3, 5), (5,), s.floats(4)),
        error("bias", RuntimeError, r"bias of shape \[1, 5\]", s.floats(3, 5), (5,), None, s.floats(1, 5)),
        error("empty", RuntimeError, "non-empty", s.floats(3, 5), ()),
    ],
)

op(
    "nn.functional.group_norm",
    lambda s: [
        s.sample("groups", s.floats(2, 6, 4), 3),
        s.sample("affine", s.floats(2, 6, 2, 3), 2, s.floats(6), s.floats(6), 1e-3),
        s.sample("one group", s.floats(2, 4, 3), 1, s.floats(4), s.floats(4)),
        s.sample("a channel each", s.floats(2, 4, 3), 4, weight=s.floats(4)),
        s.sample("no positions", s.floats(3, 4), 2, s.floats(4), s.floats(4)),
        s.sample("channels last", channels_last(s.floats(2, 4, 3, 2)), 2, s.floats(4), s.floats(4)),
        s.sample("empty", s.floats(0, 4, 3), 2, s.floats(4), s.floats(4)),
    ],
    tolerance={"float32": 1e-4, "float16": 1e-2, "bfloat16": 8e-2},
    dtype_samples=("groups", "one group"),
    errors=lambda s: [
        error("division", RuntimeError, r"divisible.*\[2, 5, 3\].*num_groups=2", s.floats(2, 5, 3), 2),
        error("weight", RuntimeError, "weight should contain 4", s.floats(2, 4), 2, s.floats(5)),
        error("one dim", RuntimeError, "at least 2 dimensions", s.floats(4), 2),
    ],
)

op(
    "nn.functional.rms_norm",
    lambda s: [
        s.sample("vector", s.floats(3, 5), (5,)),
        s.sample("affine", s.floats(2, 3, 5), (5,), s.floats(5), 1e-3),
        s.sample("two dims", s.floats(4, 3, 5), (3, 5), weight=s.floats(3, 5)),
        s.sample("transposed", s.floats(5, 3).T, (5,), s.sliced(5)),
        s.sample("no rows", s.floats(0, 5), (5,), s.floats(5)),
    ],
    tolerance={"float32": 1e-4, "float16": 1e-2, "bfloat16": 8e-2},
    errors=lambda s: [error("shape", RuntimeError, r"normalized_shape=\[4\]", s.floats(3, 5), (4,))],
)

op(
    "nn.functional.local_response_norm",
    lambda s: [
        s.sample("odd", s.floats(2, 5, 4), 3),
        s.sample("even", s.floats(2, 5, 3, 2), 4, 1e-2, 0.5, 2.0),
        s.sample("one", s.floats(2, 5, 3), 1, alpha=0.1),
        s.sample("wider than the channels", s.floats(2, 2, 3), 5, alpha=0.5, beta=1.5),
        s.sample("transposed", s.floats(4, 3, 2).T, 2, alpha=0.3),
    ],
    dtypes=("float32", "float64"),
    errors=lambda s: [error("two dims", ValueError, "3D or higher", s.floats(2, 3), 2)],
)

op(
    "nn.functional.normalize",
    lambda s: [
        s.sample("default", s.floats(3, 5)),
        s.sample("last", s.floats(2, 3, 4), dim=-1),
        s.sample("one norm", s.positive(3, 5), 1.0, 0),
        s.sample("three norm", s.positive(3, 5), p=3.0, dim=1, eps=1e-3),
        s.sample("several dims", s.floats(2, 3, 4), dim=(1, 2)),
        s.sample("zeros", np.zeros((2, 3)), order=0),
        s.sample("empty", s.floats(0, 3), dim=1),
        s.sample("sliced", s.sliced(3, 4)),
    ],
    errors=lambda s: [error("dim", IndexError, "out of range", s.floats(3, 5), dim=2)],
)
