"""``minidl train mnist``: networks that say what a picture shows."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from minidl.cli.common import Debug, console, one_line_errors, say, train
from minidl.cli.training import (
    BatchSize,
    Board,
    Epochs,
    Name,
    Patience,
    Rate,
    Resume,
    Runs,
    Seed,
    Wandb,
    begin,
    fit,
    usual_callbacks,
)


class Data(StrEnum):
    mnist = "mnist"
    fashion = "fashion"
    digits = "digits"


class Model(StrEnum):
    convnet = "convnet"
    lenet5 = "lenet5"
    mlp = "mlp"
    convnet_bn = "convnet-bn"
    alexnet = "alexnet"
    inception = "inception"
    resnet = "resnet"


class OptimizerName(StrEnum):
    adam = "adam"
    adamw = "adamw"
    sgd = "sgd"


class Schedule(StrEnum):
    constant = "constant"
    cosine = "cosine"


class Precision(StrEnum):
    float32 = "float32"
    float16 = "float16"
    bfloat16 = "bfloat16"


@train.command("mnist")
@one_line_errors
def train_mnist(
    data: Annotated[Data, typer.Option(help="MNIST, Fashion-MNIST, or scikit-learn's small digits.")] = Data.mnist,
    model: Annotated[Model, typer.Option(help="The network.")] = Model.convnet,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    optimizer: Annotated[OptimizerName | None, typer.Option(help="adam has L2, adamw decoupled weight decay.")] = None,
    lr: Rate = None,
    schedule: Annotated[Schedule | None, typer.Option(help="How the learning rate goes on.")] = None,
    warmup: Annotated[float | None, typer.Option(min=0, help="Epochs in which the learning rate rises.")] = None,
    weight_decay: Annotated[float | None, typer.Option(min=0, help="Of filters and matrices.")] = None,
    label_smoothing: Annotated[float | None, typer.Option(min=0, max=1, help="Part of the target for all.")] = None,
    ema: Annotated[float | None, typer.Option(min=0, max=1, help="β of the weights' running mean; 0: none.")] = None,
    clip_norm: Annotated[float | None, typer.Option(min=0, help="Longest gradient; 0: any.")] = None,
    accumulate: Annotated[int | None, typer.Option(min=1, help="Batches for one step.")] = None,
    precision: Annotated[Precision | None, typer.Option(help="float16 and bfloat16: mixed precision.")] = None,
    augment: Annotated[bool | None, typer.Option("--augment/--no-augment", help="Move, turn, flip pictures.")] = None,
    patience: Patience = 0,
    tensorboard: Board = False,
    wandb: Wandb = False,
    seed: Seed = 0,
    name: Name = None,
    resume: Resume = False,
    runs_dir: Runs = Path("runs"),
    workers: Annotated[int, typer.Option(min=0, help="Processes that load batches.")] = 0,
    debug: Debug = False,
) -> None:
    """Train a network on handwritten digits (or clothes), and leave curves and pictures to look at.

    Options that are not given are those of the network's recipe (minidl/train/recipes.py).
    """
    from minidl import random
    from minidl.train import Pictures, families, recipes

    recipe = recipes.recipe_of(model.value).with_options(
        epochs=epochs,
        batch_size=batch_size,
        optimizer=optimizer and optimizer.value,
        lr=lr,
        schedule=schedule and schedule.value,
        warmup=warmup,
        weight_decay=weight_decay,
        label_smoothing=label_smoothing,
        ema=ema,
        clip_norm=clip_norm,
        accumulate=accumulate,
        precision=precision and precision.value,
        augment=augment,
    )
    data, training, test = _pictures(data)
    folder = runs_dir / (name or f"{data.value}-{model.value}")
    random.manual_seed(seed)
    network = families.small_network(model.value, training)
    trainer = recipes.make_trainer(
        network,
        recipe,
        training,
        test,
        data=data.value,
        seed=seed,
        folder=folder,
        callbacks=[*usual_callbacks(patience, tensorboard, wandb), Pictures(training.classes)],
        workers=workers,
    )
    begin(trainer, resume)
    say(
        f"{len(training):,} pictures to train {type(network).__name__} with, {len(test):,} to test it; {recipe.epochs} epochs."
    )
    fit(trainer, recipe.epochs)
    accuracy = f"{trainer.evaluation.accuracy:.2%}" if trainer.evaluation else ""
    say(
        f"Done: test accuracy {accuracy}. Look at the pictures in {folder}: curves.png, confusion.png, mistakes.png"
        + (", filters.png" if (folder / "filters.png").exists() else "")
        + ". The weights are in model.safetensors; --epochs with a larger number and --resume trains on."
    )


@train.command("families")
@one_line_errors
def train_families(
    data: Annotated[Data, typer.Option(help="MNIST, Fashion-MNIST, or scikit-learn's small digits.")] = Data.fashion,
    networks: Annotated[str, typer.Option("--models", help="Which networks, with commas; all of them.")] = "",
    epochs: Epochs = None,
    published: Annotated[bool, typer.Option(help="Also count the networks as published, untrained.")] = True,
    seed: Seed = 0,
    resume: Resume = False,
    runs_dir: Runs = Path("runs"),
    debug: Debug = False,
) -> None:
    """Train a small network of each family on the same pictures: parameters, operations, time, accuracy in one table."""
    from minidl.train import families
    from minidl.utils.screen import print_wide

    chosen = [name.strip() for name in networks.split(",") if name.strip()] or list(families.SMALL)
    for name in chosen:
        if name not in families.SMALL:
            raise ValueError(f"--models knows {', '.join(families.SMALL)}, not {name!r}")
    data, training, test = _pictures(data)
    folder = runs_dir / f"families-{data.value}"
    rows = []
    for name in chosen:
        say(f"{name}:")
        callbacks = usual_callbacks(0, False, False)
        run = folder / name
        try:
            rows.append(
                families.train(
                    name,
                    training,
                    test,
                    data=data.value,
                    epochs=epochs,
                    seed=seed,
                    folder=run,
                    callbacks=callbacks,
                    resume=resume,
                )
            )
        except KeyboardInterrupt as stop:
            raise KeyboardInterrupt(f"{stop or 'Stopped.'} The same command with --resume goes on.") from None
        families.save(rows, folder)
    if published:
        with console.status("Counting the published networks…"):
            rows += [families.describe(name) for name in families.PUBLISHED]
        families.save(rows, folder)
    print_wide(console, _table(rows), 100)
    say(f"The table is in {folder / 'families.json'}, accuracy against operations in {folder / 'families.png'}.")


def _table(rows: list[Any]) -> Any:
    from rich.table import Table

    table = Table("network")
    for column in ("parameters", "MFLOP a picture", "epochs", "s an epoch", "test accuracy", "best epoch"):
        table.add_column(column, justify="right")
    for row in rows:
        trained = (
            (str(row.epochs), f"{row.seconds:.1f}", f"{row.accuracy:.2%}", f"{row.best:.2%}")
            if row.seconds is not None
            else ("",) * 4
        )
        table.add_row(row.name, f"{row.parameters:,}", f"{row.flops / 1e6:,.1f}", *trained)
    return table


def _pictures(data: Data) -> tuple[Data, Any, Any]:
    """The data that could be had, its training part and its test part."""
    from minidl.data import MNIST, Digits, FashionMNIST
    from minidl.data.download import DownloadError
    from minidl.data.transforms import ToTensor

    if data is not Data.digits:
        source = MNIST if data is Data.mnist else FashionMNIST
        try:
            return data, source(train=True, transform=ToTensor()), source(train=False, transform=ToTensor())
        except DownloadError as error:
            say(f"{source.__name__} is not to be had here. {error}\nTraining on scikit-learn's small digits instead.")
    return Data.digits, Digits(train=True, transform=ToTensor()), Digits(train=False, transform=ToTensor())
