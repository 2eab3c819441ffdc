"""Curvature beside the exact Hessian and PyTorch; surfaces beside losses computed by hand, and weights put back."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

import minidl
import minidl.nn.functional as F
from minidl import inspect, nn
from minidl.autograd.functional import hessian
from minidl.inspect.curvature import hessian_vector_product, lanczos
from minidl.inspect.landscape import random_direction


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def small():
    minidl.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    x, y = minidl.randn(9, 3).double(), minidl.randint(0, 2, (9,))
    return model, x, y


def exact(model, x, y):
    """The whole Hessian by PyTorch, and PyTorch's model."""
    other = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2)).double()
    other.load_state_dict({name: torch.tensor(value.numpy()) for name, value in model.state_dict().items()})
    names, sizes = zip(*[(name, p.shape) for name, p in other.named_parameters()])

    def loss(flat):
        parts = torch.split(flat, [s.numel() for s in sizes])
        weights = {name: part.reshape(size) for name, part, size in zip(names, parts, sizes)}
        scores = torch.func.functional_call(other, weights, torch.tensor(x.numpy()))
        return torch.nn.functional.cross_entropy(scores, torch.tensor(y.numpy()))

    flat = torch.cat([p.detach().reshape(-1) for p in other.parameters()])
    return torch.autograd.functional.hessian(loss, flat).numpy()


def test_products_beside_pytorch():
    model, x, y = small()
    whole = exact(model, x, y)
    vector = [minidl.randn(*p.shape).double() for p in model.parameters()]
    found = hessian_vector_product(F.cross_entropy(model(x), y), model, vector)
    flat = np.concatenate([v.numpy().ravel() for v in vector])
    np.testing.assert_allclose(np.concatenate([h.numpy().ravel() for h in found]), whole @ flat, atol=1e-12)
    assert [h.shape for h in found] == [p.shape for p in model.parameters()]
    assert all(p.grad is None for p in model.parameters())


def test_the_whole_spectrum_of_a_small_net():
    model, x, y = small()
    values = np.linalg.eigvalsh(exact(model, x, y))
    n = len(values)
    found = inspect.hessian_spectrum(F.cross_entropy(model(x), y), model, iterations=n, samples=2)
    assert found.n == n
    assert found.largest == pytest.approx(values[-1], rel=1e-8)
    assert found.smallest == pytest.approx(values[0], rel=1e-8)
    np.testing.assert_allclose(np.nansum(found.weights, 1), 1)
    # each start's quadrature is exact: Σ weight · node = vᵀ H v / n
    generator = np.random.default_rng(0)
    start = generator.choice([-1.0, 1.0], n)
    quadratic = start @ exact(model, x, y) @ start / n
    assert np.nansum(found.nodes[0] * found.weights[0]) == pytest.approx(quadratic, rel=1e-8)


def test_the_ends_come_first():
    model, x, y = small()
    values = np.linalg.eigvalsh(exact(model, x, y))
    found = inspect.hessian_spectrum(lambda: F.cross_entropy(model(x), y), list(model.parameters()), 12, 3)
    assert found.largest == pytest.approx(values[-1], rel=1e-3)
    assert found.smallest == pytest.approx(values[0], rel=0.05)


def test_trace_and_density():
    model, x, y = small()
    whole = exact(model, x, y)
    found = inspect.hessian_spectrum(F.cross_entropy(model(x), y), model, iterations=26, samples=60)
    assert found.trace == pytest.approx(np.trace(whole), rel=0.15)
    at, density = found.density()
    assert np.trapezoid(density, at) == pytest.approx(1, abs=0.01)
    values = np.linalg.eigvalsh(whole)
    bells = np.exp(-0.5 * ((at[:, None] - values) / 0.05) ** 2) / (0.05 * np.sqrt(2 * np.pi))
    _, smooth = found.density(at, width=0.05)
    assert np.trapezoid(np.abs(smooth - bells.mean(1)), at) < 0.2  # of 2 at most
    ax = found.plot()
    assert found.plot(ax) is ax
    assert "largest eigenvalue" in repr(found)


