"""The how-to pages, done: their blocks applied to a copy of the tree, and the commands run that they say."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "howto").glob("*.md"))
STEP = re.compile(
    r"(?:^(?P<kind>New file|In) `(?P<path>[^`]+)`(?:, below `(?P<anchor>[^`]+)`)?:\n\n)?"
    r"^```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.M | re.S,
)


@pytest.fixture
def tree(tmp_path):
    """A copy of what the pages change and the tests need."""
    for name in ("minidl", "kernels", "tests", "docs"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", ".*", "book"))
    for name in ("pyproject.toml", "CHANGELOG.md"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def run(command, folder):
    """Run one line of a page in the copy, which hides the installed minidl."""
    words = shlex.split(command)
    if words[0] == "python":
        words[0] = sys.executable
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(folder / "kernels")])}
    environment["PYTEST_ADDOPTS"] = "-p no:cacheprovider"
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("page", PAGES, ids=[p.stem for p in PAGES])
def test_the_page_does_what_it_says(page, tree):
    steps = list(STEP.finditer(page.read_text(encoding="utf-8")))
    commands = 0
    for step in steps:
        if step["language"] == "sh":
            for command in step["text"].splitlines():
                done = run(command, tree)
                assert done.returncode == 0, f"{command}\n{(done.stdout + done.stderr)[-3000:]}"
                if "pytest" in command:
                    assert re.search(r"\b[1-9]\d* passed", done.stdout), f"{command} ran no test"
                commands += 1
            continue
        assert step["kind"], f"{page.name} does not say which file this goes to:\n{step['text'][:200]}"
        path = tree / step["path"]
        if step["kind"] == "New file":
            assert not path.exists(), f"{step['path']} is there already: choose another example"
            path.write_text(step["text"], encoding="utf-8")
        else:
            text = path.read_text(encoding="utf-8")
            assert text.count(step["anchor"] + "\n") == 1, f"{step['path']} has no line {step['anchor']!r}"
            path.write_text(text.replace(step["anchor"] + "\n", step["anchor"] + "\n" + step["text"]), encoding="utf-8")
    assert commands
    assert run("python -c 'import minidl; print(minidl.__file__)'", tree).stdout.startswith(str(tree))


def test_the_pages_are_all_there():
    assert [p.stem for p in PAGES] == ["kernel", "layer", "operator"]


@pytest.mark.parametrize("page", PAGES, ids=[p.stem for p in PAGES])
def test_the_code_on_the_page_is_in_the_house_style(page, tmp_path):
    for number, step in enumerate(STEP.finditer(page.read_text(encoding="utf-8"))):
        if step["kind"] == "New file":
            (tmp_path / f"{number}.py").write_text(step["text"], encoding="utf-8")
    for words in (["check", "--ignore", "INP"], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *words, "--config", str(ROOT / "pyproject.toml"), str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
