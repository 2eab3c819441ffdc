"""Functions of matrices made of the factorisations, whose gradients are theirs: exponential, condition, equations between
tensors and by a Cholesky factor, Vandermonde's matrix."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minidl import ops
from minidl.autograd.autocast import in_float32
from minidl.backends import namespace
from minidl.ops.common import as_tensor_or_array, only_tensors
from minidl.ops.linear_algebra import LinAlgError, check_matrix, inv, pinv, solve, solve_triangular, svdvals
from minidl.ops.norms import linalg_norm
from minidl.tensor import raw

__all__ = ["cholesky_inverse", "cholesky_solve", "matrix_exp", "pinverse", "vander"]

METHODS = ["cholesky_inverse", "cholesky_solve", "matrix_exp", "pinverse"]
INPLACE: list[str] = []

# The [13/13] Padé approximant of eˣ is as good as double precision up to this 1-norm (Higham 2005, table 2.3).
_PADE_REACH = 5.371920351148152
_PADE = [math.comb(13, k) * math.factorial(26 - k) / math.factorial(26) for k in range(14)]


@in_float32
def matrix_exp(A: Any) -> Any:
    """eᴬ = Σ Aᵏ/k! of square matrices: [*batch, N, N] → [*batch, N, N].

    A is halved s times until a quotient of polynomials will do, and the result squared s times: N. J. Higham, "The Scaling
    and Squaring Method for the Matrix Exponential Revisited" (2005).
    """
    check_matrix("linalg.matrix_exp", A, square=True)
    a = raw(A)
    if not a.size:
        return ops.clone(A)
    largest = (
        float(np.max(raw(linalg_norm(A.detach(), 1, (-2, -1)))))
        if hasattr(A, "detach")
        else float(abs(a).sum(-2).max())
    )
    halvings = max(0, math.ceil(math.log2(largest / _PADE_REACH))) if 0 < largest < math.inf else 0
    x = A * 0.5**halvings
    square = x @ x
    even = odd = namespace(a).eye(a.shape[-1], dtype=a.dtype)
    power, above, below = None, _PADE[0] * even, _PADE[1] * odd
    for k in range(2, 14, 2):
        power = square if power is None else power @ square
        above, below = above + _PADE[k] * power, below + _PADE[k + 1] * power
    below = x @ below
    y = solve(above - below, above + below)
    for _ in range(halvings):
        y = y @ y
    return y


def pinverse(input: Any, rcond: float = 1e-15) -> Any:
    """The pseudo-inverse, singular values up to ``rcond`` times the largest counting as 0; ``minidl.linalg.pinv``."""
    return pinv(input, rtol=rcond)


def cond(A: Any, p: Any = None) -> Any:
    """The condition number ‖A‖ ‖A⁻¹‖ of matrices: [*batch, M, N] → [*batch]; infinite for a singular one.

    ``p``: the norm: None and 2 for σ₁/σₙ, of any matrix, -2 for its inverse, and for square ones "fro", "nuc", ±1, ±inf.
    """
    check_matrix("linalg.cond", A)
    if p in (None, 2, -2):
        s = svdvals(A)
        first, last = ops.select(s, -1, 0), ops.select(s, -1, -1)
        return last / first if p == -2 else first / last
    if p not in ("fro", "nuc", 1, -1, math.inf, -math.inf):
        raise RuntimeError(f"linalg.cond got an invalid norm type: {p}")
    check_matrix(f"linalg.cond(ord={p})", A, square=True)
    try:
        return linalg_norm(A, p, (-2, -1)) * linalg_norm(inv(A), p, (-2, -1))
    except LinAlgError:
        return ops.stack([_cond_or_inf(one, p) for one in A.reshape((-1, *A.shape[-2:]))]).reshape(A.shape[:-2])


def _cond_or_inf(A: Any, p: Any) -> Any:
    try:
        return linalg_norm(A, p) * linalg_norm(inv(A), p)
    except LinAlgError:
        return A.new_full((), math.inf)


def cholesky_solve(B: Any, L: Any, upper: bool = False) -> Any:
    """X with L Lᵀ X = B, by two substitutions: [*batch, N, K], [*batch, N, N] → [*batch, N, K].

    ``upper``: it is Uᵀ U X = B, with L the upper factor U.
    """
    as_tensor_or_array("cholesky_solve", "B", B)
    check_matrix("cholesky_solve", L, square=True)
    if B.ndim < 2:
        raise RuntimeError(f"cholesky_solve: B should have at least 2 dimensions, but has shape {list(B.shape)}")
    if B.shape[-2] != L.shape[-1]:
        raise RuntimeError(
            f"Incompatible matrix sizes for cholesky_solve: each L is {L.shape[-2]} by {L.shape[-1]} but each B is "
            f"{B.shape[-2]} by {B.shape[-1]}"
        )
    first, second = (L.mT, L) if upper else (L, L.mT)
    return solve_triangular(second, solve_triangular(first, B, upper=False), upper=True)


def cholesky_inverse(L: Any, upper: bool = False) -> Any:
    """(L Lᵀ)⁻¹ from the Cholesky factor L, or (Uᵀ U)⁻¹ from the upper one: [*batch, N, N] → [*batch, N, N]."""
    check_matrix("cholesky_inverse", L, square=True)
    return cholesky_solve(L.new_tensor(np.eye(L.shape[-1])), L, upper)


def tensorinv(A: Any, ind: int = 2) -> Any:
    """The inverse of the linear map that ``tensordot(A, ·, A.ndim - ind)`` is: shape (*A.shape[ind:], *A.shape[:ind]).

    RuntimeError unless the sizes before ``ind`` and those from it on have the same product; LinAlgError if it has none.
    """
    as_tensor_or_array("linalg.tensorinv", "A", A)
    if ind <= 0:
        raise RuntimeError(f"linalg.tensorinv: Expected a strictly positive integer for 'ind', but got {ind}")
    before, after = tuple(A.shape[:ind]), tuple(A.shape[ind:])
    if math.prod(before) != math.prod(after):
        raise RuntimeError(
            f"linalg.tensorinv: the sizes before ind={ind}, {list(before)}, and after it, {list(after)}, must have the same "
            f"product, and they have {math.prod(before)} and {math.prod(after)}"
        )
    return inv(A.reshape((math.prod(before), -1))).reshape((*after, *before))


def tensorsolve(A: Any, B: Any, dims: tuple[int, ...] | None = None) -> Any:
    """X with ``tensordot(A, X, X.ndim) = B``: of shape A.shape[B.ndim:]. ``dims`` of A are moved to its end first.

    RuntimeError unless the sizes fit together; LinAlgError if there is no solution.
    """
    only_tensors("linalg.tensorsolve", A=A, B=B)
    if dims is not None:
        A = ops.movedim(A, tuple(dims), tuple(range(A.ndim - len(dims), A.ndim)))
    shape, n = tuple(A.shape[B.ndim :]), math.prod(B.shape)
    if math.prod(shape) != n or math.prod(A.shape[: B.ndim]) != n:
        raise RuntimeError(
            f"linalg.tensorsolve: A of shape {list(A.shape)} has to be square once its first {B.ndim} dimensions are made "
            f"one, and those that follow another, and B {list(B.shape)} as long as the first"
        )
    return solve(A.reshape((n, n)), B.reshape(n)).reshape(shape)


def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """Vandermonde's matrix of a vector [L], its powers side by side: [L, N], from xᴺ⁻¹ down to 1, or up if ``increasing``."""
    only_tensors("vander", x=x)
    if x.ndim != 1:
        raise RuntimeError(f"vander: x must be a one-dimensional tensor, got shape {list(x.shape)}")
    if N is not None and N < 0:
        raise RuntimeError(f"vander: N must be non-negative, got {N}")
    powers = _powers(x, x.shape[0] if N is None else N)
    return powers if increasing else powers.flip(-1)


def linalg_vander(x: Any, *, N: int | None = None) -> Any:
    """Vandermonde's matrices of vectors: [*batch, L] → [*batch, L, N], from 1 up to xᴺ⁻¹."""
    only_tensors("linalg.vander", x=x)
    N = x.shape[-1] if N is None and x.ndim else N
    if N is None or N <= 1:
        raise RuntimeError(f"linalg.vander: N must be greater than 1, got {N}")
    return _powers(x, N)


def _powers(x: Any, n: int) -> Any:
    """1, x, x², …, xⁿ⁻¹ along a new last dimension."""
    x = x.unsqueeze(-1)
    factors = ops.cat((x.new_ones(x.shape), x.expand((*x.shape[:-1], max(n - 1, 0)))), -1)
    return ops.cumprod(factors, -1).narrow(-1, 0, n)
