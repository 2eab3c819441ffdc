"""What is measured: for each room the calls, at several sizes, and the same in PyTorch.

A builder takes :class:`Arrays` and the numbers of one size, and yields for each operation ``(operation, flops, nbytes,
ours, theirs)``: ``ours(kernel)`` gives the work as the room's module does it, ``theirs(peer)`` as PyTorch does. The cost of
forward is the room's own; that of backward counts what its formula reads, writes and computes.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from minidl import backends

Work = Callable[[], Any]
Built = Iterator[tuple[str, int, int, Callable[[Any], Work], Callable[[Any], Work] | None]]


@dataclass(frozen=True)
class Case:
    """One operation of a room at one size. ``elements`` is the size as one number, for plots."""

    room: str
    operation: str
    size: str
    elements: int
    dtype: str
    flops: int
    nbytes: int
    ours: Callable[[Any], Work]
    theirs: Callable[[Any], Work] | None


class Arrays:
    """Makes operands: normal values from a fixed seed, of one library and type."""

    def __init__(self, xp: Any = np, dtype: str = "float32") -> None:
        self.xp = xp
        self.dtype = np.dtype(importlib.import_module("ml_dtypes").bfloat16 if dtype == "bfloat16" else dtype)
        self.item = self.dtype.itemsize
        self._random = np.random.default_rng(0)

    def normal(self, *shape: int, scale: float = 1.0) -> Any:
        values = self._random.standard_normal(shape, np.float32) * np.float32(scale)
        return self.xp.asarray(values.astype(self.dtype))

    def images(self, n: int, channels: int, *size: int) -> Any:
        """Normal values (N, C, H, W), channels innermost in memory, as the engine's own convolutions leave them."""
        return self.xp.moveaxis(self.normal(n, *size, channels), -1, 1)

    def below(self, high: int, *shape: int) -> Any:
        return self.xp.asarray(self._random.integers(0, high, shape))

    def zeros(self, *shape: int) -> Any:
        return self.xp.zeros(shape, self.dtype)


class Peer:
    """PyTorch on the same device, fed with the same arrays."""

    def __init__(self, torch: Any, device: str) -> None:
        self.torch, self.device = torch, device
        self.F = torch.nn.functional

    def tensor(self, array: Any, images: bool = False) -> Any:
        """The same values; with ``images``, on a GPU, in the layout that cuDNN is fastest with."""
        made = self._tensor(array)
        if images and made.ndim == 4 and self.device == "cuda":
            return made.contiguous(memory_format=self.torch.channels_last)
        return made

    def _tensor(self, array: Any) -> Any:
        host = array if isinstance(array, np.ndarray) else array.get()
        if host.dtype.kind in "iu":
            return self.torch.tensor(host).to(self.device)
        half = self.torch.bfloat16 if host.dtype.name == "bfloat16" else getattr(self.torch, host.dtype.name)
        return self.torch.tensor(host.astype(np.float32)).to(self.device, half)

    def forward(self, function: Any, *arrays: Any, images: bool = False) -> Work:
        tensors = [self.tensor(a, images) for a in arrays]

        def work() -> Any:
            with self.torch.no_grad():
                return function(*tensors)

        return work

    def backward(self, function: Any, g: Any, *arrays: Any, images: bool = False) -> Work:
        """The gradients of ``function`` for all ``arrays``."""
        leaves = [self.tensor(a, images).requires_grad_() for a in arrays]
        y = function(*leaves)
        gradient = self.tensor(g, images)
        return lambda: self.torch.autograd.grad(y, leaves, gradient, retain_graph=True)


def _room(name: str) -> Any:
    return importlib.import_module(f"minidl_kernels.{name}")


# ---------------------------------------------------------------------------------------------------------------- rooms


