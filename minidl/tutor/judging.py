"""The learner's answer judged: in a process of its own, which a time limit ends, and in words."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from minidl.tutor import learner, proving
from minidl.tutor.cells import Cell, ChapterError
from minidl.tutor.chapter import Chapter, Exercise, read


@dataclass
class Verdict:
    """What became of one answer.

    ``kind``: "right", "wrong" (the checker's words say why), "error" (the answer raised one), "syntax", "unwritten",
    "missing" (no such cell or name), or "endless" (stopped after the time limit). ``where``: the learner's line, if one
    is to blame; ``called``: what the checker called when it happened; ``printed``: what the answer printed.
    """

    kind: str
    words: str = ""
    where: str = ""
    called: str = ""
    printed: str = ""

    @property
    def right(self) -> bool:
        return self.kind == "right"


class _Shortened(io.StringIO):
    """Keeps the first part of what is printed: an endless loop may print without end."""

    def write(self, text: str) -> int:
        if self.tell() < 2000:
            super().write(text[:2000])
        return len(text)


def judge(chapter: Chapter, exercise: Exercise, path: Path) -> Verdict:
    """The verdict on the learner's file, reached in this process."""
    printed = _Shortened()
    with contextlib.redirect_stdout(printed):
        verdict = _judge(chapter, exercise, path)
    verdict.printed = printed.getvalue().rstrip()
    return verdict


def _judge(chapter: Chapter, exercise: Exercise, path: Path) -> Verdict:
    check = proving.checker(chapter, exercise)
    try:
        setup, mine = learner.written(path, exercise.name)
        for cell in [*setup, *mine]:
            ast.parse("\n" * max(cell.line - 1, 0) + cell.source, str(path))
        answer = proving.answer(setup or chapter.setup, mine, exercise.name, path)
    except ChapterError as error:
        return Verdict("missing", str(error))
    except SyntaxError as error:
        return _syntax(error, path)
    except (Exception, SystemExit) as error:
        return _error(error, chapter, path, mine)
    return tried(check, answer, chapter, path, mine)


def tried(check: Any, answer: Any, chapter: Chapter, path: Path | None, mine: list[Cell]) -> Verdict:
    """The verdict on an object."""
    try:
        error = proving.attempt(check, answer)
    except SystemExit as leaving:
        error = leaving
    if error is None:
        return Verdict("right")
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, AssertionError) and frames[-1].filename == str(chapter.path):
        return Verdict("wrong", str(error) or f"the checker refused it: {frames[-1].line}")
    return _error(error, chapter, path, mine)


def _syntax(error: SyntaxError, path: Path) -> Verdict:
    text = (error.text or "").rstrip("\n")
    mark = " " * (max((error.offset or 1) - 1, 0)) + "^"
    return Verdict("syntax", f"{error.msg}\n    {text}\n    {mark}", f"{path}, line {error.lineno}")


def _error(error: BaseException, chapter: Chapter, path: Path | None, mine: list[Cell]) -> Verdict:
    """The verdict on an error that the learner's code met, with the line of theirs and the call that led to it."""
    if isinstance(error, NotImplementedError) and "write your code here" in str(error):
        return Verdict("unwritten", str(error))
    words = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, NameError):
        words += "\nOnly the setup cells and the exercise's own cell are run: helpers of yours belong into that cell."
    where = called = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        name = frame.f_code.co_filename
        if path is not None and name == str(path):
            text = _line(path, line, mine)
            where = f"{path}, line {line}: {text}" if path.suffix == ".py" else f"your cell, line {line}: {text}"
        elif name == str(chapter.path):
            called = _call(chapter.path.read_text(encoding="utf-8").splitlines()[line - 1].strip(), frame.f_locals)
    return Verdict("error", words, where, called)


def _line(path: Path, line: int, mine: list[Cell]) -> str:
    """The text of a line of the learner's: of the file, or of the notebook's cell."""
    text = path.read_text(encoding="utf-8") if path.suffix == ".py" else mine[-1].source
    lines = text.splitlines()
    return lines[line - 1].strip() if 0 < line <= len(lines) else ""


def _call(line: str, values: dict[str, Any]) -> str:
    """A line of the checker, and below it the small values of the names in it."""
    try:
        names = [n.id for n in ast.walk(ast.parse(line)) if isinstance(n, ast.Name)]
    except SyntaxError:  # part of a longer statement
        names = []
    shown = []
    for name in dict.fromkeys(names):
        value = values.get(name)
        if name in values and not callable(value):
            text = " ".join(repr(value).split())
            shown.append(f"{name} = {text if len(text) <= 120 else text[:117] + '...'}")
    return "\n".join([line, *shown])


def judge_apart(chapter: Chapter, exercise: Exercise, path: Path, seconds: float) -> Verdict:
    """The verdict, reached in a process of its own: an endless loop, a crash or a call of exit cannot end this one."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "verdict.json"
        command = [
            sys.executable,
            "-m",
            "minidl.tutor.judging",
            str(chapter.path),
            str(path),
            exercise.name,
            str(result),
        ]
        environment = {**os.environ, "MPLBACKEND": "Agg", "MINIDL_FULL": "0"}
        errors = Path(folder) / "errors"
        with errors.open("wb") as file:
            process = subprocess.Popen(
                command, env=environment, stdout=subprocess.PIPE, stderr=file, start_new_session=True
            )
            assert process.stdout is not None
            try:
                process.stdout.readline()  # it is ready: what it takes to start is not the answer's fault
                process.wait(timeout=seconds)
            except subprocess.TimeoutExpired:
                return Verdict(
                    "endless",
                    f"it had not ended after {seconds:g} seconds and was stopped: look for a loop that never ends "
                    "(--seconds gives it longer)",
                )
            finally:
                _end(process)
        if result.exists():
            return Verdict(**json.loads(result.read_text(encoding="utf-8")))
        said = errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        words = f"the process that ran it ended with code {process.returncode} before it could answer"
        return Verdict("error", "\n".join([words, *said[-3:]]))


def _end(process: subprocess.Popen) -> None:
    """Stop a process and all that it started."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def main() -> None:
    """``python -m minidl.tutor.judging CHAPTER FILE NAME RESULT``: judge, and write the verdict as JSON."""
    chapter_path, path, name, result = sys.argv[1:]
    chapter = read(chapter_path)
    print("ready", flush=True)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what the answer prints is in the verdict
    verdict = judge(chapter, chapter.exercises[name], Path(path))
    Path(result).write_text(json.dumps(asdict(verdict)), encoding="utf-8")


if __name__ == "__main__":
    main()
