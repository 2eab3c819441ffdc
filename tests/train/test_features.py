"""What the Trainer does beside plain steps: each feature beside the same thing written out by hand."""

from __future__ import annotations

import math
import signal
import sys
import types

import numpy as np
import pytest

import minidl
from minidl import nn, optim
from minidl.data import DataLoader, Digits, RandomSampler, TensorDataset
from minidl.data.transforms import ToTensor
from minidl.nn import functional as F
from minidl.train import Callback, Metrics, Trainer
from minidl.train.averaging import EMA
from minidl.train.diagnosis import NotFiniteError
from minidl.train.interrupts import Interrupted
from minidl.train.limits import ClipGradients, EarlyStopping
from minidl.train.recipes import Recipe, make_optimizer, make_trainer, recipe_of
from minidl.train.schedules import decay_groups, warmup_cosine
from minidl.train.tracking import TensorBoard, WeightsAndBiases


def data(n=48):
    rng = np.random.default_rng(0)
    return TensorDataset(
        minidl.tensor(rng.normal(size=(n, 6)).astype(np.float32)), minidl.tensor(rng.integers(0, 3, n))
    )


def network():
    minidl.manual_seed(1)
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))


def trainer(model, batch=8, callbacks=(), folder=None, lr=0.1, **settings):
    optimizer = optim.SGD(model.parameters(), lr=lr)
    return Trainer(
        model,
        optimizer,
        DataLoader(data(), batch),
        DataLoader(data(), 48),
        callbacks=callbacks,
        folder=folder,
        **settings,
    )


def weights(model):
    return np.concatenate([p.detach().numpy().ravel() for p in model.parameters()])


def test_accumulated_batches_are_one_large_batch():
    large, small = network(), network()
    trainer(large, batch=16).fit(2)
    trainer(small, batch=4, accumulate=4).fit(2)
    np.testing.assert_allclose(weights(small), weights(large), rtol=1e-4, atol=1e-6)


class Watch(Callback):
    def __init__(self):
        self.seen = []

    def on_update(self, trainer):
        self.seen.append(weights(trainer.model).astype(np.float64))


def test_the_running_mean_of_the_weights():
    model, watch, ema = network(), Watch(), EMA(0.9)
    start = weights(model).astype(np.float64)
    trainer(model, callbacks=[ema, watch]).fit(2)
    mean = start
    for n, now in enumerate(watch.seen, 1):
        beta = min(0.9, (1 + n) / (10 + n))
        mean = beta * mean + (1 - beta) * now
    kept = np.concatenate([value.numpy().ravel() for value in ema.average.values()])
    np.testing.assert_allclose(kept, mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(weights(model), watch.seen[-1].astype(np.float32))  # training goes on with w
    with pytest.raises(ValueError, match="decay of EMA"):
        EMA(1.0)


def test_gradients_are_clipped():
    clip = ClipGradients(norm=0.05)
    before, watch = weights(model := network()), Watch()
    trainer(model, callbacks=[clip, watch], lr=1.0).fit(1)
    steps = np.diff(np.stack([before, *watch.seen]), axis=0)
    assert np.linalg.norm(steps, axis=1).max() <= 0.0501
    assert clip.last_norm > 0.05
    watch = Watch()
    before = weights(model := network())
    trainer(model, callbacks=[ClipGradients(value=0.01), watch], lr=1.0).fit(1)
    assert np.abs(np.diff(np.stack([before, *watch.seen]), axis=0)).max() <= 0.0101
    for wrong in ({}, {"norm": 0.0}, {"value": -1.0}):
        with pytest.raises(ValueError, match="ClipGradients needs"):
            ClipGradients(**wrong)


def test_training_stops_when_it_no_longer_helps(tmp_path):
    run = trainer(network(), callbacks=[EarlyStopping(2)], folder=tmp_path, lr=0.0)
    run.fit(20)
    assert len(run.history) == 3  # the first is the best, two do not better it
    assert (tmp_path / "best.safetensors").exists()
    with pytest.raises(ValueError, match="watches 'taste'"):
        trainer(network(), callbacks=[EarlyStopping(2, "taste")]).fit(1)
    with pytest.raises(ValueError, match="patience"):
        EarlyStopping(0)


def test_of_two_that_may_stop_training_one_is_enough_after_a_resume_too(tmp_path):
    watch = lambda: [EarlyStopping(2), EarlyStopping(50)]
    trainer(network(), callbacks=watch(), folder=tmp_path, lr=0.0).fit(20)
    again = trainer(network(), callbacks=watch(), folder=tmp_path, lr=0.0).resume()
    assert len(again.fit(20)) == 3


def test_a_table_of_measurements_needs_a_folder():
    with pytest.raises(ValueError, match="Metrics writes into the trainer's folder"):
        trainer(network(), callbacks=[Metrics()]).fit(1)


def test_warm_up_then_a_cosine():
    optimizer = optim.SGD(network().parameters(), lr=2.0)
    schedule = warmup_cosine(optimizer, total=10, warmup=4, floor=0.1)
    rates = []
    for _ in range(11):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    expected = [0.5, 1.0, 1.5, 2.0] + [2 * (0.1 + 0.45 * (1 + math.cos(math.pi * t / 6))) for t in range(7)]
    np.testing.assert_allclose(rates, expected)
    with pytest.raises(ValueError, match="0 <= warmup < total"):
        warmup_cosine(optimizer, 4, 4)


def test_matrices_decay_and_biases_do_not():
    decaying, still = decay_groups(network(), 0.1)
    assert [p.ndim for p in decaying["params"]] == [2, 2]
    assert [p.ndim for p in still["params"]] == [1, 1]
    assert (decaying["weight_decay"], still["weight_decay"]) == (0.1, 0.0)


def test_event_files_are_read_back_by_tensorboard(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = trainer(network(), callbacks=[TensorBoard(every=2)], folder=tmp_path)
    run.fit(3)
    events = EventAccumulator(str(tmp_path / "events")).Reload()
    read = events.Scalars("epoch/train_loss")
    assert [e.step for e in read] == [6, 12, 18]
    np.testing.assert_allclose([e.value for e in read], [row["train_loss"] for row in run.history], rtol=1e-6)
    assert [e.step for e in events.Scalars("step/loss")] == list(range(2, 19, 2))
    with pytest.raises(ValueError, match="give it one"):
        trainer(network(), callbacks=[TensorBoard()]).fit(1)


def test_weights_and_biases_is_told_every_epoch(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ModuleNotFoundError, match="pip install wandb"):
        WeightsAndBiases()
    told = []

    class Run:
        def log(self, row, step):
            told.append((step, row))

        def finish(self):
            told.append("finished")

    def init(**settings):
        told.append(settings)
        return Run()

    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=init))
    run = trainer(network(), callbacks=[WeightsAndBiases(project="letters", mode="offline")])
    run.settings = {"lr": 0.1}
    run.fit(2)
    assert told[0] == {"config": {"lr": 0.1}, "project": "letters", "mode": "offline"}
    assert told[1:] == [(6, run.history[0]), (12, run.history[1]), "finished"]


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_mixed_precision_learns_the_same(precision):
    exact, mixed = trainer(network()), trainer(network(), precision=precision)
    exact.fit(3)
    mixed.fit(3)
    assert mixed.history[-1]["train_loss"] == pytest.approx(exact.history[-1]["train_loss"], rel=0.02)
    assert all(p.dtype is minidl.float32 for p in mixed.model.parameters())


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_a_recipe_with_everything_trains(tmp_path, optimizer):
    recipe = Recipe(
        epochs=2, optimizer=optimizer, lr=3e-3, schedule="cosine", warmup=0.5, weight_decay=1e-3, label_smoothing=0.1,
        ema=0.99, clip_norm=1.0, accumulate=2, augment=True,
    )  # fmt: skip
    minidl.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    run = make_trainer(
        model,
        recipe,
        Digits(transform=ToTensor()),
        Digits(train=False, transform=ToTensor()),
        data="digits",
        seed=0,
        folder=tmp_path,
    )
    run.fit(2)
    assert run.history[-1]["train_loss"] < run.history[0]["train_loss"]
    assert run.history[-1]["lr"] < recipe.lr


