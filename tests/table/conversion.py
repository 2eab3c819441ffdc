"""Entries for minidl.ops.conversion and minidl.ops.casting."""

from tests.table.core import ALL, error, op
from tests.table.run import DType

COPY = {"dtypes": ALL, "linear": True}


def some(s):
    return [s.sample("2-D", s.floats(3, 4)), s.sample("0-d", s.floats()), s.sample("sliced", s.sliced(3, 4))]


op("clone", some, **COPY)
op("Tensor.contiguous", lambda s: [*some(s), s.sample("transposed", s.floats(3, 4).T)], **COPY)
op("Tensor.type_as", lambda s: [s.sample("float32", s.floats(3), s.constant(s.floats(2).astype("float32")))], order=0)
op(
    "Tensor.to",
    lambda s: (
        [s.sample(d, s.floats(3), DType(d)) for d in ("int32", "bool", "int8")]
        + [
            s.sample("tensor", s.floats(3), s.ints(2)),
            s.sample("device", s.floats(3), "cpu"),
            s.sample("device and dtype", s.floats(3), "cpu", DType("int64")),
            s.sample("by name", s.floats(3), dtype=DType("int16")),
            s.sample("copy", s.floats(3), DType("float64"), copy=True),
        ]
    ),
    dtypes=("float32", "int32"),
)
for name in ("long", "int", "short", "char", "byte", "bool", "double"):
    op(
        f"Tensor.{name}",
        lambda s: [s.sample("floats", s.positive(3, 4) * 3), s.sample("0-d", s.positive())],
        dtypes=ALL,
    )
for name in ("float", "half", "bfloat16"):
    op(f"Tensor.{name}", lambda s: [s.sample("floats", s.floats(3, 4))], dtypes=ALL, order=0)
op(
    "fill",
    lambda s: [
        s.sample("number", s.floats(3, 4), 2),
        s.sample("tensor", s.floats(3, 4), s.floats()),
        s.sample("sliced", s.sliced(3, 2), 1.5),
    ],
    dtypes=ALL,
    inplace=True,
    method=False,
    errors=lambda s: [error("vector", RuntimeError, "0-dimension value", s.floats(3), s.floats(1))],
)
