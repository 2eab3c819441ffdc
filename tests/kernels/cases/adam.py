"""Adam: several parameters of several shapes at once, coupled and decoupled decay, AMSGrad, maximising."""

import numpy as np

from tests.kernels.cases import LAYOUTS, Case


def run(room, xs, gs, ms, vs, v_maxs, ts, **settings):
    xs, ms, vs = ([a.copy(order="K") for a in arrays] for arrays in (xs, ms, vs))
    v_maxs = [None if a is None else a.copy(order="K") for a in v_maxs]
    room.step(xs, gs, ms, vs, v_maxs, ts, **settings)
    return xs, ms, vs, v_maxs


def reference(torch, xs, gs, ms, vs, v_maxs, ts, lr, beta1, beta2, eps, weight_decay, decoupled, maximize):
    kind = torch.optim.AdamW if decoupled else torch.optim.Adam
    amsgrad = v_maxs[0] is not None
    xs = [torch.nn.Parameter(x) for x in xs]
    optimizer = kind(xs, lr, (beta1, beta2), eps, weight_decay, amsgrad, maximize=maximize, foreach=False)
    for x, g, m, v, v_max, t in zip(xs, gs, ms, vs, v_maxs, ts):
        x.grad = g
        state = {"step": torch.tensor(float(t - 1)), "exp_avg": m, "exp_avg_sq": v}
        optimizer.state[x] = state | ({"max_exp_avg_sq": v_max} if amsgrad else {})
    optimizer.step()
    states = [optimizer.state[x] for x in xs]
    largest = [s["max_exp_avg_sq"] for s in states] if amsgrad else []
    return xs, [s["exp_avg"] for s in states], [s["exp_avg_sq"] for s in states], largest


def cases(s):
    def case(name, shapes, layout="contiguous", amsgrad=False, **settings):
        arrays = {k: [s.floats(*shape) for shape in shapes] for k in ("xs", "gs", "ms")}
        arrays["vs"] = [np.abs(s.floats(*shape)) + 0.1 for shape in shapes]
        arrays["v_maxs"] = [np.abs(s.floats(*shape)) + 0.1 if amsgrad else None for shape in shapes]
        arrays["ts"] = [3 + i for i in range(len(shapes))]
        given = {"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 1e-4, "weight_decay": 0.0}
        given |= {"decoupled": False, "maximize": False} | settings
        return Case(name, run, reference, arrays, given, layout, factor=32.0)

    shapes = ((1,), (37,), (3, 5), (2, 1025), (0,), (4, 1, 3))
    yield case("one", ((130,),))
    yield case("several", shapes)
    yield case("decay", shapes, weight_decay=0.1)
    yield case("decoupled", shapes, weight_decay=0.1, decoupled=True)
    yield case("amsgrad", shapes, amsgrad=True)
    yield case("maximize", shapes, maximize=True, weight_decay=0.1, amsgrad=True)
    first = case("the first step", shapes, beta2=0.999)  # where 1 - β₂, of few digits in float32, is all there is
    first.arrays["ts"] = [1] * len(shapes)
    first.arrays |= {k: [np.zeros(shape) for shape in shapes] for k in ("ms", "vs")}
    yield first
    for layout in LAYOUTS[1:3]:
        yield case(layout, ((4, 6), (3, 5)), layout)
