"""The rules of shapes of layers: convolutions, norms, recurrent layers, attention, losses."""

from __future__ import annotations

import math
from typing import Any

from minidl.inspect import remedies
from minidl.inspect.shape_rules import RULES, Found
from minidl.inspect.shapes import Row, ShapeReport, plain_row, shape_of

SPACE = ("depth", "height", "width")


def _convolution(found: Found) -> ShapeReport | None:
    """Input (N, C, *S) over weight (F, C / groups, *K): channels under channels, sizes under sizes."""
    x, w, ndim, groups = found["input"], found["weight"], found["ndim"], found["groups"]
    if w.ndim != ndim + 2:
        return None
    transposed = found.function == "_conv_transpose"
    channels = w.shape[0] if transposed else w.shape[1] * groups
    names = found.name(x, "input"), found.name(w, "weight")
    columns = ["N", "channels", *SPACE[-ndim:]]
    first = ndim + 2 - x.ndim if x.ndim in (ndim, ndim + 1) else 0
    rows = [plain_row(names[0], x, first), plain_row(names[1], w)]
    name = f"conv{'_transpose' if transposed else ''}{ndim}d"
    if x.ndim not in (ndim + 1, ndim + 2):
        rows[0].marked = set(rows[0].cells)
        rows[0].note = f"{x.ndim} dimensions"
        rule = f"the input must be (N, C, {', '.join(SPACE[-ndim:])}), or without N"
    elif x.shape[-ndim - 1] != channels:
        rows[0].marked, rows[1].marked = {1}, {0 if transposed else 1}
        many = "" if groups == 1 else f" times {groups} groups"
        place = "first" if transposed else "second"
        rule = f"the input must have {channels} channels, as the weight's {place} dimension says{many}"
    else:
        rule = _too_small(found, x, w, rows, ndim)
        if not rule:
            return None
    tried = () if transposed else remedies.convolutions(name, *names, x, w, groups)
    return found.report(name, rule, rows, columns, tried)


def _too_small(found: Found, x: Any, w: Any, rows: list[Row], ndim: int) -> str:
    geometry = found.get("geometry")
    if geometry is None or ndim + 2 != w.ndim:
        return ""
    first = ndim + 2 - x.ndim
    for i, (n, k, d, pair) in enumerate(zip(x.shape[-ndim:], w.shape[2:], geometry.dilation, geometry.padding)):
        if n + sum(pair) < d * (k - 1) + 1:
            for row in rows:
                row.marked.add(2 + i)
    rows[0].marked = {c for c in rows[0].marked if c >= first}
    reach = [d * (k - 1) + 1 for k, d in zip(w.shape[2:], geometry.dilation)]
    return f"the kernel, which reaches over {reach}, must not be larger than the padded input" if rows[0].marked else ""


def layer_norm(found: Found) -> ShapeReport | None:
    x, wanted = found["input"], found["normalized_shape"]
    sizes = [wanted] if isinstance(wanted, int) else list(wanted)
    if list(x.shape[max(x.ndim - len(sizes), 0) :]) == sizes:
        return None
    width = max(x.ndim, len(sizes))
    name = found.name(x, "input")
    rows = [plain_row(name, x, width - x.ndim), plain_row("normalized_shape", sizes, width - len(sizes))]
    clash = {c for c in rows[1].cells if rows[0].cells.get(c) != rows[1].cells[c]}
    for row in rows:
        row.marked = {c for c in clash if c in row.cells}
    tried = [
        (f"F.layer_norm({name}.movedim({d}, -1), {sizes})", f"dimension {d} of {name} made the last")
        for d in range(x.ndim - 1)
    ]
    ends = shape_of(x)[-len(sizes) :]
    tried.append((f"nn.LayerNorm({ends})({name})", f"a layer made for {ends}"))
    rule = "the input must end in normalized_shape"
    return found.report("layer_norm", rule, rows, [str(c - width) for c in range(width)], tried)


def batch_norm(found: Found) -> ShapeReport | None:
    x, mean = found["input"], found.get("running_mean")
    mean = found.get("weight") if mean is None else mean
    if mean is None or x.ndim < 2 or x.shape[1] == mean.shape[0]:
        return None
    name, channels = found.name(x, "input"), mean.shape[0]
    rows = [plain_row(name, x, 0, [1]), Row("channels", {1: str(channels)}, {1})]
    kind = {2: "1", 3: "1", 4: "2", 5: "3"}.get(x.ndim, "1")
    tried = [
        (f"nn.BatchNorm{kind}d({channels})({name}.movedim({d}, 1))", f"dimension {d} of {name} made the channels")
        for d in range(x.ndim)
        if x.shape[d] == channels
    ]
    tried.append((f"nn.BatchNorm{kind}d({x.shape[1]})({name})", f"a layer made for {x.shape[1]} channels"))
    columns = ["N", "channels", *map(str, range(2, x.ndim))]
    return found.report(
        "batch_norm", f"dimension 1 of {name} must have the layer's {channels} channels", rows, columns, tried
    )


