"""The kernels to read: which there are, what each computes and costs, its sources, and what the compilers make of them."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minidl import backends
from minidl.bench import cases, ladder
from minidl_kernels import compile_check

LANGUAGES = {".py": "python", ".cu": "cuda", ".cuh": "cuda", ".h": "cpp"}
SIDE = 100  # columns that a source needs to stand beside another


@dataclass
class Source:
    """A file of a room."""

    backend: str
    path: Path

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")


def mathematics(room: str) -> str:
    """The room's page: formulas, shapes, where they come from. ValueError if there is no such room."""
    backends._check_room(room)
    return (importlib.import_module(f"minidl_kernels.{room}").__doc__ or "").strip()


def sources(room: str, backend: str | None = None) -> list[Source]:
    """The files of a room, or of one backend in it: Python, then CUDA C beside it. ValueError if it has none."""
    has = backends.files(room)
    if backend is not None and backend not in has:
        backends._check_backend(backend)
        raise ValueError(f"{room} has no {backend} file of its own; it has {', '.join(has)}")
    folder = Path(importlib.import_module(f"minidl_kernels.{room}").__path__[0])
    found = []
    for name in has if backend is None else [backend]:
        found.append(Source(name, folder / f"with_{name}.py"))
        if name == "cupy":
            found += [Source(name, path) for path in sorted(folder.glob("*.cu"))]
    return found


def costs(room: str) -> list[cases.Case]:
    """The room's operations at a middling size, with their costs; none for a room that is not measured."""
    if room not in cases.rooms():
        return []
    sizes = cases.SIZES[room]["cpu"]
    return cases.build(room, sizes[min(1, len(sizes) - 1)], cases.Arrays())


# ------------------------------------------------------------------------------------------------------- on the screen


def print_list(console: Any) -> None:
    """Rooms by backends."""
    from rich.table import Table

    table = Table("kernel", *backends.CHAINS, "what it computes")
    for room in backends.rooms():
        has = backends.files(room)
        table.add_row(
            room, *("●" if name in has else "" for name in backends.CHAINS), mathematics(room).splitlines()[0]
        )
    console.print(table)
    console.print("● has a file of its own; elsewhere the backend falls back: triton → cupy → numpy, numba → numpy.")


def print_page(room: str, backend: str | None, console: Any) -> None:
    """Mathematics, costs and sources of a room; side by side where the screen is wide enough."""
    from rich.padding import Padding
    from rich.panel import Panel
    from rich.syntax import Syntax
    from rich.table import Table
    from rich.text import Text

    files = sources(room, backend)
    console.print(Panel(Text(mathematics(room)), title=room))
    table = Table("operation", "size", "MFLOP", "MB", "FLOP/byte", title="Cost in float32", title_justify="left")
    for case in costs(room):
        numbers = (case.flops / 1e6, case.nbytes / 1e6, case.flops / max(case.nbytes, 1))
        table.add_row(case.operation, case.size, *(f"{n:.4g}" for n in numbers))
    if table.row_count:
        console.print(table)
    if room in ladder.rooms():
        steps = "\n".join(f"{rung.name}: {rung.idea}" for rung in ladder.ladder(room).RUNGS)
        where = f"Where each wins, and where it loses: minidl kernels ladder {room}"
        console.print(Panel(Text(f"{steps}\n\n{where}"), title="The ladder"))
    panels = [
        Panel(
            Syntax(f.text, LANGUAGES[f.path.suffix], word_wrap=True, background_color="default"),
            title=f"{room}/{f.path.name}",
        )
        for f in files
    ]
    if len(panels) > 1 and console.width >= SIDE * len(panels):
        grid = Table.grid(*("" for _ in panels), expand=True)
        grid.add_row(*panels)
        console.print(grid)
        return
    for panel in panels:
        console.print(Padding(panel, (1, 0)))


# -------------------------------------------------------------------------------------------------- what compilers say


def gpu_files(rooms: Iterable[str] = ()) -> list[tuple[str, str]]:
    """Room and backend of every file for a GPU."""
    return [
        (room, name)
        for room in rooms or backends.rooms()
        for name in backends.files(room)
        if name in ("cupy", "triton")
    ]


def check(
    rooms: Sequence[str] = (), targets: Sequence[str] = (), timeout: float = 300.0, say: Any = lambda text: None
) -> tuple[list[compile_check.Compiled], list[str]]:
    """Compile every GPU kernel of ``rooms`` for ``targets``, each file in a process of its own with a time limit.

    Returns:
        What was compiled, and what went wrong, a sentence each: kernels that do not compile, spill registers, or ask for
        more shared memory than there is.
    """
    found, wrong = [], []
    for target in targets or compile_check.TARGETS:
        if target not in compile_check.SHARED_LIMIT:
            raise ValueError(f"unknown target {target!r}; there are {', '.join(compile_check.TARGETS)}")
    for room, backend in gpu_files(rooms):
        for target in targets or compile_check.TARGETS:
            say(f"{room}, {backend}, for {target}")
            try:
                found += compile_check.check(room, backend, target, timeout)
            except RuntimeError as error:
                wrong.append(str(error))
    return found, wrong + complaints(found)


def complaints(found: Iterable[compile_check.Compiled]) -> list[str]:
    """For each kernel and target in how many configurations it is not fit to ship, and why."""
    groups: dict[tuple[str, str, str], list[compile_check.Compiled]] = {}
    for made in found:
        groups.setdefault((made.room, made.kernel, made.target), []).append(made)
    sentences = []
    for (room, kernel, target), all_of_it in groups.items():
        spilled = [made.spilled for made in all_of_it if made.spilled]
        large = [made.shared for made in all_of_it if made.shared > compile_check.SHARED_LIMIT[target]]
        where = f"{room}, {kernel}, {target}:"
        if spilled:
            count = f"{len(spilled)} of {len(all_of_it)} configurations"
            sentences.append(f"{where} {count} spill registers, up to {max(spilled)} bytes")
        if large:
            limit = compile_check.SHARED_LIMIT[target]
            sentences.append(f"{where} wants up to {max(large)} bytes of shared memory, and there are {limit}")
    return sentences


def print_check(found: Sequence[compile_check.Compiled], console: Any) -> None:
    """The compile table."""
    from rich.markup import escape
    from rich.table import Table

    table = Table()
    for column in ("kernel", "backend", "target"):
        table.add_column(column, no_wrap=True)
    for column in ("registers", "spilled", "shared"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("settings", overflow="fold")
    for made in found:
        style = None if made.fit else "bold red"
        numbers = (str(made.registers), str(made.spilled), str(made.shared))
        table.add_row(made.kernel, made.backend, made.target, *numbers, escape(made.settings), style=style)
    console.print(table)
