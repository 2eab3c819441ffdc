"""Linear algebra: determinants, inverses, equations, factorisations.

Every function takes one matrix or a batch of them: [*batch, M, N]. LAPACK, underneath, knows no 16-bit floats: these
are computed in float32.

Source of the gradient rules: M. Giles, "Collected matrix derivative results for forward and reverse mode algorithmic
differentiation" (2008), and for QR S. F. Walter and L. Lehmann, "Algorithmic differentiation of linear algebra
functions" (2010).
"""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import numpy as np

from minidl import dtypes, ops
from minidl.autograd.autocast import in_float32
from minidl.autograd.tape import Operator, apply
from minidl.backends import namespace
from minidl.ops.common import as_tensor_or_array, broadcast_shapes
from minidl.ops.extremes import like
from minidl.ops.products import check_dtypes
from minidl.ops.reductions import is_integral, widened
from minidl.ops.scan import Gather
from minidl.tensor import Tensor, raw

__all__ = ["cholesky", "det", "inverse", "logdet", "matrix_power", "slogdet"]

METHODS = __all__
INPLACE: list[str] = []

SlogdetResult = namedtuple("slogdet", ["sign", "logabsdet"])


class LinAlgError(RuntimeError):
    """A matrix for which the result does not exist: singular, or not positive definite."""


def check_matrix(name: str, A: Any, square: bool = False) -> None:
    """RuntimeError unless ``A`` is a floating matrix or a batch of them (square ones, if asked)."""
    as_tensor_or_array(name, "A", A)
    if A.ndim < 2:
        raise RuntimeError(f"{name}: The input tensor A must have at least 2 dimensions, got shape {list(A.shape)}.")
    if is_integral(A):
        raise RuntimeError(
            f"{name}: Expected a floating point or complex tensor as input. Got "
            f"{dtypes.from_numpy_dtype(raw(A).dtype)}; convert it first, for example with .float()"
        )
    if square and A.shape[-1] != A.shape[-2]:
        raise RuntimeError(
            f"{name}: A must be batches of square matrices, but they are {A.shape[-2]} by {A.shape[-1]} matrices"
        )


def broadcast_batches(name: str, a: Any, b: Any) -> None:
    """RuntimeError unless the batch dimensions of ``a`` and ``b`` can be broadcast against each other."""
    xp = namespace(raw(a))
    corners = (xp.broadcast_to(xp.zeros(()), x.shape[:-2]) for x in (a, b))
    broadcast_shapes(f"{name} (batch dimensions)", *corners)


# -------------------------------------------------------------------------------------------- determinant and inverse


class Det(Operator):
    """y = det A;  ∂A = g cof(A), the matrix of cofactors (for regular A, that is y A⁻ᵀ)."""

    def forward(self, a: Any) -> Any:
        y = namespace(a).linalg.det(widened(a)).astype(a.dtype)
        y = namespace(a).asarray(y)
        self.save(a, y)
        return y

    def backward(self, g: Any) -> Any:
        a, y = self.saved
        scale = g.reshape((*g.shape, 1, 1))
        if not isinstance(a, Tensor):
            return scale * cofactors(a)
        if is_regular(a._data):
            return scale * y.reshape(scale.shape) * inv(a).mT
        return scale * minors(a)


def cofactors(a: Any) -> Any:
    """cof(A) = det(U) det(V) U cof(Σ) Vᵀ with A = U Σ Vᵀ, of arrays: right for singular matrices too."""
    u, s, vh = namespace(a).linalg.svd(widened(a))
    n = s.shape[-1]
    others = namespace(a).ones_like(s)
    for i in range(n):
        others[..., i] = s[..., :i].prod(axis=-1) * s[..., i + 1 :].prod(axis=-1)
    det = namespace(a).linalg.det
    orientation = namespace(a).asarray(det(u) * det(vh))
    return ((u * (orientation[..., None] * others)[..., None, :]) @ vh).astype(a.dtype)


