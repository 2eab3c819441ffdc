"""Docstrings made fit for reStructuredText: what only looks like markup stands for itself, and indented blocks are code."""

from __future__ import annotations

import re

# What is markup and stays: literals, roles with their text, strong and emphasised words, links.
_MARKUP = re.compile(
    r"(``.+?``|:[\w:+-]+:`[^`]+`|`[^`]+`_{1,2}|\*\*[^*\s][^*]*[^*\s]\*\*(?!\w)|(?<![\w*])\*\w[^*]*\w\*(?![\w*]))",
    re.DOTALL,
)
_SECTIONS = {"Args", "Arguments", "Attributes", "Example", "Examples", "Note", "Raises", "Returns", "Yields", "Warning"}


def process(app, what, name, obj, options, lines):
    """Sphinx's event ``autodoc-process-docstring``, in place and before napoleon reads the sections."""
    if what == "module":  # Sphinx took away an indentation that every line but the first had
        lines[:] = (obj.__doc__ or "").split("\n")
    made: list[str] = []
    paragraph: list[str] = []

    def finish():
        made.extend(_escaped("\n".join(paragraph)).split("\n") if paragraph else [])
        paragraph.clear()

    state = "text"  # or "section" (Args: and its like, which napoleon reads), "code", "table"
    for line in lines:
        if paragraph and re.fullmatch(r"-{3,}", line):  # a title above a table of names
            title = paragraph.pop()
            finish()
            made.extend([f"**{title}**", "", "::", ""])
            state = "table"
            continue
        if state == "table":
            state = "table" if line.strip() else "text"
            made.append(f"    {line}" if line.strip() else "")
            continue
        if line.strip() and not line.startswith(" "):
            if state == "code":
                made.append("")
            state = "section" if line.rstrip().endswith(":") and line.rstrip()[:-1] in _SECTIONS else "text"
        elif line.startswith("    ") and state == "text":
            finish()
            state = "code"
            while made and not made[-1].strip():
                made.pop()
            made.extend([""] if made and made[-1].endswith("::") else ["", "::", ""])
        if state == "code" or not line.strip() or line.lstrip().startswith((">>>", "...")):
            finish()
            made.append(line)
        else:
            paragraph.append(line)
    finish()
    lines[:] = made


def _escaped(text: str) -> str:
    parts = _MARKUP.split(text)
    for i in range(0, len(parts), 2):
        parts[i] = _plain(parts[i])
        if i and re.match(r"[^\s.,:;!?)\]}'\"/\\-]", parts[i]):
            parts[i] = "\\ " + parts[i]  # what follows a literal without a space, as in ``x``², needs a mark
    return "".join(parts)


def _plain(text: str) -> str:
    text = text.replace("|", r"\|")
    text = re.sub(r"(?<=\w)_(?=\W|$)", r"\\_", text)  # name_ would be a reference
    text = re.sub(r"(?<!^)\*|(?<=\S)\*|\*(?=\S)", r"\\*", text)
    return text.replace("``", r"\`\`") if text.count("``") % 2 else text
