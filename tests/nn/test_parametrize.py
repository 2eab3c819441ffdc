"""Parametrised tensors against PyTorch in float64: values, gradients, training, state dicts both ways."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

import minidl
from minidl import nn
from minidl.nn.utils import parametrizations, parametrize

LIBRARIES = (
    (minidl, parametrizations, parametrize),
    (torch, torch.nn.utils.parametrizations, torch.nn.utils.parametrize),
)
LAYERS = {
    "linear": (lambda n: n.Linear(4, 3), (5, 4)),
    "convolution": (lambda n: n.Conv2d(2, 3, 3), (2, 2, 5, 5)),
    "transposed": (lambda n: n.ConvTranspose1d(2, 3, 2), (2, 2, 5)),
    "embedding": (lambda n: n.Embedding(6, 3), None),
}
each_layer = pytest.mark.parametrize("layer", LAYERS)


def load(theirs, ours):
    """PyTorch's layer gets minidl's state."""
    theirs.load_state_dict({name: torch.tensor(t.numpy(force=True)) for name, t in ours.state_dict().items()})


def compare_steps(ours, theirs, shape, steps=3):
    """Outputs, gradients of all parameters and states, over steps of gradient descent."""
    rng = np.random.default_rng(0)
    for _ in range(steps):
        x = rng.integers(0, 6, (4,)) if shape is None else rng.standard_normal(shape)
        y, expected = ours(minidl.tensor(x)), theirs(torch.tensor(x))
        np.testing.assert_allclose(y.numpy(force=True), expected.detach().numpy(), rtol=1e-10, atol=1e-12)
        cotangent = rng.standard_normal(expected.shape)
        y.backward(minidl.tensor(cotangent))
        expected.backward(torch.tensor(cotangent))
        found, wanted = dict(ours.named_parameters()), dict(theirs.named_parameters())
        assert list(found) == list(wanted)
        for name, parameter in wanted.items():
            np.testing.assert_allclose(
                found[name].grad.numpy(), parameter.grad.numpy(), rtol=1e-9, atol=1e-11, err_msg=name
            )
        for library, parameters in ((minidl, found), (torch, wanted)):
            with library.no_grad():
                for parameter in parameters.values():
                    parameter -= 0.1 * parameter.grad
                    parameter.grad = None
    state = theirs.state_dict()
    assert list(ours.state_dict()) == list(state)
    for name, tensor in ours.state_dict().items():
        np.testing.assert_allclose(tensor.numpy(force=True), state[name].numpy(), rtol=1e-9, atol=1e-11, err_msg=name)


@each_layer
@pytest.mark.parametrize("dim", [0, 1, -1, None])
def test_weight_norm(layer, dim):
    make, shape = LAYERS[layer]
    ours, theirs = (p.weight_norm(make(library.nn).double(), dim=dim) for library, p, _ in LIBRARIES)
    load(theirs, ours)
    compare_steps(ours, theirs, shape)


@each_layer
@pytest.mark.parametrize("settings", [{}, {"n_power_iterations": 3}, {"dim": 1}, {"eps": 1e-3}])
@pytest.mark.parametrize("training", [True, False])
def test_spectral_norm(layer, settings, training):
    make, shape = LAYERS[layer]
    ours, theirs = (p.spectral_norm(make(library.nn).double(), **settings) for library, p, _ in LIBRARIES)
    load(theirs, ours)
    ours.train(training)
    theirs.train(training)
    compare_steps(ours, theirs, shape)


def test_spectral_norm_stretches_nothing():
    layer = parametrizations.spectral_norm(nn.Linear(5, 4).double(), n_power_iterations=60)
    assert np.linalg.svd(layer.weight.numpy(force=True), compute_uv=False)[0] == pytest.approx(1, rel=1e-6)


def test_norms_of_a_vector():
    for name in ("weight_norm", "spectral_norm"):
        ours, theirs = (getattr(p, name)(library.nn.LayerNorm(4).double(), "weight") for library, p, _ in LIBRARIES)
        load(theirs, ours)
        compare_steps(ours, theirs, (3, 4))


def test_a_weight_keeps_its_value():
    layer = nn.Linear(4, 3).double()
    before = layer.weight.detach().clone()
    parametrizations.weight_norm(layer)
    np.testing.assert_allclose(layer.weight.numpy(force=True), before.numpy(), rtol=1e-12)
    layer.weight = before * 2
    np.testing.assert_allclose(layer.weight.numpy(force=True), 2 * before.numpy(), rtol=1e-12)


def parts(library):
    """Modules of either library that make a matrix symmetric, and that add."""

    class Symmetric(library.nn.Module):
        def forward(self, x):
            return x.triu() + x.triu(1).mT

        def right_inverse(self, x):
            return x.triu()

    class Shift(library.nn.Module):
        def __init__(self, by):
            super().__init__()
            self.by = library.nn.Parameter(library.tensor(float(by), dtype=library.float64))

        def forward(self, x):
            return x + self.by

        def right_inverse(self, x):
            return x - self.by

    return Symmetric, Shift


def test_chains_of_ones_own():
    layers = []
    for library, _, p in LIBRARIES:
        symmetric, shift = parts(library)
        layer = library.nn.Linear(3, 3).double()
        p.register_parametrization(layer, "weight", symmetric())
        p.register_parametrization(layer, "weight", shift(0.5))
        p.register_parametrization(layer, "bias", shift(-1))
        assert p.is_parametrized(layer)
        assert p.is_parametrized(layer, "weight")
        assert not p.is_parametrized(layer, "other")
        assert type(layer).__name__ == "ParametrizedLinear"
        assert p.type_before_parametrizations(layer) is library.nn.Linear
        layers.append(layer)
    load(layers[1], layers[0])
    compare_steps(*layers, (2, 3))
    for layer, (library, _, p) in zip(layers, LIBRARIES):
        layer.weight = library.eye(3, dtype=library.float64)
        np.testing.assert_allclose(layer.weight.detach().numpy(), np.eye(3), atol=1e-12)
        p.remove_parametrizations(layer, "weight")
        assert isinstance(layer.weight, library.nn.Parameter)
        np.testing.assert_allclose(layer.weight.detach().numpy(), np.eye(3), atol=1e-12)
        assert type(layer).__name__ == "ParametrizedLinear"
        p.remove_parametrizations(layer, "bias", leave_parametrized=False)
        assert type(layer) is library.nn.Linear
        assert list(layer.state_dict()) == ["weight", "bias"]
        assert not p.is_parametrized(layer)


def test_the_original_is_the_parameter_that_an_optimiser_knows():
    layer = nn.Linear(3, 3)
    weight = layer.weight
    parametrizations.spectral_norm(layer)
    assert layer.parametrizations.weight.original is weight
    parametrize.remove_parametrizations(layer, "weight")
    assert layer.weight is weight


def test_buffers_stay_buffers():
    symmetric, _ = parts(minidl)
    module = nn.Module()
    module.register_buffer("matrix", minidl.tensor([[1.0, 2.0], [3.0, 4.0]]))
    parametrize.register_parametrization(module, "matrix", symmetric())
    assert module.matrix.tolist() == [[1, 2], [2, 4]]
    assert not list(module.parameters())
    assert list(module.state_dict()) == ["parametrizations.matrix.original"]


def test_cached_computes_once():
    calls = []

    class Counted(nn.Module):
        def forward(self, x):
            calls.append(1)
            return x * 2

    layer = nn.Linear(2, 2)
    parametrize.register_parametrization(layer, "weight", Counted())
    calls.clear()
    with parametrize.cached():
        assert layer.weight is layer.weight
        with parametrize.cached():
            layer(minidl.ones(1, 2)).sum().backward()
    assert len(calls) == 1
    assert layer.weight is not layer.weight
    assert len(calls) == 3


def test_copies_are_independent():
    layer = parametrizations.weight_norm(nn.Linear(3, 2))
    other = copy.deepcopy(layer)
    parametrize.remove_parametrizations(layer, "weight")
    with minidl.no_grad():
        layer.weight.zero_()
    assert other.weight.abs().sum() > 0
    assert "parametrizations.weight.original0" in other.state_dict()


def test_it_moves_and_loads_like_any_module():
    layer = parametrizations.weight_norm(nn.Linear(3, 2)).double()
    assert layer.weight.dtype == minidl.float64
    other = parametrizations.weight_norm(nn.Linear(3, 2).double())
    other.load_state_dict(layer.state_dict())
    np.testing.assert_array_equal(other.weight.numpy(force=True), layer.weight.numpy(force=True))


def test_what_is_refused():
    class Wide(nn.Module):
        def forward(self, x):
            return minidl.cat([x, x])

    layer = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="does not have a parameter, a buffer"):
        parametrize.register_parametrization(layer, "wieght", Wide())
    with pytest.raises(ValueError, match=r"float32 \[2, 2\] became .*float32 \[4, 2\]; register it with unsafe=True"):
        parametrize.register_parametrization(layer, "weight", Wide())
    assert type(layer) is nn.Linear
    assert layer.weight.shape == (2, 2)
    parametrize.register_parametrization(layer, "weight", Wide(), unsafe=True)
    assert layer(minidl.ones(1, 2)).shape == (1, 4) if layer.bias is None else layer.weight.shape == (4, 2)
    with pytest.raises(ValueError, match="does not have a parametrization on bias"):
        parametrize.remove_parametrizations(layer, "bias")
    normed = parametrizations.weight_norm(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="leave_parametrized=False"):
        parametrize.remove_parametrizations(normed, "weight", leave_parametrized=False)
    with pytest.raises(ValueError, match="n_power_iterations"):
        parametrizations.spectral_norm(nn.Linear(2, 2), n_power_iterations=0)
    with pytest.raises(ValueError, match="no parameter or buffer with name 'wieght'"):
        parametrizations.spectral_norm(nn.Linear(2, 2), "wieght")
    with pytest.raises(IndexError, match="Dimension out of range"):
        parametrizations.spectral_norm(nn.Linear(2, 2), dim=2)
    with pytest.raises(ValueError, match="one or more modules"):
        parametrize.ParametrizationList([], layer.bias)
