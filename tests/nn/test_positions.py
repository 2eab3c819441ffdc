"""Positions, grouped-query attention with its cache, and SwiGLU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import minidl
import minidl.nn.functional as F
from minidl import nn
from minidl.autograd import gradcheck, gradgradcheck


def rotated(x, positions, base, dim, interleaved):
    """The definition: each pair as a complex number, times e^(i p θ)."""
    dim = x.shape[-1] if dim is None else dim
    head, tail = x[..., :dim], x[..., dim:]
    pairs = head.reshape(*head.shape[:-1], dim // 2, 2) if interleaved else np.stack(np.split(head, 2, -1), -1)
    angles = np.asarray(positions)[..., None] / base ** (np.arange(dim // 2) * 2 / dim)
    turned = (pairs[..., 0] + 1j * pairs[..., 1]) * np.exp(1j * angles)
    parts = [turned.real, turned.imag]
    head = np.stack(parts, -1).reshape(head.shape) if interleaved else np.concatenate(parts, -1)
    return np.concatenate([head, tail], -1)


@pytest.mark.parametrize("seed", range(30))
def test_rotary_embedding_is_a_product_with_complex_numbers(seed):
    rng = np.random.default_rng(seed)
    lead = tuple(rng.integers(1, 4, rng.integers(0, 3)))
    length, width = int(rng.integers(1, 6)), 2 * int(rng.integers(1, 5))
    dim = [None, width, 2, width - width % 4][rng.integers(4)] or None
    base, interleaved = float(rng.uniform(5, 1e4)), bool(rng.integers(2))
    x = rng.normal(size=(*lead, length, width))
    kind = rng.integers(4)
    first = int(rng.integers(0, 9))
    given = [None, first, minidl.tensor(rng.integers(0, 9, length)), minidl.tensor(rng.normal(size=(*lead, length)))][
        kind
    ]
    places = [np.arange(length), np.arange(length) + first, given, given][kind]
    places = places.numpy() if isinstance(places, minidl.Tensor) else places
    y = F.rotary_embedding(minidl.tensor(x), given, base, dim, interleaved)
    np.testing.assert_allclose(y.numpy(), rotated(x, places, base, dim, interleaved), atol=1e-10)
    t = minidl.tensor(x, requires_grad=True)
    f = lambda t: F.rotary_embedding(t, given, base, dim, interleaved)
    assert gradcheck(f, (t,))
    assert gradgradcheck(f, (t,))


def test_rotation_keeps_lengths_and_depends_on_distances_alone():
    q, k = minidl.randn(1, 8, dtype=minidl.float64), minidl.randn(1, 8, dtype=minidl.float64)
    for interleaved in (True, False):
        turn = nn.RotaryEmbedding(interleaved=interleaved)
        dots = [(turn(q, p + 3) * turn(k, p)).sum().item() for p in (0, 5, 100)]
        np.testing.assert_allclose(dots, dots[0])
        assert turn(q, 7).norm().item() == pytest.approx(q.norm().item())
    assert F.rotary_embedding(minidl.randn(2, 3, 4, dtype=minidl.bfloat16)).dtype == minidl.bfloat16


def test_wrong_rotations():
    x = minidl.randn(2, 3, 6)
    for wrong in ((x, None, 1e4, 3), (x, None, 1e4, 8), (x.long(),), (minidl.randn(4),), (x, minidl.arange(4))):
        with pytest.raises(RuntimeError, match="rotary_embedding"):
            F.rotary_embedding(*wrong)
    with pytest.raises(RuntimeError, match="even"):
        F.rotary_embedding(minidl.randn(3, 5))


@pytest.mark.parametrize(("length", "dim"), [(7, 6), (5, 5), (1, 1), (0, 4), (3, 0)])
def test_sinusoidal_positions_by_the_formula(length, dim):
    table = F.sinusoidal_positions(length, dim, dtype=minidl.float64)
    assert table.shape == (length, dim)
    for p in range(length):
        for i in range(dim):
            angle = p / 10000 ** ((i - i % 2) / dim)
            assert table[p, i].item() == pytest.approx(np.cos(angle) if i % 2 else np.sin(angle))
    assert F.sinusoidal_positions(3, 4).dtype == minidl.get_default_dtype()
    with pytest.raises(RuntimeError, match="negative"):
        F.sinusoidal_positions(-1, 4)


@pytest.mark.parametrize("kind", [nn.SinusoidalPositions, nn.LearnedPositions])
def test_positions_are_added(kind):
    first, last = kind(9, 4), kind(9, 4, batch_first=True)
    last.table = first.table
    x = minidl.randn(5, 2, 4)
    for start in (0, 4):
        expected = x.numpy() + first.table.detach().numpy()[start : start + 5, None]
        np.testing.assert_allclose(first(x, start).detach().numpy(), expected)
        np.testing.assert_allclose(last(x.transpose(0, 1), start).detach().numpy(), expected.swapaxes(0, 1))
        np.testing.assert_allclose(first(x[:, 0], start).detach().numpy(), expected[:, 0])
        np.testing.assert_allclose(last(x[:, 0], start).detach().numpy(), expected[:, 0])
    with pytest.raises(RuntimeError, match="max_len"):
        first(x, 5)
    with pytest.raises(RuntimeError, match="d_model"):
        first(x[..., :3])
    dropped = kind(9, 4, dropout=1.0)
    assert not dropped(x).any()
    assert dropped.eval()(x).any()


def test_what_of_positions_is_stored_and_learned():
    assert not nn.SinusoidalPositions(9, 4).state_dict()
    assert not list(nn.SinusoidalPositions(9, 4).parameters())
    minidl.manual_seed(0)
    learned = nn.LearnedPositions(200, 50)
    assert list(learned.state_dict()) == ["table"]
    assert learned.table.std().item() == pytest.approx(0.02, rel=0.05)
    learned(minidl.randn(3, 2, 50)).sum().backward()
    np.testing.assert_allclose(learned.table.grad[:4, 0].numpy(), [2, 2, 2, 0])


# ------------------------------------------------------------------------------------------- grouped-query attention


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("rotary", [True, False])
@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_grouped_queries_beside_pytorchs_attention(groups, rotary, backend):
    rng = np.random.default_rng(0)
    layer = nn.GroupedQueryAttention(16, 4, groups, bias=True, rotary=rotary, base=50.0, dtype=minidl.float64)
    x = minidl.tensor(rng.normal(size=(2, 5, 16)), requires_grad=True)
    mask = rng.random((5, 5)) < 0.7
    mask[:, 0] = True
    with minidl.use_backend(backend):
        y = layer(x, minidl.tensor(mask))
        y.square().sum().backward()
    theirs = {k: torch.tensor(v.detach().numpy(), requires_grad=True) for k, v in layer.named_parameters()}
    z = torch.tensor(x.detach().numpy(), requires_grad=True)

    def heads(name, count):
        return (z @ theirs[f"{name}.weight"].T + theirs[f"{name}.bias"]).reshape(2, 5, count, 4).transpose(1, 2)

    def turned(a):
        if not rotary:
            return a
        angles = torch.arange(5)[:, None] / 50.0 ** (torch.arange(2, dtype=torch.float64) / 2)
        cos, sin = angles.cos(), angles.sin()
        return torch.cat([a[..., :2] * cos - a[..., 2:] * sin, a[..., 2:] * cos + a[..., :2] * sin], -1)

    q, k, v = turned(heads("q_proj", 4)), turned(heads("k_proj", groups)), heads("v_proj", groups)
    seen = torch.tensor(mask) & torch.ones(5, 5, dtype=torch.bool).tril()
    mixed = torch.nn.functional.scaled_dot_product_attention(q, k, v, seen, enable_gqa=True)
    w = mixed.transpose(1, 2).reshape(2, 5, 16) @ theirs["o_proj.weight"].T + theirs["o_proj.bias"]
    np.testing.assert_allclose(y.detach().numpy(), w.detach().numpy(), atol=1e-10)
    w.square().sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), z.grad.numpy(), atol=1e-9)
    for name, p in layer.named_parameters():
        np.testing.assert_allclose(p.grad.numpy(), theirs[name].grad.numpy(), atol=1e-9, err_msg=name)


@pytest.mark.parametrize("seed", range(10))
def test_a_cache_changes_nothing(seed):
    """In pieces of any length, with masks, across the cache's growth: the same as at once."""
    rng = np.random.default_rng(seed)
    layer = nn.GroupedQueryAttention(8, 4, int(rng.choice([1, 2, 4])), dtype=minidl.float64)
    n, length = 2, int(rng.integers(1, 40))
    x = minidl.tensor(rng.normal(size=(n, length, 8)))
    seen = rng.random((n, 1, 1, length)) < 0.7
    seen[..., 0] = True
    masks = [None, minidl.tensor(seen), minidl.tensor(np.where(seen, rng.normal(size=seen.shape), -np.inf))]
    mask = masks[seed % 3]
    whole = layer(x, mask)
    cache, pieces, at = nn.KVCache(), [], 0
    with minidl.no_grad():
        while at < length:
            end = min(at + int(rng.integers(1, 7)), length)
            pieces.append(layer(x[:, at:end], None if mask is None else mask[..., :end], cache=cache))
            at = end
    assert cache.length == length
    np.testing.assert_allclose(minidl.cat(pieces, 1).numpy(), whole.detach().numpy(), atol=1e-10)
    cache.truncate(length // 2)
    cache.reorder(minidl.tensor([1, 1]))
    if length // 2:
        swapped = x[1:].expand((2, -1, -1))
        with minidl.no_grad():
            y = layer(swapped[:, length // 2 :], cache=cache)
        np.testing.assert_allclose(y.numpy(), layer(swapped)[:, length // 2 :].detach().numpy(), atol=1e-10)


def test_what_a_cache_refuses():
    layer, cache, x = nn.GroupedQueryAttention(8, 2), nn.KVCache(), minidl.randn(2, 3, 8)
    with pytest.raises(RuntimeError, match="no_grad"):
        layer(x, cache=cache)
    with minidl.no_grad():
        layer(x, cache=cache)
        with pytest.raises(RuntimeError, match="do not continue"):
            layer(x[:1], cache=cache)
    for wrong in (-1, 4):
        with pytest.raises(ValueError, match="cannot keep"):
            cache.truncate(wrong)


def test_wrong_groups():
    for wrong in ((8, 3), (8, 4, 3), (0, 1), (8, 8)):
        with pytest.raises(ValueError, match="GroupedQueryAttention"):
            nn.GroupedQueryAttention(*wrong)


@pytest.mark.parametrize("shape", [(3, 8), (1, 3, 7), (1, 1, 3, 8)])
def test_grouped_queries_of_a_wrong_shape(shape):
    with pytest.raises(RuntimeError, match=r"expected input \(N, T, 8\)"):
        nn.GroupedQueryAttention(8, 2)(minidl.ones(shape))


def test_dropout_of_grouped_queries_in_training_only():
    layer, x = nn.GroupedQueryAttention(8, 2, dropout=0.5), minidl.randn(1, 6, 8)
    assert not np.allclose(layer(x).detach().numpy(), layer(x).detach().numpy())
    layer.eval()
    np.testing.assert_array_equal(layer(x).detach().numpy(), layer(x).detach().numpy())


def test_swiglu():
    layer = nn.SwiGLU(12, bias=True, dtype=minidl.float64)
    assert layer.gate_proj.out_features == 32
    x = minidl.randn(2, 12, dtype=minidl.float64, requires_grad=True)
    p = {k: torch.tensor(v.detach().numpy()) for k, v in layer.named_parameters()}
    z = torch.tensor(x.detach().numpy())
    gate, up = (z @ p[f"{name}.weight"].T + p[f"{name}.bias"] for name in ("gate_proj", "up_proj"))
    expected = (torch.nn.functional.silu(gate) * up) @ p["down_proj.weight"].T + p["down_proj.bias"]
    np.testing.assert_allclose(layer(x).detach().numpy(), expected.numpy())
    assert gradcheck(layer, (x,))
    assert nn.SwiGLU(6, 10, 3)(minidl.randn(4, 6)).shape == (4, 3)