def minors(a: Any) -> Any:
    """cof(A)ᵢⱼ = (-1)ⁱ⁺ʲ det(A without row i and column j), written out so that it can be differentiated again."""
    xp, n = namespace(raw(a)), a.shape[-1]
    without = xp.asarray([[k for k in range(n) if k != i] for i in range(n)], dtype="int64").reshape(n, max(n - 1, 0))
    index = without[:, None, :, None] * n + without[None, :, None, :]  # [i, j, row, column] → place in A flattened
    batch = a.shape[:-2]
    places = xp.broadcast_to(index.reshape(-1), (*batch, index.size))
    parts = apply(Gather(places, len(batch)), a.reshape((*batch, n * n))).reshape((*batch, *index.shape))
    i = xp.arange(n)
    signs = (1 - 2 * ((i[:, None] + i) % 2)).astype(raw(a).dtype)
    return det(parts) * signs


def is_regular(a: Any) -> bool:
    """Whether all matrices of an array are so far from singular that their inverses can be relied on."""
    s = namespace(a).linalg.svd(widened(a), compute_uv=False)
    return bool((s.size == 0) or (s[..., -1] > 1e-6 * s[..., 0]).all())


class SlogDet(Operator):
    """s, y = sign det A, log |det A|;  ∂A = g A⁻ᵀ with g that of y: s is constant between singular matrices."""

    def forward(self, a: Any) -> Any:
        sign, log = namespace(a).linalg.slogdet(widened(a))
        self.save(a)
        return sign.astype(a.dtype), log.astype(a.dtype)

    def backward(self, g_sign: Any, g: Any) -> Any:
        return g.reshape((*g.shape, 1, 1)) * inv(self.saved).mT


class Inv(Operator):
    """Y = A⁻¹;  ∂A = -Yᵀ G Yᵀ."""

    def forward(self, a: Any) -> Any:
        try:
            return self.save(namespace(a).linalg.inv(widened(a)).astype(a.dtype))
        except np.linalg.LinAlgError:
            raise LinAlgError(
                "linalg.inv: the inversion could not be completed because the input matrix is singular (input of "
                f"shape {list(a.shape)}); linalg.pinv gives the pseudo-inverse"
            ) from None

    def backward(self, g: Any) -> Any:
        y = self.saved
        return -(y.mT @ g @ y.mT)


@in_float32
def det(A: Any) -> Any:
    """The determinant of square matrices: [*batch, N, N] → [*batch]."""
    check_matrix("linalg.det", A, square=True)
    return apply(Det(), A)


def slogdet(A: Any) -> Any:
    """The sign and the logarithm of the absolute value of the determinant: a named tuple ``(sign, logabsdet)``.

    The determinant itself of a large matrix soon leaves the range of floating numbers.
    """
    check_matrix("linalg.slogdet", A, square=True)
    return SlogdetResult(*apply(SlogDet(), A))


def logdet(input: Any) -> Any:
    """log det of square matrices; nan where the determinant is negative, -inf where it is 0."""
    check_matrix("logdet", input, square=True)
    sign, log = apply(SlogDet(), input)
    xp = namespace(raw(log))
    return ops.where(raw(sign) == -1, xp.asarray(xp.nan, raw(log).dtype), log)


@in_float32
def inv(A: Any) -> Any:
    """The inverse of square matrices. LinAlgError for a singular one."""
    check_matrix("linalg.inv", A, square=True)
    return apply(Inv(), A)


def inverse(input: Any) -> Any:
    """The inverse of square matrices; ``minidl.linalg.inv``."""
    return inv(input)


