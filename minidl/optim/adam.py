"""Adam and AdamW."""

from __future__ import annotations

from typing import Any

from minidl.backends import kernel, namespace
from minidl.optim.optimizer import Optimizer, begin, check, check_betas, counter, scalar
from minidl.tensor import Tensor


class Adam(Optimizer):
    """Steps along the mean m of the gradient, measured in the root of the mean v of its square:

        m ← β₁ m + (1 - β₁) g          v ← β₂ v + (1 - β₂) g²
        x ← x - lr · m̂ / (√v̂ + ε)      with m̂ = m / (1 - β₁ᵗ), v̂ = v / (1 - β₂ᵗ)

    Kingma & Ba 2015, "Adam: A Method for Stochastic Optimization".

    Args:
        params, lr: what to optimise, and the learning rate.
        betas, eps: β₁ and β₂, and ε.
        weight_decay: λ of an L2 penalty, g ← g + λ x.
        amsgrad: divide by the largest v so far (Reddi et al. 2018).
        maximize: ascend instead.
        decoupled_weight_decay: x ← (1 - lr λ) x instead of the penalty, as in :class:`AdamW`.
        foreach, capturable, differentiable, fused: accepted as in PyTorch; they change nothing here.

    ValueError for settings out of range.
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        check("learning rate", lr)
        check("epsilon value", eps)
        check_betas(betas)
        check("weight_decay value", weight_decay)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": tuple(scalar(beta) for beta in betas),
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "maximize": maximize,
                "foreach": foreach,
                "capturable": capturable,
                "differentiable": differentiable,
                "fused": fused,
                "decoupled_weight_decay": decoupled_weight_decay,
            },
        )

    def start(self, x: Any, group: dict[str, Any]) -> dict[str, Any]:
        zeros_like = namespace(x).zeros_like
        state = {"step": counter(), "exp_avg": zeros_like(x), "exp_avg_sq": zeros_like(x)}
        return {**state, "max_exp_avg_sq": zeros_like(x)} if group["amsgrad"] else state

    def _step_group(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        amsgrad = group["amsgrad"]
        settings = {
            "lr": scalar(group["lr"]),
            "beta1": group["betas"][0],
            "beta2": group["betas"][1],
            "eps": group["eps"],
            "weight_decay": scalar(group["weight_decay"]),
            "decoupled": group["decoupled_weight_decay"],
            "maximize": group["maximize"],
        }
        lists: tuple[list, ...] = ([], [], [], [], [], [])
        for parameter in parameters:
            state = self.state[parameter]
            if not state:
                state.update(begin(self.start(parameter._data, group)))
            t = state["step"]._data
            t += 1
            arrays = (parameter._data, parameter.grad._data, state["exp_avg"]._data, state["exp_avg_sq"]._data)
            largest = state["max_exp_avg_sq"]._data if amsgrad else None
            for to, value in zip(lists, (*arrays, largest, t.item())):
                to.append(value)
            parameter._counter[0] += 1
        kernel("adam").step(*lists, **settings)


class AdamW(Adam):
    """:class:`Adam` whose weight decay shrinks the parameters, x ← (1 - lr λ) x, instead of entering the gradient.

    Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization". Arguments as for Adam; ``weight_decay`` is 0.01.
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )
