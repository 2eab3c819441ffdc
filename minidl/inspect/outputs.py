"""What layers put out and what they look for: activations, filters, and the input's gradient as a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from minidl.autograd.grad_mode import enable_grad, no_grad
from minidl.autograd.walk import grad
from minidl.inspect import arguments
from minidl.inspect.calls import call, first_tensor, without_trace
from minidl.inspect.numbers import TensorSummary, axes, on_host, pick, summarize
from minidl.nn.module import Module
from minidl.nn.modules.module import register_module_forward_hook
from minidl.tensor import Tensor


@dataclass
class Activations:
    """The output of every module, by path, in the order in which they ended: "" is the model's own, and the second call of a
    module is "path#2". Of a module that gives several Tensors, the first."""

    values: dict[str, np.ndarray]
    names: dict[str, str]

    def __getitem__(self, path: str) -> np.ndarray:
        if path not in self.values:
            raise KeyError(f"no module {path!r} gave a Tensor; those that did: {', '.join(map(repr, self.values))}")
        return self.values[path]

    def __len__(self) -> int:
        return len(self.values)

    def summaries(self) -> dict[str, TensorSummary]:
        """Statistics of each."""
        return {path: summarize(value) for path, value in self.values.items()}

    def __repr__(self) -> str:
        lines = []
        for path, s in self.summaries().items():
            told = (
                ""
                if s.mean is None
                else f" mean {s.mean:.3g} std {s.std:.3g} zeros {s.zeros / s.size:.0%} {s.sparkline}"
            )
            lines.append(f"{path or '(model)'} {self.names[path]} {s.shape}{told}")
        return "\n".join(lines)

    def plot(self, ax: Any = None) -> Any:
        """Draw the middle nine tenths, quartiles and median of each module's outputs; returns the Axes."""
        paths = [path for path, value in self.values.items() if value.size][::-1]
        ax = axes(ax, figsize=(8, 1 + 0.35 * max(len(paths), 1)))
        for y, path in enumerate(paths):
            low, first, middle, third, high = np.nanpercentile(
                self.values[path].astype(np.float64), [5, 25, 50, 75, 95]
            )
            ax.plot([low, high], [y, y], color="tab:blue", linewidth=1)
            ax.plot([first, third], [y, y], color="tab:blue", linewidth=6, solid_capstyle="butt")
            ax.plot(middle, y, "|", color="black")
        ax.set_yticks(range(len(paths)), [f"{path or '(model)'}  {self.names[path]}" for path in paths])
        ax.set_xlabel("output")
        return ax


def activations(model: Module, input: Any) -> Activations:
    """Run a model and keep a copy of what every module gave.

    ``input``: what it is called with; a tuple stands for several arguments, a dict for arguments by name. The model is left
    as it was.
    """
    arguments.module(model, "activations")
    values: dict[str, np.ndarray] = {}
    names: dict[str, str] = {}
    counts: dict[str, int] = {}

    def note(module: Module, args: tuple, output: Any) -> None:
        tensor = first_tensor(output)
        if module in paths and tensor is not None:
            path = paths[module]
            counts[path] = counts.get(path, 0) + 1
            key = path if counts[path] == 1 else f"{path}#{counts[path]}"
            values[key], names[key] = on_host(tensor._data).copy(), type(module).__name__

    with without_trace(model), no_grad(), register_module_forward_hook(note):
        paths = {module: path for path, module in model.named_modules()}
        call(model, input)
    return Activations(values, names)


# ------------------------------------------------------------------------------------------------------------- filters


