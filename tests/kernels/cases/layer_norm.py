"""Layer norm: with and without weights, rows of one value, a large mean."""

import numpy as np

from tests.kernels.cases import LAYOUTS, Case


def run(room, x, g, weight, bias, eps):
    y, mean, rstd = room.forward(x, weight, bias, eps)
    return y, *room.backward(g, x, mean, rstd, weight)


def reference(torch, x, g, weight, bias, eps):
    x.requires_grad_()
    weight = torch.ones(x.shape[1], dtype=x.dtype) if weight is None else weight
    bias = torch.zeros(x.shape[1], dtype=x.dtype) if bias is None else bias
    weight.requires_grad_(), bias.requires_grad_()
    y = torch.nn.functional.layer_norm(x, x.shape[1:], weight, bias, eps)
    y.backward(g)
    return y, x.grad, weight.grad, bias.grad


def cases(s):
    def case(name, rows, n, layout="contiguous", affine=True, offset=0.0, factor=64.0):
        arrays = {"x": s.floats(rows, n) + offset, "g": s.floats(rows, n)}
        arrays |= {"weight": s.floats(n), "bias": s.floats(n)} if affine else {"weight": None, "bias": None}
        return Case(name, run, reference, arrays, {"eps": 1e-5}, layout, factor, scale=float(n == 2))

    for rows, n in ((1, 2), (3, 37), (2, 1025), (130, 8), (0, 5), (3, 0)):
        yield case(f"{rows}x{n}", rows, n)
        yield case(f"{rows}x{n} plain", rows, n, affine=False)
    for layout in LAYOUTS[1:]:
        yield case(layout, 5, 37, layout)
    x = s.floats(3, 40)
    x[1, 3] = np.nan
    yield Case(
        "nan", run, reference, {"x": x, "g": s.floats(3, 40), "weight": None, "bias": None}, {"eps": 1e-5}, factor=64.0
    )
    arrays = {"x": s.floats(4, 64) + 100, "g": s.floats(4, 64), "weight": None, "bias": None}
    yield Case("large mean", run, reference, arrays, {"eps": 1e-5}, factor=4096.0, dtypes=("float32", "float64"))
