"""How good a classifier is on data it has not seen."""

from __future__ import annotations

import math
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
    mistakes      the M inputs that were misclassified, one by one: texts may be of any length, inputs tuples of arrays
    """

    loss: float
    targets: np.ndarray
    predictions: np.ndarray
    classes: int
    mistakes: list[Any]

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
            scores = call(model, inputs)
            total += loss_fn(scores, labels).item() * len(labels)
            truth, guess = _on_cpu(labels), _on_cpu(scores).argmax(1)
            targets.append(truth)
            predictions.append(guess)
            mistakes += [_sample(inputs, int(i)) for i in np.flatnonzero(truth != guess)]
            classes = scores.shape[1]
    if not targets:
        raise ValueError("evaluate: the loader gave no batch; is its data set empty?")
    together = np.concatenate(targets)
    return Evaluation(total / len(together), together, np.concatenate(predictions), classes, mistakes)


@dataclass
class TokenEvaluation:
    """Measurements over all tokens of a text that count.

    Attributes
    ----------
    loss        the mean loss, in nats
    accuracy    how many were the likeliest
    tokens      how many there are
    """

    loss: float
    accuracy: float
    tokens: int

    @property
    def bits(self) -> float:
        """The mean loss in bits."""
        return self.loss / math.log(2)


def token_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """The mean cross-entropy of scores (N, T, V) and targets (N, T); those of -100 do not count."""
    return F.cross_entropy(scores.flatten(0, 1), targets.flatten())


def evaluate_tokens(
    model: Any, loader: Iterable, loss_fn: Callable[[Tensor, Tensor], Tensor] = token_loss
) -> TokenEvaluation:
    """As :func:`evaluate`, for scores (N, T, V) of tokens (N, T): the means are over tokens whose target is not -100."""
    total, right, count = 0.0, 0, 0
    with evaluating(model), random.fork_rng():
        for batch in loader:
            inputs, targets = beside(model, *batch)
            scores = call(model, inputs)
            truth = _on_cpu(targets)
            there = truth != -100
            total += loss_fn(scores, targets).item() * int(there.sum())
            right += int(((_on_cpu(scores).argmax(-1) == truth) & there).sum())
            count += int(there.sum())
    if not count:
        raise ValueError("evaluate_tokens: the loader gave no token; is its text empty?")
    return TokenEvaluation(total / count, right / count, count)


def call(model: Any, inputs: Any) -> Any:
    """The model's output for a batch's first part: a tensor, or a tuple of several."""
    return model(*inputs) if isinstance(inputs, (tuple, list)) else model(inputs)


def beside(model: Any, *tensors: Any) -> list:
    """``tensors`` on the device of the model's parameters: loaders make theirs on the CPU."""
    first = next(iter(model.parameters()), None)

    def moved(x: Any) -> Any:
        if isinstance(x, (tuple, list)):
            return type(x)(map(moved, x))
        return x.to(first.device) if isinstance(x, Tensor) and first is not None else x

    return [moved(x) for x in tensors]


def _sample(inputs: Any, i: int) -> Any:
    """Sample ``i`` of a batch's first part."""
    return tuple(_sample(x, i) for x in inputs) if isinstance(inputs, (tuple, list)) else _on_cpu(inputs[i])


def _on_cpu(tensor: Tensor) -> np.ndarray:
    array = raw(tensor)
    return array.get() if hasattr(array, "get") else array
