"""The ledger against what tracemalloc measures: what is kept, the peaks, and what checkpointing really saves."""

from __future__ import annotations

import gc
import tracemalloc

import matplotlib.pyplot as plt
import numpy as np
import pytest

import minidl
import minidl.nn.functional as F
from minidl import inspect, models, nn, optim
from minidl.inspect import kept
from minidl.utils.checkpoint import checkpoint
from minidl_kernels import threads


@pytest.fixture(autouse=True)
def one_thread():
    """Which blocks of several threads are in work at once is chance; of one, they are always the same."""
    before = threads.get_num_threads()
    threads.set_num_threads(1)
    yield
    threads.set_num_threads(before)
    plt.close("all")


def mlp():
    model = nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 256), nn.Tanh(), nn.Linear(256, 10))
    x, y = minidl.randn(512, 256), minidl.randint(0, 10, (512,))
    return model, lambda: F.cross_entropy(model(x), y)


def convnet():
    model = nn.Sequential(
        *(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(1600, 128), nn.ReLU(), nn.Linear(128, 10)),
    )
    x, y = minidl.randn(16, 1, 28, 28), minidl.randint(0, 10, (16,))
    return model, lambda: F.cross_entropy(model(x), y)


def lstm():
    layers, head = nn.LSTM(64, 96, 2), nn.Linear(96, 20)
    x, y = minidl.randn(24, 32, 64), minidl.randint(0, 20, (768,))
    return nn.ModuleList([layers, head]), lambda: F.cross_entropy(head(layers(x)[0]).reshape(-1, 20), y)


def transformer():
    model = nn.TransformerEncoderLayer(128, 4, 256, batch_first=True)
    x = minidl.randn(8, 64, 128)
    return model, lambda: model(x).square().mean()


def gru():
    layers, head = nn.GRU(32, 64, batch_first=True, bidirectional=True), nn.Linear(128, 5)
    x, y = minidl.randn(32, 40, 32), minidl.randint(0, 5, (32,))
    return nn.ModuleList([layers, head]), lambda: F.cross_entropy(head(layers(x)[0][:, -1]), y)


def gpt():
    model = models.GPT(vocab_size=300, context=64, width=96, layers=2, heads=4)
    tokens = minidl.randint(0, 300, (8, 64))
    return model, lambda: F.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten())


