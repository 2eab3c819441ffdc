"""Callbacks that hold training back: gradients that are too long, and epochs that no longer help."""

from __future__ import annotations

import math
from typing import Any

from minidl import serialization
from minidl.nn import utils
from minidl.train.callbacks import Callback


class ClipGradients(Callback):
    """Shortens gradients before the optimiser steps.

    Args:
        norm: all of them together to at most this Euclidean length; the direction stays (Pascanu, Mikolov & Bengio 2013).
        value: each number to between -value and value, before that.

    ``last_norm`` is the length before clipping, at the latest step.
    """

    def __init__(self, norm: float | None = None, value: float | None = None) -> None:
        if norm is None and value is None:
            raise ValueError("ClipGradients needs a norm, a value, or both")
        if any(limit is not None and limit <= 0 for limit in (norm, value)):
            raise ValueError(f"ClipGradients needs positive limits, but got norm={norm} and value={value}")
        self.norm, self.value, self.last_norm = norm, value, math.nan

    def on_gradients(self, trainer: Any) -> None:
        parameters = list(trainer.model.parameters())
        if self.value is not None:
            utils.clip_grad_value_(parameters, self.value)
        if self.norm is not None:
            self.last_norm = utils.clip_grad_norm_(parameters, self.norm).item()


class EarlyStopping(Callback):
    """Ends training when a measurement has not improved for ``patience`` epochs, and keeps the weights of the best.

    These are ``best.safetensors`` in the trainer's folder. All it knows stands in ``trainer.history``, so a resumed run
    stops where an unbroken one does.

    Args:
        patience: epochs without improvement.
        monitor: a column of the history. Accuracies should be high, all else low.
        min_delta: what counts as improvement.
    """

    def __init__(self, patience: int = 3, monitor: str = "test_loss", min_delta: float = 0.0) -> None:
        if patience < 1:
            raise ValueError(f"the patience of EarlyStopping must be at least 1, but got {patience}")
        self.patience, self.monitor, self.min_delta = patience, monitor, min_delta

    def on_fit_begin(self, trainer: Any) -> None:
        trainer.stopping = trainer.stopping or self._waited(trainer.history) >= self.patience

    def on_epoch_end(self, trainer: Any) -> None:
        waited = self._waited(trainer.history)
        trainer.stopping = trainer.stopping or waited >= self.patience
        if waited == 0 and trainer.folder is not None:
            with trainer.shown_weights():
                serialization.save_file(trainer.model.state_dict(), trainer.folder / "best.safetensors")

    def _waited(self, history: list[dict[str, Any]]) -> int:
        """Epochs since the latest improvement."""
        sign = -1 if self.monitor.endswith("accuracy") else 1
        best, waited = math.inf, 0
        for row in history:
            if self.monitor not in row:
                raise ValueError(f"EarlyStopping watches {self.monitor!r}, but an epoch has only {', '.join(row)}")
            value = sign * row[self.monitor]
            best, waited = (value, 0) if value < best - self.min_delta else (best, waited + 1)
        return waited
