"""The rules of shapes: which dimensions of an operator's operands must agree, and how the operands are drawn to show it.

The operands are found where the error arose, in the traceback: in the innermost function of minidl that has a rule here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from types import FrameType
from typing import Any

from minidl.inspect import remedies
from minidl.inspect.shapes import Row, ShapeReport, inside, plain_row, shape_of, users_name
from minidl.tensor import Tensor, raw, wrap

SYMBOLS = {"add": "+", "sub": "-", "mul": "*", "div": "/", "pow": "**", "floor_divide": "//", "remainder": "%"}


class Found:
    """The function in which an error arose: its variables, and what the user calls the operands among them."""

    def __init__(self, error: BaseException, frames: list[FrameType], frame: FrameType) -> None:
        self.error, self.frames, self.frame = error, frames, frame
        self.function = frame.f_code.co_name
        self.values: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        return self.frame.f_locals[name]

    def get(self, name: str) -> Any:
        return self.frame.f_locals.get(name)

    def name(self, value: Any, otherwise: str) -> str:
        """The operand's name in the report and in remedies; no two operands have the same."""
        name = users_name(value, self.frames, otherwise)
        if name in self.values and raw(self.values[name]) is not raw(value):
            name = otherwise if otherwise not in self.values else f"{otherwise}_{len(self.values)}"
        self.values[name] = value if isinstance(value, Tensor) else wrap(value)
        return name

    def report(self, operator: str, rule: str, rows: list[Row], columns: list[str], tried: Any = ()) -> ShapeReport:
        return ShapeReport(operator, rule, rows, columns, remedies.working(tried, self.values), values=self.values)


def explain(error: BaseException, frames: list[FrameType]) -> ShapeReport:
    """The rule that was broken; without one known here, the operands as they are under the error's own words."""
    mine = [frame for frame in frames if inside(frame)]
    for frame in reversed(mine):
        rule = RULES.get(frame.f_code.co_name)
        if rule is not None:
            report = rule(Found(error, frames, frame))
            if report is not None:
                return report
    return _operands(error, frames, mine)


def _operands(error: BaseException, frames: list[FrameType], mine: list[FrameType]) -> ShapeReport:
    """The Tensors that the innermost function with any was given."""
    for frame in reversed(mine):
        found = Found(error, frames, frame)
        names = frame.f_code.co_varnames[: frame.f_code.co_argcount]
        given = [(n, found[n]) for n in names if isinstance(found.get(n), Tensor)]
        if given:
            rows = [plain_row(found.name(value, name), value) for name, value in given]
            return ShapeReport(*_words(error, found.function), rows, values=found.values)
    return ShapeReport(*_words(error, type(error).__name__), [])


def _words(error: BaseException, function: str) -> tuple[str, str]:
    """The operator's name, as an error's message begins with it, and the rest of the message."""
    text = str(error)
    match = re.match(r"(\w+)(?:\(\))?: ", text)
    return (match[1], text[match.end() :]) if match else (function.strip("_"), text)


# ---------------------------------------------------------------------------------------------------------- broadcasting


def broadcast_shapes(found: Found) -> ShapeReport | None:
    """Dimensions aligned at the right: in each column one size, or 1."""
    operands = [x for x in found["operands"] if hasattr(x, "shape")]
    name = found["name"]
    ndim = max(x.ndim for x in operands)
    letters = ["a", "b", "c", "d"]
    rows = []
    for letter, x in zip(letters, operands):
        rows.append(plain_row(found.name(x, letter), x, ndim - x.ndim))
    clash = [c for c in range(ndim) if len({row.cells[c] for row in rows if row.cells.get(c, "1") != "1"}) > 1]
    for row in rows:
        row.marked = {c for c in clash if row.cells.get(c, "1") != "1"}
    columns = [str(c - ndim) for c in range(ndim)]
    rule = "counted from the last dimension, sizes must be the same, or 1, or missing"
    tried: Any = ()
    if len(operands) == 2:
        a, b = rows[0].name, rows[1].name
        if name in SYMBOLS:
            form = f"{{a}} {SYMBOLS[name]} {{b}}"
        elif name.endswith("_loss"):
            form = f"F.{name}({{a}}, {{b}})"
        else:
            form = "minidl.broadcast_tensors({a}, {b})"
        tried = remedies.broadcasts(form, a, b, *operands)
    return found.report(name, rule, rows, columns, tried)


