"""Multi-head attention beside PyTorch's, over the whole signature: outputs, weights, all gradients, state dicts."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest
import torch

import minidl
import minidl.nn.functional as F
from minidl import nn
from minidl.autograd import gradcheck, gradgradcheck


def both(theirs, ours):
    """The weights of ``theirs`` in ``ours``, and back."""
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})


def mask_for(rng, kind, *shape):
    """A mask that hides, boolean or floating, with at least one key to be seen in each row."""
    hidden = rng.random(shape) < 0.4
    hidden[..., 0] = False
    if kind == "bool":
        return hidden
    return np.where(hidden & (rng.random(shape) < 0.5), -np.inf, rng.normal(size=shape))


def random_case(seed):
    """Settings of the layer and a call, drawn from all there are."""
    rng = np.random.default_rng(seed)
    pick = lambda *values: values[rng.integers(len(values))]
    heads = int(rng.integers(1, 5))
    e = heads * int(rng.integers(1, 5))
    settings = {
        "bias": pick(True, False),
        "add_bias_kv": pick(True, False, False),
        "add_zero_attn": pick(True, False, False),
        "batch_first": pick(True, False),
    }
    same = pick("self", "memory", "apart", "apart")
    if same == "apart" and pick(True, False):
        settings["kdim"] = int(rng.integers(1, 6))
    if same == "apart" and pick(True, False):
        settings["vdim"] = int(rng.integers(1, 6))
    n, t, s = int(rng.integers(1, 4)), int(rng.integers(1, 6)), int(rng.integers(1, 6))
    batched = pick(True, True, False)
    n = n if batched else 1
    s = t if same == "self" else s

    def sequence(length, width):
        if not batched:
            return rng.normal(size=(length, width))
        return rng.normal(size=(n, length, width) if settings["batch_first"] else (length, n, width))

    query = sequence(t, e)
    key = query if same == "self" else sequence(s, settings.get("kdim", e))
    value = key if same != "apart" else sequence(s, settings.get("vdim", e))
    call = {"need_weights": pick(True, False), "average_attn_weights": pick(True, False)}
    kind = pick("bool", "float")
    if pick(True, False):
        call["key_padding_mask"] = mask_for(rng, kind, *((n, s) if batched else (s,)))
    if pick(True, False):
        call["attn_mask"] = mask_for(rng, kind, *pick((t, s), (n * heads, t, s)))
    elif pick(True, False):
        call["attn_mask"] = np.triu(np.full((t, s), -np.inf), 1)
        call["is_causal"] = True
    return (e, heads), settings, (query, key, value), call


def tensors(library, arrays, grad=True):
    """The arrays as tensors of a library: one array given twice is one tensor."""
    made: dict = {}
    for a in arrays:
        made.setdefault(id(a), library.tensor(a, requires_grad=grad))
    return [made[id(a)] for a in arrays]


def call_with(library, call):
    return {k: library.tensor(v) if isinstance(v, np.ndarray) else v for k, v in call.items()}


def same(ours, theirs, atol=1e-9):
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), atol=atol, rtol=1e-7)


@pytest.mark.filterwarnings("ignore:Support for mismatched")
@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("seed", range(60))
def test_any_call_gives_what_pytorch_gives(seed, backend):
    sizes, settings, arrays, call = random_case(seed)
    theirs = torch.nn.MultiheadAttention(*sizes, **settings, dtype=torch.float64)
    ours = nn.MultiheadAttention(*sizes, **settings, dtype=minidl.float64)
    both(theirs, ours)
    mine, other = tensors(minidl, arrays), tensors(torch, arrays)
    with minidl.use_backend(backend):
        y, weights = ours(*mine, **call_with(minidl, call))
        z, their_weights = theirs(*other, **call_with(torch, call))
        assert tuple(y.shape) == tuple(z.shape)
        same(y, z)
        g = np.random.default_rng(seed).normal(size=y.shape)
        if weights is None:
            assert their_weights is None
            y.backward(minidl.tensor(g))
            z.backward(torch.tensor(g))
        else:
            same(weights, their_weights)
            h = np.random.default_rng(seed + 1).normal(size=weights.shape)
            minidl.autograd.backward([y, weights], [minidl.tensor(g), minidl.tensor(h)])
            torch.autograd.backward([z, their_weights], [torch.tensor(g), torch.tensor(h)])
    for a, b in zip(mine, other):
        same(a.grad, b.grad)
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters()):
        assert (p.grad is None) == (q.grad is None), name
        if q.grad is not None:
            same(p.grad, q.grad)


def test_the_weights_of_both_ways_agree_and_sum_to_one():
    layer = nn.MultiheadAttention(12, 3, batch_first=True)
    x = minidl.randn(2, 5, 12)
    slow, weights = layer(x, x, x, average_attn_weights=False)
    fast, none = layer(x, x, x, need_weights=False)
    assert none is None
    assert weights.shape == (2, 3, 5, 5)
    np.testing.assert_allclose(weights.sum(-1).detach().numpy(), 1, atol=1e-6)
    np.testing.assert_allclose(slow.detach().numpy(), fast.detach().numpy(), atol=1e-6)


def test_a_query_that_sees_nothing():
    """NaN with weights, as in PyTorch; from the fused kernel only what the output's bias gives."""
    layer = nn.MultiheadAttention(4, 2)
    nn.init.ones_(layer.out_proj.bias)
    x, mask = minidl.randn(3, 1, 4), minidl.ones(3, 3, dtype=minidl.bool)
    assert layer(x, x, x, attn_mask=mask)[0].isnan().all()
    np.testing.assert_allclose(layer(x, x, x, attn_mask=mask, need_weights=False)[0].detach().numpy(), 1)


