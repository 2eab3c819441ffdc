"""The rules of shapes of products: matrices, linear layers, einsum, attention."""

from __future__ import annotations

from typing import Any

from minidl.inspect import remedies
from minidl.inspect.shape_rules import RULES, Found
from minidl.inspect.shapes import Row, ShapeReport, plain_row, shape_of


def _product(found: Found, x: Any, y: Any, names: tuple[str, str]) -> ShapeReport | None:
    """[*batch, M, K] @ [*batch, K, N]: a column for each batch dimension, M, K and N."""
    if not (x.ndim and y.ndim):
        return None
    batch = max(x.ndim, y.ndim, 2) - 2
    columns = [*[f"batch {i}" if batch > 1 else "batch" for i in range(batch)], "M", "K", "N"]
    m, k, n = batch, batch + 1, batch + 2
    rows = []
    for name, value, ends in ((names[0], x, (m, k)), (names[1], y, (k, n))):
        shape = [str(size) for size in value.shape]
        if value.ndim == 1:
            cells = {k: shape[0]}
        else:
            cells = dict(zip(range(batch - value.ndim + 2, batch), shape))
            cells |= {ends[0]: shape[-2], ends[1]: shape[-1]}
        rows.append(Row(found.name(value, name), cells, note=str(shape_of(value)).replace("'", "")))
    if x.shape[-1] != y.shape[-2 if y.ndim > 1 else 0]:
        clash, rule = [k], f"{rows[0].name} @ {rows[1].name} sums over K, whose size must be the same in both"
    else:
        clash = [c for c in range(batch) if len({row.cells[c] for row in rows if row.cells.get(c, "1") != "1"}) > 1]
        rule = "the batches must have the same sizes, or one of them size 1"
        if not clash and x.ndim == y.ndim == 3 and x.shape[0] != y.shape[0]:
            clash, rule = [0], "bmm multiplies matrix by matrix: both batches must have the same size"
    if not clash:
        return None
    for row in rows:
        row.marked = {c for c in clash if c in row.cells}
    return found.report(found.function, rule, rows, columns, remedies.products(rows[0].name, rows[1].name, x, y))


def matmul(found: Found) -> ShapeReport | None:
    return _product(found, found["input"], found["other"], ("input", "other"))


def mm(found: Found) -> ShapeReport | None:
    return _product(found, found["input"], found["mat2"], ("input", "mat2"))


def linear(found: Found) -> ShapeReport | None:
    x, w, b = found["input"], found["weight"], found["bias"]
    if not x.ndim or w.ndim not in (1, 2) or x.shape[-1] == w.shape[-1]:
        return None
    lead = x.ndim - 1
    columns = [*["*"] * lead, *(["out"] if w.ndim == 2 else []), "in"]
    last = len(columns) - 1
    names = found.name(x, "input"), found.name(w, "weight")
    bias = None if b is None else found.name(b, "bias")
    rows = [
        Row(names[0], {**dict(enumerate(map(str, x.shape[:-1]))), last: str(x.shape[-1])}, {last}),
        plain_row(names[1], w, last - w.ndim + 1, [w.ndim - 1]),
    ]
    rule = f"{names[0]} must end in in_features, the last dimension of {names[1]} (out_features, in_features)"
    return found.report("linear", rule, rows, columns, remedies.linears(*names, bias, x, w))


def einsum(found: Found) -> ShapeReport | None:
    """A column for each name; repeated, a name stands for one size."""
    names, operands = found["names"], list(found["operands"])
    letters = list(dict.fromkeys(name for labels in names for name in labels))
    seen: dict[Any, set[int]] = {}
    for labels, x in zip(names, operands):
        for name, n in zip(labels, x.shape):
            if n != 1:
                seen.setdefault(name, set()).add(n)
    clash = {letters.index(name) for name, sizes in seen.items() if len(sizes) > 1}
    if not clash:
        return None
    rows = []
    for i, (labels, x) in enumerate(zip(names, operands)):
        cells = {letters.index(name): str(n) for name, n in zip(labels, x.shape)}
        rows.append(Row(found.name(x, f"operand_{i}"), cells, clash & set(cells)))
    equation, tried = found.get("equation"), []
    if isinstance(equation, str):
        for i, x in enumerate(operands):
            if x.ndim >= 2:
                turned = ", ".join(f"{row.name}.mT" if j == i else row.name for j, row in enumerate(rows))
                tried.append((f"minidl.einsum({equation!r}, {turned})", f"{rows[i].name} transposed"))
    columns = [str(name) if isinstance(name, str) else "…" for name in letters]
    return found.report("einsum", "a name must have the same size wherever it stands, or 1", rows, columns, tried)


def scaled_dot_product_attention(found: Found) -> ShapeReport | None:
    """Queries (…, T, D), keys (…, S, D), values (…, S, E)."""
    operands = [found[name] for name in ("query", "key", "value")]
    if min(x.ndim for x in operands) < 2:
        return None
    width = max(x.ndim for x in operands)
    lead = width - 2
    d, e, t, s = lead + 2, lead + 3, lead, lead + 1
    rows = []
    for name, x, ends in zip(("query", "key", "value"), operands, ((t, d), (s, d), (s, e))):
        cells = {lead - x.ndim + 2 + i: str(n) for i, n in enumerate(x.shape[:-2])}
        rows.append(Row(found.name(x, name), {**cells, ends[0]: str(x.shape[-2]), ends[1]: str(x.shape[-1])}))
    pairs = [(d, 0, 1), (s, 1, 2), *((c, 0, 1) for c in range(lead)), *((c, 1, 2) for c in range(lead))]
    for c, i, j in pairs:
        sizes = rows[i].cells.get(c), rows[j].cells.get(c)
        if None not in sizes and sizes[0] != sizes[1] and (c >= lead or "1" not in sizes):
            rows[i].marked.add(c)
            rows[j].marked.add(c)
    if not any(row.marked for row in rows):
        return None
    q, k, v = (row.name for row in rows)
    tried = [
        (f"F.scaled_dot_product_attention({q}, {k}.mT, {v})", f"{k} transposed"),
        (
            f"F.scaled_dot_product_attention({q}, {k}, {v}, enable_gqa=True)",
            "several queries' heads to one of the keys",
        ),
    ]
    columns = [*(["N", "H"] if lead == 2 else [f"batch {i}" for i in range(lead)]), "T", "S", "D", "E"]
    rule = "queries and keys must have the same width D, keys and values the same length S, and all the same batch and heads"
    return found.report("scaled_dot_product_attention", rule, rows, columns, tried)


RULES.update(
    {
        "matmul": matmul,
        "mm": mm,
        "bmm": mm,
        "linear": linear,
        "einsum": einsum,
        "scaled_dot_product_attention": scaled_dot_product_attention,
    }
)
