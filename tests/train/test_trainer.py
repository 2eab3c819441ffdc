"""The training loop: resumed runs give the same bits, and whatever goes wrong is said and loses nothing."""

from __future__ import annotations

import csv
import errno
import os
import re
import signal
import threading

import matplotlib.image
import numpy as np
import pytest

import minidl
from minidl import nn, optim, serialization
from minidl.data import DataLoader, TensorDataset
from minidl.models import MLP, ConvNet
from minidl.optim import lr_scheduler
from minidl.train import Callback, Interrupted, Metrics, NotFiniteError, Pictures, Progress, Trainer
from minidl.utils import files

PICTURES = ["confusion.png", "curves.png", "mistakes.png"]


class Dropping(nn.Module):
    """A network that draws random numbers in every step, and has buffers."""

    def __init__(self, width=16):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(64, width), nn.Linear(width, 10)
        self.norm, self.dropout = nn.BatchNorm1d(width), nn.Dropout(0.3)

    def forward(self, x):
        return self.fc2(self.dropout(self.norm(self.fc1(x.flatten(1))).relu()))


def data(n, seed):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 10
    images = rng.normal(size=(n, 1, 8, 8)) * 0.3 + np.sin(np.outer(labels + 1, np.arange(64))).reshape(n, 1, 8, 8)
    return TensorDataset(minidl.tensor(images.astype(np.float32)), minidl.tensor(labels))


def make(folder, model=None, callbacks=(), workers=0, generator=None, schedule=True, **settings):
    minidl.manual_seed(0)
    model = model or Dropping()
    optimizer = optim.Adam(model.parameters(), lr=1e-2)
    return Trainer(
        model,
        optimizer,
        DataLoader(data(100, 0), 16, shuffle=True, num_workers=workers, generator=generator),
        DataLoader(data(50, 1), 20),
        scheduler=lr_scheduler.StepLR(optimizer, 1, 0.5) if schedule else None,
        folder=folder,
        callbacks=callbacks,
        settings=settings,
    )


def bits(trainer):
    tensors = list(trainer.model.state_dict().values())
    for state in trainer.optimizer.state.values():
        tensors += [v for v in state.values() if isinstance(v, minidl.Tensor)]
    return [t._data.tobytes() for t in tensors] + [minidl.get_rng_state()._data.tobytes()]


def measured(trainer):
    return [(r["epoch"], r["train_loss"], r["test_loss"], r["test_accuracy"], r["lr"]) for r in trainer.history]


class PressCtrlC(Callback):
    """As a user would, in the middle of a step."""

    def __init__(self, *, epoch, step):
        self.at = (epoch, step)

    def on_step_end(self, trainer):
        if (trainer.epoch + 1, trainer.step) == self.at:
            signal.raise_signal(signal.SIGINT)


