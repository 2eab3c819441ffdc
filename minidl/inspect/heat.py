"""Numbers as colours: blue below zero, white at zero, red above; gradients in violet and green, to be told apart."""

from __future__ import annotations

import math
import struct
import zlib
from typing import Any

import numpy as np

Figure = dict[str, Any]  # what a recording tells of an array: {"shape", "stats", "grid", "items"}

Colour = tuple[int, int, int]
SCALES: dict[str, tuple[Colour, Colour, Colour]] = {  # at -1, 0 and 1
    "value": ((33, 102, 172), (247, 247, 247), (178, 24, 43)),
    "grad": ((84, 39, 136), (247, 247, 247), (27, 120, 55)),
}
ODD = (255, 176, 0)  # NaN and infinities


def number(x: Any) -> str:
    """A number in at most eight characters: 2.142, -0.0137, 1.3e-07, 12,345."""
    if isinstance(x, bool):
        return str(x)
    if isinstance(x, str):
        return {"nan": "nan", "inf": "∞", "-inf": "-∞"}.get(x, x)
    if not math.isfinite(x):
        return {"nan": "nan", "inf": "∞", "-inf": "-∞"}[str(float(x))]
    if x == int(x) and abs(x) < 1e6:
        return f"{int(x):,}"
    if 1e-3 <= abs(x) < 1e5:
        return f"{x:.4g}"
    return f"{x:.2g}".replace("e+", "e")


def numbers(figure: Figure, length: int) -> str:
    """The numbers themselves where that takes no more than ``length`` characters; else nothing."""
    items = figure.get("items")
    if items is None or not 1 <= len(items) <= 3:
        return ""
    told = " ".join(number(x) for x in items)
    return told if len(told) <= length else ""


def pixels(figure: Figure, kind: str) -> np.ndarray | None:
    """The grid's colours (rows, columns, 3) in bytes; the largest magnitude is the deepest colour."""
    grid = figure.get("grid")
    if not grid or not grid[0]:
        return None
    values = np.array([[float(x) for x in row] for row in grid])
    finite = np.isfinite(values)
    most = float(np.abs(values[finite]).max()) if finite.any() else 0.0
    with np.errstate(invalid="ignore"):
        share = np.where(finite, values / most if most else 0.0, 0.0)
    below, middle, above = (np.array(c, float) for c in SCALES[kind])
    strength = np.sqrt(np.abs(share))[..., None]  # small ones stay visible
    colours = middle + strength * (np.where(share[..., None] < 0, below, above) - middle)
    colours[~finite] = ODD
    return colours.round().astype(np.uint8)


def png(rows: np.ndarray, scale: int = 1, level: int = 9) -> bytes:
    """A PNG file of an array (rows, columns, 3) of bytes, each pixel ``scale`` wide and high."""
    rows = rows.repeat(scale, 0).repeat(scale, 1)
    height, width, _ = rows.shape
    lines = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(lines, level)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )
