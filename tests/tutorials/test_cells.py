"""Percent files and notebooks, read and written as jupytext and nbformat read and write them."""

from __future__ import annotations

import json
from pathlib import Path

import jupytext
import nbformat
import pytest

from minidl.tutor import shelf
from minidl.tutor.cells import Cell, ChapterError, cells_of, from_notebook, from_percent, to_notebook, to_percent
from minidl.tutor.chapter import read
from minidl.tutor.learner import cells_for_learner

FILES = [*shelf.paths(), Path(__file__).with_name("sample.py")]


def plain(cells):
    return [(c.kind, c.source, c.tags) for c in cells]


def theirs(notebook):
    return [(c.cell_type, c.source.strip("\n"), tuple(c.metadata.get("tags", ()))) for c in notebook.cells]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_chapter_is_read_as_jupytext_reads_it(path):
    text = path.read_text(encoding="utf-8")
    cells = cells_of(path)
    assert plain(cells) == theirs(jupytext.reads(text, fmt="py:percent"))
    lines = text.split("\n")
    for cell in cells:
        if cell.kind == "code" and cell.source:
            assert cell.source.split("\n")[0] == lines[cell.line - 1]


@pytest.mark.parametrize("notebook", [False, True], ids=["script", "notebook"])
@pytest.mark.parametrize("path", FILES[::4], ids=lambda path: path.stem)
def test_what_is_written_is_read_by_others_and_here(path, notebook):
    cells = cells_for_learner(read(path), notebook)
    assert plain(from_percent(to_percent(cells))) == plain(cells)
    assert theirs(jupytext.reads(to_percent(cells), fmt="py:percent")) == plain(cells)
    written = nbformat.reads(to_notebook(cells), as_version=4)
    nbformat.validate(written)
    assert theirs(written) == plain(cells) == plain(from_notebook(to_notebook(cells)))


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ("", []),
        ("\n\n", []),
        ("x = 1\n", [Cell("code", "x = 1", (), 1)]),
        ("x = 1\n# %%\n\ny = 2", [Cell("code", "x = 1", (), 1), Cell("code", "y = 2", (), 4)]),
        ("#%% a title\nx = 1\n", [Cell("code", "x = 1", (), 2)]),
        ("# %%\n", [Cell("code", "", (), 2)]),
        ("# %% [markdown]\n# # Title\n#\n# text\n", [Cell("markdown", "# Title\n\ntext")]),
        ('# %% tags=["setup"]\nx = 1', [Cell("code", "x = 1", ("setup",), 2)]),
        ('# %% {"tags": ["exercise", "f"]}\nx = 1', [Cell("code", "x = 1", ("exercise", "f"), 2)]),
        ("# ---\n# jupyter:\n#   a: b\n# ---\n\n# %%\nx = 1", [Cell("code", "x = 1", (), 7)]),
        ("x = 7 # %%\n", [Cell("code", "x = 7 # %%", (), 1)]),
        ("def f(\n", [Cell("code", "def f(", (), 1)]),  # whether it is Python is for the judge to say
    ],
)
def test_what_learners_may_write(text, cells):
    assert from_percent(text) == cells
    assert plain(cells) == [c for c in theirs(jupytext.reads(text, fmt="py:percent")) if c != ("code", "", ()) or cells]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.ipynb", "no JSON"),
        ("a.ipynb", "[]"),
        ("a.ipynb", "{}"),
        ("a.ipynb", json.dumps({"cells": [{"source": ""}]})),
        ("a.py", "# %% tags=[exercise]\nx = 1\n"),
    ],
)
def test_what_is_neither(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ChapterError, match="cannot be read as a"):
        cells_of(path)


def test_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "a.py"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ChapterError, match="cannot be read as a percent file"):
        cells_of(path)
