"""Dropout as compiled loops: the random numbers are made where they are used, a cache's worth at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl_kernels.compiled import WORTH_THREADS, compiled, takes
from minidl_kernels.dropout import with_numpy as reference
from minidl_kernels.threads import in_parallel, slices

COUNTERS = 256  # whose numbers are made at a time
_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW, _UP, _DROPPED_BITS = np.uint64(0xFFFFFFFF), np.uint64(32), np.uint32(8)


@compiled
def _words(first, low, high, a_words, b_words, c_words, d_words):
    """The four words of the counters from ``first`` on: Philox4x32-10, as philox.py explains it.

    In 64-bit numbers below 2³², which a vector unit multiplies eight at a time.
    """
    for i in range(a_words.size):
        counter = np.uint64(first) + np.uint64(i)
        a, b, c, d = counter & _LOW, counter >> _UP, np.uint64(0), np.uint64(0)
        k0, k1 = low, high
        for _ in range(10):
            left, right = _M0 * a, _M1 * c
            a, c = (right >> _UP) ^ b ^ k0, (left >> _UP) ^ d ^ k1
            b, d = right & _LOW, left & _LOW
            k0, k1 = (k0 + _W0) & _LOW, (k1 + _W1) & _LOW
        a_words[i], b_words[i], c_words[i], d_words[i] = np.uint32(a), np.uint32(b), np.uint32(c), np.uint32(d)


@compiled
def _keep(g, first, low, high, p, scale, dx):
    """The values of g that are kept, scaled; ``first`` is the counter of the first four."""
    words = np.empty((4, COUNTERS), np.uint32)
    for begin in range(0, g.size, 4 * COUNTERS):
        _words(first + begin // 4, low, high, words[0], words[1], words[2], words[3])
        if begin + 4 * COUNTERS <= g.size:
            for i in range(COUNTERS):
                for j in range(4):
                    kept = np.float32(np.int32(words[j, i] >> _DROPPED_BITS)) >= p
                    dx[begin + 4 * i + j] = g[begin + 4 * i + j] * scale if kept else np.float32(0)
        else:
            for i in range(g.size - begin):
                kept = np.float32(np.int32(words[i & 3, i >> 2] >> _DROPPED_BITS)) >= p
                dx[begin + i] = g[begin + i] * scale if kept else np.float32(0)


def forward(x: Any, p: float, seed: int) -> Any:
    """y: the values that are kept, scaled."""
    if not takes(x) or not 0 <= p < 1:
        return reference.forward(x, p, seed)
    flat = np.ascontiguousarray(x).reshape(-1)
    y = np.empty(x.shape, np.float32)
    low, high = np.uint64(seed & 0xFFFFFFFF), np.uint64(seed >> 32 & 0xFFFFFFFF)
    threshold, scale, out = np.float32(p) * np.float32(2**24), np.float32(1 / (1 - p)), y.reshape(-1)
    parts = slices(flat.size, None if flat.size >= WORTH_THREADS else 1, 4 * COUNTERS)
    in_parallel(lambda s: _keep(flat[s], s.start // 4, low, high, threshold, scale, out[s]), parts)
    return y


def backward(g: Any, p: float, seed: int) -> Any:
    """∂x: the gradients of the values that were kept, scaled; the same map as forward's, which is linear."""
    return forward(g, p, seed)
