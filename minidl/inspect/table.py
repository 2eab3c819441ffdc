"""A model as a table: layers, output shapes, parameters, operations, and the memory that training takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, overload

from minidl import creation, optim
from minidl.autograd.grad_mode import enable_grad
from minidl.autograd.walk import grad
from minidl.inspect import arguments, kept
from minidl.inspect.calls import Call, Followed, call, tensors_in, without_trace
from minidl.inspect.numbers import TensorSummary, axes, size_of, summarize
from minidl.inspect.states import small, state_bytes
from minidl.nn.module import Module
from minidl.tensor import Tensor

# What a step with each optimiser keeps is found by a step on one small parameter.
OPTIMIZERS: dict[str, tuple[type, dict[str, Any]]] = {
    "SGD": (optim.SGD, {}),
    "SGD with momentum": (optim.SGD, {"momentum": 0.9}),
    "RMSprop": (optim.RMSprop, {}),
    "Adagrad": (optim.Adagrad, {}),
    "Adam, AdamW": (optim.Adam, {}),
}


@dataclass
class Layer:
    """One call of a module: what belongs to it itself, not to the modules below it.

    ``parameters`` and ``frozen`` count values (``frozen``: those that do not require grad; a module called again has
    none the second time); ``flops`` and ``backward_flops`` operations; ``activations`` the bytes kept for backward.
    """

    path: str
    name: str
    depth: int
    shapes: list[tuple[int, ...]]
    parameters: int = 0
    frozen: int = 0
    flops: int = 0
    backward_flops: int = 0
    activations: int = 0
    kept: list[kept.Storage] = field(default_factory=list, repr=False)


@dataclass
class Memory:
    """The bytes that one training step keeps: ``parameters``, ``gradients``, ``buffers``, the ``optimizer`` states by
    optimiser, ``activations`` (computed on the way to the model's outputs and kept for backward: a loss function comes on top,
    as the ledger of a loss tells) and ``constants`` (kept for backward too, but given from outside the tape: the batch,
    masks). ``layers`` has the activations by layer, in the order of the calls."""

    parameters: int
    gradients: int
    buffers: int
    optimizers: dict[str, int]
    activations: int
    constants: int
    layers: list[Layer]

    def total(self, optimizer: str = "Adam, AdamW") -> int:
        """Bytes with one of ``optimizers``. KeyError for another name."""
        fixed = self.parameters + self.gradients + self.buffers + self.activations + self.constants
        return fixed + self.optimizers[optimizer]

    def __str__(self) -> str:
        from rich.table import Table

        table = Table("layer", "module", title="Activations kept for backward", title_justify="left")
        for column in ("bytes", "share"):
            table.add_column(column, justify="right")
        table.add_column("values")
        for layer in self.layers:
            if layer.activations:
                share = layer.activations / max(self.activations, 1)
                values = ", ".join(f"{_shape(s.shape)} {s.dtype}" for s in layer.kept)
                table.add_row(layer.path or "(model)", layer.name, size_of(layer.activations), f"{share:.0%}", values)
        return _text(table) + "\n".join(self.lines()) + "\n"

    __repr__ = __str__

    def lines(self) -> list[str]:
        """The totals, a line each."""
        states = "; ".join(f"{name} {size_of(n)}" for name, n in self.optimizers.items())
        return [
            f"activations {size_of(self.activations)}, up to the model's outputs (a loss function keeps its own), and "
            f"{size_of(self.constants)} given from outside (the batch, masks)",
            f"parameters {size_of(self.parameters)}, gradients {size_of(self.gradients)}, buffers {size_of(self.buffers)}",
            f"optimiser state: {states}",
            f"together, with Adam: {size_of(self.total())}",
        ]

    def plot(self, ax: Any = None) -> Any:
        """Draw a bar for each layer that keeps something; returns the Axes."""
        layers = [layer for layer in self.layers if layer.activations][::-1]
        ax = axes(ax, figsize=(7, 1 + 0.3 * max(len(layers), 1)))
        ax.barh([f"{layer.path or '(model)'}  {layer.name}" for layer in layers], [n.activations / 1e6 for n in layers])
        ax.set_xlabel("activations kept for backward, MB")
        return ax


@dataclass
class ModelSummary:
    """A model's layers and totals; prints as a table."""

    name: str
    layers: list[Layer]
    memory: Memory

    @property
    def parameters(self) -> int:
        return sum(layer.parameters for layer in self.layers)

    @property
    def trainable(self) -> int:
        """How many of the parameters require grad."""
        return self.parameters - sum(layer.frozen for layer in self.layers)

    @property
    def flops(self) -> int:
        """Operations of one forward."""
        return sum(layer.flops for layer in self.layers)

    @property
    def backward_flops(self) -> int:
        """Operations of one backward."""
        return sum(layer.backward_flops for layer in self.layers)

    def __str__(self) -> str:
        from rich.table import Table

        table = Table("layer", "module", "output", title=self.name, title_justify="left")
        for column in ("parameters", "FLOPs", "backward", "kept"):
            table.add_column(column, justify="right", no_wrap=True)
        for layer in self.layers:
            numbers = (layer.parameters, layer.flops, layer.backward_flops)
            cells = [f"{n:,}" if n else "" for n in numbers]
            path = "  " * max(layer.depth - 1, 0) + layer.path.rpartition(".")[2]
            shapes = ", ".join(map(_shape, layer.shapes))
            table.add_row(path, layer.name, shapes, *cells, size_of(layer.activations) if layer.activations else "")
        frozen = self.parameters - self.trainable
        told = f"{self.parameters:,} parameters" + (f", {frozen:,} of them frozen" if frozen else "")
        work = f"{_operations(self.flops)} forward, {_operations(self.backward_flops)} backward"
        return _text(table) + "\n".join([f"{told}; {work}", *self.memory.lines()]) + "\n"

    __repr__ = __str__


