"""Entries for minidl.creation and minidl.sampling: no gradients; of random ones shape and type."""

import numpy as np

from tests.table.core import ALL, error, op
from tests.table.run import DType

plain = {"dtypes": (), "order": 0, "method": False}
of_a_tensor = {"dtypes": ALL, "order": 0, "method": False}


def sizes(s, **more):
    """Shapes in all the ways they can be given."""
    return [
        s.sample("varargs", 2, 3, **more),
        s.sample("tuple", (2, 3), **more),
        s.sample("list", [4], **more),
        s.sample("0-d", (), **more),
        s.sample("size 0", 0, 3, **more),
        s.sample("by name", size=(2, 1, 3), **more),
        s.sample("dtype", 3, dtype=DType("float64"), **more),
        s.sample("half", (3,), dtype=DType("float16"), **more),
        s.sample("device", 2, 2, device="cpu", **more),
    ]


def integer_sizes(s):
    return [s.sample("int", 3, dtype=DType("int64")), s.sample("bool", 3, 1, dtype=DType("bool"))]


SIZE_ERRORS = [
    error("negative", RuntimeError, "negative dimension -1", -1),
    error("a float", TypeError, "must be tuple of ints, not float", 2.0),
    error("text", TypeError, "must be tuple of ints, not str", "ab"),
    error("nothing", TypeError, "missing 1 required positional argument"),
]

op("zeros", lambda s: sizes(s) + integer_sizes(s), errors=lambda s: SIZE_ERRORS, **plain)
op("ones", lambda s: sizes(s) + integer_sizes(s), errors=lambda s: SIZE_ERRORS, **plain)
op("empty", lambda s: sizes(s) + integer_sizes(s), errors=lambda s: SIZE_ERRORS, compare="shape", **plain)
op("rand", sizes, errors=lambda s: SIZE_ERRORS, compare="shape", **plain)
op("randn", sizes, errors=lambda s: SIZE_ERRORS, compare="shape", **plain)

op(
    "full",
    lambda s: [
        s.sample("float", (2, 3), 1.5),
        s.sample("int", (2, 3), 7),
        s.sample("bool", [2], True),
        s.sample("0-d", (), -1),
        s.sample("size 0", (0, 2), 1.0),
        s.sample("int dtype of a float", (2,), 1.9, dtype=DType("int32")),
        s.sample("inf", (2,), float("inf")),
        s.sample("by name", size=(2,), fill_value=3, dtype=DType("float64")),
    ],
    errors=lambda s: [
        error("size an int", TypeError, "must be tuple of ints, not int", 2, 1),
        error("too large", RuntimeError, "without overflow", (2,), 300, dtype=DType("uint8")),
        error("negative", RuntimeError, "negative dimension", (-2,), 1),
    ],
    **plain,
)


def likes(s, *more, **named):
    return [
        s.sample("matrix", s.floats(2, 3), *more, **named),
        s.sample("0-d", s.floats(), *more, **named),
        s.sample("size 0", s.floats(0, 3), *more, **named),
        s.sample("transposed", s.floats(2, 3).T, *more, **named),
        s.sample("gaps", s.floats(4, 6)[::2, ::3], *more, **named),
        s.sample("expanded", s.expanded(s.floats(3, 1), 3, 4), *more, **named),
        s.sample("dtype", s.floats(3), *more, dtype=DType("int16"), **named),
    ]


def without_ints(samples):
    return [s for s in samples if s.name != "dtype"]


LIKE_ERRORS = [error("no tensor", TypeError, r"argument 'input' \(position 1\) must be Tensor, not int", 3)]

op("zeros_like", likes, errors=lambda s: LIKE_ERRORS, **of_a_tensor)
op("ones_like", likes, errors=lambda s: LIKE_ERRORS, **of_a_tensor)
op("empty_like", likes, errors=lambda s: LIKE_ERRORS, compare="shape", **of_a_tensor)
op("full_like", lambda s: likes(s, 3), **of_a_tensor)
op("rand_like", lambda s: without_ints(likes(s)), compare="shape", dtypes=("float16", "float32"), order=0, method=False)
op(
    "randn_like",
    lambda s: without_ints(likes(s)),
    compare="shape",
    dtypes=("float16", "float32"),
    order=0,
    method=False,
)
op("randint_like", lambda s: [*likes(s, 5), s.sample("low, high", s.floats(3), 2, 7)], compare="shape", **of_a_tensor)


