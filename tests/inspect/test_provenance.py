"""Contributions by hand, their sums beside autograd, finite differences beside both, and kinks that are really there."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minidl
from minidl import inspect, nn
from minidl.nn import functional as F
from tests.inspect.test_recording import BUILDS


def leaf(values):
    return minidl.tensor(values, dtype=minidl.float64, requires_grad=True)


def ask(build, values, index=0, **settings):
    """Where the gradient of an element of a leaf comes from, of a loss that is built of the leaf inside a trace."""
    x = leaf(values)
    with inspect.trace():
        loss = build(x)
    return inspect.provenance(loss, x, index, **settings)


def test_two_paths_by_hand():
    a, b = leaf(2.0), leaf(3.0)
    with inspect.trace():
        c = a * b
        d = c.square()
        loss = d + a * 5
    found = inspect.provenance(loss, a)
    # ∂loss/∂a = 2ab · b + 5 = 36 + 5
    assert found.gradient == 41
    assert found.count == 2
    assert found.complete
    assert [path.contribution for path in found.paths] == [36, 5]
    assert found.paths[0].names == ["a", "c", "d", "loss"]
    assert found.paths[0].factors == [3, 12, 1]
    assert [op.label for op in found.paths[0].ops] == ["mul", "square", "add"]
    assert found.paths[0].positions == [0, 0, 0]
    assert found.paths[0].share == pytest.approx(36 / 41)
    assert found.remainder == 0
    assert found.finite_difference == pytest.approx(41, rel=1e-8)
    assert found.relative_error < 1e-8
    assert found.kink is None
    text = str(found)
    assert "∂loss/∂a = 41, over 2 paths" in text
    assert "a → c → d → loss   (3 · 12 · 1)" in text


def halves(x):
    a, b = x.split(2)
    return (a * b).sum()


W = np.array([1.0, -2.0, 0.5])

BY_HAND = {
    # loss, leaf, element, contributions
    "an operator that uses it twice": (lambda w: w * w, 3.0, (), [3, 3]),
    "a diamond whose halves cancel": (lambda x: x.exp() - x.exp() + x, 2.0, (), [math.exp(2), -math.exp(2), 1]),
    "sums over the elements between": (
        lambda x: (h := minidl.tensor(W) * x).tanh().sum() + h.sum(),
        [0.3],
        0,
        [np.sum(W * (1 - np.tanh(W * 0.3) ** 2)), W.sum()],
    ),
    "several outputs": (halves, [1.0, 2.0, 3.0, 4.0], 2, [1, 0]),  # x[2] = b[0], which meets a[0] = 1
    "none": (lambda x: x.detach() * x[1], [1.0, 2.0], 0, [0]),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_contributions_by_hand(name):
    build, values, index, contributions = BY_HAND[name]
    found = ask(lambda x: build(x).sum(), values, index)
    assert found.complete
    assert found.count == len(found.paths) == len(contributions)
    assert sorted(path.contribution for path in found.paths) == pytest.approx(sorted(contributions))
    assert found.gradient == pytest.approx(sum(contributions))


def test_the_input_by_which_a_path_enters_is_told_where_several_do():
    w = leaf(3.0)
    loss = w * w
    found = inspect.provenance(loss, w)
    assert {tuple(path.positions) for path in found.paths} == {(0,), (1,)}
    assert "w → loss (by input 0)" in repr(found)
    assert repr(found.paths[0]).startswith("<Path of 3: w → loss (by input ")


def test_an_inner_tensor_is_asked_about_too():
    x = leaf([1.0, 2.0])
    with inspect.trace():
        h = x * 3
        loss = (h * h).sum()
    found = inspect.provenance(loss, h, 1)
    assert found.gradient == 12
    assert found.count == 2
    assert found.finite_difference == pytest.approx(12, rel=1e-8)
    assert inspect.provenance(loss, "h", -1).gradient == 12
    assert inspect.provenance(loss, loss).gradient == 1
    assert inspect.provenance(loss, loss).finite_difference == pytest.approx(1)


def test_hooks_are_left_out_and_named():
    """A hook may do anything; the numbers are those of the mathematics, and no hook is called."""
    x = leaf([1.0, 2.0])
    called = []
    with inspect.trace():
        h = x * 3
        loss = (h * h).sum()
    h.retain_grad()
    found = inspect.provenance(loss, x, 0)
    assert found.hooked == []
    assert "Hooks" not in str(found)
    h.register_hook(lambda g: called.append("h") or g.clamp(-1, 1))
    x.register_hook(lambda g: called.append("x"))
    found = inspect.provenance(loss, x, 0, limit=1)  # looked for, which takes passes of its own
    assert not found.complete
    assert [found.paths[0].contribution, found.remainder, found.gradient] == [9, 9, 18]
    assert found.finite_difference == pytest.approx(18)
    assert sorted(found.hooked) == ["h", "x"]
    assert "Hooks on x, h are left out" in str(found)
    assert inspect.provenance(loss, h, 0).hooked == ["h"]
    assert (called, h.grad, x.grad) == ([], None, None)
    loss.backward()
    assert x.grad.tolist() == [3, 3]


@pytest.mark.parametrize("build", BUILDS, ids=lambda build: build.__name__)
def test_paths_add_up_to_the_gradient_and_the_finite_difference(build):
    minidl.set_default_dtype(minidl.float64)
    try:
        minidl.manual_seed(1)
        with inspect.trace():
            loss, leaves = build()
    finally:
        minidl.set_default_dtype(minidl.float32)
    rng = np.random.default_rng(0)
    for tensor in leaves[:4]:
        (gradient,) = minidl.autograd.grad(loss, tensor, retain_graph=True)
        index = tuple(int(rng.integers(n)) for n in tensor.shape)
        found = inspect.provenance(loss, tensor, index, top=10_000, limit=10_000)
        assert found.complete
        assert found.count >= len(found.paths)
        assert found.gradient == gradient[index].item()
        scale = max(abs(path.contribution) for path in found.paths)
        assert sum(path.contribution for path in found.paths) == pytest.approx(
            found.gradient, rel=1e-9, abs=1e-12 * scale + 1e-15
        )
        assert found.finite_difference == pytest.approx(found.gradient, rel=1e-5, abs=1e-7), found
        assert found.kink is None
    assert all(tensor.grad is None for tensor in leaves)
    loss.backward()  # the graph is still there


def deep(layers, signs=1.0):
    """A chain of residual blocks: 2ⁿ paths."""
    x = leaf(1.0)
    with inspect.trace():
        y = x
        for n in range(layers):
            y = y + y * (0.1 + 0.05 * n) * signs
    return x, y


def test_the_largest_of_very_many_paths():
    x, loss = deep(40)
    found = inspect.provenance(loss, x, top=5)
    assert found.count == 2**40
    assert not found.complete
    assert len(found.paths) == 5
    factors = np.array([0.1 + 0.05 * n for n in range(40)])
    largest = np.prod(np.maximum(factors, 1))
    assert found.paths[0].contribution == pytest.approx(largest, rel=1e-9)
    contributions = [path.contribution for path in found.paths]
    assert contributions == sorted(contributions, reverse=True)
    assert found.gradient == pytest.approx(np.prod(1 + factors), rel=1e-9)
    assert found.remainder + sum(contributions) == pytest.approx(found.gradient, rel=1e-12)
    assert f"the {2**40 - 5:,} other paths together" in str(found)


def test_following_the_most_finds_what_counting_all_does():
    x, loss = deep(8)
    every = inspect.provenance(loss, x, top=6)
    some = inspect.provenance(loss, x, top=6, limit=100)
    assert every.complete
    assert not some.complete
    assert [p.contribution for p in every.paths] == pytest.approx([p.contribution for p in some.paths])
    assert every.remainder == pytest.approx(some.remainder)


def test_a_chain_of_ten_thousand():
    x = leaf(1.0)
    y = x
    for _ in range(10_000):
        y = y + 1e-4
    found = inspect.provenance(y, x)
    assert found.count == 1
    assert found.gradient == 1
    assert len(found.paths[0].ops) == 10_000


# --------------------------------------------------------------------------------------------------------------- kinks


KINKS = {
    "relu": (lambda x: x.relu().sum(), [0.0, 1.0]),
    "relu, near": (lambda x: x.relu().sum(), [3e-4, 1.0]),
    "relu, very near": (lambda x: (x.relu() * 2).sum(), [-8e-6, 1.0]),
    "relu among many": (lambda x: (x.relu() + x.exp() * 3).sum(), [0.0, 1.0]),
    "abs": (lambda x: x.abs().sum(), [0.0, 1.0]),
    "max": (lambda x: x.max(), [1.0, 1.0]),
    "max along a dimension": (lambda x: x.max(0)[0], [1.0, 1.0]),
    "min along a dimension": (lambda x: x.min(0)[0], [1.0, 1.0 + 1e-5]),
    "sort": (lambda x: x.sort()[0][0], [1.0, 1.0]),
    "topk": (lambda x: x.topk(1)[0].sum(), [1.0, 1.0]),
    "maximum": (lambda x: minidl.maximum(x[0], x[1]), [2.0, 2.0]),
    "max_pool": (lambda x: F.max_pool1d(x.reshape(1, 1, 2), 2).sum(), [1.0, 1.0]),
    "clamp": (lambda x: x.clamp(-1, 1).sum(), [1.0, 0.0]),
    "hardtanh": (lambda x: F.hardtanh(x).sum(), [-1.0, 0.0]),
    "leaky_relu": (lambda x: F.leaky_relu(x).square().sum() + F.leaky_relu(x).sum(), [0.0, 0.0]),
    "floor": (lambda x: x.floor().sum(), [1.0, 0.5]),
}


@pytest.mark.parametrize("name", KINKS)
def test_a_kink_is_told(name):
    found = ask(*KINKS[name])
    assert found.kink is not None
    assert found.kink.startswith("near a kink")
    assert "Warning: near a kink" in str(found)


def test_a_kink_is_told_with_its_sides_and_its_operator():
    found = ask(lambda x: (x * 2).relu().sum() * 3, [0.0, 1.0])
    assert found.left == pytest.approx(0, abs=1e-9)
    assert found.right == pytest.approx(6)
    assert "within 1e-05 of this value" in found.kink
    assert "at relu 1 (test_provenance.py:" in found.kink
    assert "(x * 2).relu().sum() * 3" in found.kink
    assert "within 0.001 of this value" in ask(lambda x: x.relu().sum(), [3e-4]).kink


SMOOTH = {
    "square": (lambda x: x.square().sum(), [0.0, 1.0]),
    "cube": (lambda x: (x**3).sum(), [0.0, 1.0]),
    "steep": (lambda x: (x * 50).exp().sum(), [0.3, 0.0]),
    "bent": (lambda x: (x * x * 1000 + x).sum(), [0.0, 1.0]),
    "wave": (lambda x: (x * 30).sin().sum(), [0.7, 1.0]),
    "tanh": (lambda x: x.tanh().sum(), [0.0, 5.0]),
    "gelu": (lambda x: F.gelu(x).sum(), [0.0, 1.0]),
    "softmax": (lambda x: x.softmax(-1)[0], [0.0, 0.0]),
    "max, away from a tie": (lambda x: x.max(0)[0] * 3, [1.0, 0.5]),
    "median": (lambda x: minidl.cat([x, x * 2, x * 3]).median(0)[0], [1.0, 4.0]),
    "a sum of sorted values": (lambda x: x.sort()[0].sum(), [1.0, 1.0]),
    "relu, away from 0": (lambda x: x.relu().sum(), [0.01, -0.01]),
    "reciprocal": (lambda x: (1 / x).sum(), [0.1, 1.0]),
    "linear": (lambda x: (x * 3).sum(), [1e6, 1.0]),
    "constant": (lambda x: (x * 0).sum(), [1.0, 1.0]),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_a_bend_is_no_kink(name):
    found = ask(*SMOOTH[name])
    assert found.kink is None, found.kink
    assert found.finite_difference == pytest.approx(found.gradient, rel=1e-5, abs=1e-7)


# ------------------------------------------------------------------------------------------------- without a trace


def test_a_branch_off_the_tape_is_decided_anew_by_a_function_alone():
    x = leaf([0.0, 1.0])
    compute = lambda: minidl.where(x > 0, x, 0.0).sum()
    with inspect.trace():
        loss = compute()
    assert inspect.provenance(loss, x, 0).kink is None  # the mask stays as it was
    assert inspect.provenance(loss, x, 0, function=compute).kink is not None


def test_what_was_not_traced_has_no_finite_difference():
    x = leaf([1.0, 2.0])
    found = inspect.provenance((x * 3).sum(), x, 0)
    assert found.gradient == 3
    assert found.finite_difference is None
    assert found.relative_error is None
    assert "no finite difference: not traced: compute the loss inside inspect.trace()" in str(found)


@pytest.mark.parametrize("dtype", [minidl.float32, minidl.float64])
def test_a_function_gives_finite_differences(dtype):
    x = minidl.tensor([0.5, 2.0], dtype=dtype, requires_grad=True)
    compute = lambda: (x.exp() + x).square().sum()
    found = inspect.provenance(compute(), x, 1, function=compute)
    assert found.finite_difference == pytest.approx(found.gradient, rel=1e-3 if dtype == minidl.float32 else 1e-8)
    assert found.kink is None
    assert x.tolist() == [0.5, 2.0]
    x = minidl.tensor([0.0, 2.0], dtype=dtype, requires_grad=True)
    compute = lambda: (x.relu() * 2).sum()
    assert inspect.provenance(compute(), x, 0, function=compute).kink


def test_what_cannot_run_again_says_why():
    class Twice(minidl.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 2

    x = leaf([1.0])
    with inspect.trace():
        loss = Twice.apply(x).sum()
    found = inspect.provenance(loss, x, 0)
    assert found.gradient == 2
    assert "has no forward rule that can run again: pass function=" in found.why_not
    with inspect.trace(keep=4):
        loss = (x * minidl.tensor([2.0])).sum()
    assert inspect.provenance(loss, x, 0).why_not == "not all values were kept: trace with a larger keep="


def test_in_half_precision_the_finite_difference_is_still_exact():
    layer = nn.Linear(4, 3)
    x = minidl.randn(2, 4)
    with inspect.trace(), minidl.autocast("cpu"):
        loss = layer(x).float().square().sum()
    found = inspect.provenance(loss, layer.weight, (1, 2))
    assert found.finite_difference is not None
    assert found.relative_error < 0.05  # the gradient was rounded to bfloat16, the difference was not


# ----------------------------------------------------------------------------------------------------------- wrong use


def test_wrong_use_is_answered_in_words():
    x = leaf([1.0, 2.0])
    loss = (x * x).sum()
    with pytest.raises(RuntimeError, match=r"single number, and this tensor has shape \[2\]"):
        inspect.provenance(x * x, x, 0)
    with pytest.raises(IndexError, match=r"x has shape \[2\]: there is no element \[2\]"):
        inspect.provenance(loss, x, 2)
    with pytest.raises(IndexError, match="an element has 1 indices"):
        inspect.provenance(loss, x)
    for index in (0.5, "0", slice(0, 1), None):
        with pytest.raises(TypeError, match="an index must be whole numbers"):
            inspect.provenance(loss, x, index)
    with pytest.raises(KeyError, match="takes no part"):
        inspect.provenance(loss, leaf(1.0))
    with pytest.raises(RuntimeError, match="no graph behind"):
        inspect.provenance(minidl.tensor(1.0), x, 0)
    loss.backward()
    with pytest.raises(RuntimeError, match="a second time"):
        inspect.provenance(loss, x, 0)


def test_a_plot_shows_every_path(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    import matplotlib

    matplotlib.use("Agg")
    x, loss = deep(3)
    ax = inspect.provenance(loss, x, top=4).plot()
    assert len(ax.patches) == 5
    assert ax.get_yticklabels()[-1].get_text() == "all other paths"
    matplotlib.pyplot.close(ax.figure)
