"""Laws that hold for all shapes, over shapes drawn by hypothesis: broadcasting, reshaping, joining and moving about."""

from __future__ import annotations

import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

import minidl

many = settings(max_examples=150, deadline=None, derandomize=True)
shapes = st.lists(st.integers(0, 4), min_size=0, max_size=4).map(tuple)
full_shapes = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)


def pair(shape, seed=0):
    """One leaf in both libraries."""
    values = np.random.default_rng(seed).normal(size=shape)
    return minidl.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)


def agree(mine, theirs):
    assert mine.shape == tuple(theirs.shape)
    np.testing.assert_allclose(mine.detach().numpy(), theirs.detach().numpy(), rtol=1e-12, atol=1e-12)


@many
@given(mutually_broadcastable_shapes(num_shapes=3, max_dims=4, max_side=4, min_side=0))
def test_gradients_have_their_operand_s_shape_whatever_was_broadcast(drawn):
    leaves = [pair(shape, seed) for seed, shape in enumerate(drawn.input_shapes)]
    results = []
    for a, b, c in zip(*leaves):
        y = (a + b) * c - b * b
        (y * y).sum().backward()
        results.append(y)
    agree(*results)
    assert results[0].shape == minidl.broadcast_shapes(*drawn.input_shapes) == drawn.result_shape
    for mine, theirs in leaves:
        assert mine.grad.shape == mine.shape
        agree(mine.grad, theirs.grad)


@many
@given(shapes, shapes)
def test_shapes_broadcast_or_not_as_in_pytorch(a, b):
    outcomes = []
    for library in (minidl, torch):
        try:
            outcomes.append(tuple((library.zeros(a) + library.zeros(b)).shape))
        except RuntimeError:
            outcomes.append(None)
    assert outcomes[0] == outcomes[1]


@many
@given(full_shapes, st.data())
def test_a_permutation_and_its_inverse_cancel(shape, data):
    order = data.draw(st.permutations(range(len(shape))))
    x, t = pair(shape)
    y = x.permute(order)
    agree(y, t.permute(order))
    inverse = sorted(range(len(shape)), key=order.__getitem__)
    assert (y.permute(inverse) == x).all()
    assert np.shares_memory(y._data, x._data)


@many
@given(full_shapes, st.data())
def test_reshape_keeps_the_elements_and_their_order(shape, data):
    x, t = pair(shape)
    x, t = (v.permute(tuple(range(len(shape)))[::-1]) for v in (x, t))
    size, target = math.prod(shape), []
    while size > 1 and len(target) < 4:
        divisor = data.draw(st.sampled_from([d for d in range(1, size + 1) if size % d == 0]))
        target.append(divisor)
        size //= divisor
    target.append(size)
    agree(x.reshape(target), t.reshape(target))
    outcomes = []
    for v in (x, t):
        try:
            outcomes.append(tuple(v.view(*target).shape))
        except RuntimeError:
            outcomes.append(None)
    channels_last = len(shape) in (4, 5) and x.permute(0, *range(2, len(shape)), 1).is_contiguous()
    assert outcomes[0] == outcomes[1] or (channels_last and outcomes[0] is not None)


@many
@given(full_shapes, st.integers(1, 5), st.data())
def test_what_is_split_or_chunked_and_joined_is_whole_again(shape, parts, data):
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    x, t = pair(shape)
    for name in ("chunk", "split", "tensor_split"):
        mine, theirs = getattr(x, name)(parts, dim), getattr(t, name)(parts, dim)
        assert len(mine) == len(theirs)
        for a, b in zip(mine, theirs):
            agree(a, b)
        assert (minidl.cat(mine, dim) == x).all()
    assert (minidl.stack(x.unbind(dim), dim) == x).all()


@many
@given(full_shapes, st.data())
def test_flip_twice_and_roll_there_and_back(shape, data):
    dims = data.draw(st.lists(st.integers(0, len(shape) - 1), unique=True))
    shifts = [data.draw(st.integers(-6, 6)) for _ in dims]
    x, _ = pair(shape)
    assert (x.flip(dims).flip(dims) == x).all()
    if dims:
        assert (x.roll(shifts, dims).roll([-s for s in shifts], dims) == x).all()


@many
@given(full_shapes, st.data())
def test_gather_undoes_a_sort_and_scatter_undoes_gather(shape, data):
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    x, t = pair(shape)
    order = np.argsort(x.detach().numpy(), dim)
    where = minidl.tensor(order)
    agree(x.gather(dim, where), t.gather(dim, torch.tensor(order)))
    assert (minidl.zeros_like(x).scatter(dim, where, x.gather(dim, where)) == x).all()
    assert (minidl.zeros_like(x).scatter_add(dim, where, x.gather(dim, where)) == x).all()


@many
@given(full_shapes, st.data())
def test_repeat_is_expand_and_copy(shape, data):
    times = [data.draw(st.integers(0, 3)) for _ in range(len(shape) + data.draw(st.integers(0, 2)))]
    x, t = pair(shape)
    y, u = x.repeat(times), t.repeat(times)
    agree(y, u)
    (y * y).sum().backward()
    (u * u).sum().backward()
    agree(x.grad, t.grad)


@many
@given(full_shapes, st.integers(-5, 5), st.data())
def test_diagonal_and_diag_embed_are_inverse(shape, offset, data):
    x, t = pair((2, *shape))
    first, second = data.draw(st.permutations(range(len(shape) + 1)))[:2] if len(shape) > 1 else (0, 1)
    agree(x.diagonal(offset, first, second), t.diagonal(offset, first, second))
    embedded = x.diag_embed(offset)
    assert (embedded.diagonal(offset, -2, -1) == x).all()
    np.testing.assert_allclose(embedded.sum().item(), x.sum().item(), atol=1e-12)
