"""Docstrings made fit for reStructuredText: |x|, 2**n and x_ stand for themselves outside code and references."""

from __future__ import annotations

import re

# What is markup and stays: literals, roles with their text, strong and emphasised words, links.
_MARKUP = re.compile(
    r"(``.+?``|:[\w:+-]+:`[^`]+`|`[^`]+`_{1,2}|\*\*[^*\s][^*]*[^*\s]\*\*(?!\w)|(?<![\w*])\*\w[^*]*\w\*(?![\w*]))"
)


def process(app, what, name, obj, options, lines):
    """Sphinx's event ``autodoc-process-docstring``: escape what only looks like markup, line by line."""
    code = False
    previous_blank = True
    for i, line in enumerate(lines):
        if code and line.strip() and not line.startswith(" "):
            code = False
        if not code and not line.lstrip().startswith((">>>", "...")):
            lines[i] = _escaped(line)
        if line.rstrip().endswith("::"):
            code = True
        previous_blank = not line.strip()
    del previous_blank


def _escaped(line: str) -> str:
    parts = _MARKUP.split(line)
    return "".join(part if i % 2 else _plain(part) for i, part in enumerate(parts))


def _plain(text: str) -> str:
    text = text.replace("|", r"\|")
    text = re.sub(r"(?<=\w)_(?=\W|$)", r"\\_", text)  # name_ would be a reference
    text = re.sub(r"(?<!^)\*|(?<=\S)\*|\*(?=\S)", r"\\*", text)
    return re.sub(r"`(?=[^`]*$)", r"\\`", text) if text.count("`") % 2 else text
