"""The race checks answers before it times, names what runs, and tells what bounds it."""

from __future__ import annotations

import sys

import matplotlib.image
import numpy as np
import pytest

import minidl
from minidl import backends, nn
from minidl.autograd import tape
from minidl.inspect import race as race_function
from minidl.inspect.race import EXCUSED, HELP, difference
from tests.cli.test_cli import invoke, screens  # noqa: F401 (a fixture)


def build():
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.5), nn.Linear(18, 4)
    )
    x, y = minidl.randn(3, 1, 8, 8), minidl.randint(0, 4, (3,))
    return lambda: nn.functional.cross_entropy(model(x), y)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    from minidl.bench import ceilings

    made = ceilings.Ceilings("cpu", 1e10, 1e11, 1e-6)
    module = sys.modules["minidl.inspect.race"]  # the name in the package is the function's
    monkeypatch.setattr(module, "measure_ceilings", lambda device: made)


def test_a_race():
    found = race_function(build, ["numpy", "numba"], runs=2)
    assert not tape._around
    assert list(found.seconds) == ["numpy", "numba"]
    assert found.answers["numpy"] == pytest.approx(found.answers["numba"], rel=1e-4)
    assert all(error < 1e-4 for error in found.errors.values())
    legs = {(leg.operator, leg.phase, leg.backend): leg for leg in found.legs}
    for phase in ("forward", "backward"):
        leg = legs["Convolution", phase, "numpy"]
        assert leg.seconds > 0
        assert leg.error is not None
        assert leg.error < 1e-4
        assert leg.implementation == "numpy"
        assert leg.advice in HELP.values()
    assert legs["Convolution", "forward", "numpy"].flops == 2 * 3 * 2 * 36 * 9
    text = str(found)
    for word in ("Convolution", "numba", "GFLOP/s", "what would help"):
        assert word in text


def test_emulated_backends_are_checked_and_timed_only_when_asked(monkeypatch, capsys):
    monkeypatch.setattr(backends, "cuda_is_available", lambda: False)

    def graph():
        x = minidl.tensor(np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4), requires_grad=True)
        return (minidl.softmax(x, -1) * x).sum()

    found = race_function(graph, ["numpy", "triton"], runs=1)
    assert found.emulated == ["triton"]
    assert list(found.seconds) == ["numpy"]
    assert found.errors["triton"] < 1e-5
    assert "triton is emulated here" in str(found)
    found = race_function(graph, ["numpy", "triton"], runs=1, emulated=True)
    leg = next(
        leg for leg in found.legs if leg.operator == "Softmax" and leg.backend == "triton" and leg.phase == "forward"
    )
    assert (leg.ran, leg.launches) == ("triton", 1)


def test_a_wrong_answer_is_not_timed(monkeypatch):
    from minidl_kernels.softmax import with_numpy

    right = with_numpy.forward
    x = minidl.randn(3, 4, requires_grad=True)
    with monkeypatch.context() as m:
        m.setattr(with_numpy, "forward", lambda x, log=False: right(x, log) * (1.01 if x.dtype == np.float32 else 1))
        with pytest.raises(RuntimeError, match=r"numpy backend's answer is wrong: Softmax, forward, is off by 0\.01"):
            race_function(lambda: minidl.softmax(x, -1).square().sum(), ["numpy"])
    backward = with_numpy.backward
    with monkeypatch.context() as m:
        m.setattr(
            with_numpy, "backward", lambda g, y, log=False: backward(g, y, log) * (2 if g.dtype == np.float32 else 1)
        )
        with pytest.raises(RuntimeError, match="Softmax, backward"):
            race_function(lambda: minidl.softmax(x, -1).square().sum(), ["numpy"])
    assert not tape._around