def test_lanczos_finds_every_eigenvalue_once():
    rng = np.random.default_rng(1)
    basis, _ = np.linalg.qr(rng.normal(size=(60, 60)))
    values = np.concatenate([np.logspace(-6, 3, 59), [-5.0]])
    matrix = basis * values @ basis.T
    a, b = lanczos(lambda v: matrix @ v, rng.normal(size=60), 60)
    found = np.linalg.eigvalsh(np.diag(a) + np.diag(b, 1) + np.diag(b, -1))
    np.testing.assert_allclose(found, np.sort(values), atol=1e-9)


def test_lanczos_stops_where_the_space_ends():
    a, b = lanczos(lambda v: 3 * v, np.ones(10), 10)
    np.testing.assert_allclose(a, [3])
    assert b.size == 0
    x = minidl.ones(4, dtype=minidl.float64).requires_grad_()
    found = inspect.hessian_spectrum((x * x).sum(), [x])
    assert found.largest == found.smallest == 2
    found.plot()


def test_a_loss_without_curvature_and_an_unused_parameter():
    x, unused = minidl.ones(3).requires_grad_(), minidl.ones(2).requires_grad_()
    assert inspect.hessian_spectrum((2 * x).sum(), [x]).largest == 0
    found = hessian_vector_product((x**3).sum(), [x, unused], [minidl.ones(3), minidl.ones(2)])
    np.testing.assert_allclose(found[0].numpy(), 6)
    np.testing.assert_allclose(found[1].numpy(), 0)


def test_fused_operators_have_curvature_too():
    minidl.manual_seed(1)
    layer = nn.LSTM(2, 2).double()
    x = minidl.randn(3, 1, 2).double()
    flat = hessian(lambda w: _lstm_loss(layer, x, w), layer.weight_hh_l0)
    n = layer.weight_hh_l0.numel()
    found = inspect.hessian_spectrum(layer(x)[0].square().sum(), [layer.weight_hh_l0], n)
    values = np.linalg.eigvalsh(flat.numpy().reshape(n, n))
    assert found.largest == pytest.approx(values[-1], rel=1e-6)


def _lstm_loss(layer, x, weight):
    from minidl.nn.functional.recurrent import lstm_layer

    zero = minidl.zeros(1, 2, dtype=minidl.float64)
    weights = (layer.weight_ih_l0, weight, layer.bias_ih_l0, layer.bias_hh_l0)
    return lstm_layer(x, zero, zero, weights)[0].square().sum()


def test_curvature_wrong_use():
    x = minidl.ones(3).requires_grad_()
    with pytest.raises(RuntimeError, match="of a single number"):
        inspect.hessian_spectrum(x * 2, [x])
    with pytest.raises(ValueError, match="at least one parameter"):
        inspect.hessian_spectrum(x.sum(), [])
    with pytest.raises(ValueError, match="at least 1"):
        inspect.hessian_spectrum(x.sum(), [x], iterations=0)
    with pytest.raises(ValueError, match="must be the parameters'"):
        hessian_vector_product((x**2).sum(), [x], [minidl.ones(2)])


# -------------------------------------------------------------------------------------------------------------- surfaces


def weights_of(model):
    return {name: value.numpy().copy() for name, value in model.state_dict().items()}


def test_a_line_is_the_loss_there():
    model, x, y = small()
    before = weights_of(model)
    loss = lambda m: F.cross_entropy(m(x), y)
    found = inspect.loss_surface(model, loss, directions=1, steps=5, span=0.5)
    for name, value in weights_of(model).items():
        np.testing.assert_array_equal(value, before[name])
    np.testing.assert_allclose(found.a, [-0.5, -0.25, 0, 0.25, 0.5])
    assert found.losses[2] == pytest.approx(loss(model).item())
    (direction,) = found.directions
    model.load_state_dict({name: minidl.tensor(before[name] + 0.25 * direction[name]) for name in before})
    assert found.losses[3] == pytest.approx(loss(model).item(), rel=1e-12)
    ax = found.plot()
    assert found.plot(ax) is ax


