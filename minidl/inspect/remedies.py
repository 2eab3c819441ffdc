"""What would mend a shape error: expressions that are tried on the operands themselves; only what works is suggested."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from typing import Any

import minidl
from minidl import nn, random
from minidl.autograd.grad_mode import no_grad
from minidl.inspect.shapes import Remedy
from minidl.nn import functional as F
from minidl.tensor import Tensor

MOST = 4  # more are no help


def working(candidates: Iterable[tuple[str, str]], values: dict[str, Any]) -> list[Remedy]:
    """The candidates, (code, words), that run on ``values``, the operands by name; no result twice."""
    known = {name: _copy(value) for name, value in values.items()}
    scope = {"minidl": minidl, "nn": nn, "F": F, **known}
    found: list[Remedy] = []
    state = random.get_rng_state()
    try:
        for code, words in candidates:
            if len(found) == MOST or any(remedy.code == code for remedy in found):
                continue
            with no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    result = eval(code, dict(scope))
                except Exception:
                    continue
            first = result[0] if isinstance(result, tuple) else result
            found.append(Remedy(words, code, tuple(first.shape) if isinstance(first, Tensor) else None))
    finally:
        random.set_rng_state(state)
    return found


def _copy(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach()
    return [_copy(part) for part in value] if isinstance(value, (list, tuple)) else value


# ---------------------------------------------------------------------------------------------------- who might have


def products(a: str, b: str, x: Any, y: Any) -> Iterable[tuple[str, str]]:
    """For a product a @ b whose inner sizes or batches differ."""
    if y.ndim >= 2:
        yield f"{a} @ {b}.mT", f"{b} transposed"
    if x.ndim >= 2:
        yield f"{a}.mT @ {b}", f"{a} transposed"
    yield f"{b} @ {a}", "the other way round"
    if x.ndim >= 2 and y.ndim >= 2:
        yield f"{a}.mT @ {b}.mT", "both transposed"
    if x.ndim == 3 and y.ndim == 3:
        yield f"{a}.unsqueeze(1) @ {b}", f"every matrix of {a} with every one of {b}"
    if x.ndim == y.ndim == 1:
        yield f"minidl.outer({a}, {b})", f"every value of {a} with every one of {b}"
    if x.ndim > y.ndim >= 1 and math.prod(x.shape[1:]) == y.shape[0]:
        yield f"{a}.flatten(1) @ {b}", f"the dimensions of {a} after the first made one"


def broadcasts(form: str, a: str, b: str, x: Any, y: Any) -> Iterable[tuple[str, str]]:
    """For operands that do not broadcast; ``form`` is the expression, such as "{a} + {b}"."""
    for name, value, other in ((b, y, x), (a, x, y)):
        put = lambda changed, name=name: form.format(a=changed if name == a else a, b=changed if name == b else b)
        if value.ndim < other.ndim:
            for place in range(value.ndim, 0, -1):
                yield put(f"{name}.unsqueeze({place})"), f"a dimension of size 1 put in at {place} of {name}"
    for name, value, other in ((b, y, x), (a, x, y)):
        put = lambda changed, name=name: form.format(a=changed if name == a else a, b=changed if name == b else b)
        if value.ndim >= 2:
            yield put(f"{name}.mT"), f"{name} transposed"
        if [n for n in value.shape if n != 1] == [n for n in other.shape if n != 1]:
            yield put(f"{name}.reshape({list(other.shape)})"), f"the values of {name} in the other's shape"
    if form.startswith("F."):  # a loss of all pairs is nothing that anybody wants
        return
    for name, value, other in ((b, y, x), (a, x, y)):
        put = lambda changed, name=name: form.format(a=changed if name == a else a, b=changed if name == b else b)
        if value.ndim == other.ndim:
            yield put(f"{name}.unsqueeze(-1)"), f"a dimension of size 1 at the end of {name}"
    pairs = form.format(a=f"{a}.unsqueeze(-1)", b=f"{b}.unsqueeze(-2)")
    yield pairs, f"every value of {a} with every one of {b} along their last dimensions"


def linears(x: str, w: str, b: str | None, value: Any, weight: Any) -> Iterable[tuple[str, str]]:
    """For an input whose last dimension is not the layer's in_features."""
    bias = "" if b is None else f", {b}"
    wanted = weight.shape[-1]
    if value.ndim > 2 and math.prod(value.shape[1:]) == wanted:
        yield f"F.linear({x}.flatten(1), {w}{bias})", "the dimensions after the batch made one"
    if value.ndim > 1 and math.prod(value.shape) == wanted:
        yield f"F.linear({x}.flatten(), {w}{bias})", "all dimensions made one"
    for d in range(value.ndim - 1):
        if value.shape[d] == wanted:
            moved = f"{x}.mT" if d == value.ndim - 2 else f"{x}.movedim({d}, -1)"
            yield f"F.linear({moved}, {w}{bias})", f"dimension {d} of {x}, which has the size wanted, made the last"
    if value.ndim and weight.ndim == 2:
        yield f"F.linear({x}, {w}.mT)", "the weight transposed: it must be (out_features, in_features)"
        made = f"nn.Linear({value.shape[-1]}, {weight.shape[0]})"
        yield f"{made}({x})", f"a layer made for {value.shape[-1]} features: {made}"


