"""A recorded backward pass gives the bits of the plain one, and tells the truth about every step of it."""

from __future__ import annotations

import contextlib
import json

import numpy as np
import pytest
import torch

import minidl
from minidl import inspect, nn
from minidl.autograd import tape, walk
from minidl.nn import functional as F


def rebuilt(build):
    """Two runs of one computation from the same seed: (loss, leaves) each."""
    runs = []
    for _ in range(2):
        minidl.manual_seed(0)
        runs.append(build())
    return runs


def mlp():
    model = nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.GELU(), nn.Dropout(0.3), nn.Linear(7, 3))
    return F.cross_entropy(model(minidl.randn(6, 5)), minidl.randint(0, 3, (6,))), list(model.parameters())


def lstm():
    model = nn.LSTM(3, 4, num_layers=2, bidirectional=True)
    out, (h, c) = model(minidl.randn(5, 2, 3))
    return out.square().mean() + h.sum() + c.mean(), list(model.parameters())


def transformer():
    model = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    return model(minidl.randn(2, 5, 8)).square().sum(), list(model.parameters())


def convolution():
    model = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 2))
    return model(minidl.randn(3, 2, 4, 4)).logsumexp(-1).sum(), list(model.parameters())


def views_and_in_place():
    x = minidl.randn(4, 6, requires_grad=True)
    y = x * 1
    y[1:3] *= 2
    y.t()[0].add_(x[:, 1])
    a, b = y.chunk(2, dim=1)
    return (a * b.exp()).sum() + y.unbind(0)[2].prod(), [x]


def reuse_and_broadcasting():
    w = minidl.randn(1, 4, requires_grad=True)
    s = minidl.randn(3, 1, 1, requires_grad=True)
    y = w * w + s
    z = y * w
    return (z + y.sum(1, keepdim=True) * w).mean() + w.sum(), [w, s]


def embedding_tied():
    table = nn.Embedding(7, 4)
    h = table(minidl.tensor([1, 2, 2, 6])).tanh()
    return F.cross_entropy(F.linear(h, table.weight), minidl.tensor([2, 2, 6, 0])), [table.weight]


BUILDS = [mlp, lstm, transformer, convolution, views_and_in_place, reuse_and_broadcasting, embedding_tied]


@pytest.mark.parametrize("build", BUILDS, ids=lambda build: build.__name__)
@pytest.mark.parametrize("traced", [True, False])
def test_the_bits_of_plain_backward(build, traced):
    (plain, leaves), _ = rebuilt(build)
    plain.backward()
    minidl.manual_seed(0)
    if traced:
        with inspect.trace():
            loss, mine = build()
    else:
        loss, mine = build()
    recording = inspect.backward(loss)
    for leaf, other in zip(mine, leaves):
        assert np.array_equal(leaf.grad._data, other.grad._data)
        assert leaf.grad._data.strides == other.grad._data.strides
        noted = recording.gradients[recording.nodes.find(leaf).id]
        assert np.array_equal(noted.array, other.grad._data)
    assert len(recording) == len(recording.nodes.ops)
    assert not tape._around
    assert not walk._makers
    for step in recording:
        assert step.explain()
    json.dumps(recording.to_json(), allow_nan=False)


@pytest.mark.parametrize("build", BUILDS, ids=lambda build: build.__name__)
def test_contributions_add_up(build):
    with inspect.trace():
        loss, _ = build()
    recording = inspect.backward(loss)
    sums = {}
    for step in recording:
        for id, gradient in zip(step.op.outputs, step.incoming):
            if id in sums:
                np.testing.assert_allclose(gradient.array, sums.pop(id), rtol=1e-6)
        for local, added in zip(step.local, step.added):
            assert local.gradient.shape == local.value.shape == added.after.shape
            id = added.value.id
            if added.before is None:
                assert id not in sums
                sums[id] = added.contribution.array.copy()
            else:
                np.testing.assert_array_equal(added.before.array, sums[id])
                sums[id] = sums[id] + added.contribution.array
            np.testing.assert_array_equal(added.after.array, sums[id])
    assert set(sums) == set(recording.gradients)


