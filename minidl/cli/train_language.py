"""``minidl train charlm | gpt | bert`` and ``minidl generate``: language models, and what they write."""

from __future__ import annotations

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


class Text(StrEnum):
    shakespeare = "shakespeare"
    program = "program"


class Kind(StrEnum):
    rnn = "rnn"
    gru = "gru"
    lstm = "lstm"
    gpt = "gpt"
    llama = "llama"


class Writer(StrEnum):
    gpt = "gpt"
    llama = "llama"


Length = Annotated[int, typer.Option(min=1, help="Tokens of a text; gradients go back as far.")]
Dropout = Annotated[float, typer.Option(min=0, max=1, help="Of states and attention.")]
Vocabulary = Annotated[int, typer.Option(min=257, help="Tokens of the byte-pair encoding, which is trained first.")]
Part = Annotated[float, typer.Option(min=0, max=1, help="How much of the text to train on: 0.5: its first half.")]


@train.command("charlm")
@one_line_errors
def train_charlm(
    data: Annotated[Text, typer.Option(help="Shakespeare, or the Python library's source.")] = Text.program,
    model: Annotated[Kind, typer.Option(help="The network; each has about a million parameters.")] = Kind.lstm,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    lr: Rate = None,
    length: Length = 128,
    dropout: Dropout = 0.0,
    part: Part = 1.0,
    tensorboard: Board = False,
    wandb: Wandb = False,
    seed: Seed = 0,
    name: Name = None,
    resume: Resume = False,
    runs_dir: Runs = Path("runs"),
    debug: Debug = False,
) -> None:
    """Train a network to write on, character by character; measure bits a character; and let it write."""
    from minidl.text import CharTokenizer

    training, validation = _texts(data.value, part)
    tokenizer = CharTokenizer.of(training, least=100)
    trainer = _train(
        model.value, data.value, tokenizer, training, validation, {"dropout": dropout}, length, part=part,
        epochs=epochs, batch_size=batch_size, lr=lr, tensorboard=tensorboard, wandb=wandb, seed=seed,
        folder=runs_dir / (name or f"{data.value}-{model.value}"), resume=resume,
    )  # fmt: skip
    _write(trainer, tokenizer, "\n")


@train.command("gpt")
@one_line_errors
def train_gpt(
    data: Annotated[Text, typer.Option(help="Shakespeare, or the Python library's source.")] = Text.shakespeare,
    model: Annotated[Writer, typer.Option(help="GPT-2's network, or LLaMA's.")] = Writer.gpt,
    vocabulary: Vocabulary = 1024,
    width: Annotated[int, typer.Option(min=1, help="Of the states.")] = 160,
    layers: Annotated[int, typer.Option(min=1, help="How many.")] = 3,
    heads: Annotated[int, typer.Option(min=1, help="Of attention.")] = 5,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    lr: Rate = None,
    length: Length = 128,
    dropout: Dropout = 0.0,
    part: Part = 1.0,
    tensorboard: Board = False,
    wandb: Wandb = False,
    seed: Seed = 0,
    name: Name = None,
    resume: Resume = False,
    runs_dir: Runs = Path("runs"),
    debug: Debug = False,
) -> None:
    """Pre-train a GPT or LLaMA autoregressively, on tokens of a byte-pair encoding; measure bits a byte; and let it write."""
    tokenizer, training, validation = _byte_pairs(data.value, vocabulary, part)
    settings = {"width": width, "layers": layers, "heads": heads, "dropout": dropout}
    trainer = _train(
        model.value, data.value, tokenizer, training, validation, settings, length, part=part,
        epochs=epochs, batch_size=batch_size, lr=lr, tensorboard=tensorboard, wandb=wandb, seed=seed,
        folder=runs_dir / (name or f"{data.value}-{model.value}-{vocabulary}"), resume=resume,
    )  # fmt: skip
    _write(trainer, tokenizer, "\n")


