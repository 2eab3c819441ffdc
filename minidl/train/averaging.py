"""The exponential moving average of the weights."""

from __future__ import annotations

from typing import Any

from minidl.backends import namespace
from minidl.tensor import Tensor, wrap
from minidl.train.callbacks import Callback


class EMA(Callback):
    """Measures and keeps the running mean of the weights, a ← β a + (1 - β) w after every step, while w trains on.

    The mean rests in the middle of what the last steps wander about in, so it does better than they do, most of all while
    the learning rate is large. Running statistics of batch norm are averaged as well; ``model.safetensors`` holds the mean.

    Polyak & Juditsky 1992, "Acceleration of stochastic approximation by averaging".

    Args:
        decay: β. Early on it is (1 + n)/(10 + n) where that is less, n counting the steps: the mean forgets how the
            weights began.
    """

    def __init__(self, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"the decay of EMA must be in [0, 1), but got {decay}")
        self.decay, self.steps = decay, 0
        self.average: dict[str, Tensor] = {}
        self._aside: dict[str, Tensor] = {}

    def on_fit_begin(self, trainer: Any) -> None:
        if not self.average:
            self.average = _copy(trainer.model.state_dict())

    def on_update(self, trainer: Any) -> None:
        self.steps += 1
        beta = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for name, now in trainer.model.state_dict().items():
            mean = self.average[name]._data
            if mean.dtype.kind in "fV":
                mean += (now._data - mean) * mean.dtype.type(1 - beta)
            else:
                mean[...] = now._data  # a counter

    def on_evaluate_begin(self, trainer: Any) -> None:
        if self.average:
            self._aside = _copy(trainer.model.state_dict())
            trainer.model.load_state_dict(self.average)

    def on_evaluate_end(self, trainer: Any) -> None:
        if self._aside:
            trainer.model.load_state_dict(self._aside)
            self._aside = {}

    def state_dict(self) -> dict[str, Any]:
        return {"decay": self.decay, "steps": self.steps, "average": self.average}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.decay, self.steps, self.average = state["decay"], state["steps"], _copy(state["average"])


def _copy(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: wrap(namespace(t._data).array(t._data)) for name, t in tensors.items()}
