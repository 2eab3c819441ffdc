"""backward and grad: where gradients go, what is kept, what is refused, and how deep a graph may be."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import minidl
from minidl.autograd import grad, tape


def leaf(*shape, seed=0):
    return minidl.tensor(np.random.default_rng(seed).standard_normal(shape), requires_grad=True)


def test_gradients_add_up_over_uses_and_over_backwards():
    x = leaf(3)
    (x * x + 2 * x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * x.detach().numpy() + 2)
    (3 * x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * x.detach().numpy() + 5)


def test_two_leaves_never_share_a_gradient():
    a, b = leaf(3), leaf(3, seed=1)
    (a + b).sum().backward()
    a.grad.zero_()
    np.testing.assert_array_equal(b.grad.numpy(), np.ones(3))


class Twice(tape.Operator):
    """x + y, with one new array for the gradient of both."""

    def forward(self, x, y):
        return x + y

    def backward(self, g):
        new = g * 1
        self.address = new.ctypes.data
        return new, new


def test_leaves_do_not_share_the_one_array_that_a_rule_gives_to_both():
    a, b = leaf(3), leaf(3, seed=1)
    tape.apply(Twice(), a, b).sum().backward()
    a.grad.zero_()
    np.testing.assert_array_equal(b.grad.numpy(), np.ones(3))
    lstm = minidl.nn.LSTM(2, 3)
    lstm(minidl.ones(2, 1, 2))[0].sum().backward()
    assert not np.shares_memory(lstm.bias_ih_l0.grad._data, lstm.bias_hh_l0.grad._data)


def test_a_gradient_that_nobody_else_holds_is_not_copied():
    a, operator = leaf(3), Twice()
    tape.apply(operator, a, minidl.ones(3)).sum().backward()
    assert a.grad._data.ctypes.data == operator.address


def test_a_gradient_given_by_the_user_is_not_kept_by_the_leaf():
    x = leaf(3)
    given = minidl.ones(3, dtype=minidl.float64)
    x.backward(given)
    x.grad.zero_()
    assert given.sum().item() == 3


def test_a_gradient_of_another_type_is_converted_and_another_shape_refused():
    x = leaf(3)
    (x * 2).backward(minidl.ones(3, dtype=minidl.float32))
    assert x.grad.dtype is minidl.float64
    with pytest.raises(RuntimeError, match=r"(?s)shape of \(2,\).*\(3,\)"):
        (x * 2).backward(minidl.ones(2))


def test_broadcast_gradients_have_the_shape_of_their_input():
    row, column = leaf(1, 4), leaf(3, 1)
    (row * column).sum().backward()
    assert row.grad.shape == (1, 4)
    assert column.grad.shape == (3, 1)


def test_second_backward_needs_retain_graph():
    x = leaf(3)
    y = (x.exp() * x).sum()
    y.backward(retain_graph=True)
    first = x.grad.clone()
    y.backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * first.numpy())
    with pytest.raises(RuntimeError, match=r"(?s)second time.*retain_graph=True"):
        y.backward()


def test_a_failed_backward_leaves_every_grad_as_it_was():
    x, w = leaf(3), leaf(3, seed=1)
    y = x.exp()
    loss = (y * w).sum()
    x.grad = minidl.full((3,), 7.0, dtype=minidl.float64)
    with minidl.no_grad():
        y.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
    assert x.grad.tolist() == [7.0, 7.0, 7.0]
    assert w.grad is None


def test_in_place_change_of_a_saved_value_is_named():
    x = leaf(3)
    y = x.exp()
    z = y * y
    y.add_(1)
    with pytest.raises(RuntimeError, match=r"(?s)input 0 of Mul.*version 0.*version 1.*clone\(\)"):
        z.sum().backward()


def test_a_leaf_that_requires_grad_cannot_change_in_place():
    x = leaf(3)
    with pytest.raises(RuntimeError, match=r"(?s)add_: a leaf Variable that requires grad.*no_grad"):
        x.add_(1)
    with pytest.raises(RuntimeError, match="a view of a leaf"):
        x[0].add_(1)
    with minidl.no_grad():
        x.add_(1)


def test_a_non_scalar_needs_a_gradient():
    with pytest.raises(RuntimeError, match=r"(?s)only for scalar outputs.*\(3,\).*sum\(\)"):
        (leaf(3) * 2).backward()


def test_a_tensor_without_history_is_refused():
    with pytest.raises(RuntimeError, match="does not require grad and does not have a grad_fn"):
        minidl.ones(()).backward()
    x = leaf(2)
    with minidl.no_grad():
        y = x.sum()
    with pytest.raises(RuntimeError, match="no_grad"):
        y.backward()


def test_grad_touches_no_grad_and_reports_unused_inputs():
    x, unused = leaf(3), leaf(2)
    (g,) = grad((x * x).sum(), x)
    assert x.grad is None
    np.testing.assert_allclose(g.numpy(), 2 * x.detach().numpy())
    with pytest.raises(RuntimeError, match=r"input 1.*allow_unused=True"):
        grad((x * x).sum(), (x, unused))
    assert grad((x * x).sum(), (x, unused), allow_unused=True)[1] is None
    assert grad((x * x).sum(), (x, unused), materialize_grads=True)[1].tolist() == [0.0, 0.0]


def test_grad_of_inner_tensors():
    x = leaf(3)
    y = x * 2
    z = (y * y).sum()
    by_x, by_y = grad(z, (x, y))
    np.testing.assert_allclose(by_y.numpy(), 2 * y.detach().numpy())
    np.testing.assert_allclose(by_x.numpy(), 4 * y.detach().numpy())


def test_grad_visits_only_what_leads_to_its_inputs():
    x, w = leaf(3), leaf(3, seed=1)
    visited = []
    elsewhere = w.exp()
    elsewhere.register_hook(lambda g: visited.append("elsewhere"))
    behind = elsewhere.exp()
    behind.register_hook(lambda g: visited.append("behind"))
    grad((x * behind).sum(), x)
    assert "elsewhere" not in visited


def test_backward_with_inputs_reaches_only_them():
    x, w = leaf(3), leaf(3, seed=1)
    (x * w).sum().backward(inputs=[x])
    assert w.grad is None
    np.testing.assert_allclose(x.grad.numpy(), w.detach().numpy())
    with pytest.raises(RuntimeError, match="empty"):
        (x * w).sum().backward(inputs=[])


def test_several_roots_at_once():
    x = leaf(3)
    minidl.autograd.backward([x.sum(), (x * x).sum()])
    np.testing.assert_allclose(x.grad.numpy(), 1 + 2 * x.detach().numpy())
    with pytest.raises(RuntimeError, match="2 tensors and 1 gradients"):
        minidl.autograd.backward([x.sum(), x.sum()], [minidl.ones(())])


@pytest.mark.parametrize("order", [2, 3, 4])
def test_higher_orders(order):
    values = np.array([0.3, -1.2, 2.0])
    x, t = minidl.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    y, u = (x.exp() * x**3).sum(), (t.exp() * t**3).sum()
    for _ in range(order):
        (gx,) = grad(y, x, create_graph=True)
        (gt,) = torch.autograd.grad(u, t, create_graph=True)
        np.testing.assert_allclose(gx.detach().numpy(), gt.detach().numpy(), rtol=1e-10)
        y, u = gx.sum(), gt.sum()


def test_gradient_penalty_through_backward_with_create_graph():
    x, w = leaf(4), leaf(4, seed=1)
    loss = (x * w).exp().sum()
    loss.backward(create_graph=True)
    assert x.grad.requires_grad
    penalty = (x.grad**2).sum()
    (g,) = grad(penalty, w)
    tx, tw = (torch.tensor(v.detach().numpy(), requires_grad=True) for v in (x, w))
    (tg,) = torch.autograd.grad((tx * tw).exp().sum(), tx, create_graph=True)
    (expected,) = torch.autograd.grad((tg**2).sum(), tw)
    np.testing.assert_allclose(g.numpy(), expected.numpy())


def test_a_graph_300000_operators_deep():
    x = leaf(1)
    y = x
    for _ in range(300_000):
        y = y + 0.0
    y.sum().backward()
    assert x.grad.tolist() == [1.0]
    del y  # freeing such a chain must not recurse either


def test_a_wide_diamond_is_walked_once_an_operator():
    """2**60 paths, 60 operators: each rule runs once, after everything above it."""
    x = leaf(1)
    y = x
    for _ in range(60):
        y = y + y
    y.sum().backward()
    assert x.grad.item() == 2.0**60


def test_the_same_program_gives_the_same_bits():
    def run():
        rng = np.random.default_rng(0)
        x = minidl.tensor(rng.standard_normal(1000).astype("float32"), requires_grad=True)
        parts = [x * float(a) for a in rng.standard_normal(20)]
        total = parts[0]
        for p in parts[1:]:
            total = total + p.exp()
        total.sum().backward()
        return x.grad.numpy()

    np.testing.assert_array_equal(run(), run())


def test_no_grad_enable_grad_and_their_decorator_forms():
    x = leaf(3)
    with minidl.no_grad():
        assert not minidl.is_grad_enabled()
        assert not (x * 2).requires_grad
        with minidl.enable_grad():
            assert (x * 2).requires_grad
    with minidl.set_grad_enabled(False):
        assert not (x * 2).requires_grad
    assert minidl.is_grad_enabled()

    @minidl.no_grad()
    def evaluate():
        return x * 2

    assert not evaluate().requires_grad
    minidl.set_grad_enabled(False)
    try:
        assert not (x * 2).requires_grad
    finally:
        minidl.set_grad_enabled(True)


def test_detach_and_data_share_memory_and_leave_the_tape():
    x = leaf(3)
    d = x.detach()
    assert not d.requires_grad
    with minidl.no_grad():
        d[0] = 5.0
    assert x[0].item() == 5.0


def test_changing_a_detached_copy_of_a_saved_value_is_noticed():
    x = leaf(3)
    y = x.exp()
    z = (y * y).sum()
    y.detach().zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.backward()


def test_integers_cannot_require_grad():
    with pytest.raises(RuntimeError, match=r"floating point.*int64"):
        minidl.tensor([1, 2]).requires_grad_()
    with pytest.raises(RuntimeError, match=r"leaf.*detach"):
        (leaf(2) * 2).requires_grad_(False)


def test_arguments_of_the_wrong_kind():
    x = leaf(2)
    with pytest.raises(TypeError, match="gradient must be a Tensor"):
        (x * 2).backward(1.0)
    with pytest.raises(TypeError, match=r"inputs\[0\] must be a Tensor, got float"):
        grad(x.sum(), [1.0])
    with pytest.raises(TypeError, match="backward starts at a Tensor"):
        minidl.autograd.backward([1.0])
    with pytest.raises(RuntimeError, match=r"requires_grad_\(\)"):
        grad(x.sum(), minidl.ones(2))


@pytest.mark.parametrize("shape", [(3, 5), (1, 4), (4, 1), (0, 3)])
def test_a_gradient_lies_in_memory_as_its_leaf_does(shape):
    """PyTorch's contract too: optimisers go through weights and gradients side by side."""
    values = np.random.default_rng(0).standard_normal(shape)
    for turn in (lambda t: t, lambda t: t.t()):
        leaf = turn(minidl.tensor(values)).detach().requires_grad_()
        other = turn(torch.tensor(values)).detach().requires_grad_()
        for x in (leaf, other):
            x.t().mul(2).matmul(x).sum().backward()
        assert leaf.grad.is_contiguous() == other.grad.is_contiguous()
        if leaf.numel() and 1 not in shape:
            assert leaf.grad.stride() == leaf.stride() == other.grad.stride()
        np.testing.assert_allclose(leaf.grad.numpy(), other.grad.numpy(), rtol=1e-12)


