"""Adagrad."""

from __future__ import annotations

from typing import Any

from minidl.backends import namespace
from minidl.optim.optimizer import Optimizer, begin, check, counter, scalar


class Adagrad(Optimizer):
    """Divides the gradient by the root of the sum s of all its squares so far:

        s ← s + g²          x ← x - lrₜ · g / (√s + ε)      with lrₜ = lr / (1 + (t - 1) lr_decay)

    Duchi, Hazan & Singer 2011, "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization".

    Args:
        params, lr, lr_decay, eps: see above.
        weight_decay: λ of an L2 penalty, g ← g + λ x.
        initial_accumulator_value: what s starts at.
        maximize: ascend instead.
        foreach, differentiable, fused: accepted as in PyTorch; they change nothing here.
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check("learning rate", lr)
        check("lr_decay value", lr_decay)
        check("weight_decay value", weight_decay)
        check("initial_accumulator_value value", initial_accumulator_value)
        check("epsilon value", eps)
        super().__init__(
            params,
            {
                "lr": lr,
                "lr_decay": lr_decay,
                "eps": eps,
                "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "fused": fused,
            },
        )
        for group in self.param_groups:  # as in PyTorch, the state is there from the first moment
            for parameter in group["params"]:
                self.state[parameter] = begin(self.start(parameter._data, group))

    def start(self, x: Any, group: dict[str, Any]) -> dict[str, Any]:
        return {"step": counter(), "sum": namespace(x).full_like(x, group["initial_accumulator_value"])}

    def update(self, x: Any, g: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        t, s = float(state["step"]), state["sum"]
        lr = scalar(group["lr"]) / (1 + (t - 1) * group["lr_decay"])
        s += g * g
        x -= lr * g / (namespace(x).sqrt(s) + group["eps"])
