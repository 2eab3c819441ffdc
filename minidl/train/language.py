"""How language models are trained: networks of about a million parameters, their recipes, and what they are measured by."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minidl import models, serialization
from minidl.data import DataLoader
from minidl.data import text as texts
from minidl.text import ByteBPE, CharTokenizer, MaskedText, NGram, RandomWindows, Streams, Windows
from minidl.train.callbacks import Callback
from minidl.train.evaluation import evaluate_tokens, token_loss
from minidl.train.limits import ClipGradients
from minidl.train.recipes import Recipe, make_optimizer, schedule
from minidl.train.trainer import Trainer
from minidl.utils.files import atomic_write

CORPORA: dict[str, Callable[..., Any]] = {"shakespeare": texts.shakespeare, "program": texts.program_text}
MASK = "<mask>"


class CarryState(Callback):
    """Hands a :class:`minidl.models.CharRNN`'s state on from batch to batch of :class:`minidl.text.Streams`, starts every
    epoch from zero, keeps measuring apart, and puts the state into the checkpoint."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def on_fit_begin(self, trainer: Any) -> None:
        self.model.carry = True

    def on_epoch_begin(self, trainer: Any) -> None:
        if not trainer.step:
            self.model.state = None

    def on_evaluate_begin(self, trainer: Any) -> None:
        self._aside, self.model.state = self.model.state, None

    def on_evaluate_end(self, trainer: Any) -> None:
        self.model.state = self._aside

    def on_fit_end(self, trainer: Any) -> None:
        self.model.carry = False

    def state_dict(self) -> dict[str, Any]:
        return {"state": self.model.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.state = state["state"]


@dataclass(frozen=True)
class Network:
    """A network by name, and what it takes to make it again.

    Attributes
    ----------
    kind        a name of NETWORKS
    vocab_size  of its tokeniser
    settings    keyword arguments, where they are not the usual ones
    """

    kind: str
    vocab_size: int
    settings: dict[str, Any]

    def make(self) -> Any:
        if self.kind not in NETWORKS:
            raise ValueError(f"there is no network {self.kind!r}; the networks are {', '.join(NETWORKS)}")
        return NETWORKS[self.kind](self.vocab_size, **self.settings)


def _bert(
    vocab_size: int, width: int = 160, layers: int = 3, heads: int = 5, context: int = 128, dropout: float = 0.1
) -> Any:
    return models.BertForMaskedLM(
        models.BERT(vocab_size, width, layers, heads, context=context, types=1, dropout=dropout)
    )


def _recurrent(kind: str, usual: int) -> Callable[..., Any]:
    return lambda vocab_size, width=64, hidden=usual, layers=1, dropout=0.0: models.CharRNN(
        vocab_size, width, hidden, layers, kind, dropout
    )


# About a million parameters each, over an alphabet of a hundred characters.
NETWORKS: dict[str, Callable[..., Any]] = {
    "rnn": _recurrent("rnn", 928),
    "gru": _recurrent("gru", 512),
    "lstm": _recurrent("lstm", 448),
    "gpt": lambda vocab_size, context=128, width=160, layers=3, heads=5, dropout=0.0: models.GPT(
        vocab_size, context, width, layers, heads, dropout
    ),
    "llama": lambda vocab_size, context=128, width=160, layers=3, heads=5, dropout=0.0: models.Llama(
        vocab_size, context, width, layers, heads, dropout=dropout
    ),
    "bert": _bert,
    "translator": models.Transformer,
    "classifier": models.TextClassifier,
}
WRITERS = ("gpt", "llama")  # Transformers that write: they see a window, and nothing before it
_USUAL: dict[str, Any] = {
    "epochs": 1,
    "batch_size": 32,
    "optimizer": "adamw",
    "schedule": "cosine",
    "warmup": 0.05,
    "weight_decay": 0.01,
    "clip_norm": 1.0,
}
RECIPES = {
    "rnn": Recipe(lr=1e-3, **_USUAL),
    "gru": Recipe(lr=4e-3, **_USUAL),
    "lstm": Recipe(lr=4e-3, **_USUAL),
    # A Transformer gains more from many steps than from large batches.
    "gpt": Recipe(lr=1.5e-3, **{**_USUAL, "batch_size": 8}),
    "llama": Recipe(lr=1.5e-3, **{**_USUAL, "batch_size": 8}),
    # It is asked about 15 % of what it reads. With twice the rate it never learnt to look around.
    "bert": Recipe(lr=1e-3, **{**_USUAL, "epochs": 4}),
}


def make_trainer(
    network: Network,
    model: Any,
    recipe: Recipe,
    training: Any,
    validation: Any,
    *,
    length: int = 128,
    mask: int | None = None,
    folder: Path | None = None,
    callbacks: list[Callback] | None = None,
    settings: dict[str, Any] | None = None,
) -> Trainer:
    """A :class:`Trainer` of a language model.

    Recurrent networks read the text in streams and carry their state on; a GPT or LLaMA sees windows from anywhere, as many
    tokens an epoch as the text has; a BERT guesses the hidden tokens of windows.

    Args:
        network, model: what it is, and the thing itself.
        training, validation: tokens.
        length: of a window, and of what backpropagation goes through.
        mask: for a BERT, the token that hides others.
    """
    extra: list[Callback] = [ClipGradients(norm=recipe.clip_norm)] if recipe.clip_norm else []
    test: Any = DataLoader(Windows(validation, length), recipe.batch_size)
    if network.kind in WRITERS:
        steps = max(len(training) // (recipe.batch_size * length), 1)
        loader: Any = RandomWindows(training, length, recipe.batch_size, steps)
    elif network.kind == "bert":
        if mask is None:
            raise ValueError("a BERT needs the number of the token that hides others: mask")
        vocabulary = network.vocab_size - 1
        masked = MaskedText(training, length, mask, vocabulary)
        loader = DataLoader(masked, recipe.batch_size, shuffle=True, drop_last=True)
        test = DataLoader(MaskedText(validation, length, mask, vocabulary, fixed=True), recipe.batch_size)
    else:
        loader, test = Streams(training, length, recipe.batch_size), Streams(validation, length, 16)
        extra.append(CarryState(model))
    if not len(loader):
        raise ValueError(
            f"the text of {len(training):,} tokens is shorter than one batch of {recipe.batch_size} × {length}"
        )
    optimizer = make_optimizer(model, recipe)
    return Trainer(
        model,
        optimizer,
        loader,
        test,
        loss_fn=token_loss,
        evaluate_fn=evaluate_tokens,
        scheduler=schedule(optimizer, recipe, len(loader)),
        schedule_every="step",
        accumulate=recipe.accumulate,
        precision=recipe.precision,
        folder=folder,
        callbacks=[*extra, *(callbacks or [])],
        settings={"length": length, **recipe.settings(), **(settings or {})},
    )


@dataclass
class Baselines:
    """What counting alone achieves on the validation text, in bits a token; ``bytes`` it has for each token."""

    unigram: float
    ngram: float
    order: int
    bytes_per_token: float

    def sentence(self) -> str:
        return (
            f"{self.unigram / self.bytes_per_token:.3f} by single tokens, "
            f"{self.ngram / self.bytes_per_token:.3f} by {self.order}-grams"
        )


def baselines(training: Any, validation: Any, tokenizer: Any, text: str) -> Baselines:
    """The unigram model and the longest n-gram model, up to 5, whose grams fit; ``text`` is what ``validation`` stands for."""
    order = min(5, math.floor(62.9 / math.log2(tokenizer.vocab_size)))
    unigram, ngram = (NGram(training, n, tokenizer.vocab_size).bits(validation) for n in (1, order))
    return Baselines(unigram, ngram, order, len(text.encode()) / len(validation))


def masked_baselines(training: Any, validation: Any, masked: MaskedText, vocab_size: int) -> tuple[float, float, int]:
    """How many hidden tokens are guessed by counting: as the most frequent token, and as what mostly follows the n - 1
    tokens before, which here are never hidden; and n.

    Args:
        training, validation: tokens.
        masked: windows of ``validation``, the same each time.
    """
    wanted = np.concatenate([masked[i][1].numpy() for i in range(len(masked))])
    hidden = np.flatnonzero(wanted != -100)
    model = NGram(training, 3, vocab_size)
    right = model.guesses(validation)[hidden] == wanted[hidden]
    frequent = np.bincount(np.asarray(training)).argmax() == wanted[hidden]
    return float(frequent.mean()), float(right.mean()), model.order


def save_run(folder: Path, network: Network, tokenizer: Any) -> None:
    """Beside the weights: what it takes to use them."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(folder / "tokenizer.json")
    with atomic_write(folder / "network.json", "w", encoding="utf-8") as file:
        json.dump({"kind": network.kind, "vocab_size": network.vocab_size, "settings": network.settings}, file)


def load_run(folder: Path) -> tuple[Any, Any]:
    """The model, in evaluation mode, and the tokeniser of a run's folder.

    Raises:
        FileNotFoundError: it is no such folder, or training has saved no weights yet.
        ValueError: a file is damaged, or names a network that there is not.
    """
    if not (folder / "network.json").exists():
        raise FileNotFoundError(
            f"{folder} holds no model of texts: there is no network.json; minidl train charlm, gpt, bert, sentiment, "
            "topics or translate trains one"
        )
    if not (folder / "model.safetensors").exists():
        raise FileNotFoundError(f"{folder} holds no weights yet: they are saved when an epoch ends, or at Ctrl-C")
    described, kept = (_read(folder / name) for name in ("network.json", "tokenizer.json"))
    try:
        network = Network(**described)
        tokenizer = (CharTokenizer if kept["kind"] == "characters" else ByteBPE).load(folder / "tokenizer.json")
    except (TypeError, KeyError) as error:
        raise ValueError(f"{folder} is not as minidl train leaves it: {error}") from None
    model = network.make()
    model.load_state_dict(serialization.load_file(folder / "model.safetensors"))
    model.eval()
    return model, tokenizer


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from None
