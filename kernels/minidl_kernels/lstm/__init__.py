"""Long short-term memory: a cell that is added to, not multiplied through, so that its gradient survives many steps.

With the input's share x_t W_ihᵀ + b_ih + b_hh given as ``xw`` (one product for all steps, the caller's) and, in the order
i, f, g, o, (a_i, a_f, a_g, a_o) = xw_t + h_{t-1} W_hhᵀ,

    i = σ(a_i)    f = σ(a_f)    g = tanh(a_g)    o = σ(a_o)        c_t = f ⊙ c_{t-1} + i ⊙ g        h_t = o ⊙ tanh c_t

and, with ∂h_t and ∂c_t what arrives from above and from step t + 1,

    ∂c ← ∂c + ∂h o (1 - tanh² c)    ∂a_i = ∂c g i (1 - i)    ∂a_f = ∂c c_{t-1} f (1 - f)    ∂a_g = ∂c i (1 - g²)
    ∂a_o = ∂h tanh(c) o (1 - o)     ∂xw = ∂a                 ∂h_{t-1} = ∂a W_hh             ∂c_{t-1} = ∂c f

The weight gradient is one product at the end, the caller's: ∂W_hh = Σ_t ∂xw_tᵀ h_{t-1}.

Shapes: ``xw``, ``gates`` = (i, f, g, o) (T, B, 4H); ``y`` = (h_1 … h_T), ``c``, ``gy``, ``gc`` (T, B, H), ``gc`` a gradient of
every cell state, or None; ``h0``, ``c0`` (B, H); ``w_hh`` (4H, H).

Sources: S. Hochreiter and J. Schmidhuber, "Long Short-Term Memory" (1997); the forget gate: F. Gers, J. Schmidhuber, F.
Cummins, "Learning to Forget" (2000).
"""


def flops(steps: int, batch: int, hidden: int) -> int:
    """Operations of forward; backward takes about as many."""
    return steps * batch * hidden * (8 * hidden + 30)


def nbytes(steps: int, batch: int, hidden: int, itemsize: int = 4) -> int:
    """Bytes that must be moved by forward: xw and the weights (once, if they stay on chip) read; y, c and gates written."""
    return (10 * steps * batch * hidden + 4 * hidden * hidden) * itemsize
