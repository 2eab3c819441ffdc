"""From seven loops to tensor cores: convolution of stride 1, with half a kernel of zeros all round.

The arithmetic is the same until rung 6; what changes is who does it and what is moved. NumPy's own loops take the work
from Python's (2, 3), BLAS takes it from them (4, 5), once windows are laid out so that a product of matrices is what
remains. Then there is less of it: Fourier's way pays from large kernels on, Winograd's at 3 × 3, of all sizes the one most
used. The room's own files block the product so that columns stay in the cache, or never write them at all.

Every function takes x (B, C, H, W) and w (F, C, KH, KW); backward takes g as y, (B, F, OH, OW). Between the two lies
``framed``, x with its zeros around it, and with it the padding is out of the way:

    y[b, f, i, j] = Σ_c Σ_u Σ_v  w[f, c, u, v] · framed[b, c, i + u, j + v]
"""

from __future__ import annotations

from importlib import import_module
from itertools import product
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from minidl_kernels.convolution.winograd import _G
from minidl_kernels.ladders import Rung

SIZES = (  # B, C, F, H = W, kernel
    (1, 2, 2, 6, 3),
    (2, 8, 8, 16, 3),
    (8, 16, 16, 32, 3),
    (8, 64, 64, 28, 3),
    (2, 8, 8, 64, 17),
)


def arguments(size: tuple, rng: np.random.Generator) -> tuple:
    """x and w, drawn so that y is of size one."""
    batch, channels, filters, side, kernel = size
    x = rng.standard_normal((batch, channels, side, side))
    return x, rng.standard_normal((filters, channels, kernel, kernel)) / (kernel * channels**0.5)


def work(size: tuple) -> int:
    """Multiplications with an addition, by the definition."""
    batch, channels, filters, side, kernel = size
    return batch * channels * filters * (side * kernel) ** 2


def frame(x: Any, w: Any) -> Any:
    """x with KH // 2 rows and KW // 2 columns of zeros on each side."""
    above, left = w.shape[2] // 2, w.shape[3] // 2
    return np.pad(x, ((0, 0), (0, 0), (above, above), (left, left)))


def unframe(framed: Any, w: Any) -> Any:
    """The adjoint of ``frame``: what lies inside."""
    above, left = w.shape[2] // 2, w.shape[3] // 2
    return framed[:, :, above : framed.shape[2] - above, left : framed.shape[3] - left]


def empty(framed: Any, w: Any) -> Any:
    """Where y goes."""
    (batch, _, height, width), (filters, _, rows, columns) = framed.shape, w.shape
    return np.empty((batch, filters, height - rows + 1, width - columns + 1), framed.dtype)


# ---------------------------------------------------------------------------------------------------- 1  seven loops


def loops(x: Any, w: Any) -> Any:
    framed = frame(x, w)
    y = empty(framed, w)
    y[...] = 0
    for b, f, i, j in np.ndindex(y.shape):
        for c, u, v in np.ndindex(w.shape[1:]):
            y[b, f, i, j] += w[f, c, u, v] * framed[b, c, i + u, j + v]
    return y


def loops_backward(g: Any, x: Any, w: Any, y: Any) -> tuple:
    framed = frame(x, w)
    dx, dw = np.zeros_like(framed), np.zeros_like(w)
    for b, f, i, j in np.ndindex(g.shape):
        for c, u, v in np.ndindex(w.shape[1:]):
            dx[b, c, i + u, j + v] += g[b, f, i, j] * w[f, c, u, v]
            dw[f, c, u, v] += g[b, f, i, j] * framed[b, c, i + u, j + v]
    return unframe(dx, w), dw


# --------------------------------------------------------------------------------------------- 2  a product a pixel


def by_pixel(x: Any, w: Any) -> Any:
    framed = frame(x, w)
    y, (rows, columns) = empty(framed, w), w.shape[2:]
    for i, j in np.ndindex(y.shape[2:]):
        window = framed[:, :, i : i + rows, j : j + columns]
        y[:, :, i, j] = np.tensordot(window, w, ((1, 2, 3), (1, 2, 3)))
    return y


