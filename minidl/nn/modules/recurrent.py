"""Recurrent layers, in any number one over the other, in one direction or two; and their single steps."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

import minidl.nn.functional as F
from minidl import creation, ops
from minidl.nn import init
from minidl.nn.functional import recurrent
from minidl.nn.module import Module
from minidl.nn.parameter import Parameter
from minidl.nn.utils.rnn import PackedSequence, lengths_of, places
from minidl.tensor import raw, wrap

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNBase", "RNNCell", "RNNCellBase"]

_GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


class RNNBase(Module):
    """What the recurrent layers share.

    Shapes: input (T, B, input_size), (B, T, input_size) with ``batch_first``, (T, input_size), or a PackedSequence; output
    alike with D · H values, D directions; states (num_layers · D, B, H).

    Args:
        input_size, hidden_size: I and H.
        num_layers: how many layers, each over the outputs of the one below.
        bias: with ``bias_ih`` and ``bias_hh``.
        batch_first: the batch is the first dimension of input and output (not of the states).
        dropout: between the layers, in training.
        bidirectional: with a second set of layers that read backwards; both outputs side by side.
        proj_size: (LSTM) the state is projected to so many values.

    Parameters of layer k: ``weight_ih_lk`` (gates · H, I), ``weight_hh_lk`` (gates · H, H), ``bias_ih_lk``, ``bias_hh_lk``,
    and ``weight_hr_lk`` (proj_size, H); those of the other direction end in ``_reverse``. All uniform in ±1/√H at first.
    """

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        _check_dropout(dropout, num_layers)
        _check_settings(input_size, hidden_size, num_layers, bias, batch_first, proj_size)
        self.mode, self.input_size, self.hidden_size, self.num_layers = mode, input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, float(dropout)
        self.bidirectional, self.proj_size = bidirectional, proj_size
        self.directions = 2 if bidirectional else 1
        gates, out = _GATES[mode] * hidden_size, proj_size or hidden_size
        self._names: list[list[str]] = []
        for layer in range(num_layers):
            for direction in range(self.directions):
                suffix = f"l{layer}" + ("_reverse" if direction else "")
                below = input_size if layer == 0 else out * self.directions
                shapes = {f"weight_ih_{suffix}": (gates, below), f"weight_hh_{suffix}": (gates, out)}
                if bias:
                    shapes |= {f"bias_ih_{suffix}": (gates,), f"bias_hh_{suffix}": (gates,)}
                if proj_size:
                    shapes[f"weight_hr_{suffix}"] = (proj_size, hidden_size)
                for name, shape in shapes.items():
                    self.register_parameter(name, Parameter(creation.empty(shape, device=device, dtype=dtype)))
                self._names.append(list(shapes))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the initial values."""
        bound = 1 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def flatten_parameters(self) -> None:
        """Nothing: PyTorch's hint to cuDNN."""

    @property
    def all_weights(self) -> list[list[Any]]:
        """The parameters of each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._names]

    def extra_repr(self) -> str:
        shown = {
            "proj_size": (self.proj_size, 0),
            "num_layers": (self.num_layers, 1),
            "bias": (self.bias, True),
            "batch_first": (self.batch_first, False),
            "dropout": (self.dropout, 0),
            "bidirectional": (self.bidirectional, False),
        }
        given = "".join(f", {k}={v}" for k, (v, usual) in shown.items() if v != usual)
        return f"{self.input_size}, {self.hidden_size}{given}"

    # ---------------------------------------------------------------------------------------------------------- forward

    def _run(self, input: Any, states: tuple[Any, ...] | None) -> tuple[Any, tuple[Any, ...]]:
        """Output, and the final states (num_layers · D, B, H) of each kind, in the form of the input."""
        packed = input if isinstance(input, PackedSequence) else None
        x, lengths, single = self._unwrapped(input)
        begun = self._checked_states(x, states, single, packed)
        finals: list[list[Any]] = [[] for _ in begun]
        for layer in range(self.num_layers):
            outputs = []
            for direction in range(self.directions):
                number = layer * self.directions + direction
                back = _reversal(x.shape[0], lengths) if direction else None
                y, final = self._layer(number, _turned(x, back), [s[number] for s in begun], lengths)
                outputs.append(_turned(y, back))
                for kept, state in zip(finals, final):
                    kept.append(state)
            x = outputs[0] if len(outputs) == 1 else ops.cat(outputs, -1)
            if self.dropout and layer < self.num_layers - 1:
                x = F.dropout(x, self.dropout, self.training)
        return self._wrapped(x, [ops.stack(kept) for kept in finals], lengths, single, packed)

    def _layer(self, number: int, x: Any, states: list[Any], lengths: Any) -> tuple[Any, list[Any]]:
        """One layer in one direction: all outputs, and the states after each sequence's last step."""
        raise NotImplementedError

    def _weights(self, number: int) -> tuple[Any, Any, Any, Any]:
        names = self._names[number]
        return (
            tuple(getattr(self, n) for n in names[:4])
            if self.bias
            else (*(getattr(self, n) for n in names[:2]), None, None)
        )

    def _unwrapped(self, input: Any) -> tuple[Any, Any, bool]:
        """The input as (T, B, I), the lengths of its sequences or None, and whether it was a single sequence."""
        if isinstance(input, PackedSequence):
            lengths = lengths_of(raw(input.batch_sizes))
            step, which = places(lengths, int(lengths[0]))
            padded = creation.zeros((int(lengths[0]), len(lengths), *input.data.shape[1:]), dtype=input.data.dtype)
            padded = ops.index_put(padded.to(input.data.device), (wrap(step), wrap(which)), input.data)
            self._check_size(padded, input.data.shape)
            return padded, lengths, False
        if input.ndim not in (2, 3):
            raise ValueError(f"{self.mode}: Expected input to be 2D or 3D, got {input.ndim}D instead")
        self._check_size(input, input.shape)
        if input.ndim == 2:
            return input.unsqueeze(1), None, True
        return (input.transpose(0, 1) if self.batch_first else input), None, False

    def _check_size(self, x: Any, shape: Any) -> None:
        if x.shape[-1] != self.input_size:
            raise RuntimeError(
                f"{self.mode}: input.size(-1) must be equal to input_size. Expected {self.input_size}, got {x.shape[-1]}: "
                f"input {list(shape)}"
            )
        if x.shape[1 if x.ndim == 3 and self.batch_first else 0] == 0:
            raise RuntimeError(f"{self.mode}: Expected sequence length to be larger than 0 in RNN, input {list(shape)}")
        parameter = getattr(self, self._names[0][0])
        if x.dtype != parameter.dtype:
            raise ValueError(
                f"{self.mode}: RNN input dtype ({x.dtype}) does not match weight dtype ({parameter.dtype})"
            )

    def _checked_states(self, x: Any, states: Any, single: bool, packed: Any) -> list[Any]:
        sizes = [self.proj_size or self.hidden_size, self.hidden_size][: 2 if self.mode == "LSTM" else 1]
        count, batch = self.num_layers * self.directions, x.shape[1]
        if states is None:
            return [creation.zeros((count, batch, n), dtype=x.dtype, device=x.device) for n in sizes]
        checked = []
        for position, (state, size) in enumerate(zip(states, sizes)):
            expected = (count, size) if single else (count, batch, size)
            if tuple(state.shape) != expected:
                what = f"hidden[{position}] size" if len(sizes) == 2 else "hidden size"
                raise RuntimeError(f"{self.mode}: Expected {what} {expected}, got {list(state.shape)}")
            if state.dtype != x.dtype:
                raise RuntimeError(
                    f"{self.mode}: input and hidden must have the same dtype, but got {x.dtype} and {state.dtype}"
                )
            state = state.unsqueeze(1) if single else state
            if packed is not None and packed.sorted_indices is not None:
                state = ops.index_select(state, 1, packed.sorted_indices)
            checked.append(state)
        return checked

    def _wrapped(self, y: Any, states: list[Any], lengths: Any, single: bool, packed: Any) -> tuple[Any, tuple]:
        if packed is not None:
            step, which = places(lengths, int(lengths[0]))
            data = y[wrap(step), wrap(which)]
            if packed.unsorted_indices is not None:
                states = [ops.index_select(s, 1, packed.unsorted_indices) for s in states]
            return PackedSequence(data, *packed[1:]), tuple(states)
        if single:
            return y.squeeze(1), tuple(s.squeeze(1) for s in states)
        return (y.transpose(0, 1) if self.batch_first else y), tuple(states)


