"""The book's pages gathered into one source folder: chapters for the learner, the pages of docs/, and the reference."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import reference

from minidl.tutor import shelf
from minidl.tutor.cells import Cell, to_notebook
from minidl.tutor.chapter import Chapter, read, solution_only, without_solution
from minidl.tutor.learner import cells_for_learner

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
# The chapters that need NumPy alone: they run in a browser.
IN_THE_BROWSER = range(14)


def gather(source: Path, execute: bool = True) -> list[Chapter]:
    """Write the whole source folder of the book; returns its chapters.

    Files are written only where they changed, so that Sphinx builds anew only what it must.
    """
    chapters = [read(path) for path in shelf.paths()]
    wanted: dict[str, str | bytes] = {"index.md": index(chapters)}
    for chapter in chapters:
        wanted[f"chapters/{chapter.name}.ipynb"] = to_notebook(cells_for_book(chapter))
    wanted |= other_pages()
    wanted |= reference.pages()
    _write(source, wanted)
    return chapters


def index(chapters: list[Chapter]) -> str:
    """The first page, with the tables of contents."""
    words = (HERE / "index.md").read_text(encoding="utf-8")
    return words.replace("@CHAPTERS@", "\n".join(f"chapters/{c.name}" for c in chapters))


def cells_for_book(chapter: Chapter) -> list[Cell]:
    """The chapter's cells as the book shows them: exercises open, hints and solutions behind titles that open on a click."""
    cells: list[Cell] = []
    hints: dict[str, int] = {}
    shown = [c for c in chapter.cells if c.role not in ("wrong", "check")]
    last = {c.exercise: c for c in shown if c.exercise}
    for cell in shown:
        name = cell.exercise
        if cell.role == "hint":
            hints[name] = hints.get(name, 0) + 1
            cells.append(Cell("markdown", dropdown(f"Hint {hints[name]}", cell.source)))
        elif cell.role == "exercise" and cell.kind == "code":
            cells.append(Cell("code", without_solution(cell.source, name)))
        else:
            cells.append(Cell(cell.kind, re.sub(r"\((\d\d_\w+)\.py\)", r"(\1.ipynb)", cell.source)))
        if name and cell is last[name]:
            code = "\n\n".join(solution_only(c.source) for c in chapter.exercises[name].code)
            cells.append(Cell("markdown", dropdown("A solution", f"```python\n{code}\n```")))
            cells.append(Cell("markdown", f"Check yours: `minidl check {chapter.number} {name}`."))
    top = next(i for i, c in enumerate(cells) if c.kind == "markdown")
    cells.insert(top + 1, Cell("markdown", ways_to_read(chapter)))
    return cells


def dropdown(title: str, text: str) -> str:
    """A title that opens on a click."""
    return f"::::{{dropdown}} {title}\n{text}\n::::"


def ways_to_read(chapter: Chapter) -> str:
    """How to work through the chapter, for the box below its title."""
    lines = [
        ":::{note}",
        f"Work through it yourself: `minidl tutorials start {chapter.number}` writes this chapter with its exercises open, "
        f"as a script, or as a notebook with `--notebook`; `minidl check {chapter.number}` checks your answers.",
    ]
    if int(chapter.number) in IN_THE_BROWSER:
        address = f"../lite/lab/index.html?path={chapter.name}.ipynb"
        lines.append(
            f'It also <a href="{address}">runs in the browser</a>, without installing anything, where this book is served '
            "over the web; [how](../browser.md)."
        )
    return "\n".join([*lines, ":::"])


def notebooks_for_browser(folder: Path, chapters: list[Chapter]) -> None:
    """Write the learner's notebooks of the NumPy chapters, each with a first cell that installs minidl in the page."""
    start = (
        "# In the browser: fetch NumPy and matplotlib from Pyodide, and minidl from this site.\n"
        "import piplite\n\n"
        'await piplite.install(["numpy", "matplotlib", "threadpoolctl"])\n'
        'await piplite.install("minidl", deps=False)'
    )
    kernel = {"kernelspec": {"display_name": "Python (Pyodide)", "language": "python", "name": "python"}}
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(shelf.folder() / "notation.md", folder)
    for chapter in chapters:
        if int(chapter.number) in IN_THE_BROWSER:
            cells = [Cell("code", start), *cells_for_learner(chapter, notebook=True)]
            (folder / f"{chapter.name}.ipynb").write_text(to_notebook(cells, kernel), encoding="utf-8")


def other_pages() -> dict[str, str | bytes]:
    """The pages of docs/, of the kernels and of the notation, with links that lead within the book."""
    docs = [p for p in sorted((ROOT / "docs").rglob("*")) if HERE not in p.parents]
    sources = {f"docs/{p.relative_to(ROOT / 'docs')}": p for p in docs if p.suffix == ".md"}
    sources |= {
        "docs/kernels.md": ROOT / "kernels" / "README.md",
        "docs/changelog.md": ROOT / "CHANGELOG.md",
        "docs/contributing.md": ROOT / "CONTRIBUTING.md",
        "chapters/notation.md": shelf.folder() / "notation.md",
        "browser.md": HERE / "browser.md",
    }
    sources = {page: path for page, path in sources.items() if path.is_file()}
    homes = {path.resolve(): page for page, path in sources.items()}
    pages: dict[str, str | bytes] = {page: relinked(path, page, homes) for page, path in sources.items()}
    pages |= {
        f"docs/{p.relative_to(ROOT / 'docs')}": p.read_bytes() for p in docs if p.suffix in (".png", ".svg", ".html")
    }
    return pages


def relinked(path: Path, page: str, homes: dict[Path, str]) -> str:
    """A page's text; its links to other pages of the book lead there, and links to other files show as the file's name."""

    def link(found: re.Match) -> str:
        bang, words, address = found[1], found[2], found[3]
        target, _, anchor = address.partition("#")
        if re.match(r"[a-z]+:", address) or not target:
            return found[0]
        place = (path.parent / target).resolve()
        if place in homes:
            up = "../" * page.count("/")
            return f"{bang}[{words}]({up}{homes[place]}{'#' + anchor if anchor else ''})"
        if bang or place.suffix in (".png", ".svg", ".html"):
            return found[0]
        where = place.relative_to(ROOT) if place.is_relative_to(ROOT) else target
        return words if "`" in words or words == str(where) else f"{words} (`{where}`)"

    parts = re.split(r"(^```.*?^```)", path.read_text(encoding="utf-8"), flags=re.S | re.M)
    return "".join(p if i % 2 else re.sub(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)", link, p) for i, p in enumerate(parts))


def _write(source: Path, wanted: dict[str, str | bytes]) -> None:
    """Make the folder hold these files and nothing else but what Sphinx keeps there."""
    for name, content in wanted.items():
        path = source / name
        data = content.encode() if isinstance(content, str) else content
        if not path.is_file() or path.read_bytes() != data:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    for path in source.rglob("*"):
        if path.is_file() and path.relative_to(source).as_posix() not in wanted and "_static" not in path.parts:
            path.unlink()
