"""autograd.functional against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import minidl
from minidl.autograd import functional as ours

theirs = torch.autograd.functional


def pair(*shape, seed=0):
    values = np.random.default_rng(seed).uniform(0.5, 1.5, shape)
    return minidl.tensor(values), torch.tensor(values)


def two(library, x, y):
    return library.exp(x) * y, (x * x * y).sum()


def one(library, x):
    return (x**3).sum() * library.sin(x).sum()


def same(a, b):
    if isinstance(b, tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b):
            same(x, y)
    else:
        assert a.shape == tuple(b.shape)
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-9)


def test_jacobian():
    (x, tx), (y, ty) = pair(3), pair(3, seed=1)
    same(ours.jacobian(minidl.exp, x), theirs.jacobian(torch.exp, tx))
    same(
        ours.jacobian(lambda a, b: two(minidl, a, b), (x, y)), theirs.jacobian(lambda a, b: two(torch, a, b), (tx, ty))
    )
    m, tm = pair(2, 3)
    same(ours.jacobian(lambda a: a.sum(0), m), theirs.jacobian(lambda a: a.sum(0), tm))
    assert ours.jacobian(lambda a: a * 2, minidl.ones(0)).shape == (0, 0)


def test_hessian():
    (x, tx), (y, ty) = pair(3), pair(3, seed=1)
    same(ours.hessian(lambda a: one(minidl, a), x), theirs.hessian(lambda a: one(torch, a), tx))
    same(
        ours.hessian(lambda a, b: (a * b).sum() ** 2, (x, y)), theirs.hessian(lambda a, b: (a * b).sum() ** 2, (tx, ty))
    )


@pytest.mark.parametrize("name", ["vjp", "jvp"])
def test_products_with_the_jacobian(name):
    (x, tx), (v, tv) = pair(3), pair(3, seed=2)
    same(
        getattr(ours, name)(lambda a: minidl.exp(a) * a, x, v),
        getattr(theirs, name)(lambda a: torch.exp(a) * a, tx, tv),
    )


@pytest.mark.parametrize("name", ["vhp", "hvp"])
def test_products_with_the_hessian(name):
    (x, tx), (v, tv) = pair(3), pair(3, seed=2)
    same(getattr(ours, name)(lambda a: one(minidl, a), x, v), getattr(theirs, name)(lambda a: one(torch, a), tx, tv))


def test_create_graph_makes_the_result_differentiable():
    x, tx = pair(3)
    x.requires_grad_()
    tx.requires_grad_()
    j = ours.jacobian(lambda a: a**3, x, create_graph=True)
    tj = theirs.jacobian(lambda a: a**3, tx, create_graph=True)
    (g,) = minidl.autograd.grad(j.sum(), x)
    (tg,) = torch.autograd.grad(tj.sum(), tx)
    same(g, tg)
    assert not ours.jacobian(lambda a: a**3, x).requires_grad


def test_wrong_calls():
    x, _ = pair(3)
    with pytest.raises(RuntimeError, match="can only be left out"):
        ours.vjp(minidl.exp, x)
    with pytest.raises(RuntimeError, match="single element"):
        ours.hessian(minidl.exp, x)
    with pytest.raises(TypeError, match="must return a Tensor"):
        ours.jacobian(lambda a: 3.0, x)
    with pytest.raises(TypeError, match=r"inputs\[0\] must be a Tensor"):
        ours.jacobian(minidl.exp, (1.0,))
    with pytest.raises(RuntimeError, match=r"\(2,\).*\(3,\)"):
        ours.vjp(minidl.exp, x, minidl.ones(2))
    with pytest.raises(RuntimeError, match="independent"):
        ours.jacobian(lambda a: minidl.ones(2), x, strict=True)
