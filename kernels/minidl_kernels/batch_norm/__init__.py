"""Batch normalisation: each channel to mean 0 and variance 1 over the batch, then a scale and a shift.

For the M values x of a channel, over the batch and all positions (Ioffe & Szegedy 2015, "Batch Normalization:
Accelerating Deep Network Training by Reducing Internal Covariate Shift", Algorithm 1)

    μ = mean(x)    σ² = mean((x - μ)²)    x̂ = (x - μ) / √(σ² + ε)    y = w x̂ + b

and with the gradient g of y (section 3)

    ∂b = Σ g    ∂w = Σ g x̂    ∂x = w / √(σ² + ε) · (g - ∂b / M - x̂ ∂w / M)

With given statistics (evaluation) μ and σ² do not depend on x, and ∂x = w g / √(σ² + ε).

Shapes: ``x``, ``y``, ``g`` (N, C, …) in any memory order, and results in that of ``x``; ``mean``, ``var``, ``rstd``,
``weight``, ``bias`` (C,).
"""


def flops(n: int, channels: int, positions: int) -> int:
    """Operations of forward in training; backward takes about as many again."""
    return 8 * n * channels * positions


def nbytes(n: int, channels: int, positions: int, itemsize: int = 4) -> int:
    """Bytes moved by forward in training: x read for the mean, the variance and y; y written."""
    return 4 * n * channels * positions * itemsize
