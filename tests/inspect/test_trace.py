"""A trace notes values, lines, modules, and what ran; it leaves nothing behind."""

from __future__ import annotations

import numpy as np
import pytest

import minidl
from minidl import inspect, nn
from minidl.autograd import tape
from minidl.inspect.trace import seen
from minidl.nn import hooks
from minidl.utils.checkpoint import checkpoint


def operators(tensor):
    found, stack = [], [tensor.grad_fn]
    while stack:
        operator = stack.pop()
        if operator is not None and not isinstance(operator, minidl.Tensor) and operator not in found:
            found.append(operator)
            stack += [source for source, _ in operator.next_functions]
    return sorted(found, key=lambda operator: operator.seq)


def test_values_line_time_and_bytes():
    x = minidl.tensor([1.0, 2.0], requires_grad=True)
    with inspect.trace():
        y = x * 3  # the line
    note = seen(y.grad_fn)
    assert note.inputs[0].array.tolist() == [1, 2]
    assert note.inputs[1] == 3
    assert note.outputs[0].array.tolist() == [3, 6]
    assert note.names == ("x", None)
    assert note.line.text == "y = x * 3  # the line"
    assert note.line.file == __file__
    assert note.seconds > 0
    assert note.nbytes == 16  # two arrays of two float32
    assert note.implementation == "array code"
    assert note.scope == ()


def test_nothing_hangs_afterwards():
    with pytest.raises(ZeroDivisionError), inspect.trace():
        _ = 1 / 0
    assert not tape._around
    assert not tape._tracers
    assert not hooks.everywhere
    assert not minidl.backends._observers


def test_a_graph_made_outside_is_not_seen():
    y = minidl.ones(2, requires_grad=True) * 2
    assert seen(y.grad_fn) is None


@pytest.mark.slow  # Numba compiles
def test_the_kernel_that_ran_is_named():
    x = minidl.randn(2, 3, requires_grad=True)
    with inspect.trace():
        y = minidl.softmax(x, -1)
    assert seen(y.grad_fn).implementation == "numpy"
    with minidl.use_backend("numba"), inspect.trace():
        y = minidl.softmax(x, -1)
    assert seen(y.grad_fn).implementation == "numba"


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])

    def forward(self, x):
        for layer in self.layers:
            x = layer(x).relu()
        return x


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = Block()
        self.head = nn.Linear(2, 1)

    def forward(self, x):
        return self.head(self.body(x))


def test_scopes_go_from_the_outermost_module_down():
    net = Net()
    criterion = nn.MSELoss()
    with inspect.trace():
        loss = criterion(net(minidl.randn(3, 2)), minidl.zeros(3, 1))
    scopes = [(op.name, seen(op).scope) for op in operators(loss)]
    assert scopes[0] == ("Linear", ("net", "body", "layers.0"))
    assert scopes[1] == ("Relu", ("net", "body"))
    assert scopes[2] == ("Linear", ("net", "body", "layers.1"))
    assert scopes[4] == ("Linear", ("net", "head"))
    assert scopes[-1][1] == ("criterion",)
    assert seen(operators(loss)[0]).classes == ("Net", "Block", "Linear")
    assert seen(operators(loss)[0]).names[1:] == ("body.layers.0.weight", "body.layers.0.bias")


def test_an_error_in_a_module_leaves_the_scope_right():
    good, bad = nn.Linear(2, 2), nn.Linear(3, 2)
    x = minidl.randn(1, 2)
    with inspect.trace():
        with pytest.raises(RuntimeError):
            nn.Sequential(good, bad)(x)
        y = good(x)
    assert seen(y.grad_fn).scope == ("good",)


def test_later_changes_in_place_do_not_falsify():
    x = minidl.tensor([1.0, 2.0], requires_grad=True)
    with inspect.trace():
        y = x * 2
        y += 1
        z = y * y
    with minidl.no_grad():
        x.fill_(9)
    first, second, third = operators(z)
    assert seen(first).inputs[0].array.tolist() == [1, 2]
    assert seen(first).outputs[0].array.tolist() == [2, 4]
    assert seen(second).outputs[0].array.tolist() == [3, 5]
    assert seen(third).inputs[0].array.tolist() == [3, 5]


