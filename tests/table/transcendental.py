"""Entries for minidl.ops.transcendental."""

import numpy as np

from tests.table.core import error, op
from tests.table.elementwise import pairs

_DOMAINS = {
    "log": (0.2, 3), "log2": (0.2, 3), "log10": (0.2, 3), "log1p": (-0.8, 3), "sqrt": (0.2, 3), "rsqrt": (0.2, 3),
    "asin": (-0.9, 0.9), "acos": (-0.9, 0.9), "atanh": (-0.9, 0.9), "acosh": (1.2, 3), "tan": (-1.2, 1.2),
    "logit": (0.1, 0.9),
}  # fmt: skip
_REST = ("exp", "exp2", "expm1", "sin", "cos", "sinh", "cosh", "atan", "asinh", "tanh", "sigmoid", "erf", "erfc")
_REST += ("sinc",)
_ALIASES = {
    "arcsin": "asin",
    "arccos": "acos",
    "arctan": "atan",
    "arcsinh": "asinh",
    "arctanh": "atanh",
    "arccosh": "acosh",
}


def _entry(name: str, low: float, high: float) -> None:
    def samples(s):
        return [
            s.sample("matrix", s.floats(3, 4, low=low, high=high)),
            s.sample("transposed", s.floats(3, 4, low=low, high=high).T),
            s.sample("0-d", s.floats(low=low, high=high)),
            s.sample("size 0", s.floats(0, 2)),
            s.sample("expanded", s.expanded(s.floats(3, 1, low=low, high=high), 3, 4)),
        ]

    op(name, samples, inplace=name[0] != "a" or name[-1] != "h")  # PyTorch has no derivative of asinh_, acosh_, atanh_


for _name in _DOMAINS:
    _entry(_name, *_DOMAINS[_name])
for _name in _REST:
    _entry(_name, -2.0, 2.0)
for _name, _same in _ALIASES.items():
    _entry(_name, *_DOMAINS.get(_same, (-2.0, 2.0)))


def powers(s):
    yield s.sample("tensors", s.positive(3, 1), s.floats(4))
    yield s.sample("cube of negative", s.floats(3), 3)
    yield s.sample("fraction", s.positive(3), 0.5)
    for exponent in (0, 1, 2, 4, -1, -2, 0.0, 1.0, 2.0, -0.5):
        yield s.sample(f"to {exponent}", s.positive(3, 2).T, exponent)
    yield s.sample("ints", s.ints(3, 4), s.ints(4, high=4))
    yield s.sample("zeros", np.array([0.0, 0.0, 2.0]), s.constant(np.array([2.0, 1.0, 0.0])), order=1)
    yield s.sample(
        "special", np.array([np.inf, -np.inf, np.nan, 0.0, 1.0]), np.array([0.5, 3.0, 0.0, -1.0, np.inf]), order=0
    )
    for i in range(5):
        a, b = s.shapes(2)
        yield s.sample(f"random {i}", s.laid_out(s.positive(*a)), s.laid_out(s.floats(*b)))


op(
    "pow",
    powers,
    inplace=True,
    errors=lambda s: [
        error("shapes", RuntimeError, "must match", s.floats(2, 3), s.floats(2, 4)),
        error("negative power of ints", RuntimeError, "negative integer powers", s.ints(3), -1),
    ],
)
op(
    "Tensor.__rpow__",
    lambda s: [s.sample("number", s.floats(3, 4).T, 2.5), s.sample("ints", s.ints(3), 2)],
    method=False,
)
op(
    "float_power",
    lambda s: [
        s.sample("tensors", s.positive(3, 1), s.floats(4)),
        s.sample("number", s.positive(3, 4).T, 1.5),
        s.sample("ints", s.ints(3, 4, low=1), -2),
    ],
    dtypes=("float32", "float64"),
)
for _name in ("atan2", "arctan2", "hypot", "logaddexp", "logaddexp2"):
    op(
        _name,
        lambda s: [
            s.sample("broadcast", s.floats(3, 1), s.floats(4)),
            s.sample("same", s.floats(3), s.floats(3)),
            s.sample("large", s.floats(3) * 1e3, s.floats(3, 1) * 1e3, order=1),
            *pairs(s, low=0.3),
        ],
        inplace="log" not in _name,
        errors=lambda s: [error("shapes", RuntimeError, "must match", s.floats(2, 3), s.floats(2, 4))],
    )
op(
    "xlogy",
    lambda s: [
        s.sample("broadcast", s.floats(3, 1), s.positive(4)),
        s.sample("number", s.floats(3, 4).T, 0.7),
        s.sample("zeros", np.array([0.0, 0.0, 2.0]), np.array([0.0, 3.0, 1.0]), order=0),
        s.sample("ints", s.ints(3), s.ints(3, low=1)),
        *pairs(s, low=0.3),
    ],
    inplace=True,
)
op(
    "Tensor.logit",
    lambda s: [
        *(s.sample(f"eps {eps}", s.floats(3, 4, low=0.11, high=0.89).T, eps) for eps in (0.0, 0.1, 0.3, None)),
        s.sample("outside", s.floats(3, 4, low=-0.5, high=1.5), eps=0.2),
        s.sample("0-d", s.floats(low=0.2, high=0.8), eps=0.1),
    ],
    inplace=True,
    method=False,
    kinks="0 where clamped",
)
