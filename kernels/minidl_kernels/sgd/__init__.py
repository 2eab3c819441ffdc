"""Stochastic gradient descent: one step of the optimiser on all parameters, in place.

    g ← g + λ x                               weight decay λ
    b ← μ b + (1 - τ) g                       momentum μ, dampening τ; b = g at the first step
    x ← x - lr · b        or, with Nesterov's momentum,        x ← x - lr · (g + μ b)

Without momentum x ← x - lr · g. (Sutskever et al. 2013, "On the importance of initialization and momentum in deep
learning", for Nesterov's form.)

Lists, one entry a parameter, so that a GPU can do all in one launch: ``xs``, ``gs``, ``buffers`` (of None without momentum)
and ``firsts``. The arrays of a parameter are alike; ``x`` and ``buffer`` are changed in place.
"""


def flops(n: int, momentum: bool = False) -> int:
    """Operations on ``n`` values."""
    return (4 if momentum else 2) * n


def nbytes(n: int, itemsize: int = 4, momentum: bool = False) -> int:
    """Bytes moved for ``n`` values: x (and the buffer) read and written, g read."""
    return (5 if momentum else 3) * n * itemsize
