"""Pictures and how they get here: IDX files, checksums, caches, mirrors that fail, downloads that break off."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import struct
import threading
from pathlib import Path

import numpy as np
import pytest

import minidl
from minidl.data import MNIST, DataLoader, Digits, transforms
from minidl.data.download import DownloadError, Mirror, Package, cache_folder, download, obtain
from minidl.data.images import _Downloaded, read_idx


def idx(array):
    return b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def tiny_files(n=10):
    rng = np.random.default_rng(0)
    files = {}
    for part in ("train", "t10k"):
        files[f"{part}-images-idx3-ubyte"] = idx(rng.integers(0, 256, (n, 28, 28), dtype=np.uint8))
        files[f"{part}-labels-idx1-ubyte"] = idx((np.arange(n) % 10).astype(np.uint8))
    return files


def checksums(files):
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


class Server(http.server.BaseHTTPRequestHandler):
    """A mirror: gzipped files, byte ranges, and connections that break off after ``cut`` bytes the first time."""

    files: dict = {}  # noqa: RUF012
    cut = None
    log: list = []  # noqa: RUF012

    def do_GET(self):
        name = self.path.rpartition("/")[2]
        asked = self.headers.get("Range")
        type(self).log.append((name, asked))
        if name not in self.files:
            self.send_error(404)
            return
        content = self.files[name]
        begin = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if begin >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(content) - begin))
        self.end_headers()
        end = len(content)
        if self.cut is not None:
            end, type(self).cut = begin + self.cut, None
        self.wfile.write(content[begin:end])

    def log_message(self, *args):
        pass


@pytest.fixture
def mirror():
    Server.files = {f"{name}.gz": gzip.compress(content) for name, content in tiny_files().items()}
    Server.cut, Server.log = None, []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    thread.join()
    server.server_close()


def data_set(source):
    class Tiny(_Downloaded):
        folder = "tiny"
        checksums = checksums(tiny_files())
        sources = [source] if not isinstance(source, list) else source

    return Tiny


def test_downloaded_once_checked_and_cached(mirror, tmp_path):
    tiny = data_set(Mirror(mirror))
    data = tiny(tmp_path, transform=transforms.ToTensor())
    assert data.targets.tolist() == list(range(10))
    picture, label = data[3]
    assert picture.shape == (1, 28, 28)
    assert label == 3
    requests = len(Server.log)
    tiny(tmp_path, train=False)
    assert len(Server.log) == requests, "the second time comes from the cache"
    assert sorted(p.name for p in (tmp_path / "tiny").iterdir()) == sorted(tiny_files())


def test_a_damaged_file_in_the_cache_is_fetched_again(mirror, tmp_path):
    tiny = data_set(Mirror(mirror))
    tiny(tmp_path)
    damaged = tmp_path / "tiny" / "train-labels-idx1-ubyte"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with pytest.raises(DownloadError, match=r"train-labels.*damaged.*download=True"):
        tiny(tmp_path, download=False)
    assert tiny(tmp_path).targets.tolist() == list(range(10))


def test_a_download_that_breaks_off_goes_on_where_it_stopped(mirror, tmp_path):
    Server.cut = 1000
    name = "train-images-idx3-ubyte.gz"
    path = tmp_path / "file.part"
    with pytest.raises(OSError, match=r"broke off|more expected|IncompleteRead"):
        download(mirror + name, path)
    kept = path.stat().st_size
    assert 0 < kept <= 1000
    download(mirror + name, path)
    assert Server.log[-1] == (name, f"bytes={kept}-")
    assert path.read_bytes() == Server.files[name]
    download(mirror + name, path)  # all there already
    assert path.read_bytes() == Server.files[name]


def test_the_next_source_is_tried_and_every_failure_listed(mirror, tmp_path):
    nowhere = "http://127.0.0.1:9/"
    assert len(data_set([Mirror(nowhere), Mirror(mirror)])(tmp_path)) == 10
    sources = [Mirror(nowhere), Mirror(mirror + "missing"), Package("no-such-client", "data", ".")]
    with pytest.raises(DownloadError) as error:
        obtain(tmp_path / "other", {"nothing": "0"}, sources)
    message = str(error.value)
    for part in (nowhere, "404", "no-such-client is not installed", "by hand"):
        assert part in message


def test_a_wrong_checksum_is_refused_and_nothing_kept(mirror, tmp_path):
    wrong = dict.fromkeys(tiny_files(), "0" * 64)
    with pytest.raises(DownloadError, match="another checksum"):
        obtain(tmp_path, wrong, [Mirror(mirror)])
    assert list(tmp_path.iterdir()) == []


def test_idx_files_are_read_and_bad_ones_refused(tmp_path):
    path = tmp_path / "file"
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    path.write_bytes(idx(array))
    np.testing.assert_array_equal(read_idx(path), array)
    for content, message in (
        (idx(array)[:-1], r"damaged: shape \(2, 3, 4\) needs 24 bytes, it has 23"),
        (idx(array)[:9], "cut short in its header"),
        (b"PK\x03\x04rest", "not an IDX file"),
        (b"", "begins with nothing"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            read_idx(path)


def test_the_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("MINIDL_DATA", str(tmp_path))
    assert cache_folder() == tmp_path
    assert cache_folder(tmp_path / "x") == tmp_path / "x"
    monkeypatch.delenv("MINIDL_DATA")
    assert cache_folder() == Path.home() / ".cache" / "minidl"


def test_digits_are_always_at_hand():
    train, test = Digits(), Digits(train=False)
    assert len(train) + len(test) == 1797
    assert train.data.shape[1:] == (8, 8)
    assert train.data.dtype is minidl.uint8
    assert train.data.max().item() == 255
    assert set(test.targets.tolist()) == set(range(10))


def test_whole_batches_at_once_are_the_same_as_sample_by_sample():
    fast = Digits(transform=transforms.ToTensor())
    slow = Digits(transform=transforms.Compose([transforms.ToTensor()]))
    for (x, y), (u, v) in zip(DataLoader(fast, 100), DataLoader(slow, 100)):
        np.testing.assert_array_equal(x.numpy(), u.numpy())
        np.testing.assert_array_equal(y.numpy(), v.numpy())
        assert y.dtype is v.dtype


@pytest.mark.download
def test_mnist_is_the_real_one():
    try:
        train, test = MNIST(train=True), MNIST(train=False)
    except DownloadError as error:
        pytest.skip(f"MNIST cannot be had: {error}")
    assert train.targets[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert test.targets[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert (len(train), len(test)) == (60_000, 10_000)
