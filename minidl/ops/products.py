"""Products of vectors and matrices: matmul and its relatives."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from minidl import dtypes, ops
from minidl.autograd.autocast import as_given, in_half
from minidl.autograd.tape import Operator, apply
from minidl.backends import kernel
from minidl.ops.common import as_tensor_or_array, broadcast_shapes, normalize_dim, refuse_kinds
from minidl.tensor import Tensor, raw

__all__ = [
    "addbmm",
    "addmm",
    "addmv",
    "addr",
    "baddbmm",
    "bmm",
    "chain_matmul",
    "cross",
    "dot",
    "ger",
    "inner",
    "kron",
    "matmul",
    "mm",
    "mv",
    "outer",
    "tensordot",
    "vdot",
]

METHODS = [name for name in __all__ if name not in ("chain_matmul", "tensordot")]
INPLACE = ["addbmm", "addmm", "addmv", "addr", "baddbmm"]


class MatMul(Operator):
    """Y = A B, batch by batch;  ∂A = G Bᵀ, ∂B = Aᵀ G."""

    broadcasts = True

    def forward(self, a: Any, b: Any) -> Any:
        self.save(b if self.needs and self.needs[0] else None, a if self.needs and self.needs[1] else None)
        self.one_b = b.ndim == 2
        return kernel("matmul").forward(a, b)

    def backward(self, g: Any) -> Any:
        b, a = self.saved
        ga = matmul(g, b.mT) if self.needs[0] else None
        if not self.needs[1]:
            return ga, None
        if self.one_b and a.ndim > 2:  # B serves the whole batch: one product instead of a batch of them, summed
            a, g = rows(a), rows(g)
        return ga, matmul(a.mT, g)


def rows(x: Any) -> Any:
    """The matrices of a batch, one below the other: [*batch, M, N] as [batch · M, N]."""
    n = 1
    for size in x.shape[:-1]:
        n *= size
    return x.reshape((n, x.shape[-1]))


# ----------------------------------------------------------------------------------------------------- argument checks


def check_dtypes(name: str, *operands: Any) -> None:
    """RuntimeError unless the operands (Tensors or arrays) have one element type, which is not bool."""
    first = raw(operands[0]).dtype
    if first.kind == "b":
        refuse_kinds(name, "b", operands[0])
    for x in operands[1:]:
        if raw(x).dtype != first:
            found = [dtypes.from_numpy_dtype(raw(t).dtype) for t in operands]
            raise RuntimeError(
                f"{name}: expected operands to have the same dtype, but got: {' and '.join(map(str, found))}; convert "
                f"one, for example with .to({found[0]})"
            )


def check_ndim(name: str, ndims: dict[str, int], *operands: Any) -> None:
    """RuntimeError unless each named operand has its number of dimensions."""
    for argument, x in zip(ndims, operands):
        as_tensor_or_array(name, argument, x)
    for (argument, ndim), x in zip(ndims.items(), operands):
        if x.ndim != ndim:
            raise RuntimeError(
                f"{name}: {argument} must be a {ndim}-D tensor, got {x.ndim}-D of shape {list(x.shape)}; "
                "minidl.matmul takes all cases"
            )


def check_inner(name: str, a: Any, b: Any, axis_a: int, axis_b: int) -> None:
    """RuntimeError unless the sizes over which the product sums agree."""
    if a.shape[axis_a] != b.shape[axis_b]:
        raise RuntimeError(
            f"{name}: shapes {list(a.shape)} and {list(b.shape)} cannot be multiplied: the product sums over dimension "
            f"{axis_a % a.ndim} of the first (size {a.shape[axis_a]}) and dimension {axis_b % b.ndim} of the second "
            f"(size {b.shape[axis_b]}), which must be equal; a transpose (.mT) may be missing"
        )


# -------------------------------------------------------------------------------------------------------------- matmul


@in_half
def matmul(input: Any, other: Any) -> Any:
    """The matrix product, ``input @ other``.

    [N] @ [N] → scalar;  [M, K] @ [K] → [M];  [K] @ [K, N] → [N];  [*batch, M, K] @ [*batch, K, N] → [*batch, M, N],
    with the batch dimensions broadcast. RuntimeError for shapes or types that do not fit.
    """
    as_tensor_or_array("matmul", "input", input)
    as_tensor_or_array("matmul", "other", other)
    if not (input.ndim and other.ndim):
        raise RuntimeError(
            f"matmul: both arguments need to be at least 1D, but they are {input.ndim}D and {other.ndim}D; "
            "use * for numbers"
        )
    check_dtypes("matmul", input, other)
    check_inner("matmul", input, other, -1, -2 if other.ndim > 1 else 0)
    if input.ndim > 1 and other.ndim > 1:
        if input.ndim > 2 and other.ndim > 2:
            _check_batches(input, other)
        return apply(MatMul(), input, other)
    a = input.reshape((1, input.shape[0])) if input.ndim == 1 else input
    b = other.reshape((other.shape[0], 1)) if other.ndim == 1 else other
    y = apply(MatMul(), a, b)
    shape = y.shape[: -2 if input.ndim == 1 else -1] + (() if other.ndim == 1 else y.shape[-1:])
    return y.reshape(shape)


def _check_batches(a: Any, b: Any) -> None:
    for i in range(1, min(a.ndim, b.ndim) - 1):
        m, n = a.shape[-2 - i], b.shape[-2 - i]
        if m != n and 1 not in (m, n):
            raise RuntimeError(
                f"matmul: The size of tensor a ({m}) must match the size of tensor b ({n}) at non-singleton dimension "
                f"{max(a.ndim, b.ndim) - 2 - i}: the batches of shapes {list(a.shape)} and {list(b.shape)} cannot be "
                "broadcast"
            )


@in_half
def mm(input: Any, mat2: Any) -> Any:
    """The product of two matrices: [M, K] × [K, N] → [M, N]."""
    check_ndim("mm", {"input": 2, "mat2": 2}, input, mat2)
    check_dtypes("mm", input, mat2)
    check_inner("mm", input, mat2, -1, -2)
    return apply(MatMul(), input, mat2)


@in_half
def bmm(input: Any, mat2: Any) -> Any:
    """The products of two batches of matrices: [B, M, K] × [B, K, N] → [B, M, N]; nothing is broadcast."""
    check_ndim("bmm", {"input": 3, "mat2": 3}, input, mat2)
    check_dtypes("bmm", input, mat2)
    if input.shape[0] != mat2.shape[0]:
        raise RuntimeError(
            f"bmm: both batches must have the same size, got {input.shape[0]} and {mat2.shape[0]} (shapes "
            f"{list(input.shape)} and {list(mat2.shape)}); minidl.matmul broadcasts a batch of 1"
        )
    check_inner("bmm", input, mat2, -1, -2)
    return apply(MatMul(), input, mat2)


@as_given
def mv(input: Any, vec: Any) -> Any:
    """A matrix times a vector: [M, K] × [K] → [M]."""
    check_ndim("mv", {"input": 2, "vec": 1}, input, vec)
    return matmul(input, vec)


def dot(input: Any, tensor: Any) -> Any:
    """Σ input[i] tensor[i] of two vectors of one length."""
    check_ndim("dot", {"input": 1, "tensor": 1}, input, tensor)
    return matmul(input, tensor)


def vdot(input: Any, other: Any) -> Any:
    """Σ input[i] other[i]; as :func:`dot`, for minidl has no complex numbers to conjugate."""
    check_ndim("vdot", {"input": 1, "other": 1}, input, other)
    return matmul(input, other)


def outer(input: Any, vec2: Any) -> Any:
    """All products of two elements: [M], [N] → [M, N]."""
    check_ndim("outer", {"input": 1, "vec2": 1}, input, vec2)
    return input.reshape((input.shape[0], 1)) * vec2


def ger(input: Any, vec2: Any) -> Any:
    """:func:`outer`, by its BLAS name."""
    return outer(input, vec2)


@in_half
def inner(input: Any, other: Any) -> Any:
    """Sums of products over the last dimension: [*A, K], [*B, K] → [*A, *B]; with a 0-d operand, the product."""
    if not (input.ndim and other.ndim):
        return input * other
    check_inner("inner", input, other, -1, -1)
    check_dtypes("inner", input, other)
    return tensordot(input, other, ([-1], [-1]))


# ------------------------------------------------------------------------------------------ product plus something else


def _combine(input: Any, product: Any, beta: Any, alpha: Any) -> Any:
    """β input + α product; with β = 0 the input is left out altogether, nan and all. Integers take whole β and α."""
    if raw(product).dtype.kind in "iu":
        beta, alpha = int(beta), int(alpha)
    if alpha != 1:
        product = product * alpha
    if beta == 0:
        return product
    return (input if beta == 1 else input * beta) + product


def _check_addend(name: str, input: Any, shape: tuple[int, ...], *operands: Any) -> None:
    check_dtypes(name, input, *operands)
    extra = len(shape) - input.ndim
    if extra < 0 or any(n not in (1, m) for n, m in zip(input.shape, shape[extra:])):
        raise RuntimeError(
            f"{name}: input of shape {list(input.shape)} is not expandable to the product's shape {list(shape)}"
        )


@in_half
def addmm(input: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """β input + α mat1 @ mat2; input is broadcast to [M, N]. β = 0 leaves input out, nan and all."""
    product = mm(mat1, mat2)
    _check_addend("addmm", input, product.shape, mat1)
    return _combine(input, product, beta, alpha)


@as_given
def addmv(input: Any, mat: Any, vec: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """β input + α mat @ vec; input is broadcast to [M]."""
    product = mv(mat, vec)
    _check_addend("addmv", input, product.shape, mat)
    return _combine(input, product, beta, alpha)


def addr(input: Any, vec1: Any, vec2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """β input + α vec1 ⊗ vec2; input is broadcast to [M, N]."""
    product = outer(vec1, vec2)
    _check_addend("addr", input, product.shape)
    for name, factor in (("beta", beta), ("alpha", alpha)):
        if raw(product).dtype.kind in "iu" and isinstance(factor, float):
            raise RuntimeError(
                f"addr: For integral input tensors, argument {name} must not be a floating point number, but got {factor}"
            )
    return _combine(input, product, beta, alpha)


@in_half
def baddbmm(input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """β input + α batch1 @ batch2 for each matrix of the batch; input is broadcast to [B, M, N]."""
    product = bmm(batch1, batch2)
    _check_addend("baddbmm", input, product.shape, batch1)
    return _combine(input, product, beta, alpha)


def addbmm(input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """β input + α Σ_b batch1[b] @ batch2[b]; input is broadcast to [M, N]."""
    product = bmm(batch1, batch2)
    product = ops.sum(product, 0, dtype=product.dtype)
    _check_addend("addbmm", input, product.shape, batch1)
    return _combine(input, product, beta, alpha)


# --------------------------------------------------------------------------------------------------- more dimensions


@in_half
def tensordot(a: Any, b: Any, dims: Any = 2) -> Any:
    """Sums of products over several dimensions: ``dims`` of them (the last of ``a``, the first of ``b``), or two
    lists, ``dims[0]`` of ``a`` paired with ``dims[1]`` of ``b``.

    The result has the other dimensions of ``a``, then those of ``b``.
    """
    over_a, over_b = _paired_dims(a, b, dims)
    for i, j in zip(over_a, over_b):
        if a.shape[i] == b.shape[j]:
            continue
        if a.shape[i] == 1:  # stretched along the other's, so that its one value meets their sum
            b = ops.sum(b, j, keepdim=True, dtype=b.dtype)
        elif b.shape[j] == 1:
            a = ops.sum(a, i, keepdim=True, dtype=a.dtype)
        else:
            raise RuntimeError(
                f"tensordot: contracted dimensions need to match, but first has size {a.shape[i]} in dim {i} and "
                f"second has size {b.shape[j]} in dim {j} (shapes {list(a.shape)} and {list(b.shape)})"
            )
    check_dtypes("tensordot", a, b)
    rest_a = [i for i in range(a.ndim) if i not in over_a]
    rest_b = [j for j in range(b.ndim) if j not in over_b]
    size_a, size_b, summed = ([x.shape[i] for i in d] for x, d in ((a, rest_a), (b, rest_b), (a, over_a)))
    k = _product(summed)
    left = ops.permute(a, (*rest_a, *over_a)).reshape((_product(size_a), k))
    right = ops.permute(b, (*over_b, *rest_b)).reshape((k, _product(size_b)))
    return matmul(left, right).reshape((*size_a, *size_b))


def _paired_dims(a: Any, b: Any, dims: Any) -> tuple[list[int], list[int]]:
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if not isinstance(dims, (list, tuple)):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        if dims > min(a.ndim, b.ndim):
            raise RuntimeError(
                f"tensordot expects dims <= the number of dimensions of each operand, but got dims={dims} for shapes "
                f"{list(a.shape)} and {list(b.shape)}"
            )
        dims = (list(range(a.ndim - dims, a.ndim)), list(range(dims)))
    first, second = ([d] if isinstance(d, int) else list(d) for d in dims)
    if len(first) != len(second):
        raise RuntimeError(f"tensordot: both dimension lists should have same length, got {first} and {second}")
    pair = (
        [normalize_dim(d, a.ndim, "tensordot") for d in first],
        [normalize_dim(d, b.ndim, "tensordot") for d in second],
    )
    for axes in pair:
        if len(set(axes)) != len(axes):
            raise RuntimeError(f"tensordot: a dim appears multiple times in the list of dims {axes}")
    return pair


def _product(sizes: Any) -> int:
    n = 1
    for size in sizes:
        n *= size
    return n


def kron(input: Any, other: Any) -> Any:
    """The Kronecker product: each element of ``input`` times all of ``other``, as a block in its place."""
    ndim = max(input.ndim, other.ndim)
    a, b = ((1,) * (ndim - x.ndim) + tuple(x.shape) for x in (input, other))
    left = input.reshape(tuple(n for m in a for n in (m, 1)))
    right = other.reshape(tuple(n for m in b for n in (1, m)))
    return (left * right).reshape(tuple(m * n for m, n in zip(a, b)))


def cross(input: Any, other: Any, dim: int | None = None) -> Any:
    """The cross product of vectors of three elements along ``dim`` (None: the first dimension of size 3)."""
    shape = broadcast_shapes("cross", input, other)
    if dim is None:
        dim = next((d for d, n in enumerate(shape) if n == 3), None)
        if dim is None:
            raise RuntimeError(f"cross: no dimension of size 3 in input of shape {list(input.shape)}")
    dim = normalize_dim(dim, len(shape), "cross")
    if input.ndim != other.ndim:
        raise RuntimeError(f"cross: inputs must have the same number of dimensions, got {input.ndim} and {other.ndim}")
    if not (input.ndim and input.shape[dim] == other.shape[dim] == 3):
        raise RuntimeError(
            f"cross: inputs dimension {dim} must have length 3, got shapes {list(input.shape)} and {list(other.shape)}"
        )
    # (a × b)ᵢ = aᵢ₊₁ bᵢ₊₂ - aᵢ₊₂ bᵢ₊₁, indices modulo 3
    a1, a2, b1, b2 = (ops.roll(x, -shift, dim) for x in (input, other) for shift in (1, 2))
    return a1 * b2 - a2 * b1


def chain_matmul(*matrices: Any) -> Any:
    """The product of several matrices, in the order of multiplication that costs least."""
    for m in matrices:
        check_ndim("chain_matmul", {"matrices": 2}, m)
    return multi_dot(matrices[0] if len(matrices) == 1 and isinstance(matrices[0], (list, tuple)) else matrices)


def multi_dot(tensors: Any) -> Any:
    """The product of several matrices (the first and the last may be vectors), in the order that costs least."""
    tensors = list(tensors)
    if len(tensors) < 2:
        raise RuntimeError(f"multi_dot(): expected at least 2 tensors but got {len(tensors)}")
    first, last = tensors[0], tensors[-1]
    for position, x in enumerate(tensors):
        allowed = (1, 2) if position in (0, len(tensors) - 1) else (2,)
        if x.ndim not in allowed:
            raise RuntimeError(
                f"multi_dot(): tensor {position} must be 2D{' or 1D' if 1 in allowed else ''} but got {x.ndim}D"
            )
    chain = [
        first.reshape((1, first.shape[0])) if first.ndim == 1 else first,
        *tensors[1:-1],
        last.reshape((last.shape[0], 1)) if last.ndim == 1 else last,
    ]
    check_dtypes("multi_dot", *chain)
    for a, b in pairwise(chain):
        check_inner("multi_dot", a, b, -1, -2)
    split = cheapest_order([chain[0].shape[0], *(m.shape[1] for m in chain)])

    def product(i: int, j: int) -> Any:
        return chain[i] if i == j else apply(MatMul(), product(i, split[i, j]), product(split[i, j] + 1, j))

    y = product(0, len(chain) - 1)
    return y.reshape((() if first.ndim == 1 else y.shape[:1]) + (() if last.ndim == 1 else y.shape[1:]))


def cheapest_order(sizes: list[int]) -> dict[tuple[int, int], int]:
    """Where to split each chain i … j of matrices of shapes (sizes[i], sizes[i + 1]) so that its product costs least.

    Source: Cormen et al., "Introduction to Algorithms", matrix-chain multiplication.
    """
    n = len(sizes) - 1
    cost = {(i, i): 0 for i in range(n)}
    split = {}
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            options = {k: cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1] for k in range(i, j)}
            split[i, j] = min(options, key=options.__getitem__)
            cost[i, j] = options[split[i, j]]
    return split
