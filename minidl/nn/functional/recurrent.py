"""One layer of a recurrent network in one direction, over all time steps: what nn.RNN, nn.GRU and nn.LSTM are made of.

The inputs' share of every step is one product; the kernel does the steps; the weights' gradients are one product each.
"""

from __future__ import annotations

from typing import Any

from minidl import ops
from minidl.autograd.tape import Kept, Operator, apply
from minidl.backends import kernel, namespace
from minidl.tensor import Tensor

__all__: list[str] = []  # PyTorch has no such functions: the layers in nn are the way in


def _input_share(x: Any, w_ih: Any, bias: Any) -> Any:
    """x W_ihᵀ + bias for all steps: (T, B, gates · H)."""
    steps, batch, size = x.shape
    return kernel("matmul").forward(x.reshape(steps * batch, size), w_ih.T, bias).reshape(steps, batch, len(w_ih))


def _total(*biases: Any) -> Any:
    given = [b for b in biases if b is not None]
    return sum(given[1:], given[0]) if given else None


def _input_gradients(dxw: Any, x: Any, w_ih: Any) -> tuple[Any, Any]:
    """``∂x, ∂W_ih``."""
    multiply, rows = kernel("matmul").forward, dxw.reshape(-1, dxw.shape[-1])
    return multiply(rows, w_ih).reshape(x.shape), multiply(rows.T, x.reshape(-1, x.shape[-1]))


def _state_gradient(d: Any, y: Any, h0: Any) -> Any:
    """∂W_hh: each step's gradient with the state before it."""
    xp = namespace(y)
    before = xp.concatenate([xp.asarray(h0)[None].astype(y.dtype, copy=False), y[:-1]])
    return kernel("matmul").forward(d.reshape(-1, d.shape[-1]).T, before.reshape(-1, before.shape[-1]))


def _bias_gradients(d: Any, *biases: Any) -> list[Any]:
    total = d.reshape(-1, d.shape[-1]).sum(0)
    return [None if b is None else total for b in biases]


