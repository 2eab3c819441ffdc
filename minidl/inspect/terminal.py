"""The backward debugger in a terminal: a recording is played with keys, and the program then goes on.

    minidl.inspect.backward(loss).play()

``minidl step script.py`` does the same at a program's own ``backward()``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.text import Text

from minidl.autograd import on_backward
from minidl.autograd.tape import Pass
from minidl.inspect import keys, stage
from minidl.inspect.quiz import HINTS, Quiz
from minidl.inspect.recording import RecordedPass, Recording
from minidl.inspect.steps import Step
from minidl.inspect.trace import KEEP, trace

HELP = """\
n, →, space, return   the next step
b, ←                  the step before
NUMBER                to that step
p NAME                to the step that completes the gradient of NAME, such as p fc1.weight
c                     on to the next step that breaks: with a NaN, or as set by x
x norm 10             break where a norm is above 10; x nan: at a NaN; x off: nowhere
l                     the gradients of the parameters
h, ?                  this help
q                     leave; the program goes on

∂y/∂x is a slope, ∂x the gradient that goes to x, g the one that came in; ⊙ multiplies element by element, Wᵀ is W
transposed, [x > 0] is 1 where that holds and 0 elsewhere."""
# What may be written instead of a letter.
WORDS = {"quit": "q", "exit": "q", "help": "h", "?": "h", "next": "n", "": "n", "back": "b"}


class Player:
    """Plays a recording on a console, by commands.

    Args:
        recording: what is played.
        console: where it is shown.
        commands: where commands come from: an object of :mod:`minidl.inspect.keys`.
        quiz: ask a question before each new step is shown.
    """

    def __init__(self, recording: Recording, console: Console, commands: keys.Lines, quiz: bool = False) -> None:
        self.recording, self.console, self.commands = recording, console, commands
        self.quiz = Quiz(recording) if quiz else None
        self.left = False
        self._asked: set[int] = set()  # steps that were asked about, or seen
        if not recording._breaks:
            recording.break_on(nan=True)

    def play(self) -> None:
        """Until q, or the end of the commands."""
        self.say(
            f"backward() of {self.recording.title}: {len(self.recording)} steps. n next, b back, NUMBER, p NAME, c to a break,"
            " q quit, h help."
        )
        while True:
            self.console.print("> ", end="", style="bold", highlight=False)
            command = self.commands.command()
            if command is None or not self.obey(command):
                break
        if self.quiz is not None and self.quiz.score.asked:
            self.say(f"Score: {self.quiz.score}.")

    def obey(self, command: str) -> bool:
        """Do one command; False for the one that leaves."""
        word, _, rest = command.partition(" ")
        self.echo(command)
        word = WORDS.get(word.lower(), word)
        if word == "q":
            self.left = True
        elif word == "n":
            self.show(self.recording.next(), "This was the last step: every gradient is complete.")
        elif word == "b":
            self.show(self.recording.back(), "This is the beginning: n shows the first step.")
        elif word == "c":
            self.show(self.recording.run(), "No further step breaks: this is the end.")
        elif word == "p":
            self.to(rest.strip())
        elif word == "x":
            self.set_break(rest.split())
        elif word == "l":
            self.list_gradients()
        elif word.lstrip("-").isdigit():
            self.to(int(word) - 1)
        else:
            if word != "h":
                self.say(f"{command!r} is not a command.")
            self.say(HELP)
        return not self.left

    def echo(self, typed: str | None) -> None:
        """Show what was read from a file or a pipe, as a terminal would have."""
        if not isinstance(self.commands, keys.Keys):
            self.console.print(typed or "", highlight=False, markup=False)

    def say(self, text: str) -> None:
        """A sentence."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def show(self, step: Step | None, otherwise: str) -> None:
        """A step, after a question about it; or a sentence, where there is none."""
        if step is None:
            self.say(otherwise)
            return
        if self.quiz is not None and step.index not in self._asked:
            self.ask(step)
            if self.left:
                return
        self._asked.add(step.index)
        self.console.print(stage.picture(step, stage.has_colours(self.console)))

    def to(self, target: int | str) -> None:
        """To a step by number (from 0), or by what it completes the gradient of."""
        if isinstance(target, int) and not 0 <= target < len(self.recording):
            self.say(f"There are steps 1 to {len(self.recording)}.")
            return
        try:
            step = self.recording.to(target)
        except KeyError as error:
            self.say(str(error.args[0]))
            return
        self.show(step, "")

    def set_break(self, words: list[str]) -> None:
        """x norm LIMIT, x nan, x off."""
        if words == ["off"]:
            self.recording.clear_breaks()
            self.say("Nothing breaks now.")
        elif words == ["nan"]:
            self.recording.break_on(nan=True)
            self.say("c stops at a NaN.")
        elif len(words) == 2 and words[0] == "norm" and _is_number(words[1]):
            self.recording.break_on(norm_above=float(words[1]))
            self.say(f"c stops where a norm is above {float(words[1]):g}.")
        else:
            self.say("x norm 10, x nan or x off")

    def list_gradients(self) -> None:
        """The finished gradients, with the step that completes each."""
        for id, gradient in sorted(self.recording.gradients.items()):
            value = self.recording.nodes.values[id]
            steps = self.recording.arrivals.get(id, [])
            where = f"step {steps[-1] + 1}" if steps else "where the pass starts"
            self.say(f"{value.name}  {list(gradient.shape)}  norm {gradient.norm:.4g}  {where}")

    def ask(self, step: Step) -> None:
        """A question before a step is shown; an empty answer leaves it out, q leaves the player."""
        assert self.quiz is not None
        question = self.quiz.of(step)
        if question is None:
            return
        self.console.print(Text(question.prompt, style="bold yellow"))
        if not self._asked:
            self.say("Return alone leaves a question out, ? says how to answer, q quits.")
        while True:
            self.console.print("answer> ", end="", style="yellow", highlight=False)
            answer = self.commands.line()
            self.echo(answer)
            word = (answer or "").strip().lower()
            word = WORDS.get(word, word)
            self.left = word == "q"
            if not answer or self.left:
                return
            if word == "h":
                self.say(f"{HINTS[question.kind].capitalize()}. Return alone leaves the question out, q quits.")
                continue
            try:
                grade = self.quiz.grade(question, answer)
            except ValueError as error:
                self.say(f"{error}. Return alone leaves it out.")
                continue
            self.console.print(Text(str(grade), style="green" if grade.right else "red"))
            self.say(f"Score: {self.quiz.score}.")
            return


