"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from minidl.backends import kernel, namespace
from minidl.optim.optimizer import Optimizer, check, scalar
from minidl.tensor import Tensor, wrap


class SGD(Optimizer):
    """x ← x - lr · g, with momentum μ along the running sum b ← μ b + (1 - dampening) g of gradients:

        x ← x - lr · b      or, with ``nesterov``,      x ← x - lr · (g + μ b)

    Args:
        params, lr: what to optimise, and the learning rate.
        momentum, dampening, nesterov: see above (Polyak 1964; Sutskever et al. 2013).
        weight_decay: λ of an L2 penalty, g ← g + λ x.
        maximize: ascend instead.
        foreach, differentiable, fused: accepted as in PyTorch; they change nothing here.

    ValueError for negative settings, or Nesterov's form without momentum or with dampening.
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check("learning rate", lr)
        check("momentum value", momentum)
        check("weight_decay value", weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
                "foreach": foreach,
                "differentiable": differentiable,
                "fused": fused,
            },
        )

    def _step_group(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        momentum = group["momentum"]
        settings = {
            "lr": scalar(group["lr"]),
            "momentum": momentum,
            "dampening": group["dampening"],
            "weight_decay": scalar(group["weight_decay"]),
            "nesterov": group["nesterov"],
            "maximize": group["maximize"],
        }
        buffers = [self._buffer(p) if momentum else (None, False) for p in parameters]
        kernel("sgd").step(
            [p._data for p in parameters],
            [p.grad._data for p in parameters],
            [buffer for buffer, _ in buffers],
            firsts=[first for _, first in buffers],
            **settings,
        )
        for parameter in parameters:
            parameter._counter[0] += 1

    def _buffer(self, parameter: Tensor) -> tuple[Any, bool]:
        """The running sum of gradients, and whether it has yet to start."""
        state = self.state[parameter]
        first = state.get("momentum_buffer") is None
        if first:
            state["momentum_buffer"] = wrap(namespace(parameter._data).zeros_like(parameter._data))
        return state["momentum_buffer"]._data, first
