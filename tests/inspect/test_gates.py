"""Gates and attention maps: beside PyTorch's cells, beside need_weights, and beside the outputs they explain."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

import minidl
import minidl.nn.functional as F
from minidl import inspect, models, nn
from minidl.autograd import tape


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")
    assert not tape._around


def lstm_by_hand(layer, x, suffix, h, c):
    """Every gate by PyTorch, step by step."""
    w_ih, w_hh, b_ih, b_hh = (
        torch.tensor(getattr(layer, f"{name}_{suffix}").numpy(force=True))
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    seen = {name: [] for name in ("input", "forget", "cell", "output", "cell_state", "hidden")}
    for step in torch.tensor(x):
        i, f, g, o = (step @ w_ih.T + b_ih + h @ w_hh.T + b_hh).chunk(4, -1)
        i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
        c = f * c + i * g
        h = o * c.tanh()
        for name, value in zip(seen, (i, f, g, o, c, h)):
            seen[name].append(value)
    return {name: torch.stack(values).numpy() for name, values in seen.items()}


def test_lstm_gates_beside_pytorch():
    layer = nn.LSTM(3, 4, num_layers=2, bidirectional=True).double()
    x = minidl.randn(6, 2, 3).double()
    found = inspect.gates(layer, x)
    assert [(g.layer, g.reverse) for g in found.layers] == [(0, False), (0, True), (1, False), (1, True)]
    zero = torch.zeros(2, 4, dtype=torch.float64)
    expected = lstm_by_hand(layer, x.numpy(force=True), "l0", zero, zero)
    for name, value in expected.items():
        np.testing.assert_allclose(found[0][name], value, atol=1e-12)
        np.testing.assert_allclose(found[name], value, atol=1e-12)
    backwards = lstm_by_hand(layer, x.numpy(force=True)[::-1].copy(), "l0_reverse", zero, zero)
    for name, value in backwards.items():
        np.testing.assert_allclose(found[1][name], value[::-1], atol=1e-12)
    y, _ = layer(x)
    np.testing.assert_allclose(
        np.concatenate([found[2]["hidden"], found[3]["hidden"]], -1), y.numpy(force=True), atol=1e-12
    )


def test_gru_gates_beside_pytorch():
    layer = nn.GRU(3, 4).double()
    x = minidl.randn(5, 2, 3).double()
    h0 = minidl.randn(1, 2, 4).double()
    found = inspect.gates(layer, (x, h0))
    w_ih, w_hh, b_ih, b_hh = (torch.tensor(p.numpy(force=True)) for p in layer.parameters())
    h = torch.tensor(h0.numpy(force=True))[0]
    for t, step in enumerate(torch.tensor(x.numpy(force=True))):
        a, u = (step @ w_ih.T + b_ih).chunk(3, -1), (h @ w_hh.T + b_hh).chunk(3, -1)
        r, z = (a[0] + u[0]).sigmoid(), (a[1] + u[1]).sigmoid()
        n = (a[2] + r * u[2]).tanh()
        h = (1 - z) * n + z * h
        for name, value in {"reset": r, "update": z, "new": n, "hidden": h}.items():
            np.testing.assert_allclose(found[name][t], value.numpy(), atol=1e-12)


def test_inside_a_model_and_batch_first():
    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.read = nn.Embedding(10, 3), nn.LSTM(3, 4, batch_first=True)

        def forward(self, tokens):
            return self.read(self.embed(tokens))[0][:, -1]

    found = inspect.gates(Reader(), minidl.randint(0, 10, (2, 7)))
    assert len(found) == 1
    assert found[0].path == "read"
    assert found["forget"].shape == (7, 2, 4)
    assert "read LSTM layer 0" in repr(found)
    with pytest.raises(KeyError, match="input, forget"):
        found["reset"]
    assert len(found.plot().axes) >= 6
    ax = plt.figure().subplots()
    assert found.plot(ax) is ax
    assert len(ax.lines) == 6


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.parametrize("sort", [False, True])
def test_gates_of_packed_sequences_are_those_of_each_alone(kind, sort):
    """Each sequence by itself, unpadded, has the same gates, forwards and backwards."""
    layer = getattr(nn, kind)(3, 4, num_layers=2, bidirectional=True).double()
    lengths = [5, 3, 1] if sort else [3, 1, 5]
    x = minidl.randn(5, 3, 3).double()
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=sort)
    found = inspect.gates(layer, packed)
    for b, length in enumerate(lengths):
        alone = inspect.gates(layer, x[:length, b : b + 1])
        for ours, theirs in zip(found.layers, alone.layers):
            for name, value in theirs.values.items():
                np.testing.assert_allclose(ours[name][:length, b], value[:, 0], atol=1e-12)
                assert np.isnan(ours[name][length:, b]).all()
    assert "nan" not in repr(found)
    found.plot(layer=1, sequence=1)
    found.plot(plt.figure().subplots())


def test_packed_sequences_are_one_input_of_every_look_inside():
    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.read, self.score = nn.GRU(3, 4), nn.Linear(4, 2)

        def forward(self, packed):
            return self.score(self.read(packed)[1][0])

    model = Reader()
    packed = nn.utils.rnn.pack_sequence([minidl.randn(n, 3) for n in (4, 2)])
    shapes = [layer.shapes for layer in inspect.summary(model, packed).layers]
    assert shapes == [[(2, 2)], [(6, 4), (1, 2, 4)], [(2, 2)]]
    assert inspect.memory(model, packed).activations > 0
    assert inspect.activations(model, packed)["read"].shape == (6, 4)
    assert inspect.gates(model, packed)[0].path == "read"


def test_gates_of_half_precision_and_one_step():
    found = inspect.gates(nn.LSTM(2, 3).half(), minidl.zeros(1, 1, 2, dtype=minidl.float16))
    np.testing.assert_allclose(found["output"].astype(float).shape, (1, 1, 3))


def test_gates_wrong_use():
    with pytest.raises(ValueError, match="no LSTM or GRU ran"):
        inspect.gates(nn.Linear(2, 2), minidl.zeros(1, 2))
    with pytest.raises(ValueError, match="proj_size=2"):
        inspect.gates(nn.LSTM(2, 3, proj_size=2), minidl.zeros(1, 1, 2))


# ---------------------------------------------------------------------------------------------------------- attention


@pytest.mark.parametrize("need_weights", [True, False])
def test_maps_are_need_weights(need_weights):
    layer = nn.MultiheadAttention(8, 2, batch_first=True, dropout=0.5).double()
    x = minidl.randn(3, 5, 8).double()
    hidden = minidl.tensor(np.triu(np.ones((5, 5), bool), 1))
    padding = minidl.tensor(np.array([[False] * 5, [False] * 4 + [True], [False] * 3 + [True] * 2]))
    asked = {"query": x, "key": x, "value": x, "attn_mask": hidden, "key_padding_mask": padding}
    found = inspect.attention_maps(layer, {**asked, "need_weights": need_weights})
    layer.eval()
    _, expected = layer(**asked, average_attn_weights=False)
    assert len(found) == 1
    np.testing.assert_allclose(found[0].weights, expected.numpy(force=True), atol=1e-12)
    np.testing.assert_allclose(found[0].weights.sum(-1), 1, atol=1e-12)


def test_maps_beside_pytorch():
    layer = nn.MultiheadAttention(8, 4).double()
    other = torch.nn.MultiheadAttention(8, 4).double()
    other.load_state_dict({name: torch.tensor(value.numpy(force=True)) for name, value in layer.state_dict().items()})
    q, k = minidl.randn(3, 2, 8).double(), minidl.randn(6, 2, 8).double()
    found = inspect.attention_maps(layer, (q, k, k))
    tq, tk = torch.tensor(q.numpy(force=True)), torch.tensor(k.numpy(force=True))
    _, expected = other(tq, tk, tk, average_attn_weights=False)
    np.testing.assert_allclose(found[0].weights, expected.detach().numpy(), atol=1e-12)


def test_grouped_queries_explain_the_output():
    layer = nn.GroupedQueryAttention(16, 4, 2, rotary=False).double()
    x = minidl.randn(2, 5, 16).double()
    weights = inspect.attention_maps(layer, x)[0].weights
    assert weights.shape == (2, 4, 5, 5)
    np.testing.assert_allclose(weights.sum(-1), 1)
    assert not np.triu(weights, 1).any()  # causal
    v = layer.v_proj(x).numpy(force=True).reshape(2, 5, 2, 4).transpose(0, 2, 1, 3).repeat(2, 1)
    seen = (weights @ v).transpose(0, 2, 1, 3).reshape(2, 5, 16)
    np.testing.assert_allclose(
        layer.o_proj(minidl.tensor(seen)).numpy(force=True), layer(x).numpy(force=True), atol=1e-12
    )


def test_every_attention_of_whole_models():
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 3)
    found = inspect.attention_maps(encoder, minidl.randn(2, 4, 8))
    assert [m.path for m in found.maps] == [f"layers.{i}.self_attn" for i in range(3)]
    gpt = models.GPT(vocab_size=11, context=8, width=8, layers=2, heads=2)
    found = inspect.attention_maps(gpt, minidl.randint(0, 11, (1, 6)))
    assert [m.path for m in found.maps] == ["transformer.h.0.attn", "transformer.h.1.attn"]
    for m in found.maps:
        np.testing.assert_allclose(m.weights.sum(-1), 1, atol=1e-6)
    assert found["transformer.h.1.attn"] is found[1]
    assert (found[0].entropy >= 0).all()
    with pytest.raises(KeyError, match="those that did"):
        found["nowhere"]
    figure = found.plot(queries=list("abcdef"), keys=list("abcdef"))
    assert len(figure.axes) == 2
    ax = plt.figure().subplots()
    assert found.plot(ax, which=1) is ax
    assert "bits" in repr(found)


def test_a_query_that_sees_nothing():
    class Blind(nn.Module):
        def forward(self, x):
            return F.scaled_dot_product_attention(x, x, x, minidl.zeros(3, 3, dtype="bool"))

    found = inspect.attention_maps(Blind(), minidl.randn(1, 1, 3, 4))
    assert not found[0].weights.any()
    assert found[0].blind.all()
    assert np.isnan(found[0].entropy).all()
    assert "entropy nan bits; 3 of 3 queries see no key: their rows are 0" in repr(found)


@pytest.mark.parametrize("need_weights", [True, False])
def test_where_all_keys_are_padding_the_row_is_what_pytorch_computes(need_weights):
    layer = nn.MultiheadAttention(8, 2, batch_first=True).double()
    other = torch.nn.MultiheadAttention(8, 2, batch_first=True).double()
    other.load_state_dict({name: torch.tensor(value.numpy(force=True)) for name, value in layer.state_dict().items()})
    x, padding = minidl.randn(2, 3, 8).double(), np.array([[True] * 3, [False] * 3])
    asked = {"query": x, "key": x, "value": x, "key_padding_mask": minidl.tensor(padding), "need_weights": need_weights}
    found = inspect.attention_maps(layer, asked)
    t = torch.tensor(x.numpy())
    y, weights = other(
        t, t, t, key_padding_mask=torch.tensor(padding), need_weights=need_weights, average_attn_weights=False
    )
    np.testing.assert_array_equal(found[0].blind, [[[True] * 3] * 2, [[False] * 3] * 2])
    assert np.isnan(found[0].weights[0]).all() == bool(y[0].isnan().all())  # a NaN is shown where there is one
    if need_weights:
        np.testing.assert_allclose(found[0].weights, weights.detach().numpy(), atol=1e-12)
    sighted = inspect.attention_maps(layer, x[1:].expand(3, 1, 3, 8).unbind(0))
    np.testing.assert_allclose(found[0].entropy[1], sighted[0].entropy[0])
    assert np.isnan(found[0].entropy[0]).all()
    assert f"6 of 12 queries see no key: their rows are {'NaN' if need_weights else '0'}" in repr(found)
    found.plot()


def test_maps_wrong_use():
    with pytest.raises(ValueError, match="nothing attended"):
        inspect.attention_maps(nn.Linear(2, 2), minidl.zeros(1, 2))
