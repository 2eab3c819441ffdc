"""``minidl bench``: how fast the kernels and whole training steps are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from minidl.cli.common import Debug, bench, console, one_line_errors


@bench.command("cpu")
@one_line_errors
def bench_cpu(
    against: Annotated[str | None, typer.Option(help="Also time 'torch', side by side.")] = None,
    backend: Annotated[str, typer.Option(help="Which kernels: numpy or numba.")] = "numpy",
    debug: Debug = False,
) -> None:
    """The time of training steps, beside PyTorch's with --against torch."""
    if against not in (None, "torch"):
        raise ValueError(f"--against knows 'torch' alone, not {against!r}")
    from minidl.bench import cpu

    cpu.run(against=against, backend=backend)


@bench.command("kernels")
@one_line_errors
def bench_kernels(
    rooms: Annotated[
        list[str] | None, typer.Argument(metavar="[KERNEL]...", help="Which kernels; all of them.")
    ] = None,
    backend_names: Annotated[
        str, typer.Option("--backends", help="Which backends, with commas; those that are not emulated.")
    ] = "",
    against: Annotated[str | None, typer.Option(help="Also time 'torch', side by side.")] = None,
    dtype: Annotated[str, typer.Option(help="float32, float16, bfloat16 or float64.")] = "float32",
    runs: Annotated[int, typer.Option(min=1, help="Measurements of each.")] = 15,
    save: Annotated[Path | None, typer.Option(help="Write the results here, as JSON.")] = None,
    plots: Annotated[Path | None, typer.Option(help="Draw rooflines and times into this folder.")] = None,
    debug: Debug = False,
) -> None:
    """Every kernel on every backend, beside what this machine could do at best."""
    from minidl.bench import kernels as measuring
    from minidl.bench import plots as drawing
    from minidl.bench import results

    if dtype not in measuring.TOLERANCE:
        raise ValueError(f"--dtype knows {', '.join(measuring.TOLERANCE)}, not {dtype!r}")
    names = [name.strip() for name in backend_names.split(",") if name.strip()]
    with console.status("Measuring…") as status:
        say = lambda text: status.update(f"Measuring {text}…")
        found = measuring.run(rooms or (), names, against, dtype, runs, say=say)
    measuring.show(found, console)
    if save is not None:
        results.save(found, save)
        say(f"The results are in {save}; compare with another run: minidl bench compare {save} OTHER.json")
    if plots is not None:
        say("Look at " + ", ".join(str(path) for path in drawing.draw(found, plots)))


@bench.command("compare")
@one_line_errors
def bench_compare(
    before: Annotated[Path, typer.Argument(help="The earlier results.")],
    after: Annotated[Path, typer.Argument(help="The later results.")],
    debug: Debug = False,
) -> None:
    """What became faster or slower between two results."""
    from minidl.bench import results

    results.show_comparison(results.load(before), results.load(after), console)
