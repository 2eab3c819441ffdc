"""Adapters: they start as nothing, train alone, merge exactly, travel on their own; ranks go to what matters."""

import numpy as np
import pytest

import minidl
from minidl import models, nn, optim
from minidl.models import lora

torch = pytest.importorskip("torch")


def classifier(seed=0):
    minidl.manual_seed(seed)
    return models.BertClassifier(models.BERT(13, width=12, layers=2, heads=3, context=8), 2).double().eval()


def tokens(n=3, t=6):
    return minidl.tensor(np.random.default_rng(0).integers(1, 13, (n, t)))


def shaken(model):
    """Adapters with numbers in them."""
    rng = np.random.default_rng(1)
    with minidl.no_grad():
        for adapter in lora.adapters(model).values():
            for parameter in adapter.parameters():
                if parameter.requires_grad:
                    parameter.copy_(minidl.tensor(rng.standard_normal(parameter.shape)))
    return model


@pytest.mark.parametrize("kind", [lora.LoRALinear, lora.AdaLoRALinear])
def test_adapters_start_as_nothing_and_merge_exactly(kind):
    model, x = classifier(), tokens()
    before = model(x).numpy(force=True)
    names = set(model.state_dict())
    lora.add_adapters(model, kind, rank=3)
    np.testing.assert_array_equal(model(x).numpy(force=True), before)
    assert len(lora.adapters(model)) == 4
    with_adapters = shaken(model)(x).numpy(force=True)
    assert abs(with_adapters - before).max() > 1e-4
    lora.merge_adapters(model)
    assert set(model.state_dict()) == names
    np.testing.assert_allclose(model(x).numpy(force=True), with_adapters, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("kind", [lora.LoRALinear, lora.AdaLoRALinear])
def test_only_adapters_and_head_are_trained(kind):
    model = shaken(lora.add_adapters(classifier(), kind, rank=3))
    frozen = {n: p.numpy(force=True).copy() for n, p in model.named_parameters() if not p.requires_grad}
    trained = {n: p.numpy(force=True).copy() for n, p in model.named_parameters() if p.requires_grad}
    assert all("lora_" in n or n.startswith("classifier.") for n in trained)
    optimizer = optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
    model(tokens()).square().sum().backward()
    optimizer.step()
    after = dict(model.named_parameters())
    assert all((after[n].numpy(force=True) == a).all() for n, a in frozen.items())
    assert all((after[n].numpy(force=True) != a).any() for n, a in trained.items())
    assert all(after[n].grad is None for n in frozen)


@pytest.mark.parametrize("kind", [lora.LoRALinear, lora.AdaLoRALinear])
def test_gradients(kind):
    minidl.manual_seed(0)
    layer = kind(nn.Linear(4, 5).double(), rank=2, alpha=3.0)
    for parameter in layer.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter)
    x = minidl.randn(3, 4, dtype=minidl.float64)
    layer(x).square().sum().backward()
    w = {name: torch.tensor(p.numpy(force=True), requires_grad=True) for name, p in layer.named_parameters()}
    delta = (w["lora_P"] * w["lora_E"]) @ w["lora_Q"] if "lora_P" in w else w["lora_B"] @ w["lora_A"]
    y = torch.tensor(x.numpy()) @ (w["base.weight"] + 1.5 * delta).T + w["base.bias"]
    np.testing.assert_allclose(layer(x).numpy(force=True), y.detach().numpy(), rtol=1e-10)
    y.square().sum().backward()
    for name, parameter in layer.named_parameters():
        if parameter.requires_grad:
            np.testing.assert_allclose(parameter.grad.numpy(), w[name].grad.numpy(), rtol=1e-9, err_msg=name)


def test_lora_is_the_papers():
    minidl.manual_seed(0)
    layer = lora.LoRALinear(nn.Linear(6, 4), rank=2, alpha=8)
    nn.init.normal_(layer.lora_B)
    a, b, w, bias = (
        torch.tensor(t.numpy(force=True)) for t in (layer.lora_A, layer.lora_B, layer.base.weight, layer.base.bias)
    )
    x = np.random.default_rng(0).standard_normal((3, 6)).astype(np.float32)
    expected = torch.tensor(x) @ (w + 4 * b @ a).T + bias
    np.testing.assert_allclose(layer(minidl.tensor(x)).numpy(force=True), expected.numpy(), rtol=1e-5, atol=1e-5)
    assert "rank=2, scaling=4" in repr(layer)


def test_adapters_travel_on_their_own(tmp_path):
    model = shaken(lora.add_adapters(classifier(), rank=3))
    lora.save_adapters(model, tmp_path / "adapters.safetensors")
    whole = sum(p.numel() for p in model.parameters()) * 8
    assert (tmp_path / "adapters.safetensors").stat().st_size < whole
    fresh = lora.add_adapters(classifier(), rank=3)
    lora.load_adapters(fresh, tmp_path / "adapters.safetensors")
    np.testing.assert_array_equal(fresh(tokens()).numpy(force=True), model(tokens()).numpy(force=True))
    other = lora.add_adapters(classifier(), rank=2)
    before = other(tokens()).numpy(force=True)
    with pytest.raises(RuntimeError, match=r"does not fit .*lora_A is \[3, 12\], here \[2, 12\]"):
        lora.load_adapters(other, tmp_path / "adapters.safetensors")
    np.testing.assert_array_equal(other(tokens()).numpy(force=True), before)
    with pytest.raises(RuntimeError, match=r"query is scaled by 5\.33333, here by 1"):
        lora.load_adapters(lora.add_adapters(classifier(), rank=3, alpha=3.0), tmp_path / "adapters.safetensors")
    with pytest.raises(RuntimeError, match="lora_E is missing"):
        lora.load_adapters(
            lora.add_adapters(classifier(), lora.AdaLoRALinear, rank=3), tmp_path / "adapters.safetensors"
        )


