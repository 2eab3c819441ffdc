"""What was asked of an operator: settings that differ from their defaults, under the names that PyTorch gives them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minidl import backends, dtypes
from minidl.autograd.tape import Operator

_ALWAYS = object()  # the default of what has none: it is always told
_OTHER = object()  # what is no plain value

# A setting: where an operator keeps it, or a function that reads it there, and its default, or a function that knows it.
_Setting = tuple[str | Callable[[Any], Any], Any]


def _kept(**defaults: Any) -> dict[str, _Setting]:
    """Settings that are kept under PyTorch's names."""
    return {name: (name, default) for name, default in defaults.items()}


def _along(**defaults: Any) -> dict[str, _Setting]:
    """Those of a reduction."""
    return {"dim": ("dims", _all_dims), "keepdim": ("keepdim", False), **_kept(**defaults)}


def _all_dims(operator: Any) -> Any:
    """The dims of a reduction over all of its input."""
    left, taken = len(operator.outputs[0][0]), len(operator.dims)
    return _short(operator.dims) if taken == (left if operator.keepdim else left + taken) else None


def _only_dim(operator: Any) -> Any:
    """The dims of what has but one."""
    return (0,) if len(operator.outputs[0][0]) == 1 else None


def _matrix_dims(operator: Any) -> tuple[int, int]:
    """The dims of a diagonal where they are the first two or the last two, which are the defaults."""
    diagonal = getattr(operator, "diagonal", operator)
    last = len(operator.outputs[0][0]) - 1 + (diagonal is operator)
    found = diagonal.dim1, diagonal.dim2
    return found if found == (last - 1, last) else (0, 1)


_DIM = _kept(dim=_ALWAYS)
_JOINED = _kept(dim=0)
_DIMS: dict[str, _Setting] = {"dims": ("dims", _ALWAYS)}
_GEOMETRY: dict[str, _Setting] = {
    "stride": ("geometry.stride", 1),
    "padding": ("geometry.padding", 0),
    "dilation": ("geometry.dilation", 1),
    "groups": ("geometry.groups", 1),
}
_COLUMNS: dict[str, _Setting] = {
    "kernel_size": ("windows.kernel", _ALWAYS),
    "dilation": ("windows.dilation", 1),
    "padding": ("windows.padding", 0),
    "stride": ("windows.stride", 1),
}
_POOL: dict[str, _Setting] = {
    **_COLUMNS,
    "padding": ("windows.before", 0),
    "stride": ("windows.stride", lambda operator: _short(operator.windows.kernel)),
}
_DIAGONAL = _kept(offset=0, dim1=lambda o: _matrix_dims(o)[0], dim2=lambda o: _matrix_dims(o)[1])
_UNFOLD: dict[str, _Setting] = {
    "dimension": ("dim", _ALWAYS),
    "size": ("size", _ALWAYS),
    "step": ("step", _ALWAYS),
}


def _within(place: str, settings: dict[str, _Setting]) -> dict[str, _Setting]:
    """Settings of another operator, or in a dict, that an operator keeps as ``place``."""
    return {name: (f"{place}.{held}", default) for name, (held, default) in settings.items()}


def _padding(operator: Any) -> tuple[int, ...]:
    """(before, after) from the last dimension on, as far as there is anything."""
    sides = list(reversed(operator.sides))
    while len(sides) > 1 and not any(sides[-1]):
        sides.pop()
    return tuple([n for pair in sides for n in pair])


def _index(operator: Any) -> str:
    """An index as it is written: "[1:, 2]"."""
    index = operator.index if isinstance(operator.index, tuple) else (operator.index,)
    return f"[{', '.join(map(_subscript, index))}]"


def _subscript(part: Any) -> str:
    if isinstance(part, slice):
        start, stop, step = ("" if n is None else str(n) for n in (part.start, part.stop, part.step))
        return f"{start}:{stop}" + (f":{step}" if step else "")
    return "..." if part is ... else str(part)