def test_one_copy_serves_all_who_saw_the_same_values():
    x = minidl.ones(1000, requires_grad=True)
    with inspect.trace() as t:
        y = x * x
        z = y + x
    assert seen(y.grad_fn).inputs[0] is seen(y.grad_fn).inputs[1] is seen(z.grad_fn).inputs[1]
    assert seen(z.grad_fn).inputs[0] is seen(y.grad_fn).outputs[0]
    assert t.keeper.used == 3 * 4000


def test_beyond_the_limit_shapes_remain():
    x = minidl.ones(10, requires_grad=True)
    with inspect.trace(keep=50) as t:
        y = x * 2
    assert seen(y.grad_fn).inputs[0].array.tolist() == [1] * 10
    assert seen(y.grad_fn).outputs[0].array is None
    assert seen(y.grad_fn).outputs[0].shape == (10,)
    assert t.keeper.full


def test_functions_of_the_user_and_changes_of_views_are_seen():
    class Twice(minidl.autograd.Function):
        """y = 2 x;  ∂y/∂x = 2."""

        @staticmethod
        def forward(ctx, x, factor):
            return x * factor

        @staticmethod
        def backward(ctx, g):
            return g * 2, None

    x = minidl.ones(3, requires_grad=True)
    with inspect.trace():
        y = Twice.apply(x, 2)
        z = y * 1
        z[0] = 5.0
    note = seen(y.grad_fn)
    assert note.inputs[0].array.tolist() == [1, 1, 1]
    assert note.inputs[1] == 2
    assert note.outputs[0].array.tolist() == [2, 2, 2]
    assert seen(z.grad_fn).outputs[0].array.tolist() == [5, 2, 2]


def test_gradients_are_those_without_a_trace():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3))
    x = minidl.randn(2, 1, 6, 6)
    model(x).square().mean().backward()
    plain = [p.grad._data.copy() for p in model.parameters()]
    model.zero_grad()
    with inspect.trace():
        model(x).square().mean().backward()
    for p, g in zip(model.parameters(), plain):
        assert np.array_equal(p.grad._data, g)


def test_a_view_that_follows_its_root_is_not_taken_for_what_it_was():
    root = minidl.ones(4, requires_grad=True) * 1
    with inspect.trace():
        view = root[:2]
    root.mul_(3)
    assert seen(view.grad_fn) is None  # the history is new: it was recorded outside the trace


def test_a_checkpoint_inside_a_trace():
    """A segment has inputs that are no tensors of the user's: those of what its function was seen to use."""
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    x = minidl.randn(4, 2)
    with inspect.trace():
        loss = checkpoint(model, x).square().sum()
    recording = inspect.backward(loss, names=model)
    assert recording[-1].op.traced
    expected = minidl.autograd.grad(model(x).square().sum(), list(model.parameters()))
    for parameter, gradient in zip(model.parameters(), expected):
        np.testing.assert_allclose(parameter.grad.numpy(), gradient.numpy(), rtol=1e-6)


def test_a_trace_around_a_whole_loop_knows_the_last_step():
    """What counts against ``keep`` are the values of graphs that are still there."""
    w = minidl.ones(1000, requires_grad=True)
    with inspect.trace(keep=50_000) as noted:
        for _ in range(20):
            loss = (w * 2).square().sum()
            assert noted.keeper.used <= 4 * 4000 + 100
            assert len(noted._notes) <= 5
            loss.backward()
    assert not noted.keeper.full
    assert all(value.array is not None for value in inspect.read(loss).values)
    with inspect.trace(keep=5_000) as noted:
        kept = [(w * 2).sum() for _ in range(3)]
    assert noted.keeper.full
    assert inspect.read(kept[-1]).find("mul 1").array is None
