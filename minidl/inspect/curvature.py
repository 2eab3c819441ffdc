"""The curvature of the loss: eigenvalues of the Hessian, which is never built; only its products with vectors are.

A product H v is the gradient of (gradient · v), by differentiating twice (Pearlmutter 1994, "Fast Exact Multiplication by
the Hessian"). Lanczos' iteration turns products into a small tridiagonal matrix, whose eigenvalues reach the Hessian's
largest and smallest first; and averaged over random starts they give its density (stochastic Lanczos quadrature: Golub &
Welsch 1969; Ghorbani, Krishnan & Xiao 2019, "An Investigation into Neural Net Optimization via Hessian Eigenvalue
Density").
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minidl.autograd.walk import grad
from minidl.backends import namespace
from minidl.inspect import arguments
from minidl.inspect.numbers import axes, on_host
from minidl.nn.module import Module
from minidl.tensor import Tensor, wrap


@dataclass
class HessianSpectrum:
    """What is known of the eigenvalues of an n × n Hessian.

    ``nodes`` and ``weights`` (samples, iterations): the eigenvalues that each random start found, and the share of the whole
    spectrum that each stands for (they sum to 1 in each row). ``largest`` and ``smallest`` of all. ``trace``, an estimate of
    the sum of the eigenvalues. Nodes that a start did not need are NaN, with weight 0.
    """

    n: int
    nodes: np.ndarray
    weights: np.ndarray

    @property
    def largest(self) -> float:
        return float(np.nanmax(self.nodes))

    @property
    def smallest(self) -> float:
        return float(np.nanmin(self.nodes))

    @property
    def trace(self) -> float:
        return float(self.n * np.nansum(self.nodes * self.weights) / len(self.nodes))

    def density(self, points: Any = 400, width: float | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The density of the eigenvalues, ``(at, density)``, whose integral is 1.

        Args:
            points: where, or at how many places between a little below the smallest and a little above the largest.
            width: the standard deviation of the Gaussian that stands for each eigenvalue; a hundredth of the range if None.
        """
        spread = (self.largest - self.smallest) or max(abs(self.largest), 1.0)
        width = spread / 100 if width is None else width
        margin = 5 * width
        at = (
            np.linspace(self.smallest - margin, self.largest + margin, points)
            if isinstance(points, int)
            else np.asarray(points)
        )
        found = ~np.isnan(self.nodes)
        nodes, weights = self.nodes[found], self.weights[found] / len(self.nodes)
        bells = np.exp(-0.5 * ((at[:, None] - nodes) / width) ** 2) / (width * np.sqrt(2 * np.pi))
        return at, bells @ weights

    def __repr__(self) -> str:
        return (
            f"Hessian of {self.n:,} parameters: largest eigenvalue {self.largest:.4g}, smallest {self.smallest:.4g}, trace "
            f"about {self.trace:.4g} ({len(self.nodes)} starts of {self.nodes.shape[1]} iterations)"
        )

    def plot(self, ax: Any = None) -> Any:
        """Draw the density on a logarithmic scale; returns the Axes."""
        ax = axes(ax)
        at, density = self.density()
        ax.semilogy(at, np.maximum(density, 1e-7))
        for end in (self.smallest, self.largest):
            ax.axvline(end, color="grey", linestyle=":")
        ax.set_xlabel("eigenvalue of the Hessian")
        ax.set_ylabel("density")
        return ax


def hessian_vector_product(loss: Tensor, params: Module | Iterable[Tensor], vector: Any) -> list[Tensor]:
    """H v for the Hessian of ``loss`` by ``params``, in the shapes of the parameters.

    ``vector``: a Tensor for each parameter. The graph of ``loss`` is kept. Parameters that the loss does not depend on get 0.
    """
    chosen = _parameters(params)
    product = _product(loss, chosen)
    given = arguments.parameters(vector, "hessian_vector_product: vector")
    if [tuple(v.shape) for v in given] != [tuple(p.shape) for p in chosen]:
        raise ValueError(
            f"hessian_vector_product: the vector has shapes {[list(v.shape) for v in given]}, which must be the parameters', "
            f"{[list(p.shape) for p in chosen]}"
        )
    flat = product(np.concatenate([on_host(v._data).ravel().astype(np.float64) for v in given]))
    ends = np.cumsum([p._data.size for p in chosen])[:-1]
    return [_as(part, p) for part, p in zip(np.split(flat, ends), chosen)]


