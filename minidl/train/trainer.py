"""The training loop."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from minidl import dtypes, random, serialization
from minidl.amp import GradScaler, autocast
from minidl.nn import functional as F
from minidl.optim.lr_scheduler import ReduceLROnPlateau
from minidl.tensor import Tensor
from minidl.train import checkpoint
from minidl.train.diagnosis import all_finite, explain
from minidl.train.evaluation import beside, call, evaluate
from minidl.train.interrupts import Interrupted, hold_interrupts


class Trainer:
    """Trains a model, epoch by epoch; whatever else should happen on the way is a callback's business.

    ::

        trainer = Trainer(model, optim.Adam(model.parameters()), train_loader, test_loader, folder="runs/first")
        trainer.fit(epochs=3)

    Args:
        model: called on the first part of a batch (on its members, if that is a tuple); its output goes to ``loss_fn`` with
            the second.
        optimizer: steps after every batch.
        train_loader: an iterable of (inputs, targets). That of a :class:`minidl.data.DataLoader` can be resumed in the
            middle of an epoch.
        test_loader: what to measure after every epoch, if anything.
        loss_fn: (output, targets) → the mean loss of the batch, a scalar; with label smoothing, for one,
            ``nn.CrossEntropyLoss(label_smoothing=0.1)``.
        test_loss_fn: the loss to measure on the test loader, if another.
        evaluate_fn: how to measure, called with model, loader and loss; :func:`minidl.train.evaluate`, for classifiers, or say
            :func:`minidl.train.evaluate_tokens`.
        scheduler: a learning-rate schedule, stepped after every epoch, or after every step of the optimiser.
        schedule_every: "epoch" or "step".
        accumulate: the optimiser steps once for so many batches, along the gradient of their common mean: large batches
            in little memory. (Batch norm still sees each batch by itself.)
        precision: "float32", or "float16" or "bfloat16" for mixed precision: :class:`minidl.autocast` and, for float16, a
            :class:`minidl.amp.GradScaler`, which skips steps whose gradients overflow.
        folder: where ``checkpoint.safetensors`` and ``model.safetensors`` are kept up to date; None keeps nothing.
        callbacks: :class:`minidl.train.Callback` objects, called in this order.
        settings: numbers and words that decide the run (batch size, seed, …). They are kept with the checkpoint, and
            one with other settings is refused.

    Attributes
    ----------
    epoch       epochs finished
    step        batches finished of the present epoch
    updates     steps of the optimiser in all
    stopping    set by a callback, it ends training after the present epoch
    history     a dict of measurements an epoch: epoch, train_loss, test_loss, test_accuracy, lr, seconds,
                samples_per_second
    evaluation  the latest measurement, say an :class:`Evaluation`

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
        test_loss_fn: Callable[[Tensor, Tensor], Tensor] | None = None,
        evaluate_fn: Callable[..., Any] = evaluate,
        scheduler: Any = None,
        schedule_every: str = "epoch",
        accumulate: int = 1,
        precision: str = "float32",
        folder: str | os.PathLike | None = None,
        callbacks: Iterable[Any] = (),
        settings: dict[str, Any] | None = None,
    ) -> None:
        _check(schedule_every, accumulate, precision, scheduler)
        self.model, self.optimizer, self.scheduler, self.loss_fn = model, optimizer, scheduler, loss_fn
        self.test_loss_fn, self.evaluate_fn = test_loss_fn or loss_fn, evaluate_fn
        self.schedule_every, self.accumulate, self.precision = schedule_every, accumulate, precision
        self.scaler = GradScaler(enabled=precision == "float16")
        self.train_loader, self.test_loader = train_loader, test_loader
        self.folder = None if folder is None else Path(folder)
        self.callbacks, self.settings = list(callbacks), dict(settings or {})
        self.epochs = self.epoch = self.step = self.updates = 0
        self.stopping = False
        self.loss_sum, self.seen = 0.0, 0  # of the present epoch
        self.history: list[dict[str, Any]] = []
        self.evaluation: Any = None
        self._epoch_began_with: list[Tensor] = []  # the random numbers' state
        self._resumed_with: list[Tensor] = []
        self._pending = [0, 0]  # batches and samples whose gradients wait for the optimiser

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
        self.epochs, self.stopping = epochs, False
        with hold_interrupts() as interrupted:
            self._tell("on_fit_begin")
            try:
                while self.epoch < epochs and not self.stopping:
                    self._train_epoch(interrupted)
                self._finish()
            finally:
                self._tell("on_fit_end")
        return self.history

    def _train_epoch(self, interrupted: Callable[[], bool]) -> None:
        began, seen_before = time.perf_counter(), self.seen
        self.model.train()
        self._pending = [0, 0]
        self._tell("on_epoch_begin")
        for batch in self._batches():
            self._train_step(*batch)
            self._tell("on_step_end")
            if interrupted() and not self._pending[0]:
                self._stop()
        self._update()
        if not self.seen:
            raise ValueError("the training loader gave no batch: is its data set empty, or smaller than one batch?")
        seconds = time.perf_counter() - began
        row = {
            "epoch": self.epoch + 1,
            "train_loss": self.loss_sum / self.seen,
            "lr": float(self.optimizer.param_groups[0]["lr"]),
            "seconds": seconds,
            "samples_per_second": (self.seen - seen_before) / seconds,
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

    def loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """The loss of a batch, in the precision of training."""
        if self.precision == "float32":
            return self.loss_fn(call(self.model, inputs), targets)
        with autocast(inputs.device.type, dtypes.named(self.precision)):
            output = call(self.model, inputs)
        return self.loss_fn(output.float(), targets)

    def _train_step(self, inputs: Tensor, targets: Tensor) -> None:
        inputs, targets = beside(self.model, inputs, targets)
        before, samples = random.get_rng_state(), targets.shape[0]
        if not self._pending[0]:
            self.optimizer.zero_grad()
        loss = self.loss(inputs, targets)
        value = loss.item()
        if not math.isfinite(value):
            raise explain(self, f"the loss is {value}", inputs, targets, before)
        # Of several batches the sum is gathered, and _update divides: the last ones may be fewer, and smaller.
        self.scaler.scale(loss if self.accumulate == 1 else loss * samples).backward()
        if not self.scaler.is_enabled() and not all_finite(self.model):
            raise explain(self, "a gradient is not finite", inputs, targets, before)
        self._pending = [self._pending[0] + 1, self._pending[1] + samples]
        self.step += 1
        self.loss_sum += value * samples
        self.seen += samples
        if self._pending[0] == self.accumulate:
            self._update()

    def _update(self) -> None:
        """One step of the optimiser, along the gradients gathered since the last."""
        batches, samples = self._pending
        if not batches:
            return
        self._pending = [0, 0]
        self.scaler.unscale_(self.optimizer)
        if self.accumulate > 1:
            for parameter in self.model.parameters():
                if parameter.grad is not None:
                    parameter.grad.div_(samples)
        self._tell("on_gradients")
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.updates += 1
        if self.scheduler is not None and self.schedule_every == "step":
            self.scheduler.step()
        self._tell("on_update")

    def _batches(self) -> Iterator[Any]:
        """The batches of the present epoch; after a resume, those that are left of it, in the same order."""
        if self.step:
            now, self._resumed_with = self._resumed_with or checkpoint.random_state(self), []
            checkpoint.set_random_state(self, self._epoch_began_with)
            batches = iter(self.train_loader)
            for _ in islice(batches, self.step):
                pass
            checkpoint.set_random_state(self, now)
            return batches
        self._epoch_began_with = checkpoint.random_state(self)
        return iter(self.train_loader)

    def _step_schedule(self, row: dict[str, Any]) -> None:
        if self.scheduler is None or self.schedule_every == "step":
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

    def evaluate(self, loader: Iterable | None = None) -> Any:
        """Loss, accuracy and predictions on ``loader`` (the test loader if None). Draws no random number for good."""
        loader = self.test_loader if loader is None else loader
        if loader is None:
            raise ValueError("evaluate needs a loader: the trainer was made without a test_loader")
        with self.shown_weights():
            return self.evaluate_fn(self.model, loader, self.test_loss_fn)

    @contextmanager
    def shown_weights(self) -> Iterator[None]:
        """A block in which the model has the weights to measure and to keep, which callbacks may have put there."""
        self._tell("on_evaluate_begin")
        try:
            yield
        finally:
            self._tell("on_evaluate_end")

    def _tell(self, event: str) -> None:
        # What was put on first for an evaluation comes off last.
        for callback in reversed(self.callbacks) if event == "on_evaluate_end" else self.callbacks:
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
        with self.shown_weights():
            serialization.save_file(self.model.state_dict(), self.folder / "model.safetensors")

    def resume(self, path: str | os.PathLike | None = None) -> Trainer:
        """Go on from a checkpoint (the folder's own if None); nothing is changed if it does not fit.

        Raises:
            FileNotFoundError: there is none.
            RuntimeError: it is damaged, or belongs to another model or other settings; the message lists what differs.
        """
        checkpoint.restore(self, self.checkpoint_path if path is None else Path(path))
        return self


def _check(schedule_every: str, accumulate: int, precision: str, scheduler: Any) -> None:
    if schedule_every not in ("epoch", "step"):
        raise ValueError(f"schedule_every is 'epoch' or 'step', not {schedule_every!r}")
    if schedule_every == "step" and isinstance(scheduler, ReduceLROnPlateau):
        raise ValueError("ReduceLROnPlateau goes by the loss of an epoch: schedule_every must be 'epoch'")
    if precision not in ("float32", "float16", "bfloat16"):
        raise ValueError(f"precision is 'float32', 'float16' or 'bfloat16', not {precision!r}")
    if accumulate < 1:
        raise ValueError(f"accumulate must be at least 1, but got {accumulate}")
