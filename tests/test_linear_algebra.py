"""Linear algebra beside the table: determinants of singular matrices, and factorisations, whose signs are free."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import minidl
from minidl import linalg
from minidl.autograd import grad, gradcheck, gradgradcheck
from minidl.tensor import wrap

rng = np.random.default_rng(3)

SINGULAR = {
    "zero": np.zeros((3, 3)),
    "rank 1": np.outer([1.0, 2.0, 3.0], [1.0, -1.0, 0.5]),
    "rank 2": np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]),
    "rank 3 of 4": rng.standard_normal((4, 3)) @ rng.standard_normal((3, 4)),
    "a batch of both": np.stack([np.ones((2, 2)), np.array([[1.0, 2.0], [3.0, 4.0]])]),
    "1x1": np.zeros((1, 1)),
}


def leaf(array):
    return wrap(np.array(array, dtype=np.float64)).requires_grad_()


def cofactors(a):
    """By the definition, one minor at a time."""
    n = a.shape[-1]
    result = np.empty_like(a)
    for batch in np.ndindex(a.shape[:-2]):
        for i in range(n):
            for j in range(n):
                minor = np.delete(np.delete(a[batch], i, 0), j, 1)
                result[(*batch, i, j)] = (-1) ** (i + j) * np.linalg.det(minor)
    return result


@pytest.mark.parametrize("name", SINGULAR)
def test_gradient_of_det_is_the_cofactors_even_of_singular_matrices(name):
    a = leaf(SINGULAR[name])
    (g,) = grad(minidl.det(a).sum(), a)
    np.testing.assert_allclose(g._data, cofactors(a._data), atol=1e-10)


@pytest.mark.parametrize("name", SINGULAR)
def test_det_of_singular_matrices_to_second_order(name):
    a = leaf(SINGULAR[name])
    assert gradcheck(minidl.det, a, eps=1e-5, atol=1e-5)
    assert gradgradcheck(minidl.det, a, atol=1e-5)


def symmetric(*shape):
    x = rng.standard_normal(shape)
    return x + np.swapaxes(x, -1, -2)


def positive(x):
    """A positive-definite matrix from any."""
    return x @ x.mT + wrap(np.eye(x.shape[-1]))


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("shape", [(3, 3), (2, 4, 4), (1, 1), (0, 3, 3)])
def test_cholesky(shape, upper):
    x = rng.standard_normal(shape)
    a = x @ np.swapaxes(x, -1, -2) + np.eye(shape[-1])
    ours, theirs = leaf(a), torch.tensor(a, requires_grad=True)
    y, expected = linalg.cholesky(ours, upper=upper), torch.linalg.cholesky(theirs, upper=upper)
    np.testing.assert_allclose(y._data, expected.detach().numpy(), atol=1e-10)
    g = rng.standard_normal(shape)
    (gradient,) = grad(y, ours, wrap(g))
    (wanted,) = torch.autograd.grad(expected, theirs, torch.tensor(g))
    np.testing.assert_allclose(gradient._data, wanted.numpy(), atol=1e-9)


def test_cholesky_to_second_order():
    x = leaf(rng.standard_normal((2, 3, 3)))
    assert gradcheck(lambda x: minidl.cholesky(positive(x)), x)
    assert gradgradcheck(lambda x: linalg.cholesky(positive(x), upper=True), x)


def test_cholesky_refuses_what_is_not_positive_definite():
    with pytest.raises(linalg.LinAlgError, match="positive-definite"):
        linalg.cholesky(wrap(np.diag([1.0, -1.0])))
    assert issubclass(linalg.LinAlgError, RuntimeError)


@pytest.mark.parametrize("shape", [(5, 3), (3, 3), (3, 5), (2, 4, 3), (2, 3, 4), (1, 1)])
def test_qr(shape):
    a = rng.standard_normal(shape)
    for mode in ("reduced", "complete"):
        q, r = linalg.qr(wrap(a), mode)
        expected = torch.linalg.qr(torch.tensor(a), mode)
        assert (q.shape, r.shape) == (tuple(expected.Q.shape), tuple(expected.R.shape))
        np.testing.assert_allclose(abs(r._data), abs(expected.R.numpy()), atol=1e-10)
        np.testing.assert_allclose((q @ r)._data, a, atol=1e-10)
        np.testing.assert_allclose((q.mT @ q)._data, np.broadcast_to(np.eye(q.shape[-1]), (q.mT @ q).shape), atol=1e-10)
    assert linalg.qr(wrap(a), "r").Q.shape == (0,)
    assert gradcheck(lambda x: tuple(linalg.qr(x)), leaf(a))
    assert gradcheck(lambda x: linalg.qr(x, "r").R, leaf(a))
    assert gradgradcheck(lambda x: tuple(linalg.qr(x)), leaf(a), atol=1e-4)


@pytest.mark.parametrize("triangle", ["L", "U"])
@pytest.mark.parametrize("shape", [(3, 3), (2, 4, 4), (1, 1), (0, 0)])
def test_the_gradient_of_eigh_is_pytorch_s(shape, triangle):
    """A symmetric one, whichever triangle is read. The eigenvectors' signs are free, so their squares are compared."""
    a = rng.standard_normal(shape)
    a = a + a.swapaxes(-1, -2)
    mine, theirs = leaf(a), torch.tensor(a, requires_grad=True)
    weights, more = rng.standard_normal(shape), rng.standard_normal(shape[:-1])
    values, vectors = linalg.eigh(mine, triangle)
    ((vectors**2 * wrap(weights)).sum() + (values * wrap(more)).sum()).backward()
    values, vectors = torch.linalg.eigh(theirs, triangle)
    ((vectors**2 * torch.tensor(weights)).sum() + (values * torch.tensor(more)).sum()).backward()
    np.testing.assert_allclose(mine.grad._data, theirs.grad.numpy(), atol=1e-8)
    np.testing.assert_allclose(mine.grad._data, mine.grad._data.swapaxes(-1, -2), atol=1e-12)


