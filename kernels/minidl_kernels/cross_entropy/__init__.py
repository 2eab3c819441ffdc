"""Cross-entropy of class indices: how surprised softmax(x) is by the class that came.

For a row x of C logits, its class y, class weights w (1 if there are none) and label smoothing s (Szegedy et al. 2016,
"Rethinking the Inception Architecture for Computer Vision", section 7), with lse = log Σ exp x,

    loss = (1 - s) w_y (lse - x_y) + s/C · Σ_c w_c (lse - x_c)

and with the gradient g of the loss and p = softmax(x) = exp(x - lse),

    ∂x = g · (a p - (1 - s) w_y · onehot(y) - s/C · w),    a = (1 - s) w_y + s/C · Σ_c w_c

The largest logit is taken off first, so that no exponential overflows. Only ``lse``, a number a row, is kept for
backward: computing the probabilities again costs less than writing and reading them.

Shapes: ``x`` (rows, C); ``target`` (rows,), in range; ``weight`` (C,) or None; ``lse``, ``loss``, ``g`` (rows,).
"""


def flops(rows: int, classes: int) -> int:
    """Operations of forward (maximum, subtraction, exponential, sum); backward takes as many."""
    return 4 * rows * classes


def nbytes(rows: int, classes: int, itemsize: int = 4) -> int:
    """Bytes moved by forward, which reads the logits; backward reads them and writes as many."""
    return rows * classes * itemsize
