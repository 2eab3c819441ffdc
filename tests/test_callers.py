"""Whose line it was: the user's innermost, whatever of minidl's or of Python's stands between."""

from __future__ import annotations

import contextlib
import inspect as source_of
import os

import pytest

import minidl
from minidl import inspect, nn
from minidl.autograd import detect_anomaly
from minidl.callers import line_of, users_frame, users_frames


def here():
    return source_of.currentframe().f_back.f_lineno


def test_the_innermost_of_the_users_frames():
    frame, line = users_frame(), here()
    assert frame is source_of.currentframe()
    assert next(users_frames()) is frame
    assert line_of(frame, line).text == "frame, line = users_frame(), here()"
    assert str(line_of(frame, line)) == f"test_callers.py:{line}: frame, line = users_frame(), here()"


def test_what_stands_between_is_nobodys():
    """A call from inside a module of minidl's, inside a context manager made by contextlib."""
    met = []

    class Asks(nn.Module):
        def forward(self, x):
            return x

    def hook(module, args):
        met.append(users_frame().f_code.co_name)

    @contextlib.contextmanager
    def block():
        yield met.extend(f.f_code.co_name for f in list(users_frames())[:2])

    model = nn.Sequential(Asks())
    model[0].register_forward_pre_hook(hook)
    model(minidl.ones(1))
    assert met == ["hook"]
    with block():
        pass
    assert met[1:] == ["block", "test_what_stands_between_is_nobodys"]


def test_a_file_of_the_users_that_is_called_as_pythons_is_the_users(tmp_path):
    path = tmp_path / "contextlib.py"
    path.write_text("def ask(f):\n    return f()\n")
    space = {}
    exec(compile(path.read_text(), str(path), "exec"), space)
    assert space["ask"](lambda: os.path.basename(list(users_frames())[1].f_code.co_filename)) == "contextlib.py"


def test_all_who_ask_are_told_the_same_line():
    x = minidl.tensor([0.0], requires_grad=True)
    with inspect.trace(), detect_anomaly(), minidl.profiler.profile() as prof:
        line = here() + 1
        y = x.exp()
    assert inspect.read(y).ops[0].line.number == line
    assert f'test_callers.py", line {line}, in test_all_who_ask_are_told_the_same_line: y = x.exp()' in y.grad_fn.trace
    assert prof.events[0].line == f"{__file__}:{line}"
    line = here() + 2
    with pytest.raises(RuntimeError) as error:
        minidl.ones(2, 3) @ minidl.ones(2, 3)
    assert inspect.why_shape(error.value).line.startswith(f"test_callers.py:{line}: ")
