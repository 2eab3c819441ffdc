"""The NumPy chapters in JupyterLite: built with minidl's wheel inside, and opened by a real browser from a local server.

Python for the browser comes from Pyodide's address, which a test does not ask for: it looks at what this site gives.
"""

from __future__ import annotations

import functools
import http.server
import json
import sys
import threading
from pathlib import Path

import pytest

from minidl.tutor import shelf
from minidl.tutor.chapter import read
from tests.inspect import browser

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def edition(tmp_path_factory):
    sys.path.insert(0, str(ROOT / "docs" / "book"))
    try:
        import gather
        import lite
    finally:
        sys.path.pop(0)
    out = tmp_path_factory.mktemp("edition")
    lite.build(out, out / "html", [read(p) for p in shelf.paths()])
    return out / "html" / "lite", gather.IN_THE_BROWSER


def test_it_holds_the_chapters_that_need_numpy_alone(edition):
    folder, numbers = edition
    found = sorted(p.stem for p in (folder / "files").glob("*.ipynb"))
    assert found == [p.stem for p in shelf.paths() if int(p.stem[:2]) in numbers]
    for path in (folder / "files").glob("*.ipynb"):
        cells = ["".join(c["source"]) for c in json.loads(path.read_text(encoding="utf-8"))["cells"]]
        assert 'piplite.install("minidl", deps=False)' in cells[0]
        assert sum("write your code here" in c for c in cells) == 3
        assert not any("--- solution" in c or "def check_" in c for c in cells)
        assert not any("import numba" in c or "import triton" in c or "import cupy" in c for c in cells)


def test_minidl_comes_from_this_site(edition):
    folder, _ = edition
    index = json.loads((folder / "pypi" / "all.json").read_text(encoding="utf-8"))
    (release,) = index["minidl"]["releases"].values()
    assert (folder / "pypi" / release[0]["filename"]).is_file()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Say nothing."""


@pytest.mark.skipif(bool(browser.MISSING), reason=browser.MISSING)
def test_a_chapter_opens_in_the_browser(edition, tmp_path):
    from selenium.webdriver.support.ui import WebDriverWait

    folder, _ = edition
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with browser.chromium(tmp_path) as driver:
            driver.get(f"http://127.0.0.1:{server.server_port}/lab/index.html?path=04_convolution.ipynb")
            cells = lambda d: d.find_elements("css selector", ".jp-Notebook .jp-Cell")
            WebDriverWait(driver, 120).until(cells)
            assert "piplite" in driver.find_element("css selector", ".jp-Notebook").text
        server.shutdown()