def softmax(a: Arrays, rows: int, n: int) -> Built:
    x, g = a.normal(rows, n), a.normal(rows, n)
    cost, values = _room("softmax"), rows * n
    f = lambda peer: partial(peer.torch.softmax, dim=1)
    yield (
        *("forward", cost.flops(rows, n), cost.nbytes(rows, n, itemsize=a.item)),
        *(lambda k: partial(k.forward, x), lambda peer: peer.forward(f(peer), x)),
    )
    yield (
        *("backward", 4 * values, 3 * values * a.item),
        *(lambda k: partial(k.backward, g, k.forward(x)), lambda peer: peer.backward(f(peer), g, x)),
    )


def cross_entropy(a: Arrays, rows: int, classes: int) -> Built:
    x, target = a.normal(rows, classes), a.below(classes, rows)
    g = a.normal(rows).astype(np.float32)
    cost = _room("cross_entropy")
    flops, nbytes = cost.flops(rows, classes), cost.nbytes(rows, classes, itemsize=a.item)
    f = lambda peer: lambda x: peer.F.cross_entropy(x, peer.tensor(target), reduction="none")
    yield ("forward", flops, nbytes, lambda k: partial(k.forward, x, target), lambda peer: peer.forward(f(peer), x))
    yield (
        *("backward", flops, 2 * nbytes),
        *(lambda k: partial(k.backward, g, x, target, k.forward(x, target)[1]),),
        *(lambda peer: peer.backward(f(peer), g.astype(a.dtype), x),),
    )


def layer_norm(a: Arrays, rows: int, n: int) -> Built:
    x, g, w, b = a.normal(rows, n), a.normal(rows, n), a.normal(n), a.normal(n)
    cost, values = _room("layer_norm"), rows * n
    f = lambda peer: lambda x, w, b: peer.F.layer_norm(x, (n,), w, b)
    yield (
        *("forward", cost.flops(rows, n), cost.nbytes(rows, n, itemsize=a.item)),
        *(lambda k: partial(k.forward, x, w, b, 1e-5), lambda peer: peer.forward(f(peer), x, w, b)),
    )
    yield (
        *("backward", 2 * cost.flops(rows, n), 3 * values * a.item),
        *(lambda k: partial(k.backward, g, x, *k.forward(x, w, b, 1e-5)[1:], w),),
        *(lambda peer: peer.backward(f(peer), g, x, w, b),),
    )


def rms_norm(a: Arrays, rows: int, n: int) -> Built:
    x, g, w = a.normal(rows, n), a.normal(rows, n), a.normal(n)
    cost, values = _room("rms_norm"), rows * n
    f = lambda peer: lambda x, w: peer.F.rms_norm(x, (n,), w, 1e-5)
    yield (
        *("forward", cost.flops(rows, n), cost.nbytes(rows, n, itemsize=a.item)),
        *(lambda k: partial(k.forward, x, w, 1e-5), lambda peer: peer.forward(f(peer), x, w)),
    )
    yield (
        *("backward", 2 * cost.flops(rows, n), 3 * values * a.item),
        *(
            lambda k: partial(k.backward, g, x, k.forward(x, w, 1e-5)[1], w),
            lambda peer: peer.backward(f(peer), g, x, w),
        ),
    )


def batch_norm(a: Arrays, n: int, channels: int, side: int) -> Built:
    x, g = a.images(n, channels, side, side), a.images(n, channels, side, side)
    w, b = a.normal(channels).astype(np.float32), a.normal(channels).astype(np.float32)
    cost = _room("batch_norm")
    flops, nbytes = cost.flops(n, channels, side**2), cost.nbytes(n, channels, side**2, a.item)
    f = lambda peer: lambda x, w, b: peer.F.batch_norm(x, None, None, w, b, training=True)

    def ours(k: Any) -> Any:
        mean, var = k.statistics(x)
        rstd = 1 / (var + 1e-5) ** 0.5
        return k.forward(x, mean, rstd, w, b), mean, rstd

    yield (
        "forward",
        flops,
        nbytes,
        lambda k: partial(ours, k),
        lambda peer: peer.forward(f(peer), x, w, b, images=True),
    )
    yield (
        *("backward", 8 * x.size, 5 * x.nbytes),
        *(
            lambda k: partial(k.backward, g, x, *ours(k)[1:], w, True),
            lambda peer: peer.backward(f(peer), g, x, w, b, images=True),
        ),
    )


