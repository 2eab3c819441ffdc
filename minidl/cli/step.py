"""``minidl step``: a program's own backward pass, operator by operator."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from minidl.cli.common import Debug, app, console, end_as, one_line_errors, say


@app.command("step", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
@one_line_errors
def step_script(
    context: typer.Context,
    script: Annotated[Path, typer.Argument(help="A Python file; what follows it is handed on to it.")],
    call: Annotated[int, typer.Option(min=1, help="At which backward() to stop.")] = 1,
    quiz: Annotated[bool, typer.Option("--quiz", help="Predict each gradient before it is shown.")] = False,
    break_nan: Annotated[bool, typer.Option("--break-nan", help="Begin at the first NaN.")] = False,
    break_norm: Annotated[
        float | None, typer.Option("--break-norm", help="Begin where a gradient's norm is above this.")
    ] = None,
    page: Annotated[Path | None, typer.Option(help="Write a page that plays the same recording in a browser.")] = None,
    debug: Debug = False,
) -> None:
    """Run a script up to a backward() and step through it: each operator's gradient, in words, numbers and colours.

    The script then goes on. Options go before the script. Commands are keys in a terminal, lines from anywhere else.
    """
    from minidl.inspect import export, keys
    from minidl.inspect.recording import Recording
    from minidl.inspect.terminal import Player, stop_at
    from minidl.utils.scripts import run_script

    def play(recording: Recording) -> None:
        if break_norm is not None:
            recording.break_on(norm_above=break_norm)
        if break_nan:
            recording.break_on(nan=True)
        if page is not None:
            say(f"{export(recording, page)} plays this recording in a browser.")
        player = Player(recording, console, keys.reader(), quiz)
        if break_nan or break_norm is not None:
            player.obey("c")
        player.play()
        say(f"{script} goes on.")

    with stop_at(call, play) as stop:
        ended = run_script(script, context.args)
    end_as(ended)
    if stop.calls < call:
        times = {0: "never", 1: "once"}.get(stop.calls, f"{stop.calls} times")
        raise RuntimeError(f"{script} called backward() {times}, so there is no call {call} to step through")
