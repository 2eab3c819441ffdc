"""The debugger in a terminal: by lines from a pipe, and by keys in a real pseudo-terminal."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import subprocess
import sys
import time

import pytest
from rich.console import Console
from typer.testing import CliRunner

import minidl
from minidl import cli, inspect, nn
from minidl.autograd import tape, walk
from minidl.inspect import stage
from minidl.inspect.keys import Keys, Lines, reader
from minidl.inspect.terminal import stop_at
from tests.cli.test_cli import screens  # noqa: F401 (a fixture)

SCRIPT = """
import sys
import minidl
from minidl import nn

minidl.manual_seed(0)
model = nn.Sequential(nn.Linear(3, 20), nn.ReLU(), nn.Linear(20, 2))
for epoch in range(3):
    loss = model(minidl.ones(5, 3)).square().mean()
    loss.backward()
    print("epoch", epoch, "arguments", sys.argv[1:])
"""


def invoke(*arguments, commands=()):
    """Exit code and screen of a command that is given ``commands``, a line each."""
    result = CliRunner().invoke(
        cli.app, [str(a) for a in arguments], env={"COLUMNS": "500", "NO_COLOR": "1"}, input="\n".join(commands) + "\n"
    )
    return result.exit_code, re.sub(r"\s+", " ", result.output)


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "train.py"
    path.write_text(SCRIPT)
    return path


@pytest.fixture
def recording():
    w = minidl.tensor(3.0, requires_grad=True)
    with inspect.trace():
        y = w * 2
        z = y * y
        loss = z + w
    return inspect.backward(loss)


def played(recording, commands, **settings):
    """What the screen says while commands are given."""
    console = Console(width=200, file=io.StringIO(), highlight=False)
    recording.play(console=console, stream=io.StringIO("\n".join(commands) + "\n"), **settings)
    return console.file.getvalue()


def test_forward_back_and_by_number(recording):
    text = played(recording, ["n", "", "b", "3", "b", "b", "b"])
    assert re.findall(r"Step (\d) of 3", text) == ["1", "2", "1", "3", "2", "1"]
    assert "This is the beginning" in text
    assert "❱" in text  # the line of source
    assert "loss = z + w" in text
    assert "∂loss/∂z = g · ∂loss/∂z = 1 · 1 = 1" in text


def test_the_end_and_what_is_not_there(recording):
    text = played(recording, ["3", "n", "4", "0", "nonsense"])
    assert "This was the last step: every gradient is complete." in text
    assert text.count("There are steps 1 to 3.") == 2
    assert "'nonsense' is not a command." in text
    assert "leave; the program goes on" in text
    assert "∂x the gradient that goes to x" in text
    assert "Step" not in played(recording, ["quit", "n"])[60:]
    assert "leave; the program goes on" in played(recording, ["help"])


def test_to_a_parameter(recording):
    text = played(recording, ["p w", "p ww"])
    assert "Step 3 of 3" in text
    assert "no value of the graph is called 'ww'; did you mean w?" in text


def test_breaks(recording):
    text = played(recording, ["x norm 5", "c", "c", "x off", "1", "c", "x nan", "x norm much"])
    assert re.findall(r"Step (\d) of 3", text) == ["2", "3", "1"]
    assert "No further step breaks" in text
    assert "x norm 10, x nan or x off" in text


def test_a_nan_breaks_without_asking():
    x = minidl.tensor([0.0, 1.0], requires_grad=True)
    recording = inspect.backward((x.sqrt() * 0).sum())
    text = played(recording, ["c"])
    assert "back through sqrt" in text
    assert "here the first NaN arises" in text


def test_q_leaves_and_so_does_the_end_of_the_input(recording):
    assert "Step" not in played(recording, ["q", "n"])[60:]
    assert "Step 1" in played(recording, ["n"])


def test_gradients_are_listed(recording):
    assert re.search(r"w  \[\]  norm 25  step 3", played(recording, ["l"]))


def test_a_quiz(recording):
    text = played(recording, ["n", "()", "n", "perhaps", "-", "b", "n", "n", "", "q"], quiz=True)
    assert "Which shape has the gradient that goes to z?" in text
    assert "Right. A gradient has the shape of what it belongs to" in text
    assert "'perhaps' was not understood" in text
    assert "Not so. It is 6, positive." in text or "Not so. It is 12, positive." in text
    assert text.count("answer>") == 4  # the step that was seen already is not asked about again
    assert "Score: 1 of 2 right (shape 1 of 1, sign 0 of 1)." in text


def test_a_question_is_left_and_explained(recording):
    for leave in ("q", "quit", "Q"):
        text = played(recording, ["n", leave, "n", "n"], quiz=True)
        assert text.count("answer>") == 1
        assert "Step 1 of 3" not in text
        assert "not understood" not in text
        recording.back()
    text = played(recording, ["n", "()", "n", "?", "help", "positive", "q"], quiz=True)
    assert text.count("A sign is negative, zero or positive (or -, 0, +). Return alone leaves the question out") == 2
    assert "Score: 2 of 2 right (shape 1 of 1, sign 1 of 1)." in text


def test_heat_maps_with_and_without_colours():
    layer = nn.Linear(30, 20)
    loss = layer(minidl.randn(4, 30)).square().sum()
    step = inspect.backward(loss)[-1]
    gradient = next(local.gradient for local in step.local if local.value.name == "weight")
    plain = stage.shaded(gradient).plain.splitlines()
    assert len(plain) == 16
    assert {len(row) for row in plain} == {2 * 24}
    assert "█" in "".join(plain)
    assert stage.SHADES in stage.legend(colours=False).plain
    assert "green above" in stage.legend(colours=True).plain
    coloured = stage.heat_map(gradient)
    assert coloured.plain.count("▀") == 8 * 24
    assert "rgb(" in str(coloured.spans[0].style)
    console = Console(width=120, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(stage.picture(step, colours=True))
    assert "\x1b[38;2;" in console.file.getvalue()


def test_a_map_without_colours_keeps_signs_and_steps():
    x = minidl.zeros(2, 8, requires_grad=True)
    weight = minidl.tensor([[-1.0, -0.6, -0.3, -0.1, 0.0, 0.1, 0.6, 1.0]] * 2)
    step = inspect.backward((x * weight).sum())[1]
    assert stage.shaded(step.local[0].gradient).plain == "\n".join(["-█-▓-▒-░   ░ ▓ █"] * 2)


def test_no_color_is_heeded_in_a_terminal_too(recording, monkeypatch):
    layer = nn.Linear(30, 20)
    recording = inspect.backward(layer(minidl.randn(4, 30)).square().sum())
    for variable, blocks in (("FORCE_COLOR", True), ("NO_COLOR", False)):
        monkeypatch.delenv("NO_COLOR", raising=False)
        monkeypatch.setenv(variable, "1")
        console = Console(width=200, file=io.StringIO(), force_terminal=True, color_system="truecolor")
        recording.play(console=console, stream=io.StringIO("1\n"))
        text = console.file.getvalue()
        assert ("▀" in text) == blocks
        assert (stage.SHADES in text) != blocks


def test_nan_has_a_place_on_a_map():
    x = minidl.zeros(5, 5, requires_grad=True)
    recording = inspect.backward((x.sqrt() * 0).sum())
    assert "?" in stage.shaded(recording[-1].local[0].gradient).plain
    assert stage.heat_map(recording[-1].local[0].gradient).plain


# ------------------------------------------------------------------------------------------------------------- stop_at


def test_one_backward_of_many_is_noted():
    w = minidl.tensor(1.0, requires_grad=True)
    found = []
    with stop_at(2, found.append) as stop:
        for n in range(4):
            (w * n).backward()
    assert stop.calls == 4
    assert len(found) == 1
    assert found[0].gradients[0].array == 1
    assert found[0][0].line is not None
    assert w.grad.item() == 6
    assert not tape._around
    assert not walk._makers


def test_calls_are_counted_from_one():
    with pytest.raises(ValueError, match="there is no call 0"):
        stop_at(0, print)


# --------------------------------------------------------------------------------------------------------- the command


def test_step_a_script(script):
    code, text = invoke("step", "--call", 2, script, "--fast", "1", commands=["n", "p 0.weight", "q"])
    assert code == 0, text
    assert text.index("epoch 0") < text.index("Step 1 of 5") < text.index("epoch 1") < text.index("epoch 2")
    assert "arguments ['--fast', '1']" in text
    assert "loss = model(minidl.ones(5, 3)).square().mean()" in text
    assert "in model (Sequential) › 0 (Linear)" in text
    assert "where an earlier gradient of norm" in text
    assert not tape._around


def test_step_begins_at_a_break(script):
    code, text = invoke("step", "--break-norm", "0.0001", "--quiz", script)
    assert code == 0, text
    assert "Which shape has" in text


def test_the_same_recording_as_a_page(script, tmp_path):
    code, text = invoke("step", "--page", tmp_path / "trace.html", script, commands=["n"])
    assert code == 0, text
    assert "trace.html plays this recording in a browser." in text
    assert "Back through" in (tmp_path / "trace.html").read_text()


def test_a_script_that_never_calls_backward(tmp_path):
    path = tmp_path / "quiet.py"
    path.write_text("print('nothing')")
    code, text = invoke("step", path)
    assert code == 1
    assert "called backward() never, so there is no call 1 to step through" in text
    code, text = invoke("step", tmp_path / "missing.py")
    assert code == 1
    assert "there is no script" in text


def test_a_script_that_fails_or_ends_itself(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("raise ValueError('no data')")
    assert invoke("step", path)[0] == 1
    assert "no data" in invoke("step", path)[1]
    path.write_text("import sys; sys.exit(3)")
    assert invoke("step", path)[0] == 3
    assert not tape._around
    assert not walk._makers


def test_what_reads_commands():
    assert type(reader(io.StringIO("n"))) is Lines
    lines = Lines(io.StringIO("p w \n"))
    assert lines.command() == "p w"
    assert lines.command() is None


@pytest.fixture
def typed():
    """What commands are read, in this process, when ``keys`` are pressed in a terminal."""
    master, slave = pty.openpty()
    stream = os.fdopen(slave, encoding="utf-8")

    def read(keys, times=1):
        commands = reader(stream)
        assert type(commands) is Keys
        os.write(master, keys.encode())
        return [commands.command() for _ in range(times)]

    yield read
    stream.close()
    os.close(master)


@pytest.mark.parametrize(
    ("keys", "command"),
    [
        ("n", "n"),
        ("\x1b[C", "n"),
        ("\x1b[D", "b"),
        (" ", "n"),
        ("\r", "n"),
        ("\n", "n"),
        ("q", "q"),
        ("\t", "h"),
        ("\x1b", "h"),
    ],
)
def test_keys_act_at_once(typed, keys, command):
    assert typed(keys) == [command]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("line", ["12", "p Größe", "x norm 3"])
def test_other_keys_begin_a_line(typed, line):
    assert typed(line + "\n") == [line]


class Terminal:
    """A process in a pseudo-terminal."""

    def __init__(self, *arguments):
        self.master, slave = pty.openpty()
        environment = {**os.environ, "COLUMNS": "150", "TERM": "xterm-256color"}
        environment.pop("NO_COLOR", None)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "minidl", *map(str, arguments)],
            stdin=slave, stdout=slave, stderr=slave, close_fds=True, env=environment,
        )  # fmt: skip
        os.close(slave)
        self.text = ""

    def wait_for(self, wanted, seconds=120):
        """What appears up to ``wanted``; what follows is left for the next time."""
        end = time.monotonic() + seconds
        while wanted not in self.text:
            assert time.monotonic() < end, f"{wanted!r} did not appear in {self.text!r}"
            if select.select([self.master], [], [], 0.5)[0]:
                try:
                    self.text += os.read(self.master, 65536).decode(errors="replace")
                except OSError:  # the process has closed its side
                    break
        before, found, self.text = self.text.partition(wanted)
        assert found, before
        return before + found

    def press(self, keys):
        os.write(self.master, keys.encode())

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.master)


@pytest.mark.slow
def test_keys_in_a_real_terminal(script):
    terminal = Terminal("step", "--quiz", script)
    try:
        terminal.wait_for("> ")
        terminal.press("n")  # no return
        terminal.wait_for("answer> ")
        terminal.press("5 2\n")
        shown = terminal.wait_for("array code")
        assert "Right." in shown
        assert "\x1b[" in shown  # colours
        terminal.press("3\n")
        terminal.wait_for("answer> ")
        terminal.press("\n")
        shown = terminal.wait_for("numpy")
        assert "Step 3 of 5" in shown
        assert "▀" in terminal.wait_for("> ")  # a heat map
        terminal.press("\x1b[D")  # the left arrow: back
        terminal.wait_for("answer> ")
        terminal.press("\n")
        terminal.wait_for("Step 2 of 5")
        terminal.press("p 0.weight\n")
        terminal.wait_for("answer> ")
        terminal.press("\n")
        terminal.wait_for("Step 5 of 5")
        terminal.press("h")
        terminal.wait_for("this help")
        terminal.press("q")
        terminal.wait_for("epoch 2")
        assert terminal.process.wait(60) == 0
    finally:
        terminal.close()