def by_pixel_backward(g: Any, x: Any, w: Any, y: Any) -> tuple:
    framed, (rows, columns) = frame(x, w), w.shape[2:]
    dx, dw = np.zeros_like(framed), np.zeros_like(w)
    for i, j in np.ndindex(g.shape[2:]):
        window = np.s_[:, :, i : i + rows, j : j + columns]
        dx[window] += np.tensordot(g[:, :, i, j], w, 1)
        dw += np.tensordot(g[:, :, i, j].T, framed[window], 1)
    return unframe(dx, w), dw


# ------------------------------------------------------------------------------------------ 3  a view of all windows


def by_view(x: Any, w: Any) -> Any:
    windows = sliding_window_view(
        frame(x, w), w.shape[2:], (2, 3)
    )  # (B, C, OH, OW, KH, KW), of which nothing is copied
    return np.einsum("bcijuv,fcuv->bfij", windows, w)


def by_view_backward(g: Any, x: Any, w: Any, y: Any) -> tuple:
    dw = np.einsum("bfij,bcijuv->fcuv", g, sliding_window_view(frame(x, w), w.shape[2:], (2, 3)))
    return turned(by_view, g, x, w), dw


def turned(convolve: Any, g: Any, x: Any, w: Any) -> Any:
    """∂x, itself a convolution: of g, with each kernel turned round, filters and channels exchanged.

    Of an even kernel y is a row and a column larger than x, and so is what comes back of it, twice over.
    """
    dx = convolve(g, np.flip(w, (2, 3)).swapaxes(0, 1))
    extra = [n % 2 == 0 for n in w.shape[2:]]
    return dx[:, :, extra[0] : extra[0] + x.shape[2], extra[1] : extra[1] + x.shape[3]]


# ------------------------------------------------------------------------------------------------ 4  a product a tap


def by_tap(x: Any, w: Any) -> Any:
    framed = frame(x, w)
    y = empty(framed, w)
    batch, filters, height, width = y.shape
    total = np.zeros((batch, filters, height * width), y.dtype)
    for u, v in np.ndindex(w.shape[2:]):
        shifted = framed[:, :, u : u + height, v : v + width].reshape(batch, -1, height * width)
        total += w[:, :, u, v] @ shifted
    return total.reshape(y.shape)


def by_tap_backward(g: Any, x: Any, w: Any, y: Any) -> tuple:
    framed, (height, width) = frame(x, w), g.shape[2:]
    dx, dw = np.zeros_like(framed), np.empty_like(w)
    gs = g.reshape(*g.shape[:2], height * width)
    for u, v in np.ndindex(w.shape[2:]):
        place = np.s_[:, :, u : u + height, v : v + width]
        dx[place] += (w[:, :, u, v].T @ gs).reshape(framed[place].shape)
        dw[:, :, u, v] = (gs @ framed[place].reshape(*x.shape[:2], height * width).mT).sum(0)
    return unframe(dx, w), dw


# ------------------------------------------------------------------------------------- 5  im2col, and a single product


def im2col(framed: Any, w: Any) -> Any:
    """All windows, written down: (B, C · KH · KW, OH · OW). Each value of x is there as often as a kernel has taps."""
    windows = sliding_window_view(framed, w.shape[2:], (2, 3)).transpose(0, 1, 4, 5, 2, 3)
    return windows.reshape(len(framed), w[0].size, -1)


def by_columns(x: Any, w: Any) -> Any:
    framed = frame(x, w)
    return (w.reshape(len(w), -1) @ im2col(framed, w)).reshape(empty(framed, w).shape)


