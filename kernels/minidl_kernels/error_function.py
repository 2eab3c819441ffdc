"""The error function and its inverse, to double precision."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

# W. J. Cody, "Rational Chebyshev approximations for the error function", Math. Comp. 23 (1969): three intervals,
# each a quotient of polynomials; coefficients in the order of its Horner scheme, the leading one last.
_SMALL = (
    (3.16112374387056560e00, 1.13864154151050156e02, 3.77485237685302021e02, 3.20937758913846947e03,
     1.85777706184603153e-1),
    (2.36012909523441209e01, 2.44024637934444173e02, 1.28261652607737228e03, 2.84423683343917062e03),
)  # fmt: skip
_MIDDLE = (
    (5.64188496988670089e-1, 8.88314979438837594e0, 6.61191906371416295e01, 2.98635138197400131e02,
     8.81952221241769090e02, 1.71204761263407058e03, 2.05107837782607147e03, 1.23033935479799725e03,
     2.15311535474403846e-8),
    (1.57449261107098347e01, 1.17693950891312499e02, 5.37181101862009858e02, 1.62138957456669019e03,
     3.29079923573345963e03, 4.36261909014324716e03, 3.43936767414372164e03, 1.23033935480374942e03),
)  # fmt: skip
_LARGE = (
    (3.05326634961232344e-1, 3.60344899949804439e-1, 1.25781726111229246e-1, 1.60837851487422766e-2,
     6.58749161529837803e-4, 1.63153871373020978e-2),
    (2.56852019228982242e00, 1.87295284992346725e00, 5.27905102951428412e-1, 6.05183413124413191e-2,
     2.33520497626869185e-3),
)  # fmt: skip


def _quotient(t: Any, coefficients: tuple) -> Any:
    above, below = coefficients
    p, q = above[-1] * t, t
    for a, b in zip(above[:-2], below[:-1]):
        p, q = (p + a) * t, (q + b) * t
    return (p + above[-2]) / (q + below[-1])


def error_function(x: Any, complement: bool = False) -> Any:
    """erf(x), or erfc(x) = 1 - erf(x) without cancellation, to double precision."""
    z = x.astype("float64")
    y = np.abs(z)
    near = np.minimum(y, 0.46875)
    inside = z * _quotient(near * near, _SMALL)
    middle = np.clip(y, 0.46875, 4)
    far = np.maximum(y, 4)
    t = 1 / (far * far)
    tail = np.where(y <= 4, _quotient(middle, _MIDDLE), (1 / math.sqrt(math.pi) - t * _quotient(t, _LARGE)) / far)
    # e^(-y²) with y² split in two, so that rounding y² does not cost digits where it is large.
    head = np.trunc(np.minimum(y, 40) * 16) / 16
    rest = (np.minimum(y, 40) - head) * (np.minimum(y, 40) + head)
    tail = tail * np.exp(-head * head) * np.exp(-rest)
    if complement:
        result = np.where(y <= 0.46875, 1 - inside, np.where(z < 0, 2 - tail, tail))
    else:
        result = np.where(y <= 0.46875, inside, np.copysign(1 - tail, z))
    return np.where(np.isnan(z), z, result).astype(x.dtype)


def inverse_error_function(x: Any) -> Any:
    """The y with erf(y) = x, to double precision: ±∞ at ±1, nan beyond.

    It begins with S. Winitzki's "A handy approximation for the error function and its inverse" (2008), right to 0.002, and
    takes Halley's steps, each of which triples the digits, towards erfc(y) = 1 - x, which loses none where x is near 1.
    """
    z = x.astype("float64")
    with np.errstate(all="ignore"):
        wanted = np.abs(z)
        log, a = np.log1p(-wanted * wanted), 0.147
        half = 2 / (math.pi * a) + log / 2
        y = np.sqrt(np.sqrt(half * half - log / a) - half)
        for _ in range(3):
            high = wanted > 0.5
            lack = np.where(high, error_function(y, complement=True) - (1 - wanted), wanted - error_function(y))
            step = lack / (2 / math.sqrt(math.pi) * np.exp(-y * y))
            y = y + step / (1 - y * step)
        y = np.where(wanted == 1, np.inf, y)
        y = np.where(wanted < 1e-150, wanted * (math.sqrt(math.pi) / 2), y)  # where the square vanishes
    return np.copysign(y, z).astype(x.dtype)
