"""The lists in docs/from_pytorch.md, made from the table that the errors are made from.

python -m tests.from_pytorch    writes them anew
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from minidl.absent import GROUPS, PLACES

_CODE = re.compile(
    r"\b(?:minidl|numpy|cupy|x|y)(?:\.\w+)+(?:\([^()]*\))?|DataLoader\([^)]*\)|y\[[^\]]*\] = \w+|\w+=True"
)

PAGE = Path(__file__).parents[1] / "docs" / "from_pytorch.md"
START, END = "<!-- what is missing: written by python -m tests.from_pytorch -->\n", "<!-- end of what is missing -->"


def lists() -> str:
    """A paragraph a group, what to do instead, and the names under PyTorch's."""
    text = ""
    for group in GROUPS:
        instead = _CODE.sub(r"`\g<0>`", group.instead)
        instead = instead[0].upper() + instead[1:]
        text += "\n" + _wrapped(f"**{group.about}.** {instead}.") + "\n"
        for place, names in group.names.items():
            listed = ", ".join(f"`{name}`" for name in sorted(names.split()))
            text += _wrapped(f"- `{PLACES[place]}`: {listed}", "  ")
    return text + "\n"


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(text, 127, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False) + "\n"


def page() -> str:
    """The page with the lists as they should be."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(START)
    return f"{before}{START}{lists()}{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")
