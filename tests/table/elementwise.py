"""Entries for minidl.ops.elementwise."""

from tests.table.core import ALL, FLOATS, INTS, error, op


def pairs(s, low=-2.0, high=2.0, count=5, **settings):
    """Random shapes that broadcast, in random memory orders; the second operand in [low, high)."""
    for i in range(count):
        a, b = s.shapes(2)
        yield s.sample(
            f"random {i}", s.laid_out(s.floats(*a)), s.laid_out(s.floats(*b, low=low, high=high)), **settings
        )


def wrong_shapes(s):
    yield error("shapes", RuntimeError, r"must match.*dimension 1", s.floats(2, 3), s.floats(2, 4))


op(
    "add",
    lambda s: [
        s.sample("same shape", s.floats(3, 4), s.floats(3, 4)),
        s.sample("broadcast", s.floats(3, 1), s.floats(4)),
        s.sample("alpha", s.floats(3), s.floats(3), alpha=2.5),
        s.sample("size 0", s.floats(0, 3), s.floats(1, 3)),
        s.sample("expanded", s.expanded(s.floats(3, 1), 3, 4), s.sliced(3, 4)),
        *pairs(s, alpha=-3),
    ],
    dtypes=ALL,
    inplace=True,
    errors=lambda s: [
        *wrong_shapes(s),
        error("alpha", RuntimeError, "integral", s.ints(3), s.ints(3), alpha=0.5),
    ],
)
for _name in ("sub", "mul", "div"):
    op(
        _name,
        lambda s: [
            s.sample("broadcast", s.floats(3, 1), s.positive(4)),
            s.sample("0-d", s.floats(3), s.positive()),
            s.sample("number", s.floats(3), 1.5),
            s.sample("integer number", s.sliced(3, 2), -2),
            s.sample("integers", s.ints(3, 4), s.ints(4, low=1)),
            *pairs(s, low=0.2),
        ],
        inplace=True,
        errors=wrong_shapes,
    )


def rounded_quotients(s):
    for mode in ("floor", "trunc", None):
        yield s.sample(f"{mode}", s.floats(3, 1), s.positive(4), rounding_mode=mode)
        yield s.sample(f"{mode} number", s.floats(3, 4).T, -0.7, rounding_mode=mode)
        yield s.sample(f"{mode} ints", s.ints(3, 4, low=-9), s.ints(4, low=1), rounding_mode=mode)
        yield s.sample(f"{mode} negative ints", s.ints(3, 4, low=-9), s.ints(4, low=-5, high=0), rounding_mode=mode)
        yield from pairs(s, low=0.3, count=2, rounding_mode=mode)


op(
    "Tensor.div",
    rounded_quotients,
    dtypes=("float32", "float64"),
    inplace=True,
    method=False,
    errors=lambda s: [error("mode", RuntimeError, "rounding_mode", s.floats(3), s.floats(3), rounding_mode="ceil")],
)
op(
    "rsub",
    lambda s: [
        s.sample("tensors", s.floats(3, 1), s.floats(4)),
        s.sample("alpha", s.floats(3, 4), s.floats(4), alpha=0.5),
        s.sample("number", s.floats(3, 4), 2.5, alpha=2),
        s.sample("ints", s.ints(3), s.ints(2, 1), alpha=3),
    ],
    errors=lambda s: [error("bools", RuntimeError, "bool", s.bools(3), s.bools(3))],
)
for _name in ("subtract", "multiply", "divide", "true_divide"):
    op(_name, lambda s: [s.sample("broadcast", s.floats(3, 1), s.positive(4)), *pairs(s, low=0.3)], inplace=True)
for _name in ("neg", "square", "negative"):
    op(
        _name,
        lambda s: [
            s.sample("matrix", s.floats(3, 4).T),
            s.sample("0-d", s.floats()),
            s.sample("empty", s.floats(0, 2)),
            s.sample("expanded", s.expanded(s.floats(3, 1), 3, 4)),
        ],
        dtypes=FLOATS + INTS,
        inplace=True,
    )
op(
    "positive",
    lambda s: [s.sample("matrix", s.floats(3, 4).T), s.sample("ints", s.ints(3))],
    errors=lambda s: [error("bools", RuntimeError, "bool", s.bools(3))],
)
op("reciprocal", lambda s: [s.sample("matrix", s.positive(3, 4)), s.sample("0-d", s.positive())], inplace=True)
for _name in ("rad2deg", "deg2rad"):
    op(_name, lambda s: [s.sample("matrix", s.floats(3, 4).T), s.sample("0-d", s.floats())], inplace=True)


def lerps(s):
    yield s.sample("tensor", s.floats(3, 1), s.floats(4), s.floats(4))
    yield s.sample("number", s.floats(3), s.floats(3), 0.3)
    yield s.sample("beyond", s.floats(2, 3).T, s.floats(3, 2), 1.7)
    for i in range(4):
        yield s.sample(f"random {i}", *(s.laid_out(s.floats(*shape)) for shape in s.shapes(3)))


op("lerp", lerps, inplace=True)


def fused(s):
    yield s.sample("value", s.floats(3, 4), s.floats(3, 1), s.positive(4), value=0.5)
    yield s.sample("no value", s.floats(3, 4).T, s.floats(4, 3), s.positive(3))
    for i in range(4):
        a, b, c = s.shapes(3)
        yield s.sample(f"random {i}", s.floats(*a), s.laid_out(s.floats(*b)), s.positive(*c, low=0.5), value=-2)


for _name in ("addcmul", "addcdiv"):
    op(
        _name,
        fused,
        inplace=True,
        errors=lambda s: [error("shapes", RuntimeError, "must match", s.floats(3), s.floats(4), s.floats(2))],
    )
