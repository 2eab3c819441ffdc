"""SGD: several parameters of several shapes at once, momentum started and going, Nesterov, dampening, decay."""

from tests.kernels.cases import LAYOUTS, Case


def run(room, xs, gs, buffers, **settings):
    xs = [x.copy(order="K") for x in xs]
    buffers = [None if b is None else b.copy(order="K") for b in buffers]
    room.step(xs, gs, buffers, **settings)
    return xs, buffers


def reference(torch, xs, gs, buffers, lr, momentum, dampening, weight_decay, nesterov, maximize, firsts):
    xs = [torch.nn.Parameter(x) for x in xs]
    optimizer = torch.optim.SGD(xs, lr, momentum, dampening, weight_decay, nesterov, maximize=maximize, foreach=False)
    for i, (x, g) in enumerate(zip(xs, gs)):
        x.grad = g
        if momentum and not firsts[i]:
            optimizer.state[x]["momentum_buffer"] = buffers[i]
    optimizer.step()
    return xs, [optimizer.state[x]["momentum_buffer"] for x in xs] if momentum else []


def cases(s):
    def case(name, shapes, layout="contiguous", **settings):
        given = {
            "lr": 0.1,
            "momentum": 0.0,
            "dampening": 0.0,
            "weight_decay": 0.0,
            "nesterov": False,
            "maximize": False,
        }
        given |= settings
        arrays = {k: [s.floats(*shape) for shape in shapes] for k in ("xs", "gs")}
        arrays["buffers"] = [s.floats(*shape) if given["momentum"] else None for shape in shapes]
        given["firsts"] = [i % 2 == 0 for i in range(len(shapes))]
        return Case(name, run, reference, arrays, given, layout, factor=32.0)

    shapes = ((1,), (37,), (3, 5), (2, 1025), (0,), (4, 1, 3))
    yield case("plain", shapes)
    yield case("decay", shapes, weight_decay=0.1)
    yield case("momentum", shapes, momentum=0.9)
    yield case("dampening", shapes, momentum=0.9, dampening=0.3, weight_decay=0.1)
    yield case("nesterov", shapes, momentum=0.9, nesterov=True, maximize=True)
    for layout in LAYOUTS[1:3]:
        yield case(layout, ((4, 6), (3, 5)), layout, momentum=0.9)
