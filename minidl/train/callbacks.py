"""What happens beside training: the progress bar, the table of measurements."""

from __future__ import annotations

import csv
import time
from typing import Any

from minidl.utils.files import atomic_write

COLUMNS = ("epoch", "train_loss", "test_loss", "test_accuracy", "lr", "seconds", "samples_per_second")


class Callback:
    """Base of callbacks. Every method is told the :class:`minidl.train.Trainer`, whose attributes say the rest."""

    def on_fit_begin(self, trainer: Any) -> None:
        """Training begins, or goes on after a resume."""

    def on_epoch_begin(self, trainer: Any) -> None:
        """An epoch begins (or the rest of one)."""

    def on_gradients(self, trainer: Any) -> None:
        """The gradients are ready, and the optimiser is about to step."""

    def on_update(self, trainer: Any) -> None:
        """The optimiser has stepped."""

    def on_step_end(self, trainer: Any) -> None:
        """A batch is done."""

    def on_epoch_end(self, trainer: Any) -> None:
        """An epoch is done, measured (``trainer.history[-1]``) and saved."""

    def on_trained(self, trainer: Any) -> None:
        """All epochs are done."""

    def on_fit_end(self, trainer: Any) -> None:
        """``fit`` ends, well or not."""

    def on_evaluate_begin(self, trainer: Any) -> None:
        """The model is about to be measured, or its weights kept: what should be, must be in it."""

    def on_evaluate_end(self, trainer: Any) -> None:
        """Undo what ``on_evaluate_begin`` did."""

    def state_dict(self) -> dict[str, Any]:
        """What the checkpoint must hold for a resumed run to go on as this one."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what ``state_dict`` gave."""


class Metrics(Callback):
    """Keeps ``metrics.csv`` in the trainer's folder: a line an epoch."""

    def on_fit_begin(self, trainer: Any) -> None:
        if trainer.folder is None:
            raise ValueError("Metrics writes into the trainer's folder: give it one")

    def on_epoch_end(self, trainer: Any) -> None:
        with atomic_write(trainer.folder / "metrics.csv", "w", newline="", encoding="utf-8") as file:
            more = dict.fromkeys(name for row in trainer.history for name in row if name not in COLUMNS)
            table = csv.DictWriter(file, [*COLUMNS, *more])
            table.writeheader()
            table.writerows(trainer.history)


class Progress(Callback):
    """A bar with the loss, samples a second and the time left; and a line an epoch.

    Where the screen is none (a file, a pipe, a log), a line every ``every`` seconds takes the bar's place.

    Args:
        console: rich's.
        unit: what a sample is.
    """

    every = 10.0

    def __init__(self, console: Any = None, unit: str = "images") -> None:
        from rich.console import Console

        self.console, self.unit = console or Console(), unit
        self._bar: Any = None

    def on_epoch_begin(self, trainer: Any) -> None:
        self._total = len(trainer.train_loader) if hasattr(trainer.train_loader, "__len__") else None
        self._began, self._seen = time.perf_counter(), trainer.seen
        self._due = self._began
        if self.console.is_terminal:
            self._open(trainer)
        else:
            self._due += self.every

    def on_step_end(self, trainer: Any) -> None:
        now = time.perf_counter()
        if now < self._due:
            return
        rate = (trainer.seen - self._seen) / (now - self._began)
        text = f"loss {trainer.loss_sum / trainer.seen:.4f}  {rate:,.0f} {self.unit}/s"
        if self._bar is not None:
            self._bar.update(self._task, completed=trainer.step, now=text)
            self._due = now + 0.1
        else:
            steps = f"step {trainer.step}" + (f"/{self._total}" if self._total else "")
            self.console.print(f"{self._name(trainer)}  {steps}  {text}", highlight=False, soft_wrap=True)
            self._due = now + self.every

    def _name(self, trainer: Any) -> str:
        return f"epoch {trainer.epoch + 1}/{trainer.epochs}"

    def _open(self, trainer: Any) -> None:
        from rich import progress

        self._bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[now]}"),
            progress.TimeRemainingColumn(),
            console=self.console,
            transient=True,
        )
        self._bar.start()
        self._task = self._bar.add_task(self._name(trainer), total=self._total, completed=trainer.step, now="")

    def on_epoch_end(self, trainer: Any) -> None:
        self._close()
        row = trainer.history[-1]
        test = f"  test accuracy {row['test_accuracy']:.2%}" if "test_accuracy" in row else ""
        self.console.print(
            f"epoch {row['epoch']}/{trainer.epochs}  train loss {row['train_loss']:.4f}{test}  "
            f"{row['seconds']:.1f} s ({row['samples_per_second']:,.0f} {self.unit}/s)",
            highlight=False,
        )

    def on_fit_end(self, trainer: Any) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
