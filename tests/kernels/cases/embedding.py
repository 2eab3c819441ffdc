"""Embedding: repeated rows, a padding row, gradients divided by frequency, no places at all."""

import numpy as np

from tests.kernels.cases import LAYOUTS, Case


def run(room, weight, index, g, padding, by_frequency):
    return room.forward(weight, index), room.backward(g, index, len(weight), padding, by_frequency)


def reference(torch, weight, index, g, padding, by_frequency):
    weight.requires_grad_()
    y = torch.nn.functional.embedding(index, weight, padding, scale_grad_by_freq=by_frequency)
    y.backward(g)
    return y, weight.grad


def cases(s):
    for rows, dim, shape in ((1, 1, (1,)), (5, 37, (3, 4)), (130, 8, (37,)), (10, 3, (0,)), (7, 130, (2, 3, 5))):
        for padding, by_frequency in ((None, False), (0, False), (None, True)):
            arrays = {"weight": s.floats(rows, dim), "index": s.ints(*shape, high=rows), "g": s.floats(*shape, dim)}
            name = f"{rows}x{dim} {shape} padding={padding} by_frequency={by_frequency}"
            yield Case(name, run, reference, arrays, {"padding": padding, "by_frequency": by_frequency}, factor=64.0)
    for layout in LAYOUTS[1:]:
        arrays = {"weight": s.floats(6, 5), "index": s.ints(4, high=6), "g": s.floats(4, 5)}
        yield Case(layout, run, reference, arrays, {"padding": None, "by_frequency": False}, layout, factor=64.0)
    arrays = {"weight": s.floats(3, 4), "index": np.array([2] * 300 + [0] * 5), "g": s.floats(305, 4)}
    yield Case("long segments", run, reference, arrays, {"padding": None, "by_frequency": False}, factor=512.0)
