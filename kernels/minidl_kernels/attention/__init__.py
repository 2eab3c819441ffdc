"""Scaled dot-product attention: each query looks at all keys, and takes the mean of the values, weighted by likeness.

For a head with queries q (T, D), keys k (S, D) and values v (S, E) (Vaswani et al. 2017, "Attention Is All You Need",
equation 1)

    s = scale · q kᵀ + mask        P_ts = e^(s_ts) / Σ_j e^(s_tj)        y = (P ⊙ keep / (1 - p)) v

and with the gradient g of y, lse_t = log Σ_s e^(s_ts) and δ_t = Σ_e g_te y_te,

    P_ts = e^(s_ts - lse_t)    ∂v = (P ⊙ keep / (1 - p))ᵀ g    ∂P = (g vᵀ) ⊙ keep / (1 - p)
    ∂s = P ⊙ (∂P - δ)          ∂q = scale · ∂s k               ∂k = scale · ∂sᵀ q

P has T · S values, and is never there whole: forward takes a block of queries at a time (on a GPU a block of keys as well,
with a running maximum and sum, "online"), and keeps lse, a number a query; backward makes P again from it (Dao et al. 2022,
"FlashAttention", and Dao 2023, "FlashAttention-2"; Rabe & Staats 2021, "Self-attention Does Not Need O(n²) Memory").

Shapes: ``q`` (B, H, T, D), ``k`` (B, G, S, D), ``v`` (B, G, S, E), ``y``, ``g`` (B, H, T, E), ``lse`` (B, H, T). Head h uses
the keys and values of group h // (H / G): with G < H "grouped-query attention" (Ainslie et al. 2023), G = 1 "multi-query".

``mask`` is broadcast to (B, H, T, S): boolean, True where a key may be seen, or floating, added to the scores. ``causal``
lets query t see keys s ≤ t. A query that may see nothing gives y = 0 and lse = -inf, and its gradients are 0.

Dropout keeps probability (b, h, t, s) by the random number of its place in (B, H, T, S): see minidl_kernels.philox.
"""


def flops(b: int, h: int, t: int, s: int, d: int, e: int | None = None, causal: bool = False) -> int:
    """Operations of forward, two products; backward takes two and a half times as many, five products."""
    seen = t * s if not causal else sum(min(i + 1, s) for i in range(t)) if t < 4096 else t * s // 2
    return 2 * b * h * seen * (d + (d if e is None else e))


def nbytes(
    b: int, h: int, t: int, s: int, d: int, e: int | None = None, groups: int | None = None, itemsize: int = 4
) -> int:
    """Bytes that must be moved by forward: q, k and v read, y written; the T · S probabilities are not among them."""
    e, groups = d if e is None else e, h if groups is None else groups
    return b * (h * t * (d + e) + groups * s * (d + e)) * itemsize