def test_directions_are_filter_normalised():
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(3, 2))
    direction = random_direction(model, seed=4)
    conv = model[0].weight.numpy(force=True)
    np.testing.assert_allclose(
        np.linalg.norm(direction["0.weight"].reshape(3, -1), axis=1),
        np.linalg.norm(conv.reshape(3, -1), axis=1),
        rtol=1e-6,
    )
    assert not direction["0.bias"].any()
    assert np.abs(random_direction(model, seed=5)["0.weight"] - direction["0.weight"]).max() > 0


def test_a_plane_of_a_quadratic():
    layer = nn.Linear(2, 1, bias=False).double()
    first, second = {"weight": np.array([[1.0, 0.0]])}, {"weight": minidl.tensor([[0.0, 2.0]])}
    with minidl.no_grad():
        layer.weight.zero_()
    found = inspect.loss_surface(layer, lambda m: m.weight.square().sum(), [first, second], steps=3)
    np.testing.assert_allclose(found.losses, [[5, 1, 5], [4, 0, 4], [5, 1, 5]])
    assert found.b is not None
    found.plot()
    assert "from 0 (at a = 0, b = 0) to 5" in repr(found)


def test_between_two_sets_of_weights():
    model, x, y = small()
    end = [minidl.randn(*p.shape).double() for p in model.parameters()]
    to = [b - a.detach() for a, b in zip(model.parameters(), end)]
    found = inspect.loss_surface(model, lambda m: F.cross_entropy(m(x), y), to, steps=3)
    with minidl.no_grad():
        for p, value in zip(model.parameters(), end):
            p.copy_(value)
    assert found.losses[2] == pytest.approx(F.cross_entropy(model(x), y).item())


def test_weights_and_buffers_are_put_back_after_an_error():
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    before = weights_of(model)
    calls = []

    def loss(m):
        calls.append(m(minidl.randn(4, 2)).sum())
        if len(calls) == 4:
            raise KeyboardInterrupt
        return calls[-1]

    with pytest.raises(KeyboardInterrupt):
        inspect.loss_surface(model, loss)
    for name, value in weights_of(model).items():
        np.testing.assert_array_equal(value, before[name])


def test_every_point_sees_the_same_dropout():
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5))
    x = minidl.ones(8, 4)
    found = inspect.loss_surface(model, lambda m: m(x).sum(), {"0.bias": np.zeros(4)}, steps=4)
    assert np.ptp(found.losses) == 0
    found.plot()
    plane = inspect.loss_surface(model, lambda m: m(x).sum(), [{"0.bias": np.zeros(4)}] * 2, steps=2)
    plane.plot()


def test_surfaces_wrong_use():
    model = nn.Linear(2, 1)
    loss = lambda m: m.weight.sum()
    with pytest.raises(ValueError, match="not 3 directions"):
        inspect.loss_surface(model, loss, 3)
    with pytest.raises(ValueError, match="no parameters are called"):
        inspect.loss_surface(model, loss, {"bais": np.zeros(1)})
    with pytest.raises(ValueError, match="has shape"):
        inspect.loss_surface(model, loss, {"bias": np.zeros(2)})
    with pytest.raises(ValueError, match="each of the 2 parameters"):
        inspect.loss_surface(model, loss, [np.zeros((1, 2))])
    with pytest.raises(ValueError, match="one number"):
        inspect.loss_surface(model, lambda m: m.weight)
    with pytest.raises(ValueError, match="at least 1"):
        inspect.loss_surface(model, loss, steps=0)
