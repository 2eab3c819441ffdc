"""Entries for minidl.ops.statistics."""

import warnings

import numpy as np
import torch

from tests.table.core import ALL, Samples, error, op
from tests.table.reductions import samples, with_nans, wrong_dims


def without_warning(function):
    """PyTorch warns of variances without a degree of freedom; the result, nan or inf, is compared all the same."""

    def quiet(*args, **kwargs):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return function(*args, **kwargs)

    return quiet


# One element has no variance, and the standard deviation a kink where it is 0.
ALONE = ("0-d", "0-d dim", "size 1")


def spreads(s: Samples):
    several = samples(s, skip=(*ALONE, "all", "expanded"))
    for sample in several:
        sample.kwargs.setdefault("correction", 0.5)
    return [
        s.sample("all", s.floats(3, 4)),
        *several,
        s.sample("correction 0", s.floats(3, 4), dim=0, correction=0),
        s.sample("correction 2", s.floats(3, 4), 1, correction=2, keepdim=True),
        s.sample("unbiased False", s.floats(3, 4), 1, False),
        s.sample("unbiased True", s.floats(3, 4), unbiased=True, dim=0),
        s.sample("the old form", s.floats(3, 4), False),
        s.sample("dim positional keepdim", s.floats(3, 4), 1, True, True),
        s.sample("no freedom", s.floats(3, 2), dim=1, correction=2, order=0),
        s.sample("less than no freedom", s.floats(3, 2), dim=1, correction=4, order=0),
        s.sample("0-d", s.floats(), order=0),
        s.sample("0-d correction 0", s.floats(), correction=0, order=1),
        s.sample("size 1", s.floats(3, 1), dim=1, order=0),
        s.sample("size 1 correction 0", s.floats(3, 1), dim=1, correction=0, order=1),
        s.sample("size 0 reduced", s.floats(0, 3), dim=0, order=0),
        s.sample("size 0 kept", s.floats(0, 3), dim=1),
        s.sample("expanded", s.expanded(s.floats(1, 3), 4, 3), dim=1),
        s.sample("constant lines", np.ones((2, 3)), dim=1, order=1),
    ]


for _name in ("var", "std", "var_mean", "std_mean"):
    op(
        _name,
        spreads,
        torch=without_warning(getattr(torch, _name)),
        method="mean" not in _name,
        kinks="" if "var" in _name else "the gradient is taken as 0 where the deviation is 0",
        errors=lambda s: [
            *wrong_dims(s),
            error("ints", RuntimeError, "floating point", s.ints(3)),
        ],
    )


def lines(s: Samples):
    return [
        s.sample("dim", s.distinct(3, 4), dim=1),
        s.sample("odd", s.distinct(3, 5), dim=1),
        s.sample("keepdim", s.distinct(2, 3, 4), dim=-2, keepdim=True),
        s.sample("0-d", s.distinct(), dim=0),
        s.sample("size 1", s.distinct(3, 1), dim=1),
        s.sample("size 0 kept", s.floats(0, 3), dim=1),
        s.sample("transposed", s.distinct(4, 3).T, dim=0),
        *(
            s.sample(f"random {i}", s.distinct(*s.rng.integers(1, 6, 3)), dim=int(s.rng.integers(-3, 3)))
            for i in range(4)
        ),
    ]


for _name in ("median", "nanmedian"):
    op(
        _name,
        lambda s: [
            s.sample("all", s.distinct(3, 4)),
            s.sample("all odd", s.distinct(3, 3)),
            s.sample("all 0-d", s.distinct()),
            s.sample("all size 0", s.floats(0), order=0),
            s.sample("all ties", np.array([1.0, 2.0, 2.0, 3.0]), order=0),
            s.sample("all nan", with_nans(s.distinct(3, 4)), order=0),
            *lines(s),
            s.sample("nan", with_nans(s.distinct(3, 5)), dim=0, order=0),
            s.sample("only nan", np.full((2, 3), np.nan), dim=1, order=0),
        ],
        dtypes=tuple(t for t in ALL if t != "bool"),
        kinks="equal medians of all elements share the gradient",
        dtype_samples=(
            "all",
            "all odd",
            "all 0-d",
            "all ties",
            "dim",
            "odd",
            "keepdim",
            "0-d",
            "size 1",
            "size 0 kept",
        ),
        errors=lambda s: [
            error("dim out of range", IndexError, "but got 2", s.floats(2, 3), dim=2),
            error("nothing along dim", IndexError, "non-zero size", s.floats(0, 3), dim=0),
        ],
    )

