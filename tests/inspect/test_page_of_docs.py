"""The page on looking inside: its code runs, from top to bottom, as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "inspecting.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.slow
def test_the_code_of_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(matplotlib, "get_backend", lambda: "agg")
    names: dict = {}
    for block in BLOCKS:
        exec(compile(block, "a block of the page", "exec"), names)
    said = capsys.readouterr().out
    for word in ("square", "finite difference", "log", "must end in in_features"):
        assert word in said, f"the page's code does not speak of {word!r}"
    assert {"trace.html", "graph.svg"} <= {path.name for path in tmp_path.iterdir()}


def test_what_the_page_names_exists():
    from minidl import inspect

    for name in re.findall(r"`(\w+)\([^`]*\)`", PAGE.read_text(encoding="utf-8")):
        assert hasattr(inspect, name) or name in ("backward",), name