class Pinv(Operator):
    """Y = A⁺, the pseudo-inverse;  ∂A = -Yᵀ G Yᵀ + (I - A Y) Gᵀ Y Yᵀ + Yᵀ Y Gᵀ (I - Y A).

    As long as the rank stays what it is.
    """

    def __init__(self, cut: Any, hermitian: bool) -> None:
        self.cut, self.hermitian = cut, hermitian

    def forward(self, a: Any) -> Any:
        y = namespace(a).linalg.pinv(widened(a), rtol=self.cut, hermitian=self.hermitian).astype(a.dtype)
        self.save(a, y)
        return y

    def backward(self, g: Any) -> Any:
        a, y = self.saved
        h = g.mT
        rows, columns = h - (a @ (y @ h)), h - ((h @ y) @ a)
        return -(y.mT @ g @ y.mT) + rows @ y @ y.mT + y.mT @ y @ columns


def pinv(A: Any, *, atol: Any = None, rtol: Any = None, hermitian: bool = False) -> Any:
    """The pseudo-inverse: [*batch, M, N] → [*batch, N, M]. Singular values at or below max(atol, rtol σ₁) count as 0;
    rtol is max(M, N) ε unless one of the two is given."""
    check_matrix("linalg.pinv", A, square=hermitian)
    if not raw(A).size:
        return ops.clone(A.mT)
    return apply(Pinv(_relative_cut(raw(A), atol, rtol), hermitian), A)


def _relative_cut(a: Any, atol: Any, rtol: Any) -> Any:
    """The tolerance for singular values, relative to the largest."""
    xp = namespace(a)
    wide = widened(a)
    if rtol is None:
        rtol = max(a.shape[-2:]) * xp.finfo(wide.dtype).eps if atol is None or not np.any(raw(atol)) else 0.0
    cut = xp.asarray(raw(rtol))
    if atol is not None:
        largest = xp.linalg.svd(wide, compute_uv=False).max(axis=-1)
        cut = xp.maximum(cut, raw(atol) / xp.where(largest == 0, 1, largest))
    return cut


def matrix_rank(A: Any, *, tol: Any = None, atol: Any = None, rtol: Any = None, hermitian: bool = False) -> Any:
    """How many singular values are above max(atol, rtol σ₁), as int64; rtol is max(M, N) ε if no tolerance is given."""
    check_matrix("linalg.matrix_rank", A, square=hermitian)
    a = raw(A)
    if not a.size:
        return like(namespace(a).zeros(a.shape[:-2], "int64"), A)
    s = namespace(a).linalg.svd(widened(a), compute_uv=False)
    if tol is not None:
        atol, rtol = tol, 0.0
    cut = _relative_cut(a, atol, rtol) * s.max(axis=-1)
    return like((s > cut[..., None]).sum(axis=-1), A)


def matrix_power(A: Any, n: int) -> Any:
    """A multiplied by itself, n factors, by repeated squaring; negative n powers of the inverse."""
    check_matrix("linalg.matrix_power", A, square=True)
    if not hasattr(n, "__index__"):
        raise TypeError(f"linalg.matrix_power(): argument 'n' (position 2) must be int, not {n.__class__.__name__}")
    if n < 0:
        A, n = inv(A), -n
    if n == 0:
        xp = namespace(raw(A))
        return A * 0 + xp.eye(A.shape[-1], dtype=raw(A).dtype)
    result = None
    while n:
        if n % 2:
            result = A if result is None else result @ A
        n //= 2
        if n:
            A = A @ A
    return ops.clone(result) if result is A else result


# ------------------------------------------------------------------------------------------------------------ equations


class Solve(Operator):
    """X = solve(A, B), so that A X = B;  ∂B = A⁻ᵀ G, ∂A = -∂B Xᵀ."""

    broadcasts = True

    def forward(self, a: Any, b: Any) -> Any:
        try:
            x = namespace(a).linalg.solve(widened(a), widened(b)).astype(a.dtype)
        except np.linalg.LinAlgError:
            raise LinAlgError(
                f"linalg.solve: The solver failed because the input matrix is singular (A of shape {list(a.shape)}); "
                "linalg.lstsq gives a least-squares solution"
            ) from None
        self.save(a, x)
        return x

    def backward(self, g: Any) -> Any:
        a, x = self.saved
        gb = apply(Solve(), a.mT, g)
        return -(gb @ x.mT) if self.needs[0] else None, gb


