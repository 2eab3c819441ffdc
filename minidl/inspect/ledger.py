"""The memory ledger: what backward keeps alive, who holds it, how much that is at its worst, and what would help.

with inspect.trace():                        # for lines, and for modules to checkpoint; without it, neither is known
    loss = criterion(model(x), y)
book = inspect.ledger(loss, names=model)
print(book)
print(book.checkpointing())
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minidl.autograd.tape import Operator
from minidl.inspect import arguments, kept, peak
from minidl.inspect.numbers import axes, size_of
from minidl.inspect.segments import Checkpointing, suggest
from minidl.inspect.states import state_bytes
from minidl.nn.module import Module
from minidl.tensor import Tensor


@dataclass
class Ledger:
    """What :func:`ledger` found.

    ``entries`` are the storages, largest first. Bytes: ``parameters`` (those that take part), ``activations`` (computed on the
    tape, from the input to the loss: of the model's outputs, what :func:`minidl.inspect.memory` and ``summary`` tell),
    ``constants`` (kept for backward, but given from outside: the batch, targets, masks, buffers); ``kept``, the three
    together, is what is alive when backward begins. ``forward`` and ``backward`` are the predicted timelines, whose ``peak``
    is the worst; all count parameters and constants in. ``states`` is what the optimiser keeps.

    The prediction walks over the tape as backward does, and knows the temporaries of the reference kernels
    (minidl.inspect.workspace). It does not know what else the program holds: a list of outputs, another model.
    """

    entries: list[kept.Storage]
    operators: list[Operator]
    forward: peak.Timeline
    backward: peak.Timeline
    gradients: int
    states: int
    _roots: list[Tensor]

    @property
    def parameters(self) -> int:
        return kept.total(self.entries, "parameter")

    @property
    def activations(self) -> int:
        return kept.total(self.entries, "activation")

    @property
    def constants(self) -> int:
        return kept.total(self.entries, "constant") + kept.total(self.entries, "buffer")

    @property
    def kept(self) -> int:
        return kept.total(self.entries)

    @property
    def peak_backward(self) -> int:
        """Predicted bytes at the worst moment of backward."""
        return self.backward.peak

    @property
    def peak_step(self) -> int:
        """Predicted bytes at the worst moment of a training step: forward, backward or update, with the optimiser's states,
        and gradients set to None before it."""
        lasting = sum(
            s.nbytes for s in self.entries if s.kind != "activation" or not all(h.released for h in s.holders)
        )
        return self.states + max(self.forward.peak, self.backward.peak, lasting + self.gradients)

    def checkpointing(self) -> Checkpointing:
        """Which modules to wrap in ``minidl.utils.checkpoint``, and what that would save.

        RuntimeError without a trace, from which alone it is known which module an operator ran in.
        """
        return suggest(self._roots, self.operators, self.entries, self.backward)

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(width=150, highlight=False, color_system=None)
        with console.capture() as captured:
            console.print(self.table())
        return captured.get() + "\n".join(self.lines()) + "\n"

    __repr__ = __str__

    def table(self, rows: int = 20) -> Any:
        """The largest entries as a table of rich's."""
        from rich.table import Table

        table = Table(title=f"Kept alive for backward: {size_of(self.kept)}", title_justify="left")
        for column in ("bytes", "kind", "shape", "what", "held by", "line"):
            table.add_column(column, justify="right" if column == "bytes" else "left")
        for entry in self.entries[:rows]:
            holders = ", ".join(f"{h.name} ({h.role})" for h in entry.holders[:4])
            more = len(entry.holders) - 4
            table.add_row(
                *(size_of(entry.nbytes), entry.kind, " × ".join(map(str, entry.shape)) or "()", entry.name),
                holders + (f" and {more} more" if more > 0 else ""),
                next((h.line for h in entry.holders if h.line), ""),
            )
        if len(self.entries) > rows:
            rest = sum(entry.nbytes for entry in self.entries[rows:])
            table.add_row(size_of(rest), "", "", f"{len(self.entries) - rows} smaller ones")
        return table

    def lines(self) -> list[str]:
        """The totals in words."""
        views = sum(entry.views > 0 for entry in self.entries)
        worst = self.backward.at
        told = [
            f"activations {size_of(self.activations)} (of all that was computed, the loss function's too), parameters that "
            f"take part {size_of(self.parameters)}, given from outside (the batch, targets, masks) {size_of(self.constants)}; "
            f"{len(self.entries)} pieces of memory, {views} of them seen through views",
            f"predicted peak of backward {size_of(self.peak_backward)}"
            + (f", in the rule of {worst.name}" if worst is not None else "")
            + f"; of a training step {size_of(self.peak_step)} (optimiser state {size_of(self.states)})",
        ]
        if any(operator.name == "Segment" for operator in self.operators):
            told.append("checkpointed segments are in this graph: what they compute again is not in the prediction")
        if not any("seen" in operator.__dict__ for operator in self.operators):
            told.append("lines and modules are not known: compute the loss inside inspect.trace()")
        return told

    def plot(self, ax: Any = None) -> Any:
        """Draw the bytes alive while forward and backward pass; returns the Axes."""
        ax = axes(ax, figsize=(8, 4))
        n = len(self.forward.alive)
        back = n + np.arange(len(self.backward.alive))
        ax.fill_between(np.arange(n), np.array(self.forward.alive) / 1e6, alpha=0.5, label="forward")
        ax.fill_between(back, np.array(self.backward.alive) / 1e6, alpha=0.5, label="backward")
        ax.axhline(self.parameters / 1e6, color="grey", linestyle=":", label="parameters")
        ax.set_xlabel("operators, in the order in which they run")
        ax.set_ylabel("alive, MB (predicted)")
        ax.legend()
        return ax


def ledger(
    loss: Tensor | Sequence[Tensor], names: Module | Mapping[str, Tensor] | None = None, optimizer: Any = None
) -> Ledger:
    """What the graph behind ``loss`` keeps alive for backward, and the memory that backward and a step will take.

    Args:
        loss: the Tensor (or several) from which backward would start. It is not started: nothing is computed or freed.
        names: a module, or names of leaves, to tell parameters by.
        optimizer: whose state is to be counted into a training step.

    Raises:
        TypeError, RuntimeError: not a Tensor; no graph; a graph that a backward has freed already.
    """
    roots = arguments.graphs(loss, "ledger")
    names = arguments.names(names, "ledger")
    if optimizer is not None:
        arguments.optimizer(optimizer, "ledger")
    ops = kept.operators(roots)
    freed = next((operator for operator in ops if operator._saved is None), None)
    if freed is not None:
        raise RuntimeError(
            f"ledger: backward has passed over this graph and freed what {freed.name} kept; compute the loss again, or pass "
            "retain_graph=True to that backward"
        )
    found = kept.storages(ops, names)
    gradients = sum({id(t): t.nbytes for t in _leaves(ops)}.values())
    return Ledger(
        sorted(found, key=lambda storage: -storage.nbytes),
        ops,
        peak.forward(ops, found),
        peak.Backward(roots, found).line,
        gradients,
        0 if optimizer is None else state_bytes(optimizer),
        roots,
    )


def _leaves(ops: list[Operator]) -> list[Tensor]:
    return [e[0] for operator in ops for e in operator.edges if e is not None and isinstance(e[0], Tensor)]
