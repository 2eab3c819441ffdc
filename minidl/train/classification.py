"""How texts are classified: from scratch by a recurrent network, or by fine-tuning a trained encoder, in whole or in part."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from minidl import creation, models, nn, ops, optim, random, serialization
from minidl.data import DataLoader, TensorDataset
from minidl.models import lora
from minidl.models.generation import evaluating
from minidl.nn import functional as F
from minidl.text import ByteBPE, EncodedTexts, LengthBatches, collate, pad
from minidl.train.callbacks import Callback
from minidl.train.evaluation import evaluate
from minidl.train.limits import ClipGradients
from minidl.train.schedules import decay_groups, warmup_cosine
from minidl.train.trainer import Trainer

PADDING = "<pad>"
METHODS = ("scratch", "head", "full", "lora", "adalora")
SIZES: dict[str, Any] = {"width": 96, "hidden": 96}  # of the recurrent network


@dataclass(frozen=True)
class TextRecipe:
    """All that decides a run beside network, data and seed.

    Attributes
    ----------
    epochs, batch_size, lr, weight_decay, clip_norm    as for pictures; AdamW, a cosine after a warm-up of a tenth
    max_length                                         tokens of a text that are read
    """

    epochs: int = 3
    batch_size: int = 32
    lr: float = 1e-3
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    max_length: int = 96

    def with_options(self, **options: Any) -> TextRecipe:
        """The recipe with those of ``options`` that are not None."""
        return replace(self, **{name: value for name, value in options.items() if value is not None})


RECIPES = {
    "scratch": TextRecipe(epochs=6, lr=2e-3),
    "head": TextRecipe(epochs=3, lr=1e-2),
    "full": TextRecipe(epochs=1, lr=1e-4),
    "lora": TextRecipe(epochs=1, lr=1e-3),
    "adalora": TextRecipe(epochs=1, lr=1e-2),
}


class Ranks(Callback):
    """AdaLoRA's part in training: the orthogonality penalty's gradient, importances, and the falling budget of ranks."""

    def __init__(self, allocator: lora.RankAllocator, penalty: float = 0.1) -> None:
        self.allocator, self.penalty = allocator, penalty

    def on_gradients(self, trainer: Any) -> None:
        (self.penalty * lora.orthogonality(trainer.model)).backward()
        self.allocator.observe()

    def on_update(self, trainer: Any) -> None:
        self.allocator.prune()

    def state_dict(self) -> dict[str, Any]:
        return self.allocator.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.allocator.load_state_dict(state)


def encode(texts: Any, tokenizer: Any, max_length: int) -> EncodedTexts:
    """Samples (text, label) as numbers, at most ``max_length`` each."""
    rows = [tokenizer.encode(text)[:max_length] or [0] for text, _ in texts.samples]
    return EncodedTexts(rows, [label for _, label in texts.samples])


def byte_pairs(texts: Any, vocabulary: int = 4096) -> ByteBPE:
    """A byte-pair encoding of the training texts, with a token that fills up."""
    return ByteBPE.train("\n".join(text for text, _ in texts.samples), vocabulary, special=[PADDING])


def make_trainer(
    model: Any,
    recipe: TextRecipe,
    training: EncodedTexts | TensorDataset,
    test: EncodedTexts | TensorDataset,
    padding: int,
    *,
    folder: Path | None = None,
    callbacks: list[Callback] | None = None,
    settings: dict[str, Any] | None = None,
) -> Trainer:
    """A :class:`Trainer` of a model that takes padded tokens (or, of a :class:`TensorDataset`, rows of numbers); parameters
    that need no gradient are left alone."""
    loader = _loader(training, padding, recipe.batch_size, training=True)
    optimizer = optim.AdamW(decay_groups(model, recipe.weight_decay), lr=recipe.lr)
    total = recipe.epochs * len(loader)
    return Trainer(
        model,
        optimizer,
        loader,
        _loader(test, padding, 64),
        loss_fn=F.cross_entropy,
        scheduler=warmup_cosine(optimizer, total, min(total // 10, total - 1)),
        schedule_every="step",
        folder=folder,
        callbacks=[ClipGradients(norm=recipe.clip_norm), *(callbacks or [])],
        settings={**recipe.__dict__, **(settings or {})},
    )


def _loader(data: Any, padding: int, batch_size: int, training: bool = False) -> DataLoader:
    if isinstance(data, TensorDataset):
        return DataLoader(data, batch_size, shuffle=training)
    if not training:
        return DataLoader(data, batch_size, collate_fn=collate(padding))
    batches: Any = LengthBatches(data.lengths, batch_size)
    return DataLoader(data, batch_sampler=batches, collate_fn=collate(padding))


def vectors(model: models.BertClassifier, data: EncodedTexts, batch_size: int = 32) -> TensorDataset:
    """What an encoder that stays as it is makes of texts, computed once: samples (vector, label), in the same order."""
    order = np.argsort(data.lengths, kind="stable")  # texts of like length together
    together = collate(model.padding)
    with evaluating(model):
        found = [
            model.vectors(together([data[i] for i in order[first : first + batch_size]])[0])
            for first in range(0, len(order), batch_size)
        ]
    places = creation.tensor(np.argsort(order))
    return TensorDataset(ops.index_select(ops.cat(found, 0), 0, places), creation.tensor(np.array(data.labels)))


def judge(model: Any, tokenizer: Any, texts: Sequence[str], max_length: int = TextRecipe.max_length) -> Any:
    """What a classifier thinks of texts: probabilities (len(texts), classes) as an array. Nothing is known of an empty text:
    ValueError."""
    rows = [tokenizer.encode(text)[:max_length] for text in texts]
    if not all(rows):
        raise ValueError("there is nothing to judge in an empty text")
    with evaluating(model):
        return F.softmax(model(pad(rows, model.padding)[0]), -1).cpu().numpy()


@dataclass
class Tuned:
    """A way of fine-tuning, and what came of it.

    Attributes
    ----------
    accuracy      of the test set
    elsewhere     of texts of another kind, unseen in training
    trained       numbers that were trained, of ``parameters``
    megabytes     weights, gradients and the optimiser's state together
    seconds       training took, for the head alone with what the encoder makes of all texts
    processor     seconds of all cores together: what other programs take meanwhile does not count
    ranks         of the adapters at the end, for AdaLoRA
    """

    method: str
    seed: int
    epochs: int
    accuracy: float
    elsewhere: float
    trained: int
    parameters: int
    megabytes: float
    seconds: float
    processor: float
    ranks: list[int]


def network(method: str, encoder: Any, classes: int, vocabulary: int = 4096, padding: int = 0) -> Any:
    """The model for a method: a recurrent network, or a classifier over the encoder with what is trained unfrozen.

    Args:
        method: one of METHODS.
        encoder: a function that loads the trained :class:`minidl.models.BERT`.
    """
    if method == "scratch":
        return models.TextClassifier(vocabulary, classes, padding=padding, **SIZES)
    if method not in METHODS:
        raise ValueError(f"there is no method {method!r}; the methods are {', '.join(METHODS)}")
    model = models.BertClassifier(encoder(), classes, padding=padding)
    if method == "head":
        model.bert.requires_grad_(False)
    elif method == "lora":
        lora.add_adapters(model, rank=8, alpha=16.0)
    elif method == "adalora":
        lora.add_adapters(model, lora.AdaLoRALinear, rank=12, alpha=12.0)
    return model


def tune(
    method: str,
    seed: int,
    training: Any,
    test: Any,
    elsewhere: Any,
    encoder: Any,
    word_pieces: Any,
    *,
    epochs: int | None = None,
    folder: Path | None = None,
    callbacks: list[Callback] | None = None,
    resume: bool = False,
) -> Tuned:
    """Train one way and measure; ``training``, ``test`` and ``elsewhere`` are samples (text, label) with ``classes``.

    With ``resume``, go on from the checkpoint in ``folder``, if there is one; the time is then that of the rest.
    """
    recipe = RECIPES[method].with_options(epochs=epochs)
    tokenizer: Any = byte_pairs(training) if method == "scratch" else word_pieces
    padding = tokenizer.special[PADDING] if method == "scratch" else tokenizer.pad
    random.manual_seed(seed)
    model = network(method, encoder, len(training.classes), getattr(tokenizer, "vocab_size", 0), padding)
    parts: Any = [encode(part, tokenizer, recipe.max_length) for part in (training, test, elsewhere)]
    extra, began = list(callbacks or []), (time.perf_counter(), time.process_time())
    taught = model
    if method == "head":
        taught, parts = nn.Sequential(model.dropout, model.classifier), [vectors(model, part) for part in parts]
    if method == "adalora":
        total = recipe.epochs * -(-len(parts[0]) // recipe.batch_size)
        extra.insert(0, Ranks(lora.RankAllocator(model, target=6, total=total)))
    trainer = make_trainer(
        taught,
        recipe,
        parts[0],
        parts[1],
        padding,
        folder=folder,
        callbacks=extra,
        settings={"method": method, "seed": seed},
    )
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    if resume and folder is not None and trainer.checkpoint_path.exists():
        trainer.resume()
    trainer.fit(recipe.epochs)
    seconds, processor = time.perf_counter() - began[0], time.process_time() - began[1]
    if folder is not None and method in ("lora", "adalora"):
        lora.save_adapters(model, folder / "adapters.safetensors")
    if folder is not None and method == "head":
        serialization.save_file(model.state_dict(), folder / "model.safetensors")  # the encoder too
    other = evaluate(taught, _loader(parts[2], padding, 64))
    ranks = next((c.allocator.ranks() for c in extra if isinstance(c, Ranks)), [])
    return Tuned(
        method,
        seed,
        recipe.epochs,
        trainer.evaluation.accuracy,
        other.accuracy,
        sum(p.numel() for p in model.parameters() if p.requires_grad),
        sum(p.numel() for p in model.parameters()),
        _megabytes(model, trainer.optimizer),
        seconds,
        processor,
        ranks,
    )


def _megabytes(model: Any, optimizer: Any) -> float:
    held = [p._data for p in model.parameters()]
    held += [p.grad._data for p in model.parameters() if p.grad is not None]
    held += [x._data for state in optimizer.state.values() for x in state.values() if hasattr(x, "_data")]
    return sum(array.nbytes for array in held) / 1e6
