"""How each network is trained on small pictures: what the command line fills in where nothing else is asked."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from minidl import nn, optim
from minidl.data import DataLoader, transforms
from minidl.nn import functional as F
from minidl.train.averaging import EMA
from minidl.train.callbacks import Callback
from minidl.train.limits import ClipGradients
from minidl.train.schedules import decay_groups, warmup_cosine
from minidl.train.trainer import Trainer


@dataclass(frozen=True)
class Recipe:
    """All that decides a run beside network, data and seed. Values of 0 switch a thing off.

    Attributes
    ----------
    epochs           how often to go through the data
    optimizer        adam (decay as an L2 penalty), adamw (decay apart from the gradient), or sgd (Nesterov momentum 0.9)
    schedule         constant, or cosine down to 0
    warmup           epochs in which the learning rate rises
    weight_decay     of filters and matrices; biases and normalisations have none
    ema              β of the weights' running mean
    clip_norm        the length to which gradients are clipped
    accumulate       batches for one step
    augment          pictures moved, turned, flipped at random
    """

    epochs: int = 3
    batch_size: int = 64
    optimizer: str = "adam"
    lr: float = 1e-3
    schedule: str = "constant"
    warmup: float = 0.0
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    ema: float = 0.0
    clip_norm: float = 0.0
    accumulate: int = 1
    precision: str = "float32"
    augment: bool = False

    def with_options(self, **options: Any) -> Recipe:
        """The recipe with those of ``options`` that are not None."""
        return replace(self, **{name: value for name, value in options.items() if value is not None})

    def settings(self) -> dict[str, Any]:
        """What a resumed run must share: all but the epochs, and these too where the schedule is drawn over them."""
        return {name: v for name, v in asdict(self).items() if name != "epochs" or self.schedule != "constant"}


DEEP = Recipe(
    epochs=15,
    batch_size=128,
    optimizer="sgd",
    lr=0.1,
    schedule="cosine",
    warmup=1.0,
    weight_decay=5e-4,
    label_smoothing=0.1,
    augment=True,
)
RECIPES = {"resnet": DEEP, "inception": DEEP}


def recipe_of(model: str) -> Recipe:
    return RECIPES.get(model, Recipe())


def augmentation(data: str, size: tuple[int, int]) -> list[Any]:
    """What may happen to a picture without its class changing: clothes may be mirrored, digits may lean."""
    if data == "fashion":
        return [transforms.RandomCrop(size, padding=2), transforms.RandomHorizontalFlip()]
    return [transforms.RandomAffine(10, translate=(0.08, 0.08), scale=(0.9, 1.1), shear=8)]


def make_optimizer(model: Any, recipe: Recipe) -> Any:
    groups = decay_groups(model, recipe.weight_decay) if recipe.weight_decay else model.parameters()
    if recipe.optimizer == "sgd":
        return optim.SGD(groups, lr=recipe.lr, momentum=0.9, nesterov=True)
    kinds = {"adam": optim.Adam, "adamw": optim.AdamW}
    if recipe.optimizer not in kinds:
        raise ValueError(f"the optimizer is adam, adamw or sgd, not {recipe.optimizer!r}")
    return kinds[recipe.optimizer](groups, lr=recipe.lr, weight_decay=recipe.weight_decay)


def make_trainer(
    model: Any,
    recipe: Recipe,
    training: Any,
    test: Any,
    *,
    data: str,
    seed: int,
    folder: Path | None = None,
    callbacks: list[Callback] | None = None,
    workers: int = 0,
) -> Trainer:
    """A :class:`Trainer` that follows ``recipe``. The training set's transform is changed if the recipe augments."""
    if recipe.augment:
        size = (int(training.data.shape[1]), int(training.data.shape[2]))
        training.transform = transforms.Compose(
            [*([training.transform] if training.transform else []), *augmentation(data, size)]
        )
    loader = DataLoader(training, recipe.batch_size, shuffle=True, num_workers=workers)
    optimizer = make_optimizer(model, recipe)
    extra: list[Callback] = [EMA(recipe.ema)] if recipe.ema else []
    extra += [ClipGradients(norm=recipe.clip_norm)] if recipe.clip_norm else []
    return Trainer(
        model,
        optimizer,
        loader,
        DataLoader(test, 500),
        loss_fn=nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
        if recipe.label_smoothing
        else F.cross_entropy,
        test_loss_fn=F.cross_entropy,
        scheduler=schedule(optimizer, recipe, -(-len(loader) // recipe.accumulate)),
        schedule_every="step",
        accumulate=recipe.accumulate,
        precision=recipe.precision,
        folder=folder,
        callbacks=[*extra, *(callbacks or [])],
        settings={"data": data, "seed": seed, **recipe.settings()},
    )


def schedule(optimizer: Any, recipe: Recipe, steps: int) -> Any:
    """``steps`` is how many an epoch has."""
    warmup = round(recipe.warmup * steps)
    if recipe.schedule == "cosine":
        total = recipe.epochs * steps
        return warmup_cosine(optimizer, total, min(warmup, total - 1))
    if recipe.schedule != "constant":
        raise ValueError(f"the schedule is constant or cosine, not {recipe.schedule!r}")
    return optim.lr_scheduler.LambdaLR(optimizer, lambda step: min((step + 1) / warmup, 1.0)) if warmup else None
