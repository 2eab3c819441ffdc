"""How good a classifier is on data it has not seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minidl import random
from minidl.models.generation import evaluating
from minidl.nn import functional as F
from minidl.tensor import Tensor, raw


@dataclass
class Evaluation:
    """Measurements over N samples of a data set.

    Attributes
    ----------
    loss          the mean loss
    targets       (N,) the true classes
    predictions   (N,) the classes with the highest scores
    classes       how many there are
    mistakes      (M, …) the inputs that were misclassified
    """

    loss: float
    targets: np.ndarray
    predictions: np.ndarray
    classes: int
    mistakes: np.ndarray

    @property
    def wrong(self) -> np.ndarray:
        """(M,) the places of the misclassified samples."""
        return np.flatnonzero(self.targets != self.predictions)

    @property
    def accuracy(self) -> float:
        """The fraction that is right."""
        return float(np.mean(self.targets == self.predictions))

    @property
    def confusion(self) -> np.ndarray:
        """(classes, classes): how many samples of the row's class were taken for the column's."""
        counts = np.zeros((self.classes, self.classes), np.int64)
        np.add.at(counts, (self.targets, self.predictions), 1)
        return counts


def evaluate(model: Any, loader: Iterable, loss_fn: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy) -> Evaluation:
    """Run a classifier over ``loader``, in evaluation mode and off the tape. ValueError if the loader gives nothing.

    The model's mode and the random numbers are afterwards as before.
    """
    total, classes = 0.0, 0
    targets, predictions, mistakes = [], [], []
    with evaluating(model), random.fork_rng():
        for batch in loader:
            inputs, labels = beside(model, *batch)
            scores = model(inputs)
            total += loss_fn(scores, labels).item() * len(labels)
            truth, guess = _on_cpu(labels), _on_cpu(scores).argmax(1)
            targets.append(truth)
            predictions.append(guess)
            mistakes.append(_on_cpu(inputs)[truth != guess])
            classes = scores.shape[1]
    if not targets:
        raise ValueError("evaluate: the loader gave no batch; is its data set empty?")
    together = np.concatenate(targets)
    return Evaluation(total / len(together), together, np.concatenate(predictions), classes, np.concatenate(mistakes))


def beside(model: Any, *tensors: Any) -> list:
    """``tensors`` on the device of the model's parameters: loaders make theirs on the CPU."""
    first = next(iter(model.parameters()), None)
    return [x.to(first.device) if isinstance(x, Tensor) and first is not None else x for x in tensors]


def _on_cpu(tensor: Tensor) -> np.ndarray:
    array = raw(tensor)
    return array.get() if hasattr(array, "get") else array