def play(recording: Recording, quiz: bool = False, console: Console | None = None, stream: Any = None) -> None:
    """Play a recording in the terminal. ``quiz`` asks before each step; ``stream`` gives the commands (standard input)."""
    Player(recording, console or Console(highlight=False), keys.reader(stream), quiz).play()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


class stop_at:
    """Inside the block, note the ``call``-th ``backward()`` of a program, and hand its recording to ``found``.

    Operators are traced from the ``backward()`` before it (the first: from the beginning) on. ``calls`` counts; the
    program runs at full speed after the one that was noted.
    """

    def __init__(self, call: int, found: Callable[[Recording], Any], keep: int = KEEP) -> None:
        if call < 1:
            raise ValueError(f"backward() calls are counted from 1, so there is no call {call}")
        self.call, self.found, self.keep, self.calls = call, found, keep, 0
        self._trace: trace | None = None

    def __enter__(self) -> stop_at:
        self._handle = on_backward(self._make)
        if self.call == 1:
            self._begin()
        return self

    def __exit__(self, *exc: object) -> None:
        self._handle.remove()
        self._end()

    def _make(self, **settings: Any) -> Pass:
        self.calls += 1
        if self.calls == self.call - 1:
            self._begin()
        if self.calls != self.call:
            return Pass(**settings)
        return RecordedPass(self._play, None, self.keep, **settings)

    def _play(self, recording: Recording) -> None:
        self._end()
        self.found(recording)

    def _begin(self) -> None:
        self._trace = trace(self.keep)
        self._trace.__enter__()

    def _end(self) -> None:
        if self._trace is not None:
            self._trace.__exit__()
            self._trace = None
