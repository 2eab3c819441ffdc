"""``minidl profile`` and ``minidl race``: where the time of a program of yours goes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from minidl.cli.common import Debug, app, console, end_as, one_line_errors, say


@app.command("profile", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
@one_line_errors
def profile_script(
    context: typer.Context,
    script: Annotated[Path, typer.Argument(help="A Python file; what follows it is handed on to it.")],
    sort: Annotated[str, typer.Option(help="total, self, bytes, calls or name.")] = "total",
    rows: Annotated[int, typer.Option(min=1, help="How many rows to show.")] = 30,
    by_line: Annotated[bool, typer.Option("--by-line", help="A row for each calling line.")] = False,
    trace: Annotated[Path | None, typer.Option(help="Write a Chrome trace here.")] = None,
    debug: Debug = False,
) -> None:
    """Run a script and say which operators took the time, and which lines called them. Options go before the script."""
    from minidl import profiler
    from minidl.utils.screen import print_wide

    if sort not in profiler.SORTS:
        raise ValueError(f"--sort knows {', '.join(profiler.SORTS)}, not {sort!r}")
    prof, ended = profiler.run_script(script, context.args)
    print_wide(console, prof.key_averages(by_line).rich_table(sort, rows), 120)
    if trace is not None:
        prof.export_chrome_trace(trace)
        say(f"The trace is in {trace}: open it in chrome://tracing or https://ui.perfetto.dev")
    end_as(ended)


@app.command("race")
@one_line_errors
def race_backends(
    model: Annotated[Path, typer.Argument(help="A Python file with build(), which returns a function of one run.")],
    names: Annotated[str, typer.Option("--backends", help="Which backends, with commas; all that run here.")] = "",
    emulated: Annotated[bool, typer.Option("--emulated", help="Time emulated backends too.")] = False,
    runs: Annotated[int, typer.Option(min=1, help="Runs of each backend.")] = 5,
    plot: Annotated[Path | None, typer.Option(help="Draw the roofline into this PNG file.")] = None,
    debug: Debug = False,
) -> None:
    """Run one graph on every backend, forward and backward: the answers checked, the times compared, operator by operator."""
    from minidl.bench import plots
    from minidl.inspect import race

    chosen = [name.strip() for name in names.split(",") if name.strip()] or None
    with console.status("Racing…") as status:
        say = lambda text: status.update(f"{text.capitalize()}…")
        found = race(_builder(model), chosen, runs, emulated, say=say)
    found.show(console)
    if plot is not None:
        say(f"The roofline is in {plots.draw_race(found, plot)}")


def _builder(path: Path) -> Callable[[], Any]:
    """``build`` out of a Python file (or ``step``, if it has that alone)."""
    import runpy

    if not path.is_file():
        raise FileNotFoundError(f"there is no file {str(path)!r} with a model to race")
    sys.path.insert(0, str(path.resolve().parent))
    names = runpy.run_path(str(path), run_name="minidl_race")
    found = names.get("build") or names.get("step")
    if not callable(found):
        raise ValueError(
            f"{path} has no build(): define it to make a model and its data, and to return a function of no arguments that "
            "computes the loss, a Tensor"
        )
    return found