@in_float32
def solve(A: Any, B: Any, *, left: bool = True) -> Any:
    """X with A X = B (or X A = B, ``left=False``): [*batch, N, N], [*batch, N, K] → [*batch, N, K].

    B may be a vector [N], or a batch of vectors [*batch, N] for a batch of matrices. LinAlgError for a singular A.
    """
    check_matrix("linalg.solve", A, square=True)
    as_tensor_or_array("linalg.solve", "B", B)
    check_dtypes("linalg.solve", A, B)
    vector = B.ndim == 1 or (A.ndim - 1 == B.ndim and tuple(B.shape) == tuple(A.shape[:-1]))
    if vector and not left:
        raise RuntimeError(
            f"linalg.solve: Vector broadcasting of the left hand side is not supported for left=False (shapes "
            f"{list(A.shape)} and {list(B.shape)})"
        )
    b = B.reshape((*B.shape, 1)) if vector else B
    a = A
    if not left:
        a, b = A.mT, b.mT
    if a.shape[-1] != b.shape[-2]:
        raise RuntimeError(
            f"linalg.solve: Incompatible shapes of A and B for the equation {'AX = B' if left else 'XA = B'}: A is "
            f"{list(A.shape)}, B is {list(B.shape)}"
        )
    broadcast_batches("linalg.solve", a, b)
    x = apply(Solve(), a, b)
    if vector:
        return x.reshape(x.shape[:-1])
    return x if left else x.mT


class SolveTriangular(Operator):
    """X = T⁻¹ B for a triangular T, by substitution;  ∂B = T⁻ᵀ G, ∂T = the triangle of -∂B Xᵀ."""

    broadcasts = True

    def __init__(self, upper: bool, unit: bool) -> None:
        self.upper, self.unit = upper, unit

    def forward(self, t: Any, b: Any) -> Any:
        xp, n = namespace(t), t.shape[-1]
        wide_t, wide_b = widened(t), widened(b)
        batch = xp.broadcast_shapes(t.shape[:-2], b.shape[:-2])
        x = xp.empty((*batch, *b.shape[-2:]), wide_b.dtype)
        for i in reversed(range(n)) if self.upper else range(n):
            known = slice(i + 1, n) if self.upper else slice(0, i)
            x[..., i : i + 1, :] = wide_b[..., i : i + 1, :] - wide_t[..., i : i + 1, known] @ x[..., known, :]
            if not self.unit:
                x[..., i : i + 1, :] /= wide_t[..., i : i + 1, i : i + 1]
        x = x.astype(b.dtype)
        self.save(t, x)
        return x

    def backward(self, g: Any) -> Any:
        t, x = self.saved
        gb = apply(SolveTriangular(not self.upper, self.unit), t.mT, g)
        triangle = ops.triu if self.upper else ops.tril
        diagonal = 0 if not self.unit else 1 if self.upper else -1
        return triangle(-(gb @ x.mT), diagonal) if self.needs[0] else None, gb


def solve_triangular(A: Any, B: Any, *, upper: bool, left: bool = True, unitriangular: bool = False) -> Any:
    """X with A X = B (or X A = B, ``left=False``) for triangular A; the other triangle is not read, nor the diagonal if
    ``unitriangular`` (it counts as 1). A zero on the diagonal gives inf or nan."""
    check_matrix("linalg.solve_triangular", A, square=True)
    check_matrix("linalg.solve_triangular", B)
    check_dtypes("linalg.solve_triangular", A, B)
    a, b = (A, B) if left else (A.mT, B.mT)
    if a.shape[-1] != b.shape[-2]:
        raise RuntimeError(
            "linalg.solve_triangular: Incompatible shapes of A and B for the equation "
            f"{'AX = B' if left else 'XA = B'}: A is {list(A.shape)}, B is {list(B.shape)}"
        )
    broadcast_batches("linalg.solve_triangular", a, b)
    x = apply(SolveTriangular(upper == left, unitriangular), a, b)
    return x if left else x.mT


