"""What a run leaves to look at: the learning curve, the confusion matrix, the mistakes, the first filters."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minidl import nn
from minidl.tensor import raw
from minidl.train.callbacks import Callback
from minidl.train.evaluation import Evaluation
from minidl.utils.files import atomic_write


class Pictures(Callback):
    """Draws into the trainer's folder: ``curves.png`` after every epoch; ``confusion.png``, ``mistakes.png`` and, for a
    model with a convolution, ``filters.png`` at the end. ``classes`` are the names to write."""

    def __init__(self, classes: Sequence[str] | None = None) -> None:
        self.classes = classes

    def on_epoch_end(self, trainer: Any) -> None:
        draw_curves(trainer.history, trainer.folder / "curves.png")

    def on_trained(self, trainer: Any) -> None:
        if trainer.history:
            draw_curves(trainer.history, trainer.folder / "curves.png")
        if trainer.evaluation is not None:
            names = self.classes or [str(i) for i in range(trainer.evaluation.classes)]
            draw_confusion(trainer.evaluation, names, trainer.folder / "confusion.png")
            draw_mistakes(trainer.evaluation, names, trainer.folder / "mistakes.png")
        first = next((m for m in trainer.model.modules() if isinstance(m, nn.Conv2d)), None)
        if first is not None:
            draw_filters(np.asarray(raw(first.weight)), trainer.folder / "filters.png")


def _figure(width: float, height: float) -> Any:
    """A figure of its own, apart from pyplot's global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Any, path: Path) -> None:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=120)
    with atomic_write(path) as file:
        file.write(content.getvalue())


def draw_curves(history: Sequence[dict[str, Any]], path: Path) -> None:
    """Loss and accuracy by epoch."""
    from matplotlib.ticker import MaxNLocator

    figure = _figure(9, 3.6)
    left, right = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in history]
    left.plot(epochs, [row["train_loss"] for row in history], "o-", label="training")
    if "test_loss" in history[-1]:
        left.plot(epochs, [row["test_loss"] for row in history], "s-", label="test")
        right.plot(epochs, [100 * row["test_accuracy"] for row in history], "s-", color="tab:green")
        right.set_title(f"test accuracy: {history[-1]['test_accuracy']:.2%}")
    left.set(title="loss", xlabel="epoch")
    left.legend()
    right.set(xlabel="epoch", ylabel="%")
    for axes in (left, right):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    _save(figure, path)


def draw_families(rows: Sequence[Any], path: Path) -> None:
    """Accuracy of the best epoch against operations a picture; the larger the dot, the more parameters. ``rows`` are those
    of :class:`minidl.train.families.Family`."""
    figure = _figure(7, 4.4)
    axes = figure.subplots()
    for row in rows:
        axes.scatter(row.flops, 100 * row.best, s=20 + row.parameters / 2e3, alpha=0.5)
        axes.annotate(row.name, (row.flops, 100 * row.best), xytext=(4, 4), textcoords="offset points")
    axes.set(xscale="log", xlabel="operations a picture (forward)", ylabel="test accuracy, best epoch, %")
    axes.grid(alpha=0.3)
    _save(figure, path)


def draw_confusion(evaluation: Evaluation, names: Sequence[str], path: Path) -> None:
    """How many samples of each class were taken for which; shaded by the fraction of the row, the diagonal left out."""
    counts = evaluation.confusion
    figure = _figure(6.4, 6)
    axes = figure.subplots()
    off = counts * (1 - np.eye(len(counts)))
    shade = off / np.maximum(counts.sum(1, keepdims=True), 1)
    axes.imshow(shade, cmap="Reds", vmin=0)
    for (i, j), count in np.ndenumerate(counts):
        if count:
            ink = "white" if shade[i, j] > 0.6 * shade.max() else "black"
            weight = "bold" if i == j else "normal"
            axes.text(j, i, str(count), ha="center", va="center", fontsize=8, color=ink, weight=weight)
    axes.set_xticks(range(len(counts)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(counts)), names)
    axes.set(xlabel="taken for", ylabel="is", title=f"{evaluation.accuracy:.2%} of {counts.sum():,} right")
    _save(figure, path)


