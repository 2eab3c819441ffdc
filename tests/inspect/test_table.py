"""The model as a table: shapes, parameters, operations counted by hand, and bytes counted from the arrays."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest

import minidl
from minidl import inspect, nn, optim
from minidl.autograd import tape
from minidl.inspect.calls import tensors_in
from minidl.inspect.numbers import histogram, size_of, sparkline
from minidl.inspect.states import state_bytes
from minidl.nn import hooks


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def rows(found):
    return {layer.path: layer for layer in found.layers}


def test_a_convnet_by_hand():
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 10))
    found = inspect.summary(model, minidl.randn(4, 3, 8, 8))
    layers = rows(found)
    assert [layer.name for layer in found.layers] == ["Sequential", "Conv2d", "ReLU", "MaxPool2d", "Flatten", "Linear"]
    assert layers["0"].shapes == [(4, 8, 8, 8)]
    assert layers["4"].shapes == [(4, 10)]
    assert layers["0"].parameters == 8 * 3 * 9 + 8
    assert layers["4"].parameters == 128 * 10 + 10
    assert layers["0"].flops == 2 * 4 * 8 * 64 * 27
    assert layers["4"].flops == 2 * 4 * 128 * 10 + 4 * 10
    assert layers["4"].backward_flops == 2 * (2 * 4 * 128 * 10)  # ∂x and ∂W
    assert layers["0"].backward_flops == 2 * 4 * 8 * 64 * 27  # ∂W alone: the input requires no gradient
    assert layers["1"].activations == 4 * 8 * 64 * 4  # ReLU keeps its output
    assert layers["2"].activations == 4 * 8 * 16  # the pooling keeps a byte for each window
    assert found.memory.parameters == found.memory.gradients == 4 * found.parameters
    assert found.memory.constants == 4 * 3 * 64 * 4
    assert found.memory.activations == sum(layer.activations for layer in found.layers)
    text = str(found)
    for word in ("Conv2d", "4 × 8 × 8 × 8", "1,514 parameters", "Adam", "FLOP"):
        assert word in text


def test_an_lstm_and_attention_by_hand():
    t, b, i, h = 5, 3, 4, 6
    found = inspect.summary(nn.LSTM(i, h), minidl.randn(t, b, i))
    share, steps = 2 * t * b * i * 4 * h + t * b * 4 * h, 2 * t * b * h * 4 * h
    assert found.layers[0].flops == share + steps + 2 * b * h  # the last states are stacked: a value each
    assert found.layers[0].parameters == 4 * h * (i + h + 2)
    n, s, e, heads = 2, 7, 8, 2
    attention = nn.MultiheadAttention(e, heads, batch_first=True)
    x = minidl.randn(n, s, e)
    found = inspect.summary(attention, {"query": x, "key": x, "value": x, "need_weights": False})
    projections = 2 * n * s * e * 4 * e + n * s * 4 * e
    assert found.flops == projections + 2 * (2 * n * s * s * e)
    assert found.parameters == 4 * e * e + 4 * e  # with out_proj, which is used but never called


def test_the_model_is_left_as_it_was():
    model = nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2))
    x = minidl.randn(6, 4)
    model(x).sum().backward()
    before = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    gradients = [p.grad.numpy().copy() for p in model.parameters()]
    minidl.manual_seed(3)
    expected = minidl.randn(3).numpy()
    minidl.manual_seed(3)
    inspect.summary(model, x)
    inspect.memory(model, x)
    np.testing.assert_array_equal(minidl.randn(3).numpy(), expected)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])
    for p, g in zip(model.parameters(), gradients):
        np.testing.assert_array_equal(p.grad.numpy(), g)
    assert not tape._around
    assert not tape._tracers


def test_hooks_are_taken_off_after_an_error():
    model = nn.Sequential(nn.Linear(4, 2))
    with pytest.raises(RuntimeError, match="in_features"):
        inspect.summary(model, minidl.randn(2, 3))
    assert not tape._around
    assert not tape._tracers
    assert not hooks.everywhere
    assert all(module._hooks is None for module in model.modules())


def test_shared_and_frozen_parameters_are_counted_once():
    layer = nn.Linear(4, 4)
    model = nn.Sequential(layer, nn.Tanh(), layer)
    layer.bias.requires_grad_(False)
    found = inspect.summary(model, minidl.randn(2, 4))
    assert found.parameters == 20
    assert found.trainable == 16
    assert [row.parameters for row in found.layers] == [0, 20, 0, 0]
    assert "4 of them frozen" in str(found)


def test_without_parameters_or_values():
    found = inspect.summary(nn.ReLU(), minidl.randn(3))
    assert (found.parameters, found.memory.activations) == (0, 0)
    empty = inspect.summary(nn.Linear(4, 2), minidl.zeros(0, 4))
    assert (empty.flops, empty.layers[0].shapes) == (0, [(0, 2)])
    one = inspect.summary(nn.Linear(1, 1), minidl.zeros(1, 1))
    assert one.flops == 3


def test_optimiser_states():
    parameters = [minidl.zeros(3, 5).requires_grad_(), minidl.zeros(7).requires_grad_()]
    for optimizer in (
        optim.SGD(parameters),
        optim.SGD(parameters, momentum=0.9),
        optim.Adam(parameters, amsgrad=True),
        optim.RMSprop(parameters, centered=True),
        optim.LBFGS(parameters, max_iter=1),
        optim.LBFGS(parameters, line_search_fn="strong_wolfe", max_iter=1),
    ):
        predicted = state_bytes(optimizer)
        assert not optimizer.state
        for p in parameters:
            p.grad = minidl.ones_like(p)
        optimizer.step(lambda: minidl.zeros(()))
        kept = [v for state in optimizer.state.values() for v in state.values() if isinstance(v, minidl.Tensor)]
        assert predicted == sum(v.nbytes for v in kept), type(optimizer).__name__
        assert state_bytes(optimizer) == predicted


def test_what_an_optimiser_has_kept_is_counted():
    """The history of L-BFGS, which its first step does not have."""
    w = minidl.ones(10, requires_grad=True)
    optimizer = optim.LBFGS([w], lr=0.01, max_iter=4)

    def closure():
        optimizer.zero_grad()
        loss = (w.exp() + w.square()).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    history = len(optimizer.state[w]["old_dirs"])
    assert history > 1
    assert state_bytes(optimizer) >= 2 * history * w.nbytes
    loss = w.exp().sum()
    with_states, without = (inspect.ledger(loss, optimizer=given).states for given in (optimizer, None))
    assert (with_states, without) == (state_bytes(optimizer), 0)


class TwoOutputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 8)

    def forward(self, x):
        return [self.fc(x).exp(), {"more": self.fc(x * 2).sigmoid()}]


class Checkpointed(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 8))

    def forward(self, x):
        return minidl.utils.checkpoint.checkpoint(self.body, x).tanh()


AGREE = {
    "convolutions": (
        lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)),
        (2, 1, 6, 6),
    ),
    "an LSTM": (lambda: nn.LSTM(8, 4, 2, bidirectional=True), (5, 2, 8)),
    "a Transformer": (lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0), 2), (5, 2, 8)),
    "two outputs of one layer": (TwoOutputs, (4, 8)),
    "a checkpoint": (Checkpointed, (4, 8)),
    "a frozen layer": (
        lambda: nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8).requires_grad_(False), nn.Tanh()),
        (4, 8),
    ),
    "evaluation": (lambda: nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8)).eval(), (4, 8)),
}


@pytest.mark.parametrize("name", AGREE)
@pytest.mark.parametrize("amp", [False, True])
@pytest.mark.parametrize("wants_gradient", [False, True])
def test_summary_memory_and_ledger_count_the_same(name, amp, wants_gradient):
    make, shape = AGREE[name]
    model, x = make(), minidl.randn(shape, requires_grad=wants_gradient)
    with minidl.autocast("cpu", enabled=amp):
        memory, summary = inspect.memory(model, x), inspect.summary(model, x)
        outputs = list(tensors_in(model(x)))
        book, whole = inspect.ledger(outputs, model), inspect.ledger(outputs[0].float().square().exp().sum(), model)
    assert memory.activations == summary.memory.activations == book.activations > 0
    assert memory.activations == sum(layer.activations for layer in summary.layers)
    given = sum(s.nbytes for s in book.entries if s.kind == "constant")
    if wants_gradient:  # a leaf, which the ledger takes for a parameter
        given += next((s.nbytes for s in book.entries if s.kind == "parameter" and not s.name), 0)
    assert memory.constants == given
    if name != "two outputs of one layer":
        assert whole.activations > book.activations  # exp keeps its result
    assert "the loss function's too" in str(book)
    assert "up to the model's outputs" in str(memory)
    assert "up to the model's outputs" in str(summary)


@pytest.mark.parametrize("wants_gradient", [False, True])
def test_what_is_the_models_own_is_not_given_from_outside(wants_gradient):
    """Frozen weights and running statistics are kept for backward, and counted already; not so a batch, even if it wants a
    gradient."""
    model = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 8).requires_grad_(False)).eval()
    x = minidl.randn(4, 8, requires_grad=wants_gradient)
    memory = inspect.memory(model, x)
    assert memory.constants == x.nbytes
    book = inspect.ledger(model(x), model)
    kinds = {entry.name: entry.kind for entry in book.entries}
    assert kinds["2.weight"] == "parameter"
    assert kinds["1.running_var"] == "buffer"


def test_memory_by_layer():
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 8), nn.Sigmoid(), nn.Linear(8, 1))
    found = inspect.memory(model, minidl.randn(16, 4))
    kept = {layer.path: layer.activations for layer in found.layers if layer.activations}
    assert kept == {"1": 16 * 8 * 4, "3": 16 * 8 * 4}
    adam = found.optimizers["Adam, AdamW"]
    assert found.total() == 2 * found.parameters + adam + found.activations + found.constants
    assert found.total("SGD") == found.total() - adam
    assert "Tanh" in str(found)
    ax = found.plot()
    assert len(ax.patches) == 2
    assert found.plot(ax) is ax


def test_a_tensor():
    values = np.array([[1.0, -2.0, 0.0], [np.nan, np.inf, 4.0]], np.float32)
    x = minidl.tensor(values, requires_grad=True)
    x.grad = minidl.ones_like(x)
    found = inspect.summary(x)
    assert (found.shape, found.dtype, found.device) == ((2, 3), "minidl.float32", "cpu")
    assert (found.nan, found.inf, found.zeros) == (1, 1, 1)
    finite = values[np.isfinite(values)].astype(float)
    assert found.mean == pytest.approx(finite.mean())
    assert found.std == pytest.approx(finite.std())
    assert found.norm == pytest.approx(np.sqrt(21))
    assert found.gradient_norm == pytest.approx(np.sqrt(6))
    assert sum(found.counts) == 4
    for word in ("2 × 3", "float32", "requires grad", "1 NaN", "1 infinite", "▕", "24 bytes"):
        assert word in str(found)
    found.plot()


@pytest.mark.parametrize(
    "x",
    [
        minidl.zeros(0, 3),
        minidl.tensor(3.0),
        minidl.tensor([True, False]),
        minidl.arange(5),
        minidl.full((3,), float("nan")),
        minidl.tensor([3e38, -3e38]),
        minidl.ones(2, dtype=minidl.float16),
        np.ones((2, 2)),
    ],
    ids=["empty", "single", "bool", "int", "nan", "extreme", "half", "array"],
)
def test_any_tensor(x):
    found = inspect.summary(x)
    assert str(found)
    assert len(found.sparkline) == 24
    found.plot()


def test_the_histogram_is_numpys():
    values = np.random.default_rng(0).normal(size=1000)
    assert sum(histogram(values)) == 1000
    expected, _ = np.histogram(values, 24)
    assert np.abs(np.array(histogram(values)) - expected).max() <= 1  # values on an edge
    assert sparkline([0, 1, 100]) == " ▁█"
    assert sparkline([]) == ""
    assert [size_of(n) for n in (0, 999, 1.5e3, 2e6, 3e9)] == ["0 bytes", "999 bytes", "1.5 kB", "2 MB", "3 GB"]


def test_wrong_use():
    with pytest.raises(TypeError, match="needs an input"):
        inspect.summary(nn.Linear(2, 2))
    with pytest.raises(TypeError, match="takes no input"):
        inspect.summary(minidl.zeros(2), minidl.zeros(2))
    with pytest.raises(TypeError, match="not int"):
        inspect.summary(3)
    with pytest.raises(TypeError, match="must be an nn"):
        inspect.memory(lambda x: x, minidl.zeros(2))
