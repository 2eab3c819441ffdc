"""Entries for minidl.ops.comparison."""

import numpy as np

from tests.table.core import ALL, error, op
from tests.table.elementwise import pairs

EQUALS = np.array([1.0, -1.0, 0.0, -0.0, np.nan, np.inf, -np.inf])


def compared(s):
    yield s.sample("broadcast", s.floats(3, 1), s.floats(4))
    yield s.sample("number", s.ints(5), s.ints(5))
    yield s.sample("equals", s.constant(EQUALS[:, None]), s.constant(EQUALS))
    yield s.sample("0-d", s.floats(), s.ints(3))
    yield s.sample("bools", s.bools(4), s.bools(3, 1))
    yield from pairs(s)


_COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
_COMPARISONS += ("not_equal", "less", "less_equal", "greater", "greater_equal")
for _name in (*_COMPARISONS, "logical_and", "logical_or", "logical_xor"):
    op(
        _name,
        compared if _name in _COMPARISONS else lambda s: [x for x in compared(s) if x.name != "0-d"],
        dtypes=ALL if len(_name) == 2 or (_name[0] == "l" and "_" in _name and _name != "less_equal") else (),
        order=0,
        inplace=True,
        errors=lambda s: [error("shapes", RuntimeError, "must match", s.floats(2, 3), s.floats(2, 4))],
    )


def bits(s):
    yield s.sample("ints", s.ints(3, 1), s.ints(4))
    yield s.sample("bools", s.bools(4), s.bools(4))
    yield s.sample("negative", s.ints(3, 4, low=-50, high=50).T, s.ints(3, low=-50, high=50))
    yield s.sample("number", s.ints(3, 4, dtype="int16"), 5)
    for dtype in ("uint8", "int8", "int32"):
        yield s.sample(dtype, s.ints(3, 1, dtype=dtype), s.ints(1, 4, dtype=dtype))
    yield s.sample("mixed", s.ints(3, dtype="int8"), s.ints(3, dtype="int32"))


def floats_refused(s):
    yield error("floats", RuntimeError, "floating", s.floats(2), s.floats(2))


for _name in ("bitwise_and", "bitwise_or", "bitwise_xor"):
    op(_name, bits, dtypes=(), order=0, inplace=True, errors=floats_refused)


def shifts(s):
    yield s.sample("ints", s.ints(3, 1), s.ints(4, high=7))
    yield s.sample("negative", s.ints(3, 4, low=-50, high=50).T, s.ints(3, high=7))
    yield s.sample("number", s.ints(3, 4, dtype="int16"), 2)
    for dtype in ("uint8", "int8", "int32"):
        yield s.sample(dtype, s.ints(3, 1, dtype=dtype), s.ints(1, 4, high=3, dtype=dtype))


for _name in ("bitwise_left_shift", "bitwise_right_shift"):
    op(_name, shifts, dtypes=(), order=0, inplace=True)
op(
    "bitwise_not",
    lambda s: [
        s.sample("ints", s.ints(3, 4).T),
        s.sample("bools", s.bools(4)),
        *(s.sample(dtype, s.ints(3, dtype=dtype)) for dtype in ("uint8", "int8", "int16", "int32")),
    ],
    dtypes=(),
    order=0,
    inplace=True,
    errors=lambda s: [error("floats", RuntimeError, "floating", s.floats(2))],
)


def tested(s):
    yield s.sample("matrix", s.floats(3, 4))
    yield s.sample("size 0", s.floats(0))
    yield s.sample("special", EQUALS)
    yield s.sample("transposed", s.floats(3, 4).T)
    yield s.sample("0-d", np.array(np.inf))
    yield s.sample("ints", s.ints(2, 3, low=-2, high=2))


op(
    "signbit",
    lambda s: [s.sample("matrix", s.floats(3, 4).T), s.sample("special", EQUALS[EQUALS == EQUALS])],
    dtypes=ALL,
    order=0,
)
for _name in ("isnan", "isinf", "isfinite", "logical_not", "isposinf", "isneginf", "isreal"):
    op(_name, tested, dtypes=ALL, order=0, inplace=_name == "logical_not")


def close(s):
    x = s.floats(3, 4)
    yield s.sample("near", x, x + 1e-9)
    yield s.sample("broadcast", s.floats(3, 1), s.floats(4), rtol=0.5)
    yield s.sample("atol", x.T, x.T + 0.1 * s.rng.random((4, 3)), atol=0.05)
    yield s.sample("special", EQUALS[:, None], EQUALS)
    yield s.sample("nan", EQUALS, EQUALS, equal_nan=True)
    yield s.sample("ints", s.ints(5), s.ints(5), 0.3, 1)
    yield s.sample("empty", s.floats(0, 3), s.floats(1, 3))


def close_errors(s):
    yield error("types", RuntimeError, "did not match", s.floats(3), s.ints(3))
    yield error("rtol", RuntimeError, "rtol must be greater", s.floats(3), s.floats(3), rtol=-1.0)
    yield error("atol", RuntimeError, "atol must be greater", s.floats(3), s.floats(3), atol=-1.0)


for _name in ("isclose", "allclose"):
    op(_name, close, dtypes=("float32", "float64"), order=0, errors=close_errors)


def same(s):
    x = s.ints(3, 4, high=2)
    yield s.sample("copies", x, x.copy())
    yield s.sample("other shape", x, x[:1])
    yield s.sample("strides", x.T, np.ascontiguousarray(x.T))
    yield s.sample("nan", EQUALS, EQUALS)
    yield s.sample("zeros", np.array([0.0]), np.array([-0.0]))
    yield s.sample("empty", s.floats(0, 3), s.floats(0, 3))


op("equal", same, order=0, dtypes=ALL)
