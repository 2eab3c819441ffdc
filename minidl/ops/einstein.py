"""Einstein summation: any sum of products, written by naming the dimensions.

Nothing here has a gradient rule of its own. ``einsum`` rewrites the sum as diagonals, sums, permutations, reshapes and
batched matrix products, and so is differentiable to any order.
"""

from __future__ import annotations

from typing import Any

from minidl import ops
from minidl.autograd.autocast import in_half
from minidl.autograd.tape import apply
from minidl.ops.common import as_tensor_or_array
from minidl.ops.products import MatMul, check_dtypes

__all__ = ["einsum"]

METHODS: list[str] = []
INPLACE: list[str] = []

# A dimension's name is a letter, a number (sublist format), or ("…", position from the right) under an ellipsis.
Labels = list[Any]


class Term:
    """An operand whose dimensions are named, each name once."""

    def __init__(self, value: Any, labels: Labels) -> None:
        self.value, self.labels = value, labels

    def size(self, label: Any) -> int:
        return self.value.shape[self.labels.index(label)] if label in self.labels else 1

    def arranged(self, labels: Labels) -> Any:
        """The value with its dimensions in the order ``labels``."""
        if labels == self.labels:
            return self.value
        return ops.permute(self.value, [self.labels.index(name) for name in labels])


@in_half
def einsum(equation: Any, *operands: Any) -> Any:
    """Σ of products over the dimensions that the result does not name: ``einsum("bij,bjk->bik", a, b)``.

    Without ``->`` the result has the names that occur once, in alphabetical order. ``...`` stands for the dimensions
    not named, which are broadcast; a name twice in one operand takes its diagonal. Sublist format:
    ``einsum(a, [0, 1], b, [1, 2], [0, 2])``. RuntimeError for names and shapes that do not fit.
    """
    inputs, output, operands = _parse(equation, operands)
    for x in operands:
        as_tensor_or_array("einsum", "operands", x)
    check_dtypes("einsum", *operands)
    names = [_spell_out(labels, x, i) for i, (labels, x) in enumerate(zip(inputs, operands))]
    ellipsis = max((x.ndim - len(labels) + 1 for labels, x in zip(inputs, operands) if ... in labels), default=0)
    wanted = _result_labels(inputs, output, names, ellipsis)
    sizes = _sizes(names, operands)
    terms = [_prepared(x, labels, sizes) for labels, x in zip(names, operands)]
    while len(terms) > 1:
        a, b = _cheapest_pair(terms, wanted)
        rest = [t for t in terms if t is not a and t is not b]
        kept = set(wanted).union(*(t.labels for t in rest))
        terms = [*rest, _contract(_summed(a, kept | set(b.labels)), _summed(b, kept | set(a.labels)), kept)]
    (term,) = terms
    term = _summed(term, set(wanted))
    return _with_size_one(term, wanted)


# ------------------------------------------------------------------------------------------------------------- notation


def _parse(equation: Any, operands: tuple) -> tuple[list[Labels], Labels | None, tuple]:
    """The names of each operand's dimensions, those of the result (None: implicit), and the operands."""
    if not isinstance(equation, str):
        return _parse_sublists((equation, *operands))
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    if not operands:
        raise ValueError("einsum(): must provide at least one operand")
    left, arrow, right = equation.replace(" ", "").partition("->")
    inputs = [_letters(part, equation) for part in left.split(",")]
    if len(inputs) != len(operands):
        raise RuntimeError(
            f"einsum(): the equation {equation!r} names {len(inputs)} operands, but {len(operands)} were given"
        )
    return inputs, _letters(right, equation) if arrow else None, operands


