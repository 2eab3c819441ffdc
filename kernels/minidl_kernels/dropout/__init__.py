"""Dropout: each value is dropped with probability p; the others are scaled so that the mean stays.

    y = x ⊙ k / (1 - p)        k = [u ≥ p],  u uniform in [0, 1)
    ∂x = g ⊙ k / (1 - p)       p = 1 drops everything: y = 0

Shapes: ``x``, ``u``, ``kept``, ``y``, ``g`` any one shape; ``kept`` is boolean, a byte a value.

Source: N. Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", JMLR 15 (2014).
"""


def flops(size: int) -> int:
    """Operations of forward, without drawing: comparison, product, scale."""
    return 3 * size


def nbytes(size: int, itemsize: int = 4) -> int:
    """Bytes moved by forward: x and u (float32) read, y and the mask written."""
    return size * (2 * itemsize + 5)
