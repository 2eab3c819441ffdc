"""A shelf of one sample chapter, and a folder of the learner's, for tests of the machinery."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from minidl.cli import common
from minidl.tutor import shelf

SAMPLE = Path(__file__).with_name("sample.py")


@pytest.fixture
def shelf_of_one(tmp_path, monkeypatch):
    """A shelf that holds the sample as chapter 03, and the current folder moved beside it."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    shutil.copy(SAMPLE, folder / "03_sample.py")
    monkeypatch.setattr(shelf, "folder", lambda: folder)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    for console in (common.console, common.errors):
        monkeypatch.setattr(console, "_width", 500)
    return work
