"""What the commands that train share."""

from __future__ import annotations

from typing import Any

from minidl.cli.common import console, say


def usual_callbacks(patience: int, tensorboard: bool, wandb: bool, unit: str = "images") -> list[Any]:
    """Progress on the screen, metrics in a file, and what was asked for."""
    from minidl.train import EarlyStopping, Metrics, Progress, TensorBoard, WeightsAndBiases

    callbacks: list[Any] = [Progress(console, unit), Metrics()]
    callbacks += [EarlyStopping(patience)] if patience else []
    callbacks += [TensorBoard()] if tensorboard else []
    return callbacks + ([WeightsAndBiases()] if wandb else [])


def begin(trainer: Any, resume: bool) -> None:
    """Make the run's folder, or go on from what stands in it."""
    if resume:
        if not trainer.checkpoint_path.exists():
            raise FileNotFoundError(
                f"there is nothing to resume: {trainer.checkpoint_path} does not exist. Train without --resume first, "
                "or name the run with --name and --runs-dir."
            )
        trainer.resume()
        say(f"Going on from {trainer.checkpoint_path}: {trainer.epoch} epochs and {trainer.step} steps are done.")
        return
    if trainer.checkpoint_path.exists():
        say(
            f"{trainer.folder} holds an earlier run: training starts afresh and replaces it (--resume goes on with it)."
        )
    trainer.folder.mkdir(parents=True, exist_ok=True)


def fit(trainer: Any, epochs: int, again: str) -> None:
    """Train; on Ctrl-C say how to go on: with the command ``again``."""
    try:
        trainer.fit(epochs)
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(
            f"{stop or 'Stopped at once: the last checkpoint stands.'} Go on with:\n  {again} --resume"
        ) from None