def test_wrong_use():
    with pytest.raises(ValueError, match="no linear layer of BertClassifier is called attn"):
        lora.add_adapters(classifier(), targets=["attn"])
    with pytest.raises(ValueError, match="rank must be from 1 to 12"):
        lora.add_adapters(classifier(), rank=13)
    with pytest.raises(ValueError, match="has no AdaLoRA layers"):
        lora.RankAllocator(lora.add_adapters(classifier()), 2, 10)
    with pytest.raises(ValueError, match="target must be from 1 to"):
        lora.RankAllocator(lora.add_adapters(classifier(), lora.AdaLoRALinear, rank=3), 4, 10)


def test_the_budget_falls_along_a_cubic():
    model = lora.add_adapters(classifier(), lora.AdaLoRALinear, rank=4)
    allocator = lora.RankAllocator(model, target=1, total=100, begin=0.1, end=0.3)
    budgets = [allocator.budget(t) for t in range(101)]
    assert budgets[:11] == [16] * 11
    assert budgets[70:] == [4] * 31
    assert budgets == sorted(budgets, reverse=True)
    assert budgets[40] == round(4 + 12 * 0.5**3)


def test_all_triplets_are_alive_until_the_budget_falls():
    model = lora.add_adapters(classifier(), lora.AdaLoRALinear, rank=4)
    allocator = lora.RankAllocator(model, target=1, total=100, begin=0.1, end=0.3)
    assert all((a.lora_E == 0).all() for a in lora.adapters(model).values())
    for _ in range(10):
        assert allocator.ranks() == [4, 4, 4, 4]
        allocator.prune()
    for a in lora.adapters(model).values():
        nn.init.ones_(a.lora_E)
    allocator.prune()
    assert sum(allocator.ranks()) == allocator.budget(11) < 16


def test_ranks_go_where_the_gradient_is():
    """Two layers; the loss feels one of them alone, and two of its four triplets more than the others."""
    minidl.manual_seed(0)

    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.query, self.value = nn.Linear(6, 6), nn.Linear(6, 6)

    model = lora.add_adapters(Pair(), lora.AdaLoRALinear, rank=4)
    allocator = lora.RankAllocator(model, target=1, total=20, begin=0.0, end=0.5)
    rng = np.random.default_rng(0)
    for adapter in lora.adapters(model).values():
        nn.init.ones_(adapter.lora_E)
    strength = {"query": np.array([5.0, 0.1, 5.0, 0.1]), "value": np.full(4, 0.01)}
    for _ in range(20):
        for name, adapter in lora.adapters(model).items():
            for part in "PEQ":
                parameter = getattr(adapter, f"lora_{part}")
                noise = rng.standard_normal(parameter.shape)
                scale = {"P": strength[name], "E": strength[name], "Q": strength[name][:, None]}[part]
                parameter.grad = minidl.tensor((noise * scale).astype(np.float32))
        allocator.observe()
        nn.init.ones_(model.query.lora_E)
        nn.init.ones_(model.value.lora_E)
        allocator.prune()
    assert (model.query.lora_E != 0).tolist() == [True, False, True, False]
    assert allocator.ranks() == [2, 0]
    again = lora.RankAllocator(model, target=1, total=20, begin=0.0, end=0.5)
    again.load_state_dict(allocator.state_dict())
    assert again.step_number == 20
    np.testing.assert_array_equal(again._triplets(0), allocator._triplets(0))


def test_orthogonality_is_zero_at_first_and_pulls_back():
    model = lora.add_adapters(classifier(), lora.AdaLoRALinear, rank=3)
    assert lora.orthogonality(model).item() == pytest.approx(0, abs=1e-20)
    shaken(model)
    optimizer = optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.003)
    before = lora.orthogonality(model).item()
    for _ in range(30):
        optimizer.zero_grad()
        loss = lora.orthogonality(model)
        loss.backward()
        optimizer.step()
    assert lora.orthogonality(model).item() < 0.2 * before


class Sharing(nn.Module):
    """Two linear layers with one weight, or one layer under two names."""

    def __init__(self, one_layer):
        super().__init__()
        self.query = nn.Linear(4, 4)
        self.value = self.query if one_layer else nn.Linear(4, 4)
        self.value.weight = self.query.weight

    def forward(self, x):
        return self.value(self.query(x))


@pytest.mark.parametrize("one_layer", [False, True])
def test_shared_layers_and_weights_merge_exactly(one_layer):
    minidl.manual_seed(0)
    model = lora.add_adapters(Sharing(one_layer), rank=2)
    assert (model.query is model.value) is one_layer
    with minidl.no_grad():
        for adapter in lora.adapters(model).values():
            adapter.lora_B.copy_(minidl.randn(4, 2))
    x = minidl.randn(3, 4)
    before = model(x)
    merged = lora.merge_adapters(model)
    assert not lora.adapters(merged)
    np.testing.assert_allclose(merged(x).numpy(force=True), before.numpy(force=True), rtol=1e-5, atol=1e-5)


def test_an_adapter_merges_by_itself_and_attention_takes_none():
    adapter = lora.LoRALinear(nn.Linear(4, 4), 2)
    assert lora.merge_adapters(adapter) is adapter.base
    with pytest.raises(ValueError, match="MultiheadAttention cannot have an adapter"):
        lora.add_adapters(nn.MultiheadAttention(4, 2), targets=("out_proj",), rank=2)


def test_ranks_are_given_where_no_gradient_has_come_yet():
    model = lora.add_adapters(Sharing(False), lora.AdaLoRALinear, rank=3)
    lora.RankAllocator(model, 1, 10, 0.0, 0.0).prune()
