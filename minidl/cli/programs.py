"""``minidl profile`` and ``minidl race``: where the time of a program of yours goes."""

from __future__ import annotations

import contextlib
import io
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


@app.command("race", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
@one_line_errors
def race_backends(
    context: typer.Context,
    script: Annotated[
        Path,
        typer.Argument(help="A Python file that calls backward(), or has build(); what follows it is handed on to it."),
    ],
    names: Annotated[
        str, typer.Option("--backends", help="Which backends, with commas; all that run here, not emulated.")
    ] = "",
    call: Annotated[int, typer.Option(min=1, help="At which backward() to take the graph.")] = 1,
    emulated: Annotated[bool, typer.Option("--emulated", help="Time emulated backends too.")] = False,
    runs: Annotated[int, typer.Option(min=1, help="Runs of each backend.")] = 5,
    plot: Annotated[Path | None, typer.Option(help="Draw the roofline into this PNG file.")] = None,
    debug: Debug = False,
) -> None:
    """Run one graph on every backend, forward and backward: the answers checked, the times compared, operator by operator.

    It is a script's own graph: up to its first backward() the script runs, no further, and its operators then run again.

        minidl race train.py --epochs 1

        minidl race --backends numpy,numba --runs 9 --plot roofline.png train.py

    Options go before the script. A file with build(), which returns a function that computes the loss, is asked for that.
    """
    from minidl import backends
    from minidl.bench import plots
    from minidl.inspect import race

    chosen = [name.strip() for name in names.split(",") if name.strip()]
    if not chosen:
        running = [row.name for row in backends.table() if row.state != "missing"]
        chosen = [name for name in running if emulated or not backends.emulated(name)]
        if left := [name for name in running if name not in chosen]:
            say(f"Emulated here, and left out: {', '.join(left)} (--backends checks them, --emulated times them).")
    build = _builder(script) or _grapher(script, context.args, call)
    with console.status("Racing…") as status:
        found = race(build, chosen, runs, emulated, say=lambda text: status.update(f"{text.capitalize()}…"))
    found.show(console)
    if plot is not None:
        say(f"The roofline is in {plots.draw_race(found, plot)}")


def _grapher(script: Path, arguments: list[str], call: int) -> Callable[[], Any]:
    """What takes a script's graph anew for each kind of device; it prints what it prints once."""
    from minidl import backends
    from minidl.inspect.program import Graph, graph_of

    taken: dict[str, Graph] = {}

    def build() -> Any:
        device = backends.device_type()
        if device not in taken:
            with contextlib.redirect_stdout(io.StringIO()) if taken else contextlib.nullcontext():
                taken[device] = graph_of(script, arguments, call)
        return taken[device].run

    return build


def _builder(path: Path) -> Callable[[], Any] | None:
    """``build`` out of a Python file, if it defines one."""
    import ast
    import runpy

    if not path.is_file():
        raise FileNotFoundError(f"there is no script {str(path)!r}")
    tree = ast.parse(path.read_bytes(), str(path))
    if not any(isinstance(node, ast.FunctionDef) and node.name == "build" for node in tree.body):
        return None
    sys.path.insert(0, str(path.resolve().parent))
    return runpy.run_path(str(path), run_name="minidl_race")["build"]
