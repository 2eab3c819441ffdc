"""How a Transformer learns to translate: dates into one form, or verses into another language."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from minidl import creation, models, optim
from minidl.data import DataLoader
from minidl.data import text as texts
from minidl.data.dataset import Dataset
from minidl.nn import functional as F
from minidl.text import ByteBPE, LengthBatches, pad
from minidl.train.callbacks import Callback
from minidl.train.evaluation import evaluate_tokens
from minidl.train.language import Network
from minidl.train.limits import ClipGradients
from minidl.train.schedules import decay_groups, warmup_cosine
from minidl.train.trainer import Trainer
from minidl_kernels.installing import how_to_install

PADDING, BEGIN, END = SPECIAL = ("<pad>", "<begin>", "<end>")
MAX_LENGTH = 120  # tokens of a text, its end apart


@dataclass(frozen=True)
class Task:
    """What to translate, and by what network.

    Attributes
    ----------
    data                   split → samples (source, target)
    vocabulary             tokens of the byte-pair encoding that both sides share
    width, layers, heads   of the network
    epochs, batch_size, lr, smoothing    of its training
    """

    data: Callable[[str], Any]
    vocabulary: int
    width: int
    layers: int
    heads: int
    dropout: float
    epochs: int
    batch_size: int
    lr: float
    smoothing: float

    def with_options(self, **options: Any) -> Task:
        """The task with those of ``options`` that are not None."""
        return replace(self, **{name: value for name, value in options.items() if value is not None})

    def settings(self) -> dict[str, Any]:
        """What a resumed run must share."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "data"}


TASKS = {
    "dates": Task(
        lambda split: texts.dates(split, 20_000 if split == "train" else 1000), 512, 128, 2, 4, 0.0, 6, 64, 2e-3, 0.0
    ),
    "bible": Task(texts.bible_pairs, 4096, 128, 2, 4, 0.1, 6, 48, 2e-3, 0.1),
}


class Pairs(Dataset):
    """Samples (source, target) as numbers: the source ends with the end token, the target begins and ends with its own."""

    def __init__(self, pairs: Sequence[tuple[str, str]], tokenizer: ByteBPE, max_length: int = MAX_LENGTH) -> None:
        begin = tokenizer.special[BEGIN]
        self.rows = [
            (source_tokens(a, tokenizer, max_length), [begin, *source_tokens(b, tokenizer, max_length)])
            for a, b in pairs
        ]
        self.lengths = [len(a) + len(b) for a, b in self.rows]
        self.padding = tokenizer.special[PADDING]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[list[int], list[int]]:
        return self.rows[index]

    def collate(self, samples: Sequence[tuple[list[int], list[int]]]) -> Any:
        """((sources, targets but the last), targets but the first): what the model is given, and what it should say."""
        sources, targets = ([row[side] for row in samples] for side in (0, 1))
        given, _ = pad([row[:-1] for row in targets], self.padding)
        wanted, _ = pad([row[1:] for row in targets], -100)
        return (pad(sources, self.padding)[0], given), wanted


def tokenizer_of(pairs: Any, vocabulary: int) -> ByteBPE:
    """A byte-pair encoding of both sides."""
    return ByteBPE.train("\n".join(f"{a}\n{b}" for a, b in pairs.samples), vocabulary, special=SPECIAL)


def network_of(task: Task, tokenizer: ByteBPE) -> Network:
    """The translator of a task, to be made, and to be made again from a run's folder."""
    sizes = {"width": task.width, "heads": task.heads, "layers": task.layers, "dropout": task.dropout}
    return Network("translator", tokenizer.vocab_size, {**sizes, "padding": tokenizer.special[PADDING]})


