"""``x.float()``, ``x.long()``, …: element types as methods. They stand alone because they hide Python's own names."""

from __future__ import annotations

from typing import Any

from minidl import dtypes
from minidl.ops.conversion import to
from minidl_kernels.installing import how_to_install

__all__: list[str] = []

METHODS = ["bfloat16", "bool", "byte", "char", "double", "float", "half", "int", "long", "short"]
INPLACE: list[str] = []


def _caster(name: str) -> Any:
    def cast(input: Any, memory_format: Any = None) -> Any:
        dtype = dtypes.bfloat16_or_none() if name == "bfloat16" else name
        if dtype is None:
            raise RuntimeError(f"bfloat16 needs the package ml_dtypes: {how_to_install('ml_dtypes')}")
        return to(input, dtype=dtype)

    cast.__doc__ = f"``input`` converted to {name}."
    return cast


half, float, double = _caster("float16"), _caster("float32"), _caster("float64")
bfloat16 = _caster("bfloat16")
byte, char, short = _caster("uint8"), _caster("int8"), _caster("int16")
int, long, bool = _caster("int32"), _caster("int64"), _caster("bool")
