"""``minidl kernels``: to read and to check them."""

from __future__ import annotations

from typing import Annotated

import typer

from minidl.cli.common import Debug, console, errors, kernels, one_line_errors, say


@kernels.command("list")
@one_line_errors
def kernels_list(debug: Debug = False) -> None:
    """Which kernels there are, and for which backends."""
    from minidl.bench import pages

    pages.print_list(console)


@kernels.command("show")
@one_line_errors
def kernels_show(
    room: Annotated[str, typer.Argument(help="Which kernel: see minidl kernels list.")],
    backend: Annotated[str | None, typer.Option(help="Its file for one backend alone.")] = None,
    debug: Debug = False,
) -> None:
    """The mathematics, the cost and the sources of a kernel."""
    from minidl.bench import pages

    pages.print_page(room, backend, console)


@kernels.command("ladder")
@one_line_errors
def kernels_ladder(
    room: Annotated[str, typer.Argument(help="softmax, matmul, convolution, lstm or attention.")],
    runs: Annotated[int, typer.Option(min=1, help="Measurements of each.")] = 7,
    sizes: Annotated[str, typer.Option(help="Which sizes, by number from 0, with commas; all of them.")] = "",
    debug: Debug = False,
) -> None:
    """Race a kernel's variants, from plain loops to the fused kernel: where each wins, and where it loses."""
    from minidl.bench import ladder

    chosen = [int(number) for number in sizes.split(",") if number.strip()] or None
    with console.status("Climbing…") as status:
        found = ladder.race(room, runs, chosen, lambda text: status.update(f"Climbing {text}…"))
    ladder.show(room, found, console)


@kernels.command("check")
@one_line_errors
def kernels_check(
    rooms: Annotated[
        list[str] | None, typer.Argument(metavar="[KERNEL]...", help="Which kernels; all of them.")
    ] = None,
    target: Annotated[list[str] | None, typer.Option(help="sm_80, sm_90; both if not given.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds that one file may take.")] = 300.0,
    unfit: Annotated[bool, typer.Option("--unfit", help="Show only what is not fit to ship.")] = False,
    debug: Debug = False,
) -> None:
    """Compile every GPU kernel, without a GPU: registers, spilled bytes, shared memory."""
    from minidl.bench import pages

    with console.status("Compiling…") as status:
        found, wrong = pages.check(rooms or (), target or (), timeout, lambda text: status.update(f"Compiling {text}…"))
    pages.print_check([made for made in found if not (unfit and made.fit)], console)
    for sentence in wrong:
        errors.print(sentence, markup=False, style="red", soft_wrap=True)
    say(f"{len(found)} configurations compiled; {len(wrong)} complaints.")
    if wrong:
        raise typer.Exit(1)
