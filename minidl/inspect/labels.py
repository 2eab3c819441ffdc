"""What an operator is called, what it computes, and how it was set."""

from __future__ import annotations

import functools
import re
from typing import Any

from minidl import backends, dtypes
from minidl.autograd.tape import Operator

_LABELS = {
    "MatMul": "matmul",
    "LogSumExp": "logsumexp",
    "LogAddExp": "logaddexp",
    "LogCumsumExp": "logcumsumexp",
    "PRelu": "prelu",
    "SlogDet": "slogdet",
    "QR": "qr",
    "SVD": "svd",
    "CTC": "ctc_loss",
    "RnnLayer": "rnn",
    "GruLayer": "gru",
    "LstmLayer": "lstm",
    "Convolution": "conv",
    "SquaredError": "squared_error",
    "Where": "where",
}


def label_of(operator: Operator) -> str:
    """A short name in small letters: "log_softmax"."""
    return _small(operator.name)


@functools.cache
def _small(name: str) -> str:
    return _LABELS.get(name) or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).strip("_").lower()


def formula_of(operator: Operator) -> str:
    """What the operator computes and how its gradient is computed: the first paragraph of its docstring."""
    source = getattr(operator, "function", None)
    documented = source if isinstance(source, type) else type(operator)
    return _first_paragraph(documented.__doc__ or "")


@functools.cache
def _first_paragraph(docstring: str) -> str:
    paragraph = docstring.strip().split("\n\n")[0]
    text = re.sub(r"\s*See minidl_kernels\.[\w.]+", "", " ".join(paragraph.split()))
    text = re.sub(r":\w+:`([^`]*)`", r"\1", text).replace("``", "")
    return text.rstrip(".").replace(";  ", "; ").replace("; ", ";  ")


def settings_of(operator: Operator) -> dict[str, Any]:
    """The settings that are numbers, words, or sequences of them."""
    found = {name: _plain(value) for name, value in operator.__dict__.items() if not name.startswith("_")}
    return {name: value for name, value in found.items() if value is not _OTHER and name not in ("seen", "called_at")}


_OTHER = object()


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, slice):
        start, stop, step = ("" if part is None else str(part) for part in (value.start, value.stop, value.step))
        return f"{start}:{stop}" + (f":{step}" if step else "")
    if value is ...:
        return "..."
    if isinstance(value, (tuple, list)):
        parts = [_plain(part) for part in value]
        return _OTHER if any(part is _OTHER for part in parts) else tuple(parts)
    return str(value) if isinstance(value, (dtypes.dtype, backends.device)) else _OTHER