def numbers(s):
    """Data of every kind that ``tensor`` takes."""
    return [
        s.sample("float", 1.5),
        s.sample("int", 3),
        s.sample("bool", True),
        s.sample("floats", [1.0, 2.5]),
        s.sample("ints", [[1, 2], [3, 4]]),
        s.sample("bools", (True, False)),
        s.sample("int and float", [1, 2.5, True]),
        s.sample("int and bool", [True, 2]),
        s.sample("empty", []),
        s.sample("empty rows", [[], []]),
        s.sample("tuples in a list", [(1.0, 2.0), (3.0, 4.0)]),
        s.sample("range", range(5)),
        s.sample("nan", [float("nan"), float("inf")]),
        s.sample("dtype", [1.9, -2.9], dtype=DType("int64")),
        s.sample("dtype bool", [0, 2, 0.5], dtype=DType("bool")),
        s.sample("large ints", [2**62, -(2**63)]),
        s.sample("wrapped", [-1, 255], dtype=DType("uint8")),
        s.sample("deep", [[[[1.0]]]]),
    ]


op(
    "tensor",
    lambda s: [*numbers(s), s.sample("0-d tensors", [s.floats(), s.floats()])],
    errors=lambda s: [
        error("ragged", ValueError, r"expected sequence of length 2 at dim 1 \(got 1\).*data\[1\]", [[1, 2], [3]]),
        error("deep ragged", ValueError, r"at dim 2 .*data\[1\]\[0\].*data\[1\]\[1\]", [[[1], [2]], [[1], [2, 3]]]),
        error("a number after rows", TypeError, r"data\[1\]", [[1, 2], 3]),
        error("text", TypeError, "invalid data type 'str'", "abc"),
        error("texts", ValueError, "too many dimensions 'str'", ["a"]),
        error("None", RuntimeError, "Could not infer dtype of NoneType", None),
        error("None inside", RuntimeError, "Could not infer dtype of NoneType", [None, 1.0]),
        error("dict", RuntimeError, "Could not infer dtype of dict", {}),
        error("too large", ValueError, "Overflow when unpacking long", 2**70),
        error("a bit too large", ValueError, "Overflow when unpacking long", [2**63]),
        error(
            "out of range",
            RuntimeError,
            "cannot be converted to type uint8 without overflow",
            [300],
            dtype=DType("uint8"),
        ),
        error("nan as int", RuntimeError, "without overflow", [float("nan")], dtype=DType("int64")),
        error("grad of ints", RuntimeError, "floating point.*can require gradients", [1], requires_grad=True),
        error("vectors in a list", ValueError, "only one element tensors", [s.floats(2), s.floats(2)]),
    ],
    **plain,
)
op("as_tensor", lambda s: [*numbers(s), s.sample("of a tensor", s.floats(2, 3))], **plain)
op("asarray", lambda s: [*numbers(s), s.sample("of a tensor", s.floats(2, 3))], **plain)
op(
    "scalar_tensor",
    lambda s: [s.sample("int", 3), s.sample("float", 2.5), s.sample("dtype", 3, dtype=DType("int32"))],
    **plain,
)


def random_ranges(s):
    """Starts, ends and steps of all kinds."""
    samples = []
    for i in range(30):
        step = int(s.rng.integers(1, 5)) * (1 if s.rng.random() < 0.5 else -1)
        start = int(s.rng.integers(-20, 20))
        samples.append(s.sample(f"ints {i}", start, start + step * int(s.rng.integers(0, 9)), step))
        step = float(s.rng.uniform(0.05, 2.0) * np.sign(step))
        start = float(s.rng.uniform(-5, 5))
        samples.append(s.sample(f"floats {i}", start, start + step * float(s.rng.uniform(0, 20)), step))
    return samples