def make_trainer(
    model: Any,
    task: Task,
    training: Pairs,
    validation: Pairs,
    *,
    folder: Path | None = None,
    callbacks: list[Callback] | None = None,
    settings: dict[str, Any] | None = None,
) -> Trainer:
    """A :class:`Trainer` that teaches ``model`` to say each target's next token."""
    batches: Any = LengthBatches(training.lengths, task.batch_size)
    loader = DataLoader(training, batch_sampler=batches, collate_fn=training.collate)
    optimizer = optim.AdamW(decay_groups(model, 0.01), lr=task.lr, betas=(0.9, 0.98))
    total = task.epochs * len(loader)

    def loss(scores: Any, targets: Any) -> Any:
        return F.cross_entropy(scores.flatten(0, 1), targets.flatten(), label_smoothing=task.smoothing)

    return Trainer(
        model,
        optimizer,
        loader,
        DataLoader(validation, task.batch_size, collate_fn=validation.collate),
        loss_fn=loss,
        evaluate_fn=evaluate_tokens,
        scheduler=warmup_cosine(optimizer, total, min(total // 10, total - 1)),
        schedule_every="step",
        folder=folder,
        callbacks=[ClipGradients(norm=1.0), *(callbacks or [])],
        settings={**task.settings(), **(settings or {})},
    )


def translate(
    model: models.Transformer, tokenizer: ByteBPE, sources: Sequence[str], num_beams: int = 4, batch_size: int = 32,
    max_new_tokens: int = MAX_LENGTH, progress: Callable[[int], None] = lambda done: None,
) -> list[str]:  # fmt: skip
    """Translations of texts by beam search, texts of like length together. ``progress`` is told how many are done."""
    begin, end, padding = (tokenizer.special[name] for name in (BEGIN, END, PADDING))
    rows = [source_tokens(text, tokenizer) for text in sources]
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    found = [""] * len(rows)
    for first in range(0, len(order), batch_size):
        part = order[first : first + batch_size]
        longest = min(max_new_tokens, 2 * len(rows[part[-1]]) + 10)
        beams = model.translate(pad([rows[i] for i in part], padding)[0], begin, end, num_beams, longest)
        for i, tokens, length in zip(part, beams.tokens[:, 0].tolist(), beams.lengths[:, 0].tolist()):
            found[i] = tokenizer.decode([t for t in tokens[1 : length + 1] if t < padding])
        progress(first + len(part))
    return found


def source_tokens(text: str, tokenizer: ByteBPE, max_length: int = MAX_LENGTH) -> list[int]:
    """What the encoder reads: at most ``max_length`` tokens of the text, and the end token."""
    return [*tokenizer.encode(text)[:max_length], tokenizer.special[END]]


def attention(
    model: models.Transformer, tokenizer: ByteBPE, source: str, target: str
) -> tuple[Any, list[str], list[str]]:
    """Where the last decoder layer looks while it writes ``target``: maps (heads, T, S) as an array, and the tokens of
    both sides as texts. Row t belongs to the token that is written next, so that the last row is the end's."""
    before, after = source_tokens(source, tokenizer), source_tokens(target, tokenizer)
    given = [tokenizer.special[BEGIN], *after[:-1]]
    maps = model.attention_maps(creation.tensor([before]), creation.tensor([given]))[-1][0].cpu().numpy()
    names = [[tokenizer.tokens[t].decode("utf-8", "replace") for t in side] for side in (before, after)]
    return maps, names[0], names[1]


class WordByWord:
    """The baseline: each word becomes the one that it stands beside most tellingly in training (Dice's coefficient)."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        together: dict[str, Counter] = defaultdict(Counter)
        here: Counter = Counter()
        there: Counter = Counter()
        for source, target in pairs:
            words, others = set(source.lower().split()), set(target.lower().split())
            here.update(words)
            there.update(others)
            for word in words:
                together[word].update(others)
        self.words = {
            word: max(counts, key=lambda other: (2 * counts[other] / (here[word] + there[other]), other))
            for word, counts in together.items()
            if counts
        }

    def translate(self, text: str) -> str:
        """Word by word, in the source's order; unknown words stay."""
        return " ".join(self.words.get(word, word) for word in text.lower().split())


def exact(found: Sequence[str], wanted: Sequence[str]) -> float:
    """The share of texts that are right to the letter."""
    return float(np.mean([a == b for a, b in zip(found, wanted)]))


def bleu(found: Sequence[str], wanted: Sequence[str], lowercase: bool = False) -> float:
    """BLEU of a corpus, by sacrebleu (Papineni et al. 2002; Post 2018). ImportError without it."""
    try:
        import sacrebleu
    except ImportError:
        raise ImportError(f"BLEU is measured by sacrebleu: {how_to_install('minidl[text]')}") from None
    return sacrebleu.corpus_bleu(list(found), [list(wanted)], lowercase=lowercase).score
