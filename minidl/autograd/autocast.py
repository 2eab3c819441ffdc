"""Mixed precision: products computed in 16 bits, what would lose by it in 32, and the rest in what it is given.

Which function is of which kind is said at its definition (``@in_half``, ``@in_float32``, ``@in_float32_on_cuda``), after
PyTorch's lists. Master weights stay in float32; a weight is rounded once in a block and the rounding is on the tape, so that
gradients arrive in float32.

Source: P. Micikevicius et al., "Mixed Precision Training" (2018).
"""

from __future__ import annotations

import functools
import threading
from typing import Any

from minidl import dtypes
from minidl.autograd.grad_mode import is_grad_enabled
from minidl.tensor import Tensor
from minidl_kernels.installing import how_to_install

__all__ = ["autocast", "get_autocast_dtype", "is_autocast_enabled"]

DEVICES = ("cpu", "cuda")


class _State(threading.local):
    device: str | None = None  # None: no block is open, or one that is switched off
    dtype: Any = None
    rounded: dict[int, tuple[Tensor, Tensor]] | None = None  # by id of a weight: it, and its 16-bit form


state = _State()


def is_autocast_enabled(device_type: str | None = None) -> bool:
    """Whether the calling thread is inside an :class:`autocast` block (for ``device_type``, if one is named)."""
    return state.device is not None and device_type in (None, state.device)


def get_autocast_dtype(device_type: str) -> Any:
    """The type that products are computed in on a device: that of the open block, or the default."""
    return state.dtype if state.device == device_type else _default(device_type)


def _default(device_type: str) -> Any:
    return dtypes.float16 if device_type == "cuda" else dtypes.bfloat16_or_none()


class autocast:
    """Inside the block (``with``) or the decorated function, products are computed in ``dtype``.

    Run the forward pass and the loss in it; ``backward()`` outside, in the types that forward chose.

    Args:
        device_type: "cpu" or "cuda".
        dtype: bfloat16 on the CPU and float16 on CUDA, if None.
        enabled: False leaves everything as it is, inside another block too.
        cache_enabled: round each weight once in the block.

    Raises:
        RuntimeError: another device, or a type that is not a 16-bit float.
    """

    def __init__(
        self, device_type: str, dtype: Any = None, enabled: bool = True, cache_enabled: bool | None = None
    ) -> None:
        if device_type not in DEVICES:
            raise RuntimeError(f"autocast: unknown device_type {device_type!r}; choose 'cpu' or 'cuda'")
        dtype = dtype or _default(device_type)
        if enabled and dtype is None:
            raise RuntimeError(
                f"autocast: bfloat16 needs the package ml_dtypes: {how_to_install('ml_dtypes')}; or dtype=float16"
            )
        if enabled and not (dtype.is_floating_point and dtype.itemsize == 2):
            raise RuntimeError(f"autocast: dtype must be float16 or bfloat16, got {dtype}")
        self.device_type, self.dtype, self.enabled = device_type, dtype, enabled
        self.cache = cache_enabled is not False
        self._before: list[tuple[Any, Any, Any]] = []

    def __enter__(self) -> autocast:
        self._before.append((state.device, state.dtype, state.rounded))
        state.device, state.dtype = (self.device_type, self.dtype) if self.enabled else (None, None)
        state.rounded = (state.rounded if state.rounded is not None else {}) if self.cache else None
        return self

    def __exit__(self, *exc: object) -> None:
        state.device, state.dtype, state.rounded = self._before.pop()

    def __call__(self, function: Any) -> Any:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with autocast(self.device_type, self.dtype, self.enabled, self.cache):
                return function(*args, **kwargs)

        return call


def in_half(function: Any) -> Any:
    """A function that an autocast block runs in 16 bits."""
    return _when("any", _lower, function)


def in_float32(function: Any) -> Any:
    """A function that an autocast block runs in float32."""
    return _when("any", _widen, function)


def in_float32_on_cuda(function: Any) -> Any:
    """A function that an autocast block for CUDA runs in float32, and one for the CPU in what it is given."""
    return _when("cuda", _widen, function)


def as_given(function: Any) -> Any:
    """A function that an autocast block leaves alone, and what it is made of too."""
    return _when("any", lambda x: x, function)


def _when(device: str, convert: Any, function: Any) -> Any:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if state.device is None or device not in ("any", state.device):
            return function(*args, **kwargs)
        args, kwargs = _each(convert, args), {name: _each(convert, value) for name, value in kwargs.items()}
        open_device, state.device = state.device, None  # what the function calls in turn is its own affair
        try:
            return function(*args, **kwargs)
        finally:
            state.device = open_device

    return call


def _each(convert: Any, value: Any) -> Any:
    if isinstance(value, Tensor):
        kind = value.dtype
        eligible = kind.is_floating_point and kind != dtypes.float64 and value.device.type == state.device
        return convert(value) if eligible else value
    if type(value) in (list, tuple):
        return type(value)(_each(convert, v) for v in value)
    return value


def _widen(x: Any) -> Any:
    return x.to(dtypes.float32)


def _lower(x: Any) -> Any:
    if x.dtype == state.dtype:
        return x
    weight = x.is_leaf and x.requires_grad and x.dtype == dtypes.float32 and is_grad_enabled()
    if not weight or state.rounded is None:
        return x.to(state.dtype)
    found = state.rounded.get(id(x))
    if found is None or found[0] is not x or found[1].dtype != state.dtype:
        found = state.rounded[id(x)] = x, x.to(state.dtype)
    return found[1]
