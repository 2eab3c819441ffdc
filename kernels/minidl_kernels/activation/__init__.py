"""Activations, with the bias that comes before them: y = f(x + b).

With the gradient g of y, at x + b,

    relu       y = max(x, 0)            ∂x = g ⊙ [x > 0]
    silu       y = x σ(x)               ∂x = g ⊙ σ(x) (1 + x (1 - σ(x)))                σ(x) = 1 / (1 + e^-x)
    gelu       y = x Φ(x)               ∂x = g ⊙ (Φ(x) + x φ(x))                        φ(x) = e^(-x²/2) / √(2π)
    gelu_tanh  y = ½ x (1 + tanh u)     ∂x = g ⊙ ½ (1 + tanh u + x (1 - tanh² u) u′)    u = √(2/π) (x + 0.044715 x³)

GELU is each value times the probability Φ(x) = ½ (1 + erf(x/√2)) that a standard normal variable is below it. In float32,
Φ(-|x|) = ½ e^(-x²/2) P(t), t = 1/(1 + 0.3275911 |x|/√2), with a polynomial P of degree 5 and an error below 10⁻⁷ (Abramowitz
& Stegun, "Handbook of Mathematical Functions", 7.1.26): its exponential is that in φ. In float64 the error function is Cody's.

Shapes: ``x``, ``y``, ``g`` any one shape; ``bias`` (n,) belongs to the last axis, or None. ∂b is ∂x summed over the others.

Sources: D. Hendrycks and K. Gimpel, "Gaussian Error Linear Units" (2016), section 2; V. Nair and G. Hinton, "Rectified Linear
Units Improve Restricted Boltzmann Machines" (2010).
"""

_FLOPS = {"relu": 1, "silu": 4, "gelu": 20, "gelu_tanh": 9}


def flops(size: int, kind: str = "gelu", bias: bool = False) -> int:
    """Operations of forward, an exponential counted as one."""
    return (_FLOPS[kind] + bias) * size


def nbytes(size: int, itemsize: int = 4) -> int:
    """Bytes moved by forward: x read, y written."""
    return 2 * size * itemsize
