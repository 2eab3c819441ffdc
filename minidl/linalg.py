"""Linear algebra under PyTorch's names: ``minidl.linalg.norm``, ``minidl.linalg.solve``, …"""

from __future__ import annotations

from typing import Any

from minidl.absent import finder as _finder
from minidl.ops.common import broadcast_shapes
from minidl.ops.diagonals import diagonal as _diagonal
from minidl.ops.linear_algebra import (
    LinAlgError,
    det,
    eigh,
    eigvalsh,
    inv,
    lstsq,
    matrix_power,
    matrix_rank,
    pinv,
    qr,
    slogdet,
    solve,
    solve_triangular,
    svd,
    svdvals,
)
from minidl.ops.linear_algebra import linalg_cholesky as cholesky
from minidl.ops.matrix_functions import cond, matrix_exp, tensorinv, tensorsolve
from minidl.ops.matrix_functions import linalg_vander as vander
from minidl.ops.norms import linalg_norm as norm
from minidl.ops.norms import matrix_norm, vector_norm
from minidl.ops.products import cross as _cross
from minidl.ops.products import matmul, multi_dot

__all__ = [
    "LinAlgError",
    "cholesky",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eigh",
    "eigvalsh",
    "inv",
    "lstsq",
    "matmul",
    "matrix_exp",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "multi_dot",
    "norm",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_triangular",
    "svd",
    "svdvals",
    "tensorinv",
    "tensorsolve",
    "vander",
    "vecdot",
    "vector_norm",
]

__getattr__ = _finder(__name__)


def cross(input: Any, other: Any, *, dim: int = -1) -> Any:
    """The cross product of vectors of three elements along ``dim``; the other dimensions are broadcast."""
    broadcast_shapes("linalg.cross", input, other)
    return _cross(input, other, dim)


def vecdot(x: Any, y: Any, *, dim: int = -1) -> Any:
    """The dot products of vectors along ``dim``; the other dimensions are broadcast."""
    return (x * y).sum(dim)


def diagonal(A: Any, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    """The diagonals of matrices, a view: (*, M, N) gives (*, min(M, N))."""
    return _diagonal(A, offset, dim1, dim2)
