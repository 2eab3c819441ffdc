"""How pictures of graphs look: colours, light and dark, for operators by kind, and sizes of text.

The one source for SVG and the trace page (as CSS) and for PNG (as colours).
"""

from __future__ import annotations

from typing import Any

MONO = "ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace"
WIDE = 0.603  # a character's width in such a font, as a share of its size

# Kinds of operators: what they are called in the legend, and (fill, line, text) in light and in dark.
KINDS: dict[str, tuple[str, tuple[str, str, str], tuple[str, str, str]]] = {
    "product": ("products", ("#dfe9ff", "#4c7be0", "#173f9a"), ("#1b2a4d", "#6d96f5", "#c8d8ff")),
    "layer": ("fused layers", ("#e2e0fb", "#6b5fd6", "#3a2fa0"), ("#292550", "#9086f2", "#d9d5ff")),
    "arithmetic": ("arithmetic", ("#e6f3f1", "#3d978a", "#12564c"), ("#16332f", "#54b3a5", "#bfe9e2")),
    "function": ("functions", ("#fff0d9", "#d98a1f", "#7d4a00"), ("#3b2a10", "#e2a144", "#ffe0ae")),
    "reduction": ("reductions", ("#f6e3f6", "#b052b0", "#701a70"), ("#3a1f3a", "#cf7ccf", "#f5ccf5")),
    "loss": ("losses", ("#fde3e1", "#d4504a", "#8d1e19"), ("#431d1b", "#ea7a74", "#ffd0cc")),
    "norm": ("normalisation", ("#e3f4dd", "#559c3c", "#275c13"), ("#1f3318", "#78bd60", "#d2f0c6")),
    "lookup": ("look-ups", ("#fbf6cf", "#b39a13", "#665600"), ("#37320f", "#cdb73a", "#f3eab0")),
    "shape": ("shapes, no arithmetic", ("#eef0f3", "#98a1ae", "#47505e"), ("#262b33", "#6f7988", "#cfd5de")),
    "other": ("others", ("#f4ece6", "#a98467", "#5f412a"), ("#332820", "#b99a80", "#ecdccf")),
}

# The kind of an operator, by the module that its class stands in; the longest name that fits.
HOMES = {
    "minidl.ops.elementwise": "arithmetic",
    "minidl.ops.composed": "arithmetic",
    "minidl.ops.comparison": "arithmetic",
    "minidl.ops.accumulation": "arithmetic",
    "minidl.ops.transcendental": "function",
    "minidl.ops.activation": "function",
    "minidl.ops.rounding": "function",
    "minidl.nn.functional.activation": "function",
    "minidl.nn.functional.smooth": "function",
    "minidl.nn.functional.softmaxes": "function",
    "minidl.ops.reductions": "reduction",
    "minidl.ops.statistics": "reduction",
    "minidl.ops.extremes": "reduction",
    "minidl.ops.norms": "reduction",
    "minidl.ops.scan": "reduction",
    "minidl.ops.sorting": "reduction",
    "minidl.nn.functional.reduction": "reduction",
    "minidl.ops.products": "product",
    "minidl.ops.einstein": "product",
    "minidl.ops.linear_algebra": "product",
    "minidl.nn.functional.affine": "product",
    "minidl.nn.functional.convolution": "product",
    "minidl.nn.functional.recurrent": "layer",
    "minidl.nn.functional.attention": "layer",
    "minidl.nn.functional.pooling": "layer",
    "minidl.nn.functional.normalization": "norm",
    "minidl.nn.functional.losses": "loss",
    "minidl.nn.functional.likelihoods": "loss",
    "minidl.nn.functional.classification": "loss",
    "minidl.nn.functional.margins": "loss",
    "minidl.nn.functional.distance": "loss",
    "minidl.nn.functional.ctc": "loss",
    "minidl.ops.indexing": "lookup",
    "minidl.ops.gathering": "lookup",
    "minidl.ops.scatter_reduction": "lookup",
    "minidl.nn.functional.embeddings": "lookup",
    "minidl.ops.shape": "shape",
    "minidl.ops.rearranging": "shape",
    "minidl.ops.joining": "shape",
    "minidl.ops.casting": "shape",
    "minidl.ops.conversion": "shape",
    "minidl.ops.diagonals": "shape",
    "minidl.nn.functional.padding": "shape",
    "minidl.nn.functional.vision": "shape",
}