def expand(found: Found) -> ShapeReport | None:
    x, wanted = found["input"], list(found["sizes"])
    ndim = max(x.ndim, len(wanted))
    name = found.name(x, "input")
    rows = [plain_row(name, x, ndim - x.ndim), plain_row("expanded to", wanted, ndim - len(wanted))]
    have = {c: int(n) for c, n in rows[0].cells.items()}
    target = {c: int(n) for c, n in rows[1].cells.items()}
    clash = {
        c for c in range(ndim) if c not in target or (c in have and have[c] not in (1, target[c]) and target[c] != -1)
    }
    for row in rows:
        row.marked = {c for c in clash if c in row.cells}
    sizes = ", ".join(map(str, wanted))
    tried = [
        (f"{name}.unsqueeze({i}).expand({sizes})", f"a dimension of size 1 put in at {i}, which then is stretched")
        for i in range(x.ndim, -1, -1)
    ]
    if len(wanted) < x.ndim:
        tried.append((f"{name}.expand({', '.join(['-1'] * (x.ndim - len(wanted)))}, {sizes})", "all dimensions named"))
    if len(wanted) == x.ndim and all(n and m % n == 0 for n, m in zip(x.shape, wanted)):
        times = ", ".join(str(m // n) for n, m in zip(x.shape, wanted))
        tried.append((f"{name}.repeat({times})", "its values one after the other, copied"))
    rule = "only dimensions of size 1 can be stretched, and new ones can be put in front alone"
    return found.report("expand", rule, rows, [str(c - ndim) for c in range(ndim)], tried)


# ------------------------------------------------------------------------------------------------- joining and reshaping


def cat(found: Found) -> ShapeReport | None:
    tensors, dim = list(found["tensors"]), found["dim"]
    if not tensors or not all(x.ndim for x in tensors):
        return None
    ndim = max(x.ndim for x in tensors)
    rows = [plain_row(found.name(x, f"tensor_{i}"), x) for i, x in enumerate(tensors)]
    joined = dim % ndim if ndim else 0
    first = next((x for x in tensors if tuple(x.shape) != (0,)), tensors[0])
    for row, x in zip(rows, tensors):
        if x.ndim != first.ndim:
            row.note, row.marked = f"{x.ndim} dimensions, not {first.ndim}", set(range(x.ndim))
        else:
            row.marked = {c for c in range(x.ndim) if c != joined and x.shape[c] != first.shape[c]}
    marked = {c for row in rows for c in row.marked}
    rows[0].marked |= {c for c in marked if c in rows[0].cells and c != joined}
    columns = ["joined" if c == joined else str(c) for c in range(ndim)]
    names = [row.name for row in rows]
    whole = ", ".join(names)
    tried = [(f"minidl.cat([{whole}], {d})", f"joined along dimension {d}") for d in range(ndim) if d != joined]
    for i, x in enumerate(tensors):
        changed = lambda new, i=i: ", ".join(new if j == i else n for j, n in enumerate(names))
        if x.ndim < ndim:
            tried += [
                (
                    f"minidl.cat([{changed(f'{names[i]}.unsqueeze({d})')}], {dim})",
                    f"a dimension of size 1 put into {names[i]}",
                )
                for d in range(x.ndim + 1)
            ]
        if x.ndim >= 2 and i:
            tried.append((f"minidl.cat([{changed(f'{names[i]}.mT')}], {dim})", f"{names[i]} transposed"))
        if x.ndim > first.ndim:
            tried += [
                (
                    f"minidl.cat([{changed(f'{names[i]}.squeeze({d})')}], {dim})",
                    f"dimension {d} of {names[i]} taken out",
                )
                for d in range(x.ndim)
                if x.shape[d] == 1
            ]
    rule = f"all sizes but that of dimension {dim}, along which they are joined, must be the same"
    return found.report("cat", rule, rows, columns, tried)


def stack(found: Found) -> ShapeReport | None:
    tensors = list(found["tensors"])
    if not tensors:
        return None
    rows = [plain_row(found.name(x, f"tensor_{i}"), x) for i, x in enumerate(tensors)]
    ndim = max(x.ndim for x in tensors)
    clash = {c for c in range(ndim) if len({row.cells.get(c) for row in rows}) > 1}
    for row in rows:
        row.marked = {c for c in clash if c in row.cells}
    names = ", ".join(row.name for row in rows)
    tried = [(f"minidl.cat([{names}], {d})", f"joined along dimension {d} instead") for d in range(ndim)]
    for i, row in enumerate(rows[1:], 1):
        if math.prod(tensors[i].shape) == math.prod(tensors[0].shape):
            others = ", ".join(f"{r.name}.reshape({shape_of(tensors[0])})" if r is row else r.name for r in rows)
            tried.append((f"minidl.stack([{others}])", f"{row.name} in the shape of the first"))
    return found.report("stack", "all tensors must have the same shape", rows, [str(c) for c in range(ndim)], tried)


def reshape(found: Found) -> ShapeReport | None:
    x, wanted = found["input"], found.get("sizes")
    if wanted is None:
        return None
    size, name = math.prod(x.shape), found.name(x, "input")
    total = math.prod(n for n in wanted if n != -1)
    unknown = -1 in wanted
    fits = (total and size % total == 0) if unknown else size == total
    rows = [plain_row(name, x, note=f"= {size} values"), plain_row("wanted", wanted)]
    columns = [str(c) for c in range(max(x.ndim, len(wanted)))]
    sizes = ", ".join(map(str, wanted))
    if fits:  # the memory's order forbids it
        rows[1].note = "= as many"
        rule = "a view must not copy, and the values do not lie in memory in this order"
        tried = [
            (f"{name}.reshape({sizes})", "copies where it must"),
            (f"{name}.contiguous().view({sizes})", "copies first"),
        ]
        rows[0].marked = set(range(x.ndim))
        return found.report("view", rule, rows, columns, tried)
    rows[1].note = f"= {total} values" if not unknown else f"= {total} · ? values"
    rows[1].marked = set(range(len(wanted)))
    rule = "both shapes must have as many values" + (f": {size} is no multiple of {total}" if unknown else "")
    method = "reshape" if found.function == "reshape" else "view"
    return found.report(found.function, rule, rows, columns, remedies.reshapes(name, size, list(wanted), method))


RULES: dict[str, Callable[[Found], ShapeReport | None]] = {
    "broadcast_shapes": broadcast_shapes,
    "expand": expand,
    "cat": cat,
    "stack": stack,
    "reshape": reshape,
    "view": reshape,
}