@dataclass
class Filters:
    """A layer's ``weights``, a copy: (F, C, *K) of a convolution, (out, in) of a linear layer; ``path`` and ``name`` of it."""

    path: str
    name: str
    weights: np.ndarray

    def __repr__(self) -> str:
        return f"{self.path or '(model)'} {self.name}: weights {self.weights.shape}\n{summarize(self.weights)}"

    def plot(self, ax: Any = None, shape: tuple[int, int] | None = None, most: int = 64) -> Any:
        """Draw the first ``most`` filters side by side in one picture, each scaled by itself; returns the Axes.

        Filters of three channels are shown in colour, others by the mean over their channels. Rows of a linear layer are
        shown as pictures of ``shape`` if that is given.
        """
        ax = axes(ax, figsize=(6, 6))
        ax.imshow(_mosaic(self._pictures(shape)[:most]), cmap="gray", interpolation="nearest")
        ax.set_title(f"{self.path or self.name}: {min(len(self.weights), most)} of {len(self.weights)} filters")
        ax.axis("off")
        return ax

    def _pictures(self, shape: tuple[int, int] | None) -> np.ndarray:
        """(F, h, w) or (F, h, w, 3)."""
        w = self.weights.astype(np.float64)
        if shape is not None:
            if int(np.prod(shape)) * len(w) != w.size:
                raise ValueError(f"filters of {w[0].size} values cannot be shown as pictures of shape {tuple(shape)}")
            return w.reshape(len(w), *shape)
        if w.ndim == 2:
            return w[:, None, :]
        if w.ndim == 3:
            return w
        w = w if w.ndim == 4 else w[:, :, w.shape[2] // 2]  # of volumes the middle slice
        return w.transpose(0, 2, 3, 1) if w.shape[1] == 3 else w.sum(1) / max(w.shape[1], 1)


def _mosaic(pictures: np.ndarray) -> np.ndarray:
    """Pictures (F, h, w, …) in one, each between 0 and 1, with a line between them."""
    n, h, w = pictures.shape[:3]
    columns = max(int(np.ceil(np.sqrt(n * max(h, 1) / max(w, 1)))), 1)
    rows = -(-n // columns)
    whole = np.ones((rows * (h + 1) + 1, columns * (w + 1) + 1, *pictures.shape[3:]))
    for i, picture in enumerate(pictures if pictures.size else ()):
        spread = np.ptp(picture)
        top, left = i // columns * (h + 1) + 1, i % columns * (w + 1) + 1
        whole[top : top + h, left : left + w] = (picture - picture.min()) / spread if spread else 0.5
    return whole


def filters(model: Module, path: str | None = None) -> Filters:
    """The weights of a layer, to look at.

    Args:
        model: a layer with a ``weight``, or a model.
        path: which of the model's layers; None for its first convolution, or its first layer with weights.

    Raises:
        AttributeError: the model has no layer at this path.
        ValueError: no such layer has weights of two or more dimensions.
    """
    arguments.module(model, "filters")
    if path is not None and not isinstance(path, str):
        raise TypeError(f"filters: a layer is named by its path, got {type(path).__name__}")
    if path is not None:
        chosen = [(path, model.get_submodule(path))]
    else:
        chosen = sorted(model.named_modules(), key=lambda item: not type(item[1]).__name__.startswith("Conv"))
    for name, module in chosen:
        weight = getattr(module, "weight", None)
        if isinstance(weight, Tensor) and weight.ndim >= 2:
            return Filters(name, type(module).__name__, on_host(weight._data).copy())
    raise ValueError(f"filters: {path or type(model).__name__} has no weight of two or more dimensions to show")


# ------------------------------------------------------------------------------------------------------------ saliency


@dataclass
class Saliency:
    """How the score of a class changes with the input: ``gradient`` ∂score/∂x, of the input's shape (N, *); ``map``, its size,
    for pictures (N, C, H, W) the largest over the channels; ``target``, the classes (N,); ``score``, their scores."""

    input: np.ndarray
    gradient: np.ndarray
    target: np.ndarray
    score: np.ndarray

    @property
    def map(self) -> np.ndarray:
        size = np.abs(self.gradient)
        return size.max(1) if size.ndim == 4 else size

    def __repr__(self) -> str:
        return f"saliency of classes {self.target.tolist()}, gradient {self.gradient.shape}\n{summarize(self.gradient)}"

    def plot(self, ax: Any = None, sample: int = 0) -> Any:
        """Draw one sample's map, beside its picture if there is one; returns the Figure. With ``ax``, the map alone on it;
        returns the Axes."""
        shown = pick(self.map, sample, "sample")
        if ax is None and shown.ndim == 2 and self.input.ndim == 4:
            panels = axes(None, ncols=2, figsize=(7, 3.5))
            picture = self.input[sample]
            low, spread = picture.min(), max(float(np.ptp(picture)), 1e-12)
            picture = (picture - low) / spread
            panels[0].imshow(picture.transpose(1, 2, 0) if len(picture) == 3 else picture[0], cmap="gray")
            self._draw(panels[1], shown, sample)
            return panels[0].figure
        return self._draw(axes(ax), shown, sample)

    def _draw(self, ax: Any, shown: np.ndarray, sample: int) -> Any:
        if shown.ndim == 2:
            ax.imshow(shown, cmap="inferno", aspect="auto" if shown.shape[0] != shown.shape[1] else "equal")
        else:
            ax.bar(np.arange(shown.size), shown.ravel())
        ax.set_title(f"|∂ score of class {self.target[sample]} / ∂ input|")
        return ax


def saliency(model: Module, input: Tensor, target: Any = None) -> Saliency:
    """The gradient of a class's score by the input: where a small change would matter most (Simonyan et al. 2014, "Deep
    Inside Convolutional Networks").

    Args:
        model: gives scores (N, classes).
        input: (N, *), floating.
        target: a class for all, or one a sample (N,); None for the one with the highest score.

    The model is run in the mode in which it is; no ``.grad`` is touched.

    Raises:
        TypeError, ValueError: an input of whole numbers; scores of another shape, or none; a class that does not exist.
    """
    arguments.module(model, "saliency")
    if not isinstance(input, Tensor) or not input.dtype.is_floating_point:
        raise TypeError(
            "saliency: the input must be a Tensor of a floating type; of words, look at the embedding's output"
        )
    with without_trace(model), enable_grad():
        x = input.detach().clone().requires_grad_()
        scores = model(x)
        if scores.ndim != 2 or scores.shape[0] != x.shape[0]:
            raise ValueError(f"saliency: the model must give scores (N, classes), got {list(scores.shape)}")
        if not scores.shape[1]:
            raise ValueError(f"saliency: the model gives no scores, {list(scores.shape)}")
        values = on_host(scores._data)
        chosen = values.argmax(1) if target is None else _classes(target, len(values))
        if chosen.size and not (chosen.min() >= 0 and chosen.max() < values.shape[1]):
            raise ValueError(f"saliency: target {chosen.tolist()} names a class outside 0 … {values.shape[1] - 1}")
        rows = np.arange(len(values))
        picked = scores[rows.tolist(), chosen.tolist()].sum() if len(values) else scores.sum()
        (gradient,) = grad(picked, x)
    assert gradient is not None
    return Saliency(on_host(input._data).copy(), on_host(gradient._data), np.array(chosen), values[rows, chosen])


def _classes(target: Any, n: int) -> np.ndarray:
    """A class for each of ``n`` samples."""
    classes = np.asarray(on_host(target._data) if isinstance(target, Tensor) else target)
    if classes.dtype.kind not in "iu":
        raise TypeError(f"saliency: target must be a class or one a sample, in whole numbers, got {target!r}")
    if classes.shape not in ((), (1,), (n,)):
        raise ValueError(
            f"saliency: target must be one class, or one for each of {n} samples, got {list(classes.shape)}"
        )
    return np.broadcast_to(classes, (n,))
