"""The NumPy chapters as notebooks that run in the browser: JupyterLite, beside the book."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import gather

from minidl.tutor.chapter import Chapter

ROOT = Path(__file__).resolve().parents[2]


def build(work: Path, html: Path, chapters: list[Chapter]) -> None:
    """Put JupyterLite, the learner's notebooks and minidl's wheel into ``html/lite``.

    Everything but Pyodide itself (Python, NumPy and matplotlib for the browser) is in the site. Pyodide's packages are not
    published in a registry that this could take them from: the reader's browser fetches them from Pyodide's own address.
    """
    notebooks = work / "notebooks"
    gather.notebooks_for_browser(notebooks, chapters)
    wheels = work / "wheels"
    for old in wheels.glob("*.whl"):
        old.unlink()
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = wheels.glob("*.whl")
    folder = work / "lite"
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "jupyterlite_core.app", "build", "--contents", str(notebooks)]
    command += ["--output-dir", str(html / "lite"), "--piplite-wheels", str(wheel), "--apps", "lab"]
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"JupyterLite could not be built:\n{(done.stdout + done.stderr)[-3000:]}")
