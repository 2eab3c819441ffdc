"""How to install what is missing, and to run what there is: commands that work where they are read."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path


def how_to_install(*packages: str) -> str:
    """The command that installs ``packages`` for the Python that runs.

    ``"minidl[jit]"`` stands for what an extra of minidl's own needs: pip finds minidl installed, and adds what is missing.
    Where minidl is run from its source without being installed, the source is named instead.
    """
    words = [_python(), "-m", "pip", "install"]
    for package in packages:
        name, _, extra = package.partition("[")
        words += ["-e", f"{_source()}[{extra}"] if name == "minidl" and not _is_installed() else [package]
    return shlex.join(words)


def how_to_run(*words: str) -> str:
    """The ``minidl`` command with these words, as it would be typed here."""
    script = Path(sys.executable).with_name("minidl")
    if not script.exists():
        return shlex.join([_python(), "-m", "minidl", *words])
    found = shutil.which("minidl")
    known = found is not None and Path(found).samefile(script)
    return shlex.join(["minidl" if known else _from_here(str(script)), *words])


def _python() -> str:
    """The Python that runs, as it would be typed here."""
    if shutil.which("python") == sys.executable:
        return "python"
    return _from_here(sys.executable)


def _from_here(path: str) -> str:
    return path.removeprefix(os.getcwd() + os.sep)


def _is_installed() -> bool:
    from importlib import metadata  # slow to import, seldom wanted

    try:
        metadata.version("minidl")
    except metadata.PackageNotFoundError:
        return False
    return True


def _source() -> Path:
    """The clone that this file lies in."""
    return Path(__file__).resolve().parents[2]
