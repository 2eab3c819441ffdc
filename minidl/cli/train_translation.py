"""``minidl train translate`` and ``minidl translate``: a Transformer that translates dates, or verses."""

from __future__ import annotations

import json
import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from minidl.cli.common import Debug, app, console, one_line_errors, say, train
from minidl.cli.training import (
    BatchSize,
    Board,
    Epochs,
    Name,
    Rate,
    Resume,
    Runs,
    Seed,
    Wandb,
    begin,
    fit,
    usual_callbacks,
)

Beams = Annotated[
    int, typer.Option(min=1, help="Translations that beam search keeps; 1: the likeliest word each time.")
]


class What(StrEnum):
    dates = "dates"
    bible = "bible"


@train.command("translate")
@one_line_errors
def train_translate(
    data: Annotated[What, typer.Option(help="Dates of 26 languages, or English verses into Spanish.")] = What.dates,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    lr: Rate = None,
    vocabulary: Annotated[int | None, typer.Option(min=259, help="Tokens of the byte-pair encoding.")] = None,
    width: Annotated[int | None, typer.Option(min=1, help="Of the states.")] = None,
    layers: Annotated[int | None, typer.Option(min=1, help="Of encoder and decoder, each.")] = None,
    heads: Annotated[int | None, typer.Option(min=1, help="Of attention.")] = None,
    dropout: Annotated[float | None, typer.Option(min=0, max=1, help="Of states and attention.")] = None,
    beams: Beams = 4,
    tensorboard: Board = False,
    wandb: Wandb = False,
    seed: Seed = 0,
    name: Name = None,
    resume: Resume = False,
    runs_dir: Runs = Path("runs"),
    debug: Debug = False,
) -> None:
    """Train a Transformer to translate; measure it on pairs held out, and show where it looks."""
    from minidl import random
    from minidl.train import language, translation

    task = translation.TASKS[data.value].with_options(
        epochs=epochs, batch_size=batch_size, lr=lr, vocabulary=vocabulary, width=width, layers=layers, heads=heads,
        dropout=dropout,
    )  # fmt: skip
    with console.status("Reading the pairs…"):
        parts = {split: task.data(split) for split in ("train", "validation", "test")}
    with console.status("Finding the merges of the byte-pair encoding…"):
        tokenizer = translation.tokenizer_of(parts["train"], task.vocabulary)
    folder = runs_dir / (name or data.value)
    network = translation.network_of(task, tokenizer)
    random.manual_seed(seed)
    model = network.make()
    trainer = translation.make_trainer(
        model,
        task,
        translation.Pairs(parts["train"].samples, tokenizer),
        translation.Pairs(parts["validation"].samples, tokenizer),
        folder=folder,
        callbacks=usual_callbacks(0, tensorboard, wandb, unit="pairs"),
        settings={"data": data.value, "seed": seed},
    )
    begin(trainer, resume)
    language.save_run(folder, network, tokenizer)
    say(
        f"{len(parts['train']):,} pairs to train {type(model).__name__} ({sum(p.numel() for p in model.parameters()):,} "
        f"parameters) with, {len(parts['test']):,} to test it; {task.epochs} epochs."
    )
    fit(trainer, task.epochs)
    _measure(model, tokenizer, parts, data, beams, folder)


def _measure(model: Any, tokenizer: Any, parts: dict[str, Any], data: What, beams: int, folder: Path) -> None:
    """Translate the test's sources; say how good that is, keep it, and draw where the model looks."""
    from minidl.train import pictures, translation
    from minidl.utils.files import atomic_write

    sources, wanted = ([pair[side] for pair in parts["test"].samples] for side in (0, 1))
    with console.status("Translating…") as status:
        found = translation.translate(
            model, tokenizer, sources, beams, progress=lambda done: status.update(f"Translating… {done}/{len(sources)}")
        )
    with atomic_write(folder / "translations.json", "w", encoding="utf-8") as file:
        rows = [{"source": a, "wanted": b, "found": c} for a, b, c in zip(sources, wanted, found)]
        json.dump(rows, file, ensure_ascii=False, indent=1)
    for source, right, made in list(zip(sources, wanted, found))[:6]:
        say(f"  {source}\n    → {made}" + ("" if made == right else f"\n    (wanted: {right})"))
    shown = min(range(len(sources)), key=lambda i: abs(len(sources[i]) - 40))
    pictures.draw_attention(
        *translation.attention(model, tokenizer, sources[shown], found[shown]), folder / "attention.png"
    )
    if data is What.dates:
        say(f"Done: of {len(found):,} dates of days never seen, {translation.exact(found, wanted):.2%} are right.")
    else:
        words = translation.WordByWord(parts["train"].samples)
        plain = translation.bleu([words.translate(text) for text in sources], wanted, lowercase=True)
        say(
            f"Done: BLEU {translation.bleu(found, wanted):.2f} on books never seen; in small letters "
            f"{translation.bleu(found, wanted, lowercase=True):.2f}, word by word {plain:.2f}."
        )
    say(
        f"All of them are in {folder / 'translations.json'}; attention.png shows where it looks. "
        f"Others: minidl translate {folder} {shlex.quote(sources[0])}"
    )


@app.command("translate")
@one_line_errors
def translate(
    run: Annotated[Path, typer.Argument(help="The folder of a run, such as runs/dates.")],
    texts: Annotated[list[str], typer.Argument(help="What to translate.")],
    beams: Beams = 4,
    picture: Annotated[
        Path | None, typer.Option(help="Draw where the model looks at the first text into this file.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Translate texts by a network that was trained to."""
    from minidl.train import language, pictures, translation

    model, tokenizer = language.load_run(run)
    if not hasattr(model, "translate"):
        raise ValueError(f"{run} holds a {type(model).__name__}, which does not translate: see minidl train translate")
    if not all(text.strip() for text in texts):
        raise ValueError("there is nothing to translate in an empty text")
    found = translation.translate(model, tokenizer, texts, beams)
    for made in found:
        say(made)
    if picture is not None:
        pictures.draw_attention(*translation.attention(model, tokenizer, texts[0], found[0]), picture)
