"""Training steps on the CPU, timed beside PyTorch: the libraries in turn, medians, ratios.

    minidl bench cpu --against torch --backend numba

Each case is written once, for either library: they have the same names. Both start from the same weights, and their first
losses are compared before anything is timed. PyTorch runs as most people run it, and again with its best settings (images
in the channels_last layout, fused optimisers). With the numpy backend all share one process; with numba each has a process
of its own, of which one runs at a time, for the idle threads of one library would disturb the other.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

import minidl
from minidl.bench.results import geometric_mean
from minidl.bench.timing import PAUSE
from minidl_kernels.installing import how_to_install
from minidl_kernels.threads import set_num_threads

THREADS = 2
Step = Callable[[], float]


@dataclass
class Row:
    """What was measured for one case: milliseconds a step (median) and the spread (half the interquartile range);
    PyTorch's, and PyTorch's at its best settings."""

    case: str
    minidl: float
    spread: float
    torch: float | None = None
    target: float | None = None
    best: float | None = None

    @property
    def ratio(self) -> float | None:
        """minidl's time over PyTorch's."""
        return None if self.torch is None else self.minidl / self.torch

    @property
    def best_ratio(self) -> float | None:
        """minidl's time over PyTorch's at its best settings."""
        return None if self.best is None else self.minidl / self.best


class Best:
    """PyTorch at its best settings: fused optimisers, and images as it likes them."""

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        fused = {name: partial(getattr(torch.optim, name), fused=True) for name in ("Adam", "AdamW", "SGD")}
        self.optim = SimpleNamespace(**fused)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._torch, name)


def _images(library: Any, x: Any) -> Any:
    """``x`` (N, C, H, W) in the layout that the library computes fastest with."""
    return x.contiguous(memory_format=library.channels_last) if isinstance(library, Best) else x


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
    return model.to(memory_format=library.channels_last) if isinstance(library, Best) else model


def _zero_biases(library: Any, model: Any) -> Any:
    """Vectors of a model set to 0, in either library."""
    with library.no_grad():
        for p in model.parameters():
            if p.ndim == 1:
                p.zero_()
    return model


def convnet(library: Any) -> Step:
    """A training step of the ConvNet: batch 64, cross-entropy, Adam."""
    nn = library.nn
    model = nn.Sequential(
        *(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(3136, 128), nn.ReLU(), nn.Linear(128, 10)),
    )
    x, y = _images(library, _tensor(library, (64, 1, 28, 28))), _classes(library, 64, 10)
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
    x = _images(library, _tensor(library, (16, 64, 28, 28))).requires_grad_()

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


def lstm(library: Any) -> Step:
    """Forward and backward of an LSTM: 128 steps, batch 32, 128 inputs, 256 hidden values."""
    layer = _zero_biases(library, _same_weights(library, library.nn.LSTM(128, 256)))
    x = _tensor(library, (128, 32, 128), grad=True)

    def step() -> float:
        loss = layer(x)[0].square().mean()
        loss.backward()
        layer.zero_grad()
        x.grad = None
        return loss.item()

    return step


def attention(library: Any, batch: int, heads: int, length: int, width: int = 64) -> Step:
    """Forward and backward of causal attention."""
    q, k, v = (_tensor(library, (batch, heads, length, width), seed=i, grad=True) for i in range(3))

    def step() -> float:
        loss = library.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True).square().mean()
        loss.backward()
        q.grad = k.grad = v.grad = None
        return loss.item()

    return step


def transformer(library: Any) -> Step:
    """A training step of a Transformer layer: batch 8, 128 tokens, width 256, 8 heads, feed-forward 1024, AdamW."""
    layer = library.nn.TransformerEncoderLayer(256, 8, 1024, dropout=0.0, batch_first=True)
    with library.no_grad():
        for i, p in enumerate(layer.parameters()):
            if p.ndim > 1:
                p.copy_(_tensor(library, p.shape, p.shape[1] ** -0.5, seed=i))
        layer.linear1.bias.zero_()
        layer.linear2.bias.zero_()
    optimizer = library.optim.AdamW(layer.parameters(), lr=1e-4)
    x, y = _tensor(library, (8, 128, 256)), _tensor(library, (8, 128, 256), seed=1)

    def step() -> float:
        optimizer.zero_grad()
        loss = (layer(x) - y).square().mean()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


# Each case, and the largest ratio to PyTorch's time that the numba backend is meant to keep.
CASES: dict[str, tuple[Callable[[Any], Step], float | None]] = {
    "ConvNet step": (convnet, 0.9),
    "residual block": (residual_block, 1.2),
    "tiny MLP step": (tiny_mlp, 0.6),
    "layer_norm + gelu": (layer_norm_gelu, 1.0),
    "cross-entropy": (cross_entropy, 0.5),
    "Adam, 10 M": (adam, 0.5),
    "LSTM": (lstm, 1.1),
    "attention, T 256": (partial(attention, batch=8, heads=8, length=256), 0.9),
    "attention, T 2048": (partial(attention, batch=1, heads=4, length=2048), 0.9),
    "Transformer layer + AdamW": (transformer, 1.0),
}
# The same for NumPy alone, and for the geometric mean of all cases.
NUMPY_GOALS = {"ConvNet step": 1.2, "residual block": 1.5, "tiny MLP step": 0.7, "Adam, 10 M": 1.0}
MEAN_GOALS = {"numba": 0.8, "numpy": 1.2}


def goal(name: str, backend: str) -> float | None:
    """The largest ratio that a case is meant to keep on a backend, if there is one."""
    return CASES[name][1] if backend == "numba" else NUMPY_GOALS.get(name)


def _training(library: Any, model: Any, optimizer: Any, criterion: Any, x: Any, y: Any) -> Step:
    _zero_biases(library, _same_weights(library, model))

    def step() -> float:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def libraries(against: str | None) -> dict[str, Any]:
    """What is timed: minidl, and with "torch" PyTorch as it comes and at its best."""
    if against is None:
        return {"minidl": minidl}
    torch = _torch()
    return {"minidl": minidl, "torch": torch, "best": Best(torch)}


class Here:
    """A case in this process: its first loss, and seconds a step."""

    def __init__(self, name: str, library: Any) -> None:
        self.step = CASES[name][0](library)
        self.first = self.step()

    def seconds(self, times: int) -> float:
        began = time.perf_counter()
        for _ in range(times):
            self.step()
        return (time.perf_counter() - began) / times

    def close(self) -> None:
        pass


class Apart:
    """A case in a process of its own (``minidl.bench.worker``), which waits while others run."""

    def __init__(self, name: str, library: str, backend: str) -> None:
        command = [sys.executable, "-m", "minidl.bench.worker", name, library, backend, str(THREADS)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.first = self._answer()

    def _answer(self) -> float:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.process.communicate()
            raise RuntimeError(f"the process that measures has ended with code {self.process.returncode}; see above")
        return float(line)

    def seconds(self, times: int) -> float:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{times}\n")
        return self._answer()

    def close(self) -> None:
        self.process.communicate()


def measure(
    name: str, against: str | None = None, repeats: int = 15, backend: str = "numpy", apart: bool = False
) -> Row:
    """Time one case, in blocks of steps of about a twentieth of a second, the libraries in turn.

    RuntimeError if their first losses differ.
    """
    runners: dict[str, Any] = {}
    try:
        for library, module in libraries(against).items():
            runners[library] = Apart(name, library, backend) if apart else Here(name, module)
        return _in_turn(name, runners, repeats, backend)
    finally:
        for runner in runners.values():
            runner.close()


def _in_turn(name: str, runners: dict[str, Any], repeats: int, backend: str) -> Row:
    ours = runners["minidl"]
    for other in runners.values():
        if not np.isclose(ours.first, other.first, rtol=1e-3):
            raise RuntimeError(
                f"{name}: minidl's loss {ours.first} is not PyTorch's {other.first}: there is nothing to compare"
            )
    blocks = {library: max(int(0.05 / max(runner.seconds(1), 1e-6)), 1) for library, runner in runners.items()}
    times: dict[str, list[float]] = {library: [] for library in runners}
    for _ in range(repeats):
        for library, runner in runners.items():
            time.sleep(PAUSE)
            times[library].append(runner.seconds(blocks[library]) * 1e3)
    mine = times["minidl"]
    low, middle, high = statistics.quantiles(mine, n=4) if repeats > 1 else (mine[0],) * 3
    theirs = {library: statistics.median(kept) for library, kept in times.items()}
    return Row(name, middle, (high - low) / 2, theirs.get("torch"), goal(name, backend), theirs.get("best"))


def run(
    against: str | None = None,
    cases: Sequence[str] | None = None,
    repeats: int = 15,
    backend: str = "numpy",
    apart: bool | None = None,
) -> list[Row]:
    """Measure the cases (all of them if None), print a table, and return its rows.

    ``against``: "torch" to time PyTorch eager beside minidl, both on two threads. ``apart``: whether each library has a
    process of its own; if None, with the numba backend.

    Raises:
        ValueError: another library, an unknown case or backend.
        ImportError: PyTorch or Numba is not there; says how to get it.
    """
    if against not in (None, "torch"):
        raise ValueError(f"minidl can be compared with 'torch', not with {against!r}")
    unknown = [name for name in cases or () if name not in CASES]
    if unknown:
        raise ValueError(f"unknown case {unknown[0]!r}; there are {', '.join(CASES)}")
    apart = backend == "numba" if apart is None else apart
    rows = []
    with minidl.use_backend(backend):
        libraries(against)
        set_num_threads(THREADS)
        for name in cases or CASES:
            rows.append(measure(name, against, repeats, backend, apart))
    _show(rows, backend, apart)
    return rows


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        raise ImportError(f"PyTorch is not installed; to compare with it: {how_to_install('torch==2.13.0')}") from None
    torch.set_num_threads(THREADS)
    return torch


def _show(rows: list[Row], backend: str, apart: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    how = "each library in a process of its own, one at a time" if apart else "in one process, the libraries in turn"
    table = Table(
        title=f"Milliseconds a step, {backend} backend, {THREADS} threads, medians; {how}",
        caption="best: PyTorch with channels_last and fused optimisers" if any(_ratios(rows)[1]) else None,
    )
    table.add_column("case", no_wrap=True)
    for column in ("minidl", "±", "torch", "ratio", "goal", "best", "ratio"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        times = (f"{row.minidl:.3g}", f"{row.spread:.2g}", _figure(row.torch), _figure(row.ratio, ".2f"))
        table.add_row(row.case, *times, str(row.target or ""), _figure(row.best), _figure(row.best_ratio, ".2f"))
    means = [geometric_mean([r for r in ratios if r]) if any(ratios) else None for ratios in _ratios(rows)]
    aim = str(MEAN_GOALS.get(backend, "")) if len(rows) == len(CASES) else ""
    table.add_row("geometric mean", "", "", "", _figure(means[0], ".2f"), aim, "", _figure(means[1], ".2f"))
    Console().print(table)


def _ratios(rows: list[Row]) -> tuple[list, list]:
    return [row.ratio for row in rows], [row.best_ratio for row in rows]


def _figure(value: float | None, how: str = ".3g") -> str:
    return "" if value is None else format(value, how)


if __name__ == "__main__":
    run("torch" if "torch" in sys.argv else None)
