"""Adadelta."""

from __future__ import annotations

from typing import Any

from minidl.backends import namespace
from minidl.optim.optimizer import Optimizer, check, counter, mean_square_towards, scalar


class Adadelta(Optimizer):
    """Steps whose size follows from the sizes of the steps before, so that x and step have the same unit:

        v ← ρ v + (1 - ρ) g²          Δ = g · √(u + ε) / √(v + ε)
        u ← ρ u + (1 - ρ) Δ²          x ← x - lr · Δ

    Zeiler 2012, "ADADELTA: An Adaptive Learning Rate Method".

    Args:
        params, lr, rho, eps: see above.
        weight_decay: λ of an L2 penalty, g ← g + λ x.
        maximize: ascend instead.
        foreach, capturable, differentiable: accepted as in PyTorch; they change nothing here.
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check("learning rate", lr)
        if not 0.0 <= rho <= 1.0:
            raise ValueError(f"Invalid rho value: {rho}")
        check("epsilon value", eps)
        check("weight_decay value", weight_decay)
        super().__init__(
            params,
            {
                "lr": lr,
                "rho": rho,
                "eps": eps,
                "weight_decay": weight_decay,
                "maximize": maximize,
                "capturable": capturable,
                "foreach": foreach,
                "differentiable": differentiable,
            },
        )

    def start(self, x: Any, group: dict[str, Any]) -> dict[str, Any]:
        zeros_like = namespace(x).zeros_like
        return {"step": counter(), "square_avg": zeros_like(x), "acc_delta": zeros_like(x)}

    def update(self, x: Any, g: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        sqrt, rho, eps = namespace(x).sqrt, group["rho"], group["eps"]
        v, u = state["square_avg"], state["acc_delta"]
        mean_square_towards(v, g, rho)
        delta = g * (sqrt(u + eps) / sqrt(v + eps))
        mean_square_towards(u, delta, rho)
        x -= scalar(group["lr"]) * delta
