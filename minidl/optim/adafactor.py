"""Adafactor: adaptive steps whose memory grows with the sides of a matrix, not with its area."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minidl.backends import namespace
from minidl.optim.optimizer import Optimizer, check, counter, scalar


class Adafactor(Optimizer):
    """Steps as Adam's without momentum, by a mean square V that is kept as the means R of its rows and C of its columns:

        R ← R + t^β (rows of g² - R)       C ← C + t^β (columns of g² - C)       V = R Cᵀ / mean(R)
        u = g / √V                         x ← (1 - lr λ) x - α u / max(1, rms(u) / d)
        α = max(ε₂, rms(x)) · min(lr, 1/√t)

    A matrix (m, n) has m + n numbers of state; vectors and numbers keep all of V. Of tensors with more dimensions each
    matrix (of the last two) has its own.

    Shazeer & Stern 2018, "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost".

    Args:
        params: see :class:`Optimizer`.
        lr: the largest relative step.
        beta2_decay: β, negative: how fast new squares count for less.
        eps: (ε₁, ε₂): the least mean square and the least size of a parameter; ε₁ = None: the type's own ε.
        d: how long an update's root mean square may be.
        weight_decay: λ.
        foreach: accepted as in PyTorch; it changes nothing here.
        maximize: ascend instead.

    Raises:
        ValueError: settings out of range.
    """

    decoupled = True

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        check("learning rate", lr)
        if not beta2_decay <= 0:
            raise ValueError(f"beta2_decay should be <= 0 but is: {beta2_decay}")
        if eps[0] is not None and not eps[0] >= 0:
            raise ValueError(f"epsilon1 should be >= 0 but is: {eps[0]}")
        if not eps[1] >= 0:
            raise ValueError(f"epsilon2 should be >= 0 but is: {eps[1]}")
        if not d >= 1:
            raise ValueError(f"Clipping threshold d should be >= 1 but is: {d}")
        if not weight_decay >= 0:
            raise ValueError(f"weight_decay should be >= 0 but is: {weight_decay}")
        super().__init__(
            params,
            {
                "lr": lr,
                "beta2_decay": beta2_decay,
                "eps": eps,
                "d": d,
                "weight_decay": weight_decay,
                "foreach": foreach,
                "maximize": maximize,
            },
        )

    def start(self, x: Any, group: dict[str, Any]) -> dict[str, Any]:
        xp = namespace(x)
        if x.ndim < 2:
            return {"step": counter(), "variance": xp.zeros_like(x)}
        *lead, rows, columns = x.shape
        return {
            "step": counter(),
            "row_var": xp.zeros((*lead, rows, 1), x.dtype),
            "col_var": xp.zeros((*lead, 1, columns), x.dtype),
        }

    def update(self, x: Any, g: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        if not x.size:
            return
        t, lr = float(state["step"]), scalar(group["lr"])
        least, smallest = group["eps"]
        least = float(np.finfo(x.dtype).eps) if least is None else least
        new = t ** group["beta2_decay"]
        alpha = max(smallest, _rms(x)) * min(lr, 1 / math.sqrt(t))
        x *= 1 - lr * group["weight_decay"]
        square = g * g
        if x.ndim < 2:
            variance = state["variance"]
            variance += new * (square - variance)
        else:
            rows, columns = state["row_var"], state["col_var"]
            rows += new * (square.mean(-1, keepdims=True) - rows)
            columns += new * (square.mean(-2, keepdims=True) - columns)
            variance = rows * columns / rows.mean(-2, keepdims=True).clip(least)
        step = g / variance.clip(least * least) ** 0.5
        x -= alpha / max(1.0, _rms(step) / group["d"]) * step


def _rms(x: Any) -> float:
    """The root of the mean square."""
    return math.sqrt(float((x * x).mean()))
