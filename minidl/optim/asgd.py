"""Averaged stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from minidl.backends import namespace
from minidl.optim.optimizer import Optimizer, check, counter, scalar


class ASGD(Optimizer):
    """Gradient descent with steps η that shorten, and a mean a of the points it went through:

        x ← (1 - λ η) x - η g          a ← a + μ (x - a)
        η = lr / (1 + λ lr t)^α        μ = 1 / max(1, t - t₀)

    The mean stands in the state as ``"ax"``; it begins with step t₀, and is x before.

    Polyak & Juditsky 1992, "Acceleration of stochastic approximation by averaging".

    Args:
        params, lr, lambd, alpha, t0: see above.
        weight_decay: of an L2 penalty, g ← g + weight_decay x.
        maximize: ascend instead.
        foreach, capturable, differentiable: accepted as in PyTorch; they change nothing here.
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check("learning rate", lr)
        check("weight_decay value", weight_decay)
        super().__init__(
            params,
            {
                "lr": lr,
                "lambd": lambd,
                "alpha": alpha,
                "t0": t0,
                "weight_decay": weight_decay,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "capturable": capturable,
            },
        )

    def start(self, x: Any, group: dict[str, Any]) -> dict[str, Any]:
        mean = namespace(x).zeros_like(x)
        return {"step": counter(), "eta": counter(scalar(group["lr"])), "mu": counter(1.0), "ax": mean}

    def update(self, x: Any, g: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        eta, mu, mean, lr = float(state["eta"]), float(state["mu"]), state["ax"], scalar(group["lr"])
        x *= 1 - group["lambd"] * eta
        x -= eta * g
        if mu == 1:
            mean[...] = x
        else:
            mean += mu * (x - mean)
        t = float(state["step"])
        state["eta"][...] = lr / (1 + group["lambd"] * lr * t) ** group["alpha"]
        state["mu"][...] = 1 / max(1.0, t - group["t0"])
