"""The drawing of the layers, made from the list that test_architecture.py holds and from the imports themselves.

python -m tests.architecture    writes docs/images/architecture.svg, and the table in docs/architecture.md
"""

from __future__ import annotations

from html import escape
from pathlib import Path

from tests.test_architecture import LAYERS, imports, layer_of, modules

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
DRAWING = ROOT / "docs" / "images" / "architecture.svg"
START, END = "<!-- layers: written by python -m tests.architecture -->\n", "<!-- end of layers -->"

# What a layer is for, by the first of its names.
WORDS = {
    "minidl.absent": "what is missing; types; which arrays and kernels; who called",
    "minidl.tensor": "an array and its place on the tape",
    "minidl.autograd": "the tape, backward, hooks, gradcheck",
    "minidl.ops": "operators: forward rule beside gradient rule",
    "minidl.sampling": "random tensors, PyTorch's names, printing",
    "minidl.methods": "operators as methods; Jacobians",
    "minidl.nn.functional": "the functions of layers",
    "minidl.serialization": "weights in files",
    "minidl.nn": "modules, optimisers, data, texts",
    "minidl.models": "networks",
    "minidl.costs": "looking inside: costs, times, gradients",
    "minidl.train": "the training loop",
    "minidl.bench": "measuring; the tutorials' exercises",
    "minidl.cli": "commands",
}


def used() -> dict[int, set[int]]:
    """Which layers each layer imports from, itself left out; the kernels are layer -1."""
    found: dict[int, set[int]] = {level: set() for level in range(len(LAYERS))}
    for module, path in modules():
        mine = layer_of(module)
        if mine is not None:
            for name in imports(path, module):
                other = -1 if name.split(".")[0] == "minidl_kernels" else layer_of(name)
                if other is not None and other != mine:
                    found[mine].add(other)
    return found


def rows() -> list[tuple[int, list[str], str, list[int]]]:
    """From the top down: number, modules, words, and the numbers of the layers that it imports from; the kernels are 0."""
    uses = used()
    made = [
        (level + 1, LAYERS[level], WORDS[LAYERS[level][0]], sorted((u + 1 for u in uses[level]), reverse=True))
        for level in reversed(range(len(LAYERS)))
    ]
    return [*made, (0, ["minidl_kernels"], "hot paths: functions on arrays; know no Tensor", [])]


def table() -> str:
    """The layers as a table in Markdown."""
    text = "| | modules | what for | imports from |\n|---|---|---|---|\n"
    for number, names, words, uses in rows():
        text += f"| {number} | {', '.join(f'`{n}`' for n in names)} | {words} | {', '.join(map(str, uses)) or '–'} |\n"
    return text


def drawing() -> str:
    """The layers as an SVG: a box each, and from it a line to every layer that it imports from."""
    width, height, gap, left = 640, 46, 10, 20
    layers = rows()
    tops = {number: 20 + i * (height + gap) for i, (number, *_) in enumerate(layers)}
    total = 20 + len(layers) * (height + gap) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 980 {total}" font-family="sans-serif" role="img">',
        "<title>The layers of minidl: every line leads down</title>",
        f'<rect width="980" height="{total}" fill="#ffffff"/>',
    ]
    for number, _, _, uses in layers:
        y0 = tops[number] + height / 2
        for other in uses:
            y1 = tops[other] + height / 2 - 6
            bend = left + width + 30 + 18 * (list(tops).index(other) - list(tops).index(number))
            curve = f"M {left + width} {y0:g} C {bend} {y0:g}, {bend} {y1:g}, {left + width + 6} {y1:g}"
            parts.append(f'<path d="{curve}" fill="none" stroke="#4878a8" stroke-opacity="0.45" stroke-width="1.3"/>')
            tip = f"{left + width} {y1:g}, {left + width + 7} {y1 - 3:g}, {left + width + 7} {y1 + 3:g}"
            parts.append(f'<polygon points="{tip}" fill="#4878a8"/>')
    for number, names, words, _ in layers:
        y = tops[number]
        fill = "#fdf1dc" if not number else "#eaf1f8"
        parts.append(
            f'<rect x="{left}" y="{y}" width="{width}" height="{height}" rx="6" fill="{fill}" stroke="#4878a8"/>'
            f'<text x="{left + 14}" y="{y + 29}" font-size="15" fill="#666666">{number}</text>'
            f'<text x="{left + 44}" y="{y + 20}" font-size="14" fill="#111111">{escape(words)}</text>'
            f'<text x="{left + 44}" y="{y + 37}" font-size="10.5" font-family="monospace" fill="#444444">'
            f"{escape(' '.join(n.removeprefix('minidl.') for n in names))}</text>"
        )
    return "\n".join([*parts, "</svg>", ""])


def page() -> str:
    """The page with the table as it should be."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(START)
    after = rest.partition(END)[2]
    return f"{before}{START}{table()}{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    DRAWING.write_text(drawing(), encoding="utf-8")
    print(f"wrote {PAGE} and {DRAWING}")
