"""A file is written whole or not at all."""

from __future__ import annotations

import errno
import os
import stat

import pytest

import minidl
from minidl.utils import files
from minidl.utils.files import atomic_write


def test_a_new_and_an_old_file(tmp_path):
    path = tmp_path / "x"
    with atomic_write(path) as file:
        file.write(b"one")
        assert not path.exists()
    with atomic_write(path, "w", encoding="utf-8") as file:
        file.write("zwei ü")
        assert path.read_bytes() == b"one"
    assert path.read_text("utf-8") == "zwei ü"
    assert os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_leaves_the_old_file(tmp_path, error):
    path = tmp_path / "x"
    path.write_bytes(b"old")

    def stop(file):
        file.write(b"new")
        raise error

    with pytest.raises(error), atomic_write(path) as file:
        stop(file)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize("step", ["fsync", "replace", "chmod"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_full_disk_or_ctrl_c_at_any_step(tmp_path, monkeypatch, step, error):
    path = tmp_path / "x"
    minidl.save({"old": 1}, path)

    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(files.os, step, fail)
    with pytest.raises(type(error)):
        minidl.save({"new": 2}, path)
    monkeypatch.undo()
    assert minidl.load(path) == {"old": 1}
    assert os.listdir(tmp_path) == ["x"]


def test_permissions(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_bytes(b"")
    old.chmod(0o600)
    for path in (old, new):
        with atomic_write(path) as file:
            file.write(b"x")
    assert stat.S_IMODE(old.stat().st_mode) == 0o600
    plain = tmp_path / "plain"
    plain.write_bytes(b"")
    assert new.stat().st_mode == plain.stat().st_mode
