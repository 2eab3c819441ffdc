"""How the learning rate moves, and which weights decay."""

from __future__ import annotations

import math
from typing import Any

from minidl.optim.lr_scheduler import LambdaLR


def warmup_cosine(optimizer: Any, total: int, warmup: int = 0, floor: float = 0.0) -> LambdaLR:
    """A learning rate that rises in a line over ``warmup`` steps, then falls as half a cosine until ``total``:

        lr(t) = lr · (t + 1)/warmup                                           for t < warmup
        lr(t) = lr · (floor + (1 - floor) (1 + cos(π (t - warmup)/(total - warmup)))/2)

    For ``Trainer(schedule_every="step")`` it counts steps of the optimiser. Goyal et al. 2017 (warm-up), Loshchilov &
    Hutter 2017, "SGDR" (cosine). ValueError unless 0 ≤ warmup < total.
    """
    if not 0 <= warmup < total:
        raise ValueError(f"warmup_cosine needs 0 <= warmup < total, but got warmup={warmup} and total={total}")

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        done = min((step - warmup) / (total - warmup), 1.0)
        return floor + (1 - floor) * (1 + math.cos(math.pi * done)) / 2

    return LambdaLR(optimizer, factor)


def decay_groups(model: Any, weight_decay: float) -> list[dict[str, Any]]:
    """A model's parameters for an optimiser, in two groups: matrices and filters, which decay, and biases and
    normalisations, of one dimension, which do not (their size is not what overfits).

    Whether the decay is a penalty in the gradient (L2, which Adam then divides by its √v) or a shrinking apart from it
    (decoupled: Loshchilov & Hutter 2019) is the optimiser's: ``Adam`` or ``AdamW``. For plain SGD both are one.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
