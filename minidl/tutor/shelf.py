"""Where the chapters are: beside the package in a clone, inside it when it was installed from a wheel."""

from __future__ import annotations

import difflib
from pathlib import Path

import minidl
from minidl.tutor.chapter import Chapter, read


def folder() -> Path:
    """The folder of the chapters."""
    package = Path(minidl.__file__).parent
    for place in (package.parent / "tutorials", package / "tutor" / "chapters"):
        if next(place.glob("[0-9][0-9]_*.py"), None):
            return place
    raise FileNotFoundError(
        f"the tutorials are missing from {package.parent}: install minidl anew, or work from a clone of its repository"
    )


def paths() -> list[Path]:
    """The chapters' files, in order."""
    return sorted(folder().glob("[0-9][0-9]_*.py"))


def chapter(name: str) -> Chapter:
    """The chapter that is called "4", "04", "convolution" or "04_convolution"."""
    asked = Path(name).stem if name.endswith((".py", ".ipynb")) else name
    found = [p for p in paths() if asked in (p.stem, p.stem[3:]) or (asked.isdigit() and int(asked) == int(p.stem[:2]))]
    if found:
        return read(found[0])
    known = [p.stem for p in paths()]
    near = difflib.get_close_matches(asked, [*known, *(k[3:] for k in known)], n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    raise ValueError(
        f"there is no chapter {name!r}{hint} The chapters are {known[0][:2]} to {known[-1][:2]}: minidl tutorials lists them"
    )
