"""Functions that write over their input: ``f(x, inplace=True)`` and ``f_(x)`` give PyTorch's values and gradients, in
x's own memory, through views too; and what may not be overwritten is refused as PyTorch refuses it."""

import numpy as np
import pytest
import torch
import torch.nn.functional as TF

import minidl
import minidl.nn.functional as F
from minidl.tensor import wrap

CASES = {
    "relu": [{}],
    "relu6": [{}],
    "leaky_relu": [{}, {"negative_slope": 0.3}, {"negative_slope": 0.0}],
    "elu": [{}, {"alpha": 0.4}],
    "selu": [{}],
    "celu": [{}, {"alpha": 0.4}],
    "silu": [{}],
    "mish": [{}],
    "hardtanh": [{}, {"min_val": -0.5, "max_val": 1.5}],
    "hardswish": [{}],
    "hardsigmoid": [{}],
    "threshold": [{"threshold": 0.3, "value": -2.0}],
    "rrelu": [{}, {"lower": 0.2, "upper": 0.7}],
}
CALLS = [(name, settings, "inplace") for name, all_settings in CASES.items() for settings in all_settings]
CALLS += [(name, settings, "_") for name, settings, _ in CALLS if hasattr(TF, name + "_")]
IDS = [f"{name}{'_' if form == '_' else ''}-{settings or ''}" for name, settings, form in CALLS]
each = pytest.mark.parametrize(("name", "settings", "form"), CALLS, ids=IDS)


def call(library, name, settings, form, x):
    if form == "_":
        return getattr(library, name + "_")(x, **settings)
    return getattr(library, name)(x, **settings, inplace=True)


def both(shape=(3, 4), seed=0):
    values = np.random.default_rng(seed).uniform(-4, 4, shape)
    return minidl.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)


def compare(mine, theirs):
    np.testing.assert_allclose(
        mine.detach().numpy(), theirs.detach().numpy(), rtol=1e-6, atol=1e-6
    )  # PyTorch has 1/6 in float32


@each
@pytest.mark.parametrize("shape", [(3, 4), (), (0, 2), (2, 1, 3)])
def test_values_gradients_and_memory(name, settings, form, shape):
    x, t = both(shape)
    y, u = x * 1, t * 1
    memory = y._data
    assert call(F, name, settings, form, y) is y
    call(TF, name, settings, form, u)
    assert y._data is memory
    compare(y, u)
    weights = np.random.default_rng(1).standard_normal(shape)
    (y * wrap(np.asarray(weights))).sum().backward()
    (u * torch.tensor(weights)).sum().backward()
    compare(x.grad, t.grad)


@each
def test_through_a_view(name, settings, form):
    x, t = both()
    y, u = x * 1, t * 1
    call(F, name, settings, form, y.T[1:3])
    call(TF, name, settings, form, u.T[1:3])
    compare(y, u)
    (y * y).sum().backward()
    (u * u).sum().backward()
    compare(x.grad, t.grad)


@each
def test_leaves_and_saved_values_are_guarded(name, settings, form):
    x, t = both()
    for library, leaf in ((TF, t), (F, x)):
        with pytest.raises(RuntimeError, match="leaf"):
            call(library, name, settings, form, leaf)
    for library, leaf in ((TF, t), (F, x)):
        squared = leaf * leaf
        result = squared.exp()  # saves its result
        call(library, name, settings, form, result)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            result.sum().backward()


@pytest.mark.parametrize(
    "name", ["dropout", "alpha_dropout", "feature_alpha_dropout", "dropout1d", "dropout2d", "dropout3d"]
)
def test_dropout_in_place(name):
    """What is written is what the form that copies gives from the same seed, with the same gradient."""
    shape = {"dropout1d": (2, 3, 4), "dropout3d": (2, 3, 2, 2, 2)}.get(name, (2, 3, 4, 4))
    gradients, values = [], []
    for inplace in (False, True):
        minidl.manual_seed(0)
        x, _ = both(shape)
        y = x * 1
        result = getattr(F, name)(y, 0.5, True, inplace=inplace)
        assert (result is y) == inplace
        (result * result).sum().backward()
        values.append(result.detach().numpy())
        gradients.append(x.grad.numpy())
    np.testing.assert_array_equal(*values)
    np.testing.assert_array_equal(*gradients)


@pytest.mark.parametrize("name", ["eq", "ne", "lt", "le", "gt", "ge"])
def test_a_comparison_in_place_has_gradient_zero(name):
    x, t = both()
    y, u = x * 1, t * 1
    getattr(y[1:], name + "_")(0.5)
    getattr(u[1:], name + "_")(0.5)
    compare(y, u)
    y.sum().backward()
    u.sum().backward()
    compare(x.grad, t.grad)