LstsqResult = namedtuple("linalg_lstsq", ["solution", "residuals", "rank", "singular_values"])


def lstsq(A: Any, B: Any, rcond: Any = None, *, driver: str | None = None) -> Any:
    """X that makes ‖A X - B‖ least (of those, the least X): a named tuple ``(solution, residuals, rank,
    singular_values)``, the residuals Σ (A X - B)² of each column where A has full rank and more rows than columns.

    ``driver``: PyTorch's choice of a LAPACK routine. Here it decides only what else is returned: the residuals (not for
    "gelsy", the default), the rank (not for "gels"), the singular values ("gelsd", "gelss"). Differentiable in A and B
    through ``pinv``.
    """
    name = "linalg.lstsq"
    check_matrix(name, A)
    if driver not in (None, "gels", "gelsy", "gelsd", "gelss"):
        raise RuntimeError(f"{name}: parameter `driver` should be one of (gels, gelsy, gelsd, gelss), got {driver}")
    check_dtypes(name, A, B)
    vector = B.ndim == A.ndim - 1 and tuple(A.shape[:-1]) == tuple(B.shape)
    b = B.reshape((*B.shape, 1)) if vector else B
    if b.ndim < 2 or A.shape[-2] != b.shape[-2]:
        raise RuntimeError(f"{name}: input.size(-2) should match other.size(-2): {list(A.shape)} and {list(B.shape)}")
    broadcast_batches(name, A, b)
    a = raw(A)
    xp = namespace(a)
    x = pinv(A, rtol=rcond) @ b
    rank = raw(matrix_rank(A, rtol=rcond))
    m, n = A.shape[-2:]
    if m > n and driver not in (None, "gelsy") and bool((rank == n).all()):
        residuals = ops.sum((A @ x - b) ** 2, -2)
    else:
        residuals = like(xp.zeros(0, a.dtype), A)
    values = xp.linalg.svd(widened(a), compute_uv=False) if driver in ("gelsd", "gelss") else xp.zeros(0)
    rank = xp.zeros(0, "int64") if driver == "gels" else rank
    return LstsqResult(
        x.reshape(x.shape[:-1]) if vector else x, residuals, like(rank, A), like(values.astype(a.dtype), A)
    )


# ------------------------------------------------------------------------------------------------------- factorisations


class Cholesky(Operator):
    """L = cholesky A, so that A = L Lᵀ;  ∂A = sym(L⁻ᵀ Φ(Lᵀ G) L⁻¹), Φ the lower triangle with half the diagonal.

    Only the lower triangle of A is read; the gradient is that for symmetric A.
    """

    def forward(self, a: Any) -> Any:
        try:
            return self.save(namespace(a).linalg.cholesky(widened(a)).astype(a.dtype))
        except np.linalg.LinAlgError:
            raise LinAlgError(
                "linalg.cholesky: The factorization could not be completed because the input is not positive-definite "
                f"(input of shape {list(a.shape)})"
            ) from None

    def backward(self, g: Any) -> Any:
        l = self.saved
        xp, n = namespace(raw(l)), l.shape[-1]
        half = (xp.tril(xp.ones((n, n))) - xp.eye(n) / 2).astype(raw(l).dtype)
        inverse = inv(l)
        s = inverse.mT @ ((l.mT @ g) * half) @ inverse
        return (s + s.mT) / 2


def linalg_cholesky(A: Any, *, upper: bool = False) -> Any:
    """L, lower triangular, with A = L Lᵀ for symmetric positive-definite A (U = Lᵀ if ``upper``). LinAlgError if it is
    not positive definite."""
    check_matrix("linalg.cholesky", A, square=True)
    l = apply(Cholesky(), A)
    return l.mT if upper else l


@in_float32
def cholesky(input: Any, upper: bool = False) -> Any:
    """``minidl.linalg.cholesky``."""
    return linalg_cholesky(input, upper=upper)


