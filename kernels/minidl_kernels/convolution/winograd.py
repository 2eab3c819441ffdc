"""Winograd's minimal filtering: 3 × 3 convolution of stride 1 with 4 products where the direct form takes 9.

A tile of 2 × 2 results needs a 4 × 4 piece d of the input, and 3 × 3 weights g (Lavin & Gray 2016, "Fast Algorithms for
Convolutional Neural Networks", section 4.1, F(2×2, 3×3)):

    y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A

    Bᵀ = 1  0 -1  0      G =  1   0   0      Aᵀ = 1  1  1  0
         0  1  1  0           ½   ½   ½           0  1 -1 -1
         0 -1  1  0           ½  -½   ½
         0  1  0 -1           0   0   1

Summed over channels, the product ⊙ is sixteen matrix products (tiles, C)(C, F), one for each place of the 4 × 4. Their
arithmetic is 4/9 of the direct form's, and B and A ask for additions alone. Rounding errors are about twice as large.

The gradient of the weights turns the same three maps round: ∂g = Gᵀ [ Σ_tiles (Bᵀ d B)ᵀ (A ∂y Aᵀ) ] G.

Arrays are (N, H, W, C) here, channels innermost.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl_kernels.threads import Scratch

_G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], np.float32)
_GG = np.kron(_G, _G)  # (16, 9): G g Gᵀ as one matrix on the nine weights
WORTH = 16  # channels below which the additions cost more than the products save


def suits(x: Any, kernel: tuple, stride: tuple, dilation: tuple, groups: int, filters: int) -> bool:
    """Whether the way over tiles is open, and shorter."""
    plain = kernel == (3, 3) and stride == dilation == (1, 1) and groups == 1
    return plain and x.dtype == np.float32 and x.shape[1] >= WORTH and filters >= WORTH


def tiles(out: tuple) -> tuple[int, int]:
    """How many 2 × 2 tiles cover the result."""
    return (out[0] + 1) // 2, (out[1] + 1) // 2


def weight_in(w: Any) -> Any:
    """G g Gᵀ of weights (F, C, 3, 3): (16, C, F)."""
    f, c = w.shape[:2]
    return (_GG @ np.ascontiguousarray(w.transpose(2, 3, 1, 0)).reshape(9, c * f)).reshape(16, c, f)


def weight_out(u: Any) -> Any:
    """Gᵀ u G of (16, C, F): the gradient of weights (F, C, 3, 3)."""
    _, c, f = u.shape
    return (_GG.T @ u.reshape(16, c * f)).reshape(3, 3, c, f).transpose(3, 2, 0, 1)


def input_in(x: Any, th: int, tw: int, scratch: Scratch) -> Any:
    """Bᵀ d B of all tiles of x (N, 2 th + 2, 2 tw + 2, C), zeros around it included: (16, N · th · tw, C)."""
    n, _, width, channels = x.shape
    rows = scratch("rows", (4, n, th, width, channels), x)
    places = scratch("inputs", (4, 4, n, th, tw, channels), x)
    _differences([x[:, i : i + 2 * th - 1 : 2] for i in range(4)], rows)
    _differences([rows[:, :, :, j : j + 2 * tw - 1 : 2] for j in range(4)], places.swapaxes(0, 1))
    return places.reshape(16, n * th * tw, channels)


def output_out(products: Any, y: Any, th: int, tw: int, scratch: Scratch) -> None:
    """Aᵀ m A of products (16, N · th · tw, F), into y (N, H, W, F), whose last row and column may lie outside."""
    n, filters = y.shape[0], y.shape[-1]
    m = products.reshape(4, 4, n, th, tw, filters)
    rows = scratch("rows", (2, *m.shape[1:]), m)
    np.add(m[0], m[1], out=rows[0])
    rows[0] += m[2]
    np.subtract(m[1], m[2], out=rows[1])
    rows[1] -= m[3]
    for i, (a, b, c, d) in enumerate(rows):
        even, odd = y[:, i::2, 0::2], y[:, i::2, 1::2]
        inside = slice(None), slice(0, even.shape[1])
        np.add(a[inside], b[inside], out=even)
        even += c[inside]
        inside = slice(None), slice(0, odd.shape[1]), slice(0, odd.shape[2])
        np.subtract(b[inside], c[inside], out=odd)
        odd -= d[inside]


def output_in(g: Any, th: int, tw: int, scratch: Scratch) -> Any:
    """A ∂y Aᵀ of gradients g (N, 2 th, 2 tw, F): (16, N · th · tw, F)."""
    n, _, width, filters = g.shape
    rows = scratch("rows", (4, n, th, width, filters), g)
    places = scratch("outputs", (4, 4, n, th, tw, filters), g)
    _spread([g[:, i::2] for i in (0, 1)], rows)
    _spread([rows[:, :, :, j::2] for j in (0, 1)], places.swapaxes(0, 1))
    return places.reshape(16, n * th * tw, filters)


def _differences(d: list, out: Any) -> None:
    """Bᵀ d along one dimension."""
    np.subtract(d[0], d[2], out=out[0])
    np.add(d[1], d[2], out=out[1])
    np.subtract(d[2], d[1], out=out[2])
    np.subtract(d[1], d[3], out=out[3])


def _spread(g: list, out: Any) -> None:
    """A g along one dimension."""
    out[0] = g[0]
    np.add(g[0], g[1], out=out[1])
    np.subtract(g[0], g[1], out=out[2])
    np.negative(g[1], out=out[3])
