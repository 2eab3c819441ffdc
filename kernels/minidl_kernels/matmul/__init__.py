"""Matrix product: y = f(a b + bias), over a batch if there is one; bias and activation f if wanted.

    y[…, i, j] = f(Σ_k a[…, i, k] b[…, k, j] + bias[j])

    a      [*batch, M, K]
    b      [*batch, K, N]     batch dimensions are broadcast against those of a
    bias   [N]                optional, as in a linear layer y = x Wᵀ + bias
    y      [*batch, M, N]

The gradients are two further products, so that this forward is all a backend has to offer:

    ∂a = g bᵀ        ∂b = aᵀ g        ∂bias = Σ_rows g

Source: K. Goto and R. van de Geijn, "Anatomy of High-Performance Matrix Multiplication", ACM TOMS 34 (2008): how the
libraries underneath reach the machine's peak, with blocks that stay in cache, packed so that they are read in order.

There is no file for Numba: at 1024 × 1024 × 1024 its best loops take five times as long as the library (see the ladder).
"""

from __future__ import annotations

import math


def flops(a: tuple[int, ...], b: tuple[int, ...], bias: bool = False) -> int:
    """Multiplications and additions for operands of shapes ``a`` and ``b``: 2 K for each element of the result."""
    elements = math.prod(_result(a, b))
    return 2 * a[-1] * elements + (elements if bias else 0)


def nbytes(a: tuple[int, ...], b: tuple[int, ...], bias: bool = False, itemsize: int = 4) -> int:
    """The least that must move between memory and processor: operands read once, the result written once."""
    read = math.prod(a) + math.prod(b) + (b[-1] if bias else 0)
    return itemsize * (read + math.prod(_result(a, b)))


def _result(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    longest = max(len(a), len(b)) - 2
    batches = [(1,) * (longest - len(s) + 2) + tuple(s[:-2]) for s in (a, b)]
    return (*(n if m == 1 else m for m, n in zip(*batches)), a[-2], b[-1])