def test_graphs_that_differ():
    drawn = iter([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    with pytest.raises(RuntimeError, match="nothing to race"):
        race_function(lambda: minidl.ones(1) * next(drawn), ["numpy", "numba"])


@pytest.mark.parametrize("fn", [lambda: 3, lambda: lambda: 3])
def test_what_is_no_graph(fn):
    with pytest.raises(TypeError, match="Tensor"):
        race_function(fn, ["numpy"])


def test_views_in_place_half_and_no_gradient():
    def graph():
        x = minidl.ones(4, 4, dtype=minidl.float16)
        x[1:].mul_(2)
        return x.T.exp().to(minidl.float32).sum()

    found = race_function(graph, ["numpy"], runs=1)
    assert found.errors["numpy"] < 2e-3
    assert found.answers["numpy"] == pytest.approx(4 * np.e + 12 * np.e**2, rel=1e-2)


def test_differences():
    assert difference(np.ones(3, np.float32), np.ones(3)) == 0
    assert difference(np.array([1.0, 4.0]), np.array([1.0, 5.0])) == pytest.approx(0.2)
    assert difference(np.array([np.inf, np.nan, 1.0]), np.array([np.inf, np.nan, 1.0])) == 0
    assert difference(np.array([np.nan]), np.array([1.0])) == np.inf
    assert difference(np.ones((2, 3)), np.ones(2)) == np.inf
    assert difference(np.zeros(0), np.zeros(0)) == 0
    assert difference(np.array([1e-3]), np.array([0.0])) == 1e-3
    assert list(EXCUSED) == ["float64", "float32", "float16", "bfloat16"]


MODEL = """
import minidl
def build():
    x = minidl.randn(5, 4, requires_grad=True)
    return lambda: minidl.softmax(x, -1).square().sum()
"""


def test_the_command(tmp_path):
    path, plot = tmp_path / "model.py", tmp_path / "roofline.png"
    path.write_text(MODEL)
    code, text = invoke("race", path, "--backends", "numpy,numba", "--runs", 1, "--plot", plot)
    assert code == 0, text
    assert "Softmax" in text
    assert matplotlib.image.imread(plot)[..., :3].std() > 0.02
    assert "there is no script" in invoke("race", tmp_path / "nothing.py")[1]
    path.write_text("x = 1")
    code, text = invoke("race", path)
    assert code == 1
    assert "called backward() never, so there is no graph" in text


SCRIPT = """
import sys
import minidl
from minidl import nn

minidl.manual_seed(0)
print("begins", sys.argv[1:])
model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 1))
for epoch in range(3):
    model(minidl.randn(16, 4)).square().mean().backward()
    print("epoch", epoch)
"""


def test_the_command_takes_a_plain_script(tmp_path, monkeypatch):
    path = tmp_path / "train.py"
    path.write_text(SCRIPT)
    code, text = invoke("race", "--backends", "numpy,numba", "--runs", 2, path, "--fast")
    assert code == 0, text
    assert text.count("begins ['--fast']") == 1
    assert "epoch" not in text
    assert "Linear" in text
    assert "Dropout" in text
    assert "numba" in text
    code, text = invoke("race", "--backends", "numpy", "--runs", 1, "--call", 3, path)
    assert code == 0, text
    assert "epoch 1" in text
    assert "epoch 2" not in text
    monkeypatch.setattr(backends, "emulated", lambda name: name == "triton")
    assert "Emulated here, and left out: triton" in invoke("race", "--runs", 1, path)[1]
    help = invoke("race", "--help")[1]
    assert "minidl race train.py --epochs 1" in help


def test_candidates_take_turns_and_none_goes_first_always(monkeypatch):
    order, slept = [], []
    module = sys.modules["minidl.inspect.race"]
    monkeypatch.setattr(module, "_seconds", lambda step: order.append(backends.get_backend()) or float(len(order)))
    monkeypatch.setattr(module.time, "sleep", slept.append)
    found = race_function(build, ["numpy", "numba"], runs=4)
    assert order == ["numpy", "numba", "numba", "numpy"] * 2
    assert len(slept) == 8
    assert found.seconds == {"numpy": 4.5, "numba": 4.5}  # medians of 1, 4, 5, 8 and of 2, 3, 6, 7
    assert [found.times[name].spread for name in ("numpy", "numba")] == [1.25, 1.75]  # half between the quartiles