op(
    "mode",
    lambda s: [
        s.sample("default dim", s.ints(3, 6, high=4).astype(float), order=0),
        *lines(s),
        *(
            s.sample(f"repeated {i}", s.ints(*s.rng.integers(1, 7, 2), high=3), dim=int(s.rng.integers(-2, 2)))
            for i in range(6)
        ),
    ],
    dtypes=ALL,
    errors=lambda s: [
        error("dim out of range", IndexError, "but got 2", s.floats(2, 3), dim=2),
        error("nothing along dim", IndexError, "non-zero size", s.floats(0, 3), dim=0),
    ],
)

LEVELS = np.array([0.0, 0.1, 0.25, 0.5, 0.77, 1.0])

for _name in ("quantile", "nanquantile"):
    op(
        _name,
        lambda s: [
            s.sample("all", s.distinct(3, 4), 0.3),
            s.sample("all keepdim", s.distinct(3, 4), 0.3, keepdim=True),
            s.sample("dim", s.distinct(3, 4), 0.6, 1),
            s.sample("dim keepdim", s.distinct(2, 3, 4), 0.6, -2, True),
            s.sample("several", s.distinct(3, 4), s.constant(LEVELS), 1),
            s.sample("several keepdim", s.distinct(2, 3, 4), s.constant(LEVELS), 0, True),
            s.sample("several of all", s.distinct(3, 4), s.constant(LEVELS)),
            s.sample("level 0-d", s.distinct(3, 4), s.constant(np.array(0.4)), dim=0),
            s.sample("level differentiable", s.distinct(3, 7), np.array([0.12, 0.55, 0.9]), dim=1),
            s.sample("0-d", s.distinct(), 0.3),
            s.sample("size 1", s.distinct(3, 1), 0.3, 1),
            s.sample("nan", with_nans(s.distinct(3, 4)), 0.3, 0, order=0),
            s.sample("only nan", np.full((2, 3), np.nan), 0.3, 1, order=0),
            *(
                s.sample(how, s.distinct(3, 6), s.constant(LEVELS), dim=1, interpolation=how)
                for how in ("linear", "lower", "higher", "midpoint", "nearest")
            ),
        ],
        dtypes=("float32", "float64"),
        errors=lambda s: [
            error("level above 1", RuntimeError, r"range \[0, 1\]", s.floats(3), 1.5),
            error("nothing", RuntimeError, "non-empty", s.floats(0), 0.5),
            error("ints", RuntimeError, "float or double", s.ints(3), 0.5),
            error("interpolation", RuntimeError, "interpolation must be one of", s.floats(3), 0.5, interpolation="x"),
            error("level 2-d", RuntimeError, "scalar or 1D", s.floats(3), s.floats(2, 2) * 0 + 0.5),
            error("dim out of range", IndexError, "but got 2", s.floats(2, 3), 0.5, 2),
        ],
    )

op(
    "bincount",
    lambda s: [
        s.sample("counts", s.ints(20, high=7)),
        s.sample("minlength", s.ints(20, high=7), minlength=12),
        s.sample("weights", s.ints(20, high=7), s.floats(20)),
        s.sample("integer weights", s.ints(20, high=7), s.ints(20)),
        s.sample("size 0", s.ints(0)),
        s.sample("size 0 minlength", s.ints(0), minlength=3),
        s.sample("uint8", s.ints(20, high=7, dtype="uint8")),
    ],
    dtypes=("float32", "float64"),
    order=0,
    errors=lambda s: [
        error("negative", RuntimeError, "non-negative", s.ints(3) - 20),
        error("floats", RuntimeError, "integral", s.floats(3)),
        error("2-d", RuntimeError, "1-d", s.ints(3, 3)),
        error("weights", RuntimeError, "same length", s.ints(3), s.floats(4)),
        error("minlength", RuntimeError, "minlength", s.ints(3), minlength=-1),
    ],
)

op(
    "histc",
    lambda s: [
        s.sample("default", s.floats(50)),
        s.sample("bins", s.floats(5, 10), 7),
        s.sample("range", s.floats(50), bins=6, min=-1, max=1.5),
        s.sample("on the edges", np.linspace(0, 4, 9), 4, 0, 4),
        s.sample("constant", np.ones(5), 3),
        s.sample("0-d", s.floats(), 3),
        s.sample("size 0", s.floats(0), 3),
    ],
    dtypes=("float32", "float64"),
    order=0,
    errors=lambda s: [
        error("bins", RuntimeError, "bins", s.floats(3), 0),
        error("range", RuntimeError, "larger than min", s.floats(3), 3, 2, 1),
        error("not finite", RuntimeError, "not finite", np.array([1.0, np.inf]), 3),
    ],
)
