"""Why a loss or a gradient is not finite: where, and which operator or layer made the first such value."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl import random
from minidl.autograd.anomaly import detect_anomaly
from minidl.backends import namespace
from minidl.tensor import Tensor, raw


class NotFiniteError(RuntimeError):
    """The loss or a gradient became NaN or infinite. Attributes: ``epoch`` and ``step``, counted from 1."""

    def __init__(self, message: str, epoch: int, step: int) -> None:
        super().__init__(message)
        self.epoch, self.step = epoch, step


def all_finite(model: Any) -> bool:
    """Whether every gradient is. A sum is enough to find out: NaN and infinity stay in it."""
    gradients = [p.grad._data for p in model.parameters() if p.grad is not None]
    with np.errstate(all="ignore"):
        return all(_finite(g.sum()) or _finite(g) for g in gradients)


def _finite(array: Any) -> bool:
    return bool(namespace(array).isfinite(array).all())


def explain(trainer: Any, what: str, inputs: Any, targets: Tensor, random_state: Tensor) -> NotFiniteError:
    """The error to raise; runs the batch once more, with its random numbers, to find the culprit."""
    epoch, step = trainer.epoch + 1, trainer.step + 1
    kept = ""
    if trainer.folder is not None and trainer.checkpoint_path.exists():
        kept = f" The last good state is in {trainer.checkpoint_path}."
    random.set_rng_state(random_state)
    return NotFiniteError(
        f"Training stopped in epoch {epoch}, step {step}: {what}. {_culprit(trainer, inputs, targets)}"
        f"{kept} A smaller learning rate, or clipping gradients (nn.utils.clip_grad_norm_), often helps.",
        epoch,
        step,
    )


def _culprit(trainer: Any, inputs: Any, targets: Tensor) -> str:
    if not all(_finite(raw(x)) for x in (inputs if isinstance(inputs, (tuple, list)) else (inputs,))):
        return "The batch itself holds NaN or infinity: look at the data."
    for name, parameter in trainer.model.named_parameters():
        if not _finite(parameter._data):
            return f"The parameter {name!r} holds NaN or infinity since the step before."
    layers: list[str] = []
    handles = [
        module.register_forward_hook(_watch(layers, f"{name or 'the model'} ({type(module).__name__})"))
        for name, module in trainer.model.named_modules()
    ]
    operator = ""
    try:
        with detect_anomaly():
            trainer.loss(inputs, targets).backward()
    except RuntimeError as error:
        operator = f" On the way back: {error}."
    finally:
        for handle in handles:
            handle.remove()
    layer = (
        f"The first layer whose output is not finite is {layers[0]}." if layers else "Every layer's output is finite."
    )
    return layer + operator


def _watch(layers: list[str], name: str) -> Any:
    def note(module: Any, args: Any, output: Any) -> None:
        if isinstance(output, Tensor) and not _finite(output._data):
            layers.append(name)

    return note
