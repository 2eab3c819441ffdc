"""RAdam."""

from __future__ import annotations

import math
from typing import Any

from minidl.backends import namespace
from minidl.optim.optimizer import Optimizer, check, check_betas, counter, mean_square_towards, mean_towards, scalar


class RAdam(Optimizer):
    """Adam that does not trust the mean square before it rests on enough gradients. With ρ∞ = 2 / (1 - β₂) - 1 and
    ρₜ = ρ∞ - 2 t β₂ᵗ / (1 - β₂ᵗ), the number of gradients that v̂ is as good as,

        m ← β₁ m + (1 - β₁) g          v ← β₂ v + (1 - β₂) g²          m̂ = m / (1 - β₁ᵗ)
        x ← x - lr · r · m̂ √(1 - β₂ᵗ) / (√v + ε)      if ρₜ > 5, where r² = (ρₜ-4)(ρₜ-2) ρ∞ / ((ρ∞-4)(ρ∞-2) ρₜ)
        x ← x - lr · m̂                                otherwise

    Liu et al. 2020, "On the Variance of the Adaptive Learning Rate and Beyond".

    Args:
        params, lr, betas, eps: see above.
        weight_decay: λ of an L2 penalty, g ← g + λ x.
        decoupled_weight_decay: x ← (1 - lr λ) x instead of the penalty.
        maximize: ascend instead.
        foreach, capturable, differentiable: accepted as in PyTorch; they change nothing here.
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
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
                "maximize": maximize,
                "foreach": foreach,
                "capturable": capturable,
                "decoupled_weight_decay": decoupled_weight_decay,
                "differentiable": differentiable,
            },
        )

    def start(self, x: Any, group: dict[str, Any]) -> dict[str, Any]:
        zeros_like = namespace(x).zeros_like
        return {"step": counter(), "exp_avg": zeros_like(x), "exp_avg_sq": zeros_like(x)}

    def update(self, x: Any, g: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        lr, (beta1, beta2) = scalar(group["lr"]), group["betas"]
        t, m, v = float(state["step"]), state["exp_avg"], state["exp_avg_sq"]
        if group["decoupled_weight_decay"]:
            x *= 1 - lr * group["weight_decay"]
        mean_towards(m, g, beta1)
        mean_square_towards(v, g, beta2)
        x_step = m / (1 - beta1**t)
        rho_limit = 2 / (1 - beta2) - 1
        rho = rho_limit - 2 * t * beta2**t / (1 - beta2**t)
        if rho > 5:
            r = math.sqrt((rho - 4) * (rho - 2) * rho_limit / ((rho_limit - 4) * (rho_limit - 2) * rho))
            x_step *= r * math.sqrt(1 - beta2**t) / (namespace(x).sqrt(v) + group["eps"])
        x -= lr * x_step
