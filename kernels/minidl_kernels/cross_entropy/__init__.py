"""Cross-entropy of class indices, fused: from logits to losses without keeping probabilities.

For a row x of C logits, its class t, weights w of the classes (1 if there are none) and label smoothing s (Szegedy et al.
2016, "Rethinking the Inception Architecture", section 7):

    loss = (1 - s) w[t] (lse - x[t]) + s/C Σ_c w[c] (lse - x[c])        lse = max(x) + ln Σ e^{x - max(x)}
    ∂x[c] = g ( ((1 - s) w[t] + s/C Σ w) e^{x[c] - lse} - (1 - s) w[t] [c = t] - s/C w[c] )

Only ``lse``, a number a row, is kept for backward, which computes the exponentials again: reading the logits twice costs
less than writing and reading probabilities. Shapes: ``x`` (rows, C); ``target`` (rows,) of valid classes; ``weight`` (C,)
or None; ``loss``, ``lse`` and ``g`` (rows,).
"""


def flops(rows: int, classes: int) -> int:
    """Operations of forward (an exponential counted as one); backward takes as many."""
    return 4 * rows * classes


def nbytes(rows: int, classes: int, itemsize: int = 4) -> int:
    """Bytes moved by forward and backward: the logits read twice, their gradient written."""
    return 3 * rows * classes * itemsize