def test_gradient_to_a_floating_mask():
    theirs = torch.nn.MultiheadAttention(6, 2, dtype=torch.float64)
    ours = nn.MultiheadAttention(6, 2, dtype=minidl.float64)
    both(theirs, ours)
    rng = np.random.default_rng(0)
    x, m = rng.normal(size=(4, 3, 6)), rng.normal(size=(4, 4))
    for need in (True, False):
        a, b = minidl.tensor(m, requires_grad=True), torch.tensor(m, requires_grad=True)
        ours(*tensors(minidl, [x] * 3), attn_mask=a, need_weights=need)[0].square().sum().backward()
        theirs(*tensors(torch, [x] * 3), attn_mask=b, need_weights=need)[0].square().sum().backward()
        same(a.grad, b.grad)


def with_parameters(layer, call):
    """``call(layer, …)`` as a function of inputs and, after them, of all parameters of the layer."""
    places = [(module, name) for module in layer.modules() for name, p in module._parameters.items() if p is not None]

    def f(*tensors):
        inputs, values = tensors[: -len(places)], tensors[-len(places) :]
        for (module, name), value in zip(places, values):
            module._parameters[name] = value
        return call(layer, *inputs)

    return f, [module._parameters[name].detach().requires_grad_() for module, name in places]


@pytest.mark.parametrize("need_weights", [True, False])
def test_second_derivatives(need_weights):
    minidl.manual_seed(0)
    layer = nn.MultiheadAttention(4, 2, add_bias_kv=True, dtype=minidl.float64)
    x, memory = (minidl.randn(2, 1, 4, dtype=minidl.float64, requires_grad=True) for _ in range(2))
    f, parameters = with_parameters(layer, lambda layer, x, m: layer(x, m, m, need_weights=need_weights)[0])
    assert gradcheck(f, (x, memory, *parameters))
    assert gradgradcheck(f, (x, memory, *parameters))


def test_dropout_thins_the_weights_in_training_only():
    minidl.manual_seed(0)
    layer = nn.MultiheadAttention(8, 2, dropout=0.3)
    x = minidl.randn(40, 2, 8)
    weights = layer(x, x, x, average_attn_weights=False)[1]
    assert (weights == 0).float().mean().item() == pytest.approx(0.3, abs=0.03)
    whole = layer.eval()(x, x, x, average_attn_weights=False)[1]
    kept = (weights != 0).detach().numpy()
    np.testing.assert_allclose(weights.detach().numpy()[kept], whole.detach().numpy()[kept] / 0.7, rtol=1e-5)
    fused = [layer.train()(x, x, x, need_weights=False)[0] for _ in range(300)]
    mean, exact = minidl.stack(fused).mean(0), layer.eval()(x, x, x, need_weights=False)[0]
    np.testing.assert_allclose(mean.detach().numpy(), exact.detach().numpy(), atol=0.05)
    assert not np.allclose(fused[0].detach().numpy(), exact.detach().numpy(), atol=1e-3)


def test_initial_values():
    minidl.manual_seed(0)
    layer = nn.MultiheadAttention(64, 4, add_bias_kv=True)
    bound = math.sqrt(6 / (64 + 192))
    assert 0.98 * bound < layer.in_proj_weight.abs().max().item() <= bound
    assert layer.out_proj.weight.abs().max().item() <= 1 / 8
    assert not layer.in_proj_bias.any()
    assert not layer.out_proj.bias.any()
    other = nn.MultiheadAttention(64, 4, kdim=32)
    assert other.in_proj_weight is None
    assert other.k_proj_weight.shape == (64, 32)
    bound = math.sqrt(6 / 96)
    assert 0.98 * bound < other.k_proj_weight.abs().max().item() <= bound


def test_the_function_has_pytorchs_arguments():
    theirs = inspect.signature(torch.nn.functional.multi_head_attention_forward).parameters
    ours = inspect.signature(F.multi_head_attention_forward).parameters
    assert list(ours)[: len(theirs)] == list(theirs)
    assert [ours[n].default for n in theirs] == [theirs[n].default for n in theirs]
    for name in ("__init__", "forward"):
        theirs = inspect.signature(getattr(torch.nn.MultiheadAttention, name)).parameters
        ours = inspect.signature(getattr(nn.MultiheadAttention, name)).parameters
        assert {n: p.default for n, p in ours.items()} == {n: p.default for n, p in theirs.items()}