def test_every_gradient_is_pytorchs():
    rng = np.random.default_rng(0)
    x, w, v = rng.normal(size=(4, 3)), rng.normal(size=(5, 3)), rng.normal(size=(1, 5))
    mine = [minidl.tensor(a, dtype=minidl.float64, requires_grad=True) for a in (x, w, v)]
    with inspect.trace():
        h = F.linear(mine[0], mine[1])
        a = h.tanh()
        loss = ((a * mine[2]).exp() + a).sum()
    recording = inspect.backward(loss)
    tx, tw, tv = (torch.tensor(a, requires_grad=True) for a in (x, w, v))
    th = torch.nn.functional.linear(tx, tw)
    ta = th.tanh()
    tm = ta * tv
    te = tm.exp()
    ts = te + ta
    for t in (th, ta, tm, te, ts):
        t.retain_grad()
    ts.sum().backward()
    theirs = {"h": th, "a": ta, "mul 1": tm, "exp 1": te, "add 1": ts}
    for step in recording:
        (gradient,) = step.incoming
        name = recording.nodes.values[step.op.outputs[0]].name
        if name in theirs:
            np.testing.assert_allclose(gradient.array, theirs.pop(name).grad.numpy(), rtol=1e-12)
    assert not theirs


def test_broadcasting_is_told_with_both_shapes():
    s = minidl.tensor([[1.0], [2.0]], requires_grad=True)
    with inspect.trace():
        loss = (s * minidl.ones(3, 2, 4)).sum()
    step = inspect.backward(loss)[1]
    assert step.local[0].rule_shape == (3, 2, 4)
    assert step.local[0].gradient.shape == (2, 1)
    assert step.local[0].was_broadcast
    assert s.grad.tolist() == [[12], [12]]
    told = step.explain()
    assert "stretched s from [2 × 1] to [3 × 2 × 4], so the gradient is summed over dimensions 0, 2" in told


def test_a_tensor_used_twice_says_so():
    w = minidl.tensor(3.0, requires_grad=True)
    with inspect.trace():
        y = w * w
        loss = y + w
    told = [step.explain() for step in inspect.backward(loss)]
    assert "the first of 3 contributions to the gradient of w" in told[0]
    assert "contribution 2 of 3 is added to what has come to w: 1 + 3 = 4" in told[1]
    assert (
        "contribution 3 of 3 is added to what has come to w: 4 + 3 = 7; it is complete, and is added to w.grad"
        in told[1]
    )
    assert w.grad.item() == 7


def test_an_explanation_by_hand():
    a = minidl.tensor(2.0, requires_grad=True)
    b = minidl.tensor(3.0, requires_grad=True)
    with inspect.trace():
        y = a * b
        loss = y * 5
    step = inspect.backward(loss)[1]
    told = step.explain().splitlines()
    assert told[0] == "Step 2 of 2: back through mul, a [a number], b [a number] → y [a number]"
    assert "y = a * b" in told[1]
    assert told[2] == "forward: a = 2, b = 3, y = 6"
    assert told[4] == "in:  g = ∂loss/∂y: 5"
    assert told[5] == "rule: y = a b;  ∂y/∂a = b, ∂y/∂b = a"
    assert told[6] == "      y: y [a number];  a: a [a number];  b: b [a number]"
    assert told[7] == "      Each factor gets g times the other factor."
    assert told[9] == "out: ∂loss/∂a = g · ∂y/∂a = 5 · 3 = 15"
    assert "out: ∂loss/∂b = g · ∂y/∂b = 5 · 2 = 10" in told
    assert step.seconds > 0
    assert step.nbytes == 12


def test_an_elementwise_step_shows_its_factors():
    x = minidl.tensor([1.0, 2.0], requires_grad=True)
    with inspect.trace():
        loss = x.square().sum()
    assert "∂loss/∂x = g ⊙ ∂(square 1)/∂x = [1, 1] ⊙ [2, 4] = [2, 4]" in inspect.backward(loss)[1].explain()


