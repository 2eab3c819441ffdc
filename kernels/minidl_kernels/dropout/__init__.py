"""Dropout: each value is dropped with probability p; the others are scaled so that the mean stays.

    y = x ⊙ k / (1 - p)        k_i = [u_i ≥ p],  u_i uniform in [0, 1)
    ∂x = g ⊙ k / (1 - p)       p = 1 drops everything: y = 0

No mask is stored: u_i is a function of i, the value's number in row-major order, and a seed (see minidl_kernels.philox);
backward makes the same numbers again.

Shapes: ``x``, ``y``, ``g`` any one shape; ``seed`` a whole number of 64 bits.

Source: N. Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", JMLR 15 (2014).
"""


def flops(size: int) -> int:
    """Operations of forward: comparison, product, scale, and 25 for making each number."""
    return 28 * size


def nbytes(size: int, itemsize: int = 4) -> int:
    """Bytes moved by forward: x read, y written."""
    return 2 * size * itemsize