_SETTINGS: dict[str, dict[str, _Setting]] = {
    "Add": _kept(alpha=1),
    "AddTo": _DIM,
    "AsStrided": {"stride": ("strides", _ALWAYS), "storage_offset": ("offset", None)},
    "Attention": {"is_causal": ("settings.causal", False), "dropout_p": ("settings.p", 0)},
    "BatchNorm": _kept(eps=1e-5),
    "CTC": _kept(blank=0, zero_infinity=False),
    "Cast": {"dtype": ("numpy_dtype", _ALWAYS)},
    "Cat": _JOINED,
    "Col2Im": _COLUMNS,
    "ConstantPad": {"pad": (_padding, _ALWAYS), "value": ("value", 0)},
    "Convolution": _GEOMETRY,
    "CrossEntropy": {"label_smoothing": ("smoothing", 0.0), "reduction": ("reduction", "mean")},
    "Cumprod": _DIM,
    "Cumsum": _DIM,
    "Diagonal": _DIAGONAL,
    "Dropout": _kept(p=0.5),
    "Eigh": {"UPLO": ("triangle", "L")},
    "Elu": _kept(alpha=lambda operator: operator.alpha if operator.scale != 1 else 1.0),  # selu's own is no setting
    "Embedding": {"padding_idx": ("padding", None), "scale_grad_by_freq": ("by_frequency", False)},
    "Extreme": _along(),
    "Flip": _DIMS,
    "Fold": _within("windows", _UNFOLD),
    "Gather": _DIM,
    "Gelu": _kept(approximate="none"),
    "Hardshrink": _kept(lambd=0.5),
    "Hardtanh": {"min_val": ("low", -1.0), "max_val": ("high", 1.0)},
    "Huber": _kept(delta=1.0),
    "Im2Col": _COLUMNS,
    "InputGradient": _GEOMETRY,
    "LayerNorm": _kept(eps=1e-5),
    "LeakyRelu": _kept(negative_slope=0.01),
    "LogCumsumExp": _DIM,
    "LogSoftmax": _DIM,
    "LogSumExp": _along(),
    "Logit": _kept(eps=None),
    "MaxPool": _POOL,
    "Mean": _along(),
    "Move": {"device": ("target", _ALWAYS)},
    "NanToNum": _within("settings", _kept(nan=0.0, posinf=None, neginf=None)),
    "OnDiagonal": _within("diagonal", _DIAGONAL),
    "Permute": _kept(dims=()),
    "Pick": _DIM,
    "Pinv": _kept(hermitian=False),
    "Place": {"index": (_index, _ALWAYS)},
    "Prod": _along(),
    "Put": _kept(accumulate=False),
    "PutBack": _DIM,
    "QR": _kept(mode="reduced"),
    "Quotient": {"rounding_mode": ("function", _ALWAYS)},
    "Repeat": _kept(repeats=_ALWAYS),
    "RnnLayer": _kept(nonlinearity="tanh"),
    "Roll": {"shifts": ("shifts", _ALWAYS), "dims": ("dims", _only_dim)},
    "Rotation": _kept(interleaved=False),
    "RoundDecimals": _kept(decimals=0),
    "SVD": {"full_matrices": ("full", True)},
    "Select": {"index": (_index, _ALWAYS)},
    "Softmax": _DIM,
    "Softplus": _kept(beta=1.0, threshold=20.0),
    "Softshrink": _kept(lambd=0.5),
    "SolveTriangular": {"upper": ("upper", _ALWAYS), "unitriangular": ("unit", False)},
    "Split": _JOINED,
    "Stack": _JOINED,
    "Std": _along(correction=1),
    "Sub": _kept(alpha=1),
    "Sum": _along(),
    "SumPool": _POOL,
    "SumSpread": _POOL,
    "Threshold": {"threshold": ("threshold", _ALWAYS), "value": ("other", _ALWAYS)},
    "Triangle": _kept(diagonal=0),
    "Unbind": _JOINED,
    "Unfold": _UNFOLD,
    "Var": _along(correction=1),
    "VectorNorm": {"ord": ("p", 2.0), **_along()},
    "WeightGradient": _GEOMETRY,
}


def settings_of(operator: Operator) -> dict[str, Any]:
    """What differs from the defaults, by PyTorch's names; of an operator from elsewhere, all that is plain, as it is kept."""
    defaults = {name: default for name, (_, default) in _SETTINGS.get(operator.name, {}).items()}
    return {
        name: value
        for name, value in every_setting(operator).items()
        if value != (default(operator) if callable(default := defaults.get(name, _ALWAYS)) else default)
    }


def every_setting(operator: Operator) -> dict[str, Any]:
    """The settings at their defaults too."""
    if not type(operator).__module__.startswith("minidl."):
        kept = {name: value for name, value in operator.__dict__.items() if not name.startswith("_")}
        found = {name: _plain(value) for name, value in kept.items() if name not in _NOTES}
    else:
        found = {name: _value(operator, name, place) for name, (place, _) in _SETTINGS.get(operator.name, {}).items()}
    return {name: value for name, value in found.items() if value is not _OTHER}


def _value(operator: Operator, name: str, place: Any) -> Any:
    value = _plain(place(operator) if callable(place) else _look_up(operator, place))
    return _short(value) if name in _EVERYWHERE else value


_NOTES = ("seen", "called_at")  # what watchers leave on an operator
_EVERYWHERE = ("dim", "kernel_size", "stride", "padding", "dilation")  # one number may stand for all dimensions


def _look_up(operator: Any, place: str) -> Any:
    for part in place.split("."):
        operator = operator[part] if isinstance(operator, dict) else getattr(operator, part)
    return operator


def _short(value: Any) -> Any:
    """One number for several alike, as PyTorch takes it."""
    if not isinstance(value, tuple) or not value:
        return value
    parts = [_short(part) for part in value]
    return parts[0] if all(part == parts[0] for part in parts) else tuple(parts)


def _plain(value: Any) -> Any:
    """Numbers, words and sequences of them; ``_OTHER`` for anything else."""
    if isinstance(value, np.dtype):
        return dtypes.from_numpy_dtype(value).name
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (tuple, list)):
        parts = [_plain(part) for part in value]
        return _OTHER if any(part is _OTHER for part in parts) else tuple(parts)
    return str(value) if isinstance(value, (dtypes.dtype, backends.device)) else _OTHER