def test_what_is_not_traced_is_said():
    loss = (minidl.ones(2, requires_grad=True) * 2).sum()
    assert "not traced: compute the loss inside inspect.trace()" in inspect.backward(loss)[0].explain()


def test_an_earlier_gradient_is_kept_and_told():
    w = minidl.tensor([1.0, 1.0], requires_grad=True)
    w.grad = minidl.tensor([3.0, 4.0])
    recording = inspect.backward((w * 2).sum())
    assert w.grad.tolist() == [5, 6]
    assert recording.before[0].array.tolist() == [3, 4]
    assert recording.gradients[0].array.tolist() == [2, 2]
    assert "where an earlier gradient of norm 5 stands" in recording[1].explain()


def test_hooks_are_heard():
    w = minidl.tensor([1.0, 2.0], requires_grad=True)
    w.register_hook(lambda g: g * 10)
    y = w * 3
    y.register_hook(lambda g: g * 2)
    recording = inspect.backward(y.sum())
    assert recording[1].incoming[0].array.tolist() == [2, 2]
    assert w.grad.tolist() == [60, 60]
    assert recording.gradients[recording.nodes.find(w).id].array.tolist() == [60, 60]


# -------------------------------------------------------------------------------------------------------------- playing


@pytest.fixture
def played():
    a = minidl.tensor(2.0, requires_grad=True)
    with inspect.trace():
        b = a * 3
        c = b.exp()
        d = c + a
    return inspect.backward(d)


def test_forward_and_back(played):
    assert played.current is None
    assert played.next().op.label == "add"
    assert played.next().op.label == "exp"
    assert played.back().op.label == "add"
    assert played.back() is None
    assert played.back() is None
    assert [played.next().index for _ in range(3)] == [0, 1, 2]
    assert played.next() is None
    assert played.current.op.label == "mul"


def test_to_a_step_or_a_parameter(played):
    assert played.to(1).op.label == "exp"
    assert played.to(-1).op.label == "mul"
    assert played.to("a").op.label == "mul"  # where it is complete
    assert played.to("c").op.label == "add"
    assert played.current.index == 0
    with pytest.raises(IndexError, match="3 steps, 0 to 2; there is no step 3"):
        played.to(3)
    with pytest.raises(KeyError, match="'w'"):
        played.to("w")
    with pytest.raises(KeyError, match="no step adds"):
        played.to("d")
    assert played.current.index == 0


def test_first_and_breaks(played):
    assert played.first(norm_above=100).op.label == "exp"
    assert played.current.index == 1
    assert played.first(lambda step: step.op.label == "mul").index == 2
    assert played.first(nan=True) is None
    assert played.current.index == 2
    played.to(0)
    played.break_on(norm_above=100)
    assert played.run().index == 1
    assert played.run().index == 2
    assert played.run() is None
    played.clear_breaks()
    played.to(0)
    assert played.run() is None
    assert played.current.index == 2
    with pytest.raises(ValueError, match="a condition is needed"):
        played.first()


def test_break_at_the_first_nan():
    x = minidl.tensor([0.0, 1.0], requires_grad=True)
    with inspect.trace():
        loss = (x.sqrt() * 0).sum()
    recording = inspect.backward(loss)
    step = recording.break_on(nan=True).run()
    assert step.op.label == "sqrt"
    assert step.has_nan
    assert np.isnan(step.norm)
    assert "here the first NaN arises" in step.explain()
    assert json.loads(json.dumps(recording.to_json()))["steps"][2]["local"][0]["items"] == ["nan", 0]


def test_it_is_a_sequence(played):
    assert len(played) == 3
    assert [step.op.label for step in played] == ["add", "exp", "mul"]
    assert [step.index for step in played[1:]] == [1, 2]
    assert str(played[0]) == played[0].explain()
    assert "3 steps" in repr(played)
    assert repr(played[1]) == "<Step 2 of 3: back through exp, b [a number] → c [a number]>"
    assert repr(played.nodes) == "<Nodes: 3 operators, 5 values>"


