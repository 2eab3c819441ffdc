"""What an operator is called, and what it computes."""

from __future__ import annotations

import functools
import re

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
    "Quotient": "div",
    "Im2Col": "im2col",
    "Col2Im": "col2im",
    "CopySign": "copysign",
    "InputGradient": "conv_transpose",
    # one operator for several functions goes by the function's name, which is NumPy's
    "rint": "round",
    "max": "amax",
    "min": "amin",
}
_FUNCTION = {
    "Extreme": "which",
    "MedianOfAll": "which",
    "Flat": "function",
    "Larger": "function",
    "Modulus": "function",
}


def label_of(operator: Operator) -> str:
    """A short name in small letters: "log_softmax"."""
    name = operator.name
    return _small(getattr(operator, _FUNCTION[name]) if name in _FUNCTION else name)


@functools.cache
def _small(name: str) -> str:
    return _LABELS.get(name) or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).strip("_").lower()


def formula_of(operator: Operator) -> str:
    """What the operator computes and how its gradient is computed: the first paragraph of its docstring, unless it has
    another ``formula`` for how it is set."""
    return getattr(operator, "formula", None) or _first_paragraph(documented(operator).__doc__ or "")


def documented(operator: Operator) -> type:
    """The class that says what an operator does: its own, or the user's Function that it runs."""
    function = getattr(operator, "function", None)
    return function if isinstance(function, type) else type(operator)


@functools.cache
def _first_paragraph(docstring: str) -> str:
    paragraph = docstring.strip().split("\n\n")[0]
    text = re.sub(r"\s*See minidl_kernels\.[\w.]+", "", " ".join(paragraph.split()))
    text = re.sub(r":\w+:`([^`]*)`", r"\1", text).replace("``", "")
    return text.rstrip(".").replace(";  ", "; ").replace("; ", ";  ")
