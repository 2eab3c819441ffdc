"""Muon: momentum, made orthogonal."""

from __future__ import annotations

import math
from typing import Any

from minidl.backends import namespace
from minidl.optim.optimizer import Optimizer, check, scalar

# How long the step is for a matrix (m, n): as the paper of Muon says, or so that it is as long as AdamW's usually is.
_LENGTHS = {
    "original": lambda m, n: math.sqrt(max(1, m / n)),
    "match_rms_adamw": lambda m, n: 0.2 * math.sqrt(max(m, n)),
}


class Muon(Optimizer):
    """Gradient descent along the momentum's nearest orthogonal matrix, in which all directions count alike:

        b ← μ b + (1 - μ) g        u = orthogonalise(μ b + (1 - μ) g), or of b without ``nesterov``
        x ← (1 - lr λ) x - lr · s(m, n) · u

    For the matrices inside a network; embeddings, scores, biases and norms are left to :class:`AdamW`. Jordan et al. 2024,
    "Muon: An optimizer for hidden layers in neural networks"; s to match AdamW: Liu et al. 2025, "Muon is Scalable for LLM
    Training". PyTorch orthogonalises in bfloat16, minidl in the matrix's own type: steps agree to some hundredths.

    Args:
        params: matrices.
        lr: learning rate.
        weight_decay: λ.
        momentum: μ.
        nesterov: look ahead by one more step of momentum.
        ns_coefficients: (a, b, c) of :func:`orthogonalise`.
        eps: the least length that a gradient is divided by.
        ns_steps: iterations of :func:`orthogonalise`, below 100.
        adjust_lr_fn: s: "original" (√max(1, m/n); so too None) or "match_rms_adamw" (0.2 √max(m, n)).

    Raises:
        ValueError: a parameter that is no matrix, settings out of range.
    """

    decoupled = True

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        check("learning rate", lr)
        if not momentum >= 0:
            raise ValueError(f"momentum should be >= 0 but is: {momentum}")
        if not weight_decay >= 0:
            raise ValueError(f"weight decay should be >= 0 but is: {weight_decay}")
        if len(ns_coefficients) != 3:
            raise ValueError(f"ns_coefficients must be three numbers, but are {ns_coefficients}")
        if not ns_steps < 100:
            raise ValueError(f"ns_steps must be less than 100, but is {ns_steps}")
        if adjust_lr_fn is not None and adjust_lr_fn not in _LENGTHS:
            raise ValueError(f"Adjust learning rate function {adjust_lr_fn} is not supported; there are {[*_LENGTHS]}")
        super().__init__(
            params,
            {
                "lr": lr,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "nesterov": nesterov,
                "ns_coefficients": ns_coefficients,
                "eps": eps,
                "ns_steps": ns_steps,
                "adjust_lr_fn": adjust_lr_fn,
            },
        )

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """See :meth:`Optimizer.add_param_group`; ValueError for a parameter that is no matrix."""
        super().add_param_group(param_group)
        for parameter in self.param_groups[-1]["params"]:
            if parameter.ndim != 2:
                raise ValueError(
                    f"Muon only supports 2D parameters whereas we found a parameter with size: {tuple(parameter.shape)}; "
                    "give vectors, and tensors of more dimensions, to AdamW"
                )

    def start(self, x: Any, group: dict[str, Any]) -> dict[str, Any]:
        return {"momentum_buffer": namespace(x).zeros_like(x)}

    def update(self, x: Any, g: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        if not x.size:
            return
        mean, lr, kept = state["momentum_buffer"], scalar(group["lr"]), group["momentum"]
        mean += (1 - kept) * (g - mean)
        towards = kept * mean + (1 - kept) * g if group["nesterov"] else mean
        step = orthogonalise(towards, group["ns_coefficients"], group["ns_steps"], group["eps"])
        x *= 1 - lr * group["weight_decay"]
        x -= lr * _LENGTHS[group["adjust_lr_fn"] or "original"](*x.shape) * step


def orthogonalise(
    matrix: Any, coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315), steps: int = 5, eps: float = 1e-7
) -> Any:
    """Nearly U Vᵀ of ``matrix`` = U S Vᵀ, (m, n): its singular values are brought towards 1, between 0.7 and 1.2.

    Newton and Schulz's iteration X ← a X + b (X Xᵀ) X + c (X Xᵀ)² X, which needs products alone, with coefficients that
    lift small singular values quickly instead of settling at 1.
    """
    a, b, c = coefficients
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix  # X Xᵀ is then the smaller of the two squares
    x = x / max(float((x * x).sum()) ** 0.5, eps)
    for _ in range(steps):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x
