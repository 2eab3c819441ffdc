"""A chapter run from top to bottom, in a process of its own."""

from __future__ import annotations

import argparse
import os
import runpy
import subprocess
import sys
from pathlib import Path


def run(path: Path, pictures: Path | None = None, full: bool = False, strict: bool = False) -> subprocess.Popen[str]:
    """Start a chapter in a new process and return it; its output and errors come through one pipe.

    ``pictures``: the folder for its figures, ``figure-1.png`` and so on; without one they are not kept. ``strict``:
    warnings are errors, and neither PyTorch nor the network can be reached, as in the tests.
    """
    command = [sys.executable, "-u", *(["-W", "error"] if strict else []), "-m", "minidl.tutor.running", str(path)]
    command += ["--pictures", str(pictures)] if pictures is not None else []
    command += ["--strict"] if strict else []
    environment = {**os.environ, "MPLBACKEND": "Agg", "MINIDL_FULL": "1" if full else "0", "PYTHONIOENCODING": "utf-8"}
    if strict:  # on a machine that others use, BLAS's threads wait for each other, minutes for what takes seconds
        environment = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **environment}
    if not full:  # small products gain nothing from threads, whose waiting costs ten times the work on a busy machine
        environment.setdefault("OPENBLAS_NUM_THREADS", "1")
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8", env=environment
    )


class _Refused:
    """Finds no module of PyTorch's, nor of its like."""

    def find_spec(self, name: str, *_: object) -> None:
        if name.partition(".")[0] in ("torch", "torchvision", "tensorflow", "jax"):
            raise ModuleNotFoundError(f"a chapter may not import {name}")


def shut_off() -> None:
    """Let no import of PyTorch and no connection to another machine succeed in this process."""
    import socket

    def refuse(self: socket.socket, address: object) -> None:
        raise OSError(f"a chapter may not use the network in its small settings (it asked for {address})")

    sys.meta_path.insert(0, _Refused())  # type: ignore[arg-type]
    socket.socket.connect = refuse  # type: ignore[method-assign,assignment]
    socket.socket.connect_ex = refuse  # type: ignore[method-assign,assignment]


def main() -> None:
    """Run the chapter as a script; its figures are written when it ends, whole or not at all."""
    parser = argparse.ArgumentParser(prog="minidl.tutor.running")
    parser.add_argument("chapter", type=Path)
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--strict", action="store_true")
    asked = parser.parse_args()
    if asked.strict:
        shut_off()
    import matplotlib.pyplot as plt

    plt.rcParams["figure.max_open_warning"] = 0  # a chapter's figures stay open until its end
    plt.show = lambda *arguments, **options: None  # they are kept, not shown
    sys.argv = [str(asked.chapter)]
    sys.path.insert(0, str(asked.chapter.resolve().parent))
    runpy.run_path(str(asked.chapter), run_name="__main__")
    if asked.pictures is not None:
        asked.pictures.mkdir(parents=True, exist_ok=True)
        for number in plt.get_fignums():
            plt.figure(number).savefig(asked.pictures / f"figure-{number}.png", dpi=120)


if __name__ == "__main__":
    main()