def test_it_learns_and_reports(tmp_path):
    trainer = make(tmp_path / "run", callbacks=[Metrics(), Pictures()])
    history = trainer.fit(4)
    assert trainer.epoch == len(history) == 4
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    assert history[-1]["test_accuracy"] > 0.9
    assert [row["lr"] for row in history] == [1e-2, 5e-3, 2.5e-3, 1.25e-3]
    with open(tmp_path / "run" / "metrics.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(r["train_loss"]) for r in rows] == [r["train_loss"] for r in history]
    assert sorted(os.listdir(tmp_path / "run")) == sorted(
        [*PICTURES, "checkpoint.safetensors", "metrics.csv", "model.safetensors"]
    )
    weights = serialization.load_file(tmp_path / "run" / "model.safetensors")
    other = Dropping()
    other.load_state_dict(weights)
    evaluation = trainer.evaluate()
    assert (evaluation.targets == evaluation.predictions).mean() == evaluation.accuracy
    assert evaluation.confusion.sum() == 50
    assert len(evaluation.mistakes) == len(evaluation.wrong) == 50 - np.trace(evaluation.confusion)
    assert trainer.model.training


@pytest.mark.parametrize("workers", [0, 2])
def test_resumed_after_an_epoch_is_the_same_bits(tmp_path, workers):
    straight = make(tmp_path / "a", workers=workers)
    straight.fit(3)
    expected = bits(straight)
    make(tmp_path / "b").fit(1)
    resumed = make(tmp_path / "b")
    minidl.manual_seed(99)
    resumed.resume().fit(3)
    assert bits(resumed) == expected
    assert measured(resumed) == measured(straight)


@pytest.mark.parametrize("own_generator", [False, True])
@pytest.mark.parametrize(("epoch", "step"), [(1, 1), (1, 6), (2, 3), (2, 7), (3, 7)])
def test_ctrl_c_in_an_epoch_then_resume_is_the_same_bits(tmp_path, epoch, step, own_generator):
    def generator():
        return minidl.Generator().manual_seed(5) if own_generator else None

    straight = make(tmp_path / "a", generator=generator())
    straight.fit(3)
    expected = bits(straight)
    first = make(tmp_path / "b", callbacks=[PressCtrlC(epoch=epoch, step=step)], generator=generator())
    with pytest.raises(Interrupted, match=rf"epoch {epoch}.*saved in .*checkpoint\.safetensors"):
        first.fit(3)
    assert (first.epoch + 1, first.step) == (epoch, step)
    resumed = make(tmp_path / "b", generator=generator())
    minidl.manual_seed(99)
    resumed.resume().fit(3)
    assert bits(resumed) == expected
    assert measured(resumed) == measured(straight)


def test_stopped_twice_in_one_epoch(tmp_path):
    straight = make(tmp_path / "a")
    straight.fit(2)
    expected = bits(straight)
    for step in (2, 5):
        trainer = make(tmp_path / "b", callbacks=[PressCtrlC(epoch=2, step=step)])
        if step > 2:
            trainer.resume()
        with pytest.raises(Interrupted):
            trainer.fit(2)
    resumed = make(tmp_path / "b").resume()
    resumed.fit(2)
    assert bits(resumed) == expected


def test_two_ctrl_c_stop_at_once_and_the_handler_is_put_back(tmp_path):
    class Twice(Callback):
        def on_step_end(self, trainer):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt) as caught:
        make(tmp_path / "a", callbacks=[Twice()]).fit(1)
    assert not isinstance(caught.value, Interrupted)
    assert signal.getsignal(signal.SIGINT) is before
    assert not (tmp_path / "a").exists()


def test_in_another_thread(tmp_path):
    trainer = make(tmp_path / "a")
    thread = threading.Thread(target=trainer.fit, args=(1,))
    thread.start()
    thread.join()
    assert trainer.epoch == 1


def test_epochs_that_are_done_already_are_not_done_again(tmp_path):
    first = make(tmp_path / "a")
    first.fit(2)
    again = make(tmp_path / "a", callbacks=[Pictures()]).resume()
    again.fit(2)
    assert bits(again) == bits(first)
    assert (tmp_path / "a" / "confusion.png").exists()


# --------------------------------------------------------------------------------------------------- what goes wrong


class Breaks(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(64, 10)
        self.factor = 1.0

    def forward(self, x):
        return (self.fc(x.flatten(1)) * self.factor).exp().sqrt().log()


class SpoilAt(Callback):
    def __init__(self, epoch, step, spoil):
        self.at, self.spoil = (epoch, step), spoil

    def on_step_end(self, trainer):
        if (trainer.epoch + 1, trainer.step) == self.at:
            self.spoil(trainer.model)


def spoil_factor(model):
    model.factor = 1e9


def spoil_weight(model):
    with minidl.no_grad():
        model.fc.weight[0, 0] = float("nan")


def spoil_gradient(model):
    model.fc.bias.register_hook(lambda g: g * float("inf"))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoil_factor, r"the loss is (nan|inf).*the model \(Breaks\)"),
        (spoil_weight, r"the loss is nan.*parameter 'fc\.weight' holds NaN"),
        (spoil_gradient, "a gradient is not finite"),
    ],
)
def test_a_loss_that_is_not_finite(tmp_path, spoil, words):
    trainer = make(tmp_path / "a", Breaks(), [SpoilAt(2, 3, spoil)])
    with pytest.raises(NotFiniteError, match=f"(?s)epoch 2, step 4: {words}.*last good state is in") as caught:
        trainer.fit(3)
    assert (caught.value.epoch, caught.value.step) == (2, 4)
    kept = minidl.load(tmp_path / "a" / "checkpoint.safetensors")
    assert kept["progress"] == {"epoch": 1, "step": 0, "loss_sum": 0.0, "seen": 0, "updates": 7}
    assert all(np.isfinite(t.numpy()).all() for t in kept["model"].values())


