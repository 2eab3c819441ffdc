"""The plain recurrence: both activations, one step, one unit, odd sizes."""

from tests.kernels.cases import LAYOUTS, Case

SIZES = ((1, 1, 1), (5, 3, 7), (3, 37, 16), (2, 1, 130), (4, 2, 33), (3, 0, 4))


def run(room, xw, h0, w_hh, gy, nonlinearity):
    y = room.forward(xw, h0, w_hh, nonlinearity)
    return y, *room.backward(gy, y, h0, w_hh, nonlinearity)


def reference(torch, xw, h0, w_hh, gy, nonlinearity):
    xw.requires_grad_(), h0.requires_grad_()
    h, states = h0, []
    for x in xw:
        h = getattr(torch, nonlinearity)(x + h @ w_hh.T)
        states.append(h)
    y = torch.stack(states)
    y.backward(gy)
    return y, xw.grad, h0.grad


def cases(s):
    def case(name, t, b, h, nonlinearity, layout="contiguous"):
        arrays = {
            "xw": s.floats(t, b, h),
            "h0": s.floats(b, h),
            "w_hh": s.floats(h, h) / h**0.5,
            "gy": s.floats(t, b, h),
        }
        return Case(name, run, reference, arrays, {"nonlinearity": nonlinearity}, layout, factor=128.0)

    for t, b, h in SIZES:
        yield case(f"tanh {t}x{b}x{h}", t, b, h, "tanh")
    yield case("relu", 5, 3, 7, "relu")
    for layout in LAYOUTS[1:]:
        yield case(layout, 3, 4, 5, "tanh", layout)
