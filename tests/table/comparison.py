"""Entries for minidl.ops.comparison."""

from tests.table.core import ALL, error, op

for _name in ("eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or", "logical_xor"):
    op(
        _name,
        lambda s: [s.sample("broadcast", s.floats(3, 1), s.floats(4)), s.sample("number", s.ints(5), s.ints(5))],
        dtypes=ALL,
        order=0,
        errors=lambda s: [error("shapes", RuntimeError, "must match", s.floats(2, 3), s.floats(2, 4))],
    )
for _name in ("bitwise_and", "bitwise_or", "bitwise_xor"):
    op(
        _name,
        lambda s: [s.sample("ints", s.ints(3, 1), s.ints(4)), s.sample("bools", s.bools(4), s.bools(4))],
        dtypes=(),
        order=0,
        errors=lambda s: [error("floats", RuntimeError, "floating", s.floats(2), s.floats(2))],
    )
for _name in ("isnan", "isinf", "isfinite", "logical_not", "signbit"):
    op(_name, lambda s: [s.sample("matrix", s.floats(3, 4)), s.sample("size 0", s.floats(0))], dtypes=ALL, order=0)
