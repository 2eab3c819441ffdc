"""The loss around the weights: along a line, or over a plane."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from minidl import random
from minidl.autograd.grad_mode import no_grad
from minidl.backends import namespace
from minidl.inspect import arguments
from minidl.inspect.calls import without_trace
from minidl.inspect.numbers import axes, on_host
from minidl.nn.module import Module
from minidl.tensor import Tensor, raw

Direction = dict[str, np.ndarray]


@dataclass
class LossSurface:
    """The loss at w + a d₁ (+ b d₂): ``losses`` (A,) or (A, B) at steps ``a`` (A,) and ``b`` (B,) or None; ``directions`` by
    the parameters' names."""

    losses: np.ndarray
    a: np.ndarray
    b: np.ndarray | None
    directions: list[Direction]

    def __repr__(self) -> str:
        if np.isnan(self.losses).all():
            return f"loss at {' × '.join(map(str, self.losses.shape))} points, NaN at all of them"
        low = np.unravel_index(int(np.nanargmin(self.losses)), self.losses.shape)
        where = f"a = {self.a[low[0]]:.3g}" + ("" if self.b is None else f", b = {self.b[low[1]]:.3g}")
        shape = " × ".join(map(str, self.losses.shape))
        return f"loss at {shape} points, from {np.nanmin(self.losses):.4g} (at {where}) to {np.nanmax(self.losses):.4g}"

    def plot(self, ax: Any = None, levels: int = 20) -> Any:
        """Draw the curve, or the plane's contours with the weights themselves as a cross; returns the Axes."""
        ax = axes(ax)
        if self.b is None:
            ax.plot(self.a, self.losses)
            ax.axvline(0, color="grey", linestyle=":")
            ax.set_xlabel("step along the direction")
            ax.set_ylabel("loss")
            return ax
        finite = np.where(np.isfinite(self.losses), self.losses, np.nan)
        if not np.isnan(finite).all() and np.nanmax(finite) > np.nanmin(finite):
            ax.figure.colorbar(ax.contourf(self.a, self.b, finite.T, levels), ax=ax, label="loss")
        else:
            ax.pcolormesh(self.a, self.b, finite.T)
        ax.plot(0, 0, "+", color="white", markersize=12)
        ax.set_xlabel("step along the first direction")
        ax.set_ylabel("step along the second")
        return ax


def loss_surface(
    model: Module,
    loss_fn: Callable[[Module], Any],
    directions: int | Mapping[str, Any] | Sequence[Any] = 2,
    steps: int = 21,
    span: float = 1.0,
    seed: int = 0,
) -> LossSurface:
    """Evaluate the loss on a line or a plane through the model's weights.

    Args:
        model: whose parameters are moved, and put back whatever happens.
        loss_fn: called with the model; gives the loss, a number or a Tensor of one element. It is called ``steps`` times on a
            line, ``steps``² times on a plane, each time with the same random numbers to come, and without recording: one that
            takes gradients itself does so inside ``minidl.enable_grad()``. Evaluation mode (``model.eval()``) is the usual
            one; buffers are put back as well.
        directions: 1 or 2 random ones, or one or two given: a dict from parameters' names to arrays or Tensors (missing
            ones stand still), or a sequence with one for each parameter, such as the difference of two sets of weights.
            Random directions are normal and filter-normalised, so that the picture does not depend on the scale of the
            weights: each filter (row) of a direction has the norm of the filter it moves, and parameters of less than two
            dimensions, biases and norms' weights, stand still (Li et al. 2018, "Visualizing the Loss Landscape of Neural
            Nets", section 4). Given ones are used as they are.
        steps: how many points a direction; odd numbers have the weights themselves in the middle.
        span: the ends, -span and span.
        seed: of the random directions.

    Raises:
        TypeError: no module, no function, no directions.
        ValueError: neither 1 nor 2 directions; shapes that are not the parameters'; a loss of several elements.
    """
    arguments.module(model, "loss_surface")
    arguments.function(loss_fn, "loss_surface", "a function of the model that gives its loss")
    if steps < 1:
        raise ValueError(f"loss_surface: steps must be at least 1, got {steps}")
    chosen = _directions(model, directions, seed)
    at = np.linspace(-span, span, steps) if steps > 1 else np.zeros(1)
    shape = (steps,) * len(chosen)
    losses = np.full(shape, np.nan)
    with without_trace(model), no_grad(), _moved(model) as move:
        state = random.get_rng_state()
        for index in _progress(list(np.ndindex(shape))):
            random.set_rng_state(state)
            move([(float(at[i]), direction) for i, direction in zip(index, chosen)])
            losses[index] = _number(loss_fn(model))
    return LossSurface(losses, at, at if len(chosen) == 2 else None, chosen)


