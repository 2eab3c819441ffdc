"""Cross-entropy of class indices: class weights, label smoothing, extreme logits."""

import numpy as np

from tests.kernels.cases import LAYOUTS, Case


def run(room, x, target, g, weight, smoothing):
    loss, lse = room.forward(x, target, weight, smoothing)
    g = g.astype(loss.dtype)
    return loss, lse, room.backward(g, x, target, lse, weight, smoothing)


def reference(torch, x, target, g, weight, smoothing):
    x.requires_grad_()
    function = torch.nn.functional.cross_entropy
    loss = function(x, target, weight, reduction="none", label_smoothing=smoothing)
    loss.backward(g)
    return loss, x.logsumexp(1), x.grad


def cases(s):
    for rows, classes in ((1, 1), (3, 37), (2, 1025), (5, 4)):
        for smoothing in (0.0, 0.1):
            for weighted in (False, True):
                arrays = {"x": s.floats(rows, classes), "target": s.ints(rows, high=classes), "g": s.floats(rows)}
                arrays["weight"] = np.abs(s.floats(classes)) + 0.1 if weighted else None
                name = f"{rows}x{classes} smoothing={smoothing} weighted={weighted}"
                yield Case(
                    name, run, reference, arrays, {"smoothing": smoothing}, factor=64.0, scale=float(classes == 1)
                )
    for layout in LAYOUTS[1:]:
        arrays = {"x": s.floats(5, 37), "target": s.ints(5, high=37), "g": s.floats(5), "weight": None}
        yield Case(layout, run, reference, arrays, {"smoothing": 0.1}, layout, factor=64.0)
    x = s.floats(3, 40)
    x[0, 3], x[1, :20], x[2] = 1e4, -np.inf, x[2] * 1e3
    arrays = {"x": x, "target": np.array([3, 30, 7]), "g": s.floats(3), "weight": None}
    yield Case("extremes", run, reference, arrays, {"smoothing": 0.0}, factor=64.0)
    x = s.floats(2, 40)
    x[0, 7] = np.nan
    arrays = {"x": x, "target": np.array([3, 30]), "g": s.floats(2), "weight": None}
    yield Case("nan", run, reference, arrays, {"smoothing": 0.0}, factor=64.0)
