"""Adam: one step of the optimiser on all parameters, in place.

With the gradient gₜ at step t (Kingma & Ba 2015, "Adam: A Method for Stochastic Optimization", Algorithm 1)

    m ← β₁ m + (1 - β₁) g                           mean of the gradient
    v ← β₂ v + (1 - β₂) g²                          mean of its square
    x ← x - lr · (m / (1 - β₁ᵗ)) / (√(v / (1 - β₂ᵗ)) + ε)

The divisions by 1 - βᵗ undo the bias of means that start at 0. ``weight_decay`` λ adds λ x to the gradient; decoupled
from it (Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization") it shrinks x ← (1 - lr λ) x instead. AMSGrad
(Reddi et al. 2018, "On the Convergence of Adam and Beyond") divides by the largest v so far.

Lists, one entry a parameter, so that a GPU can do all in one launch: ``xs``, ``gs``, ``ms``, ``vs``, ``v_maxs`` (of None
without AMSGrad) and step numbers ``ts``. The arrays of a parameter are alike; all but ``g`` are changed in place.

The arithmetic is little for the bytes that it moves, so memory is the limit: a file that makes one pass over the five
arrays is as fast as can be.
"""


def flops(n: int) -> int:
    """Operations on ``n`` values."""
    return 12 * n


def nbytes(n: int, itemsize: int = 4) -> int:
    """Bytes moved for ``n`` values: x, m and v read and written, g read."""
    return 7 * n * itemsize
