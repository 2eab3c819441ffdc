"""Weights with a norm that is kept: weight normalisation and spectral normalisation."""

from __future__ import annotations

from typing import Any

from minidl import sampling
from minidl.absent import finder as _finder
from minidl.autograd.grad_mode import no_grad
from minidl.nn import functional as F
from minidl.nn.module import Module
from minidl.nn.modules.convolution import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from minidl.nn.utils.parametrize import register_parametrization

__all__ = ["spectral_norm", "weight_norm"]


def _norm(v: Any, dim: int) -> Any:
    """The length of each slice of ``v`` along ``dim``, kept as dimensions of size 1; of all of ``v`` for -1."""
    if dim == -1:
        return v.norm()
    return v.norm(dim=[i for i in range(v.ndim) if i != dim % v.ndim], keepdim=True) if v.ndim > 1 else v.abs()


class _WeightNorm(Module):
    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Any, weight_v: Any) -> Any:
        return weight_v * (weight_g / _norm(weight_v, self.dim))

    def right_inverse(self, weight: Any) -> tuple[Any, Any]:
        return _norm(weight, self.dim), weight.clone()


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Train a weight as length and direction, w = g · v / ‖v‖.

    Salimans & Kingma 2016, "Weight Normalization: A Simple Reparameterization to Accelerate Training of Deep Neural
    Networks".

    Args:
        name: of the weight; g becomes ``parametrizations.weight.original0``, v ``original1``.
        dim: each slice along it has a length of its own; None or -1: the whole weight has one.

    Returns:
        ``module``.
    """
    return register_parametrization(module, name, _WeightNorm(dim), unsafe=True)


class _SpectralNorm(Module):
    def __init__(self, weight: Any, n_power_iterations: int, dim: int, eps: float) -> None:
        super().__init__()
        if not -weight.ndim <= dim < weight.ndim:
            raise IndexError(
                f"Dimension out of range (expected to be in range of [-{weight.ndim}, {weight.ndim - 1}] but got {dim})"
            )
        if n_power_iterations <= 0:
            raise ValueError(
                f"Expected n_power_iterations to be positive, but got n_power_iterations={n_power_iterations}"
            )
        self.dim, self.eps, self.n_power_iterations = dim % weight.ndim, eps, n_power_iterations
        if weight.ndim > 1:  # the largest singular value of a vector is its length
            with no_grad():
                matrix = self._matrix(weight)
                for name, size in zip(("_u", "_v"), matrix.shape):
                    start = sampling.randn(size, dtype=weight.dtype, device=weight.device)
                    self.register_buffer(name, F.normalize(start, dim=0, eps=eps))
                self._iterate(matrix, 15)

    def _matrix(self, weight: Any) -> Any:
        return weight.movedim(self.dim, 0).flatten(1)

    @no_grad()
    def _iterate(self, matrix: Any, times: int) -> None:
        """Power iteration: u and v come near the singular vectors of the largest singular value."""
        for _ in range(times):
            self._u.copy_(F.normalize(matrix @ self._v, dim=0, eps=self.eps))
            self._v.copy_(F.normalize(matrix.mT @ self._u, dim=0, eps=self.eps))

    def forward(self, weight: Any) -> Any:
        if weight.ndim == 1:
            return F.normalize(weight, dim=0, eps=self.eps)
        matrix = self._matrix(weight)
        if self.training:
            self._iterate(matrix, self.n_power_iterations)
        u, v = self._u.clone(), self._v.clone()  # the next call changes both, before this one's backward
        return weight / (u @ (matrix @ v))

    def right_inverse(self, value: Any) -> Any:
        return value


def spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Module:
    """Divide a weight by its largest singular value, w / σ(w), so that a layer stretches nothing.

    Miyato et al. 2018, "Spectral Normalization for Generative Adversarial Networks".

    Args:
        name: of the weight, which is trained as ``parametrizations.weight.original``.
        n_power_iterations: steps of the power iteration, which goes on from call to call in training mode.
        eps: the least length that a vector is divided by.
        dim: the outputs' dimension; 1 for transposed convolutions and 0 for others if None.

    Returns:
        ``module``.

    Raises:
        ValueError: there is no such tensor; no iterations.
    """
    weight = getattr(module, name, None)
    if not hasattr(weight, "ndim"):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    if dim is None:
        dim = 1 if isinstance(module, (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)) else 0
    return register_parametrization(module, name, _SpectralNorm(weight, n_power_iterations, dim, eps))


__getattr__ = _finder(__name__)