def test_qr_refusals():
    with pytest.raises(RuntimeError, match="unrecognized mode"):
        linalg.qr(wrap(np.eye(3)), "economic")
    q = linalg.qr(leaf(rng.standard_normal((4, 2))), "complete").Q
    with pytest.raises(RuntimeError, match="complete"):
        q.sum().backward()


@pytest.mark.parametrize("shape", [(4, 4), (2, 3, 3), (1, 1)])
@pytest.mark.parametrize("triangle", ["L", "U"])
def test_eigh(shape, triangle):
    a = symmetric(*shape)
    values, vectors = linalg.eigh(wrap(a), triangle)
    np.testing.assert_allclose(values._data, torch.linalg.eigvalsh(torch.tensor(a)).numpy(), atol=1e-10)
    np.testing.assert_allclose((vectors * values.unsqueeze(-2) @ vectors.mT)._data, a, atol=1e-10)

    def function(x):
        values, vectors = linalg.eigh(x + x.mT)
        return values, vectors * vectors  # the sign of an eigenvector is free

    assert gradcheck(function, leaf(a))
    assert gradgradcheck(function, leaf(a), atol=1e-4)
    assert gradgradcheck(lambda x: linalg.eigvalsh(x + x.mT, triangle), leaf(a), atol=1e-4)


def test_eigh_refuses_an_unknown_triangle():
    with pytest.raises(RuntimeError, match="UPLO"):
        linalg.eigh(wrap(np.eye(2)), "X")


@pytest.mark.parametrize("shape", [(4, 3), (3, 4), (3, 3), (2, 4, 2), (1, 1)])
@pytest.mark.parametrize("full", [False, True])
def test_svd(shape, full):
    a = rng.standard_normal(shape)
    u, s, vh = linalg.svd(wrap(a), full_matrices=full)
    expected = torch.linalg.svd(torch.tensor(a), full_matrices=full)
    assert [t.shape for t in (u, s, vh)] == [tuple(t.shape) for t in expected]
    np.testing.assert_allclose(s._data, expected.S.numpy(), atol=1e-10)
    k = s.shape[-1]
    np.testing.assert_allclose((u[..., :k] * s.unsqueeze(-2) @ vh[..., :k, :])._data, a, atol=1e-10)

    def function(x):
        u, s, vh = linalg.svd(x, full_matrices=full)
        u, vh = u[..., :k], vh[..., :k, :]
        return u * u, s, vh * vh, u[..., :1] @ vh[..., :1, :]  # signs are free, but common to u and v

    assert gradcheck(function, leaf(a))
    assert gradgradcheck(function, leaf(a), atol=1e-4)


def test_gradient_of_equal_singular_values_is_finite():
    a = leaf(np.eye(3))
    (g,) = grad(linalg.svdvals(a).sum(), a)
    np.testing.assert_allclose(g._data, np.eye(3), atol=1e-12)


@pytest.mark.parametrize("shape", [(3, 3), (5, 3), (3, 5), (2, 4, 3)])
def test_pinv_to_second_order(shape):
    a = leaf(rng.standard_normal(shape))
    assert gradcheck(linalg.pinv, a)
    assert gradgradcheck(linalg.pinv, a, atol=1e-4)


def test_lstsq_is_differentiable():
    a, b = leaf(rng.standard_normal((5, 3))), leaf(rng.standard_normal((5, 2)))
    assert gradgradcheck(lambda a, b: tuple(linalg.lstsq(a, b, driver="gelsd"))[:2], (a, b), atol=1e-4)


def test_cholesky_solves_what_solve_solves():
    x, b = rng.standard_normal((4, 4)), wrap(rng.standard_normal((4, 2)))
    a = wrap(x @ x.T + np.eye(4))
    l = linalg.cholesky(a)
    y = linalg.solve_triangular(l.mT, linalg.solve_triangular(l, b, upper=False), upper=True)
    np.testing.assert_allclose(y._data, linalg.solve(a, b)._data, atol=1e-10)


def test_slogdet_where_det_overflows():
    a = np.eye(400) * 10
    assert np.isinf(minidl.det(wrap(a)).item())
    sign, logabsdet = linalg.slogdet(wrap(a))
    assert sign.item() == 1
    assert logabsdet.item() == pytest.approx(400 * np.log(10))


def test_half_precision_is_computed_in_float32():
    a = wrap((np.eye(3) * 2).astype(np.float16))
    assert linalg.inv(a).dtype is minidl.float16
    np.testing.assert_array_equal(linalg.inv(a)._data, np.eye(3) / 2)


def test_named_results():
    a = wrap(np.eye(2))
    assert linalg.slogdet(a)._fields == ("sign", "logabsdet")
    assert linalg.qr(a)._fields == ("Q", "R")
    assert linalg.eigh(a)._fields == ("eigenvalues", "eigenvectors")
    assert linalg.svd(a)._fields == ("U", "S", "Vh")
    assert linalg.lstsq(a, a)._fields == ("solution", "residuals", "rank", "singular_values")
