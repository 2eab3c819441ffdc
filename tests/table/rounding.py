"""Entries for minidl.ops.rounding."""

import numpy as np

from tests.table.core import ALL, FLOATS, INTS, error, op
from tests.table.elementwise import pairs


def shapes(s):
    """Values away from whole numbers, in many layouts."""
    for name, x in (
        ("matrix", s.distinct(3, 4, gap=0.37)),
        ("0-d", s.positive()),
        ("transposed", s.distinct(4, 3, gap=0.37).T),
        ("expanded", s.expanded(s.distinct(3, 1, gap=0.37), 3, 4)),
        ("empty", s.floats(0, 3)),
        ("size 1", s.distinct(1, 1, 1, gap=0.37)),
    ):
        yield s.sample(name, x)


def special(s):
    yield s.sample("special", np.array([np.nan, np.inf, -np.inf, -0.0, 0.0, 1e4, -2.5, 2.5]), order=0)


for _name in ("abs", "absolute", "floor", "ceil", "trunc", "fix", "relu", "round", "sign"):
    op(_name, lambda s: [*shapes(s), *special(s)], dtypes=FLOATS + INTS, inplace=True)
op("sgn", lambda s: [*shapes(s), *special(s)], dtypes=FLOATS + INTS)
op(
    "frac",
    lambda s: [*shapes(s), s.sample("special", np.array([np.nan, -0.0, 1e4, -2.5]), order=0)],
    inplace=True,
    errors=lambda s: [error("ints", RuntimeError, "not implemented", s.ints(3))],
)
op(
    "Tensor.round",
    lambda s: [
        *(s.sample(f"decimals {d}", s.floats(3, 4).T * 500, decimals=d, kink=True) for d in (-3, -1, 0, 1, 2, 5)),
        s.sample("0-d", s.floats() * 50, decimals=1),
        s.sample("empty", s.floats(0, 2), decimals=2),
    ],
    dtypes=("float32", "float64"),
    inplace=True,
    method=False,
)


def extremes(s):
    yield s.sample("broadcast", s.floats(3, 1), s.floats(4))
    yield s.sample("nan", np.array([np.nan, 1.0, np.nan, -np.inf]), np.array([1.0, np.nan, np.nan, np.inf]), order=0)
    yield from pairs(s)


for _name in ("maximum", "minimum", "fmax", "fmin"):
    op(
        _name,
        extremes,
        kinks="half for each of two equals",
        errors=lambda s: [error("shapes", RuntimeError, "must match", s.floats(2, 3), s.floats(2, 4))],
    )


def moduli(s):
    yield s.sample("broadcast", s.floats(3, 1), s.positive(4, low=0.7))
    yield s.sample("number", s.floats(3, 4).T, -0.7)
    yield s.sample("ints", s.ints(3, 4, low=-9), s.ints(4, low=1))
    yield s.sample("negative ints", s.ints(3, 4, low=-9), s.ints(4, low=-5, high=0))
    yield s.sample("integer number", s.ints(3, 4, low=-9), -4)
    yield s.sample("infinite", np.array([1.0, -1.0, 1.0, -1.0]), np.array([np.inf, np.inf, -np.inf, -np.inf]), order=0)
    yield from pairs(s, low=0.7)


def modulus_errors(s):
    yield error("shapes", RuntimeError, "must match", s.floats(2, 3), s.floats(2, 4))
    yield error("zero", RuntimeError, "ZeroDivision|zero", s.ints(3), s.ints(3) * 0)


for _name in ("remainder", "fmod", "floor_divide"):
    op(
        _name,
        moduli,
        dtypes=("float32", "float64"),
        order=0 if _name == "floor_divide" else 2,  # PyTorch has no derivative of it
        inplace=True,
        errors=modulus_errors,
    )


