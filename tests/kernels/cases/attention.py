"""Attention: causal, masks of both kinds, grouped queries, dropout, lengths that differ, queries that see nothing."""

import math

import numpy as np

from tests.kernels.cases import LAYOUTS, Case
from tests.kernels.cases.dropout import number


def run(room, q, k, v, g, mask, causal, scale, p, seed):
    if mask is not None and mask.dtype != bool:
        mask = mask.astype(q.dtype)
    y, lse = room.forward(q, k, v, mask, causal, scale, p, seed)
    return y, *room.backward(g, q, k, v, y, lse, mask, causal, scale, p, seed), lse


def reference(torch, q, k, v, g, mask, causal, scale, p, seed):
    leaves = [a.requires_grad_() for a in (q, k, v)]
    repeats = q.shape[1] // k.shape[1]
    keys, values = (a.repeat_interleave(repeats, 1) for a in (k, v))
    scores = (q @ keys.mT) * scale
    hidden = torch.zeros(scores.shape, dtype=torch.bool)
    if causal:
        hidden |= torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    if mask is not None and mask.dtype == torch.bool:
        hidden |= ~mask
    elif mask is not None:
        hidden |= torch.isinf(mask)
        scores = scores + mask.masked_fill(torch.isinf(mask), 0.0)
    scores = scores.masked_fill(hidden, -math.inf)
    lse = scores.logsumexp(-1)
    weights = torch.where(torch.isinf(lse)[..., None], 0.0, (scores - lse.clamp_min(-1e300)[..., None]).exp())
    if p:
        kept = [number(i, seed) >= p for i in range(weights.numel())]
        weights = weights * torch.tensor(kept).reshape(weights.shape) / (1 - p)
    y = weights @ values
    y.backward(g)
    return y, *(a.grad for a in leaves), lse


def cases(s):
    def case(name, b, h, t, d, groups=None, keys=None, e=None, mask=None, causal=False, p=0.0, layout="contiguous"):
        groups, keys, e = groups or h, keys or t, e or d
        arrays = {"q": s.floats(b, h, t, d), "k": s.floats(b, groups, keys, d), "v": s.floats(b, groups, keys, e)}
        arrays |= {"g": s.floats(b, h, t, e), "mask": mask}
        settings = {"causal": causal, "scale": 1 / math.sqrt(d), "p": p, "seed": 2**40 + 5}
        return Case(name, run, reference, arrays, settings, layout, factor=128.0)

    yield case("one", 1, 1, 1, 1, causal=True)
    for causal in (False, True):
        yield case(f"plain causal={causal}", 2, 3, 37, 16, causal=causal)
        yield case(f"long causal={causal}", 1, 1, 130, 32, causal=causal)
        yield case(f"more keys causal={causal}", 1, 2, 7, 8, keys=20, causal=causal)
        yield case(f"fewer keys causal={causal}", 1, 2, 20, 8, keys=7, causal=causal)
        yield case(f"grouped causal={causal}", 2, 6, 9, 8, groups=2, causal=causal)
        yield case(f"odd sizes causal={causal}", 1, 2, 19, 20, e=33, causal=causal)
        yield case(f"dropout causal={causal}", 1, 2, 11, 8, keys=13, p=0.3, causal=causal)
    seen = s.rng.random((2, 1, 9, 13)) < 0.6
    seen[0, 0, 3] = False
    yield case("boolean mask", 2, 3, 9, 8, keys=13, mask=seen)
    yield case("boolean mask, causal", 1, 2, 13, 8, mask=s.rng.random((13,)) < 0.7, causal=True)
    yield case("added mask", 2, 3, 9, 8, keys=13, mask=s.floats(3, 1, 13))
    hidden = np.where(s.rng.random((2, 3, 9, 13)) < 0.5, -np.inf, 0.0)
    hidden[1, 2, 4] = -np.inf
    yield case("mask of -inf", 2, 3, 9, 8, keys=13, mask=hidden)
    yield case("all together", 2, 4, 10, 8, groups=2, keys=12, mask=s.floats(2, 1, 10, 12), causal=True, p=0.2)
    for layout in LAYOUTS[1:]:
        yield case(layout, 2, 2, 9, 8, layout=layout)
        yield case(f"{layout} causal", 2, 2, 9, 8, causal=True, layout=layout)
