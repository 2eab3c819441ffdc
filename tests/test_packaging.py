"""What a stranger gets: a wheel that works with the source out of sight, a light import, a clean top level."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def python(code, *arguments, **environment):
    """Run code in a fresh interpreter, from a folder without minidl; its output."""
    result = subprocess.run(
        [sys.executable, *arguments, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT.parent if not (ROOT.parent / "minidl").exists() else "/",
        env={**os.environ, **environment},
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (path,) = folder.glob("*.whl")
    return path


@pytest.mark.slow
def test_the_wheel_works_with_the_source_out_of_sight(wheel, tmp_path):
    """Installed into an environment of its own, which sees this one's libraries, but not the source tree."""
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    # -S leaves out .pth files, and with them the editable install; libraries come by path, behind the wheel's.
    libraries = os.pathsep.join([str(site), sysconfig.get_paths()["purelib"], sysconfig.get_paths()["platlib"]])
    out = python(
        "import minidl, minidl_kernels, minidl.nn as nn, sys\n"
        "x = minidl.randn(2, 1, 8, 8, requires_grad=True)\n"
        "y = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),"
        " nn.Linear(18, 3))(x)\n"
        "nn.CrossEntropyLoss()(y, minidl.tensor([0, 2])).backward()\n"
        "assert x.grad.shape == x.shape\n"
        "print(minidl.__file__); print(minidl_kernels.__file__)",
        "-S",
        PYTHONPATH=libraries,
    )
    for line in out.splitlines():
        assert Path(line).is_relative_to(site), f"{line} does not come from the wheel"


@pytest.mark.slow
def test_the_tutorials_come_with_the_wheel(wheel, tmp_path):
    """The commands find the chapters in the package; a learner's answer is checked far from any clone."""
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    libraries = os.pathsep.join([str(site), sysconfig.get_paths()["purelib"], sysconfig.get_paths()["platlib"]])
    out = python(
        "import minidl\nfrom minidl.tutor import shelf, proving\n"
        "chapter = shelf.chapter('00')\nprint(chapter.path)\n"
        "print(len(shelf.paths()), all(p.holds for e in chapter.exercises.values() for p in proving.prove(chapter, e)))",
        "-S",
        PYTHONPATH=libraries,
    )
    path, found = out.splitlines()
    assert Path(path).is_relative_to(site)
    assert found == f"{len(list((ROOT / 'tutorials').glob('[0-9][0-9]_*.py')))} True"


@pytest.mark.slow
def test_the_wheel_holds_both_packages_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {t for t in tops if not t.endswith(".dist-info")} == {"minidl", "minidl_kernels"}
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_import_needs_numpy_alone():
    out = python(
        "import sys\nbefore = set(sys.modules)\nimport minidl\n"
        "print(*sorted({m.partition('.')[0] for m in set(sys.modules) - before} - sys.stdlib_module_names))"
    )
    allowed = {"minidl", "minidl_kernels", "numpy", "cython_runtime"}  # the last is NumPy's
    assert {name for name in out.split() if not name.startswith("_")} <= allowed


def test_import_is_quick(tmp_path):
    """minidl's own share of the import in processor time, NumPy's left out; best of five."""
    code = "import time, numpy\nstart = time.process_time()\nimport minidl\nprint(time.process_time() - start)\n"
    kept = {
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": str(tmp_path),
    }  # compiled once, as when it is installed
    assert min(float(python(code, **kept)) for _ in range(5)) < 0.3


def test_the_version_is_said_once():
    import minidl

    assert python("import importlib.metadata as m; print(m.version('minidl'))").strip() == minidl.__version__
    assert f"## {minidl.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
