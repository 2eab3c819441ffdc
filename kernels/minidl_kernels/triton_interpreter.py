"""What Triton 3.6's interpreter needs mended: numbers as loop bounds under NumPy 2.4, and bfloat16.

The interpreter keeps bfloat16 values as their 16 bits in a uint16 array. Sums, products and comparisons must widen them,
and results must be rounded to nearest, ties to even, as the processors do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import triton.language as tl
from triton.runtime import interpreter
from triton.runtime.interpreter import TensorHandle

InterpreterBuilder: Any = interpreter.InterpreterBuilder
_FLOATS = (tl.float16, tl.float32, tl.float64)


def mend() -> None:
    """Once, before the first kernel runs."""
    if not hasattr(InterpreterBuilder, "_mended_by_minidl"):
        InterpreterBuilder._mended_by_minidl = True
        _mend_numbers()
        _mend_bfloat16()


def _mend_numbers() -> None:
    """A scalar is kept as an array of shape (1,), which NumPy 2.4 no longer turns into a number by itself."""
    patch = interpreter._patch_lang_tensor

    def patched(tensor: Any, scope: Any) -> None:
        patch(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: int(np.asarray(self.handle.data).reshape(-1)[0]))
        scope.set_attr(tensor, "__bool__", lambda self: bool(np.asarray(self.handle.data).all()))

    interpreter._patch_lang_tensor = patched


def widen(bits: Any) -> Any:
    """float32 from bfloat16 bits: the upper half of its bits."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def narrow(values: Any) -> Any:
    """bfloat16 bits from floats, rounded to nearest, ties to even."""
    values = np.ascontiguousarray(values, np.float32)
    bits = values.view(np.uint32)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return np.where(np.isnan(values), np.uint16(0x7FC0), rounded)


def _is_bfloat16(handle: Any) -> bool:
    return handle.dtype.scalar == tl.bfloat16


def _mend_bfloat16() -> None:
    dot, binary, cast, convert = (
        InterpreterBuilder.create_dot,
        InterpreterBuilder.binary_op,
        InterpreterBuilder.cast_impl,
        InterpreterBuilder.create_fp_to_fp,
    )

    def wide(handle: Any) -> Any:
        return TensorHandle(widen(handle.data), tl.float32) if _is_bfloat16(handle) else handle

    def create_dot(self: Any, a: Any, b: Any, total: Any, *rest: Any) -> Any:
        return dot(self, wide(a), wide(b), total, *rest)

    def binary_op(self: Any, left: Any, right: Any, op: Any) -> Any:
        if not (_is_bfloat16(left) and _is_bfloat16(right)):
            return binary(self, left, right, op)
        result = op(widen(left.data), widen(right.data))
        if result.dtype == np.bool_:
            return TensorHandle(result, tl.int1)
        return TensorHandle(narrow(result), tl.bfloat16)

    def cast_impl(self: Any, value: Any, to: Any) -> Any:
        before, after = value.dtype.scalar, to.scalar
        if after == tl.bfloat16 and before in _FLOATS:
            return TensorHandle(narrow(value.data), tl.bfloat16)
        if before == tl.bfloat16 and after in _FLOATS:
            return TensorHandle(widen(value.data).astype(interpreter._get_np_dtype(after)), after)
        return cast(self, value, to)

    def create_fp_to_fp(self: Any, value: Any, to: Any, rounding: Any) -> Any:
        if _is_bfloat16(value) or to.scalar == tl.bfloat16:
            return self.cast_impl(value, to)
        return convert(self, value, to, rounding)

    InterpreterBuilder.create_dot = create_dot
    InterpreterBuilder.binary_op = binary_op
    InterpreterBuilder.cast_impl = cast_impl
    InterpreterBuilder.create_fp_to_fp = create_fp_to_fp
    InterpreterBuilder.create_fp_ext = InterpreterBuilder.create_fp_trunc = lambda self, x, to: self.cast_impl(x, to)