@pytest.mark.parametrize("cut", ["columns", "expanded"])
def test_the_gradient_of_a_leaf_with_gaps_or_overlap_lies_row_by_row(cut):
    for lib in (minidl, torch):
        whole = lib.arange(24.0).reshape(4, 6)
        leaf = whole[:, ::2].t() if cut == "columns" else whole[0].expand(3, 6)
        leaf = leaf.detach().requires_grad_()
        (leaf * leaf).sum().backward()
        assert leaf.grad.is_contiguous()
        assert leaf.grad.view(-1).tolist() == (2 * leaf).reshape(-1).tolist()


@pytest.mark.filterwarnings("ignore:Using backward.. with create_graph")
def test_gradients_on_the_tape_are_each_leafs_own():
    """Clipping, or an optimiser that adds weight decay, changes them in place."""
    for lib in (minidl, torch):
        a, b, c = (lib.ones(3, requires_grad=True) for _ in range(3))
        given = 3 * lib.ones(3, requires_grad=True)
        ((a + b) ** 2).sum().backward(create_graph=True)
        c.clone().backward(given, create_graph=True)
        with lib.no_grad():
            a.grad.mul_(2)
            c.grad.mul_(2)
        assert (a.grad.tolist(), b.grad.tolist(), given.tolist()) == ([8.0] * 3, [4.0] * 3, [3.0] * 3)


@pytest.mark.filterwarnings("ignore:Using backward.. with create_graph")
@pytest.mark.parametrize("create_graph", [False, True])
def test_gradients_retained_are_copies(create_graph):
    for lib in (minidl, torch):
        x = lib.ones(3, requires_grad=True)
        first = x + 1
        second = first + 0
        for inner in (first, second):
            inner.retain_grad()
        second.sum().backward(create_graph=create_graph)
        with lib.no_grad():
            first.grad.mul_(2)
        assert (first.grad.tolist(), second.grad.tolist(), x.grad.tolist()) == ([2.0] * 3, [1.0] * 3, [1.0] * 3)