def activation(a: Arrays, rows: int, n: int) -> Built:
    x, g, bias = a.normal(rows, n), a.normal(rows, n), a.normal(n)
    values = rows * n
    f = lambda peer: lambda x, b: peer.F.gelu(x + b)
    cost = _room("activation")
    yield (
        *("gelu + bias, forward", cost.flops(values, "gelu", True), cost.nbytes(values, a.item)),
        *(lambda k: partial(k.forward, x, bias, "gelu"), lambda peer: peer.forward(f(peer), x, bias)),
    )
    yield (
        *("gelu + bias, backward", cost.flops(values, "gelu", True), 3 * values * a.item),
        *(lambda k: partial(k.backward, g, x, bias, "gelu"), lambda peer: peer.backward(f(peer), g, x, bias)),
    )


def dropout(a: Arrays, rows: int, n: int) -> Built:
    x, values = a.normal(rows, n), rows * n
    f = lambda peer: partial(peer.F.dropout, p=0.1, training=True)
    cost = _room("dropout")
    flops, nbytes = cost.flops(values), cost.nbytes(values, a.item)
    yield ("forward", flops, nbytes, lambda k: partial(k.forward, x, 0.1, 7), lambda peer: peer.forward(f(peer), x))
    yield (
        "backward",
        flops,
        nbytes,
        lambda k: partial(k.backward, x, 0.1, 7),
        lambda peer: peer.backward(f(peer), x, x),
    )


def embedding(a: Arrays, rows: int, dim: int, places: int) -> Built:
    w, index, g = a.normal(rows, dim), a.below(rows, places), a.normal(places, dim)
    cost = _room("embedding")
    f = lambda peer: lambda w: peer.F.embedding(peer.tensor(index), w)
    yield (
        *("forward", 0, cost.nbytes(places, dim, a.item)),
        *(lambda k: partial(k.forward, w, index), lambda peer: peer.forward(f(peer), w)),
    )
    yield (
        *("backward", cost.flops(places, dim), cost.nbytes(places, dim, a.item) + rows * dim * a.item),
        *(lambda k: partial(k.backward, g, index, rows), lambda peer: peer.backward(f(peer), g, w)),
    )


def matmul(a: Arrays, m: int, n: int, k_: int) -> Built:
    x, w, bias = a.normal(m, k_, scale=0.1), a.normal(k_, n, scale=0.1), a.normal(n)
    cost = _room("matmul")
    yield (
        *("forward", cost.flops(x.shape, w.shape), cost.nbytes(x.shape, w.shape, itemsize=a.item)),
        *(lambda k: partial(k.forward, x, w), lambda peer: peer.forward(peer.torch.matmul, x, w)),
    )
    yield (
        *("+ bias + gelu", cost.flops(x.shape, w.shape, True), cost.nbytes(x.shape, w.shape, True, a.item)),
        *(lambda k: partial(k.forward, x, w, bias, "gelu"),),
        *(lambda peer: peer.forward(lambda x, w, b: peer.F.gelu(x @ w + b), x, w, bias),),
    )


