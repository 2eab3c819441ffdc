"""The book: built without a warning, read from files in a real browser, searched, its formulas drawn. Chapters are not run."""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from minidl.tutor import shelf
from minidl.tutor.chapter import read
from tests.inspect import browser

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site: built here or, where MINIDL_BOOK names one, a site that is there already."""
    if "MINIDL_BOOK" in os.environ:
        return Path(os.environ["MINIDL_BOOK"])
    out = tmp_path_factory.mktemp("book")
    command = [sys.executable, "docs/book/build.py", "--no-execute", "--no-lite", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    return out / "html"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    if browser.MISSING:
        pytest.skip(browser.MISSING)
    with browser.chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


def opened(page, path, query=""):
    """Open a page from its file; nothing may be asked for from elsewhere, and the console stays empty."""
    browser.requests(page)
    page.get_log("browser")
    page.get(path.as_uri() + query)
    page.execute_async_script(
        "const done = arguments[0]; (window.MathJax?.startup?.promise ?? Promise.resolve()).then(done)"
    )
    assert all(url.startswith("file:") for url in browser.requests(page)), path
    assert [e for e in page.get_log("browser") if e["level"] in ("SEVERE", "WARNING")] == [], path
    return page


def test_nothing_is_fetched_from_elsewhere(site):
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        for address in re.findall(
            r"<(?:script|img|iframe)[^>]* src=\"([^\"]+)\"|<link rel=\"stylesheet\"[^>]* href=\"([^\"]+)\"", text
        ):
            assert not re.match(r"(https?:)?//", "".join(address)), f"{path.name} needs {address}"


def test_exercises_are_open_and_solutions_folded(site):
    for chapter in map(read, shelf.paths()):
        text = (site / "chapters" / f"{chapter.name}.html").read_text(encoding="utf-8")
        plain = html.unescape(re.sub(r"<[^>]+>", "", re.sub(r"<details.*?</details>", "", text, flags=re.S)))
        folded = html.unescape(re.sub(r"<[^>]+>", "", "".join(re.findall(r"<details.*?</details>", text, re.S))))
        assert text.count("A solution") == len(chapter.exercises)
        for name, exercise in chapter.exercises.items():
            assert f"{name}: write your code here" in plain
            solution = exercise.code[0].source.split("# --- solution")[1].split("# --- end")[0]
            lines = "".join(solution.split())  # all of it: a line may stand in the chapter's text as well
            assert lines in "".join(folded.split()), f"{name}: the solution is behind its title"
            assert lines not in "".join(plain.split()), f"{name}: the solution is in the open"
            for hint in exercise.hints:
                assert hint.source.split()[0].strip("`*$") in folded
            assert not any(f"def {wrong}(" in plain for wrong in exercise.wrong_names)


def test_the_reference_has_every_public_module(site):
    sys.path.insert(0, str(ROOT / "docs" / "book"))
    try:
        import reference
    finally:
        sys.path.pop(0)
    names = reference.module_names()
    assert {
        "minidl.autograd.walk",
        "minidl.nn.modules.convolution",
        "minidl.inspect.race",
        "minidl_kernels.attention",
    } <= set(names)
    text = {p.stem: p.read_text(encoding="utf-8") for p in (site / "reference").glob("*.html")}
    for name in names:
        assert f'id="module-{name}"' in text[reference.page_of(name)], name
    assert 'id="minidl.nn.modules.convolution.Conv2d"' in text["minidl.nn.modules"]


def test_pages_open_from_files(site, page):
    wanted = [
        "index",
        "docs/architecture",
        "docs/results",
        "docs/kernels",
        "reference/minidl.autograd",
        "chapters/notation",
    ]
    for name in [*wanted, *(f"chapters/{p.stem}" for p in shelf.paths())]:
        opened(page, site / f"{name}.html")
        assert page.title


def test_formulas_are_drawn(site, page):
    for path in shelf.paths():
        opened(page, site / "chapters" / f"{path.stem}.html")
        drawn = page.execute_script("return document.querySelectorAll('mjx-container svg').length")
        written = page.execute_script("return document.querySelectorAll('.math').length")
        assert drawn >= written > 5, path.stem
        errors = page.execute_script(
            "return [...document.querySelectorAll('mjx-merror, [data-mjx-error]')].map(e => e.outerHTML)"
        )
        assert errors == [], path.stem


@pytest.mark.parametrize(
    ("word", "found"), [("im2col", "04_convolution"), ("Conv2d", "minidl.nn"), ("vanishing", "08_recurrence")]
)
def test_the_search_finds(site, page, word, found):
    opened(page, site / "search.html", f"?q={word}")
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(page, 20).until(lambda d: d.find_elements("css selector", "#search-results li a"))
    links = [a.get_attribute("href") for a in page.find_elements("css selector", "#search-results li a")]
    assert any(found in link for link in links), links
    opened(page, site / "search.html", "?q=zyxwvutq")
    assert page.find_elements("css selector", "#search-results li a") == []
