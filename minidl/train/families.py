"""The families of image networks side by side: parameters, operations, time and accuracy, from the same command."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from minidl import creation, models, random
from minidl.autograd.grad_mode import no_grad
from minidl.profiler import profile
from minidl.train import pictures
from minidl.train.callbacks import Callback
from minidl.train.recipes import Recipe, make_trainer, recipe_of
from minidl.utils.files import atomic_write

# From the plainest to the deepest, each made by (image_size=, classes=).
SMALL: dict[str, Callable[..., Any]] = {
    "mlp": models.MLP,
    "lenet5": models.LeNet5,
    "convnet": models.ConvNet,
    "convnet-bn": models.ConvNetBN,
    "alexnet": models.alexnet_small,
    "inception": models.inception_small,
    "resnet": models.resnet_small,
}
# As published, for colour pictures of 224 × 224 and 1,000 classes.
PUBLISHED: dict[str, Callable[[], Any]] = {
    "AlexNet": models.AlexNet,
    "GoogLeNet": lambda: models.Inception(aux_logits=False),
    "ResNet-18": models.resnet18,
    "ResNet-34": models.resnet34,
    "ResNet-50": models.resnet50,
    "ResNet-101": models.resnet101,
    "ResNet-152": models.resnet152,
}


@dataclass(frozen=True)
class Family:
    """A network's row: what it holds, what a picture costs it, and what it reached.

    Attributes
    ----------
    parameters   numbers that are trained
    flops        operations of one picture's forward pass; a multiplication and an addition are two
    epochs       it was trained
    seconds      an epoch took (the median); None for a network that was not trained here
    accuracy     of the test set after the last epoch
    best         of the test set after the best epoch
    """

    name: str
    parameters: int
    flops: int
    epochs: int = 0
    seconds: float | None = None
    accuracy: float | None = None
    best: float | None = None


def small_network(name: str, training: Any) -> Any:
    """The small network of this name, for the pictures and classes of a data set."""
    if name not in SMALL:
        raise ValueError(f"there is no network {name!r}; the networks are {', '.join(SMALL)}")
    return SMALL[name](image_size=tuple(training.data.shape[1:3]), classes=len(training.classes))


def parameters(model: Any) -> int:
    """How many numbers are trained."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def flops(model: Any, *shape: int) -> int:
    """Operations of a forward pass over one picture (C, H, W), counted while it runs."""
    training = model.training
    model.eval()
    with no_grad(), profile(record_shapes=False) as ran:
        model(creation.zeros(1, *shape))
    model.train(training)
    return sum(row.flops for row in ran.key_averages())


def describe(name: str) -> Family:
    """A published network, untrained."""
    model = PUBLISHED[name]()
    return Family(name, parameters(model), flops(model, 3, 224, 224))


def train(
    name: str,
    training: Any,
    test: Any,
    *,
    data: str,
    epochs: int | None = None,
    seed: int = 0,
    folder: Path,
    callbacks: list[Callback],
    resume: bool = False,
) -> Family:
    """Train the small network ``name`` by its recipe; with ``resume``, go on from the checkpoint in ``folder``."""
    recipe: Recipe = recipe_of(name).with_options(epochs=epochs)
    random.manual_seed(seed)
    model = small_network(name, training)
    cost = flops(model, *training[0][0].shape)
    transform = training.transform
    trainer = make_trainer(model, recipe, training, test, data=data, seed=seed, folder=folder, callbacks=callbacks)
    folder.mkdir(parents=True, exist_ok=True)
    if resume and trainer.checkpoint_path.exists():
        trainer.resume()
    try:
        history = trainer.fit(recipe.epochs)
    finally:
        training.transform = transform  # without this network's augmentation
    accuracies = [row["test_accuracy"] for row in history]
    seconds = sorted(row["seconds"] for row in history)[len(history) // 2]
    return Family(name, parameters(model), cost, len(history), seconds, accuracies[-1], max(accuracies))


def save(rows: list[Family], folder: Path) -> None:
    """``families.json``, and ``families.png``: accuracy against operations."""
    with atomic_write(folder / "families.json", "w", encoding="utf-8") as file:
        json.dump([asdict(row) for row in rows], file, indent=1)
    trained = [row for row in rows if row.best is not None]
    if trained:
        pictures.draw_families(trained, folder / "families.png")
