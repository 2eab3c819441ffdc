"""The Transformer beside PyTorch's: layers, stacks and the whole, over their whole signatures."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch

import minidl
from minidl import nn
from minidl.autograd import gradcheck, gradgradcheck
from tests.nn.test_attention_modules import both, call_with, mask_for, same, with_parameters

pytestmark = pytest.mark.filterwarnings("ignore:enable_nested_tensor", "ignore:Support for mismatched")
F64 = {minidl: minidl.float64, torch: torch.float64}


class Draw:
    """Random settings, sequences and masks from one seed."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.heads = int(self.rng.integers(1, 4))
        self.d = self.heads * int(self.rng.integers(1, 4))
        self.batched = self.pick(True, True, False)
        self.n = int(self.rng.integers(1, 4)) if self.batched else 1
        self.t, self.s = (int(x) for x in self.rng.integers(1, 6, 2))
        self.batch_first = self.pick(True, False)
        self.norm_first = self.pick(True, False)
        self.bias = self.pick(True, False)
        self.activation = self.pick("relu", "gelu", "callable")

    def pick(self, *values):
        return values[self.rng.integers(len(values))]

    def settings(self, library):
        function = library.tanh if self.activation == "callable" else self.activation
        return {
            "dropout": 0.0,
            "activation": function,
            "layer_norm_eps": 1e-4,
            "batch_first": self.batch_first,
            "norm_first": self.norm_first,
            "bias": self.bias,
            "dtype": F64[library],
        }

    def sequence(self, length):
        if not self.batched:
            return self.rng.normal(size=(length, self.d))
        return self.rng.normal(size=(self.n, length, self.d) if self.batch_first else (length, self.n, self.d))

    def masks(self, name, padding, t, s, kind, causal):
        """Arguments for one attention: a mask, a padding mask, a hint, or none of them."""
        call = {}
        choice = self.pick("none", "mask", "heads", "causal")
        if choice == "mask":
            call[name] = mask_for(self.rng, kind, t, s)
        elif choice == "heads":
            call[name] = mask_for(self.rng, kind, self.n * self.heads, t, s)
        elif choice == "causal" and t == s:
            call[name] = np.triu(np.full((t, s), -np.inf), 1) if kind == "float" else np.triu(np.ones((t, s), bool), 1)
            if self.pick(True, False):
                call[causal] = True
        if self.pick(True, False):
            call[padding] = mask_for(self.rng, kind, *((self.n, s) if self.batched else (s,)))
        return call


def compare(theirs, ours, arrays, call, backend="numpy"):
    both(theirs, ours)
    mine = [minidl.tensor(a, requires_grad=True) for a in arrays]
    other = [torch.tensor(a, requires_grad=True) for a in arrays]
    with minidl.use_backend(backend):
        y, z = ours(*mine, **call_with(minidl, call)), theirs(*other, **call_with(torch, call))
        assert tuple(y.shape) == tuple(z.shape)
        same(y, z)
        g = np.random.default_rng(7).normal(size=y.shape)
        y.backward(minidl.tensor(g))
        z.backward(torch.tensor(g))
    for a, b in zip(mine, other):
        same(a.grad, b.grad, 1e-8)
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters()):
        assert (p.grad is None) == (q.grad is None), name
        if q.grad is not None:
            same(p.grad, q.grad, 1e-8)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("seed", range(30))
def test_encoder_layers_and_stacks(seed, backend):
    draw = Draw(seed)
    call = draw.masks("src_mask", "src_key_padding_mask", draw.s, draw.s, draw.pick("bool", "float"), "is_causal")
    built = []
    depth, norm = int(draw.rng.integers(0, 3)), draw.pick(True, False)
    for library in (torch, minidl):
        n = library.nn
        made = n.TransformerEncoderLayer(draw.d, draw.heads, 7, **draw.settings(library))
        if depth:
            last = n.LayerNorm(draw.d, dtype=F64[library]) if norm else None
            made = n.TransformerEncoder(made, depth, last, enable_nested_tensor=False)
        built.append(made)
    if depth and "src_mask" in call:
        call["mask"] = call.pop("src_mask")
    compare(*built, [draw.sequence(draw.s)], call, backend)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("seed", range(100, 130))
