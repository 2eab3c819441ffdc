"""Measurements for other programs to draw: TensorBoard, Weights & Biases."""

from __future__ import annotations

from typing import Any

from minidl.train.callbacks import Callback
from minidl_kernels.installing import how_to_install


class TensorBoard(Callback):
    """Writes event files for TensorBoard into the folder ``events`` of the run: every column of the history by epoch,
    and every ``every`` updates the loss of the epoch so far and the learning rate. Look with
    ``tensorboard --logdir RUN/events``. Needs tensorboardX.

    A resumed run writes a further file, from its own place on; of what a broken run wrote beyond its checkpoint,
    TensorBoard is told that it is void.
    """

    def __init__(self, every: int = 50) -> None:
        try:
            import tensorboardX
        except ImportError:
            raise ModuleNotFoundError(f"event files need tensorboardX: {how_to_install('minidl[tracking]')}") from None
        self._make, self.every, self._writer = tensorboardX.SummaryWriter, every, None

    def on_fit_begin(self, trainer: Any) -> None:
        if trainer.folder is None:
            raise ValueError("TensorBoard writes into the trainer's folder: give it one")
        void = {"purge_step": trainer.updates + 1} if trainer.updates else {}
        self._writer = self._make(str(trainer.folder / "events"), **void)

    def on_update(self, trainer: Any) -> None:
        if trainer.updates % self.every == 0:
            self._write("step/loss", trainer.loss_sum / trainer.seen, trainer.updates)
            self._write("step/lr", trainer.optimizer.param_groups[0]["lr"], trainer.updates)

    def on_epoch_end(self, trainer: Any) -> None:
        for name, value in trainer.history[-1].items():
            self._write(f"epoch/{name}", value, trainer.updates)
        if self._writer is not None:
            self._writer.flush()

    def on_fit_end(self, trainer: Any) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _write(self, name: str, value: Any, step: int) -> None:
        if self._writer is not None:
            self._writer.add_scalar(name, float(value), step)


class WeightsAndBiases(Callback):
    """Sends every epoch's measurements to Weights & Biases (the package wandb); its own settings (WANDB_MODE,
    WANDB_API_KEY) say where. ``settings`` go to ``wandb.init``."""

    def __init__(self, project: str = "minidl", **settings: Any) -> None:
        try:
            import wandb  # type: ignore[import-not-found]
        except ImportError:
            raise ModuleNotFoundError(f"Weights & Biases is not installed: {how_to_install('wandb')}") from None
        self._wandb, self._settings, self._run = wandb, {"project": project, **settings}, None

    def on_fit_begin(self, trainer: Any) -> None:
        self._run = self._wandb.init(config=trainer.settings, **self._settings)

    def on_epoch_end(self, trainer: Any) -> None:
        if self._run is not None:
            self._run.log(trainer.history[-1], step=trainer.updates)

    def on_fit_end(self, trainer: Any) -> None:
        if self._run is not None:
            self._run.finish()
            self._run = None
