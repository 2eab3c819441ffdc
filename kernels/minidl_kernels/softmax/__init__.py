"""Softmax and its logarithm along one axis.

    y_i = e^(x_i - m) / Σ_j e^(x_j - m)            m = max x, so that no exponential overflows
    log y_i = (x_i - m) - log Σ_j e^(x_j - m)

and with the gradient g of the result

    softmax       ∂x = y ⊙ (g - Σ g ⊙ y)
    log-softmax   ∂x = g - e^y Σ g                  (y: the log-softmax)

Shapes: ``x``, ``y``, ``g`` (outer, n) or (outer, n, inner); the axis of n values is the second.

Source: J. S. Bridle, "Probabilistic Interpretation of Feedforward Classification Network Outputs" (1990); the shift by
the maximum: P. Blanchard, D. Higham, N. Higham, "Accurately computing the log-sum-exp and softmax functions" (2021).
"""


def flops(outer: int, n: int, inner: int = 1) -> int:
    """Operations of forward, an exponential counted as one: maximum, difference, exponential, sum, quotient."""
    return 5 * outer * n * inner


def nbytes(outer: int, n: int, inner: int = 1, itemsize: int = 4) -> int:
    """Bytes moved by forward: x read, y written."""
    return 2 * outer * n * inner * itemsize