op(
    "arange",
    lambda s: [
        s.sample("end", 5),
        s.sample("start, end", 2, 5),
        s.sample("step", 0, 10, 3),
        s.sample("backwards", 5, -3, -2),
        s.sample("float end", 2.5),
        s.sample("float step", 0, 1, 0.3),
        s.sample("nothing", 0),
        s.sample("empty", 3, 3),
        s.sample("names", start=1, end=7, step=2),
        s.sample("end by name", end=4),
        s.sample("start and end by name", 1, end=4),
        s.sample("dtype", 5, dtype=DType("float64")),
        s.sample("half", 5, dtype=DType("float16")),
        s.sample("ints from floats", 0.5, 3, 1, dtype=DType("int64")),
        s.sample("bool", True),
        *random_ranges(s),
    ],
    errors=lambda s: [
        error("away", RuntimeError, "inconsistent with step sign", 5, 0),
        error("step 0", RuntimeError, "step must be nonzero", 5, 0, 0),
        error("infinite", RuntimeError, "unsupported range", 1, float("inf")),
        error("nan", RuntimeError, "unsupported range", float("nan")),
        error("no end", TypeError, r"arange\(\)"),
        error("too many", TypeError, r"arange\(\)", 1, 2, 3, 4),
        error("int step 0", ValueError, "step must be nonzero", 0, 1, 0.3, dtype=DType("int64")),
    ],
    **plain,
)

op(
    "linspace",
    lambda s: [
        s.sample("up", 0, 1, 5),
        s.sample("down", 3.0, -2.0, 8),
        s.sample("one", 2.0, 5.0, 1),
        s.sample("none", 0, 1, 0),
        s.sample("equal", 1, 1, 4),
        s.sample("steps by name", 0, 1, steps=3),
        s.sample("double", 0, 1, 11, dtype=DType("float64")),
        s.sample("ints", 0, 10, 4, dtype=DType("int64")),
        s.sample("ints between broken ends", 4.3, -3.8, 20, dtype=DType("int64")),
        s.sample("tensors", s.floats(), s.floats(), 5),
        *(s.sample(f"random {i}", *s.floats(2).tolist(), int(s.rng.integers(2, 40))) for i in range(10)),
    ],
    errors=lambda s: [error("negative", RuntimeError, "number of steps must be non-negative", 0, 1, -1)],
    **plain,
)
op(
    "logspace",
    lambda s: [
        s.sample("tens", 0, 2, 3),
        s.sample("base", 0, 4, 5, base=2),
        s.sample("double", -1.0, 1.0, 7, 3.0, dtype=DType("float64")),
        s.sample("ints", 0, 2, 3, base=2, dtype=DType("int32")),
        s.sample("ints between broken ends", 0.7, 2.9, 3, dtype=DType("int32")),
    ],
    errors=lambda s: [error("negative", RuntimeError, "number of steps must be non-negative", 0, 1, -1)],
    **plain,
)
op(
    "eye",
    lambda s: [
        s.sample("square", 3),
        s.sample("wide", 2, 4),
        s.sample("tall", 4, 2),
        s.sample("size 0", 0, 3),
        s.sample("dtype", 2, dtype=DType("bool")),
        s.sample("by name", n=2, m=3),
    ],
    errors=lambda s: [
        error("negative", RuntimeError, "n must be greater or equal to 0, got -1", -1),
        error("negative m", RuntimeError, "m must be greater or equal to 0, got -2", 1, -2),
    ],
    **plain,
)

op(
    "randint",
    lambda s: [
        s.sample("high", 5, (2, 3)),
        s.sample("low, high", -3, 5, (2, 3)),
        s.sample("list", 5, [4]),
        s.sample("names", low=2, high=3, size=(3,)),
        s.sample("high and size by name", high=3, size=(3,)),
        s.sample("float", 5, (2,), dtype=DType("float32")),
        s.sample("size 0", 5, (0,)),
    ],
    compare="shape",
    errors=lambda s: [
        error("empty", RuntimeError, "from=3 >= to=3", 3, 3, (2,)),
        error("size an int", TypeError, "'size'.*must be tuple of ints, not int", 5, 2),
        error("too low", RuntimeError, "from is out of bounds", -300, 5, (2,), dtype=DType("uint8")),
        error("too high", RuntimeError, "to - 1 is out of bounds", 0, 500, (2,), dtype=DType("uint8")),
        error("float bound", TypeError, "must be int, not float", 1.5, (2,)),
    ],
    **plain,
)
op(
    "randperm",
    lambda s: [s.sample("n", 10), s.sample("0", 0), s.sample("dtype", 4, dtype=DType("float32"))],
    compare="shape",
    errors=lambda s: [
        error("negative", RuntimeError, "negative dimension -1", -1),
        error("too long", RuntimeError, "without overflow", 300, dtype=DType("uint8")),
    ],
    **plain,
)
op(
    "normal",
    lambda s: [
        s.sample("numbers", 0.0, 1.0, (2, 3)),
        s.sample("mean", s.floats(3)),
        s.sample("std", 0.0, s.positive(3)),
        s.sample("both", s.floats(2, 1), s.positive(3)),
        s.sample("mean and number", s.floats(3), 2.0),
        s.sample("size by name", mean=1.0, std=2.0, size=(4,)),
    ],
    compare="shape",
    errors=lambda s: [
        error("negative std", RuntimeError, "normal expects std >= 0.0, but found std -1", 0.0, -1.0, (2,)),
        error("negative stds", RuntimeError, "all elements of std >= 0.0", s.floats(2), -s.positive(2)),
        error("shapes", RuntimeError, "must match", s.floats(2), s.positive(3)),
        error("size and tensor", TypeError, r"normal\(\)", s.floats(2), 1.0, (2,)),
    ],
    **plain,
)