@train.command("bert")
@one_line_errors
def train_bert(
    data: Annotated[Text, typer.Option(help="Shakespeare, or the Python library's source.")] = Text.shakespeare,
    vocabulary: Vocabulary = 1024,
    width: Annotated[int, typer.Option(min=1, help="Of the states.")] = 160,
    layers: Annotated[int, typer.Option(min=1, help="How many.")] = 3,
    heads: Annotated[int, typer.Option(min=1, help="Of attention.")] = 5,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    lr: Rate = None,
    length: Length = 32,
    dropout: Dropout = 0.0,
    part: Part = 1.0,
    tensorboard: Board = False,
    wandb: Wandb = False,
    seed: Seed = 0,
    name: Name = None,
    resume: Resume = False,
    runs_dir: Runs = Path("runs"),
    debug: Debug = False,
) -> None:
    """Pre-train a BERT by masked language modelling: 15 % of the tokens, 80 % of them hidden, 10 % replaced, 10 % kept."""
    tokenizer, training, validation = _byte_pairs(data.value, vocabulary, part)
    settings = {"width": width, "layers": layers, "heads": heads, "dropout": dropout}
    _train(
        "bert", data.value, tokenizer, training, validation, settings, length, part=part,
        epochs=epochs, batch_size=batch_size, lr=lr, tensorboard=tensorboard, wandb=wandb, seed=seed,
        folder=runs_dir / (name or f"{data.value}-bert-{vocabulary}"), resume=resume,
    )  # fmt: skip


@app.command("generate")
@one_line_errors
def generate(
    run: Annotated[Path, typer.Argument(help="The folder of a run, such as runs/program-lstm.")],
    prompt: Annotated[str, typer.Option(help="What the text begins with.")] = "\n",
    tokens: Annotated[int, typer.Option(min=1, help="How many to add.")] = 500,
    temperature: Annotated[float, typer.Option(min=0, help="0: always the likeliest; 1: as it was trained.")] = 0.8,
    top_k: Annotated[int | None, typer.Option(min=1, help="Draw from so many likeliest alone.")] = None,
    top_p: Annotated[float | None, typer.Option(min=0, max=1, help="Draw from the likeliest with this share.")] = None,
    seed: Seed = 0,
    debug: Debug = False,
) -> None:
    """Let a language model write on."""
    from minidl import random
    from minidl.train.language import load_run

    model, tokenizer = load_run(run)
    if not hasattr(model, "generate"):
        raise ValueError(f"{run} holds a {type(model).__name__}, which does not write on: see minidl train charlm, gpt")
    random.manual_seed(seed)
    say(written(model, tokenizer, prompt, tokens, temperature=temperature, top_k=top_k, top_p=top_p))


@app.command("gradients")
@one_line_errors
def gradients(
    runs: Annotated[list[Path], typer.Argument(help="Folders of recurrent networks' runs, such as runs/program-rnn.")],
    data: Annotated[Text, typer.Option(help="The text, of which the held-out part is read.")] = Text.program,
    length: Annotated[int, typer.Option(min=2, help="Steps to look back.")] = 100,
    texts: Annotated[int, typer.Option(min=1, help="Over how many texts the mean is taken.")] = 32,
    picture: Annotated[Path, typer.Option(help="Where to draw the curves.")] = Path("gradients.png"),
    debug: Debug = False,
) -> None:
    """Measure how much recurrent networks feel of each step before the last: where gradients vanish along time."""
    from minidl import creation
    from minidl.models import CharRNN, gradients_along_time
    from minidl.train import language, pictures

    curves: dict[str, Any] = {}
    held_out = language.CORPORA[data.value]("validation").text
    for run in runs:
        model, tokenizer = language.load_run(run)
        if not isinstance(model, CharRNN):
            raise ValueError(
                f"{run} holds a {type(model).__name__}; gradients along time are those of a recurrent network"
            )
        tokens = tokenizer.encode(held_out)
        if len(tokens) < texts * (length + 1):
            raise ValueError(f"{texts} texts of {length + 1} tokens are more than the held-out text of {len(tokens):,}")
        rows = creation.tensor(tokens[: texts * (length + 1)]).reshape((texts, length + 1))
        curves[run.name] = norms = gradients_along_time(model, rows).cpu().numpy()
        back = [*(n for n in (1, 10, 30, 100, 300, 1000) if n < length - 1), length - 1]
        told = ", ".join(f"{norms[-1 - n] / norms[-1]:.1e} {n} steps back" for n in back)
        say(f"{run.name}: of the gradient at the last step is left: {told}.")
    pictures.draw_along_time(curves, picture)
    say(f"The curves are in {picture}.")


