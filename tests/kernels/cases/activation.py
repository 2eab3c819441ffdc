"""Activations with and without a bias: every kind, all memory orders, values far out."""

import numpy as np

from tests.kernels.cases import LAYOUTS, Case

KINDS = ("relu", "silu", "gelu", "gelu_tanh")


def run(room, x, g, bias, kind):
    return room.forward(x, bias, kind), room.backward(g, x, bias, kind)


def reference(torch, x, g, bias, kind):
    f = torch.nn.functional
    functions = {"relu": f.relu, "silu": f.silu, "gelu": f.gelu, "gelu_tanh": lambda z: f.gelu(z, approximate="tanh")}
    x.requires_grad_()
    y = functions[kind](x if bias is None else x + bias)
    y.backward(g)
    return y, x.grad


def cases(s):
    for kind in KINDS:
        for shape in ((), (1,), (37,), (3, 130), (2, 5, 7), (0, 4), (5, 1025)):
            arrays = {"x": s.floats(*shape, scale=2), "g": s.floats(*shape), "bias": None}
            yield Case(f"{kind} {shape}", run, reference, arrays, {"kind": kind}, factor=32.0)
        for shape in ((3, 37), (2, 4, 130), (1, 1)):
            arrays = {"x": s.floats(*shape), "g": s.floats(*shape), "bias": s.floats(shape[-1])}
            yield Case(f"{kind} bias {shape}", run, reference, arrays, {"kind": kind}, factor=32.0, scale=1.0)
        for layout in LAYOUTS[1:]:
            for bias in (None, s.floats(6)):
                arrays = {"x": s.floats(5, 6), "g": s.floats(5, 6), "bias": bias}
                name = f"{kind} {layout} bias={bias is not None}"
                yield Case(name, run, reference, arrays, {"kind": kind}, layout, factor=32.0, scale=1.0)
        x = np.array([-1e4, -90.0, -20.0, -9.0, -1e-4, 0.0, 1e-4, 9.0, 20.0, 90.0, 1e4, np.nan])
        arrays = {"x": x, "g": np.ones(12), "bias": None}
        yield Case(f"{kind} far out", run, reference, arrays, {"kind": kind}, factor=32.0)
