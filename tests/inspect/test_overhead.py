"""What the hooks cost while nothing hangs on them: beside an engine from which they were cut out, at most two percent.

The engine without hooks is made from the engine's own source: every test of a hook list is taken out of its syntax tree.
"""

from __future__ import annotations

import ast
import inspect as source_of
import statistics
import sys
import textwrap
import time

import pytest

import minidl
from minidl import inspect, nn
from minidl.autograd import tape, walk
from minidl.nn import hooks, module

LISTS = {"_around", "_tracers", "_checks", "_makers", "everywhere"}
ALLOWED = 1.02


class WithoutHooks(ast.NodeTransformer):
    """Takes the empty lists as known to be empty: tests of them are false, loops over them go."""

    def __init__(self):
        self.cut = []

    def _empty(self, node):
        name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
        if name in LISTS:
            self.cut.append(name)
        return name in LISTS

    def visit_If(self, node):
        self.generic_visit(node)
        return node.orelse or None if self._empty(node.test) else node

    def visit_IfExp(self, node):
        self.generic_visit(node)
        return node.orelse if self._empty(node.test) else node

    def visit_For(self, node):
        self.generic_visit(node)
        return None if self._empty(node.iter) else node

    def visit_BoolOp(self, node):  # "… and not everywhere": true, so the rest decides
        values = [
            v
            for v in node.values
            if not (isinstance(v, ast.UnaryOp) and isinstance(v.op, ast.Not) and self._empty(v.operand))
        ]
        node.values = values
        self.generic_visit(node)
        return values[0] if len(values) == 1 else node


def without_hooks(function):
    """The function, with no test of a hook left in it, and how many there were."""
    tree = ast.parse(textwrap.dedent(source_of.getsource(function)))
    cutter = WithoutHooks()
    tree = ast.fix_missing_locations(cutter.visit(tree))
    tree.body[0].decorator_list = []
    space = {}
    code = compile(tree, function.__code__.co_filename, "exec")
    exec(code, function.__globals__, space)
    return space[function.__name__], len(cutter.cut)


PLACES = [(tape, "apply"), (tape, "record"), (tape.Pass, "step"), (walk, "backward"), (module.Module, "__call__")]


@pytest.fixture
def engines(monkeypatch):
    """A context for either engine: engines(True) has no hooks."""
    bare = {}
    for owner, name in PLACES:
        bare[owner, name], cuts = without_hooks(getattr(owner, name))
        assert cuts, f"{name} has no hook to be cut out"
    plain = {(owner, name): getattr(owner, name) for owner, name in PLACES}
    users = [m for m in list(sys.modules.values()) if getattr(m, "apply", None) is plain[tape, "apply"]]

    def switch(to_bare):
        chosen = bare if to_bare else plain
        for (owner, name), function in chosen.items():
            setattr(owner, name, function)
        for user in users:  # they imported the name
            user.apply = chosen[tape, "apply"]

    yield switch
    switch(False)


def training_step():
    """A step so small that the engine's own time is nearly all of it."""
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    x = minidl.randn(4, 4)
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.01)

    def step():
        optimizer.zero_grad()
        loss = (model(x) * 2 + 1).square().mean()
        loss.backward()
        optimizer.step()

    return step


def test_nothing_hangs_unless_asked():
    w = minidl.ones(2, requires_grad=True)
    with inspect.trace():
        loss = (w * w).sum()
    inspect.provenance(loss, w, 0)
    inspect.backward(loss)
    for hanging in (tape._around, tape._tracers, tape._checks, walk._makers, hooks.everywhere):
        assert not hanging
    assert not minidl.backends._observers


def counted(step):
    """How many instructions Python executes in a step, and how many functions it calls."""
    instructions = calls = 0

    def trace(frame, event, argument):
        nonlocal instructions, calls
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        calls += event == "call"
        instructions += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        step()
    finally:
        sys.settrace(before)
    return instructions, calls


def test_instructions_and_calls(engines):
    step = training_step()
    step()
    instructions, calls = counted(step)
    engines(True)
    step()
    bare_instructions, bare_calls = counted(step)
    assert calls == bare_calls  # no function runs on behalf of a hook
    assert bare_instructions < instructions <= ALLOWED * bare_instructions


@pytest.mark.slow
def test_time(engines):
    """The two engines take turns, so that what disturbs the machine disturbs both; one quiet attempt is enough."""
    step = training_step()
    for _ in range(20):
        step()
    ratios = []
    for _ in range(8):
        times = {True: [], False: []}
        for turn in range(60):
            for bare in (True, False) if turn % 2 else (False, True):
                engines(bare)
                began = time.perf_counter()
                for _ in range(5):
                    step()
                times[bare].append(time.perf_counter() - began)
        ratios.append(
            min(statistics.median(times[False]) / statistics.median(times[True]), min(times[False]) / min(times[True]))
        )
        if ratios[-1] <= ALLOWED:
            return
    pytest.fail(f"with hooks a step takes {', '.join(f'{r:.3f}' for r in ratios)} of the time without")


def test_the_measure_notices_a_hook_that_costs(engines):
    step = training_step()
    step()
    engines(True)
    bare, bare_calls = counted(step)
    engines(False)
    with minidl.autograd.watch(lambda operator, phase, rule, arrays: rule(*arrays)):
        hung, hung_calls = counted(step)
    assert hung > ALLOWED * bare
    assert hung_calls > bare_calls
