"""The logarithm of the gamma function and its derivatives, to double precision.

Source: NIST Digital Library of Mathematical Functions, chapter 5 (5.5.1 and 5.5.3 move arguments up and reflect them, 5.11.1
is Stirling's series) and 25.11.43 (Euler and Maclaurin's series of the Hurwitz zeta function).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

_FAR = 10.0  # from here on the series are good to the last digits
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)  # B₂, B₄, …, B₁₆


def log_gamma(x: Any) -> Any:
    """ln |Γ(x)|; ∞ at 0 and the negative whole numbers."""
    z = x.astype("float64")
    with np.errstate(all="ignore"):
        y = np.where(z < 0.5, 1 - z, z)
        far, passed = y, np.ones_like(y)
        for _ in range(int(_FAR)):  # Γ(y + 1) = y Γ(y)
            near = far < _FAR
            passed, far = np.where(near, passed * far, passed), np.where(near, far + 1, far)
        tail = sum(b / (2 * k * (2 * k - 1)) / far ** (2 * k - 1) for k, b in enumerate(_BERNOULLI, 1))
        right = (far - 0.5) * np.log(far) - far + (0.5 * math.log(2 * math.pi) + tail) - np.log(passed)
        right = np.where(np.isinf(y), np.inf, right)
        reflected = math.log(math.pi) - np.log(np.abs(_sine(z))) - right  # Γ(z) Γ(1 - z) = π / sin πz
    return np.where(z < 0.5, np.where(np.isinf(z), np.inf, reflected), right).astype(x.dtype)


def digamma(x: Any) -> Any:
    """ψ(x) = d/dx ln Γ(x); ∓∞ at ±0, nan at the negative whole numbers."""
    z = x.astype("float64")
    with np.errstate(all="ignore"):
        y = np.where(z < 0, 1 - z, z)
        far, passed = y, np.zeros_like(y)
        for _ in range(int(_FAR)):  # ψ(y + 1) = ψ(y) + 1/y
            near = far < _FAR
            passed, far = np.where(near, passed + 1 / far, passed), np.where(near, far + 1, far)
        tail = sum(b / (2 * k) / far ** (2 * k) for k, b in enumerate(_BERNOULLI, 1))
        right = np.log(far) - 0.5 / far - tail - passed
        turn = z - np.round(z)
        reflected = right - math.pi / np.tan(math.pi * turn)  # ψ(1 - z) - ψ(z) = π cot πz
        left = np.where(turn == 0, np.nan, reflected)
    return np.where(z == 0, -np.copysign(np.inf, z), np.where(z < 0, left, right)).astype(x.dtype)


def polygamma(n: int, x: Any) -> Any:
    """ψ⁽ⁿ⁾(x) = dⁿ/dxⁿ ψ(x) = (-1)ⁿ⁺¹ n! Σₖ (x + k)⁻ⁿ⁻¹; infinite at 0 and the negative whole numbers."""
    if n == 0:
        return digamma(x)
    z, s, sign = x.astype("float64"), n + 1, (-1) ** (n + 1)
    with np.errstate(all="ignore"):
        far = np.where(z < 0, 1 - z, z)
        total = np.zeros_like(far)
        for _ in range(int(_FAR) + n):
            near = far < _FAR + n
            total, far = np.where(near, total + far**-s, total), np.where(near, far + 1, far)
        rising, tail = float(s), far**-n / n + 0.5 * far**-s
        for k, b in enumerate(_BERNOULLI, 1):  # B₂ₖ/(2k)! · s (s + 1) … (s + 2k - 2) · far^(1 - s - 2k)
            tail = tail + b / math.factorial(2 * k) * rising * far ** (1.0 - s - 2 * k)
            rising *= (s + 2 * k - 1) * (s + 2 * k)
        right = sign * math.factorial(n) * (total + tail)
        left = -math.pi * _cotangent_slope(n, z) - sign * right  # dⁿ/dzⁿ of ψ(1 - z) - ψ(z) = π cot πz
        left = np.where(z == np.floor(z), sign * np.inf, left)
    return np.where(z < 0, left, right).astype(x.dtype)


def _cotangent_slope(n: int, z: Any) -> Any:
    """dⁿ/dzⁿ cot πz, a polynomial of c = cot πz, since dc/dz = -π (1 + c²)."""
    polynomial = np.polynomial.Polynomial([0.0, 1.0])
    for _ in range(n):
        polynomial = polynomial.deriv() * np.polynomial.Polynomial([-math.pi, 0.0, -math.pi])
    return polynomial(1 / np.tan(math.pi * (z - np.round(z))))


def _sine(z: Any) -> Any:
    """sin πz but for its sign, right for large z too."""
    return np.sin(math.pi * (z - np.round(z)))