# Everything else that is drawn, by role: (fill, line, text).
ROLES: dict[str, tuple[tuple[str, str, str], tuple[str, str, str]]] = {
    "parameter": (("#ffffff", "#1d2733", "#1d2733"), ("#12161c", "#dde3ea", "#eef2f6")),
    "constant": (("#ffffff", "#9aa4b1", "#55606e"), ("#12161c", "#6a7481", "#a6b0bd")),
    "end": (("#1d2733", "#1d2733", "#ffffff"), ("#eef2f6", "#eef2f6", "#12161c")),
    "box": (("#f7f9fb", "#c9d1db", "#3c4756"), ("#171c23", "#3a4450", "#c3ccd7")),
    "deeper": (("#eff3f7", "#c0c9d4", "#3c4756"), ("#1d232b", "#434e5b", "#c3ccd7")),
    "folded": (("#fdfdfe", "#aab4c0", "#3c4756"), ("#1a2028", "#56616f", "#c3ccd7")),
    "wire": (("none", "#8b96a4", "#8b96a4"), ("none", "#6c7785", "#6c7785")),
    "label": (("none", "none", "#66717f"), ("none", "none", "#94a0ae")),
    "title": (("none", "none", "#1d2733"), ("none", "none", "#eef2f6")),
    "paper": (("#ffffff", "none", "#1d2733"), ("#0f1318", "none", "#eef2f6")),
}

SHORT = {
    "float16": "f16",
    "bfloat16": "bf16",
    "float32": "f32",
    "float64": "f64",
    "int8": "i8",
    "int16": "i16",
    "int32": "i32",
    "int64": "i64",
    "uint8": "u8",
    "bool": "bool",
}


def kind_of(operator: Any) -> str:
    """The kind of an operator of the tape."""
    return HOMES.get(type(operator).__module__, "other")


def shape_text(shape: Any) -> str:
    """(4, 32) as "4×32"; a single number has no dimensions to tell."""
    return "×".join(map(str, shape)) if len(shape) else "scalar"


def dtype_text(dtype: Any) -> str:
    """float32 as "f32"."""
    name = str(dtype).rpartition(".")[2]
    return SHORT.get(name, name)


def text_width(text: str, size: float) -> float:
    return len(text) * size * WIDE


def cut(text: str, length: int) -> str:
    """A text of at most ``length`` characters; where it is longer, its middle is left out."""
    if len(text) <= length:
        return text
    tail = (length - 1) // 2
    return f"{text[: length - 1 - tail]}…{text[-tail:] if tail else ''}"


def colours(role: str, dark: bool = False) -> tuple[str, str, str]:
    """(fill, line, text) of a kind of operator or another role."""
    table = KINDS[role][1:] if role in KINDS else ROLES[role]
    return table[dark]


def css(selector: str = "", dark: bool = False) -> str:
    """The colours as CSS rules for elements of class ``k-<role>``, each under ``selector``."""
    rules = []
    for role in [*KINDS, *ROLES]:
        fill, line, text = colours(role, dark)
        rules.append(f"{selector} .k-{role} > .shape {{ fill: {fill}; stroke: {line} }}")
        rules.append(f"{selector} .k-{role} > text {{ fill: {text} }}")
    rules.append(f"{selector} .k-wire > .head {{ fill: {colours('wire', dark)[1]} }}")
    return "\n".join(rules)
