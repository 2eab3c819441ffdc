"""``fill_diagonal_``: PyTorch's places, gradients and refusals."""

import numpy as np
import pytest
import torch

import minidl

SHAPES = [(3, 3), (2, 4), (7, 2), (3, 3, 3), (1, 5), (5, 1), (0, 3), (2, 2, 2, 2)]


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_gradients(shape, wrap):
    values = np.random.default_rng(0).standard_normal(shape)
    x, t = minidl.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    y, u = x * 2, t * 2
    assert y.fill_diagonal_(1.5, wrap) is y
    u.fill_diagonal_(1.5, wrap)
    np.testing.assert_array_equal(y.detach().numpy(), u.detach().numpy())
    (y * y).sum().backward()
    (u * u).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy())


def test_through_a_view():
    x, t = minidl.zeros(4, 3), torch.zeros(4, 3)
    x.T[:, 1:].fill_diagonal_(2)
    t.T[:, 1:].fill_diagonal_(2)
    np.testing.assert_array_equal(x.numpy(), t.numpy())


@pytest.mark.parametrize(("shape", "match"), [((3,), "larger than 1"), ((2, 3, 3), "equal length")])
def test_refusals(shape, match):
    for library in (torch, minidl):
        with pytest.raises(RuntimeError, match=match):
            library.zeros(shape).fill_diagonal_(1.0)