def by_columns_backward(g: Any, x: Any, w: Any, y: Any) -> tuple:
    framed, (height, width) = frame(x, w), g.shape[2:]
    gs = g.reshape(*g.shape[:2], -1)
    dw = (gs @ im2col(framed, w).mT).sum(0).reshape(w.shape)
    columns = (w.reshape(len(w), -1).T @ gs).reshape(*x.shape[:2], *w.shape[2:], height, width)
    dx = np.zeros_like(framed)
    for u, v in product(*map(range, w.shape[2:])):  # col2im: what im2col copied comes together again
        dx[:, :, u : u + height, v : v + width] += columns[:, :, u, v]
    return unframe(dx, w), dw


# ---------------------------------------------------------------------------------------- 6  a product of frequencies


def spectrum(a: Any, size: tuple) -> Any:
    """Fourier coefficients, frequencies first: a matrix for each."""
    return np.fft.rfft2(a, size).transpose(2, 3, 0, 1)


def from_spectrum(a: Any, size: tuple, kept: tuple) -> Any:
    return np.fft.irfft2(a.transpose(2, 3, 0, 1), size)[:, :, : kept[0], : kept[1]]


def by_fourier(x: Any, w: Any) -> Any:
    framed = frame(x, w)
    size = framed.shape[2:]
    products = spectrum(framed, size) @ spectrum(w, size).conj().mT  # conj: w runs with x, not against it
    return from_spectrum(products, size, empty(framed, w).shape[2:])


def by_fourier_backward(g: Any, x: Any, w: Any, y: Any) -> tuple:
    framed = frame(x, w)
    size = framed.shape[2:]
    above = spectrum(g, size)
    dx = from_spectrum(above @ spectrum(w, size), size, size)
    dw = from_spectrum(above.conj().mT @ spectrum(framed, size), size, w.shape[2:])
    return unframe(dx, w), dw


# ----------------------------------------------------------------------- 7  4 products for 9: Winograd, of 3 × 3 alone

B = np.array([[1, 0, 0, 0], [0, 1, -1, 1], [-1, 1, 1, 0], [0, 0, 0, -1]], np.float32)
A = np.array([[1, 0], [1, 1], [1, -1], [0, -1]], np.float32)


def tiles(a: Any, side: int, height: int, width: int) -> Any:
    """The pieces (side, side) of a (B, C, …), one every two rows and columns: (B, C, height, width, side, side)."""
    short = ((0, 0), (0, 0), *((0, max(2 * (n - 1) + side - m, 0)) for n, m in zip((height, width), a.shape[2:])))
    return sliding_window_view(np.pad(a, short), (side, side), (2, 3))[:, :, : 2 * height : 2, : 2 * width : 2]


def both_ways(m: Any, a: Any) -> Any:
    """m a mᵀ for the last two dimensions (p, q) of a (X, Y, …, p, q), in a's precision: (p', q', Z, Y), Z all the rest."""
    m = m.astype(a.dtype)
    result = m @ a @ m.T
    order = (result.ndim - 2, result.ndim - 1, 0, *range(2, result.ndim - 2), 1)
    return result.transpose(order).reshape(*result.shape[-2:], -1, a.shape[1])