def test_the_operator_whose_gradient_is_not_finite_is_named(tmp_path):
    class Root(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(64, 10)

        def forward(self, x):
            return (self.fc(x.flatten(1)) * 0).sqrt()  # 0 is a fine value, but its root has no slope

    with pytest.raises(NotFiniteError, match=r"(?s)epoch 1, step 1: a gradient is not finite.*'Sqrt'"):
        make(tmp_path / "a", Root()).fit(1)


def test_bad_data_is_said_to_be_bad(tmp_path):
    trainer = make(tmp_path / "a")
    trainer.train_loader.dataset.tensors[0]._data[:] = np.nan
    with pytest.raises(NotFiniteError, match="The batch itself holds NaN"):
        trainer.fit(1)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (lambda folder: make(folder, MLP(8)), r"it holds Dropping, this is MLP.*layers\.0\.weight: missing"),
        (lambda folder: make(folder, Dropping(8)), r"fc1\.weight: it holds shape \[16, 64\].*has \[8, 64\]"),
        (lambda folder: make(folder, Dropping().double()), "float32, this model has .*float64"),
        (lambda folder: make(folder, schedule=False), "schedule"),
        (lambda folder: make(folder, lr=0.1), "lr: it was made with None, this run has 0.1"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused_and_changes_nothing(tmp_path, other, words):
    make(tmp_path / "a").fit(1)
    trainer = other(tmp_path / "a")
    before = bits(trainer)
    with pytest.raises(RuntimeError, match=f"(?s)belongs to another run.*{words}.*with the model and settings"):
        trainer.resume()
    assert bits(trainer) == before
    assert trainer.epoch == 0


def test_another_optimizer_is_refused(tmp_path):
    make(tmp_path / "a", schedule=False).fit(1)
    model = Dropping()
    trainer = Trainer(model, optim.SGD(model.parameters(), lr=0.1), [], folder=tmp_path / "a")
    with pytest.raises(RuntimeError, match="holds Adam, this is SGD"):
        trainer.resume()


def test_files_that_are_no_checkpoints(tmp_path):
    trainer = make(tmp_path / "a")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        trainer.resume()
    trainer.fit(1)
    with pytest.raises(RuntimeError, match="not a checkpoint of a Trainer"):
        trainer.resume(tmp_path / "a" / "model.safetensors")
    path = trainer.checkpoint_path
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RuntimeError, match="cut short"):
        make(tmp_path / "a").resume()
    for part in ("progress", "random"):
        saved = {**serialization.load(_write(path, whole)), part: {}}
        serialization.save(saved, path)
        with pytest.raises(RuntimeError, match="is damaged"):
            make(tmp_path / "a").resume()


def _write(path, content):
    path.write_bytes(content)
    return path


def test_a_full_disk_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    trainer = make(tmp_path / "a")
    trainer.fit(1)
    before = trainer.checkpoint_path.read_bytes()

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        trainer.fit(2)
    monkeypatch.undo()
    assert trainer.checkpoint_path.read_bytes() == before
    assert sorted(os.listdir(tmp_path / "a")) == ["checkpoint.safetensors", "model.safetensors"]


def test_wrong_calls(tmp_path):
    with pytest.raises(ValueError, match="epochs must not be negative"):
        make(None).fit(-1)
    model = Dropping()
    empty = Trainer(model, optim.SGD(model.parameters(), lr=0.1), [])
    with pytest.raises(ValueError, match="gave no batch"):
        empty.fit(1)
    with pytest.raises(ValueError, match="without a test_loader"):
        empty.evaluate()
    with pytest.raises(ValueError, match="gave no batch"):
        empty.evaluate([])
    with pytest.raises(ValueError, match="give it a folder"):
        empty.resume()


def test_without_folder_or_test_loader_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = Dropping()
    trainer = Trainer(model, optim.SGD(model.parameters(), lr=0.1), DataLoader(data(32, 0), 16), callbacks=[Progress()])
    trainer.fit(2)
    assert set(trainer.history[0]) == {"epoch", "train_loss", "lr", "seconds", "samples_per_second"}
    trainer.callbacks.append(PressCtrlC(epoch=3, step=1))
    with pytest.raises(Interrupted, match="nothing was saved"):
        trainer.fit(3)
    assert os.listdir(tmp_path) == []


def test_a_plateau_schedule_looks_at_the_test_loss(tmp_path):
    trainer = make(None, schedule=False)
    trainer.scheduler = lr_scheduler.ReduceLROnPlateau(trainer.optimizer, factor=0.1, patience=0, threshold=1e9)
    trainer.fit(3)
    assert trainer.history[-1]["lr"] < 1e-2


def test_random_numbers_drawn_by_evaluate_leave_no_trace():
    trainer = make(None)
    before = bits(trainer)
    trainer.evaluate()
    assert bits(trainer) == before


# -------------------------------------------------------------------------------------------------------- what is seen


def test_pictures_show_something(tmp_path):
    trainer = make(tmp_path / "a", ConvNet(8), [Pictures([f"class {i}" for i in range(10)])])
    trainer.fit(1)
    for name in [*PICTURES, "filters.png"]:
        picture = matplotlib.image.imread(tmp_path / "a" / name)
        assert min(picture.shape[:2]) > 100
        assert picture[..., :3].std() > 0.02, name


def test_pictures_of_a_perfect_and_of_a_coloured_model(tmp_path):
    from minidl.train import Evaluation
    from minidl.train.pictures import draw_mistakes

    perfect = Evaluation(0.0, np.arange(3), np.arange(3), 3, [])
    draw_mistakes(perfect, "abc", tmp_path / "none.png")
    coloured = Evaluation(
        0.0, np.arange(3), np.zeros(3, int), 3, list(np.random.default_rng(0).normal(size=(2, 3, 8, 8)))
    )
    draw_mistakes(coloured, "abc", tmp_path / "two.png")
    sizes = [(tmp_path / n).stat().st_size for n in ("none.png", "two.png")]
    assert sizes[1] > sizes[0] > 1000


def test_progress_on_a_terminal():
    import io

    from rich.console import Console

    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120)
    make(None, callbacks=[Progress(console)]).fit(1)
    text = screen.getvalue()
    assert "epoch 1/1" in text
    assert "images/s" in text
    assert "loss" in text
    assert "test accuracy" in text


def test_progress_where_there_is_no_terminal(monkeypatch):
    """In a log a line every few seconds takes the bar's place, and short epochs have none."""
    import io

    from rich.console import Console

    lines = []
    for every in (0.0, 3600.0):
        monkeypatch.setattr(Progress, "every", every)
        screen = io.StringIO()
        make(None, callbacks=[Progress(Console(file=screen))]).fit(1)
        lines.append(screen.getvalue().splitlines())
    often, never = lines
    steps = len(often) - 1
    assert steps > 1
    for i, line in enumerate(often[:-1]):
        assert re.fullmatch(rf"epoch 1/1  step {i + 1}/{steps}  loss \d\.\d{{4}}  [\d,]+ images/s", line), line
    assert len(never) == 1
    for line in (often[-1], never[0]):
        assert line.startswith("epoch 1/1  train loss")
