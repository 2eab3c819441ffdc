"""Random numbers by counting: number i is a function of i and a key, so that nothing has to be remembered.

Philox4x32-10 turns a counter of 128 bits and a key of 64 into four words of 32 bits by ten rounds of

    a, b, c, d  ←  high(M₁ c) ⊕ b ⊕ k₀,  low(M₁ c),  high(M₀ a) ⊕ d ⊕ k₁,  low(M₀ a)        k₀ += W₀,  k₁ += W₁

It passes every test of TestU01's BigCrush. Each kernel makes the numbers that it needs where it needs them; backward makes
them again instead of reading a stored mask; and all backends make the same ones.

Source: J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

from typing import Any

import numpy as np

M0, M1 = 0xD2511F53, 0xCD9E8D57
W0, W1 = 0x9E3779B9, 0xBB67AE85
_LOW, _UP = np.uint64(0xFFFFFFFF), np.uint64(32)


def words(counters: Any, key: int) -> tuple[Any, Any, Any, Any]:
    """Four uint64 arrays of values below 2³², for each of the ``counters`` (uint64) and a key of 64 bits."""
    a, b = counters & _LOW, counters >> _UP
    c = d = counters * np.uint64(0)
    k0, k1 = key & 0xFFFFFFFF, key >> 32 & 0xFFFFFFFF
    for _ in range(10):
        left, right = a * np.uint64(M0), c * np.uint64(M1)
        a, c = (right >> _UP) ^ b ^ np.uint64(k0), (left >> _UP) ^ d ^ np.uint64(k1)
        b, d = right & _LOW, left & _LOW
        k0, k1 = (k0 + W0) & 0xFFFFFFFF, (k1 + W1) & 0xFFFFFFFF
    return a, b, c, d


def uniform(first: int, n: int, key: int, xp: Any = np) -> Any:
    """The numbers ``first`` … ``first + n - 1`` of this key: float32, in [0, 1), of 24 bits.

    Number i is word i mod 4 of counter i div 4.
    """
    begin, end = first // 4, -(-(first + n) // 4)
    four = words(xp.arange(begin, end, dtype=np.uint64), key)
    numbers = xp.stack([(w >> np.uint64(8)).astype(np.float32) for w in four], axis=1).reshape(-1)
    return numbers[first - 4 * begin :][:n] * np.float32(2**-24)