def written(model: Any, tokenizer: Any, prompt: str, tokens: int, **settings: Any) -> str:
    """The prompt and what the model adds to it. ValueError for an empty prompt."""
    from minidl import creation

    if not prompt:
        raise ValueError("the prompt is empty: give at least one character, for the model must begin somewhere")
    begun = creation.tensor([tokenizer.encode(prompt)])
    return tokenizer.decode(model.generate(begun, tokens, **settings)[0])


def _texts(data: str, part: float) -> tuple[str, str]:
    """What to train on, so large a part of it, and what to measure on."""
    from minidl.train.language import CORPORA

    training = CORPORA[data]("train").text
    if not round(part * len(training)):
        raise ValueError(f"--part {part} of the text is empty: there would be nothing to train on")
    return training[: round(part * len(training))], CORPORA[data]("validation").text


def _byte_pairs(data: str, vocabulary: int, part: float) -> tuple[Any, str, str]:
    from minidl.text import ByteBPE
    from minidl.train.language import MASK

    training, validation = _texts(data, part)
    with console.status("Finding the merges of the byte-pair encoding…"):
        tokenizer = ByteBPE.train(training, vocabulary, special=[MASK])
    say(f"The first merges: {', '.join(repr((a + b).decode('utf-8', 'replace')) for a, b in tokenizer.merges[:10])}.")
    return tokenizer, training, validation


def _train(
    kind: str, data: str, tokenizer: Any, training: str, validation: str, settings: dict[str, Any], length: int,
    *, part: float, epochs: int | None, batch_size: int | None, lr: float | None, tensorboard: bool, wandb: bool,
    seed: int, folder: Path, resume: bool,
) -> Any:  # fmt: skip
    """Train a language model on a text, and say what it reached beside what counting reaches."""
    from minidl import random
    from minidl.train import language

    if kind in (*language.WRITERS, "bert"):
        settings = {"context": length, **settings}
    with console.status("Encoding…"):
        tokens, held_out = tokenizer.encode(training), tokenizer.encode(validation)
    random.manual_seed(seed)
    network = language.Network(kind, tokenizer.vocab_size, settings)
    model = network.make()
    recipe = language.RECIPES[kind].with_options(epochs=epochs, batch_size=batch_size, lr=lr)
    trainer = language.make_trainer(
        network, model, recipe, tokens, held_out, length=length, folder=folder,
        mask=tokenizer.special[language.MASK] if kind == "bert" else None,
        callbacks=usual_callbacks(0, tensorboard, wandb, unit="texts"),
        settings={"data": data, "part": part, "seed": seed, "kind": kind, "vocabulary": tokenizer.vocab_size, **settings},
    )  # fmt: skip
    begin(trainer, resume)
    language.save_run(folder, network, tokenizer)
    parameters = sum(p.numel() for p in model.parameters())
    with console.status("Counting n-grams…"):
        if kind == "bert":
            windows: Any = trainer.test_loader
            frequent, follows, order = language.masked_baselines(
                tokens, held_out, windows.dataset, tokenizer.vocab_size
            )
        else:
            counted = language.baselines(tokens, held_out, tokenizer, validation)
    say(
        f"{len(tokens):,} tokens of {tokenizer.vocab_size} kinds to train {type(model).__name__} ({parameters:,} parameters) "
        f"with, {len(held_out):,} to test it; {recipe.epochs} × {len(trainer.train_loader)} steps."  # type: ignore[arg-type]
    )
    fit(trainer, recipe.epochs)
    found = trainer.evaluation
    if kind == "bert":
        say(
            f"Done: of the hidden tokens of the held-out text it guesses {found.accuracy:.2%} (as the most frequent token "
            f"{frequent:.2%}, by {order}-grams {follows:.2%}); {found.bits:.3f} bits each."
        )
    else:
        say(
            f"Done: {found.bits / counted.bytes_per_token:.3f} bits a byte of held-out text ({counted.sentence()}); it "
            f"guesses {found.accuracy:.2%} of the tokens."
        )
    return trainer


def _write(trainer: Any, tokenizer: Any, prompt: str) -> None:
    from minidl.utils.files import atomic_write

    text = written(trainer.model, tokenizer, prompt, 400, temperature=0.8)
    with atomic_write(trainer.folder / "sample.txt", "w", encoding="utf-8") as file:
        file.write(text)
    say(f"It writes:\n{text}\n\nMore of it: minidl generate {trainer.folder} --prompt …")
