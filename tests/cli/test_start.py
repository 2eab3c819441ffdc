"""How the command line starts: with little to import, and anew only where it computes."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest

from minidl.__main__ import computes

HEAVY = {"IPython", "jupytext", "jsonschema", "matplotlib", "nbformat", "numba", "scipy", "sklearn", "torch", "triton"}
QUICK = [["--version"], ["--help"], ["tutorials"], ["tutorials", "list"], ["check", "04"], ["backends"]]


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """An environment in which Python compiles once, as when minidl is installed, and main() finds nothing to change."""
    folder = str(tmp_path_factory.mktemp("compiled"))
    settled = {"MALLOC_ARENA_MAX": "1", "OPENBLAS_CORETYPE": os.environ.get("OPENBLAS_CORETYPE", "Haswell")}
    return {**os.environ, **settled, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": folder}


def seconds(environment, folder, *arguments):
    """The processor time of a Python process, the better of three."""

    def one():
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], env=environment, cwd=folder, capture_output=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    return min(one() for _ in range(3))


def test_commands_that_compute_nothing_start_quickly(kept, tmp_path):
    """Typer costs about as much as minidl itself; reading nineteen chapters a little more."""
    base = seconds(kept, tmp_path, "-c", "import minidl")
    for words in (["tutorials"], ["check", "04"], ["--help"]):
        assert seconds(kept, tmp_path, "-m", "minidl", *words) < 5 * base, words


@pytest.mark.parametrize("words", QUICK, ids=" ".join)
def test_nothing_heavy_is_imported(kept, tmp_path, words):
    command = [sys.executable, "-X", "importtime", "-m", "minidl", *words]
    result = subprocess.run(command, env=kept, cwd=tmp_path, capture_output=True, text=True, check=False)
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in result.stderr.splitlines()}
    assert "typer" in imported
    assert not imported & HEAVY


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("", False),
        ("--help", False),
        ("train mnist --help", False),
        ("tutorials", False),
        ("check 04", False),
        ("tutorials run 04", True),
        ("train mnist", True),
        ("bench", True),
        ("step train.py", True),
        ("doctor", True),
    ],
)
def test_a_new_start_is_for_commands_that_compute(command, answer):
    assert computes(command.split()) is answer
