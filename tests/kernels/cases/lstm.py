"""Long short-term memory: with and without gradients of the cells, one step, one unit, odd sizes."""

from tests.kernels.cases import LAYOUTS, Case
from tests.kernels.cases.rnn import SIZES


def run(room, xw, h0, c0, w_hh, gy, gc):
    y, c, gates = room.forward(xw, h0, c0, w_hh)
    return y, c, *room.backward(gy, gc, gates, c, c0, w_hh), gates


def reference(torch, xw, h0, c0, w_hh, gy, gc):
    leaves = [a.requires_grad_() for a in (xw, h0, c0)]
    h, c, states, cells = h0, c0, [], []
    for x in xw:
        i, f, g, o = (x + h @ w_hh.T).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        states.append(h)
        cells.append(c)
    y, c = torch.stack(states), torch.stack(cells)
    torch.autograd.backward([y, c] if gc is not None else [y], [gy, gc] if gc is not None else [gy])
    return y, c, *(a.grad for a in leaves)


def cases(s):
    def case(name, t, b, h, cells=True, layout="contiguous"):
        arrays = {"xw": s.floats(t, b, 4 * h), "h0": s.floats(b, h), "c0": s.floats(b, h)}
        arrays |= {"w_hh": s.floats(4 * h, h) / h**0.5, "gy": s.floats(t, b, h)}
        arrays["gc"] = s.floats(t, b, h) if cells else None
        return Case(name, run, reference, arrays, {}, layout, factor=128.0)

    for t, b, h in SIZES:
        yield case(f"{t}x{b}x{h}", t, b, h)
    yield case("no cells", 4, 3, 5, cells=False)
    for layout in LAYOUTS[1:]:
        yield case(layout, 3, 4, 5, layout=layout)
