"""How exactly float32 matrices are multiplied on a GPU: in float32, or on tensor cores in TF32.

TF32 keeps float32's 8 exponent bits and 10 of its 23 mantissa bits: products err by one part in a thousand rather than
in ten million, and come about eight times as fast. PyTorch's names:

    "highest"   float32 (the default)
    "high"      TF32 on tensor cores
    "medium"    as "high" here (it permits bfloat16, which no kernel of this library makes use of)
"""

from __future__ import annotations

PRECISIONS = ("highest", "high", "medium")

_precision = ["highest"]


def set_float32_matmul_precision(precision: str) -> None:
    """Sets how exactly float32 matrices are multiplied on a GPU: "highest", "high" or "medium".

    Raises:
        RuntimeError: it is none of the three.
    """
    if precision not in PRECISIONS:
        raise RuntimeError(
            f"set_float32_matmul_precision: {precision!r} is not a precision; it must be one of "
            f"{', '.join(map(repr, PRECISIONS))}"
        )
    _precision[0] = precision


def get_float32_matmul_precision() -> str:
    """How exactly float32 matrices are multiplied on a GPU: "highest", "high" or "medium"."""
    return _precision[0]


def input_precision() -> str:
    """The setting in Triton's word for it: "ieee" or "tf32"."""
    return "ieee" if _precision[0] == "highest" else "tf32"
