"""The README and its translation: the same links, commands and rows, and no link that leads nowhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README, CHINESE = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh.md"))


def blocks(text):
    """The code blocks, without comments."""
    return [re.sub(r" *#.*", "", block) for block in re.findall(r"^```.*?^```", text, re.M | re.S)]


def test_the_translation_has_the_same_facts():
    links = [set(re.findall(r"\]\(([^)]+)\)", text)) - {"README.md", "README.zh.md"} for text in (README, CHINESE)]
    assert links[0] == links[1]
    assert blocks(README) == blocks(CHINESE)
    rows = [[line.count("|") for line in text.splitlines() if line.startswith("|")] for text in (README, CHINESE)]
    assert rows[0] == rows[1]
    assert README.count("\n## ") == CHINESE.count("\n## ")
    for name in set(re.findall(r"`[^`\n]+`", README)):
        assert name in CHINESE, f"{name} is missing from the translation"


@pytest.mark.parametrize(
    "page",
    [p for p in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "kernels/README.md"] if "book" not in p.parts],
)
def test_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for link in re.findall(r"\]\(([^)#\s]+)", text):
        if not re.match(r"[a-z]+:", link):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"