def _check_dropout(dropout: Any, num_layers: int) -> None:
    if not isinstance(dropout, (int, float)) or isinstance(dropout, bool) or not 0 <= dropout <= 1:
        raise ValueError(
            "dropout should be a number in range [0, 1] representing the probability of an element being zeroed, got "
            f"{dropout!r}"
        )
    if dropout > 0 and num_layers == 1:
        warnings.warn(
            "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects num_layers "
            f"greater than 1, but got dropout={dropout} and num_layers={num_layers}",
            stacklevel=4,
        )


def _refuse_projection(name: str, proj_size: Any) -> None:
    if proj_size is not None:
        raise ValueError(f"{name}: proj_size is only supported for LSTM, got {proj_size}")


def _check_settings(
    input_size: Any, hidden_size: Any, num_layers: int, bias: Any, batch_first: Any, proj_size: int
) -> None:
    for name, value, kind in (
        ("bias", bias, bool),
        ("batch_first", batch_first, bool),
        ("input_size", input_size, int),
        ("hidden_size", hidden_size, int),
    ):
        if not isinstance(value, kind):
            raise TypeError(f"{name} should be of type {kind.__name__}, got: {type(value).__name__}")
        if kind is int and value <= 0:
            raise ValueError(f"{name} must be greater than zero, got {value}")
    if num_layers <= 0:
        raise ValueError(f"num_layers must be greater than zero, got {num_layers}")
    if proj_size < 0:
        raise ValueError("proj_size should be a positive integer or zero to disable projections")
    if proj_size >= hidden_size:
        raise ValueError("proj_size has to be smaller than hidden_size")


