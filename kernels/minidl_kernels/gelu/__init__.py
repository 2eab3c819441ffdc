"""GELU: each value times the probability that a standard normal variable is below it.

    y = x Φ(x)                         Φ(x) = ½ (1 + erf(x/√2))                 approximate="none"
    y ≈ ½ x (1 + tanh u)               u = √(2/π) (x + 0.044715 x³)             approximate="tanh"

and with the gradient g of y

    ∂x = g ⊙ (Φ(x) + x φ(x))           φ(x) = e^(-x²/2) / √(2π)
    ∂x ≈ g ⊙ ½ (1 + tanh u + x (1 - tanh² u) u′)       u′ = √(2/π) (1 + 3 · 0.044715 x²)

In float32, Φ(-|x|) = ½ e^(-x²/2) P(t), t = 1/(1 + 0.3275911 |x|/√2), with a polynomial P of degree 5 and an error
below 10⁻⁷ (Abramowitz & Stegun, "Handbook of Mathematical Functions", 7.1.26): its exponential is that in φ. In float64
the error function is Cody's.

Shapes: ``x``, ``y``, ``g`` any one shape.

Source: D. Hendrycks and K. Gimpel, "Gaussian Error Linear Units" (2016), section 2.
"""


def flops(size: int) -> int:
    """Operations of forward, an exponential counted as one."""
    return 20 * size


def nbytes(size: int, itemsize: int = 4) -> int:
    """Bytes moved by forward: x read, y written."""
    return 2 * size * itemsize