def test_static_keys_and_values():
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=s) for s in [(3, 2, 4)] * 3 + [(12, 4), (12,)]]
    out, bias, k, v = (rng.normal(size=s) for s in [(4, 4), (4,), (4, 5, 2), (4, 5, 2)])

    def run(library):
        t = lambda a: library.tensor(a)
        q, key, value, w, b = map(t, arrays)
        f = library.nn.functional.multi_head_attention_forward
        return f(
            *(q, key, value, 4, 2, w, b, None, None, False, 0.0, t(out), t(bias)),
            static_k=t(k),
            static_v=t(v),
            attn_mask=None,
        )

    for ours, theirs in zip(run(minidl), run(torch)):
        same(ours, theirs)


X = np.zeros((3, 2, 4))
ERRORS = [
    (AssertionError, "2D or batched 3D", (X[None], X, X), {}),
    (AssertionError, "expected `key` and `value` to be 3-D", (X, X[0], X[0]), {}),
    (AssertionError, "expected `key` and `value` to be 2-D", (X[0], X, X), {}),
    (AssertionError, "`key_padding_mask` to be `None` or 2-D", (X, X, X), {"key_padding_mask": np.zeros(3, bool)}),
    (AssertionError, "`attn_mask` to be `None` or 2-D or 3-D", (X, X, X), {"attn_mask": np.zeros(3, bool)}),
    (AssertionError, "only bool and floating types", (X, X, X), {"key_padding_mask": np.zeros((2, 3), int)}),
    (AssertionError, "embedding dimension of 4", (X[..., :2],) * 3, {}),
    (AssertionError, "does not match value shape", (X, X, X[:2]), {}),
    (AssertionError, "key_padding_mask of shape", (X, X, X), {"key_padding_mask": np.zeros((2, 4), bool)}),
    (AssertionError, "`attn_mask` shape", (X[0], X[0], X[0]), {"attn_mask": np.zeros((1, 2, 2))}),
    (RuntimeError, r"2D attn_mask is \[3, 2\]", (X, X, X), {"attn_mask": np.zeros((3, 2))}),
    (RuntimeError, r"3D attn_mask is \[3, 3, 3\]", (X, X, X), {"attn_mask": np.zeros((3, 3, 3))}),
    (RuntimeError, "Need attn_mask", (X, X, X), {"is_causal": True}),
    (RuntimeError, "dtype", (X.astype("f"),) * 3, {}),
]


@pytest.mark.parametrize(("kind", "message", "arrays", "call"), ERRORS, ids=[message for _, message, *_ in ERRORS])
def test_wrong_calls(kind, message, arrays, call):
    theirs = torch.nn.MultiheadAttention(4, 2, dtype=torch.float64)
    ours = nn.MultiheadAttention(4, 2, dtype=minidl.float64)
    with pytest.raises(kind, match=message):
        ours(*tensors(minidl, arrays, False), **call_with(minidl, call))
    with pytest.raises(kind):
        theirs(*tensors(torch, arrays, False), **call_with(torch, call))


@pytest.mark.parametrize("widths", [(4, 4, 5), (4, 3, 4)])
def test_keys_and_values_of_the_wrong_width(widths):
    for library in (torch, minidl):
        layer = library.nn.MultiheadAttention(4, 2, kdim=3, vdim=5)
        with pytest.raises(AssertionError, match=r"expecting (key|value|k_proj|v_proj)"):
            layer(*(library.zeros(3, 2, width) for width in widths))


def test_attention_drops_with_a_probability():
    for library in (torch, minidl):
        x = library.zeros(1, 2, 3, 4)
        with pytest.raises(RuntimeError, match="dropout probability has to be between 0 and 1"):
            library.nn.functional.scaled_dot_product_attention(x, x, x, dropout_p=2.0)


def test_wrong_settings():
    for library in (minidl, torch):
        with pytest.raises(ValueError, match="greater than 0"):
            library.nn.MultiheadAttention(0, 2)
        with pytest.raises(ValueError, match="greater than 0"):
            library.nn.MultiheadAttention(4, 0)
        with pytest.raises(AssertionError, match="divisible"):
            library.nn.MultiheadAttention(5, 2)


def test_under_autocast_the_products_are_in_half_precision():
    layer, x = nn.MultiheadAttention(8, 2), minidl.randn(5, 2, 8)
    exact = layer(x, x, x)[0].detach().numpy()
    for need in (True, False):
        with minidl.autocast("cpu", dtype=minidl.bfloat16):
            y = layer(x, x, x, need_weights=need)[0]
        assert y.dtype == minidl.bfloat16
        np.testing.assert_allclose(y.float().detach().numpy(), exact, atol=0.03)
