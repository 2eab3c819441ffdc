"""What to install: one function says it, in a command that works where it is read."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from minidl_kernels import installing
from minidl_kernels.installing import how_to_install, how_to_run

ROOT = Path(__file__).parents[1]


def run(command, folder):
    return subprocess.run(
        command,
        shell=True,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PIP_NO_INDEX": "1"},
    )


def test_the_command_adds_what_an_extra_needs_to_what_is_installed(tmp_path, monkeypatch):
    """Typed in another folder, it finds this minidl, and no other from somewhere else."""
    monkeypatch.chdir(tmp_path)
    result = run(how_to_install("minidl[jit]") + " --dry-run", tmp_path)
    assert result.returncode == 0, result.stderr
    assert re.search(r"already satisfied: numba\S+ in", result.stdout)
    assert "Would install" not in result.stdout


def test_the_python_is_the_one_that_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert shlex.split(how_to_install("wandb")) == [sys.executable, "-m", "pip", "install", "wandb"]
    monkeypatch.chdir(Path(sys.executable).parents[1])
    assert how_to_install("torch==2.13.0") == f"bin/{Path(sys.executable).name} -m pip install torch==2.13.0"
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    monkeypatch.setattr(sys, "executable", str(Path(sys.executable).with_name("python")))
    assert how_to_install("a>=1", "b") == "python -m pip install 'a>=1' b"


def test_how_to_run_is_what_would_be_typed_here(monkeypatch, tmp_path):
    script = tmp_path / "bin" / "minidl"
    script.parent.mkdir()
    monkeypatch.setattr(sys, "executable", str(script.with_name("python")))
    monkeypatch.setenv("PATH", "")
    monkeypatch.chdir(tmp_path)
    assert how_to_run("train", "a b") == "bin/python -m minidl train 'a b'"
    script.touch()
    script.chmod(0o755)
    assert how_to_run("train", "--resume") == "bin/minidl train --resume"
    monkeypatch.chdir("/")
    assert how_to_run() == str(script)
    monkeypatch.setenv("PATH", str(script.parent))
    assert how_to_run("doctor") == "minidl doctor"


def test_a_source_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(installing, "_is_installed", lambda: False)
    assert shlex.split(how_to_install("minidl[gpu]"))[-2:] == ["-e", f"{ROOT}[gpu]"]
    assert shlex.split(how_to_install("wandb"))[-1] == "wandb"


FILES = [p for folder in ("minidl", "kernels", "tutorials") for p in sorted((ROOT / folder).rglob("*.py"))]


def test_nobody_else_says_how():
    words = re.compile(r"pip install [\w']")
    assert [str(p) for p in FILES if words.search(p.read_text(encoding="utf-8"))] == []


def test_every_extra_that_is_named_exists():
    text = "".join(p.read_text(encoding="utf-8") for p in FILES)
    named = set(re.findall(r"how_to_install\(f?[\"']minidl\[(\w+)\]", text))
    assert len(named) > 3
    for extra in named:
        assert re.search(rf"^{extra} = \[", (ROOT / "pyproject.toml").read_text(), re.M), extra
