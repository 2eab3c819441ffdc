"""Layer normalisation: each row to mean 0 and variance 1, then a scale and a shift for each column.

For a row x of n values (Ba, Kiros & Hinton 2016, "Layer Normalization", equations 3 and 4)

    μ = mean(x)    σ² = mean((x - μ)²)    x̂ = (x - μ) / √(σ² + ε)    y = x̂ ⊙ w + b

and with the gradient g of y, ĝ = g ⊙ w,

    ∂x = (ĝ - mean(ĝ) - x̂ · mean(ĝ ⊙ x̂)) / √(σ² + ε)    ∂w = Σ g ⊙ x̂    ∂b = Σ g    (sums over rows)

Shapes: ``x``, ``y``, ``g`` (rows, n); ``weight``, ``bias`` (n,) or None; ``mean``, ``rstd`` = 1/√(σ² + ε) (rows, 1).
"""


def flops(rows: int, n: int) -> int:
    """Operations of forward; backward takes about twice as many."""
    return 8 * rows * n


def nbytes(rows: int, n: int, itemsize: int = 4) -> int:
    """Bytes moved by forward: x read, y written."""
    return 2 * rows * n * itemsize
