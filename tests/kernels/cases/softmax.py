"""Softmax and log-softmax: 2-d rows, 3-d with an inner dimension, one value, extreme values."""

import numpy as np

from tests.kernels.cases import LAYOUTS, Case


def run(room, x, g, log):
    y = room.forward(x, log)
    return y, room.backward(g, y, log)


def reference(torch, x, g, log):
    y = (torch.log_softmax if log else torch.softmax)(x.requires_grad_(), 1)
    y.backward(g)
    return y, x.grad


def cases(s):
    for log in (False, True):
        for shape in ((1, 1), (3, 37), (2, 1025), (0, 4), (2, 5, 3), (1, 130, 2)):
            arrays = {"x": s.floats(*shape), "g": s.floats(*shape)}
            yield Case(f"{shape} log={log}", run, reference, arrays, {"log": log})
        for layout in LAYOUTS[1:]:
            arrays = {"x": s.floats(5, 37), "g": s.floats(5, 37)}
            yield Case(f"{layout} log={log}", run, reference, arrays, {"log": log}, layout)
        x = s.floats(3, 40)
        x[0, 3], x[1, :20], x[2] = 1e4, -np.inf, x[2] * 1e3
        yield Case(f"extremes log={log}", run, reference, {"x": x, "g": s.floats(3, 40)}, {"log": log})
        x = s.floats(2, 40)
        x[0, 7] = np.nan
        yield Case(f"nan log={log}", run, reference, {"x": x, "g": s.floats(2, 40)}, {"log": log})