def hessian_spectrum(
    loss: Tensor | Callable[[], Tensor],
    params: Module | Iterable[Tensor],
    iterations: int = 40,
    samples: int = 4,
    seed: int = 0,
) -> HessianSpectrum:
    """The ends and the density of the spectrum of the Hessian ∂²loss/∂params².

    Args:
        loss: a Tensor of one element, or a function that computes one. It must be the same each time: put dropout and batch
            normalisation in evaluation mode.
        params: a module, or parameters.
        iterations: of Lanczos, a Hessian-vector product each (about two backward passes). With as many as parameters the
            eigenvalues are exact; the ends are much sooner.
        samples: random starts; more make the density truer.
        seed: of the starts.

    The vectors are kept orthogonal to all before them (twice each, in float64), so no eigenvalue comes twice; they take
    ``iterations`` × n numbers of memory.

    Raises:
        TypeError: a loss or parameters that are no Tensors.
        ValueError, RuntimeError: nothing to differentiate; a loss of several elements, without a graph, or not finite.
    """
    chosen = _parameters(params)
    if iterations < 1 or samples < 1:
        raise ValueError(f"hessian_spectrum: iterations ({iterations}) and samples ({samples}) must be at least 1")
    product = _product(loss() if callable(loss) and not isinstance(loss, Module) else loss, chosen)
    n = sum(p._data.size for p in chosen)
    steps = min(iterations, n)
    generator = np.random.default_rng(seed)
    nodes, weights = np.full((samples, steps), np.nan), np.zeros((samples, steps))
    for sample in _progress(samples, steps):
        start = generator.choice([-1.0, 1.0], n)
        a, b = lanczos(product, start, steps)
        values, vectors = np.linalg.eigh(np.diag(a) + np.diag(b, 1) + np.diag(b, -1))
        nodes[sample, : len(values)], weights[sample, : len(values)] = values, vectors[0] ** 2
    return HessianSpectrum(n, nodes, weights)


def lanczos(
    product: Callable[[np.ndarray], np.ndarray], start: np.ndarray, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """The diagonal (m,) and the side (m - 1,) of the tridiagonal matrix that a symmetric operator is on the space of
    start, product(start), …; m ≤ steps, less where that space is exhausted."""
    basis = [start / np.linalg.norm(start)]
    a, b = [], []
    for _ in range(steps):
        w = product(basis[-1])
        a.append(float(w @ basis[-1]))
        for _ in range(2):  # once is not enough in finite precision (Parlett 1980: "twice is enough")
            for v in basis:
                w = w - (w @ v) * v
        length = float(np.linalg.norm(w))
        scale = max(abs(np.array(a)).max(), max(b, default=0.0))
        if len(a) == steps or length <= 1e-10 * max(scale, 1e-300):
            break
        b.append(length)
        basis.append(w / length)
    return np.array(a), np.array(b)


def _parameters(params: Module | Iterable[Tensor]) -> list[Tensor]:
    chosen = arguments.parameters(params, "the Hessian")
    if not chosen or not sum(p._data.size for p in chosen):
        raise ValueError("the Hessian needs at least one parameter that requires grad")
    return chosen


def _product(loss: Any, chosen: list[Tensor]) -> Callable[[np.ndarray], np.ndarray]:
    """v ↦ H v on flat vectors of float64."""
    loss = arguments.number(loss, "the Hessian")
    if not np.isfinite(on_host(loss._data)).all():
        raise RuntimeError(f"the loss is {loss.item()}, which has no curvature; inspect.why_nan says where that arose")
    first = grad(loss, chosen, create_graph=True, materialize_grads=True, allow_unused=True)
    sizes = [p._data.size for p in chosen]
    ends = np.cumsum(sizes)[:-1]
    used = [i for i, g in enumerate(first) if g is not None and g.requires_grad]

    def product(vector: np.ndarray) -> np.ndarray:
        parts = np.split(vector, ends)
        if not used:  # a loss linear in its parameters has no curvature
            return np.zeros_like(vector)
        second = grad(
            [first[i] for i in used],  # type: ignore[misc]
            chosen,
            [_as(parts[i], chosen[i]) for i in used],
            retain_graph=True,
            materialize_grads=True,
            allow_unused=True,
        )
        return np.concatenate([on_host(g._data).ravel().astype(np.float64) for g in second if g is not None])

    return product


def _as(values: np.ndarray, parameter: Tensor) -> Tensor:
    """Values in the shape, type and place of a parameter."""
    array = parameter._data
    return wrap(namespace(array).asarray(values.reshape(array.shape)).astype(array.dtype))


def _progress(samples: int, steps: int) -> Any:
    """The numbers of the starts, with a bar if there is much to do and somebody watches a terminal."""
    if samples * steps < 100 or not sys.stderr.isatty():
        return range(samples)
    from rich.console import Console
    from rich.progress import track

    return track(range(samples), "Lanczos", console=Console(stderr=True), transient=True)
