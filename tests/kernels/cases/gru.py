"""The gated recurrent unit: with and without the second bias, one step, one unit, odd sizes."""

from tests.kernels.cases import LAYOUTS, Case
from tests.kernels.cases.rnn import SIZES


def run(room, xw, h0, w_hh, b_hh, gy):
    y, gates, hn = room.forward(xw, h0, w_hh, b_hh)
    return y, *room.backward(gy, gates, hn, y, h0, w_hh), gates, hn


def reference(torch, xw, h0, w_hh, b_hh, gy):
    xw.requires_grad_(), h0.requires_grad_()
    h, states, products = h0, [], []
    for x in xw:
        u = h @ w_hh.T + (0 if b_hh is None else b_hh)
        u.retain_grad() if u.requires_grad else None
        products.append(u)
        (xr, xz, xn), (ur, uz, un) = x.chunk(3, -1), u.chunk(3, -1)
        r, z = (xr + ur).sigmoid(), (xz + uz).sigmoid()
        n = (xn + r * un).tanh()
        h = (1 - z) * n + z * h
        states.append(h)
    y = torch.stack(states)
    y.backward(gy)
    return y, xw.grad, torch.stack([u.grad for u in products]), h0.grad


def cases(s):
    def case(name, t, b, h, bias=True, layout="contiguous"):
        arrays = {"xw": s.floats(t, b, 3 * h), "h0": s.floats(b, h), "w_hh": s.floats(3 * h, h) / h**0.5}
        arrays |= {"b_hh": s.floats(3 * h) if bias else None, "gy": s.floats(t, b, h)}
        return Case(name, run, reference, arrays, {}, layout, factor=128.0)

    for t, b, h in SIZES:
        yield case(f"{t}x{b}x{h}", t, b, h)
    yield case("no bias", 4, 3, 5, bias=False)
    for layout in LAYOUTS[1:]:
        yield case(layout, 3, 4, 5, layout=layout)
