"""The training loop."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from minidl import random, serialization
from minidl.nn import functional as F
from minidl.optim.lr_scheduler import ReduceLROnPlateau
from minidl.tensor import Tensor
from minidl.train import checkpoint
from minidl.train.diagnosis import all_finite, explain
from minidl.train.evaluation import Evaluation, beside, evaluate
from minidl.train.interrupts import Interrupted, hold_interrupts


class Trainer:
    """Trains a model, epoch by epoch; whatever else should happen on the way is a callback's business.

    ::

        trainer = Trainer(model, optim.Adam(model.parameters()), train_loader, test_loader, folder="runs/first")
        trainer.fit(epochs=3)

    Args:
        model: called on the first part of a batch; its output goes to ``loss_fn`` with the second.
        optimizer: steps after every batch.
        train_loader: an iterable of (inputs, targets). That of a :class:`minidl.data.DataLoader` can be resumed in the
            middle of an epoch.
        test_loader: what to measure after every epoch, if anything.
        loss_fn: (output, targets) → the mean loss of the batch, a scalar.
        scheduler: a learning-rate schedule, stepped after every epoch.
        folder: where ``checkpoint.safetensors`` and ``model.safetensors`` are kept up to date; None keeps nothing.
        callbacks: :class:`minidl.train.Callback` objects, called in this order.
        settings: numbers and words that decide the run (batch size, seed, …). They are kept with the checkpoint, and
            one with other settings is refused.

    Attributes
    ----------
    epoch       epochs finished
    step        batches finished of the present epoch
    history     a dict of measurements an epoch: epoch, train_loss, test_loss, test_accuracy, lr, seconds,
                images_per_second
    evaluation  the latest :class:`Evaluation`

    A run that is stopped and resumed gives the same bits as one that is not: the checkpoint holds the model, the
    optimiser, the schedule, the state of the random numbers, and the place in the loader.
    """

    def __init__(
        self,
        model: Any,
        optimizer: Any,
        train_loader: Iterable,
        test_loader: Iterable | None = None,
        *,
        loss_fn: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
        scheduler: Any = None,
        folder: str | os.PathLike | None = None,
        callbacks: Iterable[Any] = (),
        settings: dict[str, Any] | None = None,
    ) -> None:
        self.model, self.optimizer, self.scheduler, self.loss_fn = model, optimizer, scheduler, loss_fn
        self.train_loader, self.test_loader = train_loader, test_loader
        self.folder = None if folder is None else Path(folder)
        self.callbacks, self.settings = list(callbacks), dict(settings or {})
        self.epochs = self.epoch = self.step = 0
        self.loss_sum, self.seen = 0.0, 0  # of the present epoch
        self.history: list[dict[str, Any]] = []
        self.evaluation: Evaluation | None = None
        self._epoch_began_with: list[Tensor] = []  # the random numbers' state
        self._resumed_with: list[Tensor] = []

    # ------------------------------------------------------------------------------------------------------- training

    def fit(self, epochs: int) -> list[dict[str, Any]]:
        """Train until ``epochs`` epochs are done in all, counting those before a resume. Returns ``history``.

        Ctrl-C stops after the batch that is being worked on, saves, and raises :class:`Interrupted`.

        Raises:
            NotFiniteError: the loss or a gradient became NaN or infinite; parameters and checkpoint are as before.
            Interrupted: Ctrl-C; the message says how to go on.
            ValueError: ``epochs`` is negative, or the loader is empty.
        """
        if epochs < 0:
            raise ValueError(f"epochs must not be negative, but got {epochs}")
        self.epochs = epochs
        with hold_interrupts() as interrupted:
            self._tell("on_fit_begin")
            try:
                while self.epoch < epochs:
                    self._train_epoch(interrupted)
                self._finish()
            finally:
                self._tell("on_fit_end")
        return self.history

    def _train_epoch(self, interrupted: Callable[[], bool]) -> None:
        began, seen_before = time.perf_counter(), self.seen
        self.model.train()
        self._tell("on_epoch_begin")
        for batch in self._batches():
            self._train_step(*batch)
            self._tell("on_step_end")
            if interrupted():
                self._stop()
        if not self.seen:
            raise ValueError("the training loader gave no batch: is its data set empty, or smaller than one batch?")
        seconds = time.perf_counter() - began
        row = {
            "epoch": self.epoch + 1,
            "train_loss": self.loss_sum / self.seen,
            "lr": float(self.optimizer.param_groups[0]["lr"]),
            "seconds": seconds,
            "images_per_second": (self.seen - seen_before) / seconds,
        }
        if self.test_loader is not None:
            self.evaluation = self.evaluate()
            row.update(test_loss=self.evaluation.loss, test_accuracy=self.evaluation.accuracy)
        self._step_schedule(row)
        self.history.append(row)
        self.epoch, self.step, self.loss_sum, self.seen = self.epoch + 1, 0, 0.0, 0
        self.save()
        self._tell("on_epoch_end")
        if interrupted():
            self._stop()

    def _train_step(self, inputs: Tensor, targets: Tensor) -> None:
        inputs, targets = beside(self.model, inputs, targets)
        before = random.get_rng_state()
        self.optimizer.zero_grad()
        loss = self.loss_fn(self.model(inputs), targets)
        value = loss.item()
        if not math.isfinite(value):
            raise explain(self, f"the loss is {value}", inputs, targets, before)
        loss.backward()
        if not all_finite(self.model):
            raise explain(self, "a gradient is not finite", inputs, targets, before)
        self.optimizer.step()
        self.step += 1
        self.loss_sum += value * targets.shape[0]
        self.seen += targets.shape[0]

    def _batches(self) -> Iterator[Any]:
        """The batches of the present epoch; after a resume, those that are left of it, in the same order."""
        if self.step:
            checkpoint.set_random_state(self, self._epoch_began_with)
            batches = iter(self.train_loader)
            for _ in islice(batches, self.step):
                pass
            checkpoint.set_random_state(self, self._resumed_with)
            return batches
        self._epoch_began_with = checkpoint.random_state(self)
        return iter(self.train_loader)

    def _step_schedule(self, row: dict[str, Any]) -> None:
        if self.scheduler is None:
            return
        if isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step(row.get("test_loss", row["train_loss"]))
        else:
            self.scheduler.step()

    def _finish(self) -> None:
        """Measure a model that came from a checkpoint and had no epoch left to train."""
        if self.evaluation is None and self.test_loader is not None:
            self.evaluation = self.evaluate()
        self._tell("on_trained")

    def _stop(self) -> None:
        self.save()
        where = f"epoch {self.epoch + 1}, after step {self.step}" if self.step else f"the end of epoch {self.epoch}"
        kept = "nothing was saved (no folder)" if self.folder is None else f"saved in {self.checkpoint_path}"
        raise Interrupted(f"Stopped in {where}; {kept}.")

    def evaluate(self, loader: Iterable | None = None) -> Evaluation:
        """Loss, accuracy and predictions on ``loader`` (the test loader if None). Draws no random number for good."""
        loader = self.test_loader if loader is None else loader
        if loader is None:
            raise ValueError("evaluate needs a loader: the trainer was made without a test_loader")
        return evaluate(self.model, loader, self.loss_fn)

    def _tell(self, event: str) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(self)

    # ----------------------------------------------------------------------------------------------------- checkpoints

    @property
    def checkpoint_path(self) -> Path:
        if self.folder is None:
            raise ValueError("this trainer keeps no checkpoint: give it a folder")
        return self.folder / "checkpoint.safetensors"

    def save(self) -> None:
        """Write the checkpoint and the model, each whole or not at all."""
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        serialization.save(checkpoint.state(self), self.checkpoint_path)
        serialization.save_file(self.model.state_dict(), self.folder / "model.safetensors")

    def resume(self, path: str | os.PathLike | None = None) -> Trainer:
        """Go on from a checkpoint (the folder's own if None); nothing is changed if it does not fit.

        Raises:
            FileNotFoundError: there is none.
            RuntimeError: it is damaged, or belongs to another model or other settings; the message lists what differs.
        """
        checkpoint.restore(self, self.checkpoint_path if path is None else Path(path))
        return self
