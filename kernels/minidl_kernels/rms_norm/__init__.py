"""Root-mean-square normalisation: each row to length √n, then a scale for each column.

For a row x of n values (Zhang & Sennrich 2019, "Root Mean Square Layer Normalization", equation 4)

    r = 1 / √(mean(x²) + ε)    x̂ = x r    y = x̂ ⊙ w

and with the gradient g of y, ĝ = g ⊙ w,

    ∂x = (ĝ - x̂ · mean(ĝ ⊙ x̂)) r    ∂w = Σ g ⊙ x̂    (sum over rows)

Layer norm without its mean: a pass over the row is saved, and models train as well.

Shapes: ``x``, ``y``, ``g`` (rows, n); ``weight`` (n,) or None; ``rstd`` = r (rows, 1).
"""


def flops(rows: int, n: int) -> int:
    """Operations of forward; backward takes about twice as many."""
    return 4 * rows * n


def nbytes(rows: int, n: int, itemsize: int = 4) -> int:
    """Bytes moved by forward: x read, y written."""
    return 2 * rows * n * itemsize
