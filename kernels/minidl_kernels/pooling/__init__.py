"""Pooling: the largest value, or the sum, of each window.

For x (N, C, *S), windows of K values a dimension, stride s and dilation d, in one dimension:

    max   y[o] = max_k x[o s + k d - p]     ∂x gets each g[o] at the place of its maximum, the first of equals
    sum   y[o] = Σ_k x[o s + k - p]         ∂x[i] = Σ g[o] over the windows that hold i

Outside x lies -∞ for the maximum and 0 for the sum. ``which`` says which of a window's values was the largest, counted
in row-major order: a byte for windows of up to 256 values, where PyTorch keeps eight.
"""

import math


def flops(n: int, channels: int, output: tuple[int, ...], kernel: tuple[int, ...]) -> int:
    """Comparisons or additions of forward."""
    return n * channels * math.prod(output) * math.prod(kernel)


def nbytes(n: int, channels: int, size: tuple[int, ...], output: tuple[int, ...], itemsize: int = 4) -> int:
    """Bytes moved by forward: x read, y and ``which`` written."""
    return n * channels * (math.prod(size) * itemsize + math.prod(output) * (itemsize + 1))