def test_decoder_layers_and_stacks(seed, backend):
    draw = Draw(seed)
    kind = draw.pick("bool", "float")
    call = draw.masks("tgt_mask", "tgt_key_padding_mask", draw.t, draw.t, kind, "tgt_is_causal")
    call |= draw.masks("memory_mask", "memory_key_padding_mask", draw.t, draw.s, kind, "memory_is_causal")
    built = []
    depth, norm = int(draw.rng.integers(0, 3)), draw.pick(True, False)
    for library in (torch, minidl):
        n = library.nn
        made = n.TransformerDecoderLayer(draw.d, draw.heads, 7, **draw.settings(library))
        if depth:
            made = n.TransformerDecoder(made, depth, n.LayerNorm(draw.d, dtype=F64[library]) if norm else None)
        built.append(made)
    compare(*built, [draw.sequence(draw.t), draw.sequence(draw.s)], call, backend)


@pytest.mark.parametrize("seed", range(200, 230))
def test_whole_transformers(seed):
    draw = Draw(seed)
    kind = draw.pick("bool", "float")
    call = draw.masks("src_mask", "src_key_padding_mask", draw.s, draw.s, kind, "src_is_causal")
    call |= draw.masks("tgt_mask", "tgt_key_padding_mask", draw.t, draw.t, kind, "tgt_is_causal")
    call |= draw.masks("memory_mask", "memory_key_padding_mask", draw.t, draw.s, kind, "memory_is_causal")
    sizes = (draw.d, draw.heads, int(draw.rng.integers(1, 3)), int(draw.rng.integers(1, 3)), 5)
    built = [library.nn.Transformer(*sizes, **draw.settings(library)) for library in (torch, minidl)]
    compare(*built, [draw.sequence(draw.s), draw.sequence(draw.t)], call)


@pytest.mark.parametrize("name", ["Transformer", "TransformerEncoder", "TransformerDecoder"])
def test_signatures(name):
    names = (name,) if name == "Transformer" else (name, name + "Layer")
    for each in names:
        for method in ("__init__", "forward"):
            theirs = inspect.signature(getattr(getattr(torch.nn, each), method)).parameters
            ours = inspect.signature(getattr(getattr(nn, each), method)).parameters
            assert list(ours) == list(theirs)
            for key, parameter in theirs.items():
                if key != "activation":
                    assert ours[key].default == parameter.default, (each, key)


@pytest.mark.parametrize("norm_first", [True, False])
def test_second_derivatives_of_a_layer(norm_first):
    minidl.manual_seed(0)
    layer = nn.TransformerEncoderLayer(4, 2, 3, 0.0, "gelu", norm_first=norm_first, dtype=minidl.float64)
    x = minidl.randn(3, 1, 4, dtype=minidl.float64, requires_grad=True)
    mask = nn.Transformer.generate_square_subsequent_mask(3, dtype=minidl.float64)
    f, parameters = with_parameters(layer, lambda layer, x: layer(x, mask, is_causal=True))
    assert gradcheck(f, (x, *parameters))
    assert gradgradcheck(f, (x, *parameters))


def test_causal_mask():
    ours, theirs = (library.nn.Transformer.generate_square_subsequent_mask(4) for library in (minidl, torch))
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    half = nn.Transformer.generate_square_subsequent_mask(0, "cpu", minidl.float64)
    assert half.shape == (0, 0)
    assert half.dtype == minidl.float64


@pytest.mark.parametrize("batch_first", [True, False])
def test_a_causal_mask_is_found_out(batch_first, monkeypatch):
    seen = []
    layer = nn.TransformerEncoderLayer(4, 2, 8, 0.0, batch_first=batch_first)
    encoder = nn.TransformerEncoder(layer, 1)
    forward = encoder.layers[0].forward
    monkeypatch.setattr(encoder.layers[0], "forward", lambda *a, **k: seen.append(k["is_causal"]) or forward(*a, **k))
    x = minidl.randn(3, 5, 4)
    length = 5 if batch_first else 3
    causal = nn.Transformer.generate_square_subsequent_mask(length)
    for mask in (causal, causal < 0, causal.double()):
        encoder(x, mask.float() if mask.dtype == minidl.float64 else mask)
    encoder(x, causal * 0)
    encoder(x, (causal < 0).logical_not())
    encoder(x)
    encoder(x, causal * 0, is_causal=True)
    encoder(x, causal, is_causal=False)
    assert seen == [True, True, True, False, False, False, True, False]


