"""RMS norm: with and without weights, rows of one value."""

from tests.kernels.cases import LAYOUTS, Case


def run(room, x, g, weight, eps):
    y, rstd = room.forward(x, weight, eps)
    return y, *room.backward(g, x, rstd, weight)


def reference(torch, x, g, weight, eps):
    x.requires_grad_()
    weight = torch.ones(x.shape[1], dtype=x.dtype) if weight is None else weight
    weight.requires_grad_()
    y = torch.nn.functional.rms_norm(x, x.shape[1:], weight, eps)
    y.backward(g)
    return y, x.grad, weight.grad


def cases(s):
    for rows, n in ((1, 2), (3, 37), (2, 1025), (130, 8), (0, 5), (3, 0), (3, 1)):
        for weight in (None, s.floats(n)):
            arrays = {"x": s.floats(rows, n), "g": s.floats(rows, n), "weight": weight}
            name = f"{rows}x{n} weight={weight is not None}"
            yield Case(name, run, reference, arrays, {"eps": 1e-5}, factor=64.0, scale=float(n == 1))
    for layout in LAYOUTS[1:]:
        arrays = {"x": s.floats(5, 37), "g": s.floats(5, 37), "weight": s.floats(37)}
        yield Case(layout, run, reference, arrays, {"eps": 1e-5}, layout, factor=64.0)
