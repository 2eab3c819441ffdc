"""Entries for minidl.ops.strided."""

from tests.table.core import ALL, error, op

op(
    "as_strided",
    lambda s: [
        s.sample("blocks", s.floats(12), (2, 3), (6, 2)),
        s.sample("overlapping", s.floats(6), (4, 3), (1, 1)),
        s.sample("repeated", s.floats(2, 3), (2, 2), (0, 1)),
        s.sample("offset", s.floats(3, 4), (2, 2), (4, 1), 3),
        s.sample("backwards order", s.floats(3, 4), (4, 3), (1, 4)),
        s.sample("0-d", s.floats(4), (), (), 2),
        s.sample("empty", s.floats(4), (0, 2), (3, 9)),
    ],
    dtypes=ALL,
    linear=True,
    errors=lambda s: [
        error("beyond", RuntimeError, "memory of 6 elements, but that of the tensor has 4", s.floats(4), (3,), (2,), 1),
        error("numbers", RuntimeError, "mismatch in length", s.floats(4), (3,), (1, 1)),
        error("negative", RuntimeError, "Negative", s.floats(4), (3,), (-1,)),
    ],
)
