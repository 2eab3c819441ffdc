"""How a tensor prints: as PyTorch's do, with four digits, one format for all values, large tensors in outline."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minidl import dtypes
from minidl.ops.conversion import to
from minidl.tensor import Tensor

__all__ = ["set_printoptions"]

METHODS = ["__repr__", "__str__"]
INPLACE: list[str] = []


@dataclass(frozen=True)
class Options:
    """``precision`` digits after the point; above ``threshold`` elements only ``edgeitems`` at each end; lines of
    ``linewidth``; ``sci_mode`` forces (or forbids) powers of ten."""

    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


_PROFILES = {
    "default": Options(),
    "short": Options(precision=2, edgeitems=2),
    "full": Options(threshold=math.inf),
}
_options = Options()


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Change how tensors print.

    Args:
        precision: digits after the point (4).
        threshold: with more elements than this (1000), only ``edgeitems`` (3) at each end of each dimension are shown.
        linewidth: characters a line (80).
        profile: all of them at once: ``"default"``, ``"short"`` or ``"full"``.
        sci_mode: True: always powers of ten, False: never, None: where the values call for it.
    """
    global _options
    if profile is not None:
        if profile not in _PROFILES:
            raise ValueError(f"unknown profile {profile!r}; choose one of {', '.join(_PROFILES)}")
        _options = _PROFILES[profile]
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    _options = replace(_options, sci_mode=sci_mode, **{k: v for k, v in given.items() if v is not None})  # type: ignore[arg-type]


@contextlib.contextmanager
def printoptions(**options: Any) -> Iterator[None]:
    """:func:`set_printoptions` for a block."""
    global _options
    before = _options
    try:
        set_printoptions(**options)
        yield
    finally:
        _options = before


def __repr__(self: Tensor) -> str:  # noqa: N807
    return text(self)


def __str__(self: Tensor) -> str:  # noqa: N807
    return repr(self)


def text(tensor: Tensor, prefix: str = "tensor(") -> str:
    """The values in brackets, and what is out of the ordinary: device, shape (if empty), type, place on the tape."""
    array = tensor._data
    notes = []
    if tensor.is_cuda:
        notes.append(f"device='{tensor.device}'")
    default = tensor.dtype is dtypes.get_default_dtype()
    if array.size == 0:
        if array.ndim != 1:
            notes.append(f"size={tuple(array.shape)}")
        if not default:
            notes.append(f"dtype={tensor.dtype}")
        body = "[]"
    else:
        if not (default or tensor.dtype in (dtypes.int64, dtypes.bool_)):
            notes.append(f"dtype={tensor.dtype}")
        body = _body(tensor, len(prefix))
    operator = tensor.grad_fn
    if operator is not None:
        notes.append(f"grad_fn=<{operator.name}>")
    elif tensor.requires_grad:
        notes.append("requires_grad=True")
    return _with_notes(prefix + body, notes, len(prefix))


def _with_notes(start: str, notes: list[str], indent: int) -> str:
    """Notes after the values, on a new line where they would pass the end of this one."""
    length = len(start) - start.rfind("\n") + 1
    parts = [start]
    for note in notes:
        if length + len(note) + 2 > _options.linewidth:
            parts.append(",\n" + " " * indent + note)
            length = indent + len(note)
        else:
            parts.append(", " + note)
            length += len(note) + 2
    return "".join(parts) + ")"


def _body(tensor: Tensor, indent: int) -> str:
    array = tensor._data
    outline = array.size > _options.threshold
    if outline:
        for axis, n in enumerate(array.shape):
            if n > 2 * _options.edgeitems:
                array = _ends(array, axis)
    values = to(Tensor(array), "cpu")._data  # only what is shown comes from the GPU
    return _nested(values, tensor.shape, indent, outline, Format(values))


def _ends(array: Any, axis: int) -> Any:
    keep = np.r_[0 : _options.edgeitems, array.shape[axis] - _options.edgeitems : array.shape[axis]]
    return array[(slice(None),) * axis + (keep,)]  # unlike take(), never copies the whole of an expanded array


def _nested(values: np.ndarray, shape: tuple[int, ...], indent: int, outline: bool, form: Format) -> str:
    """Brackets in brackets. ``values`` holds what is shown of a tensor of ``shape``."""
    if values.ndim == 0:
        return form(values.item())
    cut = outline and shape[0] > 2 * _options.edgeitems
    if values.ndim == 1:
        return _row(values, indent, cut, form)
    rows = [_nested(row, shape[1:], indent + 1, outline, form) for row in values]
    if cut:
        rows.insert(_options.edgeitems, "...")
    return "[" + ("," + "\n" * (values.ndim - 1) + " " * (indent + 1)).join(rows) + "]"


def _row(values: np.ndarray, indent: int, cut: bool, form: Format) -> str:
    items = [form(value) for value in values.tolist()]
    if cut:
        items.insert(_options.edgeitems, " ...")
    a_line = max(1, (_options.linewidth - indent) // (form.width + 2))
    lines = [", ".join(items[i : i + a_line]) for i in range(0, len(items), a_line)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


class Format:
    """One format for all values that are shown: whole numbers as ``1.``, others with ``precision`` digits, and powers
    of ten where the largest is more than 1000 times the smallest, above 10⁸, or the smallest below 10⁻⁴."""

    def __init__(self, values: np.ndarray) -> None:
        self.floating = values.dtype.kind not in "iub"
        self.whole, self.powers, self.width = True, False, 1
        if not self.floating:
            self.width = max(len(str(value)) for value in values.ravel().tolist())
            return
        wide = values.astype(np.float64).ravel()
        finite = wide[np.isfinite(wide) & (wide != 0)]
        if finite.size:
            least, most = abs(finite).min(), abs(finite).max()
            self.whole = bool((finite == np.ceil(finite)).all())
            self.powers = bool(most / least > 1000 or most > 1e8 or (least < 1e-4 and not self.whole))
            if _options.sci_mode is not None:
                self.powers = _options.sci_mode
            self.width = max(len(self.write(value)) for value in finite.tolist())

    def write(self, value: float) -> str:
        if self.powers:
            return f"{value:.{_options.precision}e}"
        if self.whole:
            return f"{value:.0f}." if math.isfinite(value) else f"{value:.0f}"
        return f"{value:.{_options.precision}f}"

    def __call__(self, value: Any) -> str:
        return (self.write(float(value)) if self.floating else str(value)).rjust(self.width)