# -------------------------------------------------------------------------------------------------------------- limits


def test_beyond_the_limit_statistics_remain():
    x = minidl.randn(100, requires_grad=True)
    loss = x.exp().sum()
    recording = inspect.backward(loss, keep=500)
    assert not recording.complete
    assert "statistics alone" in repr(recording)
    last = recording[-1].local[0].gradient
    assert last.array is None
    assert last.norm == pytest.approx(np.linalg.norm(x.grad._data), rel=1e-6)
    assert recording[-1].explain()
    made = recording.to_json()["steps"][-1]["local"][0]
    assert made["items"] is None
    assert len(made["grid"][0]) == 24


def test_json_has_exactly_what_the_page_reads(played):
    made = played.to_json()
    assert made["version"] == 1
    assert made["title"] == "d"
    assert made["loss"] == played.nodes.roots[0]
    assert [v["name"] for v in made["values"]] == ["a", "3", "b", "c", "d"]
    assert set(made["values"][0]) == {
        *("id", "name", "kind", "shape", "dtype", "requires_grad", "stats", "grid", "items")
    }
    assert set(made["values"][0]["stats"]) == {"min", "max", "mean", "std", "norm", "nan", "inf", "zeros"}
    assert set(made["ops"][0]) == {
        *("id", "name", "label", "formula", "settings", "inputs", "outputs", "scope", "line"),
        *("seconds", "nbytes", "implementation"),
    }
    assert made["ops"][0]["line"]["text"] == "b = a * 3"
    step = made["steps"][2]
    assert step["op"] == 0
    assert step["added"][0]["before"]["items"] == [1]
    assert step["added"][0]["after"]["items"] == [pytest.approx(1 + 3 * np.exp(6), rel=1e-6)]
    assert made["gradients"]["0"]["items"] == step["added"][0]["after"]["items"]


def test_pictures_are_means_of_blocks():
    from minidl.inspect import digest

    array = np.arange(50.0 * 30).reshape(5, 10, 30)
    found = np.array(digest.grid(array))
    assert found.shape == (24, 24)
    matrix = array.reshape(50, 30)
    assert found[0, 0] == matrix[:2, :1].mean()
    assert found[-1, -1] == matrix[47:, 28:].mean()
    assert np.isclose(np.average(digest.grid(array[:, 0, :24])), array[:, 0, :24].mean())
    assert digest.grid(np.zeros((0, 3))) == []
    assert digest.grid(np.float32(2)) == [[2.0]]
    stats = digest.statistics(np.array([np.nan, np.inf, 0.0, 3.0, -4.0]))
    assert stats["nan"] == stats["inf"] == stats["zeros"] == 1
    assert (stats["min"], stats["max"], stats["norm"]) == (-4, 3, 5)
    assert digest.statistics(np.zeros(0))["min"] is None


# ---------------------------------------------------------------------------------------------------- settings, errors


def test_several_losses_and_a_given_gradient():
    x = minidl.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    z = y * y
    recording = inspect.backward([z.sum(), y.sum()])
    assert x.grad.tolist() == [2 * 2 * 2 + 2, 2 * 2 * 4 + 2]
    assert recording.title == "sum 1, sum 2"
    x.grad = None
    inspect.backward(x * 2, minidl.tensor([1.0, 10.0]))
    assert x.grad.tolist() == [2, 20]


def test_a_root_that_another_root_depends_on():
    x = minidl.tensor(2.0, requires_grad=True)
    y = x * 3
    z = y * 5
    recording = inspect.backward([y, z])
    assert x.grad.item() == 18
    assert recording[0].added[0].before.array == 1  # where the pass starts
    assert recording[0].added[0].after.array == 6


