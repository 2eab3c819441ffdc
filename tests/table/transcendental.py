"""Entries for minidl.ops.transcendental."""

from tests.table.core import op

_DOMAINS = {
    "log": (0.2, 3), "log2": (0.2, 3), "log10": (0.2, 3), "log1p": (-0.8, 3), "sqrt": (0.2, 3), "rsqrt": (0.2, 3),
    "asin": (-0.9, 0.9), "acos": (-0.9, 0.9), "atanh": (-0.9, 0.9), "acosh": (1.2, 3), "tan": (-1.2, 1.2),
    "logit": (0.1, 0.9),
}  # fmt: skip
_REST = ("exp", "exp2", "expm1", "sin", "cos", "sinh", "cosh", "atan", "asinh", "tanh", "sigmoid", "erf", "erfc")
_REST += ("sinc",)


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

op(
    "pow",
    lambda s: [
        s.sample("tensors", s.positive(3, 1), s.floats(4)),
        s.sample("cube of negative", s.floats(3), 3),
        s.sample("fraction", s.positive(3), 0.5),
    ],
    inplace=True,
)
for _name in ("atan2", "hypot", "logaddexp", "logaddexp2"):
    op(
        _name,
        lambda s: [s.sample("broadcast", s.floats(3, 1), s.floats(4)), s.sample("same", s.floats(3), s.floats(3))],
    )
op("xlogy", lambda s: [s.sample("broadcast", s.floats(3, 1), s.positive(4))], inplace=True)
