"""Entries for minidl.ops.matrix_functions."""

import numpy as np
import torch

from tests.table.core import error, op
from tests.table.linear_algebra import FULL, LOOSE, not_square, regular, square


def factors(s, *shape):
    """Lower triangular matrices with a positive diagonal."""
    return np.tril(s.floats(*shape), -1) + 1.5 * np.eye(shape[-1])


def exponents(s):
    yield from square(s)
    yield s.sample("0", np.zeros((3, 3)))
    yield s.sample("large", 8 * s.floats(4, 4), order=1)
    yield s.sample("mixed sizes", s.floats(2, 3, 3) * np.array([1e-3, 10.0]).reshape(2, 1, 1), order=1)
    yield s.sample("nilpotent", np.triu(s.floats(4, 4), 1))
    yield s.sample("size 0", s.floats(0, 0))


for _name in ("matrix_exp", "linalg.matrix_exp"):
    op(
        _name,
        exponents,
        dtypes=FULL,
        tolerance=LOOSE,
        dtype_samples=("3x3", "batch", "0", "nilpotent"),
        errors=not_square,
    )


def conditions(s):
    for sample in square(s):
        sample.order = 0 if sample.name == "batch size 0" else None
        yield sample
    yield s.sample("tall", s.floats(5, 3), 2)
    yield s.sample("wide", s.floats(2, 3, 5), -2)
    for p in ("fro", "nuc", 1, -1, np.inf, -np.inf):
        yield s.sample(f"{p}", regular(s, 3, 3), p)
        yield s.sample(f"batch {p}", regular(s, 2, 3, 3), p)
    one_singular = np.stack([np.eye(2), np.ones((2, 2))])
    yield s.sample("singular", one_singular, "fro", order=0)
    yield s.sample("all singular", np.zeros((2, 2)), 1, order=0)


def condition(A, p=None):
    """PyTorch's; where that writes over what its own gradient needs, its norms and its inverse."""
    if p in (None, 2, -2) or not A.requires_grad:
        return torch.linalg.cond(A, p)
    return torch.linalg.matrix_norm(A, p) * torch.linalg.matrix_norm(torch.linalg.inv(A), p)


op(
    "linalg.cond",
    conditions,
    torch=condition,
    dtypes=FULL,
    tolerance=LOOSE,
    dtype_samples=("3x3", "tall", "fro", "inf"),
    errors=lambda s: [
        error("norm", RuntimeError, "invalid norm type", s.floats(2, 2), "x"),
        error("not square", RuntimeError, "2 by 3", s.floats(2, 3), "fro"),
        error("1-d", RuntimeError, "at least 2 dimensions", s.floats(3)),
    ],
)


def by_cholesky(s):
    for upper in (False, True):
        turn = (lambda l: l.swapaxes(-1, -2)) if upper else (lambda l: l)
        yield s.sample(f"matrix {upper}", s.floats(3, 2), turn(factors(s, 3, 3)), upper)
        yield s.sample(f"batch {upper}", s.floats(2, 3, 4), turn(factors(s, 2, 3, 3)), upper)
        yield s.sample(f"broadcast {upper}", s.floats(3, 1), turn(factors(s, 2, 3, 3)), upper)


def triangle(L, upper):
    """The triangle that is read: PyTorch's own gradient has something in the other, too."""
    return L.triu() if upper else L.tril()


op(
    "cholesky_solve",
    by_cholesky,
    torch=lambda B, L, upper=False: torch.cholesky_solve(B, triangle(L, upper), upper),
    dtypes=FULL,
    tolerance=LOOSE,
    errors=lambda s: [
        error("1-d", RuntimeError, "at least 2 dimensions", s.floats(3), factors(s, 3, 3)),
        error("sizes", RuntimeError, "Incompatible matrix sizes", s.floats(2, 1), factors(s, 3, 3)),
    ],
)
op(
    "cholesky_inverse",
    lambda s: [
        s.sample("lower", factors(s, 3, 3)),
        s.sample("upper", factors(s, 3, 3).T, True),
        s.sample("batch", factors(s, 2, 3, 3)),
        s.sample("1x1", factors(s, 1, 1)),
    ],
    torch=lambda L, upper=False: torch.cholesky_inverse(triangle(L, upper), upper),
    dtypes=FULL,
    tolerance=LOOSE,
    errors=lambda s: [error("not square", RuntimeError, "2 by 3", s.floats(2, 3))],
)
op(
    "pinverse",
    lambda s: [
        s.sample("square", regular(s, 3, 3)),
        s.sample("tall", s.floats(5, 3)),
        s.sample("batch", s.floats(2, 3, 5)),
        s.sample("rcond", np.diag([1.0, 0.5, 1e-4]), 1e-3, order=0),
    ],
    dtypes=FULL,
    tolerance=LOOSE,
)


def maps(s):
    yield s.sample("2 to 2", s.floats(4, 6, 8, 3) + 3 * np.eye(24).reshape(4, 6, 8, 3), order=1)
    yield s.sample("1 to 2", s.floats(6, 2, 3) + 3 * np.eye(6).reshape(6, 2, 3), ind=1)
    yield s.sample("matrix", regular(s, 3, 3), ind=1)


op(
    "linalg.tensorinv",
    maps,
    dtypes=FULL,
    tolerance=LOOSE,
    errors=lambda s: [
        error("ind", RuntimeError, "strictly positive", s.floats(2, 2), 0),
        error("sizes", RuntimeError, "same product", s.floats(2, 3, 4), 2),
    ],
)
op(
    "linalg.tensorsolve",
    lambda s: [
        s.sample("2 to 2", s.floats(2, 3, 3, 2) + 3 * np.eye(6).reshape(2, 3, 3, 2), s.floats(2, 3)),
        s.sample("dims", s.floats(3, 2, 6) + 2 * np.eye(6).reshape(6, 3, 2).transpose(1, 2, 0), s.floats(6), (0, 1)),
        s.sample("matrix", regular(s, 3, 3), s.floats(3)),
    ],
    dtypes=FULL,
    tolerance=LOOSE,
    errors=lambda s: [error("sizes", RuntimeError, "square", s.floats(2, 3, 4), s.floats(2))],
)


def powers(x, N=None, increasing=False):
    """PyTorch's; where that writes over what its own gradient needs, the powers as they are defined."""
    if not x.requires_grad:
        return torch.vander(x, N, increasing)
    exponents = torch.arange(len(x) if N is None else N)
    return x[:, None] ** (exponents if increasing else exponents.flip(0))


op(
    "vander",
    lambda s: [
        s.sample("square", s.floats(4)),
        s.sample("wide", s.floats(3), 5),
        s.sample("narrow", s.floats(4), 2, True),
        s.sample("none", s.floats(4), 0),
        s.sample("ones", s.floats(4), 1),
        s.sample("zeros", np.array([0.0, 1.0, -2.0]), 4, increasing=True),
        s.sample("whole", s.ints(4)),
        s.sample("size 0", s.floats(0)),
    ],
    method=False,
    torch=powers,
    errors=lambda s: [
        error("matrix", RuntimeError, "one-dimensional", s.floats(2, 2)),
        error("N", RuntimeError, "non-negative", s.floats(2), -1),
    ],
)
op(
    "linalg.vander",
    lambda s: [
        s.sample("square", s.floats(4)),
        s.sample("batch", s.floats(2, 3), N=5),
        s.sample("whole", s.ints(4)),
    ],
    dtypes=FULL,
    errors=lambda s: [
        error("0-d", RuntimeError, "greater than 1", s.floats()),
        error("N", RuntimeError, "greater than 1", s.floats(3), N=1),
    ],
)
