"""Recurrent layers and cells beside PyTorch's, from the same state dict: outputs, states, every gradient; packed batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import minidl
from minidl import nn
from minidl.autograd import gradcheck, gradgradcheck
from minidl.nn.functional import recurrent
from minidl.nn.utils import rnn as utils

RNG = np.random.default_rng(0)

SETTINGS = [
    {},
    {"bias": False},
    {"num_layers": 2},
    {"bidirectional": True},
    {"num_layers": 2, "bidirectional": True, "batch_first": True},
    {"num_layers": 3, "dropout": 0.0},
]
LAYERS = (
    [("RNN", s) for s in SETTINGS]
    + [("RNN", {"nonlinearity": "relu"})]
    + [("GRU", s) for s in SETTINGS]
    + [("LSTM", s) for s in SETTINGS]
    + [("LSTM", {"proj_size": 2}), ("LSTM", {"proj_size": 3, "num_layers": 2, "bidirectional": True})]
)
each_layer = pytest.mark.parametrize(
    ("name", "settings"), LAYERS, ids=[f"{n}-{'-'.join(f'{k}={v}' for k, v in s.items())}" for n, s in LAYERS]
)


def pair(name, *args, **settings):
    """A layer of each library, in float64, with the same weights."""
    theirs = getattr(torch.nn, name)(*args, **settings).double()
    ours = getattr(nn, name)(*args, **settings).double()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict({k: minidl.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    return ours, theirs


def leaf(library, array):
    return library.tensor(array, requires_grad=True)


def flat(values):
    for value in values:
        if isinstance(value, tuple):
            yield from flat(value)
        else:
            yield value


def compare(ours, theirs, our_inputs, their_inputs, our_outputs, their_outputs):
    """Outputs, and the gradients of inputs and parameters from random gradients of all outputs."""
    our_outputs, their_outputs = list(flat(our_outputs)), list(flat(their_outputs))
    assert len(our_outputs) == len(their_outputs)
    gradients = [RNG.standard_normal(tuple(y.shape)) for y in their_outputs]
    minidl.autograd.backward(our_outputs, [minidl.tensor(g) for g in gradients])
    torch.autograd.backward(their_outputs, [torch.tensor(g) for g in gradients])
    for a, b in zip(our_outputs, their_outputs):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-9, atol=1e-9)
    for a, b in zip(our_inputs, their_inputs):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-8, atol=1e-8)
    for (key, a), b in zip(ours.named_parameters(), theirs.parameters()):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-8, atol=1e-8, err_msg=key)


def state_arrays(name, settings, batch, hidden):
    count = settings.get("num_layers", 1) * (2 if settings.get("bidirectional") else 1)
    sizes = [settings.get("proj_size") or hidden, hidden][: 2 if name == "LSTM" else 1]
    return [RNG.standard_normal((count, *batch, n)) for n in sizes]


def as_states(library, name, arrays):
    leaves = [leaf(library, a) for a in arrays]
    return leaves, (tuple(leaves) if name == "LSTM" else leaves[0])


@each_layer
@pytest.mark.parametrize("given", [False, True])
def test_outputs_states_and_gradients_are_pytorchs(name, settings, given):
    ours, theirs = pair(name, 3, 4, **settings)
    shape = (2, 5, 3) if settings.get("batch_first") else (5, 2, 3)
    x = RNG.standard_normal(shape)
    mine, other = leaf(minidl, x), leaf(torch, x)
    if not given:
        compare(ours, theirs, [mine], [other], ours(mine), theirs(other))
        return
    arrays = state_arrays(name, settings, (2,), 4)
    (our_leaves, our_states), (their_leaves, their_states) = (as_states(lib, name, arrays) for lib in (minidl, torch))
    results = ours(mine, our_states), theirs(other, their_states)
    compare(ours, theirs, [mine, *our_leaves], [other, *their_leaves], *results)


@each_layer
def test_a_single_sequence_needs_no_batch(name, settings):
    ours, theirs = pair(name, 3, 4, **settings)
    x = RNG.standard_normal((5, 3))
    arrays = state_arrays(name, settings, (), 4)
    mine, other = leaf(minidl, x), leaf(torch, x)
    (our_leaves, our_states), (their_leaves, their_states) = (as_states(lib, name, arrays) for lib in (minidl, torch))
    results = ours(mine, our_states), theirs(other, their_states)
    compare(ours, theirs, [mine, *our_leaves], [other, *their_leaves], *results)


@each_layer
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("lengths", [[5, 3, 3, 1], [2, 5, 1, 4], [4]])
def test_packed_batches_are_pytorchs(name, settings, given, lengths):
    ours, theirs = pair(name, 3, 4, **settings)
    x = RNG.standard_normal((max(lengths), len(lengths), 3))
    mine, other = leaf(minidl, x), leaf(torch, x)
    arrays = state_arrays(name, settings, (len(lengths),), 4)
    (our_leaves, our_states), (their_leaves, their_states) = (as_states(lib, name, arrays) for lib in (minidl, torch))
    pack = torch.nn.utils.rnn.pack_padded_sequence
    y, final = ours(utils.pack_padded_sequence(mine, lengths, enforce_sorted=False), *([our_states] if given else []))
    y_, final_ = theirs(pack(other, lengths, enforce_sorted=False), *([their_states] if given else []))
    np.testing.assert_array_equal(y.batch_sizes.numpy(), y_.batch_sizes.numpy())
    np.testing.assert_array_equal(y.sorted_indices.numpy(), y_.sorted_indices.numpy())
    used = ([mine, *our_leaves], [other, *their_leaves]) if given else ([mine], [other])
    compare(ours, theirs, *used, (y.data, final), (y_.data, final_))
    padded, found = utils.pad_packed_sequence(y, batch_first=True, total_length=6)
    padded_, found_ = torch.nn.utils.rnn.pad_packed_sequence(y_, batch_first=True, total_length=6)
    np.testing.assert_allclose(padded.detach().numpy(), padded_.detach().numpy(), rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(found.numpy(), found_.numpy())


@pytest.mark.parametrize(("name", "gates"), [("rnn", 1), ("gru", 3), ("lstm", 4)])
@pytest.mark.parametrize("bias", [True, False])
def test_gradients_of_first_and_second_order(name, gates, bias):
    def leaf(*shape):
        return minidl.tensor(RNG.standard_normal(shape), requires_grad=True)

    states = [leaf(2, 3) for _ in range(2 if name == "lstm" else 1)]
    weights = [leaf(gates * 3, 2), leaf(gates * 3, 3), *(leaf(gates * 3) for _ in range(2 * bias))]

    def function(x, *rest):
        given = (*rest[len(states) :], *([None, None] if not bias else []))
        extra = ("tanh",) if name == "rnn" else ()
        return getattr(recurrent, f"{name}_layer")(x, *rest[: len(states)], given, *extra)

    inputs = (leaf(4, 2, 2), *states, *weights)
    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs, fast_mode=True, atol=1e-4)


CELLS = [
    ("RNNCell", {}),
    ("RNNCell", {"nonlinearity": "relu"}),
    ("GRUCell", {}),
    ("LSTMCell", {}),
    ("LSTMCell", {"bias": False}),
]


@pytest.mark.parametrize(("name", "settings"), CELLS)
@pytest.mark.parametrize("batch", [(), (2,), (0,)])
@pytest.mark.parametrize("given", [False, True])
def test_cells_are_pytorchs(name, settings, batch, given):
    ours, theirs = pair(name, 3, 4, **settings)
    x = RNG.standard_normal((*batch, 3))
    mine, other = leaf(minidl, x), leaf(torch, x)
    arrays = [RNG.standard_normal((*batch, 4)) for _ in range(2 if name == "LSTMCell" else 1)]
    (our_leaves, our_states), (their_leaves, their_states) = (
        as_states(lib, name.removesuffix("Cell"), arrays) for lib in (minidl, torch)
    )
    results = (ours(mine, our_states), theirs(other, their_states)) if given else (ours(mine), theirs(other))
    used = ([mine, *our_leaves], [other, *their_leaves]) if given else ([mine], [other])
    compare(ours, theirs, *used, *((r,) for r in results))


@pytest.mark.parametrize(
    ("name", "args", "settings"),
    [
        ("RNN", (3, 4), {}),
        ("GRU", (3, 4), {"num_layers": 2, "bias": False, "dropout": 0.5}),
        ("LSTM", (3, 4), {"proj_size": 2, "batch_first": True, "bidirectional": True}),
        ("RNNCell", (3, 4), {"nonlinearity": "relu", "bias": False}),
        ("LSTMCell", (3, 4), {}),
    ],
)
def test_text_and_initial_values(name, args, settings):
    ours, theirs = getattr(nn, name)(*args, **settings), getattr(torch.nn, name)(*args, **settings)
    assert repr(ours) == repr(theirs)
    for parameter in ours.parameters():
        assert float(parameter.abs().max()) <= 1 / 2
        assert parameter.requires_grad


def test_dropout_between_layers_is_for_training():
    layer = nn.LSTM(3, 4, num_layers=2, dropout=0.9)
    x = minidl.randn(5, 2, 3)
    assert not np.allclose(layer(x)[0].detach().numpy(), layer(x)[0].detach().numpy())
    layer.eval()
    np.testing.assert_array_equal(layer(x)[0].detach().numpy(), layer(x)[0].detach().numpy())


WRONG = {
    "size": lambda n, t: n.LSTM(3, 4)(t.zeros(5, 2, 7)),
    "dimensions": lambda n, t: n.LSTM(3, 4)(t.zeros(5, 2, 3, 1)),
    "hidden": lambda n, t: n.GRU(3, 4)(t.zeros(5, 2, 3), t.zeros(1, 3, 4)),
    "cell": lambda n, t: n.LSTM(3, 4)(t.zeros(5, 2, 3), (t.zeros(1, 2, 4), t.zeros(1, 2, 5))),
    "dropout": lambda n, t: n.LSTM(3, 4, num_layers=2, dropout=1.5),
    "hidden size": lambda n, t: n.LSTM(3, 0),
    "hidden type": lambda n, t: n.LSTM(3, 2.5),
    "layers": lambda n, t: n.LSTM(3, 4, num_layers=0),
    "projection": lambda n, t: n.LSTM(3, 4, proj_size=4),
    "nonlinearity": lambda n, t: n.RNN(3, 4, nonlinearity="gelu"),
    "type": lambda n, t: n.LSTM(3, 4)(t.zeros(5, 2, 3, dtype=t.float64)),
    "cell input": lambda n, t: n.LSTMCell(3, 4)(t.zeros(2, 7)),
    "cell state": lambda n, t: n.GRUCell(3, 4)(t.zeros(2, 3), t.zeros(2, 5)),
    "cell batch": lambda n, t: n.GRUCell(3, 4)(t.zeros(2, 3), t.zeros(3, 4)),
    "unsorted": lambda n, t: n.utils.rnn.pack_padded_sequence(t.zeros(5, 2, 3), [2, 5]),
    "no length": lambda n, t: n.utils.rnn.pack_padded_sequence(t.zeros(5, 2, 3), [2, 0]),
    "too many lengths": lambda n, t: n.utils.rnn.pack_padded_sequence(t.zeros(5, 2, 3), [3, 2, 1]),
    "projection without a cell": lambda n, t: n.GRU(3, 4, proj_size=2),
    "type of states": lambda n, t: n.GRU(3, 4)(t.zeros(5, 2, 3), t.zeros(1, 2, 4, dtype=t.float64)),
    "cell state with a batch": lambda n, t: n.LSTMCell(3, 4)(t.zeros(3), (t.zeros(1, 4), t.zeros(1, 4))),
    "nothing to pack": lambda n, t: n.utils.rnn.pack_sequence([]),
    "table of lengths": lambda n, t: n.utils.rnn.pack_padded_sequence(t.zeros(5, 2, 3), t.tensor([[3, 2]])),
    "total length": lambda n, t: n.utils.rnn.pad_packed_sequence(
        n.utils.rnn.pack_sequence([t.zeros(4)]), total_length=3
    ),
}


@pytest.mark.parametrize("call", WRONG.values(), ids=WRONG)
def test_wrong_calls_are_refused_as_by_pytorch(call):
    with pytest.raises(Exception) as theirs:  # noqa: PT011 - its type is compared below
        call(torch.nn, torch)
    with pytest.raises(type(theirs.value)) as ours:
        call(nn, minidl)
    assert len(str(ours.value)) > 20


def test_dropout_with_one_layer_warns():
    with pytest.warns(UserWarning, match="dropout option"):
        nn.LSTM(3, 4, dropout=0.5)


def test_sequences_side_by_side():
    arrays = [RNG.standard_normal((n, 2)) for n in (3, 5, 1)]
    for kwargs in ({}, {"batch_first": True, "padding_value": -1.0}, {"padding_side": "left"}):
        ours = utils.pad_sequence([minidl.tensor(a) for a in arrays], **kwargs)
        theirs = torch.nn.utils.rnn.pad_sequence([torch.tensor(a) for a in arrays], **kwargs)
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    packed = utils.pack_sequence([minidl.tensor(a) for a in arrays], enforce_sorted=False)
    theirs = torch.nn.utils.rnn.pack_sequence([torch.tensor(a) for a in arrays], enforce_sorted=False)
    np.testing.assert_array_equal(packed.data.numpy(), theirs.data.numpy())
    for a, b in zip(utils.unpack_sequence(packed), arrays):
        np.testing.assert_array_equal(a.numpy(), b)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_an_empty_batch(kind, batch_first):
    shape = (0, 5, 2) if batch_first else (5, 0, 2)
    ours = getattr(nn, kind)(2, 3, batch_first=batch_first)(minidl.zeros(*shape))[0]
    theirs = getattr(torch.nn, kind)(2, 3, batch_first=batch_first)(torch.zeros(*shape))[0]
    assert ours.shape == tuple(theirs.shape)
