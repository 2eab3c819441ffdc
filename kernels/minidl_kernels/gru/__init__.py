"""The gated recurrent unit: a gate that says how much of the state to renew, another how much of it to look at.

With the input's share x_t W_ihᵀ + b_ih given as ``xw`` = (xw_r, xw_z, xw_n) (one product for all steps, the caller's) and
(u_r, u_z, u_n) = h_{t-1} W_hhᵀ + b_hh,

    r = σ(xw_r + u_r)    z = σ(xw_z + u_z)    n = tanh(xw_n + r ⊙ u_n)    h_t = (1 - z) ⊙ n + z ⊙ h_{t-1}

and, with the gradient ∂h_t = g_t + what comes back from step t + 1, a_• the arguments of σ and tanh,

    ∂a_n = ∂h (1 - z)(1 - n²)    ∂a_z = ∂h (h_{t-1} - n) z (1 - z)    ∂a_r = ∂a_n u_n r (1 - r)
    ∂xw = (∂a_r, ∂a_z, ∂a_n)     ∂u = (∂a_r, ∂a_z, r ∂a_n)            ∂h_{t-1} = z ∂h + ∂u W_hh

The weight gradients are one product each at the end, the caller's: ∂W_hh = Σ_t ∂u_tᵀ h_{t-1}, ∂b_hh = Σ_t ∂u_t.

Shapes: ``xw``, ``dxw``, ``dhw`` = ∂u (T, B, 3H), in the order r, z, n; ``y``, ``gy``, ``hn`` = u_n (T, B, H); ``gates``
= (r, z, n) (T, B, 3H); ``h0`` (B, H); ``w_hh`` (3H, H); ``b_hh`` (3H,) or None.

Source: K. Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder" (2014); the reset after the product, as
here and in cuDNN: the first version of that paper.
"""


def flops(steps: int, batch: int, hidden: int) -> int:
    """Operations of forward; backward takes about as many."""
    return steps * batch * hidden * (6 * hidden + 20)


def nbytes(steps: int, batch: int, hidden: int, itemsize: int = 4) -> int:
    """Bytes that must be moved by forward: xw and the weights (once, if they stay on chip) read; y, gates and u_n written."""
    return (8 * steps * batch * hidden + 3 * hidden * hidden) * itemsize
