"""``minidl tutorials`` and ``minidl check``: chapters listed, run, opened; the learner's answers checked."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Annotated

import typer

from minidl.cli.common import Debug, app, console, one_line_errors, say
from minidl_kernels.installing import how_to_install

tutorials = typer.Typer(help="List, run, start and open the tutorials.", invoke_without_command=True)
app.add_typer(tutorials, name="tutorials")

ChapterName = Annotated[str, typer.Argument(metavar="CHAPTER", help="A number, 04, or a name, convolution.")]
Folder = Annotated[Path, typer.Option(help="Where your work is.")]
MINE = Path("my_tutorials")
SECONDS = 20.0  # a checker takes less than two


@tutorials.callback()
def by_default(context: typer.Context) -> None:
    """List, run, start and open the tutorials."""
    if context.invoked_subcommand is None:
        list_chapters()


@tutorials.command("list")
@one_line_errors
def list_chapters(folder: Folder = MINE, debug: Debug = False) -> None:
    """The chapters, the question of each, and what you have solved."""
    from rich.table import Table
    from rich.text import Text

    from minidl.tutor import shelf
    from minidl.tutor.chapter import read
    from minidl.tutor.progress import Progress

    progress = Progress(folder)
    table = Table("", "chapter", "it begins", "solved")
    for path in shelf.paths():
        chapter = read(path)
        done = sum(progress.solved(chapter.name, name) for name in chapter.exercises)
        table.add_row(
            chapter.number,
            Text(chapter.title),
            Text(_first_words(chapter.question)),
            f"{done} of {len(chapter.exercises)}",
        )
    console.print(table)
    say(
        "minidl tutorials start 00 writes a chapter for you to work in; run 00 runs it; minidl check 00 checks your answers."
    )


def _first_words(question: str, width: int = 64) -> str:
    """How a chapter's question begins, without Markdown's marks."""
    return textwrap.shorten(re.sub(r"[*`$]", "", question), width, placeholder=" …")


@tutorials.command("run")
@one_line_errors
def run_chapter(
    chapter: ChapterName,
    full: Annotated[bool, typer.Option("--full", help="The full settings: longer, and some need downloads.")] = False,
    pictures: Annotated[Path | None, typer.Option(help="Where its figures go; runs/tutorials/NN_title.")] = None,
    debug: Debug = False,
) -> None:
    """Run a chapter from top to bottom, and keep its figures."""
    from minidl.tutor import running, shelf

    found = shelf.chapter(chapter)
    place = pictures or Path("runs", "tutorials", found.name)
    say(f"Chapter {found.number}, {found.title}: {'full' if full else 'small'} settings.")
    with running.run(found.path, place, full) as process:
        assert process.stdout is not None
        for line in process.stdout:
            say(line.rstrip("\n"))
    if process.returncode:
        raise typer.Exit(1)
    drawn = sorted(place.glob("figure-*.png")) if place.exists() else []
    say(f"Its figures are in {place}." if drawn else "It drew no figures.")


@tutorials.command("start")
@one_line_errors
def start_chapter(
    chapter: ChapterName,
    notebook: Annotated[bool, typer.Option("--notebook", help="A Jupyter notebook instead of a script.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Write it anew over what is there.")] = False,
    folder: Folder = MINE,
    debug: Debug = False,
) -> None:
    """Write a chapter for you to work in: the exercises open, their hints folded."""
    from minidl.tutor import learner, shelf

    found = shelf.chapter(chapter)
    path = learner.start(found, folder, notebook, force)
    say(f"Your chapter is {path}. Its exercises: {', '.join(found.exercises)}.")
    say(f"minidl check {found.number} checks your answers; minidl check {found.number} --hint shows a hint.")


@tutorials.command("open")
@one_line_errors
def open_chapter(chapter: ChapterName, folder: Folder = MINE, debug: Debug = False) -> None:
    """Open your version of a chapter as a notebook in Jupyter."""
    from minidl.tutor import learner, shelf

    found = shelf.chapter(chapter)
    path = folder / f"{found.name}.ipynb"
    if not path.exists():
        say(f"Your chapter is {learner.start(found, folder, notebook=True)}.")
    jupyter = next((name for name in ("jupyterlab", "notebook") if importlib.util.find_spec(name)), None)
    if jupyter is None:
        raise ModuleNotFoundError(
            f"Jupyter is not installed: {how_to_install('jupyterlab')}, then minidl tutorials open {found.number} again. "
            f"Editors such as VS Code open {path} themselves, and minidl tutorials start {found.number} writes a script."
        )
    say(f"Opening {path} in Jupyter; Ctrl-C here ends it.")
    code = subprocess.run([sys.executable, "-m", jupyter, str(path)], check=False).returncode
    raise typer.Exit(code)


@app.command("check")
@one_line_errors
def check_answers(
    chapter: ChapterName,
    name: Annotated[str | None, typer.Argument(help="One exercise; all of the chapter's if not given.")] = None,
    file: Annotated[Path | None, typer.Option(help="Your file, if it is not in the folder.")] = None,
    hint: Annotated[bool, typer.Option("--hint", help="Show the next hint.")] = False,
    seconds: Annotated[float | None, typer.Option(min=1, help="How long one answer may take; 20.")] = None,
    folder: Folder = MINE,
    debug: Debug = False,
) -> None:
    """Check your answers to a chapter's exercises. The exit code is 1 if something is not right yet."""
    from minidl.tutor import judging, learner, shelf, words
    from minidl.tutor.progress import Progress

    found = shelf.chapter(chapter)
    chosen = [words.exercise_of(found, name)] if name else list(found.exercises.values())
    path = learner.find(found, file, folder)
    progress = Progress(path.parent)
    for exercise in chosen:
        with console.status(f"Checking {exercise.name}…"):
            verdict = judging.judge_apart(found, exercise, path, seconds or SECONDS)
        at = progress.at(found.name, exercise.name)
        at.solved, at.attempts = verdict.right, at.attempts + (verdict.kind != "unwritten")
        lines = words.verdict(exercise, verdict)
        console.print(lines[0], style="green" if verdict.right else "red", markup=False, soft_wrap=True)
        for line in lines[1:]:
            say(line)
    open_ones = [e for e in chosen if not progress.solved(found.name, e.name)]
    if hint and open_ones:
        exercise = open_ones[0]
        at = progress.at(found.name, exercise.name)
        at.hints = min(at.hints + 1, len(exercise.hints))
        say(f"Hint {at.hints} of {len(exercise.hints)} for {exercise.name}: {exercise.hints[at.hints - 1].source}")
        if at.hints == len(exercise.hints):
            say(f"That is the last hint. A solution stands in {found.path}, line {exercise.code[0].line}.")
    elif open_ones:
        say(
            f"{len(open_ones)} of {len(chosen)} still open. "
            f"minidl check {found.number} {open_ones[0].name} --hint shows a hint."
        )
    else:
        say(f"All {len(chosen)} right." if len(chosen) > 1 else "Well done; on to the next.")
    progress.save()
    if open_ones:
        raise typer.Exit(1)
