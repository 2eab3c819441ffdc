"""Running a user's Python file inside this process."""

from __future__ import annotations

import os
import runpy
import sys


def run_script(path: str | os.PathLike, arguments: list[str]) -> Exception | SystemExit | None:
    """Run a Python file as ``python path arguments`` would; returns the exception that ended it, None if none did.

    FileNotFoundError if there is no such file. Ctrl-C is passed on.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"there is no script {str(path)!r}")
    before = sys.argv, sys.path[:]
    sys.argv = [str(path), *arguments]
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    try:
        runpy.run_path(str(path), run_name="__main__")
    except (Exception, SystemExit) as error:
        return error
    finally:
        sys.argv, sys.path[:] = before
    return None
