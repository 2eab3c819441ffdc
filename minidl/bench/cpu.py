"""Training steps on the CPU, timed beside PyTorch: one process, the libraries in turn, medians, ratios.

    minidl bench cpu --against torch

Each case is written once, for either library: they have the same names. Both start from the same weights, and their first
losses are compared before anything is timed.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import minidl
from minidl_kernels.threads import set_num_threads

THREADS = 2
Step = Callable[[], float]


@dataclass
class Row:
    """What was measured for one case: milliseconds a step (median) and the spread (half the interquartile range)."""

    case: str
    minidl: float
    spread: float
    torch: float | None = None
    target: float | None = None

    @property
    def ratio(self) -> float | None:
        """minidl's time over PyTorch's."""
        return None if self.torch is None else self.minidl / self.torch


def _tensor(library: Any, shape: Sequence[int], scale: float = 1.0, seed: int = 0, grad: bool = False) -> Any:
    values = np.random.default_rng(seed).standard_normal(shape).astype("float32") * np.float32(scale)
    return library.tensor(values, requires_grad=grad)


def _classes(library: Any, n: int, classes: int) -> Any:
    return library.tensor(np.random.default_rng(1).integers(0, classes, n))


def _same_weights(library: Any, model: Any) -> Any:
    """Small values that depend on the shape alone, in a model of either library."""
    with library.no_grad():
        for i, p in enumerate(model.parameters()):
            if p.ndim > 1:
                p.copy_(_tensor(library, p.shape, 1 / np.sqrt(np.prod(p.shape[1:])), seed=i))
    return model


def convnet(library: Any) -> Step:
    """A training step of the ConvNet: batch 64, cross-entropy, Adam."""
    nn = library.nn
    model = nn.Sequential(
        *(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(3136, 128), nn.ReLU(), nn.Linear(128, 10)),
    )
    x, y = _tensor(library, (64, 1, 28, 28)), _classes(library, 64, 10)
    return _training(library, model, library.optim.Adam(model.parameters(), lr=1e-3), nn.CrossEntropyLoss(), x, y)


def tiny_mlp(library: Any) -> Step:
    """A training step of an MLP 2-16-16-1: batch 32, mean squared error, SGD. Nothing but overhead."""
    nn = library.nn
    model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1))
    x, y = _tensor(library, (32, 2)), _tensor(library, (32, 1), seed=1)
    return _training(library, model, library.optim.SGD(model.parameters(), lr=0.05), nn.MSELoss(), x, y)


def residual_block(library: Any) -> Step:
    """Forward and backward of a residual block: 64 channels, 28 × 28, batch 16, two convolutions with batch norm."""
    nn = library.nn
    layers = nn.Sequential(
        *(nn.Conv2d(64, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU()),
        *(nn.Conv2d(64, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64)),
    )
    _same_weights(library, layers)
    x = _tensor(library, (16, 64, 28, 28), grad=True)

    def step() -> float:
        loss = (library.relu(layers(x) + x) ** 2).mean()
        loss.backward()
        layers.zero_grad()
        x.grad = None
        return loss.item()

    return step


def layer_norm_gelu(library: Any) -> Step:
    """Forward and backward of layer norm and GELU, 4096 × 512."""
    functional = library.nn.functional
    x = _tensor(library, (4096, 512), grad=True)
    weight, bias = library.ones(512, requires_grad=True), library.zeros(512, requires_grad=True)

    def step() -> float:
        loss = functional.gelu(functional.layer_norm(x, (512,), weight, bias)).mean()
        loss.backward()
        x.grad = weight.grad = bias.grad = None
        return loss.item()

    return step


def cross_entropy(library: Any) -> Step:
    """Forward and backward of cross-entropy, 2048 rows, 8192 classes."""
    x, y = _tensor(library, (2048, 8192), grad=True), _classes(library, 2048, 8192)

    def step() -> float:
        loss = library.nn.functional.cross_entropy(x, y)
        loss.backward()
        x.grad = None
        return loss.item()

    return step


def adam(library: Any) -> Step:
    """A step of Adam over 10 million parameters."""
    x = _tensor(library, (10_000_000,), grad=True)
    x.grad = _tensor(library, (10_000_000,), 1e-2, seed=1)
    optimizer = library.optim.Adam([x], lr=1e-3)

    def step() -> float:
        optimizer.step()
        return x[:10].sum().item()

    return step


# Each case, and the largest ratio to PyTorch's time that it is meant to keep, if there is one.
CASES: dict[str, tuple[Callable[[Any], Step], float | None]] = {
    "ConvNet step": (convnet, 1.2),
    "residual block": (residual_block, 1.5),
    "tiny MLP step": (tiny_mlp, 0.7),
    "layer_norm + gelu": (layer_norm_gelu, None),
    "cross-entropy": (cross_entropy, None),
    "Adam, 10 M": (adam, 1.0),
}


def _training(library: Any, model: Any, optimizer: Any, criterion: Any, x: Any, y: Any) -> Step:
    _same_weights(library, model)
    with library.no_grad():
        for p in model.parameters():
            if p.ndim == 1:
                p.zero_()

    def step() -> float:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def _seconds(step: Step, times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        step()
    return (time.perf_counter() - began) / times


def measure(name: str, torch: Any = None, repeats: int = 15) -> Row:
    """Time one case, in blocks of steps of about a tenth of a second, the libraries in turn.

    RuntimeError if their first losses differ.
    """
    make, target = CASES[name]
    steps = [make(library) for library in (minidl, torch) if library is not None]
    first = [step() for step in steps]
    if len(first) == 2 and not np.isclose(*first, rtol=1e-3):
        raise RuntimeError(f"{name}: minidl's loss {first[0]} is not PyTorch's {first[1]}: there is nothing to compare")
    block = max(int(0.05 / max(_seconds(steps[0], 1), 1e-6)), 1)
    times: list[list[float]] = [[] for _ in steps]
    for _ in range(repeats):
        for kept, step in zip(times, steps):
            kept.append(_seconds(step, block) * 1e3)
    low, middle, high = statistics.quantiles(times[0], n=4) if repeats > 1 else (times[0][0],) * 3
    theirs = statistics.median(times[1]) if len(times) == 2 else None
    return Row(name, middle, (high - low) / 2, theirs, target)


def run(against: str | None = None, cases: Sequence[str] | None = None, repeats: int = 15) -> list[Row]:
    """Measure the cases (all of them if None), print a table, and return its rows.

    ``against``: "torch" to time PyTorch eager beside minidl, both on two threads. ValueError for another library or an
    unknown case; ImportError, with the remedy, if PyTorch is not there.
    """
    if against not in (None, "torch"):
        raise ValueError(f"minidl can be compared with 'torch', not with {against!r}")
    unknown = [name for name in cases or () if name not in CASES]
    if unknown:
        raise ValueError(f"unknown case {unknown[0]!r}; there are {', '.join(CASES)}")
    torch = _torch() if against else None
    set_num_threads(THREADS)
    rows = []
    for name in cases or CASES:
        rows.append(measure(name, torch, repeats))
    _show(rows)
    return rows


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        raise ImportError("PyTorch is not installed; to compare with it: pip install torch==2.13.0") from None
    torch.set_num_threads(THREADS)
    return torch


def _show(rows: list[Row]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"Milliseconds a step, {THREADS} threads, medians")
    for column in ("case", "minidl", "±", "PyTorch", "ratio", "at most"):
        table.add_column(column, justify="left" if column == "case" else "right")
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        theirs = "" if row.torch is None else f"{row.torch:.3g}"
        table.add_row(row.case, f"{row.minidl:.3g}", f"{row.spread:.2g}", theirs, ratio, str(row.target or ""))
    Console().print(table)


if __name__ == "__main__":
    import sys

    run("torch" if "torch" in sys.argv else None)
