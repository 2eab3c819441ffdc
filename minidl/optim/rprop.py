"""Rprop."""

from __future__ import annotations

from typing import Any

from minidl.backends import namespace
from minidl.optim.optimizer import Optimizer, check, counter, scalar


class Rprop(Optimizer):
    """Steps by the sign of the gradient alone, each parameter's as long as its gradient's signs have agreed:

        Δ ← Δ η⁺ where g keeps its sign, Δ η⁻ where it changes (and there g ← 0)          x ← x - sign(g) Δ

    For gradients of all the data: those of batches change sign by chance.

    Riedmiller & Braun 1993, "A direct adaptive method for faster backpropagation learning: the RPROP algorithm".

    Args:
        params: see :class:`Optimizer`.
        lr: the first Δ.
        etas: (η⁻, η⁺).
        step_sizes: the least and the greatest Δ.
        maximize: ascend instead.
        foreach, capturable, differentiable: accepted as in PyTorch; they change nothing here.
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check("learning rate", lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(
                f"Invalid eta values: {etas[0]}, {etas[1]}: the first must be in (0, 1), the second above 1"
            )
        super().__init__(
            params,
            {
                "lr": lr,
                "etas": etas,
                "step_sizes": step_sizes,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "capturable": capturable,
            },
        )

    def start(self, x: Any, group: dict[str, Any]) -> dict[str, Any]:
        xp = namespace(x)
        return {"step": counter(), "prev": xp.zeros_like(x), "step_size": xp.full_like(x, scalar(group["lr"]))}

    def update(self, x: Any, g: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        xp, (shrink, grow) = namespace(x), group["etas"]
        agreement = g * state["prev"]
        delta = state["step_size"]
        delta *= xp.where(agreement > 0, grow, xp.where(agreement < 0, shrink, 1.0)).astype(x.dtype)
        delta[...] = xp.clip(delta, *group["step_sizes"])
        g = xp.where(agreement < 0, 0, g)
        x -= xp.sign(g) * delta
        state["prev"][...] = g
