"""A program's graph, taken at a backward() and run again, gives the program's own loss and gradients."""

from __future__ import annotations

import numpy as np
import pytest

import minidl
from minidl.autograd import tape, walk
from minidl.inspect.program import graph_of

HEAD = """
import sys
import minidl
from minidl import nn
from minidl.nn import functional as F
minidl.manual_seed(0)
"""
PROGRAMS = {
    "network": """
layers = nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(), nn.Linear(18, 4)
model = nn.Sequential(*layers)
loss = F.cross_entropy(model(minidl.randn(3, 1, 8, 8)), minidl.tensor([0, 1, 2]))
wanted = list(model.parameters())
""",
    "recurrent": """
model = nn.LSTM(3, 4)
wanted = list(model.parameters())
loss = model(minidl.randn(5, 2, 3))[0].square().mean()
""",
    "a tensor used twice, and changed later": """
a = minidl.randn(3, requires_grad=True)
scale = minidl.tensor([2.0, 3.0, 4.0])
loss = (a + scale).sum() + a.exp().sum()
scale += 1
wanted = [a]
""",
    "in place": """
a = minidl.randn(3, 4, requires_grad=True)
x = a * 1
x[1:].mul_(2)
x[0] = a[2].exp()
x.add_(1)
loss = x.square().sum()
wanted = [a]
""",
    "a Function": """
class Double(minidl.autograd.Function):
    @staticmethod
    def forward(ctx, x, factor):
        ctx.factor = factor
        return x * factor
    @staticmethod
    def backward(ctx, g):
        return g * ctx.factor, None
a = minidl.randn(3, requires_grad=True)
loss = Double.apply(a, 3).square().sum()
wanted = [a]
""",
    "several losses": """
a = minidl.randn(3, requires_grad=True)
losses = [a.sum(), a.square().sum()]
wanted = [a]
minidl.autograd.backward(losses)
""",
}


def program(tmp_path, text, end="\nloss.backward()\nraise SystemExit('went on')\n"):
    path = tmp_path / "train.py"
    path.write_text(HEAD + text + end)
    return path


@pytest.mark.parametrize("name", PROGRAMS)
def test_loss_and_gradients_are_the_programs_own(tmp_path, name):
    text = PROGRAMS[name]
    names = {}
    exec(HEAD + text + ("" if "losses" in text else "loss.backward()"), names)  # the program itself
    loss = sum(names["losses"]) if "losses" in text else names["loss"]
    graph = graph_of(program(tmp_path, text))
    for _ in range(2):
        y = graph.run()
        y.backward()
        np.testing.assert_allclose(y.item(), loss.item(), rtol=1e-5)
        leaves = {
            id(x): x for _, sources in graph.steps for x in sources if isinstance(x, minidl.Tensor) and x.requires_grad
        }
        found = [x.grad._data for x in leaves.values()]
        for leaf in names["wanted"]:
            mine = next(g for g in found if g.shape == leaf.shape and np.allclose(g, leaf.grad._data, atol=1e-6))
            found = [g for g in found if g is not mine]
        assert not found
    assert not tape._tracers
    assert not walk._makers


def test_the_program_ends_at_the_call_that_was_wanted(tmp_path, capsys):
    text = """
w = minidl.tensor(1.0, requires_grad=True)
for n in range(5):
    try:
        (w * n).backward()
    except Exception:
        print("caught")
    print("after", n, sys.argv[1:])
"""
    graph = graph_of(program(tmp_path, text, ""), ["--fast"], call=3)
    assert graph.run().item() == 2
    assert capsys.readouterr().out == "after 0 ['--fast']\nafter 1 ['--fast']\n"


def test_a_program_that_ends_before(tmp_path):
    with pytest.raises(RuntimeError, match=r"called backward\(\) never, so there is no graph of call 1"):
        graph_of(program(tmp_path, "", ""))
    with pytest.raises(RuntimeError, match=r"called backward\(\) once, so there is no graph of call 2"):
        graph_of(program(tmp_path, "minidl.ones(1, requires_grad=True).backward()", ""), call=2)
    with pytest.raises(ValueError, match="no data"):
        graph_of(program(tmp_path, "raise ValueError('no data')", ""))
    with pytest.raises(SystemExit):
        graph_of(program(tmp_path, "sys.exit(3)", ""))
    with pytest.raises(FileNotFoundError, match="there is no script"):
        graph_of(tmp_path / "nothing.py")
    with pytest.raises(ValueError, match="there is no call 0"):
        graph_of(program(tmp_path, ""), call=0)
    assert not tape._tracers
    assert not walk._makers


def test_what_cannot_run_again_is_named(tmp_path):
    text = """
from minidl.utils.checkpoint import checkpoint
a = minidl.randn(3, requires_grad=True)
loss = checkpoint(lambda x: x.exp(), a).sum()
"""
    graph = graph_of(program(tmp_path, text))
    with pytest.raises(RuntimeError, match=r"segment has no forward rule that can run again.*build\(\)"):
        graph.run()
