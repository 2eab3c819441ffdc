"""What Triton 3.6's interpreter needs mended: numbers as loop bounds under NumPy 2.4, bfloat16, and what makes it slow.

The interpreter keeps bfloat16 values as their 16 bits in a uint16 array. Sums, products and comparisons must widen them,
and results must be rounded to nearest, ties to even, as the processors do.

Half of its time went into what it throws away or makes anew for each operation: sums of whole numbers done again in 64 bits,
types and shapes as objects, and the search for the functions to replace.
"""

from __future__ import annotations

import inspect
import math
from dataclasses import replace
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
        _forget_overflows()
        _remember_types()
        _remember_shapes()
        _remember_builtins()


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


def _forget_overflows() -> None:
    """Whole numbers are added once: the second time, in 64 bits, is for an assertion that Triton makes in debug mode alone."""
    builder = interpreter.interpreter_builder
    if not builder.options.debug:
        builder.options = replace(builder.options, sanitize_overflow=False)


def _remember_types() -> None:
    """NumPy's type for one of Triton's: the interpreter makes the table of all anew for each operation."""
    find, known = interpreter._get_np_dtype, {}

    def get_np_dtype(dtype: Any) -> np.dtype:
        name = dtype.scalar.name
        if name not in known:
            known[name] = find(dtype)
        return known[name]

    interpreter._get_np_dtype = get_np_dtype


def _remember_shapes() -> None:
    """Tensors and types of one shape share the objects that describe it; a shape is checked when it is first seen."""
    core: Any = tl.core
    check, types, shapes = core.block_type.__init__, {}, {}

    def make_type(self: Any, element_ty: Any, shape: Any) -> None:
        key = element_ty.name, tuple(core._unwrap_if_constexpr(n) for n in shape)
        if key not in types:
            check(self, element_ty, shape)
            types[key] = dict(vars(self))
        vars(self).update(types[key], element_ty=element_ty)

    def make_tensor(self: Any, handle: Any, type: Any) -> None:
        sizes = tuple(type.shape.values) if type.is_block() else ()
        if sizes not in shapes:
            shapes[sizes] = core.tuple([core.constexpr(n) for n in sizes]), core.constexpr(math.prod(sizes))
        self.handle, self.type, self.dtype = handle, type, type.scalar
        self.shape, self.numel = shapes[sizes]

    core.block_type.__init__, core.tensor.__init__ = make_type, make_tensor


def _remember_builtins() -> None:
    """Which functions of a module the interpreter replaces while a kernel runs: it looks through all that the module has."""
    names: dict[Any, list[str]] = {}

    def patch_builtin(package: Any, builder: Any, scope: Any) -> None:
        if package not in names:
            names[package] = [name for name, member in inspect.getmembers(package) if tl.core.is_builtin(member)]
        for name in names[package]:
            member = getattr(package, name)
            if tl.core.is_builtin(member):  # not replaced already, by the kernel that calls this one
                interpreter._patch_attr(package, name, member, builder, scope)

    interpreter._patch_builtin = patch_builtin