class RnnLayer(Operator):
    """h_t = f(x_t W_ihᵀ + b_ih + h_(t-1) W_hhᵀ + b_hh), from h0 on.  See minidl_kernels.rnn."""

    def __init__(self, nonlinearity: str) -> None:
        self.nonlinearity = nonlinearity

    def forward(self, x: Any, h0: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> Any:
        y = kernel("rnn").forward(_input_share(x, w_ih, _total(b_ih, b_hh)), h0, w_hh, self.nonlinearity)
        self.save(x, h0, w_ih, w_hh, b_ih, b_hh, y)
        return y

    def backward(self, g: Any) -> Any:
        x, h0, w_ih, w_hh, b_ih, b_hh, y = self.saved
        dxw, dh0 = kernel("rnn").backward(namespace(y).asarray(g), y, h0, w_hh, self.nonlinearity)
        dx, dw_ih = _input_gradients(dxw, x, w_ih)
        return dx, dh0, dw_ih, _state_gradient(dxw, y, h0), *_bias_gradients(dxw, b_ih, b_hh)

    def composite(self, x: Any, h0: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> Any:
        cell = lambda x, h: (rnn_cell(x, h, w_ih, w_hh, b_ih, b_hh, self.nonlinearity),)
        return ops.stack(steps(cell, x, (h0,))[0])


class GruLayer(Operator):
    """h_t = (1 - z) n + z h_(t-1), z and n from x_t W_ihᵀ + b_ih and h_(t-1) W_hhᵀ + b_hh, from h0 on.

    See minidl_kernels.gru.
    """

    gates, hn = Kept(), Kept()

    def forward(self, x: Any, h0: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> Any:
        y, self.gates, self.hn = kernel("gru").forward(_input_share(x, w_ih, b_ih), h0, w_hh, b_hh)
        self.save(x, h0, w_ih, w_hh, b_ih, b_hh, y)
        return y

    def backward(self, g: Any) -> Any:
        x, h0, w_ih, w_hh, b_ih, b_hh, y = self.saved
        dxw, dhw, dh0 = kernel("gru").backward(namespace(y).asarray(g), self.gates, self.hn, y, h0, w_hh)
        dx, dw_ih = _input_gradients(dxw, x, w_ih)
        biases = (*_bias_gradients(dxw, b_ih), *_bias_gradients(dhw, b_hh))
        return dx, dh0, dw_ih, _state_gradient(dhw, y, h0), *biases

    def composite(self, x: Any, h0: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> Any:
        return ops.stack(steps(lambda x, h: (gru_cell(x, h, w_ih, w_hh, b_ih, b_hh),), x, (h0,))[0])


class LstmLayer(Operator):
    """h_t, c_t = o ⊙ tanh c_t, f ⊙ c_(t-1) + i ⊙ n, i, f, o and n from x_t W_ihᵀ + b_ih + h_(t-1) W_hhᵀ + b_hh,
    from h0 and c0 on.

    All states and all cells; n is PyTorch's g. See minidl_kernels.lstm.
    """

    materialize = False
    gates = Kept()

    def forward(self, x: Any, h0: Any, c0: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> Any:
        y, c, self.gates = kernel("lstm").forward(_input_share(x, w_ih, _total(b_ih, b_hh)), h0, c0, w_hh)
        self.save(x, h0, c0, w_ih, w_hh, b_ih, b_hh, y, c)
        return y, c

    def backward(self, gy: Any, gc: Any) -> Any:
        x, h0, c0, w_ih, w_hh, b_ih, b_hh, y, c = self.saved
        xp = namespace(y)
        gy = xp.zeros_like(y) if gy is None else xp.asarray(gy)
        dxw, dh0, dc0 = kernel("lstm").backward(gy, None if gc is None else xp.asarray(gc), self.gates, c, c0, w_hh)
        dx, dw_ih = _input_gradients(dxw, x, w_ih)
        return dx, dh0, dc0, dw_ih, _state_gradient(dxw, y, h0), *_bias_gradients(dxw, b_ih, b_hh)

    def composite(self, x: Any, h0: Any, c0: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> Any:
        states = steps(lambda x, h, c: lstm_cell(x, h, c, w_ih, w_hh, b_ih, b_hh), x, (h0, c0))
        return tuple(ops.stack(s) for s in states)


# -------------------------------------------------------------------------------------------------- one step, composed


def steps(cell: Any, x: Any, state: tuple) -> tuple[list, ...]:
    """``state = cell(x[t], *state)`` for all steps; the lists of each part of the state."""
    seen = []
    for t in range(x.shape[0]):
        state = tuple(cell(x[t], *state))
        seen.append(state)
    return tuple(list(part) for part in zip(*seen))


def _linear(x: Any, w: Any, b: Any) -> Any:
    y = ops.matmul(x, w.mT)
    return y if b is None else y + b


def rnn_cell(x: Any, h: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, nonlinearity: str = "tanh") -> Any:
    """The next state (B, H) of a plain recurrence from x (B, I) and h (B, H)."""
    a = _linear(x, w_ih, b_ih) + _linear(h, w_hh, b_hh)
    return ops.tanh(a) if nonlinearity == "tanh" else ops.relu(a)


def gru_cell(x: Any, h: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> Any:
    """The next state (B, H) of a gated recurrent unit."""
    x_r, x_z, x_n = ops.chunk(_linear(x, w_ih, b_ih), 3, -1)
    h_r, h_z, h_n = ops.chunk(_linear(h, w_hh, b_hh), 3, -1)
    z = ops.sigmoid(x_z + h_z)
    n = ops.tanh(x_n + ops.sigmoid(x_r + h_r) * h_n)
    return n + z * (h - n)


def lstm_cell(x: Any, h: Any, c: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, w_hr: Any = None) -> tuple[Any, Any]:
    """The next state and cell of long short-term memory; with ``w_hr`` (P, H) the state is projected to P values."""
    i, f, g, o = ops.chunk(_linear(x, w_ih, b_ih) + _linear(h, w_hh, b_hh), 4, -1)
    c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
    h = ops.sigmoid(o) * ops.tanh(c)
    return (h if w_hr is None else ops.matmul(h, w_hr.mT)), c


# ------------------------------------------------------------------------------------------------------------ one layer


def rnn_layer(x: Tensor, h0: Tensor, weights: tuple, nonlinearity: str) -> Any:
    """All states (T, B, H) from x (T, B, I) and h0 (B, H); ``weights`` = (w_ih, w_hh, b_ih, b_hh), the last two or None."""
    return apply(RnnLayer(nonlinearity), x, h0, *weights)


def gru_layer(x: Tensor, h0: Tensor, weights: tuple) -> Any:
    """All states (T, B, H) from x (T, B, I) and h0 (B, H)."""
    return apply(GruLayer(), x, h0, *weights)


def lstm_layer(x: Tensor, h0: Tensor, c0: Tensor, weights: tuple, w_hr: Any = None) -> tuple[Any, Any]:
    """All states (T, B, H) and all cells, from x (T, B, I), h0 and c0 (B, H)."""
    if w_hr is None:
        return apply(LstmLayer(), x, h0, c0, *weights)
    w_ih, w_hh, b_ih, b_hh = weights
    states, cells = steps(lambda x, h, c: lstm_cell(x, h, c, w_ih, w_hh, b_ih, b_hh, w_hr), x, (h0, c0))
    return ops.stack(states), ops.stack(cells)
