"""``minidl train sentiment | topics`` and ``minidl finetune``: networks that judge texts."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from minidl.cli.common import Debug, app, console, one_line_errors, say, train
from minidl.cli.training import Board, Epochs, Patience, Resume, Runs, Seed, Wandb, begin, fit, usual_callbacks


@train.command("sentiment")
@one_line_errors
def train_sentiment(
    epochs: Epochs = None,
    tensorboard: Board = False,
    wandb: Wandb = False,
    patience: Patience = 0,
    seed: Seed = 0,
    resume: Resume = False,
    runs_dir: Runs = Path("runs"),
    debug: Debug = False,
) -> None:
    """Train an LSTM to say whether a sentence of a film review is positive or negative."""
    training, test, _ = _sentiment()
    _train("sentiment", training, test, epochs, tensorboard, wandb, patience, seed, resume, runs_dir)


@train.command("topics")
@one_line_errors
def train_topics(
    epochs: Epochs = None,
    tensorboard: Board = False,
    wandb: Wandb = False,
    patience: Patience = 0,
    seed: Seed = 0,
    resume: Resume = False,
    runs_dir: Runs = Path("runs"),
    debug: Debug = False,
) -> None:
    """Train an LSTM to say which of eight topics a saying is about."""
    from minidl.data.text import topics

    _train("topics", topics("train"), topics("test"), epochs, tensorboard, wandb, patience, seed, resume, runs_dir)


@app.command("finetune")
@one_line_errors
def finetune(
    methods: Annotated[str, typer.Option(help="Which, with commas: scratch, head, full, lora, adalora; all.")] = "",
    seeds: Annotated[int, typer.Option(min=1, help="How many runs of each.")] = 3,
    epochs: Epochs = None,
    resume: Resume = False,
    runs_dir: Runs = Path("runs"),
    debug: Debug = False,
) -> None:
    """Fine-tune a trained sentence encoder on the sentiment of film reviews: the whole network, its head, LoRA, AdaLoRA,
    beside an LSTM from scratch; measured on film reviews and, unseen in training, on reviews of products."""
    from minidl.data.text import minilm
    from minidl.models import BERT
    from minidl.text import WordPiece
    from minidl.train import classification

    chosen = [name.strip() for name in methods.split(",") if name.strip()] or list(classification.METHODS)
    for name in chosen:
        if name not in classification.METHODS:
            raise ValueError(f"--methods knows {', '.join(classification.METHODS)}, not {name!r}")
    training, test, elsewhere = _sentiment()
    encoder = minilm()
    pieces = WordPiece.from_file(encoder)
    folder = runs_dir / "finetune"
    rows = _finished(folder, epochs) if resume else []
    for seed in range(seeds):  # all methods, then again: a table that is cut short is level
        for name in chosen:
            if any((row.method, row.seed) == (name, seed) for row in rows):
                continue
            say(f"{name}, seed {seed}:")
            try:
                made = classification.tune(
                    name, seed, training, test, elsewhere, lambda: BERT.from_pretrained(encoder), pieces, epochs=epochs,
                    folder=folder / f"{name}-{seed}", callbacks=usual_callbacks(0, False, False, unit="texts"),
                    resume=resume,
                )  # fmt: skip
            except KeyboardInterrupt as stop:
                raise KeyboardInterrupt(f"{stop or 'Stopped.'} The same command with --resume goes on.") from None
            rows.append(made)
            _save(rows, folder)
    console.print(_table(rows))
    say(f"The table is in {folder / 'finetune.json'}; adapters are in adapters.safetensors of their runs.")


@app.command("judge")
@one_line_errors
def judge(
    run: Annotated[Path, typer.Argument(help="The folder of a run, such as runs/sentiment.")],
    texts: Annotated[list[str], typer.Argument(help="What to judge.")],
    debug: Debug = False,
) -> None:
    """Say what a network that was trained to judge texts thinks of others."""
    from minidl.train import classification, language

    model, tokenizer = language.load_run(run)
    if not (run / "classes.json").exists():
        raise ValueError(
            f"{run} holds a {type(model).__name__}, which does not judge: see minidl train sentiment, topics"
        )
    classes = json.loads((run / "classes.json").read_text(encoding="utf-8"))
    for text, shares in zip(texts, classification.judge(model, tokenizer, texts)):
        say(f"{classes[shares.argmax()]} ({shares.max():.1%}): {text}")


def _sentiment() -> tuple[Any, Any, Any]:
    from minidl.data.text import amazon_reviews, movie_reviews

    return (
        movie_reviews("train").to_labels(),
        movie_reviews("test").to_labels(),
        amazon_reviews("all").to_labels(),
    )


def _train(
    name: str, training: Any, test: Any, epochs: int | None, tensorboard: bool, wandb: bool, patience: int, seed: int,
    resume: bool, runs_dir: Path,
) -> None:  # fmt: skip
    from minidl import random
    from minidl.train import classification, language
    from minidl.utils.files import atomic_write

    recipe = classification.RECIPES["scratch"].with_options(epochs=epochs)
    tokenizer = classification.byte_pairs(training)
    padding = tokenizer.special[classification.PADDING]
    random.manual_seed(seed)
    settings = {"classes": len(training.classes), "padding": padding, **classification.SIZES}
    network = language.Network("classifier", tokenizer.vocab_size, settings)
    model, folder = network.make(), runs_dir / name
    parts = [classification.encode(part, tokenizer, recipe.max_length) for part in (training, test)]
    trainer = classification.make_trainer(
        model, recipe, parts[0], parts[1], padding, folder=folder,
        callbacks=usual_callbacks(patience, tensorboard, wandb, unit="texts"), settings={"data": name, "seed": seed},
    )  # fmt: skip
    begin(trainer, resume)
    language.save_run(folder, network, tokenizer)
    with atomic_write(folder / "classes.json", "w", encoding="utf-8") as file:
        json.dump(list(training.classes), file)
    frequent = max(parts[1].labels.count(label) for label in set(parts[1].labels)) / len(parts[1])
    say(
        f"{len(parts[0]):,} texts to train {type(model).__name__} with, {len(parts[1]):,} to test it; {recipe.epochs} epochs."
    )
    fit(trainer, recipe.epochs)
    say(
        f"Done: test accuracy {trainer.evaluation.accuracy:.2%} (always the most frequent of {', '.join(training.classes)}: "
        f"{frequent:.2%}). What it says of others: minidl judge {folder} 'a sentence'"
    )


def _finished(folder: Path, epochs: int | None) -> list[Any]:
    """The runs in the table of an earlier call that had as many epochs."""
    from minidl.train.classification import RECIPES, Tuned

    path = folder / "finetune.json"
    rows = [Tuned(**row) for row in json.loads(path.read_text(encoding="utf-8"))] if path.exists() else []
    return [row for row in rows if row.epochs == (epochs or RECIPES[row.method].epochs)]


def _save(rows: list[Any], folder: Path) -> None:
    from minidl.utils.files import atomic_write

    with atomic_write(folder / "finetune.json", "w", encoding="utf-8") as file:
        json.dump([asdict(row) for row in rows], file, indent=1)


def _table(rows: list[Any]) -> Any:
    from rich.table import Table

    from minidl.train.classification import METHODS

    table = Table("method")
    for column in ("test accuracy", "product reviews", "trained", "of", "MB", "s", "s of processor"):
        table.add_column(column, justify="right")
    for method in sorted({row.method for row in rows}, key=METHODS.index):
        runs = [row for row in rows if row.method == method]
        table.add_row(
            method,
            *(_spread([getattr(row, name) for row in runs]) for name in ("accuracy", "elsewhere")),
            f"{runs[0].trained:,}",
            f"{runs[0].parameters:,}",
            f"{runs[0].megabytes:.0f}",
            *(f"{statistics.median(getattr(row, name) for row in runs):.0f}" for name in ("seconds", "processor")),
        )
    return table


def _spread(values: list[float]) -> str:
    mean = f"{statistics.mean(values):.2%}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.2%}"
