"""Pooling: windows that overlap and that do not, padding on either side, dilation, both memory orders, ties and nan."""

import numpy as np

from tests.kernels.cases import Case
from tests.kernels.cases.batch_norm import innermost


def outputs(size, kernel, stride, padding, dilation):
    numbers = zip(size, kernel, stride, padding, dilation)
    return tuple((n + a + b - d * (k - 1) - 1) // s + 1 for n, k, s, (a, b), d in numbers)


def run_max(room, x, g, kernel, stride, padding, dilation, out, last):
    if last:
        x, g = innermost(x), innermost(g)
    y, which = room.max_forward(x, kernel, stride, padding, dilation, out)
    dx = room.max_backward(g, which, x.shape[2:], kernel, stride, padding, dilation)
    return y, dx, room.places(which, x.shape[2:], kernel, stride, padding, dilation)


def max_reference(torch, x, g, kernel, stride, padding, dilation, out, last):
    x.requires_grad_()
    sides = [side for pair in reversed(padding) for side in pair]
    framed = torch.nn.functional.pad(x, sides, value=-float("inf"))
    pool = (torch.nn.functional.max_pool1d, torch.nn.functional.max_pool2d)[x.ndim - 3]
    y = pool(framed, kernel, stride, 0, dilation)
    y.backward(g)
    return y, x.grad


def run_sum(room, x, g, kernel, stride, padding, out, last):
    if last:
        x, g = innermost(x), innermost(g)
    return room.sum_forward(x, kernel, stride, padding, out), room.sum_backward(g, x.shape[2:], kernel, stride, padding)


def sum_reference(torch, x, g, kernel, stride, padding, out, last):
    x.requires_grad_()
    framed = torch.nn.functional.pad(x, [side for pair in reversed(padding) for side in pair])
    pool = (torch.nn.functional.avg_pool1d, torch.nn.functional.avg_pool2d)[x.ndim - 3]
    y = pool(framed, kernel, stride) * float(np.prod(kernel))
    y.backward(g)
    return y, x.grad


WINDOWS = (
    ((2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1)),
    ((3, 3), (2, 2), ((1, 1), (1, 0)), (1, 1)),
    ((2, 3), (1, 2), ((0, 1), (1, 1)), (2, 1)),
    ((3, 1), (3, 2), ((1, 1), (0, 0)), (1, 1)),
    ((1, 1), (2, 1), ((0, 0), (0, 0)), (1, 1)),
)


def cases(s):
    for last in (False, True):
        for number, (kernel, stride, padding, dilation) in enumerate(WINDOWS):
            for n, c, size in ((2, 3, (7, 6)), (1, 17, (5, 9))):
                out = outputs(size, kernel, stride, padding, dilation)
                arrays = {"x": s.floats(n, c, *size), "g": s.floats(n, c, *out)}
                settings = {"kernel": kernel, "stride": stride, "padding": padding, "out": out, "last": last}
                name = f"{number} {n}x{c} last={last}"
                yield Case(f"max {name}", run_max, max_reference, arrays, settings | {"dilation": dilation})
                if dilation == (1, 1):
                    yield Case(f"sum {name}", run_sum, sum_reference, arrays, settings)
    settings = {"kernel": (3,), "stride": (2,), "padding": ((1, 1),), "out": (4,), "last": False}
    arrays = {"x": s.floats(2, 3, 7), "g": s.floats(2, 3, 4)}
    yield Case("max 1d", run_max, max_reference, arrays, settings | {"dilation": (1,)})
    yield Case("sum 1d", run_sum, sum_reference, arrays, settings)
    settings = {"kernel": (2, 2), "stride": (2, 2), "padding": ((0, 0),) * 2, "out": (2, 2), "last": True}
    ties = {"x": np.ones((1, 2, 4, 4)), "g": s.floats(1, 2, 2, 2)}
    yield Case("max ties", run_max, max_reference, ties, settings | {"dilation": (1, 1)})
    for layout in ("transposed", "sliced", "expanded"):
        arrays = {"x": s.floats(3, 2, 4, 4), "g": s.floats(3, 2, 2, 2)}
        settings = {"kernel": (2, 2), "stride": (2, 2), "padding": ((0, 0),) * 2, "out": (2, 2), "last": False}
        yield Case(f"max {layout}", run_max, max_reference, arrays, settings | {"dilation": (1, 1)}, layout)
        yield Case(f"sum {layout}", run_sum, sum_reference, arrays, settings, layout)