def test_recipes_that_cannot_be():
    with pytest.raises(ValueError, match="adam, adamw or sgd"):
        make_optimizer(network(), Recipe(optimizer="lion"))
    with pytest.raises(ValueError, match="constant or cosine"):
        make_trainer(network(), Recipe(schedule="steps"), data(), data(), data="digits", seed=0)
    assert recipe_of("resnet").schedule == "cosine"
    assert recipe_of("mlp") == Recipe().with_options(lr=None)


def test_averages_on_averages_come_off_in_reverse_order():
    def weights(*rates):
        minidl.manual_seed(0)
        model = nn.Linear(3, 2)
        trainer = Trainer(
            model,
            optim.SGD(model.parameters(), 0.1),
            [(minidl.rand(4, 3), minidl.tensor([0, 1, 0, 1]))] * 3,
            [(minidl.rand(4, 3), minidl.tensor([0, 1, 0, 1]))],
            callbacks=[EMA(rate) for rate in rates],
        )
        trainer.fit(2)
        return model.weight

    assert minidl.equal(weights(0.5, 0.9), weights())


def test_fit_goes_on_after_it_stopped_inside_an_epoch():
    minidl.manual_seed(0)
    model, calls = nn.Linear(3, 2), []

    def loss(scores, targets):
        calls.append(1)
        return F.cross_entropy(scores, targets) * (float("nan") if len(calls) == 3 else 1.0)

    data = TensorDataset(minidl.rand(8, 3), minidl.tensor([0, 1] * 4))
    trainer = Trainer(model, optim.SGD(model.parameters(), 0.1), DataLoader(data, 2, shuffle=True), loss_fn=loss)
    with pytest.raises(NotFiniteError):
        trainer.fit(2)
    assert (trainer.epoch, trainer.step) == (0, 2)
    assert len(trainer.fit(2)) == 2


class StopAt(Callback):
    """Ctrl-C after so many steps."""

    def __init__(self, steps):
        self.left = steps

    def on_step_end(self, trainer):
        self.left -= 1
        if not self.left:
            signal.raise_signal(signal.SIGINT)


def test_a_samplers_own_generator_resumes_to_the_same_bits(tmp_path):
    def trainer(folder):
        minidl.manual_seed(0)
        model = nn.Linear(3, 2)
        data = TensorDataset(minidl.rand(9, 3), minidl.tensor([0, 1, 1] * 3))
        sampler = RandomSampler(data, generator=minidl.Generator().manual_seed(3))
        return Trainer(model, optim.SGD(model.parameters(), 0.1), DataLoader(data, 2, sampler=sampler), folder=folder)

    whole = trainer(tmp_path / "whole")
    whole.fit(3)
    stopped = trainer(tmp_path / "stopped")
    stopped.callbacks.append(StopAt(7))
    with pytest.raises(Interrupted):
        stopped.fit(3)
    resumed = trainer(tmp_path / "stopped").resume()
    resumed.fit(3)
    assert minidl.equal(resumed.model.weight, whole.model.weight)
    assert [row["train_loss"] for row in resumed.history] == [row["train_loss"] for row in whole.history]
