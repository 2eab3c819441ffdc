"""The scoreboard: what each operator can do, written from the table that drives the tests.

Every mark stands for tests that run with the rest of the suite, so a page that is up to date is true as long as the
tests pass. ``make scoreboard`` writes docs/scoreboard.md; a test holds the file against the table.
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import minidl
from minidl import backends
from tests.table import TABLE, Op
from tests.table.core import BOOL, FLOATS, INTS
from tests.table.run import minidl_arguments, outputs_of, resolve

PAGE = Path(__file__).parents[1] / "docs" / "scoreboard.md"

HEADER = """# Scoreboard

Written by `make scoreboard` from the table of operators in `tests/table`; not to be edited by hand.

- **samples**: calls over the whole signature, each compared with PyTorch in float64
  (values to 1e-6, gradients to 1e-5).
- **wrong calls**: calls that must raise PyTorch's type of error, with a message that says what is wrong.
- **dtypes**: ● compared with PyTorch in that type, over every sample that allows it.
- **order**: how often it can be differentiated; ∞ was checked by finite differences to second order, and no rule stops
  there. 0 is an operator without a gradient.
- **kernels**: the rooms of `minidl_kernels` that run it, and the backends that have a file there; every other operator
  is NumPy code (CuPy code on a GPU's arrays).
"""
COLUMNS = ["operator", "samples", "wrong calls", *FLOATS, "ints", "bool", "order", "forms", "kernels", "kinks"]


def rooms_of(op: Op) -> list[str]:
    """The kernels' rooms that forward and backward of the operator enter, seen by running its samples."""
    with backends.use_backend("numpy"):
        for sample in op.all_samples()[:4]:
            args, kwargs, _ = minidl_arguments(sample, grad=op.order > 0)
            outputs = [y for y in outputs_of(resolve(minidl, op.name)(*args, **kwargs)) if hasattr(y, "requires_grad")]
            for y in outputs:
                if y.requires_grad:
                    y.backward(minidl.ones_like(y), retain_graph=True)
        return sorted(backends._current.get().found)


def backends_of(room: str) -> list[str]:
    folder = Path(backends._find(room, "numpy").__file__ or "").parent
    return [name for name in backends.CHAINS if (folder / f"with_{name}.py").exists()]


def row(op: Op) -> list[str]:
    dot = {True: "●", False: ""}
    forms = [form for form, has in (("method", op.method and "." not in op.name), ("in place", op.inplace)) if has]
    return [
        f"`{op.name}`",
        str(len(op.all_samples())),
        str(len(op.all_errors())),
        *(dot[d in op.dtypes] for d in FLOATS),
        dot[all(d in op.dtypes for d in INTS)],
        dot[BOOL[0] in op.dtypes],
        {0: "0", 1: "1"}.get(op.order, "∞"),
        ", ".join(forms),
        "; ".join(f"{room} ({', '.join(backends_of(room))})" for room in rooms_of(op)),
        op.kinks,
    ]


def line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |\n"


def page() -> str:
    text = HEADER
    operators = sorted(TABLE.values(), key=lambda op: (op.module, op.name.lower()))
    for module, group in groupby(operators, key=lambda op: op.module):
        text += f"\n## {module.replace('_', ' ')}\n\n" + line(COLUMNS) + line(["---"] * len(COLUMNS))
        text += "".join(line(row(op)) for op in group)
    samples = sum(len(op.all_samples()) for op in operators)
    errors = sum(len(op.all_errors()) for op in operators)
    return text + f"\n{len(operators)} operators, {samples} samples, {errors} wrong calls.\n"


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")
