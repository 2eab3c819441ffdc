"""Everything that is to be measured on a GPU, in one command that needs no network: ``make bench-gpu``.

    python -m minidl.bench.gpu runs/gpu                # writes results.json and pictures there
    python -m minidl.bench.gpu runs/gpu softmax lstm   # these kernels alone

The CUDA C and Triton kernels in float32 and half precision, beside PyTorch if it is there with CUDA, and what came of the
goals. It needs CuPy and Triton; without matplotlib there are no pictures, and without rich no tables.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from minidl import backends
from minidl.bench import kernels, results, steps
from minidl.bench.results import Results, Row

HALF = ["matmul", "attention", "convolution", "softmax", "layer_norm", "cross_entropy", "rms_norm", "activation"]


@dataclass
class Goal:
    """What is aimed at: a room in a type, the figure, and whether it is a share of bandwidth or PyTorch's time over ours."""

    room: str
    dtype: str
    least: float
    kind: str  # "bandwidth" or "torch"
    words: str

    def reached(self, rows: Sequence[Row]) -> float | None:
        """The figure reached at the largest size by the triton backend, the least of its operations; None if not measured."""
        mine = [row for row in rows if (row.room, row.dtype, row.backend) == (self.room, self.dtype, "triton")]
        if not mine:
            return None
        largest = max(row.elements for row in mine)
        mine = [row for row in mine if row.elements == largest]
        if self.kind == "bandwidth":
            return min(row.share for row in mine)
        theirs = {row.key[:4]: row.seconds for row in rows if row.backend == "torch"}
        found = [theirs[row.key[:4]] / row.seconds for row in mine if row.key[:4] in theirs]
        return min(found, default=None)


GOALS = [
    *(Goal(room, "float32", 0.85, "bandwidth", "of the copy bandwidth") for room in ("softmax", "layer_norm")),
    *(Goal(room, "float32", 0.85, "bandwidth", "of the copy bandwidth") for room in ("cross_entropy", "adam")),
    Goal("attention", "bfloat16", 0.9, "torch", "of the speed of PyTorch's scaled_dot_product_attention"),
    Goal("matmul", "bfloat16", 0.85, "torch", "of cuBLAS's speed"),
    Goal("lstm", "float32", 1.0, "torch", "of cuDNN's speed"),
    Goal("convolution", "float16", 0.7, "torch", "of cuDNN's speed"),
    Goal("gpt2 small", "bfloat16", 0.8, "torch", "of the speed of PyTorch eager"),
]


def run(rooms: Sequence[str] = (), say: Any = print, keep: Any = lambda found: None) -> Results:
    """Measure all of it, or ``rooms``; ``keep`` is given what there is after each type, so that a run cut short is not
    lost. RuntimeError, with the remedy, where there is no GPU.
    """
    if not backends.cuda_is_available():
        raise RuntimeError(
            f"this needs a CUDA GPU, and {backends.missing_cuda()}. On this machine 'minidl bench' measures the CPU's kernels."
        )
    names = [name for name in ("cupy", "triton") if not backends.missing(name)]
    against = "torch" if _torch_has_cuda() else None
    say("PyTorch is measured beside." if against else "PyTorch with CUDA is not here: the kernels are measured alone.")
    found = Results([], **results.here())
    for dtype in ("float32", "bfloat16", "float16"):
        chosen = [r for r in rooms or kernels.known.rooms() if dtype == "float32" or r in HALF]
        if not chosen:
            continue
        part = kernels.run(chosen, names, against, dtype, say=partial(_say, say, dtype), keep_going=True)
        found.rows += part.rows
        found.failures += part.failures
        found.ceilings.update({f"{device} {dtype}": c for device, c in part.ceilings.items()})
        keep(found)
    if rooms:
        return found
    say("a training step of GPT-2 small")
    try:
        found.rows += steps.measure(names[-1:], kernels._torch(against), found.ceilings["cuda bfloat16"])
    except Exception as error:
        found.failures.append(f"a training step of GPT-2 small: {type(error).__name__}: {error}")
    return found


def _say(say: Any, dtype: str, text: str) -> None:
    say(f"{text}, {dtype}")


def _torch_has_cuda() -> bool:
    if importlib.util.find_spec("torch") is None:
        return False
    return importlib.import_module("torch").cuda.is_available()


def verdicts(found: Results) -> list[str]:
    """What came of each goal, a sentence each."""
    sentences = []
    for goal in GOALS:
        reached = goal.reached(found.rows)
        what = f"{goal.room} in {goal.dtype}: at least {goal.least:.0%} {goal.words}"
        if reached is None:
            sentences.append(f"not measured  {what}")
        else:
            sentences.append(f"{'reached' if reached >= goal.least else 'missed':<13} {what}; it is {reached:.0%}")
    return sentences


def main(folder: str = "runs/gpu", *rooms: str) -> int:
    """Measure, write, and print; 1 if a kernel failed."""
    target = Path(folder)

    def keep(found: Results) -> None:
        target.mkdir(parents=True, exist_ok=True)
        results.save(found, target / "results.json")

    found = run(rooms, keep=keep)
    keep(found)
    if importlib.util.find_spec("rich") is not None:
        from rich.console import Console

        kernels.show(found, Console(width=160))
    if importlib.util.find_spec("matplotlib") is not None:
        from minidl.bench import plots

        for dtype in ("float32", "bfloat16", "float16"):
            rows = [row for row in found.rows if row.dtype == dtype]
            ceilings = {name.split()[0]: c for name, c in found.ceilings.items() if name.endswith(f" {dtype}")}
            if rows:
                plots.draw(Results(rows, ceilings, found.machine), target / dtype)
    for sentence in [*verdicts(found), *(f"failed        {failure}" for failure in found.failures)]:
        print(sentence)
    print(f"The results are in {target / 'results.json'}, measured on {found.machine['gpu']}.")
    return 1 if found.failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except RuntimeError as error:
        sys.exit(f"Error: {error}")
