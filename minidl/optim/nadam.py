"""NAdam."""

from __future__ import annotations

import math
from typing import Any

from minidl.backends import namespace
from minidl.optim.optimizer import Optimizer, check, check_betas, counter, mean_square_towards, mean_towards, scalar


class NAdam(Optimizer):
    """Adam with Nesterov's momentum: the step already counts the momentum of the next one. With the schedule
    μₜ = β₁ (1 - ½ · 0.96^(t ψ)), where ψ is ``momentum_decay``, and Mₜ = μ₁ μ₂ … μₜ

        m ← β₁ m + (1 - β₁) g          v ← β₂ v + (1 - β₂) g²
        x ← x - lr · (μₜ₊₁ / (1 - Mₜ₊₁) · m + (1 - μₜ) / (1 - Mₜ) · g) / (√(v / (1 - β₂ᵗ)) + ε)

    Dozat 2016, "Incorporating Nesterov Momentum into Adam".

    Args:
        params, lr, betas, eps, momentum_decay: see above.
        weight_decay: λ of an L2 penalty, g ← g + λ x.
        decoupled_weight_decay: x ← (1 - lr λ) x instead of the penalty.
        maximize: ascend instead.
        foreach, capturable, differentiable: accepted as in PyTorch; they change nothing here.
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
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
        check("momentum_decay value", momentum_decay)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum_decay": momentum_decay,
                "decoupled_weight_decay": decoupled_weight_decay,
                "maximize": maximize,
                "foreach": foreach,
                "capturable": capturable,
                "differentiable": differentiable,
            },
        )

    def start(self, x: Any, group: dict[str, Any]) -> dict[str, Any]:
        zeros_like = namespace(x).zeros_like
        return {
            "step": counter(),
            "mu_product": counter(1.0),
            "exp_avg": zeros_like(x),
            "exp_avg_sq": zeros_like(x),
        }

    def update(self, x: Any, g: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        lr, (beta1, beta2), psi = scalar(group["lr"]), group["betas"], group["momentum_decay"]
        t, product, m, v = float(state["step"]), state["mu_product"], state["exp_avg"], state["exp_avg_sq"]
        if group["decoupled_weight_decay"]:
            x *= 1 - lr * group["weight_decay"]
        mu = beta1 * (1 - 0.5 * 0.96 ** (t * psi))
        mu_next = beta1 * (1 - 0.5 * 0.96 ** ((t + 1) * psi))
        product *= mu
        so_far = product.item()
        mean_towards(m, g, beta1)
        mean_square_towards(v, g, beta2)
        spread = namespace(x).sqrt(v) / math.sqrt(1 - beta2**t) + group["eps"]
        x -= lr * ((1 - mu) / (1 - so_far) * g + mu_next / (1 - so_far * mu_next) * m) / spread