def by_winograd(x: Any, w: Any) -> Any:
    if w.shape[2:] != (3, 3):
        return by_columns(x, w)
    (batch, _, height, width), filters = x.shape, len(w)
    down, across = -(-height // 2), -(-width // 2)
    inputs = both_ways(B.T, tiles(frame(x, w), 4, down, across))
    products = inputs @ both_ways(_G, w).mT  # sixteen, (tiles, C) (C, F)
    a = A.astype(x.dtype)
    pieces = a.T @ products.transpose(2, 3, 0, 1).reshape(batch, down, across, filters, 4, 4) @ a
    y = pieces.transpose(0, 3, 1, 4, 2, 5).reshape(batch, filters, 2 * down, 2 * across)
    return y[:, :, :height, :width]


def by_winograd_backward(g: Any, x: Any, w: Any, y: Any) -> tuple:
    if w.shape[2:] != (3, 3):
        return by_columns_backward(g, x, w, y)
    down, across = -(-x.shape[2] // 2), -(-x.shape[3] // 2)
    inputs = both_ways(B.T, tiles(frame(x, w), 4, down, across))
    outputs = both_ways(A, tiles(g, 2, down, across))
    products = outputs.mT @ inputs  # sixteen, (F, tiles) (tiles, C)
    matrix = _G.astype(x.dtype)
    return turned(by_winograd, g, x, w), matrix.T @ products.transpose(2, 3, 0, 1) @ matrix


# ------------------------------------------------------------------------------------------------------ the room's own


def rung(name: str, file: str, idea: str) -> Rung:
    """A file of the room, which takes any stride, padding, dilation and groups."""

    def settings(w: Any) -> tuple:
        return (1, 1), tuple((n // 2, n // 2) for n in w.shape[2:]), (1, 1), 1

    def forward(x: Any, w: Any) -> Any:
        return import_module(f"minidl_kernels.convolution.{file}").forward(x, w, None, *settings(w))

    def backward(g: Any, x: Any, w: Any, y: Any) -> tuple:
        room = import_module(f"minidl_kernels.convolution.{file}")
        dx = room.input_gradient(g, w, x.shape[2:], *settings(w))
        return dx, room.weight_gradient(x, g, w.shape[2:], *settings(w))

    return Rung(name, idea, forward, backward, None)


RUNGS: tuple[Rung, ...] = (
    Rung(
        "1 plain loops",
        "Python multiplies and adds number by number, a tenth of a millisecond for a hundred of them.",
        loops,
        loops_backward,
        100_000,
    ),
    Rung(
        "2 a product a pixel",
        "NumPy sums a window with all filters at once: four loops fewer, and a call for each pixel.",
        by_pixel,
        by_pixel_backward,
        None,
    ),
    Rung(
        "3 a view of all windows",
        "Strides make all windows one array without a copy, and einsum goes through it in a single call of compiled loops; "
        "but they are plain loops, seven of them, far below what the processor can do.",
        by_view,
        by_view_backward,
        30_000_000,
    ),
    Rung(
        "4 a product a tap",
        "A tap sees the image shifted, whole: KH · KW large products for BLAS; y is read and written again for each.",
        by_tap,
        by_tap_backward,
        None,
    ),
    Rung(
        "5 im2col and a single product",
        "Windows are written down, and all taps are one long product: the sum stays in registers, for KH · KW times the "
        "memory of x (Chellapilla, Puri & Simard 2006).",
        by_columns,
        by_columns_backward,
        None,
    ),
    Rung(
        "6 Fourier",
        "Convolution multiplies frequencies: the cost no longer grows with the kernel, which wins for large ones and loses, "
        "to complex numbers and to the transforms of tiny weights, for small (Mathieu, Henaff & LeCun 2014).",
        by_fourier,
        by_fourier_backward,
        None,
    ),
    Rung(
        "7 Winograd",
        "3 × 3 in tiles of 2 × 2 results, with 4 products where rung 5 has 9; the additions before and after are NumPy's and "
        "cost more than was saved, until they are compiled. Other kernels go by rung 5 (Lavin & Gray 2016).",
        by_winograd,
        by_winograd_backward,
        None,
    ),
    rung(
        "8 blocks in the cache",
        "with_numpy",
        "Blocks of images whose columns stay in the cache, on a thread a core; channels innermost, so that windows are long "
        "runs; Winograd's way for float32 and channels enough.",
    ),
    rung("9 numba", "with_numba", "Winograd's maps in compiled loops, one pass each: now it pays."),
    rung(
        "10 CUDA C",
        "with_cupy",
        "A thread a value of y; blocks of 16 × 16 find the windows' values themselves, and share them.",
    ),
    rung(
        "11 Triton",
        "with_triton",
        "The columns are never written: a program works out where each value of its tile of windows lies in x, on the way "
        "into the tensor cores.",
    ),
)
