"""Convolution and its two gradients: stride, padding on either side, dilation, groups, both memory orders, 1-d and 3-d."""

from tests.kernels.cases import Case
from tests.kernels.cases.batch_norm import innermost
from tests.kernels.cases.pooling import outputs


def run(room, x, w, bias, g, stride, padding, dilation, groups, last):
    if last:
        x, g = innermost(x), innermost(g)
    settings = (stride, padding, dilation, groups)
    return (
        room.forward(x, w, bias, *settings),
        room.input_gradient(g, w, x.shape[2:], *settings),
        room.weight_gradient(x, g, w.shape[2:], *settings),
    )


def reference(torch, x, w, bias, g, stride, padding, dilation, groups, last):
    x.requires_grad_(), w.requires_grad_()
    functions = torch.nn.functional
    framed = functions.pad(x, [side for pair in reversed(padding) for side in pair])
    y = (functions.conv1d, functions.conv2d, functions.conv3d)[x.ndim - 3](framed, w, bias, stride, 0, dilation, groups)
    y.backward(g)
    return y, x.grad, w.grad


def cases(s):
    def case(
        name, n, c, f, size, kernel, stride, padding, dilation, groups=1, last=False, bias=True, layout="contiguous"
    ):
        out = outputs(size, kernel, stride, padding, dilation)
        arrays = {"x": s.floats(n, c, *size), "w": s.floats(f, c // groups, *kernel), "g": s.floats(n, f, *out)}
        arrays["bias"] = s.floats(f) if bias else None
        settings = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "last": last}
        return Case(name, run, reference, arrays, settings, layout, factor=64.0)

    one, none = (1, 1), ((0, 0), (0, 0))
    for last in (False, True):
        yield case(f"3x3 last={last}", 2, 3, 5, (6, 7), (3, 3), one, ((1, 1), (1, 1)), one, last=last)
        yield case(f"uneven last={last}", 2, 3, 4, (7, 6), (2, 3), (2, 1), ((0, 1), (2, 1)), one, last=last)
        yield case(f"dilated last={last}", 1, 2, 3, (9, 8), (3, 2), one, ((1, 1), (0, 0)), (2, 3), last=last)
        yield case(f"groups last={last}", 2, 4, 6, (5, 5), (3, 3), (2, 2), ((1, 1), (1, 1)), one, groups=2, last=last)
        yield case(f"depthwise last={last}", 2, 4, 4, (5, 4), (3, 3), one, ((1, 1), (1, 1)), one, groups=4, last=last)
        yield case(f"pointwise last={last}", 2, 17, 9, (3, 4), (1, 1), one, none, one, last=last)
        yield case(f"tiles last={last}", 2, 17, 18, (7, 6), (3, 3), one, ((1, 1), (1, 1)), one, last=last)
        yield case(
            f"tiles uneven last={last}", 3, 16, 20, (5, 5), (3, 3), one, ((0, 2), (1, 0)), one, last=last, bias=False
        )
        yield case(f"tiles cut last={last}", 1, 16, 16, (8, 9), (3, 3), one, ((-1, 1), (0, -2)), one, last=last)
    yield case("one value", 1, 1, 1, (1, 1), (1, 1), one, none, one)
    yield case("wide", 1, 37, 33, (4, 5), (3, 3), (2, 2), ((1, 1), (1, 1)), one)
    yield case("1d", 2, 3, 4, (9,), (3,), (2,), ((1, 2),), (1,))
    yield case("3d", 1, 2, 3, (4, 5, 3), (2, 3, 2), (1, 2, 1), ((0, 0), (1, 1), (1, 0)), (1, 1, 1))
    for layout in ("transposed", "sliced", "expanded"):
        yield case(layout, 3, 4, 5, (6, 5), (3, 3), one, ((1, 1), (1, 1)), one, layout=layout)
        yield case(f"tiles {layout}", 3, 16, 17, (6, 5), (3, 3), one, ((1, 1), (1, 1)), one, layout=layout)
