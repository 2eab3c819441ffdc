"""Batch norm: training and evaluation, channels outermost and innermost in memory, one channel, one position."""

from tests.kernels.cases import Case

CHANNELS_LAST = "channels last"


def innermost(x):
    """The same values with channels innermost in memory."""
    order = (0, *range(2, x.ndim), 1)
    back = (0, x.ndim - 1, *range(1, x.ndim - 1))
    return x.transpose(order).copy().transpose(back)


def run(room, x, g, weight, bias, eps, training, last):
    if last:
        x, g = innermost(x), innermost(g)
    mean, var = room.statistics(x)
    rstd = 1 / (var + var.dtype.type(eps)) ** 0.5
    weight, bias = (None if p is None else p.astype(mean.dtype) for p in (weight, bias))
    y = room.forward(x, mean, rstd, weight, bias)
    return y, *room.backward(g, x, mean, rstd, weight, training), mean, var


def reference(torch, x, g, weight, bias, eps, training, last):
    x.requires_grad_()
    shape = (1, -1, *(1,) * (x.ndim - 2))
    dims = (0, *range(2, x.ndim))
    weight = torch.ones(x.shape[1], dtype=x.dtype) if weight is None else weight
    bias = torch.zeros(x.shape[1], dtype=x.dtype) if bias is None else bias
    weight.requires_grad_(), bias.requires_grad_()
    mean, var = x.mean(dims), x.var(dims, unbiased=False)
    m, v = (mean, var) if training else (mean.detach(), var.detach())
    y = (x - m.reshape(shape)) / (v.reshape(shape) + eps).sqrt() * weight.reshape(shape) + bias.reshape(shape)
    y.backward(g)
    return y, x.grad, weight.grad, bias.grad, mean, var


def cases(s):
    for shape in ((4, 3), (2, 5, 7), (3, 1, 4, 5), (2, 37, 3, 3), (5, 16, 9, 7)):
        for last in (False, True):
            for training in (True, False):
                arrays = {"x": s.floats(*shape) + 1, "g": s.floats(*shape)}
                arrays |= {"weight": s.floats(shape[1]), "bias": s.floats(shape[1])}
                settings = {"eps": 1e-5, "training": training, "last": last}
                yield Case(f"{shape} last={last} training={training}", run, reference, arrays, settings, factor=256.0)
    for layout in ("transposed", "sliced"):
        arrays = {"x": s.floats(4, 6, 5), "g": s.floats(4, 6, 5), "weight": None, "bias": None}
        settings = {"eps": 1e-5, "training": True, "last": False}
        yield Case(layout, run, reference, arrays, settings, layout, factor=256.0)
    arrays = {"x": s.floats(64, 3, 5, 5) + 50, "g": s.floats(64, 3, 5, 5), "weight": None, "bias": None}
    settings = {"eps": 1e-5, "training": True, "last": True}
    yield Case("large mean", run, reference, arrays, settings, factor=8192.0, dtypes=("float32", "float64"))