def _reversal(steps: int, lengths: Any) -> Any:
    """For each step and sequence the step that it changes places with; the padding stays where it is."""
    if lengths is None:
        return np.arange(steps)[::-1].copy()
    step = np.arange(steps)[:, None]
    return np.where(step < lengths, lengths - 1 - step, step)


def _turned(x: Any, back: Any) -> Any:
    """x (T, B, *) in the order of steps ``back``; as it is if that is None."""
    if back is None:
        return x
    if back.ndim == 1:
        return ops.flip(x, (0,))
    return x[wrap(back), wrap(np.arange(x.shape[1]))]


def _last(states: Any, lengths: Any) -> Any:
    """The state (B, H) after each sequence's last step."""
    if lengths is None:
        return states[-1]
    return states[wrap(lengths - 1), wrap(np.arange(len(lengths)))]


class RNN(RNNBase):
    """Elman's recurrent layer: h_t = f(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh), f tanh or relu. Arguments: see RNNBase.

    ``RNN(input_size, hidden_size, num_layers=1, nonlinearity="tanh", bias=True, batch_first=False, dropout=0.0,
    bidirectional=False)``; returns ``output, h_n``.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        proj_size: Any = None,
    ) -> None:
        _refuse_projection("RNN", proj_size)
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        settings = (num_layers, bias, batch_first, dropout, bidirectional, 0, device, dtype)
        super().__init__("RNN", input_size, hidden_size, *settings)
        self.nonlinearity = nonlinearity

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        y, (h,) = self._run(input, None if hx is None else (hx,))
        return y, h

    def _layer(self, number: int, x: Any, states: list[Any], lengths: Any) -> tuple[Any, list[Any]]:
        y = recurrent.rnn_layer(x, states[0], self._weights(number), self.nonlinearity)
        return y, [_last(y, lengths)]


class GRU(RNNBase):
    """Gated recurrent units (Cho et al. 2014); weights in the order r, z, n. Arguments: see RNNBase.

    r = σ(W_ir x + b_ir + W_hr h + b_hr), z likewise, n = tanh(W_in x + b_in + r ⊙ (W_hn h + b_hn)), h ← (1 - z) n + z h.
    Returns ``output, h_n``.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        proj_size: Any = None,
    ) -> None:
        _refuse_projection("GRU", proj_size)
        settings = (num_layers, bias, batch_first, dropout, bidirectional, 0, device, dtype)
        super().__init__("GRU", input_size, hidden_size, *settings)

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        y, (h,) = self._run(input, None if hx is None else (hx,))
        return y, h

    def _layer(self, number: int, x: Any, states: list[Any], lengths: Any) -> tuple[Any, list[Any]]:
        y = recurrent.gru_layer(x, states[0], self._weights(number))
        return y, [_last(y, lengths)]


