"""RMSprop."""

from __future__ import annotations

from typing import Any

from minidl.backends import namespace
from minidl.optim.optimizer import Optimizer, check, counter, mean_square_towards, mean_towards, scalar


class RMSprop(Optimizer):
    """Divides the gradient by the root of a running mean v of its square:

        v ← α v + (1 - α) g²          x ← x - lr · g / (√v + ε)

    ``centered``: by the root of its variance, √(v - ḡ²) + ε, with ḡ ← α ḡ + (1 - α) g. With ``momentum`` μ the step
    goes along b ← μ b + g / (√v + ε).

    Tieleman & Hinton 2012, lecture 6.5 of "Neural Networks for Machine Learning"; centred: Graves 2013, "Generating
    Sequences With Recurrent Neural Networks".

    Args:
        params, lr, alpha, eps, momentum, centered: see above.
        weight_decay: λ of an L2 penalty, g ← g + λ x.
        maximize: ascend instead.
        capturable, foreach, differentiable: accepted as in PyTorch; they change nothing here.
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check("learning rate", lr)
        check("epsilon value", eps)
        check("momentum value", momentum)
        check("weight_decay value", weight_decay)
        check("alpha value", alpha)
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "alpha": alpha,
                "eps": eps,
                "centered": centered,
                "weight_decay": weight_decay,
                "capturable": capturable,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
            },
        )

    def start(self, x: Any, group: dict[str, Any]) -> dict[str, Any]:
        zeros_like = namespace(x).zeros_like
        state = {"step": counter(), "square_avg": zeros_like(x)}
        if group["momentum"] > 0:
            state["momentum_buffer"] = zeros_like(x)
        if group["centered"]:
            state["grad_avg"] = zeros_like(x)
        return state

    def update(self, x: Any, g: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        sqrt = namespace(x).sqrt
        v = state["square_avg"]
        mean_square_towards(v, g, group["alpha"])
        if group["centered"]:
            mean_towards(state["grad_avg"], g, group["alpha"])
            v = v - state["grad_avg"] ** 2
        direction = g / (sqrt(v) + group["eps"])
        if group["momentum"] > 0:
            b = state["momentum_buffer"]
            b *= group["momentum"]
            b += direction
            direction = b
        x -= scalar(group["lr"]) * direction