QRResult = namedtuple("linalg_qr", ["Q", "R"])
EighResult = namedtuple("linalg_eigh", ["eigenvalues", "eigenvectors"])
SVDResult = namedtuple("linalg_svd", ["U", "S", "Vh"])


class QR(Operator):
    """Q, R = qr A, so that A = Q R;  ∂A = (G_Q + Q mir(M)) R⁻ᵀ with M = R G_Rᵀ - G_Qᵀ Q.

    Q has orthonormal columns and R is upper triangular, for at least as many rows as columns; mir mirrors the lower triangle.
    """

    materialize = False

    def __init__(self, mode: str) -> None:
        self.mode = mode

    def forward(self, a: Any) -> Any:
        q, r = namespace(a).linalg.qr(widened(a), mode=self.mode)
        q, r = q.astype(a.dtype), r.astype(a.dtype)
        self.save(q, r)
        return q, r

    def backward(self, gq: Any, gr: Any) -> Any:
        q, r = self.saved
        if q.shape[-1] != r.shape[-1]:
            raise RuntimeError("linalg.qr: mode 'complete' has no derivative for more rows than columns; use 'reduced'")
        m = None if gr is None else r @ gr.mT
        if gq is not None:
            m = -(gq.mT @ q) if m is None else m - gq.mT @ q
        inner = q @ (ops.tril(m) + ops.tril(m, -1).mT)
        inner = inner if gq is None else inner + gq
        return inner @ inv(r).mT


def qr(A: Any, mode: str = "reduced") -> Any:
    """A = Q R: a named tuple ``(Q, R)`` with orthonormal columns Q and upper triangular R.

    mode "reduced": Q [*batch, M, min(M, N)]; "complete": Q [*batch, M, M]; "r": only R, Q is empty.
    """
    check_matrix("linalg.qr", A)
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(
            f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', or 'complete'"
        )
    m, n = A.shape[-2:]
    if m < n:  # the first M columns give Q, which turns the others
        q, r = apply(QR("reduced"), ops.narrow(A, -1, 0, m))
        r = ops.cat((r, q.mT @ ops.narrow(A, -1, m, n - m)), -1)
    else:
        q, r = apply(QR("complete" if mode == "complete" and m > n else "reduced"), A)
    return QRResult(like(namespace(raw(A)).zeros(0, raw(A).dtype), A) if mode == "r" else q, r)


class Eigh(Operator):
    """λ, V = eigh A, so that A = V diag(λ) Vᵀ;  ∂A = V (diag(G_λ) + (Vᵀ G_V) ⊙ F) Vᵀ with F[i, j] = 1 / (λⱼ - λᵢ).

    For symmetric A; F is 0 on its diagonal.
    """

    materialize = False

    def __init__(self, triangle: str) -> None:
        self.triangle = triangle

    def forward(self, a: Any) -> Any:
        values, vectors = namespace(a).linalg.eigh(widened(a), UPLO=self.triangle)
        values, vectors = values.astype(a.dtype), vectors.astype(a.dtype)
        self.save(values, vectors)
        return values, vectors

    def backward(self, g_values: Any, g_vectors: Any) -> Any:
        values, v = self.saved
        inner = None if g_values is None else on_diagonal(g_values)
        if g_vectors is not None:
            turned = (v.mT @ g_vectors) * inverse_gaps(values)
            inner = turned if inner is None else inner + turned
        gradient = v @ inner @ v.mT
        return (gradient + gradient.mT) * 0.5  # as A is symmetric, so may its gradient be


def on_diagonal(x: Any) -> Any:
    """Square matrices with ``x`` [*batch, N] on the diagonal and 0 elsewhere."""
    return x.reshape((*x.shape, 1)) * namespace(raw(x)).eye(x.shape[-1], dtype=raw(x).dtype)


def inverse_gaps(values: Any) -> Any:
    """F[i, j] = 1 / (xⱼ - xᵢ), and 0 on the diagonal."""
    xp, n = namespace(raw(values)), values.shape[-1]
    eye = xp.eye(n, dtype=raw(values).dtype)
    gaps = values.reshape((*values.shape[:-1], 1, n)) - values.reshape((*values.shape, 1))
    return (1 - eye) / (gaps + eye)