def test_the_future_has_no_influence():
    """Not a digit of what stands before a place changes with what stands after it."""
    model = nn.Transformer(8, 2, 1, 2, 16, 0.0, batch_first=True).eval()
    src, tgt = minidl.randn(2, 5, 8), minidl.randn(2, 6, 8)
    mask = nn.Transformer.generate_square_subsequent_mask(6)
    before = model(src, tgt, tgt_mask=mask)
    tgt[:, 4:] = 100.0
    after = model(src, tgt, tgt_mask=mask)
    np.testing.assert_array_equal(before[:, :4].detach().numpy(), after[:, :4].detach().numpy())
    assert not np.allclose(before[:, 4:].detach().numpy(), after[:, 4:].detach().numpy())


def test_padding_has_no_influence():
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True), 2).eval()
    x = minidl.randn(2, 5, 8)
    padding = minidl.tensor([[False] * 3 + [True] * 2] * 2)
    before = encoder(x, src_key_padding_mask=padding)[:, :3]
    x[:, 3:] = 1e3
    np.testing.assert_array_equal(
        before.detach().numpy(), encoder(x, src_key_padding_mask=padding)[:, :3].detach().numpy()
    )
    alone = encoder(x[:, :3])
    np.testing.assert_allclose(before.detach().numpy(), alone.detach().numpy(), atol=1e-5)


def test_dropout_in_training_only():
    minidl.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.2, norm_first=True)
    x = minidl.randn(6, 2, 16)
    exact = layer.eval()(x).detach().numpy()
    np.testing.assert_array_equal(exact, layer(x).detach().numpy())
    layer.train()
    drawn = [layer(x).detach().numpy() for _ in range(3)]
    assert not np.allclose(drawn[0], drawn[1])
    assert not np.allclose(drawn[0], exact)
    whole = nn.TransformerEncoderLayer(16, 4, 32, dropout=1.0, norm_first=True)
    np.testing.assert_array_equal(whole(x).detach().numpy(), x.numpy())  # only the residual connection is left


def test_copies_of_a_layer_are_apart_and_start_alike():
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8), 2)
    a, b = (layer.linear1.weight for layer in encoder.layers)
    assert a is not b
    np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())


def test_initial_values():
    minidl.manual_seed(0)
    model = nn.Transformer(32, 4, 1, 1, 64)
    for name, p in model.named_parameters():
        if p.ndim > 1:
            bound = (6 / sum(p.shape)) ** 0.5
            assert 0.9 * bound < p.abs().max().item() <= bound, name
        elif "norm" in name:
            assert (p == (1.0 if name.endswith("weight") else 0.0)).all(), name


def test_custom_encoder_and_decoder():
    class Echo(nn.Module):
        def forward(self, src, *args, **named):
            return src * 2

    model = nn.Transformer(4, 2, custom_encoder=Echo(), custom_decoder=Echo())
    tgt = minidl.randn(3, 1, 4)
    np.testing.assert_array_equal(model(minidl.randn(2, 1, 4), tgt).numpy(), 2 * tgt.numpy())


def test_wrong_calls():
    for library in (minidl, torch):
        n = library.nn
        model = n.Transformer(4, 2, 1, 1, 8)
        with pytest.raises(RuntimeError, match="batch number"):
            model(library.zeros(3, 2, 4), library.zeros(3, 1, 4))
        with pytest.raises(RuntimeError, match="batch number"):
            n.Transformer(4, 2, 1, 1, 8, batch_first=True)(library.zeros(3, 2, 4), library.zeros(2, 2, 4))
        with pytest.raises(RuntimeError, match="feature number"):
            model(library.zeros(3, 2, 4), library.zeros(3, 2, 5))
        with pytest.raises(RuntimeError, match="relu/gelu"):
            n.TransformerEncoderLayer(4, 2, activation="tanh")
        with pytest.raises(AssertionError, match="divisible"):
            n.Transformer(5, 2)
        layer = n.TransformerEncoderLayer(4, 2, 8)
        with pytest.raises(RuntimeError, match="Need attn_mask"):
            layer(library.zeros(3, 2, 4), is_causal=True)
        with pytest.raises(AssertionError, match="only bool and floating"):
            layer(library.zeros(3, 2, 4), library.zeros(3, 3, dtype=library.int64))