@overload
def summary(model: Module, input: Any) -> ModelSummary: ...


@overload
def summary(model: Tensor) -> TensorSummary: ...


def summary(model: Any, input: Any = None) -> Any:
    """Of a Tensor: shape, type, device, statistics and a histogram. Of a model with an input: its layers as a table.

    Args:
        model: a Tensor (or an array), or an nn.Module.
        input: what the model is called with: a Tensor; a tuple of several arguments; a dict of arguments by name.

    The model is run once, forward and backward, in the mode in which it is; buffers, gradients and the random numbers to
    come stay as they were. Operations are counted by ``minidl.costs``: a multiplication and an addition are two.

    Raises:
        TypeError: something else than a Tensor or a module; a module without an input.
    """
    if isinstance(model, Module):
        if input is None:
            raise TypeError("summary(model, input): a model needs an input to show shapes, operations and memory")
        layers, found = _run(model, input, count=True)
        return ModelSummary(type(model).__name__, layers, _memory(model, layers, found))
    if isinstance(model, Tensor) or kept.is_array(model):
        if input is not None:
            raise TypeError("summary(tensor) takes no input; with an input, the first argument must be an nn.Module")
        return summarize(model)
    raise TypeError(f"summary() takes a Tensor, or an nn.Module and an input, not {type(model).__name__}")


def memory(model: Module, input: Any) -> Memory:
    """Where the memory of a training step goes: the activations that each layer keeps for backward, and the rest.

    ``input`` as for :func:`summary`. What two layers keep is counted for the first. The model is left as it was.
    """
    arguments.module(model, "memory")
    layers, found = _run(model, input, count=False)
    return _memory(model, layers, found)


def _run(model: Module, input: Any, count: bool) -> tuple[list[Layer], list[kept.Storage]]:
    with without_trace(model), enable_grad(), Followed(model, count=count) as followed:
        outputs = [y for y in tensors_in(call(model, input)) if y.requires_grad]
        found = kept.storages(kept.operators(outputs), model, leaves="constant")
        layers = {c: _layer(c) for c in followed.calls}
        for storage in found:
            owner = followed.where(storage.holders[0].operator) if storage.holders else None
            if storage.kind == "activation" and owner is not None:
                layers[owner].activations += storage.nbytes
                layers[owner].kept.append(storage)
        leaves = [p for p in model.parameters() if p.requires_grad]
        if count and outputs and leaves:
            grad(outputs, leaves, [creation.ones_like(y) for y in outputs], allow_unused=True)
    _count_parameters(followed.calls, layers)
    for made, layer in layers.items():
        layer.flops, layer.backward_flops = made.flops, made.backward_flops
    return list(layers.values()), found


def _layer(made: Call) -> Layer:
    return Layer(made.path, made.name, made.depth, [tuple(y.shape) for y in tensors_in(made.output)])


def _count_parameters(calls: list[Call], layers: dict[Call, Layer]) -> None:
    """Each parameter once: at the first call of its module, or of the module above that was called."""
    called = {c.module: c for c in reversed(calls)}
    seen: set[int] = set()

    def visit(module: Module, nearest: Layer) -> None:
        nearest = layers[called[module]] if module in called else nearest
        for parameter in module._parameters.values():
            if parameter is not None and id(parameter) not in seen:
                seen.add(id(parameter))
                nearest.parameters += parameter._data.size
                nearest.frozen += 0 if parameter.requires_grad else parameter._data.size
        for child in module.children():
            visit(child, nearest)

    visit(calls[0].module, layers[calls[0]])


def _memory(model: Module, layers: list[Layer], found: list[kept.Storage]) -> Memory:
    parameters = list(model.parameters())
    trained = [p.nbytes for p in parameters if p.requires_grad]
    return Memory(
        sum(p.nbytes for p in parameters),
        sum(trained),
        sum(b.nbytes for b in model.buffers()),
        {name: state_bytes(kind([small()], **settings), trained) for name, (kind, settings) in OPTIMIZERS.items()},
        kept.total(found, "activation"),
        kept.total(found, "constant"),
        layers,
    )


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape)) if shape else "()"


def _operations(flops: int) -> str:
    for unit, factor in (("TFLOP", 1e12), ("GFLOP", 1e9), ("MFLOP", 1e6), ("kFLOP", 1e3)):
        if flops >= factor:
            return f"{flops / factor:.3g} {unit}"
    return f"{flops} FLOP"


def _text(table: Any, width: int = 140) -> str:
    from rich.console import Console

    console = Console(width=width, highlight=False, color_system=None)
    with console.capture() as captured:
        console.print(table)
    return captured.get()