def eigh(A: Any, UPLO: str = "L") -> Any:
    """Eigenvalues (ascending) and eigenvectors (columns) of symmetric matrices, of which one triangle is read: a named
    tuple ``(eigenvalues, eigenvectors)``. Gradients of the eigenvectors need distinct eigenvalues."""
    check_matrix("linalg.eigh", A, square=True)
    if str(UPLO).upper() not in ("L", "U"):
        raise RuntimeError(f"Expected UPLO argument to be 'L' or 'U', but got {UPLO}")
    return EighResult(*apply(Eigh(UPLO.upper()), A))


def eigvalsh(A: Any, UPLO: str = "L") -> Any:
    """The eigenvalues of symmetric matrices, ascending."""
    return eigh(A, UPLO).eigenvalues


class SVD(Operator):
    """U, S, Vh = svd A, so that A = U diag(S) Vh;  ∂A = U diag(G_S) Vh + the shares of U and Vh.

    With V = Vhᵀ: ∂A = U [(skew(Uᵀ G_U) ⊙ F) S + S (skew(Vᵀ G_V) ⊙ F) + diag(G_S)] Vᵀ, F[i, j] = 1 / (sⱼ² - sᵢ²), and for the
    parts of G_U, G_V outside the spaces of U, V:  + (I - U Uᵀ) G_U S⁻¹ Vᵀ + U S⁻¹ G_Vᵀ (I - V Vᵀ).
    """

    materialize = False

    def __init__(self, full: bool) -> None:
        self.full = full

    def forward(self, a: Any) -> Any:
        u, s, vh = namespace(a).linalg.svd(widened(a), full_matrices=self.full)
        u, s, vh = u.astype(a.dtype), s.astype(a.dtype), vh.astype(a.dtype)
        self.save(u, s, vh)
        return u, s, vh

    def backward(self, gu: Any, gs: Any, gvh: Any) -> Any:
        u, s, vh = self.saved
        k = s.shape[-1]
        u, vh = ops.narrow(u, -1, 0, k), ops.narrow(vh, -2, 0, k)
        inner = None if gs is None else on_diagonal(gs)
        outer = None
        row = s.reshape((*s.shape[:-1], 1, k))
        if gu is not None:
            gu = ops.narrow(gu, -1, 0, k)
            inner = _plus(inner, skew(u.mT @ gu) * inverse_gaps(s * s) * row)
            if u.shape[-2] > k:
                outer = ((gu - u @ (u.mT @ gu)) / row) @ vh
        if gvh is not None:
            gvh = ops.narrow(gvh, -2, 0, k)
            column = s.reshape((*s.shape, 1))
            inner = _plus(inner, column * (skew(vh @ gvh.mT) * inverse_gaps(s * s)))
            if vh.shape[-1] > k:
                outer = _plus(outer, u @ ((gvh - (gvh @ vh.mT) @ vh) / column))
        return _plus(outer, u @ inner @ vh)


def _plus(a: Any, b: Any) -> Any:
    return b if a is None else a + b


def skew(x: Any) -> Any:
    """X - Xᵀ."""
    return x - x.mT


def svd(A: Any, full_matrices: bool = True, *, driver: str | None = None) -> Any:
    """A = U diag(S) Vh with S descending: a named tuple ``(U, S, Vh)``.

    ``full_matrices``: U and Vh are square; otherwise they have min(M, N) columns (rows). Gradients of U and Vh need
    distinct singular values. ``driver`` (a choice of PyTorch's on the GPU) changes nothing.
    """
    check_matrix("linalg.svd", A)
    return SVDResult(*apply(SVD(full_matrices), A))


def svdvals(A: Any, *, driver: str | None = None) -> Any:
    """The singular values, descending."""
    check_matrix("linalg.svdvals", A)
    return apply(SVD(False), A)[1]
