"""Entries for minidl.ops.elementwise."""

from tests.table.core import ALL, error, op

op(
    "add",
    lambda s: [
        s.sample("same shape", s.floats(3, 4), s.floats(3, 4)),
        s.sample("broadcast", s.floats(3, 1), s.floats(4)),
        s.sample("alpha", s.floats(3), s.floats(3), alpha=2.5),
        s.sample("size 0", s.floats(0, 3), s.floats(1, 3)),
        s.sample("expanded", s.expanded(s.floats(3, 1), 3, 4), s.sliced(3, 4)),
    ],
    dtypes=ALL,
    inplace=True,
    errors=lambda s: [error("shapes", RuntimeError, r"must match.*dimension 1", s.floats(2, 3), s.floats(2, 4))],
)
for _name in ("sub", "mul", "div"):
    op(
        _name,
        lambda s: [
            s.sample("broadcast", s.floats(3, 1), s.positive(4)),
            s.sample("0-d", s.floats(3), s.positive()),
            s.sample("number", s.floats(3), 1.5),
        ],
        inplace=True,
    )
for _name in ("neg", "square"):
    op(_name, lambda s: [s.sample("matrix", s.floats(3, 4).T)], inplace=True)
op("reciprocal", lambda s: [s.sample("matrix", s.positive(3, 4))], inplace=True)
op(
    "lerp",
    lambda s: [
        s.sample("tensor", s.floats(3, 1), s.floats(4), s.floats(4)),
        s.sample("number", s.floats(3), s.floats(3), 0.3),
    ],
)
for _name in ("addcmul", "addcdiv"):
    op(_name, lambda s: [s.sample("value", s.floats(3, 4), s.floats(3, 1), s.positive(4), value=0.5)], inplace=True)
