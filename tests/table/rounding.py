"""Entries for minidl.ops.rounding."""

from tests.table.core import error, op

for _name in ("abs", "sign", "floor", "ceil", "trunc", "frac", "relu", "round"):
    op(_name, lambda s: [s.sample("matrix", s.distinct(3, 4, gap=0.37)), s.sample("0-d", s.positive())], inplace=True)
for _name in ("maximum", "minimum", "fmax", "fmin"):
    op(_name, lambda s: [s.sample("broadcast", s.floats(3, 1), s.floats(4))])
for _name in ("remainder", "fmod"):
    op(_name, lambda s: [s.sample("broadcast", s.floats(3, 1), s.positive(4, low=0.7))], dtypes=("float32", "float64"))
op(
    "clamp",
    lambda s: [
        s.sample("numbers", s.floats(3, 4), -0.5, 0.7),
        s.sample("min", s.floats(3, 4), min=0.1),
        s.sample("max", s.floats(3, 4), max=0.1),
        s.sample("tensors", s.floats(3, 4), s.floats(4, low=-1, high=-0.2), s.floats(3, 1, low=0.2, high=1)),
    ],
    inplace=True,
    errors=lambda s: [error("no bound", RuntimeError, "At least one", s.floats(3))],
)
op(
    "where",
    lambda s: [
        s.sample("tensors", s.bools(3, 4), s.floats(3, 1), s.floats(4)),
        s.sample("number", s.bools(3, 4), s.floats(3, 4), 0.5),
    ],
    method=False,
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
        ],
        inplace=True,
        kinks="values that equal the bound get the whole gradient",
        errors=lambda s: [error("shapes", RuntimeError, "broadcast|must match", s.floats(3), s.floats(4))],
    )
