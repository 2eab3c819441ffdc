"""Matrix products: batches, broadcasting, bias, activation, transposed operands."""

from tests.kernels.cases import LAYOUTS, Case
from tests.kernels.cases.activation import reference as activated


def run(room, a, b, bias, activation):
    return (room.forward(a, b, bias, activation),)


def given(room, a, b, bias, activation):
    """With the batch's second dimension innermost in memory."""
    return run(room, a.transpose(0, 3, 1, 2).copy().transpose(0, 2, 3, 1), b, bias, activation)


def reference(torch, a, b, bias, activation):
    y = a @ b if bias is None else a @ b + bias
    return (y if activation is None else activated(torch, y, y, None, activation)[0],)


def cases(s):
    shapes = (
        ((1, 1), (1, 1)),
        ((3, 37), (37, 5)),
        ((130, 65), (65, 33)),
        ((2, 3, 4), (2, 4, 5)),
        ((2, 1, 3, 4), (3, 4, 2)),
        ((5, 3, 4), (4, 2)),
        ((3, 0), (0, 4)),
    )
    for a, b in shapes:
        arrays = {"a": s.floats(*a), "b": s.floats(*b), "bias": None}
        yield Case(f"{a} {b}", run, reference, arrays, {"activation": None}, factor=64.0)
    permuted = s.floats(2, 3, 5, 4).transpose(0, 2, 3, 1)  # a batch of which one dimension joins the rows
    yield Case("permuted", given, reference, {"a": permuted, "b": s.floats(3, 6), "bias": None}, {"activation": None})
    for activation in (None, "relu", "silu", "gelu", "gelu_tanh"):
        arrays = {"a": s.floats(17, 37), "b": s.floats(37, 20), "bias": s.floats(20)}
        yield Case(f"bias {activation}", run, reference, arrays, {"activation": activation}, factor=64.0)
    for layout in LAYOUTS[1:]:
        arrays = {"a": s.floats(17, 37), "b": s.floats(37, 20), "bias": s.floats(20)}
        yield Case(layout, run, reference, arrays, {"activation": "relu"}, layout, factor=64.0)
