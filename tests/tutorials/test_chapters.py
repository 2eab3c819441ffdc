"""Every chapter is there, has its parts, and runs from top to bottom with small settings within a minute."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from minidl.tutor import running
from minidl.tutor.chapter import read

FOLDER = Path(__file__).parents[2] / "tutorials"
NAMES = [
    "00_tensors",
    "01_autograd",
    "02_backward",
    "03_optimisers",
    "04_convolution",
    "05_mnist",
    "06_deep_networks",
    "07_regularisation",
    "08_recurrence",
    "09_lstm",
    "10_attention",
    "11_transformer",
    "12_pretraining",
    "13_finetuning",
    "14_kernels",
    "15_rooflines",
    "16_flash_attention",
    "17_mixed_precision",
    "18_since_gpt2",
]
PATHS = sorted(FOLDER.glob("[0-9][0-9]_*.py"))
CHAPTERS = pytest.mark.parametrize("path", PATHS, ids=[p.stem for p in PATHS])


def test_all_chapters_are_there():
    assert [p.stem for p in PATHS] == NAMES
    assert (FOLDER / "notation.md").is_file()
    assert not list(FOLDER.rglob("*.ipynb")), "notebooks are made from the percent files, not kept"


@pytest.mark.slow
@pytest.mark.timeout(120)
@CHAPTERS
def test_it_runs_from_top_to_bottom(path, tmp_path, monkeypatch):
    """In its own process: warnings are errors, no PyTorch, no network, no display, and nothing left behind."""
    monkeypatch.chdir(tmp_path)
    with running.run(path, strict=True) as process:
        try:
            out, _ = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            out, _ = process.communicate()
            pytest.fail(f"{path.name} had not ended after 60 seconds; it had said:\n{out[-2000:]}")
    assert process.returncode == 0, out[-4000:]
    assert not list(tmp_path.iterdir()), "a chapter leaves no files behind"


@CHAPTERS
def test_it_has_every_part(path):
    chapter = read(path)
    text = "\n\n".join(c.source for c in chapter.cells if c.kind == "markdown")
    assert re.match(rf"# {int(chapter.number)}\. \S", text), "it begins with its number and title"
    assert len(chapter.question) > 80, "**The question** and a paragraph follow the title"
    marked = re.findall(r"^#+ .+$|\*\*[^*]+\*\*", text, re.M)
    for part in ("experiment|prediction", "exercise", "pytorch", "sources"):
        assert any(re.search(part, m.lower()) for m in marked), f"no heading or bold words name {part!r}"
    assert "$$" in text, "its mathematics are derived in displayed formulas"
    own = "\n".join(c.source for c in chapter.cells if c.kind == "code" and not c.role)
    assert re.search(r"^\s*assert ", own, re.M), "an experiment asserts what it claims"
    assert re.search(r"plt\.|\.plot\(|\.show\(|inspect\.", own), "it has pictures"


@CHAPTERS
def test_it_keeps_the_house_rules(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"^\s*(import|from) (torch|tensorflow|jax)\b", text, re.M)
    assert max(map(len, text.splitlines())) <= 127
    for kind, source in ((c.kind, c.source) for c in read(path).cells):
        if kind == "markdown":
            words = re.sub(r"\$\$.*?\$\$|\$[^$]*\$|`[^`]*`|!\[", "", source, flags=re.S)
            assert "!" not in words, f"no exclamation marks: {source[:80]!r}"
            assert source.count("$$") % 2 == 0, f"a displayed formula does not end: {source[:80]!r}"