def convolution(a: Arrays, n: int, channels: int, filters: int, side: int, size: int = 3) -> Built:
    x, g = a.images(n, channels, side, side), a.images(n, filters, side, side)
    w = a.normal(filters, channels, size, size, scale=0.1)
    out, kernel, pad = (side, side), (size, size), ((size // 2, size // 2),) * 2
    rest = ((1, 1), pad, (1, 1), 1)  # stride, padding, dilation, groups
    cost = _room("convolution")
    flops = cost.flops(n, channels, filters, out, kernel)
    nbytes = cost.nbytes(n, channels, filters, out, out, kernel, a.item)

    def forward(peer: Any) -> Work:
        return peer.forward(partial(peer.F.conv2d, padding=size // 2), x, w, images=True)

    def input_gradient(peer: Any) -> Work:
        weight = peer.tensor(w, images=True)
        return peer.backward(lambda x: peer.F.conv2d(x, weight, padding=size // 2), g, x, images=True)

    def weight_gradient(peer: Any) -> Work:
        inputs = peer.tensor(x, images=True)
        return peer.backward(lambda w: peer.F.conv2d(inputs, w, padding=size // 2), g, w, images=True)

    yield ("forward", flops, nbytes, lambda k: partial(k.forward, x, w, None, *rest), forward)
    yield ("input gradient", flops, nbytes, lambda k: partial(k.input_gradient, g, w, out, *rest), input_gradient)
    yield ("weight gradient", flops, nbytes, lambda k: partial(k.weight_gradient, x, g, kernel, *rest), weight_gradient)


def pooling(a: Arrays, n: int, channels: int, side: int) -> Built:
    x, g = a.images(n, channels, side, side), a.images(n, channels, side // 2, side // 2)
    out, two, none = (side // 2,) * 2, (2, 2), ((0, 0), (0, 0))
    cost = _room("pooling")
    flops, nbytes = cost.flops(n, channels, out, two), cost.nbytes(n, channels, (side, side), out, a.item)
    f = lambda peer: partial(peer.F.max_pool2d, kernel_size=2)
    forward = lambda k: partial(k.max_forward, x, two, two, none, (1, 1), out)
    yield ("max, forward", flops, nbytes, forward, lambda peer: peer.forward(f(peer), x, images=True))
    yield (
        *("max, backward", g.size, nbytes),
        *(lambda k: partial(k.max_backward, g, forward(k)()[1], (side, side), two, two, none, (1, 1)),),
        *(lambda peer: peer.backward(f(peer), g, x, images=True),),
    )


def attention(a: Arrays, batch: int, heads: int, t: int, d: int) -> Built:
    q, k_, v, g = (a.normal(batch, heads, t, d) for _ in range(4))
    cost = _room("attention")
    flops, nbytes = cost.flops(batch, heads, t, t, d, causal=True), cost.nbytes(batch, heads, t, t, d, itemsize=a.item)
    settings: dict[str, Any] = {"causal": True, "scale": 1 / math.sqrt(d)}
    f = lambda peer: partial(peer.F.scaled_dot_product_attention, is_causal=True)
    yield (
        *("causal, forward", flops, nbytes),
        *(lambda k: partial(k.forward, q, k_, v, **settings), lambda peer: peer.forward(f(peer), q, k_, v)),
    )
    yield (
        *("causal, backward", 5 * flops // 2, 2 * nbytes),
        *(lambda k: partial(k.backward, g, q, k_, v, *k.forward(q, k_, v, **settings), **settings),),
        *(lambda peer: peer.backward(f(peer), g, q, k_, v),),
    )


def _recurrent(a: Arrays, name: str, gates: int, t: int, batch: int, hidden: int) -> Built:
    """A whole layer: the product with the inputs, then the kernel; backwards the kernel, then the products."""
    x, g, h0 = a.normal(t, batch, hidden), a.normal(t, batch, hidden), a.zeros(batch, hidden)
    w_ih, w_hh = (a.normal(gates * hidden, hidden, scale=hidden**-0.5) for _ in range(2))
    states = (h0, h0) if name == "lstm" else (h0,)
    more = (None,) if name == "gru" else ()
    cost, values = _room(name), t * batch * hidden
    flops = 2 * values * gates * hidden + cost.flops(t, batch, hidden)
    nbytes = (values + w_ih.size + gates * values) * a.item + cost.nbytes(t, batch, hidden, a.item)

    def forward(k: Any) -> Any:
        return k.forward(x @ w_ih.T, *states, w_hh, *more)

    def backward(k: Any, kept: Any) -> Any:
        if name == "rnn":
            dx, *_ = k.backward(g, kept, h0, w_hh)
        elif name == "gru":
            dx, dh, *_ = k.backward(g, kept[1], kept[2], kept[0], h0, w_hh)
        else:
            dx, *_ = k.backward(g, None, kept[2], kept[1], h0, w_hh)
        y = kept if name == "rnn" else kept[0]
        flat = dx.reshape(-1, gates * hidden)
        recurrent = flat if name != "gru" else dh.reshape(-1, gates * hidden)
        before = a.xp.concatenate((h0[None], y[:-1])).reshape(-1, hidden)
        return dx @ w_ih, flat.T @ x.reshape(-1, hidden), recurrent.T @ before

    def layer(peer: Any) -> Any:
        module = getattr(peer.torch.nn, name.upper())(hidden, hidden, bias=False)
        module = module.to(peer.device, peer.tensor(x[:1, :1, :1]).dtype)
        with peer.torch.no_grad():
            module.weight_ih_l0.copy_(peer.tensor(w_ih))
            module.weight_hh_l0.copy_(peer.tensor(w_hh))
        return module

    def their_backward(peer: Any) -> Work:
        module, inputs, gradient = layer(peer), peer.tensor(x).requires_grad_(), peer.tensor(g)
        y = module(inputs)[0]
        wanted = [inputs, *module.parameters()]
        return lambda: peer.torch.autograd.grad(y, wanted, gradient, retain_graph=True)

    def their_forward(
        peer: Any,
    ) -> Work:  # with its gradient wanted, so that it keeps what backward needs, as ours does
        module, inputs = layer(peer), peer.tensor(x)
        return lambda: module(inputs)[0]

    yield ("layer, forward", flops, nbytes, lambda k: partial(forward, k), their_forward)
    yield ("layer, backward", 2 * flops, 2 * nbytes, lambda k: partial(backward, k, forward(k)), their_backward)


def _optimizer(a: Arrays, n: int) -> tuple[list, list]:
    """Parameters of several sizes, n values in all, and gradients."""
    parts = [n // 2, n // 4, n - n // 2 - n // 4]
    return [a.normal(p) for p in parts], [a.normal(p, scale=1e-2) for p in parts]


def _their_step(peer: Any, name: str, xs: list, gs: list, **settings: Any) -> Work:
    parameters = [peer.tensor(x).requires_grad_() for x in xs]
    for p, g in zip(parameters, gs):
        p.grad = peer.tensor(g)
    return getattr(peer.torch.optim, name)(parameters, lr=1e-3, **settings).step


def adam(a: Arrays, n: int) -> Built:
    xs, gs = _optimizer(a, n)
    cost = _room("adam")

    def ours(k: Any) -> Work:
        mine, ms, vs = ([each.copy() for each in xs], *([a.xp.zeros_like(x) for x in xs] for _ in "mv"))
        settings = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
        return lambda: (k.step(mine, gs, ms, vs, [None] * len(xs), [3] * len(xs), **settings), mine)[1]

    yield ("step", cost.flops(n), cost.nbytes(n, a.item), ours, lambda peer: _their_step(peer, "Adam", xs, gs))


def sgd(a: Arrays, n: int) -> Built:
    xs, gs = _optimizer(a, n)
    cost = _room("sgd")

    def ours(k: Any) -> Work:
        mine, buffers = [each.copy() for each in xs], [a.xp.zeros_like(x) for x in xs]
        settings = {"lr": 1e-3, "momentum": 0.9, "firsts": [False] * len(xs)}
        return lambda: (k.step(mine, gs, buffers, **settings), mine)[1]

    yield (
        *("step, momentum", cost.flops(n, True), cost.nbytes(n, a.item, True)),
        *(ours, lambda peer: _their_step(peer, "SGD", xs, gs, momentum=0.9)),
    )


BUILDERS: dict[str, Callable[..., Built]] = {
    "activation": activation,
    "adam": adam,
    "attention": attention,
    "batch_norm": batch_norm,
    "convolution": convolution,
    "cross_entropy": cross_entropy,
    "dropout": dropout,
    "embedding": embedding,
    "gru": lambda a, *size: _recurrent(a, "gru", 3, *size),
    "layer_norm": layer_norm,
    "lstm": lambda a, *size: _recurrent(a, "lstm", 4, *size),
    "matmul": matmul,
    "pooling": pooling,
    "rms_norm": rms_norm,
    "rnn": lambda a, *size: _recurrent(a, "rnn", 1, *size),
    "sgd": sgd,
    "softmax": softmax,
}

_ROWS = {
    "tiny": [(4, 37)],
    "cpu": [(128, 256), (1024, 512), (4096, 1024)],
    "cuda": [(1024, 1024), (4096, 4096), (16384, 8192)],
}
_STEPS = {"tiny": [(2, 3, 16)], "cpu": [(32, 16, 128), (128, 32, 256)], "cuda": [(128, 32, 256), (128, 64, 512)]}

# For each room the sizes to measure: "tiny" where a GPU is emulated, on the CPU, and on a GPU.
SIZES: dict[str, dict[str, list[tuple[int, ...]]]] = {
    **dict.fromkeys(("softmax", "layer_norm", "rms_norm", "activation", "dropout"), _ROWS),
    **dict.fromkeys(("rnn", "gru", "lstm"), _STEPS),
    "cross_entropy": {
        "tiny": [(4, 37)],
        "cpu": [(128, 512), (512, 2048), (2048, 8192)],
        "cuda": [(2048, 8192), (8192, 32000), (8192, 50257)],
    },
    "batch_norm": {
        "tiny": [(2, 3, 5)],
        "cpu": [(8, 16, 14), (16, 64, 28), (32, 64, 56)],
        "cuda": [(32, 64, 56), (128, 64, 56)],
    },
    "embedding": {
        "tiny": [(11, 8, 16)],
        "cpu": [(1000, 64, 2048), (10000, 256, 8192)],
        "cuda": [(50257, 768, 8192), (50257, 768, 32768)],
    },
    "matmul": {
        "tiny": [(16, 17, 18)],
        "cpu": [(128, 128, 128), (512, 512, 512), (1024, 1024, 1024)],
        "cuda": [(1024, 1024, 1024), (4096, 4096, 4096), (8192, 8192, 8192)],
    },
    "convolution": {
        "tiny": [(1, 3, 4, 6)],
        "cpu": [(8, 16, 32, 14), (16, 64, 64, 28)],
        "cuda": [(32, 64, 64, 56), (64, 256, 256, 28)],
    },
    "pooling": {
        "tiny": [(1, 2, 6)],
        "cpu": [(8, 16, 28), (64, 32, 28), (64, 64, 56)],
        "cuda": [(64, 64, 56), (128, 64, 112)],
    },
    "attention": {
        "tiny": [(1, 2, 16, 16)],
        "cpu": [(4, 4, 128, 64), (8, 8, 256, 64), (1, 4, 2048, 64)],
        "cuda": [(8, 16, 1024, 64), (4, 16, 4096, 64), (1, 16, 16384, 64)],
    },
    "adam": {"tiny": [(64,)], "cpu": [(10_000,), (1_000_000,), (10_000_000,)], "cuda": [(10_000_000,), (124_000_000,)]},
    "sgd": {"tiny": [(64,)], "cpu": [(10_000,), (1_000_000,), (10_000_000,)], "cuda": [(10_000_000,), (124_000_000,)]},
}


def rooms() -> list[str]:
    """The rooms that can be measured."""
    return [room for room in backends.rooms() if room in BUILDERS]


def build(room: str, size: tuple[int, ...], arrays: Arrays) -> list[Case]:
    """The cases of a room at one size. ValueError if the room has none."""
    if room not in BUILDERS or room not in backends.rooms():
        raise ValueError(f"nothing to measure in {room!r}; there are {', '.join(rooms())}")
    shown = " × ".join(map(str, size))
    return [
        Case(room, operation, shown, math.prod(size), arrays.dtype.name, int(flops), int(nbytes), ours, theirs)
        for operation, flops, nbytes, ours, theirs in BUILDERS[room](arrays, *size)
    ]
