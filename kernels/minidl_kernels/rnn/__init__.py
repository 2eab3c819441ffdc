"""The plain recurrent layer (Elman): a state that each step mixes with the next input.

With the input's share x_t W_ihᵀ + b_ih + b_hh given as ``xw`` (one product for all steps, the caller's),

    h_t = f(xw_t + h_{t-1} W_hhᵀ)                          f = tanh or relu

and, with the gradient g_t of h_t, from the last step back (Rumelhart, Hinton & Williams 1986; Werbos 1990, "Backpropagation
through time")

    ∂h_t = g_t + ∂xw_{t+1} W_hh        ∂xw_t = ∂h_t ⊙ f′        f′ = 1 - h_t², or [h_t > 0]
    ∂h_0 = ∂xw_1 W_hh                  ∂W_hh = Σ_t ∂xw_tᵀ h_{t-1} (one product at the end, the caller's)

Shapes: ``xw``, ``y`` = (h_1 … h_T), ``gy`` (T, B, H); ``h0`` (B, H); ``w_hh`` (H, H).

Source: J. L. Elman, "Finding Structure in Time" (1990).
"""


def flops(steps: int, batch: int, hidden: int) -> int:
    """Operations of forward; backward takes as many."""
    return steps * batch * hidden * (2 * hidden + 2)


def nbytes(steps: int, batch: int, hidden: int, itemsize: int = 4) -> int:
    """Bytes that must be moved by forward: xw read, y written, the weights read once if they stay on chip."""
    return (2 * steps * batch * hidden + hidden * hidden) * itemsize
