"""Adamax."""

from __future__ import annotations

from typing import Any

from minidl.backends import namespace
from minidl.optim.optimizer import Optimizer, check, check_betas, counter, mean_towards, scalar


class Adamax(Optimizer):
    """Adam with the largest gradient lately, u, in place of the root of the mean square:

        m ← β₁ m + (1 - β₁) g          u ← max(β₂ u, |g| + ε)
        x ← x - lr / (1 - β₁ᵗ) · m / u

    Kingma & Ba 2015, "Adam: A Method for Stochastic Optimization", section 7.1.

    Args:
        params, lr, betas, eps: see above.
        weight_decay: λ of an L2 penalty, g ← g + λ x.
        maximize: ascend instead.
        foreach, differentiable, capturable: accepted as in PyTorch; they change nothing here.
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check("learning rate", lr)
        check("epsilon value", eps)
        check_betas(betas)
        check("weight_decay value", weight_decay)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "capturable": capturable,
            },
        )

    def start(self, x: Any, group: dict[str, Any]) -> dict[str, Any]:
        zeros_like = namespace(x).zeros_like
        return {"step": counter(), "exp_avg": zeros_like(x), "exp_inf": zeros_like(x)}

    def update(self, x: Any, g: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        xp, (beta1, beta2) = namespace(x), group["betas"]
        t, m, u = float(state["step"]), state["exp_avg"], state["exp_inf"]
        mean_towards(m, g, beta1)
        u[...] = xp.maximum(beta2 * u, abs(g) + group["eps"])
        x -= scalar(group["lr"]) / (1 - beta1**t) * m / u