op(
    "bernoulli",
    lambda s: [
        s.sample("certain", (s.floats(20) > 0).astype(float)),
        s.sample("p 0", s.floats(3), 0.0),
        s.sample("p 1", s.floats(3), 1.0),
        s.sample("size 0", s.floats(0)),
    ],
    dtypes=("float32", "float16"),
    order=0,
    errors=lambda s: [
        error("above 1", RuntimeError, "p_in >= 0 && p_in <= 1", s.floats(3) + 5),
        error("p above 1", RuntimeError, r"p to be in \[0, 1\], but got p=1.5", s.floats(3), 1.5),
    ],
)
op(
    "multinomial",
    lambda s: [
        s.sample("vector", s.positive(5), 3),
        s.sample("rows", s.positive(4, 5), 5),
        s.sample("replacement", s.positive(4, 2), 7, replacement=True),
        s.sample("positional", s.positive(4), 9, True),
        s.sample("no rows", s.positive(0, 3), 2),
    ],
    compare="shape",
    dtypes=("float32",),
    order=0,
    errors=lambda s: [
        error("all zero", RuntimeError, "sum of probabilities <= 0", np.zeros(2), 1),
        error("too many", RuntimeError, "without replacement", s.positive(2), 3),
        error("none", RuntimeError, "n_sample <= 0", s.positive(2), 0),
        error("negative", RuntimeError, "element < 0", np.array([1.0, -1.0]), 1),
        error("nan", RuntimeError, "inf", np.array([1.0, np.nan]), 1),
        error("3-d", RuntimeError, "must be 1 or 2 dim", s.positive(2, 2, 2), 1),
        error("ints", RuntimeError, "only supports floating-point", s.ints(3), 1),
    ],
)
op(
    "poisson",
    lambda s: [s.sample("rates", s.positive(3, 2)), s.sample("zero", np.zeros(4))],
    compare="shape",
    dtypes=("float32",),
    order=0,
    method=False,
    errors=lambda s: [error("negative", RuntimeError, "rate to be non-negative", -s.positive(3))],
)


def method(name):
    """The method of a tensor as a function, for PyTorch."""
    return lambda input, *args, **kwargs: getattr(input, name)(*args, **kwargs)


for _name, _more in [("new_zeros", ()), ("new_ones", ()), ("new_empty", ())]:
    op(
        f"Tensor.{_name}",
        lambda s: [
            s.sample("varargs", s.floats(3), 2, 3),
            s.sample("tuple", s.floats(3), (2,)),
            s.sample("dtype", s.floats(3), 2, dtype=DType("int32")),
            s.sample("by name", s.floats(3), size=(1, 2)),
        ],
        torch=method(_name),
        compare="shape" if _name == "new_empty" else "values",
        **of_a_tensor,
    )
op(
    "Tensor.new_full",
    lambda s: [s.sample("ints", s.floats(2), (2, 3), 1), s.sample("list", s.floats(2), [2], 0)],
    **of_a_tensor,
)
op(
    "Tensor.new_tensor",
    lambda s: [s.sample("list", s.floats(2), [1, 2, 3]), s.sample("dtype", s.floats(2), [1.0], dtype=DType("int32"))],
    **of_a_tensor,
)