def random_direction(model: Module, seed: int = 0) -> Direction:
    """A random direction, filter-normalised: see :func:`loss_surface`."""
    generator = np.random.default_rng(seed)
    found = {}
    for name, parameter in model.named_parameters():
        weight = on_host(parameter._data).astype(np.float64)
        if weight.ndim < 2:
            found[name] = np.zeros(weight.shape)
            continue
        direction = generator.standard_normal(weight.shape)
        filters = tuple(range(1, weight.ndim))
        lengths, wanted = (np.sqrt((v * v).sum(filters, keepdims=True)) for v in (direction, weight))
        found[name] = direction * (wanted / np.where(lengths == 0, 1, lengths))
    return found


def _directions(model: Module, given: Any, seed: int) -> list[Direction]:
    if isinstance(given, int):
        if given not in (1, 2):
            raise ValueError(f"loss_surface: a line (1) or a plane (2) can be drawn, not {given} directions")
        return [random_direction(model, seed + i) for i in range(given)]
    if not isinstance(given, (Mapping, list, tuple)):
        raise TypeError(f"loss_surface: directions must be 1, 2, a dict or a list, got {type(given).__name__}")
    if isinstance(given, Mapping) or not any(isinstance(d, (Mapping, list, tuple)) for d in given):
        given = [given]
    if len(given) not in (1, 2):
        raise ValueError(f"loss_surface: one or two directions can be given, not {len(given)}")
    return [_given(model, direction) for direction in given]


def _given(model: Module, direction: Any) -> Direction:
    parameters = dict(model.named_parameters())
    if not isinstance(direction, Mapping):
        if len(direction) != len(parameters):
            raise ValueError(
                f"loss_surface: a direction needs a value for each of the {len(parameters)} parameters, got {len(direction)}"
            )
        direction = dict(zip(parameters, direction))
    unknown = [name for name in direction if name not in parameters]
    if unknown:
        raise ValueError(
            f"loss_surface: no parameters are called {', '.join(unknown)}; there are {', '.join(parameters)}"
        )
    found = {}
    for name, value in direction.items():
        found[name] = on_host(raw(value)).astype(np.float64)
        if found[name].shape != tuple(parameters[name].shape):
            raise ValueError(
                f"loss_surface: the direction of {name} has shape {list(found[name].shape)}, and the parameter "
                f"{list(parameters[name].shape)}"
            )
    return found


@contextmanager
def _moved(model: Module) -> Iterator[Callable[[list[tuple[float, Direction]]], None]]:
    """A function that moves the weights away from where they are now, and back at the end, whatever happens."""
    parameters = dict(model.named_parameters())
    home = {name: parameter._data.copy() for name, parameter in parameters.items()}

    def move(steps: list[tuple[float, Direction]]) -> None:
        for name, parameter in parameters.items():
            parts = [(step, direction[name]) for step, direction in steps if name in direction]
            if parts:
                moved = on_host(home[name]) + sum(step * part for step, part in parts)
                parameter._data[...] = _like(moved, home[name])

    try:
        yield move
    finally:
        for name, parameter in parameters.items():
            parameter._data[...] = home[name]


def _like(values: np.ndarray, array: Any) -> Any:
    """Values in the library and type of ``array``."""
    return namespace(array).asarray(values.astype(np.float64)).astype(array.dtype)


def _number(loss: Any) -> float:
    value = raw(loss) if isinstance(loss, Tensor) else np.asarray(loss)
    if value.size != 1:
        raise ValueError(f"loss_surface: loss_fn must give one number, got shape {list(value.shape)}")
    return float(value.item())


def _progress(points: list) -> Any:
    """The points, with a bar while they are worked on, if somebody watches a terminal."""
    if len(points) < 50 or not sys.stderr.isatty():
        return points
    from rich.console import Console
    from rich.progress import track

    return track(points, "Walking over the surface", console=Console(stderr=True), transient=True)