def reshapes(x: str, size: int, wanted: list[int], method: str) -> Iterable[tuple[str, str]]:
    """For a shape that has another number of values."""
    for i in range(len(wanted)):
        changed = [-1 if j == i else (n if n != -1 else 0) for j, n in enumerate(wanted)]
        rest = math.prod(n for j, n in enumerate(wanted) if j != i)
        if -1 not in wanted and rest > 0 and size % rest == 0:
            yield f"{x}.{method}({', '.join(map(str, changed))})", f"size {size // rest} in dimension {i}"
        elif wanted[i] != -1 and -1 in wanted:
            for n in (size // math.prod([n for j, n in enumerate(wanted) if j != i and n != -1] or [1]),):
                guess = [n if j == i else m for j, m in enumerate(wanted)]
                yield f"{x}.{method}({', '.join(map(str, guess))})", f"size {n} in dimension {i}"
    yield f"{x}.{method}(-1)", "all values in one dimension"


def convolutions(name: str, x: str, w: str, value: Any, weight: Any, groups: int) -> Iterable[tuple[str, str]]:
    """For an input whose channels, dimensions or size do not fit a convolution's weight (F, C / groups, *K)."""
    ndim, channels = weight.ndim - 2, weight.shape[1] * groups
    extra = "" if groups == 1 else f", groups={groups}"
    if value.ndim == ndim + 2 and value.shape[-1] == channels:
        order = ", ".join(map(str, (0, ndim + 1, *range(1, ndim + 1))))
        yield f"F.{name}({x}.permute({order}), {w}{extra})", "the channels, which stand last, made dimension 1"
    if value.ndim == ndim + 1:
        yield f"F.{name}({x}.unsqueeze(1), {w}{extra})", "a channel dimension put in: (N, 1, …)"
        yield f"F.{name}({x}.unsqueeze(0), {w}{extra})", "a batch of one"
    if value.ndim == ndim:
        yield (
            f"F.{name}({x}.expand(1, {channels}, {', '.join('-1' for _ in range(ndim))}), {w}{extra})",
            ("a batch of one" if channels == 1 else "a batch of one, the same values in every channel"),
        )
    if value.ndim == ndim + 2:
        if value.shape[1] == 1:
            spread = ", ".join(["-1", str(channels), *["-1"] * ndim])
            yield f"F.{name}({x}.expand({spread}), {w}{extra})", "the one channel given to all"
        short = max([k - n for k, n in zip(weight.shape[2:], value.shape[2:])], default=0)
        if short > 0:
            yield f"F.{name}({x}, {w}, padding={-(-short // 2)}{extra})", "zeros around the input"
        made = f"nn.{name.replace('conv', 'Conv')}({value.shape[1]}, {weight.shape[0]}, {tuple(weight.shape[2:])})"
        yield f"{made}({x})", f"a layer made for {value.shape[1]} channels"