def _recurrent(found: Found) -> ShapeReport | None:
    """The input of a recurrent layer (T, B, input_size), or (B, T, input_size)."""
    layer, x = found["self"], found.get("input")
    if x is None or not hasattr(x, "ndim") or x.shape[-1] == layer.input_size:
        return None
    name, last = found.name(x, "input"), x.ndim - 1
    order = ["B", "T"] if layer.batch_first else ["T", "B"]
    columns = [*(order if x.ndim == 3 else ["T"]), "input_size"]
    rows = [plain_row(name, x, 0, [last]), Row("the layer's", {last: str(layer.input_size)}, {last})]
    settings = f"{layer.hidden_size}" + (", batch_first=True" if layer.batch_first else "")
    found.values["layer"] = layer
    tried = [
        (f"layer({name}.movedim({d}, -1))", f"dimension {d} of {name} made the last")
        for d in range(last)
        if x.shape[d] == layer.input_size
    ]
    if layer.input_size == 1:
        tried.append((f"layer({name}.unsqueeze(-1))", "one value a step"))
    tried.append(
        (f"nn.{layer.mode}({x.shape[-1]}, {settings})({name})", f"a layer made for {x.shape[-1]} values a step")
    )
    rule = f"the input's last dimension must be input_size = {layer.input_size}"
    return found.report(layer.mode, rule, rows, columns, tried)


def _states(found: Found) -> ShapeReport | None:
    layer, x, states = found["self"], found["x"], found["states"]
    if states is None:
        return None
    sizes = [layer.proj_size or layer.hidden_size, layer.hidden_size]
    wanted = [layer.num_layers * layer.directions, *([] if found["single"] else [x.shape[1]])]
    for state, size in zip(states, sizes):
        expected = [*wanted, size]
        if shape_of(state) != expected:
            name = found.name(state, "hidden")
            rows = [plain_row(name, state), plain_row("expected", expected)]
            clash = {c for c in range(max(state.ndim, len(expected))) if rows[0].cells.get(c) != rows[1].cells.get(c)}
            for row in rows:
                row.marked = {c for c in clash if c in row.cells}
            columns = ["layers", *(["batch"] if len(expected) == 3 else []), "hidden"]
            tried = [(f"{name}.transpose(0, 1).reshape({expected})", "the batch made the second dimension")]
            if math.prod(state.shape) != math.prod(expected) or shape_of(state)[:2] != expected[1::-1]:
                tried = []
            tried += [
                (f"{name}.expand({', '.join(map(str, expected))})", "the same state for every layer and sequence"),
                (
                    f"minidl.zeros({', '.join(map(str, expected))})",
                    "a state of zeros, which is what leaving it out means",
                ),
            ]
            rule = "a state must be (layers · directions, batch, hidden), with batch_first too"
            return found.report(layer.mode, rule, rows, columns, tried)
    return None


def _attention_sizes(found: Found) -> ShapeReport | None:
    query, width, heads = found["query"], found["embed_dim"], found["heads"]
    if query.shape[-1] == width:
        return None
    name, last = found.name(query, "query"), query.ndim - 1
    rows = [plain_row(name, query, 0, [last]), Row("embed_dim", {last: str(width)}, {last})]
    tried = []
    if query.shape[-1] % heads == 0:
        made = f"nn.MultiheadAttention({query.shape[-1]}, {heads})"
        tried.append((f"{made}({name}, {name}, {name})", f"a layer made for width {query.shape[-1]}"))
    tried += [
        (f"{name}.movedim({d}, -1)", f"dimension {d} of {name} made the last")
        for d in range(last)
        if query.shape[d] == width
    ]
    columns = ["", "", "embed_dim"][-query.ndim :]
    return found.report("multi-head attention", "the query's last dimension must be embed_dim", rows, columns, tried)


