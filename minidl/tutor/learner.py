"""The learner's version of a chapter: solutions taken out, checkers and wrong answers left out, hints folded."""

from __future__ import annotations

import shutil
from pathlib import Path

from minidl.tutor.cells import Cell, ChapterError, to_notebook, to_percent
from minidl.tutor.chapter import Chapter, read, without_solution
from minidl.utils.files import atomic_write

FOLDER = Path("my_tutorials")


def cells_for_learner(chapter: Chapter, notebook: bool) -> list[Cell]:
    """The chapter's cells as the learner gets them.

    In a notebook the hints fold, and a cell after each exercise checks it there. In a script, which cannot fold, the
    command that shows the hints stands in their place.
    """
    cells: list[Cell] = []
    hints: dict[str, int] = {}
    for cell in chapter.cells:
        name = cell.exercise
        if cell.role in ("wrong", "check"):
            continue
        if cell.role == "hint":
            hints[name] = hints.get(name, 0) + 1
            if notebook:
                cells.append(Cell("markdown", folded(f"Hint {hints[name]}", cell.source)))
        elif cell.role == "exercise" and cell.kind == "code":
            cells.append(Cell("code", without_solution(cell.source, name), cell.tags))
            cells.append(_how_to_check(chapter, name, notebook))
        else:
            cells.append(cell)
    return cells


def folded(title: str, text: str) -> str:
    """Markdown that a notebook shows as a title, which opens on a click."""
    return f"<details><summary>{title}</summary>\n\n{text}\n\n</details>"


def _how_to_check(chapter: Chapter, name: str, notebook: bool) -> Cell:
    if notebook:
        return Cell("code", f'from minidl.tutor import check\n\ncheck("{chapter.number}", {name})')
    command = f"minidl check {chapter.number} {name}"
    return Cell(
        "markdown", f"Save this file, then check your answer with `{command}`; `{command} --hint` shows a hint."
    )


def start(chapter: Chapter, folder: Path = FOLDER, notebook: bool = False, force: bool = False) -> Path:
    """Write the learner's version and return its path; work that is there already is kept unless ``force`` is set."""
    path = folder / f"{chapter.name}{'.ipynb' if notebook else '.py'}"
    if path.exists() and not force:
        raise FileExistsError(f"{path} is there already, perhaps with your work in it: --force writes it anew")
    text = (to_notebook if notebook else to_percent)(cells_for_learner(chapter, notebook))
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(path, "w", encoding="utf-8") as file:
        file.write(text)
    notation = chapter.path.with_name("notation.md")  # which chapters refer to
    if notation.is_file() and not (folder / notation.name).exists():
        shutil.copyfile(notation, folder / notation.name)
    return path


def find(chapter: Chapter, file: Path | None = None, folder: Path = FOLDER) -> Path:
    """The learner's file: the one named, or the newer of the script and the notebook in the folder."""
    if file is not None:
        if not file.is_file():
            raise FileNotFoundError(f"there is no file {file}")
        if file.suffix not in (".py", ".ipynb"):
            raise ValueError(f"{file} is neither a script (.py) nor a notebook (.ipynb)")
        return file
    found = [p for end in (".py", ".ipynb") if (p := folder / f"{chapter.name}{end}").is_file()]
    if not found:
        raise FileNotFoundError(
            f"there is no {folder / chapter.name}.py yet: minidl tutorials start {chapter.number} writes it for you to fill in"
        )
    return max(found, key=lambda p: p.stat().st_mtime)


def written(path: Path, name: str) -> tuple[list[Cell], list[Cell]]:
    """The learner's setup cells, and the cells of one exercise.

    The exercise's cells are those that carry its tags or, where the tags were lost, those that define its name.
    """
    learners = read(path)
    setup = [c for c in learners.setup if c.kind == "code"]
    mine = [c for c in learners.cells if c.exercise == name and c.kind == "code"]
    if not mine:
        mine = [c for c in learners.cells if c.kind == "code" and f" {name}(" in c.source and c.role != "setup"]
        mine = [c for c in mine if c.source.lstrip().startswith(("def ", "class ", "@", "import ", "from ", "#"))]
    if not mine:
        raise ChapterError(
            f"{path} has no cell for the exercise {name}: its first line should be "
            f'# %% tags=["exercise", "{name}"] and below it stands your {name}'
        )
    return setup, mine
