"""The profiler sees every operator once, says what ran and where, and leaves nothing behind."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

import minidl
from minidl import backends, costs, nn, profiler
from minidl.autograd import tape
from tests.cli.test_cli import invoke, screens  # noqa: F401 (a fixture)


def profiled(work, **settings):
    with profiler.profile(**settings) as prof:
        work()
    assert not tape._around
    assert not backends._observers
    return prof, {(row.name, row.phase): row for row in prof.key_averages()}


def test_operators_forward_and_backward():
    a, b = minidl.randn(8, 4, requires_grad=True), minidl.randn(4, 3, requires_grad=True)
    prof, rows = profiled(lambda: (a @ b).exp().sum().backward())
    assert {phase for _, phase in rows} == {"forward", "backward"}
    product = rows["MatMul", "forward"]
    assert product.calls == 1
    assert product.flops == 2 * 8 * 4 * 3
    assert product.nbytes == 4 * (8 * 4 + 4 * 3 + 8 * 3)
    assert list(product.implementations) == ["numpy"]
    assert __file__ in product.line
    assert rows["MatMul", "backward"].line == product.line
    assert rows["MatMul", "backward"].flops == 2 * product.flops
    assert 0 < product.own <= product.total <= prof.seconds
    (event,) = [e for e in prof.events if e.name == "MatMul" and e.phase == "forward"]
    assert event.shapes == ((8, 4), (4, 3))


def test_time_inside_is_not_counted_twice():
    x = minidl.randn(5, requires_grad=True)
    prof, rows = profiled(lambda: minidl.autograd.grad((x.exp() * x).sum(), x, create_graph=True))
    assert sum(row.own for row in prof.key_averages()) <= prof.seconds
    assert all(row.own <= row.total for row in rows.values())


def test_optimisers_and_blocks():
    layer = nn.Linear(3, 3)
    optimizer = minidl.optim.Adam(layer.parameters())

    def work():
        with profiler.record_function("my step"):
            layer(minidl.ones(2, 3)).sum().backward()
            optimizer.step()

    prof, rows = profiled(work)
    assert ("adam.step", "kernel") in rows
    assert ("matmul.forward", "kernel") not in rows  # it is Linear's
    assert rows["my step", "block"].total >= rows["adam.step", "kernel"].total
    assert "adam.step" in prof.key_averages().table(sort_by="name")
    with profiler.record_function("nobody listens"):
        pass


def test_by_line_and_sorting():
    x = minidl.ones(3)

    def work():
        x.exp()
        for _ in range(2):
            x.exp()

    prof, rows = profiled(work)
    (row,) = rows.values()
    assert row.calls == 3
    assert sorted(r.calls for r in prof.key_averages(by_line=True)) == [1, 2]
    assert [r.calls for r in prof.key_averages(by_line=True).sorted("calls")] == [2, 1]
    for order in profiler.SORTS:
        assert row.name in prof.key_averages().table(sort_by=order)
    with pytest.raises(ValueError, match="sorted by one of total"):
        prof.key_averages().sorted("colour")


def test_the_trace(tmp_path):
    x = minidl.ones(3, requires_grad=True)
    prof, _ = profiled(lambda: minidl.softmax(x, 0).sum().backward())
    prof.export_chrome_trace(tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert {e["cat"] for e in events} == {"forward", "backward", "kernel"}
    kernel = next(e for e in events if e["name"] == "softmax.forward")
    operator = next(e for e in events if e["name"] == "Softmax" and e["cat"] == "forward")
    assert operator["ts"] <= kernel["ts"]
    assert kernel["ts"] + kernel["dur"] <= operator["ts"] + operator["dur"]
    assert kernel["args"]["implementation"] == "numpy"
    assert kernel["args"]["bytes"] == 24


class Broken(tape.Operator):
    """y = x / 0."""

    def forward(self, x):
        return 1 / 0


def test_an_error_inside_and_two_at_once():
    with pytest.raises(RuntimeError, match="cannot be nested"), profiler.profile(), profiler.profile():
        pass
    prof = profiler.profile()
    with pytest.raises(ZeroDivisionError), prof:
        tape.apply(Broken(), minidl.ones(2))
    assert not tape._around
    assert [e.name for e in prof.events] == ["Broken"]
    with profiler.profile(record_shapes=False) as prof:
        minidl.ones(2).exp()
    assert prof.events[0].shapes == ()


def test_a_fallback_is_named():
    with minidl.use_backend("numba"):
        _, rows = profiled(lambda: minidl.ones(2, 3) @ minidl.ones(3, 2))
        assert list(rows["MatMul", "forward"].implementations) == [backends.implementation("matmul")]


def test_costs_by_hand():
    x, w, y = np.ones((2, 4, 6, 6)), np.ones((8, 2, 3, 3)), np.ones((2, 8, 6, 6))  # two groups
    expected = 2 * 2 * 8 * 36 * 9 * 2
    assert costs.flops("convolution", "forward", (x, w), y) == expected
    assert costs.flops("convolution", "input_gradient", (y, w), x) == expected
    assert costs.flops("convolution", "weight_gradient", (x, y), w) == expected
    q, k, v = np.ones((2, 4, 5, 8)), np.ones((2, 2, 7, 8)), np.ones((2, 2, 7, 3))
    assert costs.flops("attention", "forward", (q, k, v), None) == 2 * (2 * 4 * 5 * 7) * (8 + 3)
    assert costs.flops("attention", "backward", (q, q, k, v), None) == 2 * (2 * 4 * 5 * 7) * (3 * 8 + 2 * 3)
    full = costs.flops("attention", "forward", (q, k, v), None)
    assert costs.flops("attention", "forward", (q, q, v), None, {"causal": True}) == 2 * (2 * 4 * 15) * (8 + 3)
    assert costs.flops("attention", "forward", (q, k, v, None, False), None) == full
    assert costs.flops("attention", "backward", (q, q, q, v, q, None, None, True), None) == 2 * (2 * 4 * 15) * (24 + 6)
    xw, h, whh = np.ones((6, 2, 12)), np.ones((2, 3)), np.ones((12, 3))
    assert costs.flops("lstm", "forward", (xw, h, h, whh), None) == 2 * 6 * 2 * 36
    assert costs.flops("unknown", "forward", (xw,), None) == xw.size
    assert costs.flops("matmul", "forward", (), np.ones(4)) == 4
    assert costs.flops("pooling", "max_forward", (x, (2, 2)), (np.ones((2, 4, 3, 3)), None)) == 72 * 4
    assert costs.flops("pooling", "sum_forward", (x, (2, 2)), np.ones((2, 4, 3, 3))) == 72 * 4
    assert costs.flops("pooling", "sum_backward", (np.ones(72), None, (2, 2)), None) == 72 * 4
    assert costs.flops("adam", "step", ([np.ones(3), np.ones(2)],), None) == 60


SCRIPT = """
import sys, minidl
print("got", sys.argv[1:])
x = minidl.ones(3, requires_grad=True)
(x * x).sum().backward()
{end}
"""


@pytest.fixture
def script(tmp_path):
    def write(end=""):
        path = tmp_path / "script.py"
        path.write_text(SCRIPT.format(end=end))
        return path

    return write


def test_the_command(script, tmp_path):
    path, trace = script(), tmp_path / "trace.json"
    code, text = invoke("profile", "--trace", trace, "--by-line", path, "one", "--two")
    assert code == 0, text
    assert "got ['one', '--two']" in text
    assert "script.py:5" in text
    assert "backward" in text
    assert trace.exists()


def test_scripts_that_end_early(script, tmp_path):
    assert invoke("profile", script("sys.exit(3)"))[0] == 3
    code, text = invoke("profile", script("sys.exit('bye')"))
    assert code == 1
    code, text = invoke("profile", script("raise ValueError('it broke')"))
    assert code == 1
    assert "it broke" in text
    assert "backward" in text  # what ran before is shown
    assert "no script" in invoke("profile", tmp_path / "nothing.py")[1]
    assert "--sort knows" in invoke("profile", "--sort", "colour", script())[1]


def test_warm_up_is_told_apart():
    prof = profiler.profile()
    prof.seconds = 20.0
    block = profiler.Event("step", "block", 0.0, 9.5)
    outer = profiler.Event("Outer", "forward", 0.0, 9.0, inside=8.0, nbytes=4, parent=block)
    first = [profiler.Event("Exp", "forward", 0.5, 8.0, nbytes=8, parent=outer)]
    later = [profiler.Event("Exp", "forward", 10.0 + i, seconds, nbytes=8) for i, seconds in enumerate((1.0, 0.5, 1.5))]
    others = [
        profiler.Event("Exp", "forward", 15.0, 3.0, nbytes=80),  # of another size, once: nothing can be told
        profiler.Event("Log", "forward", 16.0, 1.9),
        profiler.Event("Log", "forward", 17.0, 1.0),  # not twice as long
    ]
    prof.events = [*first, outer, block, *later, *others]
    rows = {row.name: row for row in prof.key_averages()}
    assert rows["Exp"].calls == 5
    assert rows["Exp"].warm_up == 7.0
    assert rows["Exp"].total == rows["Exp"].own == 1.0 + 3.0 + 3.0
    assert (rows["Outer"].total, rows["Outer"].own, rows["Outer"].warm_up) == (2.0, 1.0, 0.0)
    assert rows["step"].total == 2.5
    assert (rows["Log"].total, rows["Log"].warm_up) == (2.9, 0.0)
    text = " ".join(prof.key_averages().table().split())
    assert "35% in warm-up (first calls load and compile), which is not in their times" in text
    assert "of what ran once" in text  # Outer


def test_a_slow_first_call_does_not_make_an_operator_slow():
    class Compiled(tape.Operator):
        """y = x, after a while at first."""

        ready = False

        def forward(self, x):
            if not Compiled.ready:
                time.sleep(0.5)
                Compiled.ready = True
            return x * 1

    _, rows = profiled(lambda: [tape.apply(Compiled(), minidl.ones(2)) for _ in range(9)])
    row = rows["Compiled", "forward"]
    assert row.warm_up >= 0.4
    assert row.total < 0.4