def clamps(s):
    yield s.sample("numbers", s.floats(3, 4), -0.5, 0.7)
    yield s.sample("min", s.floats(3, 4), min=0.1)
    yield s.sample("max", s.floats(3, 4), max=0.1)
    yield s.sample("tensors", s.floats(3, 4), s.floats(4, low=-1, high=-0.2), s.floats(3, 1, low=0.2, high=1))
    yield s.sample("crossed", s.floats(3, 4), 1.0, -1.0)
    yield s.sample("0-d", s.floats(), max=s.floats())
    for i in range(5):
        b, c = s.shapes(2)
        a = np.broadcast_shapes(b, c)
        yield s.sample(f"random {i}", s.laid_out(s.floats(*a)), s.floats(*b), s.laid_out(s.floats(*c)))
        yield s.sample(f"one random {i}", s.laid_out(s.floats(*a)), None, s.floats(*b))


for _name in ("clamp", "clip"):
    op(
        _name,
        clamps,
        inplace=True,
        errors=lambda s: [
            error("no bound", RuntimeError, "At least one", s.floats(3)),
            error("shapes", RuntimeError, "must match", s.floats(3), s.floats(4)),
        ],
    )


def choices(s):
    yield s.sample("tensors", s.bools(3, 4), s.floats(3, 1), s.floats(4))
    yield s.sample("number", s.bools(3, 4), s.floats(3, 4), 0.5)
    yield s.sample("number first", s.bools(3, 4), 2, s.floats(4))
    yield s.sample("condition spread", s.bools(3, 1), s.floats(4), s.floats())
    for i in range(5):
        c, a, b = s.shapes(3)
        yield s.sample(f"random {i}", np.asarray(s.bools(*c)), s.laid_out(s.floats(*a)), s.laid_out(s.floats(*b)))


op(
    "where",
    choices,
    method=False,
    errors=lambda s: [error("shapes", RuntimeError, "must match", s.bools(2, 3), s.floats(2, 4), s.floats(2, 4))],
)

for _name in ("clamp_min", "clamp_max"):
    op(
        _name,
        lambda s: [
            s.sample("number", s.floats(3, 4), 0.3),
            s.sample("tensor", s.floats(3, 4), s.floats(4)),
            s.sample("scalar tensor", s.sliced(3, 4), s.floats()),
            s.sample("zero-dimensional", s.floats(), -0.5),
            s.sample("empty", s.floats(0, 4), 0.1),
            *pairs(s),
        ],
        inplace=True,
        kinks="values that equal the bound get the whole gradient",
        errors=lambda s: [error("shapes", RuntimeError, "broadcast|must match", s.floats(3), s.floats(4))],
    )

op(
    "copysign",
    lambda s: [
        s.sample("broadcast", s.floats(3, 1), s.floats(4)),
        s.sample("number", s.floats(3, 4).T, -2),
        s.sample("zeros", s.floats(4), s.constant(np.array([0.0, -0.0, 1.0, -1.0]))),
        s.sample("ints", s.ints(3, low=1), s.ints(3, low=-4, high=0), order=0),
        *pairs(s),
    ],
    inplace=True,
    kinks="0 at 0",
)
op(
    "heaviside",
    lambda s: [
        s.sample("broadcast", s.constant(s.floats(3, 1)), s.constant(s.floats(4))),
        s.sample("zeros", s.constant(np.array([0.0, -0.0, 1.0, -1.0, np.nan])), s.constant(s.floats(5))),
        s.sample("0-d", s.constant(s.floats(3, 4)), s.constant(np.array(0.5))),
        s.sample("ints", s.ints(3, low=-1, high=2), s.ints(3)),
    ],
    order=0,
    dtypes=ALL,
    inplace=True,
)


def not_numbers(s):
    x = np.array([[np.nan, np.inf, -np.inf], [-0.0, 1.5, np.nan]])
    yield s.sample("default", x)
    yield s.sample("nan", x.T, nan=1.5)
    yield s.sample("all", x, 0.5, 10.0, -20.0)
    yield s.sample("posinf", s.expanded(x[0], 2, 3), posinf=3)
    yield s.sample("neginf", x, neginf=-3.0)
    yield s.sample("finite", s.floats(3, 4))
    yield s.sample("0-d", np.array(np.nan))
    yield s.sample("ints", s.ints(3), nan=7.0)


op("nan_to_num", not_numbers, order=1, dtypes=("float32", "float64"), inplace=True)