def pyramid():
    """Strides, batch normalisation, a transposed convolution and a skip."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 32, 3, stride=2, padding=1)
            self.norm, self.up = nn.BatchNorm2d(32), nn.ConvTranspose2d(32, 16, 2, stride=2)
            self.out = nn.Conv2d(32, 1, 3, padding=1)

        def forward(self, x):
            a = self.a(x).relu()
            return self.out(minidl.cat([a, self.up(self.norm(self.b(a)).relu())], 1))

    model, x = Net(), minidl.randn(4, 3, 48, 48)
    return model, lambda: F.mse_loss(model(x), x[:, :1])


FAMILIES = {"mlp": mlp, "convnet": convnet, "lstm": lstm, "transformer": transformer}
MORE = {"gru": gru, "gpt": gpt, "pyramid": pyramid}


@pytest.fixture
def build(request):
    build = {**FAMILIES, **MORE}[request.param]
    model, loss = build()
    loss().backward()  # what is made once (caches, tables) is no part of a step
    del model, loss
    return build


@pytest.mark.parametrize("build", [*FAMILIES, *MORE], indirect=True)
def test_backward_within_ten_percent(build):
    gc.collect()
    tracemalloc.start()
    try:
        model, compute = build()
        loss = compute()
        begun = tracemalloc.get_traced_memory()[0]
        book = inspect.ledger(loss)
        predicted_kept, predicted = book.kept, book.peak_backward
        del book
        tracemalloc.reset_peak()
        loss.backward()
        measured = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert predicted_kept == pytest.approx(begun, rel=0.02)
    assert predicted == pytest.approx(measured, rel=0.1)
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("build", FAMILIES, indirect=True)
def test_a_training_step_within_ten_percent(build):
    model, compute = build()
    optimizer = optim.Adam(model.parameters())
    predicted = inspect.ledger(compute(), optimizer=optimizer).peak_step
    del model, compute, optimizer

    def train():
        model, compute = build()
        optimizer = optim.Adam(model.parameters())

        def step():
            optimizer.zero_grad()
            compute().backward()
            optimizer.step()

        step()
        step()  # from the second on, the optimiser's state is there

    assert predicted == pytest.approx(inspect.measure(train).peak, rel=0.1)


def deep():
    layers = [layer for _ in range(12) for layer in (nn.Linear(128, 128), nn.Tanh())]
    return nn.Sequential(*layers, nn.Linear(128, 10)), minidl.randn(1024, 128), minidl.randint(0, 10, (1024,))


def test_checkpointing_saves_what_was_predicted():
    model, x, y = deep()
    with inspect.trace():
        loss = F.cross_entropy(model(x), y)
    plan = inspect.ledger(loss).checkpointing()
    assert len(plan.segments) > 1
    assert plan.peak_after < 0.8 * plan.peak_before
    text = str(plan)
    assert "checkpoint(" in text
    assert plan.segments[0].paths[-1] in text
    del loss

    def run(segments):
        gc.collect()
        tracemalloc.start()
        try:
            model, x, y = deep()
            done = 0
            for segment in segments:
                first, last = (int(segment.paths[i].removeprefix("model.")) for i in (0, -1))
                x = checkpoint(model[first : last + 1], model[done:first](x) if first > done else x)
                done = last + 1
            loss = F.cross_entropy(model[done:](x), y)
            del x
            after = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            loss.backward()
            return after, tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    plain, saving = run([]), run(plan.segments)
    assert plan.kept_before == pytest.approx(plain[0], rel=0.05)
    assert plan.kept_after == pytest.approx(saving[0], rel=0.1)
    assert plan.peak_before == pytest.approx(plain[1], rel=0.1)
    assert plan.peak_after == pytest.approx(saving[1], rel=0.1)


def test_checkpointing_a_transformer():
    def encoder():
        layer = nn.TransformerEncoderLayer(128, 4, 256, batch_first=True)
        return nn.TransformerEncoder(layer, 4), minidl.randn(8, 64, 128)

    model, x = encoder()
    with inspect.trace():
        loss = model(x).square().mean()
    plan = inspect.ledger(loss).checkpointing()
    paths = [path for segment in plan.segments for path in segment.paths]
    assert plan.saved > 0
    assert set(paths) <= {f"model.layers.{i}" for i in range(4)}
    assert all(len(segment.paths) == 1 for segment in plan.segments)
    del loss, model, x
    gc.collect()
    tracemalloc.start()
    try:
        model, x = encoder()
        for i, layer in enumerate(model.layers):
            x = checkpoint(layer, x) if f"model.layers.{i}" in paths else layer(x)
        loss = x.square().mean()
        del x
        after = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        loss.backward()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert plan.kept_after == pytest.approx(after, rel=0.1)
    assert plan.peak_after == pytest.approx(peak, rel=0.1)


def test_nothing_to_checkpoint():
    model = nn.Linear(3, 2)
    with inspect.trace():
        loss = model(minidl.randn(4, 3)).sum()
    plan = inspect.ledger(loss).checkpointing()
    assert plan.segments == []
    assert "would save nothing" in str(plan)


def test_shared_memory_is_counted_once():
    x = minidl.randn(64, 32).requires_grad_()
    y = x.exp()  # keeps its output
    loss = (y.reshape(32, 64).T * y.reshape(64, 32)).sum()  # keeps two views of it
    book = inspect.ledger(loss, names={"x": x})
    kinds = {entry.kind: entry for entry in book.entries}
    assert len(book.entries) == 2
    assert kinds["activation"].nbytes == book.activations == 64 * 32 * 4
    assert {holder.name for holder in kinds["activation"].holders} == {"Exp", "Mul"}
    assert kinds["activation"].views == 2
    assert kinds["parameter"].name == "x"
    assert book.gradients == x.nbytes


def test_an_expanded_array_takes_what_it_is():
    x = minidl.randn(8, 1).requires_grad_()
    weights = minidl.ones(1).expand(8, 1000)
    book = inspect.ledger((x * weights).sum())
    constant = next(entry for entry in book.entries if entry.kind == "constant")
    assert (constant.nbytes, constant.shape) == (4, (8, 1000))


def test_a_view_keeps_its_whole_base_alive():
    base = minidl.randn(1000, 10)
    w = minidl.randn(10).requires_grad_()
    book = inspect.ledger((base[:2] * w).sum())
    assert book.constants == base.nbytes


def test_lines_and_words():
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    x = minidl.randn(16, 4)
    with inspect.trace():
        loss = model(x).sum()
    book = inspect.ledger(loss, names=model, optimizer=optim.SGD(model.parameters(), momentum=0.9))
    text = str(book)
    assert {entry.name for entry in inspect.ledger(loss).entries if entry.kind != "activation"} >= {"x", "0.weight"}
    for word in ("0.weight", "Relu (output 0), Linear (input 0)", "test_ledger.py", "predicted peak", "16 × 8"):
        assert word in text
    assert book.states == sum(p.nbytes for p in model.parameters())
    ax = book.plot()
    assert book.plot(ax) is ax


def test_without_a_trace_it_says_so():
    book = inspect.ledger(minidl.randn(3).requires_grad_().exp().sum())
    assert "inspect.trace()" in str(book)
    with pytest.raises(RuntimeError, match=r"inspect\.trace"):
        book.checkpointing()


def test_without_a_module_there_is_nothing_to_checkpoint():
    with inspect.trace():
        loss = minidl.randn(3).requires_grad_().exp().sin().sum()
    found = inspect.ledger(loss).checkpointing()
    assert found.segments == []
    assert found.saved == 0
    assert "would save nothing" in str(found)


def test_a_checkpointed_graph_says_what_is_not_seen():
    x = minidl.randn(3).requires_grad_()
    assert "compute again" in str(inspect.ledger(checkpoint(lambda x: x.exp().sin(), x).sum()))


def test_several_losses_and_a_deep_graph():
    x = minidl.randn(4).requires_grad_()
    both = inspect.ledger([x.exp().sum(), x.sin().sum()])
    assert {operator.name for operator in both.operators} == {"Exp", "Sin", "Sum"}
    y = x
    for _ in range(3000):
        y = y.exp()
    book = inspect.ledger(y.sum())
    assert book.activations == 3000 * 16
    assert np.isfinite(book.peak_backward)


def test_empty_and_single():
    x = minidl.zeros(0, 3).requires_grad_()
    assert inspect.ledger(x.exp().sum()).activations == 0
    assert inspect.ledger(minidl.ones(1).requires_grad_().exp()).activations == 4


def test_wrong_use():
    with pytest.raises(TypeError, match="ledger: expected a Tensor"):
        inspect.ledger([3.0])
    with pytest.raises(RuntimeError, match="no graph"):
        inspect.ledger(minidl.zeros(3))
    loss = minidl.ones(3).requires_grad_().exp().sum()
    loss.backward()
    with pytest.raises(RuntimeError, match="compute the loss again"):
        inspect.ledger(loss)
    tracemalloc.start()
    try:
        with pytest.raises(RuntimeError, match="already"):
            inspect.measure(lambda: None)
    finally:
        tracemalloc.stop()


def test_measure():
    found = inspect.measure(lambda: np.zeros(10**6, np.uint8))
    assert found.result.nbytes == 10**6
    assert found.after == pytest.approx(10**6, rel=0.05)
    assert inspect.measure(lambda: bool(np.zeros(10**6, np.uint8).any())).peak == pytest.approx(10**6, rel=0.05)


def test_changes_in_place_and_indices():
    x, index = minidl.randn(8, 4).requires_grad_(), minidl.tensor([0, 2])
    y = x * 2
    y[1:3] = x[:2].exp()
    book = inspect.ledger(y[index].sum())
    held = {holder.role for entry in book.entries for holder in entry.holders}
    assert "its own index" in held
    assert book.gradients == x.nbytes
    assert book.peak_backward > x.nbytes


def test_every_operator_can_be_held_to_account():
    """What an operator keeps as attributes is found too, and told apart from what backward releases."""
    pool = nn.MaxPool2d(2)(minidl.randn(1, 1, 4, 4).requires_grad_())
    ((role, array, _, released),) = [h for h in kept.held(pool.grad_fn) if "which" in h[0]]
    assert (role, array.dtype, released) == ("its own which", np.uint8, False)
