"""What the gates of recurrent layers did at every step: input, forget, cell and output of LSTM, reset and update of GRU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from minidl.autograd.grad_mode import no_grad
from minidl.inspect import arguments
from minidl.inspect.calls import Call, Followed, call, without_trace
from minidl.inspect.numbers import axes, mean_known, on_host, pick
from minidl.nn.module import Module
from minidl.nn.modules.recurrent import GRU, LSTM, RNNBase
from minidl.nn.utils.rnn import PackedSequence, lengths_of
from minidl.tensor import raw

# In the order in which the kernels keep them.
NAMES = {"LstmLayer": ("input", "forget", "cell", "output"), "GruLayer": ("reset", "update", "new")}


@dataclass
class GateLayer:
    """The gates of one layer in one direction, over time.

    ``values``: arrays (T, B, H) by name. LSTM: "input", "forget" and "output" in (0, 1), "cell", the candidate g in (-1, 1),
    "cell_state" c_t and "hidden" h_t. GRU: "reset" and "update" in (0, 1), "new", the candidate n in (-1, 1), "hidden".
    In the second direction, ``reverse``, time runs as in the input: index t is the step that read x_t. Of packed sequences
    they stand in the order in which they were before packing, NaN after each one's end.
    """

    path: str
    kind: str
    layer: int
    reverse: bool
    values: dict[str, np.ndarray]

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.values:
            raise KeyError(f"a layer of {self.kind} has {', '.join(self.values)}, not {name!r}")
        return self.values[name]

    @property
    def title(self) -> str:
        where = f"{self.path} " if self.path else ""
        return f"{where}{self.kind} layer {self.layer}" + (", backwards" if self.reverse else "")


@dataclass
class Gates:
    """The gates of every recurrent layer that ran, in order: ``gates["forget"]`` is the first layer's."""

    layers: list[GateLayer]

    def __getitem__(self, name: str | int) -> Any:
        return pick(self.layers, name, "layer") if isinstance(name, int) else self.layers[0][name]

    def __len__(self) -> int:
        return len(self.layers)

    def __repr__(self) -> str:
        lines = []
        for layer in self.layers:
            means = "  ".join(f"{name} {mean_known(value):.3g}" for name, value in layer.values.items())
            lines.append(f"{layer.title} (T, B, H) = {layer.values['hidden'].shape}; means: {means}")
        return "\n".join(lines)

    def plot(self, ax: Any = None, layer: int = 0, sequence: int = 0) -> Any:
        """Draw one layer's gates for one sequence: a heat map each, units over time; returns the Figure.

        With ``ax``, the means over all units as lines on it; returns the Axes.
        """
        shown = pick(self.layers, layer, "layer")
        if ax is not None:
            for name, value in shown.values.items():
                ax.plot(
                    pick(value.swapaxes(0, 1), sequence, "sequence").mean(1),
                    label=name,
                    marker="." if len(value) == 1 else None,
                )
            ax.set_xlabel("step")
            ax.set_title(shown.title)
            ax.legend()
            return ax
        return _heat_maps(shown, sequence)


def _heat_maps(shown: GateLayer, sequence: int) -> Any:
    panels = axes(None, nrows=len(shown.values), sharex=True, figsize=(8, 1.5 * len(shown.values)))
    for panel, (name, value) in zip(panels, shown.values.items()):
        units = pick(value.swapaxes(0, 1), sequence, "sequence").T
        signed = name in ("cell", "new", "hidden", "cell_state")
        most = max(1.0, float(np.nanmax(np.abs(units), initial=0))) if name == "cell_state" else 1.0
        limits = (
            {"cmap": "coolwarm", "vmin": -most, "vmax": most} if signed else {"cmap": "viridis", "vmin": 0, "vmax": 1}
        )
        image = panel.imshow(units, aspect="auto", interpolation="nearest", **limits)
        panel.set_ylabel(name)
        panel.figure.colorbar(image, ax=panel)
    panels[0].set_title(shown.title)
    panels[-1].set_xlabel("step")
    return panels[0].figure


def gates(model: Module, input: Any) -> Gates:
    """Run a model, or a layer, and note the gates of every LSTM and GRU in it, at every step.

    Args:
        model: an nn.LSTM, an nn.GRU, or a model with some inside.
        input: what it is called with; a tuple of several arguments, such as ``(x, (h0, c0))``, a dict of named ones.

    Returns:
        The gates as they were computed: the kernels' own values.

    Raises:
        ValueError: no LSTM or GRU ran; an LSTM with ``proj_size``, whose gates are not kept.
    """
    arguments.module(model, "gates")
    found: list[tuple[Call, GateLayer]] = []
    counts: dict[Call, int] = {}

    def note(where: Call, operator: Any, arrays: tuple, result: Any) -> None:
        if operator.name in NAMES:
            number = counts[where] = counts.get(where, -1) + 1
            found.append((where, _layer(where, number, operator, result)))

    with without_trace(model), no_grad(), Followed(model, rule=note) as followed:
        call(model, input)
    if not found:
        for made in followed.calls:
            if isinstance(made.module, LSTM) and made.module.proj_size:
                raise ValueError(
                    f"gates: {made.path or 'this LSTM'} has proj_size={made.module.proj_size}; such a layer computes step by "
                    "step and keeps no gates. Look at one without a projection."
                )
        raise ValueError(f"gates: no LSTM or GRU ran in this {type(model).__name__}")
    for where, layer in found:
        packed = where.output[0] if isinstance(where.output, tuple) else None
        if isinstance(packed, PackedSequence):
            _unpack(layer, packed)
        elif layer.reverse:
            layer.values = {name: value[::-1] for name, value in layer.values.items()}
    return Gates([layer for _, layer in found])


def _unpack(layer: GateLayer, packed: PackedSequence) -> None:
    """Put the gates of packed sequences in the order of the sequences' own steps, and the sequences in that of the batch."""
    lengths = lengths_of(raw(packed.batch_sizes))
    for name, value in layer.values.items():
        step = np.arange(len(value))[:, None]
        inside = step < lengths
        read = np.where(inside, lengths - 1 - step, step) if layer.reverse else step
        ordered = np.where(inside[..., None], np.take_along_axis(value, read[..., None], 0), np.nan)
        layer.values[name] = (
            ordered if packed.unsorted_indices is None else ordered[:, on_host(raw(packed.unsorted_indices))]
        )


def _layer(where: Call, number: int, operator: Any, result: Any) -> GateLayer:
    module = where.module
    directions = module.directions if isinstance(module, RNNBase) else 1
    gates, names = on_host(operator.gates), NAMES[operator.name]
    values = dict(zip(names, np.split(gates.copy(), len(names), -1)))
    if operator.name == "LstmLayer":
        values["cell_state"] = on_host(result[1]).copy()
    values["hidden"] = on_host(result[0] if isinstance(result, tuple) else result).copy()
    kind = {LSTM: "LSTM", GRU: "GRU"}.get(type(module), type(module).__name__)
    return GateLayer(where.path, kind, number // directions, number % directions == 1, values)
