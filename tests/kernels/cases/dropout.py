"""Dropout: every backend drops the very same values, whatever the memory order, and 0 and 1 are limits like others."""

from tests.kernels.cases import LAYOUTS, Case


def run(room, x, g, p, seed):
    return room.forward(x, p, seed), room.backward(g, p, seed)


def reference(torch, x, g, p, seed):
    """By the definition: Philox's words, one counter at a time, in Python's whole numbers."""
    kept = torch.tensor([number(i, seed) >= p for i in range(x.numel())], dtype=x.dtype).reshape(x.shape)
    factor = kept / (1 - p) if p < 1 else kept * 0
    return x * factor, g * factor


def number(i, seed):
    a, b, c, d = i // 4 & 0xFFFFFFFF, i // 4 >> 32, 0, 0
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32
    for _ in range(10):
        left, right = 0xD2511F53 * a, 0xCD9E8D57 * c
        a, b, c, d = right >> 32 ^ b ^ k0, right & 0xFFFFFFFF, left >> 32 ^ d ^ k1, left & 0xFFFFFFFF
        k0, k1 = k0 + 0x9E3779B9 & 0xFFFFFFFF, k1 + 0xBB67AE85 & 0xFFFFFFFF
    return ((a, b, c, d)[i % 4] >> 8) / 2**24


def cases(s):
    for shape, p, seed in (
        ((), 0.5, 0),
        ((1,), 0.5, 0),
        ((37,), 0.1, 1),
        ((3, 130), 0.5, 2**63 - 1),
        ((5, 1025), 0.9, 12345678901234),
        ((2, 3, 5), 0.3, 7),
        ((0, 3), 0.5, 7),
        ((8,), 0.0, 3),
        ((8,), 1.0, 3),
    ):
        arrays = {"x": s.floats(*shape), "g": s.floats(*shape)}
        yield Case(f"{shape} p={p} seed={seed}", run, reference, arrays, {"p": p, "seed": seed})
    for layout in LAYOUTS[1:]:
        yield Case(layout, run, reference, {"x": s.floats(5, 6), "g": s.floats(5, 6)}, {"p": 0.4, "seed": 11}, layout)