class LSTM(RNNBase):
    """Long short-term memory (Hochreiter & Schmidhuber 1997); weights in the order i, f, g, o. Arguments: see RNNBase.

    i, f, o = σ(W x + b + U h + d), g = tanh(…), c ← f c + i g, h ← o tanh c; with ``proj_size`` (Sak et al. 2014) h ← W_hr h.
    Returns ``output, (h_n, c_n)``.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        settings = (num_layers, bias, batch_first, dropout, bidirectional, proj_size, device, dtype)
        super().__init__("LSTM", input_size, hidden_size, *settings)

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, tuple[Any, Any]]:
        y, (h, c) = self._run(input, hx)
        return y, (h, c)

    def _layer(self, number: int, x: Any, states: list[Any], lengths: Any) -> tuple[Any, list[Any]]:
        projection = getattr(self, self._names[number][-1]) if self.proj_size else None
        y, c = recurrent.lstm_layer(x, states[0], states[1], self._weights(number), projection)
        return y, [_last(y, lengths), _last(c, lengths)]


# --------------------------------------------------------------------------------------------------------- single steps


class RNNCellBase(Module):
    """One step of a recurrence: input (B, input_size) or (input_size,), state (B, hidden_size)."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool, num_chunks: int, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        rows = num_chunks * hidden_size
        self.weight_ih = Parameter(creation.empty((rows, input_size), device=device, dtype=dtype))
        self.weight_hh = Parameter(creation.empty((rows, hidden_size), device=device, dtype=dtype))
        for name in ("bias_ih", "bias_hh"):
            values = Parameter(creation.empty(rows, device=device, dtype=dtype)) if bias else None
            self.register_parameter(name, values)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the initial values."""
        bound = 1 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def extra_repr(self) -> str:
        kind = getattr(self, "nonlinearity", "tanh")
        shown = "" if self.bias else f", bias={self.bias}"
        return f"{self.input_size}, {self.hidden_size}{shown}" + ("" if kind == "tanh" else f", nonlinearity={kind}")

    def _weights(self) -> tuple[Any, Any, Any, Any]:
        return self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh

    def _prepared(self, input: Any, states: tuple | None, count: int) -> tuple[Any, list[Any], bool]:
        """Input and states as (B, …), and whether they were without a batch."""
        name = type(self).__name__
        if input.ndim not in (1, 2):
            raise ValueError(f"{name}: Expected input to be 1D or 2D, got {input.ndim}D instead")
        single = input.ndim == 1
        for state in states or ():
            if state.ndim not in (1, 2):
                raise ValueError(f"{name}: Expected hidden to be 1D or 2D, got {state.ndim}D instead")
        x = input.unsqueeze(0) if single else input
        if x.shape[-1] != self.input_size:
            raise RuntimeError(
                f"{name}: input has inconsistent input_size: got {x.shape[-1]}, expected {self.input_size}"
            )
        if states is None:
            zeros = creation.zeros((x.shape[0], self.hidden_size), dtype=x.dtype, device=x.device)
            return x, [zeros] * count, single
        hs = [s.unsqueeze(0) if single else s for s in states]
        for h in hs:
            if tuple(h.shape[1:]) != (self.hidden_size,):
                raise RuntimeError(
                    f"{name}: hidden has inconsistent hidden_size: got {list(h.shape[1:])}, expected {self.hidden_size}"
                )
            if h.shape[0] != x.shape[0]:
                raise RuntimeError(
                    f"{name}: Input batch size {x.shape[0]} doesn't match hidden batch size {h.shape[0]}"
                )
        return x, hs, single


class RNNCell(RNNCellBase):
    """h' = tanh (or relu) of W_ih x + b_ih + W_hh h + b_hh."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Any, hx: Any = None) -> Any:
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        x, (h,), single = self._prepared(input, None if hx is None else (hx,), 1)
        h = recurrent.rnn_cell(x, h, *self._weights(), self.nonlinearity)
        return h.squeeze(0) if single else h


class GRUCell(RNNCellBase):
    """One step of :class:`GRU`."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Any, hx: Any = None) -> Any:
        x, (h,), single = self._prepared(input, None if hx is None else (hx,), 1)
        h = recurrent.gru_cell(x, h, *self._weights())
        return h.squeeze(0) if single else h


class LSTMCell(RNNCellBase):
    """One step of :class:`LSTM`: takes and returns ``(h, c)``."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        x, (h, c), single = self._prepared(input, hx, 2)
        h, c = recurrent.lstm_cell(x, h, c, *self._weights())
        return (h.squeeze(0), c.squeeze(0)) if single else (h, c)