def _parse_sublists(arguments: tuple) -> tuple[list[Labels], Labels | None, tuple]:
    operands, inputs = list(arguments[0 : len(arguments) // 2 * 2 : 2]), list(arguments[1::2])
    output = list(arguments[-1]) if len(arguments) % 2 else None
    if not operands:
        raise ValueError("einsum(): must specify the equation string and at least one operand")
    for sublist in (*inputs, output or []):
        for name in sublist:
            if name is not ... and not 0 <= name < 52:
                raise ValueError(f"einsum(): sublist subscripts must be in the range [0, 52), got {name}")
    return [list(sublist) for sublist in inputs], output, tuple(operands)


def _letters(part: str, equation: str) -> Labels:
    labels: Labels = list(part.replace("...", "\0"))
    if labels.count("\0") > 1:
        raise RuntimeError(f"einsum(): found '...' twice in one term of {equation!r}")
    for name in labels:
        if name != "\0" and not (name.isascii() and name.isalpha()):
            raise RuntimeError(
                f"einsum(): invalid subscript {name!r} in {equation!r}: only letters, ',', '...' and '->' stand there"
            )
    return [... if name == "\0" else name for name in labels]


def _spell_out(labels: Labels, x: Any, position: int) -> Labels:
    """``labels`` with the ellipsis replaced by a name for each dimension under it, counted from the right."""
    extra = x.ndim - len(labels) + (... in labels)
    if extra < 0 or (extra and ... not in labels):
        shown = "".join("..." if name is ... else str(name) for name in labels)
        raise RuntimeError(
            f"einsum(): the number of subscripts ({len(labels)}: {shown!r}) does not match the number of dimensions "
            f"({x.ndim}) for operand {position} of shape {list(x.shape)}"
            + ("" if ... in labels else " and no ellipsis was given")
        )
    return _replace_ellipsis(labels, extra)


def _replace_ellipsis(labels: Labels, extra: int) -> Labels:
    return [n for name in labels for n in ([("…", i) for i in range(extra - 1, -1, -1)] if name is ... else [name])]


def _result_labels(inputs: list[Labels], output: Labels | None, names: list[Labels], ellipsis: int) -> Labels:
    if output is None:
        every = [name for labels in inputs for name in labels if name is not ...]
        return _replace_ellipsis([..., *sorted(n for n in set(every) if every.count(n) == 1)], ellipsis)
    wanted = _replace_ellipsis(output, ellipsis)
    for name in wanted:
        if wanted.count(name) > 1:
            raise RuntimeError(f"einsum(): output subscript {name} appears more than once in the output")
        if not any(name in labels for labels in names):
            raise RuntimeError(
                f"einsum(): output subscript {name} does not appear in the equation for any input operand"
            )
    return wanted


def _sizes(names: list[Labels], operands: tuple) -> dict:
    """The size of each named dimension; 1 is stretched."""
    sizes: dict = {}
    for position, (labels, x) in enumerate(zip(names, operands)):
        own: dict = {}
        for axis, (name, n) in enumerate(zip(labels, x.shape)):
            if own.setdefault(name, n) != n:
                raise RuntimeError(
                    f"einsum(): subscript {name} is repeated for operand {position} but the sizes don't match, {n} != "
                    f"{own[name]}"
                )
            if n != 1 and sizes.get(name, 1) not in (1, n):
                raise RuntimeError(
                    f"einsum(): operands do not broadcast: subscript {name} has size {n} in operand {position} (shape "
                    f"{list(x.shape)}, dimension {axis}) and size {sizes[name]} before"
                )
            sizes[name] = n if n != 1 else sizes.get(name, 1)
    return sizes


# ---------------------------------------------------------------------------------------------------------- computation


def _prepared(x: Any, labels: Labels, sizes: dict) -> Term:
    """An operand with each name once (diagonals taken), and without dimensions of size 1 that would be stretched."""
    labels = list(labels)
    for name in dict.fromkeys(labels):
        while labels.count(name) > 1:
            i = labels.index(name)
            j = labels.index(name, i + 1)
            x = ops.diagonal(x, 0, i, j)
            labels = [n for k, n in enumerate(labels) if k not in (i, j)] + [name]
    kept = [i for i, name in enumerate(labels) if x.shape[i] == sizes[name]]
    if len(kept) < len(labels):
        x = x.reshape(tuple(x.shape[i] for i in kept))
    return Term(x, [labels[i] for i in kept])


def _summed(term: Term, kept: set) -> Term:
    """``term`` summed over the names that nobody needs any more."""
    over = [i for i, name in enumerate(term.labels) if name not in kept]
    if not over:
        return term
    return Term(ops.sum(term.value, over, dtype=term.value.dtype), [n for n in term.labels if n in kept])


def _cheapest_pair(terms: list[Term], wanted: Labels) -> tuple[Term, Term]:
    """The two terms whose product is smallest beside what it replaces: a greedy order of contraction."""
    if len(terms) == 2:
        return terms[0], terms[1]

    def growth(pair: tuple[Term, Term]) -> int:
        a, b = pair
        kept = set(wanted).union(*(t.labels for t in terms if t is not a and t is not b))
        size = 1
        for name in kept & set(a.labels + b.labels):
            size *= max(a.size(name), b.size(name))
        return size - _count(a.value) - _count(b.value)

    return min(((a, b) for i, a in enumerate(terms) for b in terms[i + 1 :]), key=growth)


def _count(x: Any) -> int:
    n = 1
    for size in x.shape:
        n *= size
    return n


def _contract(a: Term, b: Term, kept: set) -> Term:
    """The product of two terms, summed over the names that only they share: one batched matrix product.

    [batch, left, summed] @ [batch, summed, right] → [batch, left, right]
    """
    both = [n for n in a.labels if n in b.labels]
    batch, summed = [n for n in both if n in kept], [n for n in both if n not in kept]
    left, right = [n for n in a.labels if n not in both], [n for n in b.labels if n not in both]

    def sizes(term: Term, labels: Labels) -> tuple[int, ...]:
        return tuple(term.size(n) for n in labels)

    def product(numbers: tuple[int, ...]) -> int:
        n = 1
        for m in numbers:
            n *= m
        return n

    outer = tuple(product(sizes(t, labels)) for t, labels in ((a, left), (a, summed), (b, right)))
    stack = (product(sizes(a, batch)),) if batch else ()
    x = a.arranged([*batch, *left, *summed]).reshape((*stack, outer[0], outer[1]))
    y = b.arranged([*batch, *summed, *right]).reshape((*stack, outer[1], outer[2]))
    z = apply(MatMul(), x, y) if summed else x * y
    return Term(z.reshape((*sizes(a, batch), *sizes(a, left), *sizes(b, right))), [*batch, *left, *right])


def _with_size_one(term: Term, wanted: Labels) -> Any:
    """The result in the order ``wanted``; a name of size 1 everywhere may have been left out on the way."""
    value = term.arranged([n for n in wanted if n in term.labels])
    return value.reshape(tuple(term.size(n) for n in wanted)) if len(term.labels) < len(wanted) else value
