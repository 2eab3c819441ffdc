"""Convolution in any number of dimensions, and its two gradients.

For input x (N, C, *S), weight w (F, C/G, *K) with G groups, stride s, dilation d and zeros p before and after each
dimension (written here in one dimension; Dumoulin & Visin 2016, "A guide to convolution arithmetic for deep learning"):

    y[n, f, o] = b[f] + Σ_c Σ_k  w[f, c, k] · x[n, c, o s + k d - p]         O = ⌊(S + p₀ + p₁ - d (K - 1) - 1) / s⌋ + 1

    ∂x[n, c, i] = Σ_f Σ_k w[f, c, k] · g[n, f, o]  where o s + k d - p = i   a transposed convolution of g
    ∂w[f, c, k] = Σ_n Σ_o g[n, f, o] · x[n, c, o s + k d - p]                a correlation of x with g
    ∂b[f] = Σ g

Each is linear in each argument, and the gradients of one are the other two: the three are closed under differentiation.

All are one matrix product once the windows of x stand in the rows of a matrix ("im2col", Chellapilla, Puri & Simard
2006): ``columns`` (N O, K C) times the weight (K C, F). ``with_numpy.im2col`` and ``col2im`` are the plain form, to read.
"""

import math


def output_size(size: int, kernel: int, stride: int, padding: tuple[int, int], dilation: int) -> int:
    """How many windows fit along a dimension (0 or less: none)."""
    return (size + sum(padding) - dilation * (kernel - 1) - 1) // stride + 1


def flops(
    n: int, channels: int, filters: int, output: tuple[int, ...], kernel: tuple[int, ...], groups: int = 1
) -> int:
    """Operations of forward, a multiplication and an addition each; either gradient takes as many."""
    return 2 * n * filters * math.prod(output) * math.prod(kernel) * (channels // groups)


def nbytes(
    n: int,
    channels: int,
    filters: int,
    size: tuple[int, ...],
    output: tuple[int, ...],
    kernel: tuple[int, ...],
    itemsize: int = 4,
) -> int:
    """Bytes that must be moved: x and w read, y written. im2col writes and reads the columns as well."""
    values = n * channels * math.prod(size) + filters * channels * math.prod(kernel) + n * filters * math.prod(output)
    return values * itemsize