def draw_mistakes(evaluation: Evaluation, names: Sequence[str], path: Path, most: int = 60) -> None:
    """A sheet of misclassified pictures, each with its class and what it was taken for."""
    wrong, images = evaluation.wrong[:most], evaluation.mistakes[:most]
    columns = min(10, max(len(wrong), 5))
    figure = _figure(1.1 * columns, 1.35 * max(1, math.ceil(len(wrong) / columns)) + 0.5)
    figure.suptitle(
        f"{len(evaluation.wrong)} of {len(evaluation.targets):,} misclassified (is → taken for)", fontsize=10
    )
    titles = [f"{names[int(evaluation.targets[i])]} → {names[int(evaluation.predictions[i])]}" for i in wrong]
    _sheet(figure, [_as_picture(image) for image in images], columns, titles, cmap="gray")
    _save(figure, path)


def _sheet(figure: Any, pictures: Sequence[np.ndarray], columns: int, titles: Sequence[str] = (), **style: Any) -> None:
    """Pictures (H, W) or (H, W, 3) in rows, under their titles; in one system of axes, for Matplotlib is slow with many."""
    axes = figure.subplots()
    axes.axis("off")
    tall = pictures[0].shape[0] / pictures[0].shape[1] if len(pictures) else 1.0
    step = tall * 0.9 + (0.3 if titles else 0.1)
    for i, picture in enumerate(pictures):
        top, left = step * (i // columns), i % columns
        axes.imshow(picture, extent=(left, left + 0.9, top + 0.9 * tall, top), **style)
        if titles:
            axes.text(left + 0.45, top - 0.05, titles[i], ha="center", va="bottom", fontsize=7)
    axes.set(xlim=(0, columns), ylim=(step * max(1, math.ceil(len(pictures) / columns)), -0.2))


def _as_picture(image: np.ndarray) -> np.ndarray:
    """(C, H, W) → (H, W), or (H, W, 3) in [0, 1]."""
    if len(image) != 3:
        return image.mean(0)
    spread = image.max() - image.min()
    return ((image - image.min()) / (spread or 1)).transpose(1, 2, 0)


def draw_filters(weight: np.ndarray, path: Path) -> None:
    """A convolution's windows, weight (out, in, kH, kW); red is positive, blue negative, by the mean over ``in``."""
    windows = weight.astype(np.float32).mean(1)
    columns = min(8, len(windows))
    figure = _figure(columns, math.ceil(len(windows) / columns) + 0.5)
    figure.suptitle(f"the first layer's {len(windows)} filters", fontsize=10)
    limit = float(np.abs(windows).max()) or 1.0
    _sheet(figure, list(windows), columns, cmap="RdBu_r", vmin=-limit, vmax=limit)
    _save(figure, path)


def draw_along_time(curves: dict[str, np.ndarray], path: Path) -> None:
    """Gradient norms along time, (T,) each by its name, as shares of the last step's."""
    figure = _figure(7, 4.2)
    axes = figure.subplots()
    for name, norms in curves.items():
        last = float(norms[-1]) or 1.0
        axes.semilogy(np.arange(len(norms))[::-1], np.maximum(norms / last, 1e-30), label=name)
    axes.set(
        xlabel="steps before the last", ylabel="|gradient|, last step = 1", title="what the loss feels of the past"
    )
    axes.invert_xaxis()
    axes.grid(alpha=0.3)
    axes.legend()
    _save(figure, path)


def draw_attention(maps: np.ndarray, sources: Sequence[str], targets: Sequence[str], path: Path) -> None:
    """Attention maps (heads, T, S), a picture a head and their mean: which source tokens each target token looks at."""
    everything = [*maps, maps.mean(0)]
    columns = min(3, len(everything))
    rows = math.ceil(len(everything) / columns)
    side = (1.5 + 0.17 * len(sources), 1.5 + 0.17 * len(targets))
    figure = _figure(columns * side[0], rows * side[1])
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid[len(everything) :]:
        axes.axis("off")
    for i, (axes, shades) in enumerate(zip(grid, everything)):
        axes.imshow(shades, cmap="Blues", vmin=0)
        axes.set_xticks(range(len(sources)), _labels(sources), rotation=90, fontsize=7)
        axes.set_yticks(range(len(targets)), _labels(targets), fontsize=7)
        axes.set_title(f"head {i + 1}" if i < len(maps) else "mean", fontsize=9)
    _save(figure, path)


def _labels(texts: Sequence[str]) -> list[str]:
    """Texts as labels: Matplotlib takes $ for mathematics; a space is shown as a dot."""
    return [text.replace("$", r"\$").replace("\n", "⏎").replace("\ufffd", "?").replace(" ", "·") for text in texts]
