"""Embedding: rows of a table, looked up by number.

    y[i] = W[index[i]]
    ∂W[r] = Σ_{i: index[i] = r} g[i]      divided by how often r occurs, with ``by_frequency``; 0 for the padding row

Forward copies rows. The gradient is a sum over segments: places are sorted by their row (stably, so that the order of
each sum, and with it every bit, is always the same), and each run of equal rows is added up at once.

Shapes: ``weight`` (rows, dim); ``index`` (*); ``y``, ``g`` (*, dim).

Source: Y. Bengio et al., "A Neural Probabilistic Language Model", JMLR 3 (2003), section 2.
"""


def flops(places: int, dim: int) -> int:
    """Additions of backward; forward has none."""
    return places * dim


def nbytes(places: int, dim: int, itemsize: int = 4) -> int:
    """Bytes moved by forward: numbers and rows read, rows written."""
    return places * (8 + 2 * dim * itemsize)