def _class_targets(found: Found) -> ShapeReport | None:
    """Scores (N, C, d…) over classes (N, d…): the target lacks the dimension of the classes."""
    scores, target = found["input"], found["target"]
    names = found.name(scores, "input"), found.name(target, "target")
    if scores.ndim < 2 or target.dtype.is_floating_point:
        return None
    cells = {0: str(target.shape[0])} if target.ndim else {}
    cells |= {2 + i: str(n) for i, n in enumerate(target.shape[1:])}
    rows = [plain_row(names[0], scores), Row(names[1], cells)]
    width = max(scores.ndim, target.ndim + 1)
    clash = {c for c in range(width) if c != 1 and rows[0].cells.get(c) != cells.get(c)}
    if not clash:
        return None
    for row in rows:
        row.marked = {c for c in clash if c in row.cells}
    call = f"F.{found.function}"
    x, t = names
    tried = []
    if scores.ndim == 3:
        tried.append((f"{call}({x}.transpose(1, 2), {t})", "scores (N, T, C) turned to (N, C, T)"))
        tried.append((f"{call}({x}.flatten(0, 1), {t}.flatten())", "batch and time made one dimension"))
    if scores.ndim == 2:
        tried.append((f"{call}({x}.mT, {t})", "the classes made dimension 1"))
        tried.append((f"{call}({x}, {t}.flatten())", "one class a row"))
        tried.append((f"{call}({x}, {t}.squeeze(1))", "the target's dimension of size 1 taken out"))
    tried.append((f"{call}({x}.unsqueeze(0), {t})", "a batch of one"))
    columns = ["N", "classes", *(f"d{i}" for i in range(1, width - 1))]
    rule = "the target must have the scores' shape without the classes, which are dimension 1"
    return found.report(found.function, rule, rows, columns, tried)


def _same_shape(found: Found) -> ShapeReport | None:
    """Losses whose target must have the input's shape."""
    x, target = found["input"], found["target"]
    if tuple(x.shape) == tuple(target.shape):
        return None
    names, width = (found.name(x, "input"), found.name(target, "target")), max(x.ndim, target.ndim)
    rows = [plain_row(names[0], x), plain_row(names[1], target)]
    clash = {c for c in range(width) if rows[0].cells.get(c) != rows[1].cells.get(c)}
    for row in rows:
        row.marked = {c for c in clash if c in row.cells}
    a, b = names
    tried = [
        (f"F.{found.function}({a}, {b}.unsqueeze(-1))", f"a dimension of size 1 at the end of {b}"),
        (f"F.{found.function}({a}.squeeze(-1), {b})", f"the dimension of size 1 at the end of {a} taken out"),
        (f"F.{found.function}({a}, {b}.mT)", f"{b} transposed"),
        (f"F.{found.function}({a}, {b}.expand({', '.join(map(str, x.shape))}))", f"{b} stretched to the shape of {a}"),
    ]
    columns = [str(c) for c in range(width)]
    return found.report(found.function, "target and input must have the same shape", rows, columns, tried)


def _cell(found: Found) -> ShapeReport | None:
    """One step of a recurrence: input (B, input_size), states (B, hidden_size)."""
    cell, x, states = found["self"], found["input"], found["states"]
    name = found.name(x, "input")
    if x.ndim in (1, 2) and x.shape[-1] == cell.input_size:
        wrong = next((s for s in states or () if s.ndim != x.ndim or s.shape[-1] != cell.hidden_size), None)
        if wrong is None:
            return None
        rows = [plain_row(found.name(wrong, "hidden"), wrong), plain_row("expected", [*x.shape[:-1], cell.hidden_size])]
        rows[0].marked, rows[1].marked = {wrong.ndim - 1}, {x.ndim - 1}
        rule = f"a state must be (B, hidden_size), and hidden_size is {cell.hidden_size}"
        return found.report(type(cell).__name__, rule, rows, ["B", "hidden_size"][-wrong.ndim :])
    rows = [plain_row(name, x, 0, [x.ndim - 1]), Row("the cell's", {x.ndim - 1: str(cell.input_size)}, {x.ndim - 1})]
    made = f"nn.{type(cell).__name__}({x.shape[-1]}, {cell.hidden_size})"
    found.values["cell"] = cell
    tried = [(f"cell({name}.mT)", f"{name} transposed"), (f"{made}({name})", f"a cell made for {x.shape[-1]} values")]
    rule = f"the input must be (B, input_size), and input_size is {cell.input_size}"
    return found.report(type(cell).__name__, rule, rows, ["B", "input_size"][-x.ndim :], tried)


RULES.update(
    {
        "_conv": _convolution,
        "_conv_transpose": _convolution,
        "layer_norm": layer_norm,
        "batch_norm": batch_norm,
        "_unwrapped": _recurrent,
        "_checked_states": _states,
        "_check_sizes": _attention_sizes,
        "_prepared": _cell,
        "cross_entropy": _class_targets,
        "nll_loss": _class_targets,
        "binary_cross_entropy": _same_shape,
        "binary_cross_entropy_with_logits": _same_shape,
    }
)