def test_a_graph_may_be_retained():
    x = minidl.tensor(2.0, requires_grad=True)
    loss = x * x
    inspect.backward(loss, retain_graph=True)
    inspect.backward(loss)
    assert x.grad.item() == 8
    with pytest.raises(RuntimeError, match="a second time"):
        inspect.backward(loss)
    assert x.grad.item() == 8
    assert not tape._around
    assert not walk._makers


def test_a_leaf_is_recorded():
    x = minidl.tensor(2.0, requires_grad=True)
    recording = inspect.backward(x)
    assert len(recording) == 0
    assert x.grad.item() == 1
    assert recording.gradients[0].array == 1


def test_wrong_use_is_refused_in_words():
    with pytest.raises(RuntimeError, match="does not require grad"):
        inspect.backward(minidl.tensor(1.0))
    with pytest.raises(RuntimeError, match=r"grad can be implicitly created only for scalar outputs.*\(2,\)"):
        inspect.backward(minidl.ones(2, requires_grad=True) * 2)
    with pytest.raises(TypeError, match=r"backward: expected a Tensor .*, got float"):
        inspect.backward([1.0])
    with pytest.raises(TypeError, match="names must be"):
        inspect.backward(minidl.ones(2, requires_grad=True).sum(), names=3)
    assert not walk._makers


def test_checkpointed_segments_and_graphs_of_graphs():
    from minidl.inspect.recording import recorded_backward
    from minidl.utils.checkpoint import checkpoint

    layer = nn.Linear(3, 3)
    x = minidl.randn(2, 3)
    loss = checkpoint(lambda v: layer(v).tanh(), x.requires_grad_()).sum()
    recording = inspect.backward(loss)
    assert "segment" in [step.op.label for step in recording]
    mine = layer.weight.grad._data.copy()
    layer.zero_grad()
    layer(x).tanh().sum().backward()
    assert np.array_equal(mine, layer.weight.grad._data)

    w = minidl.tensor(3.0, requires_grad=True)
    found = []
    with recorded_backward(found.append):
        (w * w * w).backward(create_graph=True)
    assert found[0].gradients[0].array == 27
    second = w.grad * 1
    w.grad = None
    second.backward()
    assert w.grad.item() == 18


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_types_and_empty_tensors(dtype):
    x = minidl.ones(0, 3, requires_grad=True, dtype=getattr(minidl, dtype))
    y = minidl.ones(3, requires_grad=True, dtype=getattr(minidl, dtype))
    with inspect.trace():
        loss = (x + y).sum() + y.sum()
    recording = inspect.backward(loss)
    assert recording.gradients[recording.nodes.find(y).id].dtype == dtype
    assert y.grad.tolist() == [1, 1, 1]
    json.dumps(recording.to_json(), allow_nan=False)
    for step in recording:
        step.explain()


@pytest.mark.parametrize("traced", [True, False])
def test_values_stay_as_they_were_when_the_weights_move_on(traced):
    w = minidl.tensor([1.0, 2.0], requires_grad=True)
    with inspect.trace() if traced else contextlib.nullcontext():
        loss = (w * w).sum()
    recording = inspect.backward(loss)
    with minidl.no_grad():
        w -= 5.0
    assert recording.nodes.find("w").array.tolist() == [1, 2]
    assert recording.nodes.find("loss").array == 5  # known without a trace


@pytest.mark.parametrize("before", [False, True])
def test_hooks_change_what_is_recorded(before):
    w = minidl.ones(2, requires_grad=True)
    if before:
        (w * 7).sum().backward()
    w.register_hook(lambda g: g * 10)
    with inspect.trace():
        h = w * 2
        loss = (h * h).sum()
    h.register_hook(lambda g: g + 1)
    h.register_hook(lambda g: None)
    recording = inspect.backward(loss)
    at = recording.nodes.find("h").id
    step = next(step for step in recording if at in step.op.outputs)
    assert step.incoming[0].array.tolist() == [5, 5]
    assert recording.gradients[recording.nodes.find("w").id].array.tolist() == [100, 100]
    assert w.grad.tolist() == [100 + 7 * before] * 2
