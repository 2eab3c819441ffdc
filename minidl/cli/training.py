"""What the commands that train share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from minidl.cli.common import console, say
from minidl_kernels.installing import how_to_run

# The options, each with its one meaning.
Epochs = Annotated[int | None, typer.Option(min=1, help="How often to go through the data, in all.")]
BatchSize = Annotated[int | None, typer.Option(min=1, help="Samples in a batch.")]
Rate = Annotated[float | None, typer.Option(help="The learning rate, at its highest.")]
Patience = Annotated[int, typer.Option(min=0, help="Stop after so many epochs without improvement; 0: don't.")]
Board = Annotated[bool, typer.Option("--tensorboard", help="Write event files for TensorBoard.")]
Wandb = Annotated[bool, typer.Option("--wandb", help="Send measurements to Weights & Biases.")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same bits.")]
Name = Annotated[str | None, typer.Option(help="The run's name; what it trains, if not given.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where an earlier run stopped.")]
Runs = Annotated[Path, typer.Option(help="Where the runs' folders are.")]


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
        say(f"Going on from {trainer.checkpoint_path}: epoch {trainer.epoch + 1}, step {trainer.step + 1} is next.")
        return
    if trainer.checkpoint_path.exists():
        say(
            f"{trainer.folder} holds an earlier run: training starts afresh and replaces it (--resume goes on with it)."
        )
    trainer.folder.mkdir(parents=True, exist_ok=True)


def fit(trainer: Any, epochs: int) -> None:
    """Train; on Ctrl-C say how to go on: with the same command and ``--resume``."""
    try:
        trainer.fit(epochs)
    except KeyboardInterrupt as stop:
        again = how_to_run(*(word for word in sys.argv[1:] if word != "--resume"), "--resume")
        raise KeyboardInterrupt(
            f"{stop or 'Stopped at once: the last checkpoint stands.'} Go on with:\n  {again}"
        ) from None
